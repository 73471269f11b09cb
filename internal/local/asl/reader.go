package asl

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The service's bounds on what an ItemReader reads.
const (
	maxItem    = 8 << 20
	maxPointer = 16 << 20
)

// mapItems reads the items of a Distributed Map.
func (x *Execution) mapItems(ctx context.Context, v *visit) ([]*item, error) {
	rd := v.s.each.reader
	if rd == nil {
		return v.items(ctx)
	}
	args, e := v.eval(ctx, rd.arguments)
	if e != nil {
		return nil, e
	}
	var at struct{ Bucket, Key, Prefix string }
	if err := json.Unmarshal(args, &at); err != nil {
		return nil, errorf(ErrItemReaderFailed, "The arguments of the ItemReader of '%s': %v", v.s.name, err)
	}
	limit := int64(100000000)
	if rd.maxItems != nil {
		if limit, e = v.amount(ctx, rd.maxItems, "MaxItems", 1, 100000000); e != nil {
			return nil, e
		}
	}
	pointer := ""
	if rd.pointer != nil {
		raw, e := v.eval(ctx, rd.pointer)
		if e != nil {
			return nil, e
		}
		if err := json.Unmarshal(raw, &pointer); err != nil {
			return nil, errorf(ErrItemReaderFailed, "The ItemsPointer of '%s' is not a string.", v.s.name)
		}
	}
	items, err := x.readItems(ctx, rd, at.Bucket, at.Key, at.Prefix, pointer, int(limit))
	switch {
	case err == nil:
		return items, nil
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, errorf(ErrItemReaderFailed, "ItemReader of the Map state '%s': %s", v.s.name, denied(err))
	}
}

func (x *Execution) readItems(ctx context.Context, rd *itemReader, bucket, key, prefix, pointer string, limit int) ([]*item, error) {
	if x.engine.Objects == nil {
		return nil, errors.New("the engine has no objects")
	}
	role := x.Machine.Role
	var items []*item
	if rd.resource == "s3:listObjectsV2" {
		if err := x.authorize("s3:ListBucket", "arn:"+x.Machine.part(1)+":s3:::"+bucket); err != nil {
			return nil, err
		}
		for o, err := range x.engine.Objects.List(ctx, role, bucket, prefix) {
			if err != nil {
				return nil, err
			}
			if len(items) == limit {
				break
			}
			items = append(items, &item{index: len(items), raw: encodeObject(
				"Etag", o.ETag, "Key", o.Key, "LastModified", o.LastModified.Unix(), "Size", o.Size, "StorageClass", o.StorageClass)})
		}
		return items, nil
	}
	if err := x.authorize("s3:GetObject", "arn:"+x.Machine.part(1)+":s3:::"+bucket+"/"+key); err != nil {
		return nil, err
	}
	body, err := x.engine.Objects.Get(ctx, role, bucket, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end or given up
	var in io.Reader = body
	switch {
	case strings.HasSuffix(key, ".gz"):
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("open s3://%s/%s as gzip: %w", bucket, key, err)
		}
		in = z
	case strings.HasSuffix(key, ".zstd"):
		z, err := zstd.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("open s3://%s/%s as zstd: %w", bucket, key, err)
		}
		defer z.Close()
		in = z
	}
	var all []json.RawMessage
	switch rd.inputType {
	case "JSON":
		all, err = readJSON(in, pointer, limit)
	case "JSONL":
		all, err = readLines(in, limit)
	case "CSV":
		all, err = readCSV(in, rd, limit)
	default:
		err = fmt.Errorf("the InputType %q is not known here", rd.inputType)
	}
	if err != nil {
		return nil, fmt.Errorf("read s3://%s/%s: %w", bucket, key, err)
	}
	for i, raw := range all {
		items = append(items, &item{index: i, raw: raw})
	}
	return items, nil
}

func readLines(in io.Reader, limit int) ([]json.RawMessage, error) {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), maxItem)
	var all []json.RawMessage
	for line := 1; s.Scan() && len(all) < limit; line++ {
		b := bytes.TrimSpace(s.Bytes())
		if len(b) == 0 {
			continue
		}
		raw, err := compact(b)
		if err != nil {
			return nil, fmt.Errorf("line %d is not JSON: %w", line, err)
		}
		all = append(all, raw)
	}
	return all, s.Err()
}

// readJSON reads a list, or the list that pointer (RFC 6901) leads to.
func readJSON(in io.Reader, pointer string, limit int) ([]json.RawMessage, error) {
	d := json.NewDecoder(in)
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		if t != json.Delim('{') {
			return nil, fmt.Errorf("the pointer %s leads through what is not an object", pointer)
		}
		for found := false; !found; {
			if !d.More() {
				return nil, fmt.Errorf("the pointer %s leads nowhere", pointer)
			}
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			if found = key == step; found {
				break
			}
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return nil, err
			}
		}
		if d.InputOffset() > maxPointer {
			return nil, fmt.Errorf("the list at %s begins after the first %d bytes", pointer, maxPointer)
		}
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, errors.New("is not a JSON list")
	}
	var all []json.RawMessage
	for d.More() && len(all) < limit {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("item %d: %w", len(all), err)
		}
		if len(raw) > maxItem {
			return nil, fmt.Errorf("item %d has %d bytes, more than %d", len(all), len(raw), maxItem)
		}
		all = append(all, raw)
	}
	if len(all) < limit {
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readCSV makes an object of strings from each row: a short row is filled with
// "", surplus fields are dropped.
func readCSV(in io.Reader, rd *itemReader, limit int) ([]json.RawMessage, error) {
	c := csv.NewReader(in)
	c.Comma = rd.delimiter
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	headers := rd.headers
	var all []json.RawMessage
	for len(all) < limit {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if headers == nil {
			headers = append([]string{}, row...)
			continue
		}
		var pairs []any
		for i, h := range headers {
			value := ""
			if i < len(row) {
				value = row[i]
			}
			pairs = append(pairs, h, value)
		}
		all = append(all, encodeObject(pairs...))
	}
	return all, nil
}
