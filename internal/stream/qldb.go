package stream

import (
	"errors"
	"fmt"

	"godwit/internal/change"
	"godwit/internal/ion"
	"godwit/internal/journal"
)

// The types of QLDB's stream records.
const (
	recordControl  = "CONTROL"
	recordSummary  = "BLOCK_SUMMARY"
	recordRevision = "REVISION_DETAILS"
)

// A journalDecoder reads the records of QLDB's journal streams. Each is a struct
// with a symbol table of its own:
//
//	{qldbStreamArn: string, recordType: string, payload: {...}}
type journalDecoder struct {
	reader   ion.MessageReader
	payloads *journal.StreamReader
	cur      ion.Cursor

	control  Control
	summary  Summary
	revision Revision
}

func (d *journalDecoder) decode(message []byte) (Event, error) {
	value, symbols, err := d.reader.Read(message)
	if err != nil {
		return nil, d.wrong("", err)
	}
	kind, payload, err := d.envelope(value, symbols)
	if err != nil {
		return nil, d.wrong("", err)
	}
	switch string(kind) {
	case recordControl:
		d.control = Control{Source: change.SourceQLDB}
		if d.control.Type, err = d.controlType(payload, symbols); err != nil {
			return nil, d.wrong("payload", err)
		}
		return &d.control, nil
	case recordSummary:
		block, err := d.payloads.Summary(payload, symbols)
		if err != nil {
			return nil, d.wrong("payload", err)
		}
		d.summary = Summary{Block: block}
		return &d.summary, nil
	case recordRevision:
		block, err := d.payloads.Details(payload, symbols)
		if err != nil {
			return nil, d.wrong("payload", err)
		}
		d.revision = Revision{Block: block}
		return &d.revision, nil
	}
	return nil, d.wrong("recordType", fmt.Errorf("%.40q is none of %s, %s and %s, which QLDB's streams have", kind, recordControl, recordSummary, recordRevision))
}

func (d *journalDecoder) wrong(where string, err error) error {
	return &Error{Source: change.SourceQLDB, Where: where, Err: err}
}

// envelope returns the record's type and its payload, a struct. Fields that it does
// not know are not looked at.
func (d *journalDecoder) envelope(value []byte, symbols *ion.SymbolTable) (kind, payload []byte, err error) {
	c := &d.cur
	if err := enter(c, value); err != nil {
		return nil, nil, err
	}
	named := false
	for c.Next() {
		name, err := symbols.Text(c.Field())
		if err != nil {
			continue // a name that nobody can know is none that is asked for
		}
		twice := false
		switch name {
		case "qldbStreamArn":
			twice, named = named, true
			_, err = c.Text()
		case "recordType":
			twice = kind != nil
			kind, err = c.Text()
		case "payload":
			twice = payload != nil
			if payload = c.Raw(); c.Type() != ion.StructType || c.IsNull() {
				err = fmt.Errorf("it is no struct")
			}
		}
		if twice {
			err = errors.New("it appears twice")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case c.Err() != nil:
		return nil, nil, c.Err()
	case !named, kind == nil, payload == nil:
		return nil, nil, errors.New("value is no record of a QLDB stream: it lacks qldbStreamArn, recordType or payload")
	}
	return kind, payload, nil
}

// controlType reads the payload of a CONTROL record.
func (d *journalDecoder) controlType(payload []byte, symbols *ion.SymbolTable) (string, error) {
	c := &d.cur
	if err := enter(c, payload); err != nil {
		return "", err
	}
	for c.Next() {
		if name, err := symbols.Text(c.Field()); err != nil || name != "controlRecordType" {
			continue
		}
		text, err := c.Text()
		if err != nil {
			return "", fmt.Errorf("controlRecordType: %w", err)
		}
		switch string(text) {
		case Created:
			return Created, nil
		case Completed:
			return Completed, nil
		}
		return "", fmt.Errorf("controlRecordType %.40q is neither %s nor %s", text, Created, Completed)
	}
	if c.Err() != nil {
		return "", c.Err()
	}
	return "", errors.New("it has no controlRecordType")
}

// enter puts c before the first field of value, a struct.
func enter(c *ion.Cursor, value []byte) error {
	c.Base = 0
	c.Reset(value, 0, len(value))
	switch {
	case !c.Next():
		return errors.Join(c.Err(), errors.New("there is no value"))
	case c.Type() != ion.StructType || c.IsNull():
		return fmt.Errorf("value is a %s, not a struct", c.Type())
	case !c.StepIn():
		return c.Err()
	}
	return nil
}
