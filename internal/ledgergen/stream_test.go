package ledgergen_test

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"

	"godwit/internal/ledgergen"
)

const streamARN = "arn:aws:qldb:eu-west-1:123456789012:stream/vehicle-registration/IiPT4brpZCqCq3f4MTHbYy"

// shape tells the types and names in binary Ion, in order: of lists the first
// member, of documents no more than that they are structs.
func shape(t *testing.T, b []byte) string {
	t.Helper()
	var s strings.Builder
	var walk func(r ionlib.Reader)
	walk = func(r ionlib.Reader) {
		for i := 0; r.Next(); i++ {
			name := ""
			if r.IsInStruct() {
				field, err := r.FieldName()
				if err != nil {
					t.Fatal(err)
				}
				if name = *field.Text; len(name) == 22 {
					name = "id of a document"
				}
			} else if i > 0 {
				continue
			}
			s.WriteString(name + ":" + r.Type().String())
			if (r.Type() == ionlib.StructType || r.Type() == ionlib.ListType) && name != "data" {
				s.WriteByte('(')
				err := r.StepIn()
				walk(r)
				if err = errors.Join(err, r.StepOut()); err != nil {
					t.Fatal(err)
				}
				s.WriteByte(')')
			}
			s.WriteByte(' ')
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	walk(ionlib.NewReaderBytes(b))
	return s.String()
}

// oneInsert is the stream of the first block with one revision, an insertion.
func oneInsert(t *testing.T) []ledgergen.StreamMessage {
	t.Helper()
	j := journal(t, ledgergen.Options{Seed: 1, Documents: 60})
	for n := range j.Len() {
		b, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Revisions) != 1 || b.Revisions[0].Version != 0 {
			continue
		}
		messages, err := b.Stream(streamARN)
		if err != nil || len(messages) != 2 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
		if key := hex.EncodeToString(b.Hash.Bytes()); messages[0].PartitionKey != key {
			t.Errorf("the summary has key %s, want %s", messages[0].PartitionKey, key)
		}
		if key := hex.EncodeToString(b.Revisions[0].Hash.Bytes()); messages[1].PartitionKey != key {
			t.Errorf("the details have key %s, want %s", messages[1].PartitionKey, key)
		}
		return messages
	}
	t.Fatal("no block holds one insertion")
	return nil
}

func TestStreamsHaveTheShapeOfTheRealOne(t *testing.T) {
	messages := oneInsert(t)
	for i, name := range []string{"attestation.0.10n", "attestation.1.10n"} {
		dir := os.Getenv("GODWIT_CORPUS")
		if dir == "" {
			dir = filepath.Join("..", "..", "..", "shared", "data")
		}
		real, err := os.ReadFile(filepath.Join(dir, "qldb", "stream-record", name))
		if err != nil {
			t.Skipf("no real data: set GODWIT_CORPUS: %v", err)
		}
		if got, want := shape(t, messages[i].Data), shape(t, real); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestAStreamHoldsEachBlockOnceAndEachRevisionOfADocument(t *testing.T) {
	j := journal(t, ledgergen.Options{Seed: 5, Documents: 300})
	messages := 0
	for n := range j.Len() {
		b, err := j.Block(n)
		if err != nil {
			t.Fatal(err)
		}
		all, err := b.Stream(streamARN)
		if err != nil {
			t.Fatal(err)
		}
		messages += len(all)
	}
	whole, err := j.Oracle(j.Len())
	if err != nil {
		t.Fatal(err)
	}
	if want := int(j.Len() + whole.Revisions()); messages != want {
		t.Errorf("%d messages, want %d", messages, want)
	}
}

func TestControlMessagesNameTheirStream(t *testing.T) {
	m, err := ledgergen.StreamControl(streamARN, "CREATED")
	if err != nil {
		t.Fatal(err)
	}
	if m.PartitionKey != "IiPT4brpZCqCq3f4MTHbYy" || shape(t, m.Data) != ":struct(qldbStreamArn:string recordType:string payload:struct(controlRecordType:string ) ) " {
		t.Errorf("key %s, %s", m.PartitionKey, shape(t, m.Data))
	}
}
