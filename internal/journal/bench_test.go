package journal_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	ionlib "github.com/amazon-ion/ion-go/ion"

	"godwit/internal/change"
	"godwit/internal/ion"
	"godwit/internal/journal"
)

// benchBlocks is about 3 MB of journal, the size of a real export's objects.
const benchBlocks = 1600

// BenchmarkWalk steps over every value, with our Cursor and with ion-go.
func BenchmarkWalk(b *testing.B) {
	object := encode(b, journal.IonBinary, newSynthetic(1).blocks(benchBlocks))
	b.Run("cursor", func(b *testing.B) {
		b.SetBytes(int64(len(object)))
		for b.Loop() {
			r := ion.NewReader(bytes.NewReader(object), 0)
			var c ion.Cursor
			for {
				v, err := r.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				c.Reset(v, 0, len(v))
				walkCursor(&c)
				if c.Err() != nil {
					b.Fatal(c.Err())
				}
			}
		}
	})
	b.Run("ion-go", func(b *testing.B) {
		b.SetBytes(int64(len(object)))
		for b.Loop() {
			r := ionlib.NewReaderBytes(object)
			walkIonGo(b, r)
		}
	})
}

func walkCursor(c *ion.Cursor) {
	for c.Next() || c.Err() == nil && c.Depth() > 0 && c.StepOut() {
		if c.Type() >= ion.ListType && !c.IsNull() && c.Live() {
			c.StepIn()
		}
	}
}

func walkIonGo(b *testing.B, r ionlib.Reader) {
	for r.Next() {
		switch r.Type() {
		case ionlib.ListType, ionlib.StructType, ionlib.SexpType:
			if !r.IsNull() {
				if err := r.StepIn(); err != nil {
					b.Fatal(err)
				}
				walkIonGo(b, r)
				if err := r.StepOut(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	if r.Err() != nil {
		b.Fatal(r.Err())
	}
}

// BenchmarkRecords reads an object's blocks and puts every record on its tape.
func BenchmarkRecords(b *testing.B) {
	text := newSynthetic(1).blocks(benchBlocks)
	fields := &change.Fields{}
	for _, name := range []string{"VIN", "State", "City", "Owners", "PersonId", "FirstName"} {
		fields.ID(name)
	}
	for _, f := range formats {
		object := encode(b, f, text)
		for _, mode := range []string{"tape", "blocks-only"} {
			b.Run(f.String()+"/"+mode, func(b *testing.B) {
				b.SetBytes(int64(len(object)))
				b.ReportAllocs()
				records := 0
				for b.Loop() {
					r, err := journal.NewReader(bytes.NewReader(object), journal.Options{Fields: fields})
					if err != nil {
						b.Fatal(err)
					}
					for {
						block, err := r.Next()
						if err == io.EOF {
							break
						}
						if err != nil {
							b.Fatal(err)
						}
						if mode == "tape" {
							for _, err := range block.Records() {
								if err != nil {
									b.Fatal(err)
								}
								records++
							}
						}
					}
				}
				b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// jsonBlock is what BenchmarkJSONPeer decodes a block into, as a reader with
// encoding/json would.
type jsonBlock struct {
	BlockAddress struct {
		StrandID   string `json:"strandId"`
		SequenceNo int64  `json:"sequenceNo"`
	} `json:"blockAddress"`
	TransactionID     string   `json:"transactionId"`
	BlockTimestamp    string   `json:"blockTimestamp"`
	BlockHash         []byte   `json:"blockHash"`
	EntriesHash       []byte   `json:"entriesHash"`
	PreviousBlockHash []byte   `json:"previousBlockHash"`
	EntriesHashList   [][]byte `json:"entriesHashList"`
	TransactionInfo   *struct {
		Statements []struct {
			Statement string `json:"statement"`
		} `json:"statements"`
		Documents map[string]struct {
			TableName string `json:"tableName"`
			TableID   string `json:"tableId"`
		} `json:"documents"`
	} `json:"transactionInfo"`
	Revisions []struct {
		Hash     []byte          `json:"hash"`
		Data     json.RawMessage `json:"data"`
		DataHash []byte          `json:"dataHash"`
		Metadata *struct {
			ID      string `json:"id"`
			Version int64  `json:"version"`
			TxTime  string `json:"txTime"`
			TxID    string `json:"txId"`
		} `json:"metadata"`
	} `json:"revisions"`
}

// BenchmarkJSONPeer is encoding/json on the objects of BenchmarkRecords/JSON.
func BenchmarkJSONPeer(b *testing.B) {
	object := encode(b, journal.JSON, newSynthetic(1).blocks(benchBlocks))
	b.Run("struct+raw", func(b *testing.B) {
		b.SetBytes(int64(len(object)))
		for b.Loop() {
			for line := range bytes.Lines(object) {
				var block jsonBlock
				if err := json.Unmarshal(line, &block); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("valid", func(b *testing.B) {
		b.SetBytes(int64(len(object)))
		for b.Loop() {
			for line := range bytes.Lines(object) {
				if !json.Valid(bytes.TrimSpace(line)) {
					b.Fatal("not JSON")
				}
			}
		}
	})
}
