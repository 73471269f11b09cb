package journal_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"

	"godwit/internal/change"
	"godwit/internal/iontest"
	"godwit/internal/journal"
)

// corpus returns a file of the real data, or skips the test.
func corpus(t testing.TB, elem ...string) []byte {
	t.Helper()
	dir := os.Getenv("GODWIT_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{dir}, elem...)...))
	if os.IsNotExist(err) {
		t.Skipf("real ledger data is not here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// toJSON writes Ion text as JSON Lines, as the service's exports are: decimals as
// <coefficient>e<exponent>, timestamps as strings, blobs as base64.
func toJSON(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	r := ionlib.NewReaderString(text)
	for r.Next() {
		jsonValue(t, &out, r)
		out.WriteByte('\n')
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func jsonValue(t testing.TB, out *bytes.Buffer, r ionlib.Reader) {
	check := func(err error) { // without t.Helper, which takes most of the time here
		if err != nil {
			t.Fatal(err)
		}
	}
	if r.IsNull() {
		out.WriteString("null")
		return
	}
	switch r.Type() {
	case ionlib.BoolType:
		v, err := r.BoolValue()
		check(err)
		fmt.Fprint(out, *v)
	case ionlib.IntType:
		v, err := r.BigIntValue()
		check(err)
		out.WriteString(v.String())
	case ionlib.FloatType:
		v, err := r.FloatValue()
		check(err)
		out.WriteString(strconv.FormatFloat(*v, 'e', -1, 64))
	case ionlib.DecimalType:
		v, err := r.DecimalValue()
		check(err)
		c, e := v.CoEx()
		if e == 0 {
			out.WriteString(c.String())
		} else {
			fmt.Fprintf(out, "%se%d", c, e)
		}
	case ionlib.TimestampType:
		v, err := r.TimestampValue()
		check(err)
		text := v.String()
		if len(text) == len("2019-09-16T") {
			text = text[:len("2019-09-16")] // as the service writes it
		}
		fmt.Fprintf(out, "%q", text)
	case ionlib.SymbolType:
		v, err := r.SymbolValue()
		check(err)
		fmt.Fprintf(out, "%q", *v.Text)
	case ionlib.StringType:
		v, err := r.StringValue()
		check(err)
		fmt.Fprintf(out, "%q", *v)
	case ionlib.ClobType, ionlib.BlobType:
		v, err := r.ByteValue()
		check(err)
		fmt.Fprintf(out, "%q", base64.StdEncoding.EncodeToString(v))
	case ionlib.ListType, ionlib.SexpType:
		out.WriteByte('[')
		check(r.StepIn())
		for i := 0; r.Next(); i++ {
			if i > 0 {
				out.WriteByte(',')
			}
			jsonValue(t, out, r)
		}
		check(r.Err())
		check(r.StepOut())
		out.WriteByte(']')
	case ionlib.StructType:
		out.WriteByte('{')
		check(r.StepIn())
		for i := 0; r.Next(); i++ {
			if i > 0 {
				out.WriteByte(',')
			}
			name, err := r.FieldName()
			check(err)
			fmt.Fprintf(out, "%q:", *name.Text)
			jsonValue(t, out, r)
		}
		check(r.Err())
		check(r.StepOut())
		out.WriteByte('}')
	}
}

// encode returns the object that holds text in the given format.
func encode(t testing.TB, f journal.Format, text string) []byte {
	t.Helper()
	switch f {
	case journal.IonBinary:
		return iontest.Binary(t, text)
	case journal.JSON:
		return toJSON(t, text)
	}
	return []byte(text)
}

var formats = []journal.Format{journal.IonBinary, journal.IonText, journal.JSON}

// dump writes a block with its records as text, to be compared.
func dump(b *journal.Block) string {
	var s strings.Builder
	fmt.Fprintf(&s, "block %s %d tx %s at %s hash %x entries %x previous %x list %x\n",
		b.Strand, b.SequenceNo, b.TransactionID, b.Timestamp, b.Hash, b.EntriesHash, b.PreviousHash, b.EntriesHashList)
	fmt.Fprintf(&s, "info %t redaction %t revisions %t hash-only %d\n", b.HasTransactionInfo, b.HasRedactionInfo, b.HasRevisions, b.HashOnly)
	for _, x := range b.Statements {
		fmt.Fprintf(&s, "statement %q %s %x\n", x.Text, x.StartTime, x.Digest)
	}
	for _, x := range b.Documents {
		fmt.Fprintf(&s, "document %s %s %v\n", x.ID, x.Table, x.Statements)
	}
	for _, x := range b.Redactions {
		fmt.Fprintf(&s, "redaction %s %d %s %s %d\n", x.Strand, x.SequenceNo, x.TableID, x.DocumentID, x.Version)
	}
	for rec, err := range b.Records() {
		if err != nil {
			fmt.Fprintf(&s, "error %v\n", err)
			continue
		}
		fmt.Fprintf(&s, "record %s %s v%d tx %s at %s hash %x data hash %x deleted %t redacted %t revision %d\n",
			rec.Table, rec.Key, rec.Version, rec.Tx, rec.At, rec.Hash, rec.DataHash, rec.Deleted, rec.Redacted, rec.Origin.Revision)
		if rec.Fields != nil {
			dumpTape(&s, rec.Fields)
		}
	}
	return s.String()
}

func dumpTape(s *strings.Builder, t *change.Tape) {
	for i := range t.Nodes {
		n := &t.Nodes[i]
		name := "-"
		if n.Name >= 0 {
			name = fmt.Sprintf("%q#%d", t.Names[n.Name].Text, t.Names[n.Name].Field)
		}
		fmt.Fprintf(s, "  %d %s %s flags %d end %d %d %q\n", i, name, n.Kind, n.Flags, n.End, n.Int, t.Bytes(n))
	}
}

// readAll reads every block of an object.
func readAll(t testing.TB, object []byte, o journal.Options) []string {
	t.Helper()
	r, err := journal.NewReader(bytes.NewReader(object), o)
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, r)
}

func drain(t testing.TB, r *journal.Reader) []string {
	t.Helper()
	var all []string
	for {
		b, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, dump(b))
	}
}
