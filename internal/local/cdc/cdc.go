// Package cdc renders changes of rows as the producers of change streams do: AWS
// DMS's JSON for a Kinesis target, and Aurora DSQL's. The local producers and the
// tests of their readers write with it.
//
// It leaves finding changes, their order and their partition keys to its
// callers. Formats: see package stream. What no document says (DMS's spelling of
// dates before our era, say) is PostgreSQL's own text.
package cdc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The operations.
const (
	Load   = "load"
	Insert = "insert"
	Update = "update"
	Delete = "delete"
)

// A Column is one column's value.
type Column struct {
	Name string
	Type string // as format_type spells it
	// Text is as PostgreSQL's output function writes it, with the settings
	// DateStyle ISO, TimeZone UTC, bytea_output hex.
	Text string
	Null bool
	// Unchanged is a value that is stored apart (TOAST) and that an update did not
	// touch: logical decoding does not have it.
	Unchanged bool
}

// A Row is one change of one row.
type Row struct {
	Op            string
	Schema, Table string
	Columns       []Column // the row; of a deletion, what is known of it
	Before        []Column // DMS: what is known of the row before an update
	Position      int64    // DMS: the commit's log sequence number
	Record        int      // DMS: number in the transaction, from 1 on
	Transaction   string   // DMS: a decimal number; DSQL: any name
	Commit        time.Time
	Built         time.Time // when the producer wrote the message
}

// DMS is the settings of a DMS task and its Kinesis endpoint that the form of a
// record depends on, by AWS's names.
type DMS struct {
	IncludeTransactionDetails bool
	IncludePartitionValue     bool
	IncludeNullAndEmpty       bool
	NoHexPrefix               bool
	UseLargeIntegerValue      bool
	MapBooleanAsBoolean       bool
	EnableBeforeImage         bool
	Formatted                 bool   // MessageFormat json; else json-unformatted
	PartitionKeyType          string // "" is schema-table
	PartitionKeyValue         string
}

// Complete is the settings that godwit asks for.
func Complete() DMS {
	return DMS{IncludeTransactionDetails: true, IncludePartitionValue: true, IncludeNullAndEmpty: true, UseLargeIntegerValue: true, EnableBeforeImage: true}
}

const microseconds = "2006-01-02T15:04:05.000000Z"

// AppendDMS adds the record of a change.
func AppendDMS(dst []byte, d DMS, r Row) []byte {
	from := len(dst)
	dst = append(dst, `{"data":`...)
	dst = d.appendColumns(dst, r.Columns, r.Op == Delete)
	if d.EnableBeforeImage && r.Op == Update {
		dst = append(dst, `,"before-image":`...)
		dst = d.appendColumns(dst, r.Before, false)
	}
	dst = append(dst, `,"metadata":{`...)
	dst = d.appendMetadata(dst, "data", r)
	if d.IncludeTransactionDetails && r.Op != Load {
		lsn := fmt.Sprintf("%08X/%08X", uint32(r.Position>>32), uint32(r.Position))
		dst = fmt.Appendf(dst, `,"transaction-id":%s,"commit-timestamp":%q,"transaction-record-id":%d,"stream-position":"%s.%d.%s"`,
			r.Transaction, r.Commit.UTC().Format(microseconds), r.Record, lsn, r.Record+1, lsn)
	}
	return d.finish(append(dst, "}}"...), from)
}

// AppendDMSControl adds a control record: operation is create-table, drop-table,
// add-column, ….
func AppendDMSControl(dst []byte, d DMS, operation string, r Row) []byte {
	from := len(dst)
	r.Op = operation
	d.PartitionKeyType = "task-id"
	dst = append(dst, `{"control":{},"metadata":{`...)
	return d.finish(append(d.appendMetadata(dst, "control", r), "}}"...), from)
}

func (d DMS) appendMetadata(dst []byte, kind string, r Row) []byte {
	by := d.PartitionKeyType
	if by == "" {
		by = "schema-table"
	}
	dst = fmt.Appendf(dst, `"timestamp":%q,"record-type":%q,"operation":%q,"partition-key-type":%q`, r.Built.UTC().Format(microseconds), kind, r.Op, by)
	if d.IncludePartitionValue && by != "schema-table" {
		dst = append(append(dst, `,"partition-key-value":`...), quote(d.PartitionKeyValue)...)
	}
	dst = append(append(dst, `,"schema-name":`...), quote(r.Schema)...)
	return append(append(dst, `,"table-name":`...), quote(r.Table)...)
}

// finish indents the record that begins at from where the format asks for it.
func (d DMS) finish(dst []byte, from int) []byte {
	if !d.Formatted {
		return dst
	}
	var out bytes.Buffer
	if err := json.Indent(&out, dst[from:], "", "\t"); err != nil {
		return dst // the caller's transaction number is none; its reader will say so
	}
	return append(dst[:from], out.Bytes()...)
}

func (d DMS) appendColumns(dst []byte, columns []Column, nulls bool) []byte {
	dst = append(dst, '{')
	first := true
	for _, c := range columns {
		if c.Unchanged || !d.IncludeNullAndEmpty && !nulls && (c.Null || c.Text == "") {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(dst, quote(c.Name)...), ':')
		dst = append(dst, d.value(c)...)
	}
	return append(dst, '}')
}

// value returns a value's JSON.
func (d DMS) value(c Column) string {
	if c.Null {
		return "null"
	}
	base, _, _ := strings.Cut(c.Type, "(")
	switch base {
	case "smallint", "integer", "oid":
		return c.Text
	case "bigint":
		digits := 16
		if d.UseLargeIntegerValue {
			digits = 18
		}
		n, err := strconv.ParseInt(c.Text, 10, 64)
		if err != nil || len(strings.TrimPrefix(c.Text, "-")) <= digits {
			return c.Text
		}
		return strconv.FormatFloat(float64(n), 'E', -1, 64)
	case "real", "double precision", "numeric":
		if json.Valid([]byte(c.Text)) {
			return c.Text
		}
	case "boolean":
		yes := strconv.FormatBool(c.Text == "t" || c.Text == "true")
		if d.MapBooleanAsBoolean {
			return yes
		}
		return quote(yes)
	case "bytea":
		digits := strings.TrimPrefix(c.Text, `\x`)
		if d.NoHexPrefix {
			return quote(digits)
		}
		return quote("0x" + digits)
	case "timestamp", "timestamp without time zone", "timestamp with time zone":
		if strings.HasSuffix(c.Text, "infinity") || strings.HasSuffix(c.Text, " BC") {
			break
		}
		return quote(strings.Replace(strings.TrimSuffix(c.Text, "+00"), " ", "T", 1) + "Z")
	}
	return quote(c.Text)
}

// quote spells text as JSON, as most writers do.
func quote(text string) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return `""` // no string makes Encode fail
	}
	return strings.TrimSuffix(out.String(), "\n")
}
