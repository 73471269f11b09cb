package proof_test

import (
	"bytes"
	"crypto/md5" // as KPL does
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/ion"
	"godwit/internal/journal"
	"godwit/internal/proof"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// json is n down-converted as QLDB did for JSON exports.
func (n node) json(b *strings.Builder) {
	switch n.kind {
	case ionlib.IntType:
		b.WriteString(strconv.FormatInt(n.int, 10))
	case ionlib.DecimalType:
		b.WriteString(n.text)
	case ionlib.StringType, ionlib.TimestampType:
		text, _ := json.Marshal(n.text) // a string always is JSON
		b.Write(text)
	case ionlib.BlobType:
		fmt.Fprintf(b, "%q", base64.StdEncoding.EncodeToString(n.bytes))
	default:
		brackets := "[]"
		if n.kind == ionlib.StructType {
			brackets = "{}"
		}
		b.WriteByte(brackets[0])
		for i, c := range n.children {
			if i > 0 {
				b.WriteByte(',')
			}
			if n.kind == ionlib.StructType {
				fmt.Fprintf(b, "%q:", c.name)
			}
			c.node.json(b)
		}
		b.WriteByte(brackets[1])
	}
}

// streamBlock puts the block together whose stream records are in the corpus.
func streamBlock(t *testing.T) node {
	t.Helper()
	summary := realNode(t, "stream-record", "attestation.0.ion").get(t, "payload")
	block := node{kind: ionlib.StructType}
	for _, c := range summary.children {
		if c.name != "revisionSummaries" {
			block.children = append(block.children, c)
		}
	}
	details := realNode(t, "stream-record", "attestation.1.ion").get(t, "payload", "revision")
	list := node{kind: ionlib.ListType, children: []child{{node: details}}}
	block.children = append(block.children, child{"revisions", list})
	return block
}

// asObject renders a block as an object of an export.
func asObject(t *testing.T, block node, format journal.Format) []byte {
	t.Helper()
	if format == journal.JSON {
		var b strings.Builder
		block.json(&b)
		return []byte(b.String())
	}
	var w ion.Writer
	block.write(&w)
	b, err := w.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRealBlocksAreProven(t *testing.T) {
	for name, block := range map[string]node{"block100": realNode(t, "block100", "block100.ion"), "stream": streamBlock(t)} {
		for _, format := range []journal.Format{journal.IonBinary, journal.JSON} {
			t.Run(fmt.Sprint(name, " ", format), func(t *testing.T) {
				var v proof.Verifier
				n := 0
				eachBlock(t, [][]byte{asObject(t, block, format)}, func(b *journal.Block) {
					n++
					c := v.Verify(b)
					// A JSON revision is proven when nothing of it looks otherwise than it
					// was; dates do, so block100's needs a Typing.
					want := proof.Proven
					if format == journal.JSON && name == "block100" {
						want = proof.TypeUnproven
					}
					if c.Verdict != want || len(c.Revisions) != 1 || c.Revisions[0] != want {
						t.Errorf("got %s, %v, %+v", c.Verdict, c.Revisions, c.Findings)
					}
					if c.Members != (proof.Members{Revisions: 1, TransactionInfo: 3, RedactionInfo: -1}) {
						t.Errorf("members of entriesHashList: %+v", c.Members)
					}
				})
				if n != 1 {
					t.Errorf("read %d blocks", n)
				}
			})
		}
	}
}

func TestRealBytesOfTheStreamAreProven(t *testing.T) {
	// The revision as the service encoded it, not as another library wrote it.
	r := ion.NewReader(bytes.NewReader(real(t, "stream-record", "attestation.1.10n")), 0)
	value, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[string]proof.Hash{}
	var stored proof.Hash
	var h ion.Hasher
	var walk func(c *ion.Cursor)
	walk = func(c *ion.Cursor) {
		for c.Next() {
			name := ""
			if c.InStruct() {
				if name, err = r.Symbols().Text(c.Field()); err != nil {
					t.Fatal(err)
				}
			}
			switch name {
			case "data", "metadata":
				sum, err := h.Sum(nil, c.Raw(), r.Symbols())
				if err != nil {
					t.Fatal(err)
				}
				hashes[name] = parse(t, sum)
			case "hash":
				b, err := c.Lob()
				if err != nil {
					t.Fatal(err)
				}
				stored = parse(t, b)
			case "", "payload", "revision":
				c.StepIn()
				walk(c)
				c.StepOut()
			}
		}
	}
	var c ion.Cursor
	c.Reset(value, 0, len(value))
	walk(&c)
	same(t, "revision", proof.RevisionHash(hashes["metadata"], hashes["data"]), stored)
}

func TestRealAnswersTieTheRealBlock(t *testing.T) {
	digest, err := proof.ParseEvidence(real(t, "block100", "digest123.json"))
	if err != nil {
		t.Fatal(err)
	}
	held := func(elem ...string) string {
		text, err := json.Marshal(string(real(t, elem...)))
		if err != nil {
			t.Fatal(err)
		}
		return `{"IonText":` + string(text) + `}`
	}
	for name, answer := range map[string]string{
		"GetBlock":    `{"Block":` + held("block100", "block100.ion") + `,"Proof":` + held("block100", "block100.proof.ion") + `}`,
		"GetRevision": `{"Revision":` + held("block100", "revision100.ion") + `,"Proof":` + held("block100", "revision100.proof.ion") + `}`,
	} {
		e, err := proof.ParseEvidence([]byte(answer))
		if err != nil {
			t.Fatal(err)
		}
		o := prove([][]byte{real(t, "block100", "block100.ion")}, []proof.Evidence{*e, *digest})
		if o.conclusion == nil || o.conclusion.Level != 3 || len(o.conclusion.Ties) != 1 || o.conclusion.Ties[0].Digest != digest.Digest || o.conclusion.Ties[0].Tip != 123 {
			t.Errorf("%s: %+v, %v", name, o.conclusion, o.findings)
		}
	}
}

func TestRealStreamPayloadIsWhole(t *testing.T) {
	// KPL: a magic number, records, the MD5 of the records.
	b := real(t, "stream-record", "attestation.kpl.bin")
	const magic = "\xF3\x89\x9A\xC2"
	if !bytes.HasPrefix(b, []byte(magic)) || len(b) < len(magic)+md5.Size {
		t.Fatalf("% x is no aggregated record", b[:4])
	}
	records, sum := b[len(magic):len(b)-md5.Size], b[len(b)-md5.Size:]
	if got := md5.Sum(records); !bytes.Equal(got[:], sum) {
		t.Errorf("md5: got %x, want %x", got, sum)
	}
	for _, name := range []string{"attestation.0.10n", "attestation.1.10n"} {
		if !bytes.Contains(records, real(t, "stream-record", name)) {
			t.Errorf("%s is not in it", name)
		}
	}
}
