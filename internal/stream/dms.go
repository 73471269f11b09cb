package stream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/change"
)

// beforeImage is the member that holds a row as it was: BeforeImageSettings of the
// DMS task name it. Format of the records: "Using Amazon Kinesis Data Streams as a
// target for AWS DMS" and, for the transaction's details, the chapter on Kafka
// targets; both in the DMS user guide.
const beforeImage = "before-image"

// decodeDMS reads a record of AWS DMS.
func decodeDMS(top []Field) (Event, error) {
	refuse := func(where string, err error) (Event, error) {
		return nil, &Error{Source: change.SourceDMS, Where: where, Err: err}
	}
	raw := field(top, "metadata")
	if !isObject(raw) {
		return refuse("metadata", errors.New("is no object"))
	}
	var room [24]Field
	meta, err := appendFields(room[:0], raw)
	if err != nil {
		return refuse("metadata", err)
	}
	var m dmsMetadata
	if err := m.read(meta); err != nil {
		return refuse("metadata", err)
	}
	for i := range top {
		switch name := string(top[i].Name); name {
		case "metadata", "data", "control", beforeImage:
		default:
			return refuse("", fmt.Errorf("has the member %.100q: if that is the before image, set BeforeImageSettings.FieldName of the DMS task to %s", name, beforeImage))
		}
	}
	switch m.kind {
	case "control":
		return &Control{Source: change.SourceDMS, Type: m.operation, Schema: m.schema, Table: m.table}, nil
	case "data":
	default:
		return refuse("metadata.record-type", fmt.Errorf("is %.40q, neither data nor control", m.kind))
	}

	c := &Change{Source: change.SourceDMS, Schema: m.schema, Table: m.table}
	if c.Schema == "" || c.Table == "" {
		return refuse("metadata", errors.New("has no schema-name or no table-name"))
	}
	switch m.operation {
	case "load":
		c.Op = Load
	case "insert":
		c.Op = Insert
	case "update":
		c.Op = Update
	case "delete":
		c.Op = Delete
	default:
		return refuse("metadata.operation", fmt.Errorf("is %.40q, not one of load, insert, update and delete", m.operation))
	}
	if c.Op != Load {
		if c.Position, err = m.position(meta); err != nil {
			return refuse("metadata", err)
		}
		c.At = m.commit
	}
	if m.partitionBy != "" && m.partitionBy != "schema-table" && field(meta, "partition-key-value") == nil {
		return refuse("metadata", fmt.Errorf("has no partition-key-value (partition-key-type is %.40s): "+
			"set IncludePartitionValue in the KinesisSettings of the DMS target endpoint", m.partitionBy))
	}
	data := field(top, "data")
	if !isObject(data) {
		return refuse("data", errors.New("is missing, or no object"))
	}
	if c.After, err = appendFields(make([]Field, 0, 16), data); err != nil {
		return refuse("data", err)
	}
	switch before := field(top, beforeImage); {
	case before == nil && c.Op == Update:
		return refuse("", errors.New("is an update without before-image, so whether it changes the key cannot be told: set BeforeImageSettings of the DMS task "+
			`to {"EnableBeforeImage": true, "FieldName": "before-image", "ColumnFilter": "all"}`))
	case before == nil || isNull(before):
	case !isObject(before):
		return refuse(beforeImage, errors.New("is no object"))
	default:
		if c.Before, err = appendFields(nil, before); err != nil {
			return refuse(beforeImage, err)
		}
	}
	return c, nil
}

// dmsMetadata is what metadata says of any record.
type dmsMetadata struct {
	kind, operation, schema, table, partitionBy, commit string
}

func (m *dmsMetadata) read(meta []Field) error {
	for _, want := range []struct {
		name string
		to   *string
	}{
		{"record-type", &m.kind},
		{"operation", &m.operation},
		{"schema-name", &m.schema},
		{"table-name", &m.table},
		{"partition-key-type", &m.partitionBy},
		{"commit-timestamp", &m.commit},
	} {
		var err error
		if *want.to, err = member(meta, want.name); err != nil {
			return err
		}
	}
	return nil
}

// position returns the place of a change in its source's log.
func (m *dmsMetadata) position(meta []Field) (change.Position, error) {
	const mend = "set IncludeTransactionDetails in the KinesisSettings of the DMS target endpoint"
	for _, name := range []string{"stream-position", "transaction-id", "transaction-record-id", "commit-timestamp"} {
		if v := field(meta, name); v == nil || isNull(v) {
			return change.Position{}, fmt.Errorf("has no %s: %s", name, mend)
		}
	}
	text, err := member(meta, "stream-position")
	if err != nil {
		return change.Position{}, err
	}
	lsn, err := commitLSN(text)
	if err != nil {
		return change.Position{}, fmt.Errorf("stream-position %w", err)
	}
	number, err := strconv.ParseInt(string(field(meta, "transaction-record-id")), 10, 64)
	if err != nil || number < 0 {
		return change.Position{}, errors.New("transaction-record-id is no whole number")
	}
	return change.Position{Major: lsn, Minor: number}, nil
}

// commitLSN returns the log position of a transaction's commit from a
// stream-position of a PostgreSQL source, as
// "00000002/7C007328.2.00000002/7C007328": two positions, and between them a
// count. No document says which of the two is the commit's; no position that DMS
// knows when it delivers a transaction is behind its commit, so the greater one
// is taken, and a load's boundary never takes a later transaction for an earlier
// one. Either of them orders the changes of one key rightly: its lock is held
// until the commit.
func commitLSN(text string) (int64, error) {
	first, rest, ok := strings.Cut(text, ".")
	_, last, ok2 := strings.Cut(rest, ".")
	if ok && ok2 {
		a, errA := change.ParseLSN(first)
		b, errB := change.ParseLSN(last)
		if errA == nil && errB == nil {
			return max(a, b), nil
		}
	}
	return 0, fmt.Errorf("%.80q is not that of a PostgreSQL source, as 00000002/7C007328.2.00000002/7C007328", text)
}
