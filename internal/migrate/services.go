package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Objects is S3. Reads see whole objects; Open with an etag refuses an object
// that changed; Put replaces an object whole. All may be repeated.
type Objects interface {
	// List calls visit for every object whose key begins with prefix, in key
	// order; an error of visit ends it.
	List(ctx context.Context, bucket, prefix string, visit func(key, etag string, size int64, class string) error) error
	// Open reads an object from offset (bytes) on.
	Open(ctx context.Context, bucket, key, etag string, offset int64) (io.ReadCloser, error)
	// Put writes a whole object; encoding is its Content-Encoding, "" for none.
	Put(ctx context.Context, bucket, key string, body []byte, contentType, encoding string) error
}

// handOn returns the time at which a handler that began now must hand its work
// on: a minute before its deadline, or a quarter of a shorter time. That is
// enough to finish a segment and its uploads. ok is false without a deadline.
func handOn(ctx context.Context, now time.Time) (at time.Time, ok bool) {
	d, ok := ctx.Deadline()
	if !ok {
		return time.Time{}, false
	}
	return d.Add(-min(time.Minute, d.Sub(now)/4)), true
}

func readAll(ctx context.Context, o Objects, bucket, key string) ([]byte, error) {
	r, err := o.Open(ctx, bucket, key, "", 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // read only
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read s3://%s/%s: %w", bucket, key, err)
	}
	return b, nil
}

func readJSON(ctx context.Context, o Objects, bucket, key string, out any) error {
	b, err := readAll(ctx, o, bucket, key)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("decode s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

func putJSON(ctx context.Context, o Objects, bucket, key string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return o.Put(ctx, bucket, key, b, "application/json", "")
}

// putLines writes values as JSON Lines.
func putLines[T any](ctx context.Context, o Objects, bucket, key string, values []T) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	return o.Put(ctx, bucket, key, b.Bytes(), "application/jsonl", "")
}
