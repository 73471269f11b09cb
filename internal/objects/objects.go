// Package objects owns S3 as input and output: list, open at an offset, put. It
// leaves what keys mean to its callers.
//
// Promises: a listing is complete, however many pages it has; an object is read
// only in the version that was planned (its ETag), and a change in between is an
// error that says so; errors name bucket and key.
package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// A Store is S3 as one role sees it. It is safe for concurrent use.
type Store struct{ API *s3.Client }

// List calls visit for every object whose key begins with prefix, in key order;
// an error of visit ends it.
func (s *Store) List(ctx context.Context, bucket, prefix string, visit func(key, etag string, size int64, class string) error) error {
	pages := s3.NewListObjectsV2Paginator(s.API, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list s3://%s/%s: %w", bucket, prefix, err)
		}
		for _, o := range page.Contents {
			if err := visit(aws.ToString(o.Key), aws.ToString(o.ETag), aws.ToInt64(o.Size), string(o.StorageClass)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Open reads an object from offset (bytes) to its end. With an etag, an object
// that changed since is an error.
func (s *Store) Open(ctx context.Context, bucket, key, etag string, offset int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}
	if etag != "" {
		in.IfMatch = aws.String(etag)
	}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.API.GetObject(ctx, in)
	if err != nil {
		var a smithy.APIError
		if errors.As(err, &a) && a.ErrorCode() == "PreconditionFailed" {
			return nil, fmt.Errorf("open s3://%s/%s: the object changed since the load was planned; archives must not change during a load: start it again: %w", bucket, key, err)
		}
		return nil, fmt.Errorf("open s3://%s/%s: %w", bucket, key, err)
	}
	return out.Body, nil
}

// Put writes an object whole; a reader sees the old one or the new one. encoding
// is the Content-Encoding, "" for none.
func (s *Store) Put(ctx context.Context, bucket, key string, body []byte, contentType, encoding string) error {
	in := &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body),
		ContentType: aws.String(contentType),
	}
	if encoding != "" {
		in.ContentEncoding = aws.String(encoding)
	}
	if _, err := s.API.PutObject(ctx, in); err != nil {
		return fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}
