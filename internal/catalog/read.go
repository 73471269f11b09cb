package catalog

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed catalog.sql
var sql string

// SQL returns the query that reads the catalog: one statement, without
// parameters, that answers one JSON value in one row. It is shipped to users as
// catalog.sql.
func SQL() string { return sql }

// A Query runs one SQL statement without parameters and returns the texts of its
// only column. All calls of one Read are within one transaction.
type Query func(ctx context.Context, sql string) ([]string, error)

// The Data API answers at most 1 MiB, in rows of at most 64 KiB. A piece is small
// enough though every character takes four bytes, and an answer though every
// other one is a quote that JSON escapes.
const (
	pieceLength = 12_000 // characters
	pieces      = 24     // in an answer
)

// Read reads the catalog through a connection whose answers are limited, and
// returns what Parse reads. The server makes it once, and keeps it in a setting
// of the transaction while the pieces are taken, so that they fit each other.
// It writes nothing and may be repeated.
func Read(ctx context.Context, query Query) ([]byte, error) {
	rows, err := query(ctx, "SELECT length(set_config('godwit.catalog', (SELECT c.catalog::text FROM (\n"+sql+") c), true))::text")
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("read the catalog: the server answers %d rows where 1 is expected", len(rows))
	}
	length, err := strconv.Atoi(rows[0])
	if err != nil {
		return nil, fmt.Errorf("read the catalog: the server answers a length that is none: %w", err)
	}
	var text strings.Builder
	for got := 0; got < length; {
		first := got / pieceLength
		rows, err := query(ctx, fmt.Sprintf("SELECT substr(current_setting('godwit.catalog'), n * %d + 1, %[1]d) FROM generate_series(%d, %d) n ORDER BY n",
			pieceLength, first, min(first+pieces, (length+pieceLength-1)/pieceLength)-1))
		if err != nil {
			return nil, fmt.Errorf("read the catalog from character %d: %w", got, err)
		}
		before := got
		for _, piece := range rows {
			text.WriteString(piece)
			got += utf8.RuneCountInString(piece)
		}
		if got > length || got < length && got != before+pieces*pieceLength {
			return nil, fmt.Errorf("read the catalog: %d of %d characters arrive: run all of it in one transaction", got, length)
		}
	}
	return []byte(text.String()), nil
}
