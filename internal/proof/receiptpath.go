package proof

import "fmt"

// InclusionBehind makes the proof that Inclusion makes where the digest covers
// more blocks than there are: nodes know the blocks up to last, and path is the
// proof of last under the digest over size blocks, as proofs.json keeps it. So
// every block that was exported has a receipt under a digest that was taken later.
func InclusionBehind(leaf, size uint64, nodes Nodes, last uint64, path []Hash) ([]Hash, error) {
	if leaf > last || last >= size || len(path) != InclusionLength(last, size) {
		return nil, fmt.Errorf("prove block %d by the proof of block %d: its %d hashes are no proof of a block behind, under a digest over %d blocks", leaf, last, len(path), size)
	}
	way := []Hash{}
	risen, err := nodes(0, last) // what the proof of last has come to
	for level := 0; err == nil && (size-1)>>level > 0; level++ {
		a, b := leaf>>level, last>>level
		var h Hash
		switch sibling := a ^ 1; {
		case a == b: // from here on the two go the same way
			way = append(way, path...)
			return way, nil
		case sibling == b:
			way = append(way, risen)
		default: // before last's: a is before it and next to sibling
			h, err = nodes(level, sibling)
			way = append(way, h)
		}
		if (b^1)<<level < size {
			risen, path = Dot(risen, path[0]), path[1:]
		}
	}
	if err != nil {
		return nil, fmt.Errorf("prove block %d by the proof of block %d: %w", leaf, last, err)
	}
	return way, nil
}
