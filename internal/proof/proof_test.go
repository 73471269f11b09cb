package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/proof"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// A node is a value of Ion text: what recomputing real data needs of it.
type node struct {
	kind     ionlib.Type
	text     string // string, decimal and timestamp
	int      int64
	bytes    []byte
	children []child
}

type child struct {
	name string
	node node
}

// get returns a member by path, or fails the test.
func (n node) get(t *testing.T, path ...string) node {
	t.Helper()
next:
	for _, name := range path {
		for _, c := range n.children {
			if c.name == name {
				n = c.node
				continue next
			}
		}
		t.Fatalf("real data has no %s", name)
	}
	return n
}

// readNode reads the value that r stands on.
func readNode(t *testing.T, r ionlib.Reader) node {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n := node{kind: r.Type()}
	switch n.kind {
	case ionlib.IntType:
		v, err := r.Int64Value()
		must(err)
		n.int = *v
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		must(err)
		n.text = v.String()
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		must(err)
		n.text = v.String()
	case ionlib.StringType:
		v, err := r.StringValue()
		must(err)
		n.text = *v
	case ionlib.BlobType:
		v, err := r.ByteValue()
		must(err)
		n.bytes = v
	case ionlib.ListType, ionlib.StructType:
		must(r.StepIn())
		for r.Next() {
			c := child{}
			name, err := r.FieldName()
			must(err)
			if name != nil {
				c.name = *name.Text
			}
			c.node = readNode(t, r)
			n.children = append(n.children, c)
		}
		must(r.Err())
		must(r.StepOut())
	default:
		t.Fatalf("unexpected %v in real data", n.kind)
	}
	return n
}

func (n node) write(w *ion.Writer) {
	switch n.kind {
	case ionlib.IntType:
		w.Int(n.int)
	case ionlib.DecimalType:
		w.Decimal(n.text)
	case ionlib.TimestampType:
		w.Timestamp(n.text)
	case ionlib.StringType:
		w.String(n.text)
	case ionlib.BlobType:
		w.Blob(n.bytes)
	case ionlib.ListType:
		w.BeginList()
		for _, c := range n.children {
			c.node.write(w)
		}
		w.End()
	case ionlib.StructType:
		w.BeginStruct()
		for _, c := range n.children {
			w.Field(c.name)
			c.node.write(w)
		}
		w.End()
	default: // readNode takes no other
	}
}

// ionHash is H(n).
func (n node) ionHash(t *testing.T) proof.Hash {
	t.Helper()
	var w ion.Writer
	n.write(&w)
	value, err := w.AppendValues(nil)
	if err != nil {
		t.Fatal(err)
	}
	var h ion.Hasher
	sum, err := h.Sum(nil, value, &w)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, sum)
}

// hash takes a blob for the hash that it holds.
func (n node) hash(t *testing.T) proof.Hash {
	t.Helper()
	return parse(t, n.bytes)
}

func (n node) hashes(t *testing.T) []proof.Hash {
	t.Helper()
	var all []proof.Hash
	for _, c := range n.children {
		all = append(all, c.node.hash(t))
	}
	return all
}

func parse(t *testing.T, b []byte) proof.Hash {
	t.Helper()
	h, err := proof.ParseHash(b)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// real reads a file of the corpus, or skips the test.
func real(t *testing.T, elem ...string) []byte {
	t.Helper()
	dir := os.Getenv("GODWIT_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{dir, "qldb"}, elem...)...))
	if err != nil {
		t.Skipf("no real data: set GODWIT_CORPUS: %v", err)
	}
	return b
}

func realNode(t *testing.T, elem ...string) node {
	t.Helper()
	r := ionlib.NewReaderBytes(real(t, elem...))
	if !r.Next() {
		t.Fatalf("%v holds no value: %v", elem, r.Err())
	}
	return readNode(t, r)
}

func same(t *testing.T, what string, got, want proof.Hash) {
	t.Helper()
	if got != want || got.IsEmpty() {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestRealRevisionsRecompute(t *testing.T) {
	for name, revision := range map[string]node{
		"revision100": realNode(t, "block100", "revision100.ion"),
		"revision429": realNode(t, "revision429", "revision429.ion"),
		"stream":      realNode(t, "stream-record", "attestation.1.ion").get(t, "payload", "revision"),
	} {
		got := proof.RevisionHash(revision.get(t, "metadata").ionHash(t), revision.get(t, "data").ionHash(t))
		same(t, name, got, revision.get(t, "hash").hash(t))
	}
}

func TestRealBlocksRecompute(t *testing.T) {
	for name, block := range map[string]node{
		"block100": realNode(t, "block100", "block100.ion"),
		"stream":   realNode(t, "stream-record", "attestation.0.ion").get(t, "payload"),
	} {
		entries := block.get(t, "entriesHashList").hashes(t)
		same(t, name+" entriesHash", proof.EntriesHash(entries), block.get(t, "entriesHash").hash(t))
		same(t, name+" blockHash", proof.BlockHash(block.get(t, "entriesHash").hash(t), block.get(t, "previousBlockHash").hash(t)), block.get(t, "blockHash").hash(t))
		same(t, name+" transactionInfo", block.get(t, "transactionInfo").ionHash(t), entries[3])
		list := "revisions"
		if name == "stream" {
			list = "revisionSummaries"
		}
		var revisions []proof.Hash
		for _, r := range block.get(t, list).children {
			revisions = append(revisions, r.node.get(t, "hash").hash(t))
		}
		same(t, name+" revisions", proof.Merkle(revisions), entries[1])
	}
}

func TestRealStatementDigestRecomputes(t *testing.T) {
	statement := realNode(t, "block100", "block100.ion").get(t, "transactionInfo", "statements").children[0].node
	got, err := proof.StatementDigest([]byte(statement.get(t, "statement").text))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "statementDigest", got, statement.get(t, "statementDigest").hash(t))
	if with, err := proof.StatementDigest([]byte("x"), number(1), number(2)); err != nil || with == got {
		t.Errorf("with parameters: %v, %v", with, err)
	}
}

func TestRealProofsLeadToTheDigest(t *testing.T) {
	var saved struct{ Digest string }
	if err := json.Unmarshal(real(t, "block100", "digest123.json"), &saved); err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(saved.Digest)
	if err != nil {
		t.Fatal(err)
	}
	digest := parse(t, b)
	block := realNode(t, "block100", "block100.ion")
	blockProof := realNode(t, "block100", "block100.proof.ion").hashes(t)
	revisionProof := realNode(t, "block100", "revision100.proof.ion").hashes(t)
	if len(blockProof) != 7 || len(revisionProof) != 10 {
		t.Errorf("proofs of %d and %d hashes, want 7 and 10", len(blockProof), len(revisionProof))
	}
	same(t, "block proof", proof.Fold(block.get(t, "blockHash").hash(t), blockProof), digest)
	leaf := realNode(t, "block100", "revision100.ion").get(t, "hash").hash(t)
	same(t, "revision proof", proof.Fold(leaf, revisionProof), digest)
	same(t, "revision proof up to the entries", proof.Fold(leaf, revisionProof[:2]), block.get(t, "entriesHash").hash(t))
	same(t, "revision proof up to the block", proof.Fold(leaf, revisionProof[:3]), block.get(t, "blockHash").hash(t))

	// One changed bit leads elsewhere.
	wrong := block.get(t, "blockHash").bytes
	wrong[7] ^= 1
	if proof.Fold(parse(t, wrong), blockProof) == digest {
		t.Error("a changed block is under the digest too")
	}
}

func number(n int) proof.Hash {
	sum := sha256.Sum256(fmt.Append(nil, n))
	h, _ := proof.ParseHash(sum[:])
	return h
}

func TestDotOrdersFromTheLastByteAsSigned(t *testing.T) {
	low, high := make([]byte, 32), make([]byte, 32)
	low[31], high[31] = 0x80, 0x00 // -128 before 0
	low[0], high[0] = 9, 1         // the first byte counts least
	want := sha256.Sum256(append(bytes.Clone(low), high...))
	a, b := parse(t, low), parse(t, high)
	for _, got := range []proof.Hash{proof.Dot(a, b), proof.Dot(b, a)} {
		if !bytes.Equal(got.Bytes(), want[:]) {
			t.Errorf("got %x, want %x", got.Bytes(), want)
		}
	}
}

func TestNothingIsTheIdentity(t *testing.T) {
	var nothing proof.Hash
	if got := proof.Dot(nothing, number(1)); got != number(1) {
		t.Errorf("nothing before: got %v", got)
	}
	if got := proof.Dot(number(1), nothing); got != number(1) {
		t.Errorf("nothing behind: got %v", got)
	}
	if got := proof.Dot(nothing, nothing); !got.IsEmpty() || len(got.Bytes()) != 0 {
		t.Errorf("nothing twice: got %v", got)
	}
	if !proof.Merkle(nil).IsEmpty() {
		t.Error("no leaves have a root")
	}
	zeros := parse(t, make([]byte, 32))
	if zeros.IsEmpty() || proof.Dot(zeros, number(1)) == number(1) {
		t.Error("32 zero bytes are taken for nothing")
	}
}

func TestHashesHave32BytesOrNone(t *testing.T) {
	for _, n := range []int{1, 31, 33, 64} {
		if h, err := proof.ParseHash(make([]byte, n)); err == nil {
			t.Errorf("%d bytes: got %v, want an error", n, h)
		}
	}
}

// levels is the definition, level by level.
func levels(leaves []proof.Hash) proof.Hash {
	if len(leaves) == 0 {
		return proof.Hash{}
	}
	for len(leaves) > 1 {
		var up []proof.Hash
		for i := 0; i+1 < len(leaves); i += 2 {
			up = append(up, proof.Dot(leaves[i], leaves[i+1]))
		}
		if len(leaves)%2 == 1 {
			up = append(up, leaves[len(leaves)-1])
		}
		leaves = up
	}
	return leaves[0]
}

func TestTreeIsTheDefinitionAndProvesEveryLeaf(t *testing.T) {
	for n := range 70 {
		var leaves []proof.Hash
		for i := range n {
			leaves = append(leaves, number(i))
		}
		if got, want := proof.Merkle(leaves), levels(leaves); got != want {
			t.Fatalf("%d leaves: got %v, want %v", n, got, want)
		}
		for watched := range n {
			var tree proof.Tree
			for i, leaf := range leaves {
				if i == watched {
					tree.Watch()
				}
				tree.Add(leaf)
			}
			if got := proof.Fold(leaves[watched], tree.Path()); got != levels(leaves) {
				t.Fatalf("leaf %d of %d: path of %d leads to %v", watched, n, len(tree.Path()), got)
			}
		}
	}
}

func TestPathsAreAsLongAsRealOnes(t *testing.T) {
	// Leaf, tip and the length of the path in real proofs of the service.
	for _, c := range []struct{ leaf, tip, want int }{{100, 123, 7}, {22, 26, 5}, {112, 113, 4}, {21, 46, 6}} {
		var tree proof.Tree
		for i := range c.tip + 1 {
			if i == c.leaf {
				tree.Watch()
			}
			tree.Add(number(i))
		}
		if got := len(tree.Path()); got != c.want {
			t.Errorf("leaf %d under tip %d: path of %d, want %d", c.leaf, c.tip, got, c.want)
		}
	}
}

func TestWatchFollowsTheLastLeafAsked(t *testing.T) {
	var tree proof.Tree
	for i := range 9 {
		tree.Watch()
		if tree.Path() != nil {
			t.Fatal("a path before its leaf")
		}
		tree.Add(number(i))
	}
	copied := tree.Clone()
	for i := 9; i < 20; i++ {
		copied.Add(number(i))
	}
	if proof.Fold(number(8), tree.Path()) != tree.Root() || proof.Fold(number(8), copied.Path()) != copied.Root() {
		t.Error("the path leads elsewhere")
	}
}
