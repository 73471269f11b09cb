package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"godwit/internal/change"
)

const (
	// Blocks of a table that one call reads, at first and at most: of 8 KiB each.
	firstBlocks = 16
	mostBlocks  = 4096
	// What a call aims at: below 64 KiB of text the next one reads more blocks, above
	// a mebibyte, or beyond this time of the 45 s that a call has, fewer.
	smallPage = 64 << 10
	largePage = 1 << 20
	slowPage  = 10 * time.Second
	// piecesAnswered is how many pieces of a page an answer has at most: see
	// godwit.read_rows.
	piecesAnswered = 20
)

// ReadBack hands each row of a table that a condition holds for to yield: the texts
// of these expressions over the table's columns, nil for NULL. It reads the hidden
// table of a load that is under way, otherwise the one that is shown. Rows that are
// written meanwhile may be missed.
//
// A row may be wider than the 64 KB that a row of the Data API's answers holds, and
// a page than its mebibyte: pages come in pieces.
func (db *DB) ReadBack(ctx context.Context, table change.TableName, values []string, where string, yield func(row [][]byte) error) error {
	list, err := json.Marshal(values)
	if err != nil {
		return err
	}
	blocks := int64(firstBlocks)
	for block, all := int64(0), int64(1); block < all; {
		began := time.Now()
		read, text, err := db.page(ctx, pageOf{table: table, values: string(list), where: where, block: block, blocks: blocks})
		switch {
		case err != nil && blocks > 1 && tooMuch(err):
			blocks /= 2
			continue
		case err != nil:
			return fmt.Errorf("read table %s.%s back: blocks %d to %d: %w", table.Schema, table.Name, block, block+blocks-1, err)
		}
		all = read
		block += blocks
		switch took := time.Since(began); {
		case len(text) > largePage || took > slowPage:
			blocks = max(1, blocks/2)
		case len(text) < smallPage && took < slowPage/4:
			blocks = min(mostBlocks, 2*blocks)
		}
		if err := eachRow(text, yield); err != nil {
			return fmt.Errorf("read table %s.%s back: %w", table.Schema, table.Name, err)
		}
	}
	return nil
}

// tooMuch reports whether fewer blocks at a time may go where these did not: a call
// that took too long, a text or list that is larger than PostgreSQL makes them.
func tooMuch(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.API == "StatementTimeoutException" || strings.HasPrefix(e.State, "54") || e.State == "53200")
}

func eachRow(text string, yield func(row [][]byte) error) error {
	var rows [][]*string
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return fmt.Errorf("decode a page: %w", err)
	}
	var texts [][]byte
	for _, row := range rows {
		texts = texts[:0]
		for _, v := range row {
			var text []byte
			if v != nil {
				text = []byte(*v)
			}
			texts = append(texts, text)
		}
		if err := yield(texts); err != nil {
			return err
		}
	}
	return nil
}

// A pageOf is the rows of some blocks.
type pageOf struct {
	table         change.TableName
	values, where string
	block, blocks int64
}

// page reads a page of rows, piece by piece, and says how many blocks the table has.
func (db *DB) page(ctx context.Context, p pageOf) (all int64, text string, err error) {
	var b strings.Builder
	characters := int64(0)
	for {
		var pieces []struct {
			Blocks int64
			Piece  string
		}
		err := db.Query(ctx, &pieces, `SELECT blocks, piece FROM godwit.read_rows(:schema, :name, :values::jsonb, :where, :block, :blocks, :after)`,
			Param{"schema", p.table.Schema}, Param{"name", p.table.Name}, Param{"values", p.values}, Param{"where", p.where}, Param{"block", p.block}, Param{"blocks", p.blocks}, Param{"after", characters})
		if err != nil {
			return 0, "", err
		}
		for _, piece := range pieces {
			all = piece.Blocks
			b.WriteString(piece.Piece)
			characters += int64(utf8.RuneCountInString(piece.Piece))
		}
		if len(pieces) < piecesAnswered {
			return all, b.String(), nil
		}
	}
}
