// Receiptcheck checks a receipt: JSON that proves one revision of a document of an Amazon QLDB ledger, without the ledger's archive.
//
//	receiptcheck [-digest <hex or base64>] receipt.json
//
// It is this one file and the standard library, and shares no code with what makes receipts. It hashes all that a receipt shows, up to
// the digest; the exit code is 1 when that fails. Rules: QLDB developer guide, "Data verification"; amazon-ion.github.io/ion-hash.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A receipt leads from a revision to its block and to the digest. Hashes are base64.
type receipt struct {
	Format       string
	Metadata     struct{ ID, Version, TxTime, TxID string }
	Data         []any    // a value, see serial; null of a deletion, and where QLDB removed it on demand
	DataHash     []byte   // of Data, or of what was removed
	Deletion     string   // of a deletion, what DataHash is: of null, of nothing, or not even there (metadata)
	RevisionHash []byte   // joins the hashes of metadata and data
	ToBlock      [][]byte // join RevisionHash to BlockHash: siblings in the block's entries, and the hash of the block before
	BlockHash    []byte
	ToDigest     [][]byte // join BlockHash to Digest
	Digest       []byte   // null where the receipt ends with BlockHash: the way to a digest is not known
	NotCovered   struct { // by any hash: notes on the table, the block, the last block of the digest, and where both come from
		Ledger, Strand, Table, TableID, DigestFrom, Object string
		Block, Tip, Offset                                 uint64
	}
}

func main() {
	own := flag.String("digest", "", "the ledger's digest from your own records, in hex or base64")
	flag.Parse()
	b, err := os.ReadFile(flag.Arg(0))
	words, wrong := check(b, *own)
	if err = cmp.Or(err, wrong); err != nil {
		fmt.Println("REJECTED:", err)
		os.Exit(1)
	}
	fmt.Println(words)
}

// check says in words what a receipt proves. own is the auditor's digest, or empty.
func check(b []byte, own string) (string, error) {
	r, again, compact := receipt{}, bytes.Buffer{}, bytes.Buffer{}
	if err := errors.Join(json.Unmarshal(b, &r), json.Compact(&compact, b)); err != nil {
		return "", err // or something follows it, or it nests too deep
	}
	// Repeated or unknown members, other spellings: nobody may read it otherwise than it is read here.
	encoder := json.NewEncoder(&again)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil || again.String() != compact.String()+"\n" || r.Format != "godwit.receipt/1" || len(b) > 8<<20 {
		return "", errors.New("it is not spelled as receipts are: something in it is unknown, or could be read in two ways")
	}
	c, m, n := checker{}, r.Metadata, r.NotCovered
	// 1. The revision's hash is that of its metadata and data.
	hash := sum(c.serial(0, "struct", []any{[]any{"id", "string", m.ID}, []any{"version", "int", m.Version}, []any{"txTime", "timestamp", m.TxTime}, []any{"txId", "string", m.TxID}}))
	shown := map[bool]string{true: "metadata is as shown; it deletes the document", false: "metadata is as shown; its data, which was removed or is withheld, has the hash shown"}[r.Deletion != ""]
	rules := map[string]string{"": "metadata", string(sum(nil)): "nothing", string(sum([]byte("\x0B\x0F\x0E"))): "null"}
	c.must(r.Deletion == rules[string(r.DataHash)], "Deletion is not the rule that DataHash follows")
	if r.Data != nil {
		c.must(len(r.Data) > 1 && r.Data[0] == "struct" && bytes.Equal(sum(c.serial(0, r.Data...)), r.DataHash), "DataHash is not the hash of the data shown")
		shown = "metadata and data are as shown"
	}
	if r.Deletion != "metadata" {
		hash = c.join(hash, [][]byte{r.DataHash})
	}
	c.must(bytes.Equal(hash, r.RevisionHash), "RevisionHash is not the hash of metadata and data")
	// 2. The block's hash is that of its entries, the revision among them, and of the block before. The digest is that of all blocks.
	block := c.join(hash, r.ToBlock)
	c.must(bytes.Equal(block, r.BlockHash), "the revision does not lead to the block: BlockHash is not theirs")
	digest, inner, end := c.join(block, r.ToDigest), bits.Len64(n.Block^n.Tip), "digest"
	c.must(r.Digest == nil || bytes.Equal(digest, r.Digest), "the block does not lead to the digest: Digest is not theirs")
	// 3. Of the notes, the block's number and the tip have to fit the length of the path, in a tree as RFC 6962 has it.
	fits := n.Block <= n.Tip && len(r.ToDigest) == inner+bits.OnesCount64(n.Block>>inner)
	if r.Digest == nil {
		end, fits = "block hash", n.Block == n.Tip && len(r.ToDigest) == 0
	}
	c.must(fits, "no block of its number has such a path to a digest at its tip")
	trust := "CONSISTENT with the " + end + " it shows, and no more: anybody can make such a receipt. Compare a " + end + " from your own records (-digest)"
	if own != "" {
		c.must(strings.EqualFold(own, fmt.Sprintf("%x", digest)) || own == base64.StdEncoding.EncodeToString(digest), "it does not lead to the digest you gave")
		trust = "PROVEN under the " + end + " you gave"
	}
	return fmt.Sprintf("%s\n  document %q, version %s, written at %s by transaction %q\n  proven: its %s; it was in the ledger of %s %x\n"+
		"  not proven: that no later version exists; and what no hash covers: table %q (id %q), block %d of strand %q of ledger %q, digest at block %d from %q, object %q at byte %d",
		trust, m.ID, m.Version, m.TxTime, m.TxID, shown, end, digest, n.Table, n.TableID, n.Block, n.Strand, n.Ledger, n.Tip, n.DigestFrom, n.Object, n.Offset), c.err
}

// A checker keeps the first thing that is wrong.
type checker struct{ err error }

func (c *checker) must(ok bool, wrong string) {
	if !ok && c.err == nil {
		c.err = errors.New(wrong)
	}
}

func (c *checker) join(h []byte, others [][]byte) []byte {
	c.must(others != nil, "a list of hashes is null")
	for _, other := range others {
		c.must(len(other) == sha256.Size, "a hash has not 32 bytes")
		h = dot(h, other)
	}
	return h
}

// dot hashes two hashes, the smaller one first: as signed bytes, from the last to the first.
func dot(a, b []byte) []byte {
	i := min(len(a), len(b)) - 1
	for i > 0 && a[i] == b[i] {
		i--
	}
	if i >= 0 && int8(a[i]) > int8(b[i]) {
		a, b = b, a
	}
	return sum(slices.Concat(a, b))
}

func sum(b []byte) []byte     { h := sha256.Sum256(b); return h[:] }
func integer(s string) []byte { n, _ := new(big.Int).SetString("0"+s, 10); return n.Bytes() }

var (
	escapes = strings.NewReplacer("\x0B", "\x0C\x0B", "\x0C", "\x0C\x0C", "\x0E", "\x0C\x0E")
	types   = []string{"null", "bool", "int", "", "float", "decimal", "timestamp", "symbol", "string", "clob", "blob", "list", "sexp", "struct"}
	numbers = regexp.MustCompile(`^(-?)(0|[1-9]\d*)(?:\.(\d+)|E([+-][1-9]\d*))?$`)
	times   = regexp.MustCompile(`^(?:(\d{4}(?:-\d\d)?)T|(\d{4}-\d\d-\d\d)|(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))$`)
)

// serial is what the Ion hash of a value hashes. A value is [type, content, annotations...], behind its name in a struct. Content
// is text (base64 of lobs; of a null, the type that it is null of), or the list of what a list, sexp or struct holds.
func (c *checker) serial(depth int, v ...any) []byte {
	if c.must(len(v) > 1 && depth < 600, "a value has no type and content, or nests deeper than QLDB's"); c.err != nil {
		return nil
	}
	kind, _ := v[0].(string)
	text, isText := v[1].(string)
	list, isList := v[1].([]any)
	code, body := byte(slices.Index(types, kind)<<4), []byte(text)
	c.must(kind != "" && (isText && code < 0xB0 || isList && code >= 0xB0 && code < 0xE0), "a value is of no known type, or its content is of another")
	switch {
	case kind == "null":
		code, body = byte(slices.Index(types, text)<<4|0x0F), nil
		c.must(text != "" && code != 0xFF, "a null is of no known type")
	case kind == "bool":
		code, body = code|byte(slices.Index([]string{"false", "true"}, text)), nil
		c.must(code != 0xFF, "a bool is neither true nor false")
	case text == "0" && (kind == "int" || kind == "decimal" || kind == "float"):
		body = nil
	case kind == "int" || kind == "decimal":
		m := append(numbers.FindStringSubmatch(text[:min(len(text), 1<<19)]), make([]string, 5)...)
		c.must(m[0] == text && text != "" && (kind == "decimal" || m[3]+m[4] == "" && text != "-0"), "a number is not spelled as one")
		exponent, _ := strconv.Atoi(m[4]) // 0 where there is none
		if code, body = code+byte(len(m[1])<<4), integer(m[2]); kind == "decimal" {
			code, body = 0x50, decimal(m[1] != "", m[2]+m[3], exponent-len(m[3]))
		}
	case kind == "float" && text == "nan":
		body = []byte{0x7F, 0xF8, 0, 0, 0, 0, 0, 0}
	case kind == "float":
		f, err := strconv.ParseFloat(text, 64)
		c.must(err == nil && strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64)) == text, "a float is not the shortest text of one")
		body = binary.BigEndian.AppendUint64(nil, math.Float64bits(f))
	case kind == "timestamp":
		body = c.timestamp(text)
	case kind == "clob" || kind == "blob":
		body, _ = base64.StdEncoding.DecodeString(text)
		c.must(base64.StdEncoding.EncodeToString(body) == text, "a lob is not base64")
	}
	body = []byte(escapes.Replace(string(body)))
	var fields [][]byte
	for _, item := range list {
		h, _ := item.([]any)
		if kind == "struct" && len(h) > 0 {
			fields = append(fields, sum(append(c.serial(depth+1, "symbol", h[0]), c.serial(depth+1, h[1:]...)...)))
		} else {
			body = append(body, c.serial(depth+1, h...)...) // fails in a struct
		}
	}
	slices.SortFunc(fields, bytes.Compare)
	s := slices.Concat([]byte{0x0B, code}, body, []byte(escapes.Replace(string(slices.Concat(fields...)))), []byte{0x0E})
	if len(v) == 2 {
		return s
	}
	notes := []byte{0x0B, 0xE0}
	for _, note := range v[2:] {
		notes = append(notes, c.serial(depth+1, "symbol", note)...)
	}
	return slices.Concat(notes, s, []byte{0x0E})
}

// decimal is binary Ion's: an exponent, and the coefficient with a sign, of which 0 leaves nothing.
func decimal(negative bool, digits string, exponent int) []byte {
	b := integer(digits)
	if len(b) == 0 && negative || len(b) > 0 && b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	if negative {
		b[0] |= 0x80
	}
	return append(varInt(exponent, exponent < 0), b...)
}

// varInt has seven bits a byte, but six and the sign in the first; the last one is marked.
func varInt(v int, negative bool) []byte {
	b := []byte{0x80 | byte(max(v, -v))}
	for v = max(v, -v) >> 7; v > 0 || b[0]&0x40 != 0; v >>= 7 {
		b = append([]byte{byte(v & 0x7F)}, b...)
	}
	if negative {
		b[0] |= 0x40
	}
	return b
}

// timestamp is binary Ion's: the offset, as many fields as there are, in UTC, and the fraction.
func (c *checker) timestamp(text string) []byte {
	m := append(times.FindStringSubmatch(text[:min(len(text), 1<<9)]), make([]string, 6)...)
	local, fraction, zone := m[1]+m[2]+m[3], m[4], m[5]
	at, err := time.Parse(time.RFC3339, local+"0001-01-01T00:00:00"[len(local):]+cmp.Or(zone, "Z"))
	c.must(m[0] == text && text != "" && err == nil && zone != "+00:00" && (fraction == "" || len(local) == 19), "a timestamp is not spelled as one")
	_, offset := at.Zone()
	b := varInt(offset/60, offset < 0 || zone == "" || zone == "-00:00")
	if at = at.UTC(); at.Year() > 127 {
		b = append(b, byte(at.Year()>>7))
	}
	for _, v := range []int{at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute(), at.Second()}[:max(0, len(local)-1)/3] {
		b = append(b, 0x80|byte(v))
	}
	if fraction != "" {
		b = append(b, decimal(false, fraction, -len(fraction))...)
	}
	return b
}
