package stream

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"godwit/internal/change"
)

// decodeDSQL reads a record of Aurora DSQL's change stream. Format:
// "Understanding CDC records" in the Aurora DSQL user guide.
func decodeDSQL(top []Field) (Event, error) {
	refuse := func(where string, err error) (Event, error) {
		return nil, &Error{Source: change.SourceDSQL, Where: where, Err: err}
	}
	kind, err := member(top, "type")
	if err != nil {
		return refuse("", err)
	}
	switch kind {
	case "full":
	case "chunked", "fragment":
		// A fragmented image is longer than 9 MiB; a request of the Data API,
		// which carries a row whole, is 4 MiB at most.
		what := "is the record of a row whose fragments hold more than 9 MiB"
		if kind == "fragment" {
			what = "is a fragment of a row of more than 9 MiB"
		}
		return refuse("", fmt.Errorf("%s; the RDS Data API takes 4 MiB: copy that row by hand, and keep values of that size on S3", what))
	default:
		return refuse("type", fmt.Errorf("is %.40q, not one of full, chunked and fragment", kind))
	}
	raw := field(top, "source")
	if !isObject(raw) {
		return refuse("source", errors.New("is missing, or no object"))
	}
	var room [12]Field
	source, err := appendFields(room[:0], raw)
	if err != nil {
		return refuse("source", err)
	}
	c := &Change{Source: change.SourceDSQL}
	var op string
	for _, want := range []struct {
		name string
		in   []Field
		to   *string
	}{{"schema", source, &c.Schema}, {"table", source, &c.Table}, {"txId", source, &c.Position.Tie}, {"op", top, &op}} {
		if *want.to, err = member(want.in, want.name); err != nil {
			return refuse("", err)
		}
		if *want.to == "" {
			return refuse("", fmt.Errorf("has no %s", want.name))
		}
	}
	if c.Position.Major, err = strconv.ParseInt(string(field(source, "ts_ns")), 10, 64); err != nil || c.Position.Major < 0 {
		return refuse("source.ts_ns", errors.New("is no whole number of nanoseconds since 1970"))
	}
	c.At = time.Unix(0, c.Position.Major).UTC().Format(time.RFC3339Nano)

	// The guide: "treat any unrecognized op value as an upsert by applying the
	// after payload".
	image, where := field(top, "after"), "after"
	switch op {
	case "c":
		c.Op = Insert
	case "d":
		c.Op = Delete
		image, where = field(top, "before"), "before"
		if isNull(image) {
			return refuse(where, fmt.Errorf("is null: %s.%s has no primary key in the source, so which row is gone cannot be told; add one", c.Schema, c.Table))
		}
	default:
		c.Op = Update
	}
	if !isObject(image) {
		return refuse(where, errors.New("is missing, or no object"))
	}
	if c.After, err = appendFields(make([]Field, 0, 16), image); err != nil {
		return refuse(where, err)
	}
	return c, nil
}
