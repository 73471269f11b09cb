package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/gzip"

	"godwit/internal/change"
	"godwit/internal/ion"
	"godwit/internal/journal"
)

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plain removes from dumps what JSON cannot tell: timestamps are text there.
func plain(dumps []string) []string {
	r := strings.NewReplacer(" timestamp flags 0", " text flags 0")
	out := make([]string, len(dumps))
	for i := range dumps {
		out[i] = r.Replace(dumps[i])
	}
	return out
}

func TestBlocksAreTheSameInEveryFormatPlainAndGzip(t *testing.T) {
	fields := &change.Fields{}
	fields.ID("VIN")
	fields.ID("Owners")
	text := newSynthetic(2).blocks(60)
	want := plain(readAll(t, encode(t, journal.IonBinary, text), journal.Options{Fields: fields}))
	if len(want) != 60 || !strings.Contains(strings.Join(want, ""), `"Owners"#2`) || !strings.Contains(strings.Join(want, ""), "hash-only 2") {
		t.Fatalf("the binary blocks are not as made: %d blocks, first\n%s", len(want), want[0])
	}
	for _, f := range formats {
		object := encode(t, f, text)
		for name, object := range map[string][]byte{"plain": object, "gzip": zip(t, object)} {
			got := plain(readAll(t, object, journal.Options{Fields: fields, Announced: f}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s:\n%s", f, name, diff)
			}
		}
	}
}

// tally counts the bytes that an Opener gave out.
type tally struct {
	object []byte
	opened int
	read   int64
}

func (c *tally) open(offset int64) (io.ReadCloser, error) {
	c.opened++
	return &counted{bytes.NewReader(c.object[offset:]), c}, nil
}

type counted struct {
	io.Reader
	c *tally
}

func (r *counted) Read(p []byte) (int, error) {
	// Small reads, as from a network: so that a reader takes little more than
	// it needs.
	n, err := r.Reader.Read(p[:min(len(p), 512)])
	r.c.read += int64(n)
	return n, err
}

func (r *counted) Close() error { r.c.opened--; return nil }

func TestResumesAtEveryBlock(t *testing.T) {
	for _, f := range formats {
		object := encode(t, f, newSynthetic(3).blocks(40))
		if f == journal.IonBinary {
			object = streamed(t, newSynthetic(3), 5, 8)
		}
		for _, packed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s gzip %t", f, packed), func(t *testing.T) {
				stored := object
				if packed {
					stored = zip(t, object)
				}
				resumesAtEveryBlock(t, f, object, stored)
			})
		}
	}
}

func resumesAtEveryBlock(t *testing.T, f journal.Format, object, stored []byte) {
	r, err := journal.NewReader(bytes.NewReader(stored), journal.Options{Object: "o"})
	if err != nil {
		t.Fatal(err)
	}
	var whole []string
	var places []journal.Position
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, dump(b))
		places = append(places, r.Position())
	}
	if len(whole) != 40 {
		t.Fatalf("got %d blocks", len(whole))
	}
	for i, at := range places {
		text, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		var p journal.Position
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		o := journal.Options{Object: "o", Resume: &p, Announced: f}
		src := &tally{object: stored}
		r, err := journal.Open(src.open, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 300 {
			t.Errorf("position of %d bytes: %s", len(text), text)
		}
		before := src.read
		if got := drain(t, r); cmp.Diff(whole[i+1:], got, cmpopts.EquateEmpty()) != "" {
			t.Fatalf("Open at %s: %s", text, cmp.Diff(whole[i+1:], got, cmpopts.EquateEmpty()))
		}
		if !p.Gzip {
			symbols := int64(0)
			for _, rg := range p.Symbols {
				symbols += rg.Length
			}
			if before > symbols+512 || src.read-before > int64(len(object))-p.Offset {
				t.Errorf("Open at %s read %d bytes for symbols and %d for blocks", text, before, src.read-before)
			}
		}
		if err := r.Close(); err != nil || src.opened != 0 {
			t.Errorf("%d sources are open after Close, %v", src.opened, err)
		}
		r, err = journal.NewReader(bytes.NewReader(stored), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := drain(t, r); cmp.Diff(whole[i+1:], got, cmpopts.EquateEmpty()) != "" {
			t.Fatalf("NewReader at %s: %s", text, cmp.Diff(whole[i+1:], got, cmpopts.EquateEmpty()))
		}
	}
}

func TestResumeRefusesAPositionOfAnotherObject(t *testing.T) {
	object := encode(t, journal.JSON, newSynthetic(1).blocks(2))
	for _, c := range []struct {
		name, want string
		at         journal.Position
	}{
		{"behind the end", "is it the same object", journal.Position{Offset: 1 << 30, Format: journal.JSON}},
		{"without a format", "unknown format", journal.Position{Offset: 10}},
		{"another format", "content is JSON where ION_TEXT was announced", journal.Position{Offset: 10, Format: journal.JSON}},
		{"ranges out of order", "out of order", journal.Position{Offset: 100, Format: journal.IonBinary, Symbols: []ion.Range{{Offset: 50, Length: 10}, {Offset: 40, Length: 10}}}},
		{"range behind the position", "lie behind it", journal.Position{Offset: 100, Format: journal.IonBinary, Symbols: []ion.Range{{Offset: 90, Length: 20}}}},
		{"range that overflows", "out of order", journal.Position{Offset: 100, Format: journal.IonBinary, Symbols: []ion.Range{{Offset: 1, Length: 1<<63 - 1}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := journal.Options{Resume: &c.at}
			if c.name == "another format" {
				o.Announced = journal.IonText
			}
			if _, err := journal.NewReader(bytes.NewReader(object), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestAnotherFormatThanAnnouncedIsRefused(t *testing.T) {
	text := newSynthetic(1).blocks(1)
	for _, found := range formats {
		for _, announced := range formats {
			_, err := journal.NewReader(bytes.NewReader(encode(t, found, text)), journal.Options{Object: "a/b.ion", Announced: announced})
			var format *journal.FormatError
			switch {
			case found == announced && err != nil:
				t.Errorf("%s: %v", found, err)
			case found != announced && (!errors.As(err, &format) || format.Found != found || format.Announced != announced || !strings.Contains(err.Error(), "a/b.ion")):
				t.Errorf("%s announced as %s: got %v", found, announced, err)
			}
		}
	}
}

func TestContentThatIsNoJournalIsRefused(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"zip", "PK\x03\x04....", "zip archive"},
		{"zstd", "\x28\xB5\x2F\xFD....", "zstd"},
		{"byte order mark", "\xEF\xBB\xBF{}", "byte order mark"},
		{"array", `[{"a":1}]`, "neither ion nor JSON"},
		{"ion 1.1", "\xE0\x01\x01\xEA", "not the version marker"},
		{"broken gzip", "\x1F\x8B\x00", "open gzip"},
		{"a CSV file", "id,name\n1,2\n", "begins no block"},
		{"ion text symbol table", `$ion_symbol_table::{symbols:["a"]} {}`, "begins no block"},
		{"an ion struct", `{a:1}`, "no journal block: it has no blockAddress"},
		{"a JSON object", `{"a":1}`, "no journal block: it has no blockAddress"},
		{"a binary int", "\xE0\x01\x00\xEA\x21\x01", "block is a int, not a struct"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := journal.NewReader(strings.NewReader(c.content), journal.Options{Object: "x"})
			if err == nil {
				_, err = r.Next()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "object x") {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestEmptyObjectHasNoBlocks(t *testing.T) {
	for _, content := range []string{"", " \n\n", "\xE0\x01\x00\xEA", "$ion_1_0 // nothing"} {
		if got := readAll(t, []byte(content), journal.Options{}); len(got) != 0 {
			t.Errorf("%q: got %d blocks", content, len(got))
		}
	}
}

// TestTruncatedObjectIsAnError cuts an object at every byte: the blocks before
// come, and then an error that names the block's offset, unless the cut is
// between blocks.
func TestTruncatedObjectIsAnError(t *testing.T) {
	for _, f := range formats {
		object := encode(t, f, newSynthetic(4).blocks(2))
		ends := map[int64]bool{0: true}
		r, err := journal.NewReader(bytes.NewReader(object), journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var starts []int64
		for b, err := r.Next(); err == nil; b, err = r.Next() {
			starts = append(starts, b.Offset)
			ends[r.Position().Offset] = true
		}
		for cut := 0; cut < len(object); cut += 1 + cut%3 {
			if f == journal.IonBinary && int64(cut) < starts[0] {
				continue // the symbol table: a test of ion's
			}
			r, err := journal.NewReader(bytes.NewReader(object[:cut]), journal.Options{})
			if err != nil {
				t.Fatalf("%s cut at %d: %v", f, cut, err)
			}
			blocks := 0
			for err == nil {
				if _, err = r.Next(); err == nil {
					blocks++
				}
			}
			// The end of a line is no part of its block.
			clean := ends[int64(cut)] || f == journal.JSON && ends[int64(cut)+1] || f == journal.IonText && cut > 1 && ends[int64(cut)-1] || f == journal.IonBinary && int64(cut) == starts[0]
			switch {
			case clean && err != io.EOF:
				t.Fatalf("%s cut at %d, between blocks: %v", f, cut, err)
			case !clean && !errors.Is(err, journal.ErrTruncated):
				t.Fatalf("%s cut at %d: got %v, want ErrTruncated", f, cut, err)
			case !clean && !strings.Contains(err.Error(), fmt.Sprintf("offset %d", starts[blocks])):
				t.Fatalf("%s cut at %d: %v does not name offset %d", f, cut, err, starts[blocks])
			}
		}
		packed := zip(t, object)
		r, err = journal.NewReader(bytes.NewReader(packed[:len(packed)-12]), journal.Options{})
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, journal.ErrTruncated) {
			t.Errorf("%s: cut gzip: got %v", f, err)
		}
		// A connection that breaks off looks much the same, and is not.
		r, err = journal.NewReader(io.MultiReader(bytes.NewReader(packed[:len(packed)-12]), failing{io.ErrUnexpectedEOF}), journal.Options{})
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, journal.ErrTruncated) {
			t.Errorf("%s: broken connection below gzip: got %v", f, err)
		}
	}
}

func TestBlockAboveTheLimitIsRefused(t *testing.T) {
	text := newSynthetic(4).blocks(3)
	for _, f := range formats {
		object := encode(t, f, text)
		r, err := journal.NewReader(bytes.NewReader(object), journal.Options{MaxBlockBytes: 1000})
		for err == nil {
			_, err = r.Next()
		}
		var long *journal.TooLongError
		if !errors.As(err, &long) || long.Format != f || long.Limit != 1000 {
			t.Errorf("%s: got %v", f, err)
		}
	}
}

func TestBlankLinesAndSpacesBetweenBlocksAreSkipped(t *testing.T) {
	text := strings.Split(strings.TrimSpace(newSynthetic(5).blocks(3)), "\n")
	want := readAll(t, []byte(strings.Join(text, "\n")), journal.Options{})
	spaced := "\n /* before */ $ion_1_0 // a comment {\n" + text[0] + " \n$ion_1_0 " + text[1] + text[2] + "\n\n// behind"
	if diff := cmp.Diff(want, readAll(t, []byte(spaced), journal.Options{})); diff != "" {
		t.Errorf("ion text:\n%s", diff)
	}
	var lines []string
	for _, block := range text {
		lines = append(lines, strings.TrimSpace(string(toJSON(t, block))))
	}
	want = readAll(t, []byte(strings.Join(lines, "\n")), journal.Options{})
	spaced = "\r\n \n  " + lines[0] + " \r\n\n\n\t" + lines[1] + "\r\n" + lines[2]
	if diff := cmp.Diff(want, readAll(t, []byte(spaced), journal.Options{})); diff != "" {
		t.Errorf("JSON:\n%s", diff)
	}
}

func TestReadErrorsKeepTheirCause(t *testing.T) {
	cause := errors.New("connection reset")
	for _, f := range formats {
		object := encode(t, f, newSynthetic(4).blocks(3))
		src := io.MultiReader(bytes.NewReader(object[:len(object)/2]), failing{cause})
		r, err := journal.NewReader(src, journal.Options{})
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, cause) {
			t.Errorf("%s: got %v", f, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
