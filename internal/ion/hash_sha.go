package ion

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
)

// sha256Words computes SHA-256 of many short messages. The standard library's
// Sum256 spends about as long around the one block of a short message as on it:
// it copies the message, pads the copy and copies the state. Here the caller's
// buffer is padded in place, so that Write takes whole blocks straight from it,
// and the result is read from the state that AppendBinary gives out.
//
// The form of that state is the library's own. It is tried once against Sum256;
// should it ever change, Sum256 is used.
type sha256Words struct {
	function hash.Hash
	state    encoding.BinaryAppender // function; nil: use Sum256
	buf      [128]byte
}

// Of the state that crypto/sha256 appends: "sha\x03", eight words, the block
// under way, the length.
const (
	shaStateWords = 4
	shaStateSize  = 4 + sha256.Size + sha256.BlockSize + 8
)

// shaPadding is the room that sum needs behind its message.
const shaPadding = sha256.BlockSize + 8

func (s *sha256Words) start() {
	s.function = sha256.New()
	s.state, _ = s.function.(encoding.BinaryAppender)
	probe := append(make([]byte, 0, 100), "godwit"...)
	if want := sha256.Sum256(probe); string(s.sum(probe, 0)) != string(want[:]) {
		s.state = nil
	}
}

// sum returns the hash of text[from:], until the next call. It writes behind
// text's end, where there has to be room for shaPadding bytes.
func (s *sha256Words) sum(text []byte, from int) []byte {
	if s.function == nil {
		s.start()
	}
	if s.state != nil {
		size := len(text) - from
		end := (size + 8 + sha256.BlockSize) &^ (sha256.BlockSize - 1) // 0x80, length, up to a whole block
		m := text[from : from+end]
		m[size] = 0x80
		clear(m[size+1 : end-8])
		binary.BigEndian.PutUint64(m[end-8:], uint64(size)<<3)
		s.function.Reset()
		s.function.Write(m) // never fails, by hash.Hash's contract
		if state, err := s.state.AppendBinary(s.buf[:0]); err == nil && len(state) == shaStateSize {
			return state[shaStateWords : shaStateWords+sha256.Size]
		}
	}
	sum := sha256.Sum256(text[from:])
	return append(s.buf[:0], sum[:]...)
}

// A nameCache keeps the serialisations of a symbol table's symbols: field names
// are met over and over. It serves SymbolTable only, which tells when its ids
// change their meaning.
type nameCache struct {
	table *SymbolTable
	epoch int
	at    []nameAt // by id
	bytes []byte
}

type nameAt struct{ from, to uint32 }

// maxCachedBytes bounds the cache; it begins anew above. Document ids are
// symbols, too.
const maxCachedBytes = 8 << 20

// use makes the cache that of symbols.
func (n *nameCache) use(symbols Symbols) {
	table, _ := symbols.(*SymbolTable)
	if table == nil {
		n.table = nil
		return
	}
	if n.table != table || n.epoch != table.epoch || len(n.bytes) > maxCachedBytes {
		n.table, n.epoch = table, table.epoch
		clear(n.at)
		n.at, n.bytes = n.at[:0], n.bytes[:0]
	}
}

// get returns s(symbol), or nil where it is not known yet.
func (n *nameCache) get(id SID) []byte {
	if n.table == nil || int(id) >= len(n.at) {
		return nil
	}
	a := n.at[id]
	if a.to == 0 {
		return nil
	}
	return n.bytes[a.from:a.to]
}

func (n *nameCache) put(id SID, s []byte) {
	if n.table == nil || id >= MaxSymbols || len(s) > maxCachedBytes {
		return
	}
	for int(id) >= len(n.at) {
		n.at = append(n.at, nameAt{})
	}
	from := len(n.bytes)
	n.bytes = append(n.bytes, s...)
	n.at[id] = nameAt{uint32(from), uint32(len(n.bytes))}
}
