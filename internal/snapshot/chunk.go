package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A chunk reads the pages of a column of one row group. It looks at the header of
// each page before the library does, which takes memory as headers say and panics
// at some: nothing of a file but the contents of gzip has a checksum.
type chunk struct {
	column *Column
	group  int
	from   io.ReaderAt
	pages  *parquet.FilePages
	at     int64 // of the next page's header in the object
	end    int64
	rows   int64 // left
	header *bufio.Reader
	parsed thrift.CompactProtocol
}

// inflation is the most that deflate makes of a byte, 1032, and room for what is
// almost empty.
func inflation(compressed int32) int64 { return int64(compressed)*1032 + 4096 }

func (p *Part) chunk(column *Column, group int, from io.ReaderAt) (c *chunk, err error) {
	defer contain(&err)
	file, ok := p.file.RowGroups()[group].ColumnChunks()[column.leaf].(*parquet.FileColumnChunk)
	if !ok {
		return nil, errors.New("it is no column of a file")
	}
	c = &chunk{column: column, group: group, from: from, pages: file.PagesFrom(from), rows: p.groups[group].Rows, header: bufio.NewReaderSize(nil, 512)}
	c.at, c.end = chunkRange(&p.file.Metadata().RowGroups[group].Columns[column.leaf].MetaData)
	return c, nil
}

// where names the place for messages.
func (c *chunk) where() string { return fmt.Sprintf("row group %d, column %s", c.group, c.column.Name) }

// read returns the next page, which has rows that are the row group's.
func (c *chunk) read() (page parquet.Page, err error) {
	defer contain(&err)
	values, err := c.next()
	if err != nil {
		return nil, err
	}
	if page, err = c.pages.ReadPage(); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if page.NumRows() != values || page.NumValues() != values {
		return nil, fmt.Errorf("a page has %d values for %d rows, where its header says %d", page.NumValues(), page.NumRows(), values)
	}
	c.rows -= values
	return page, nil
}

// next looks at the headers up to that of the next page of data, and returns how
// many values it has.
func (c *chunk) next() (int64, error) {
	for {
		if c.at >= c.end {
			return 0, fmt.Errorf("it ends %d rows before the row group does", c.rows)
		}
		section := io.NewSectionReader(c.from, c.at, c.end-c.at)
		c.header.Reset(section)
		h := &format.PageHeader{}
		if err := thrift.NewDecoder(c.parsed.NewReader(c.header)).Decode(h); err != nil {
			return 0, fmt.Errorf("the header of a page at byte %d: %w", c.at, err)
		}
		read, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return 0, err
		}
		body := c.at + read - int64(c.header.Buffered())
		c.at = body + int64(h.CompressedPageSize)
		if h.CompressedPageSize < 0 || c.at > c.end || h.UncompressedPageSize < 0 || int64(h.UncompressedPageSize) > inflation(h.CompressedPageSize) {
			return 0, fmt.Errorf("a page has %d bytes, %d decompressed, where %d bytes are left", h.CompressedPageSize, h.UncompressedPageSize, c.end-body)
		}
		var values int64
		switch {
		case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
			if n := h.DictionaryPageHeader.V.NumValues; n < 0 || int64(n) > int64(h.UncompressedPageSize)*8 {
				return 0, fmt.Errorf("a dictionary has %d values in %d bytes", n, h.UncompressedPageSize)
			}
			continue
		case h.Type == format.DataPage && h.DataPageHeader.Valid:
			values = int64(h.DataPageHeader.V.NumValues)
		case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
			values = int64(h.DataPageHeaderV2.V.NumValues)
			if err := c.levels(body, &h.DataPageHeaderV2.V, h.CompressedPageSize); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("a page is of type %v, or its header of another", h.Type)
		}
		if values < 0 || values > c.rows {
			return 0, fmt.Errorf("a page has %d values, where %d rows are left", values, c.rows)
		}
		return values, nil
	}
}

// levels checks that the levels of a page of version 2, which are not compressed,
// are not more than its values: runs of a length, or of eights of packed bits.
// (parquet.apache.org/docs/file-format/data-pages/encodings, RLE)
func (c *chunk) levels(body int64, h *format.DataPageHeaderV2, size int32) error {
	repetition, definition := h.RepetitionLevelsByteLength, h.DefinitionLevelsByteLength
	if repetition < 0 || definition < 0 || repetition > size || definition > size-repetition || h.NumNulls < 0 || h.NumNulls > h.NumValues {
		return fmt.Errorf("a page has levels of %d and %d bytes in %d, and %d NULL of %d values", repetition, definition, size, h.NumNulls, h.NumValues)
	}
	runs := make([]byte, definition)
	if _, err := c.from.ReadAt(runs, body+int64(repetition)); err != nil {
		return err
	}
	for count := uint64(0); len(runs) > 0; {
		run, n := binary.Uvarint(runs)
		skip := uint64(1) // the repeated level
		if length := run >> 1; run&1 == 0 {
			count += length
		} else {
			skip = length
			count += length * 8
		}
		if n <= 0 || run>>1 > uint64(h.NumValues) || count > uint64(h.NumValues)+7 || skip > uint64(len(runs)-n) {
			return fmt.Errorf("a page has definition levels of more than %d values", h.NumValues)
		}
		runs = runs[uint64(n)+skip:]
	}
	return nil
}

// close ends the reading.
func (c *chunk) close() {
	var err error
	defer contain(&err) // what an earlier panic left may panic again
	_ = c.pages.Close() // it reads no more: nothing is lost
}
