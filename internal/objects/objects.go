// Package objects owns S3 as input and output: list, open at an offset, put. It
// leaves what keys mean to its callers.
//
// Promises: a listing is complete, however many pages it has; an object is read
// only in the version that was planned (its ETag), and a change in between is an
// error that says so; a connection that breaks in the middle of an object is not
// taken for the object's end; errors name bucket and key.
package objects

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// A Store is S3 as one role sees it. It is safe for concurrent use.
type Store struct {
	API *s3.Client
	// KMSKey, if not nil, returns the ARN of the KMS key that a new object is
	// encrypted with; "" leaves that to the bucket.
	KMSKey func(bucket, key string) string
}

// New makes the Store of a function. What an archive holds was written by others,
// mostly without a checksum: the client is not to log that for each object.
func New(cfg aws.Config) *Store {
	return &Store{API: s3.NewFromConfig(cfg, func(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true })}
}

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
// that changed since is an error. Reading ends in io.EOF at the object's end, or
// in a *BrokenError.
func (s *Store) Open(ctx context.Context, bucket, key, etag string, offset int64) (io.ReadCloser, error) {
	span := ""
	if offset > 0 {
		span = fmt.Sprintf("bytes=%d-", offset)
	}
	return s.get(ctx, bucket, key, etag, span, offset)
}

// ReadAt fills p with an object's bytes from offset on. An object that ends before
// is an error, and with an etag one that changed since.
func (s *Store) ReadAt(ctx context.Context, bucket, key, etag string, p []byte, offset int64) error {
	if len(p) == 0 {
		return nil
	}
	r, err := s.get(ctx, bucket, key, etag, fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(p))-1), offset)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // read only
	if n, err := io.ReadFull(r, p); err != nil {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read s3://%s/%s: it ends at byte %d of %d that were asked for", bucket, key, offset+int64(n), offset+int64(len(p)))
		}
		return err
	}
	return nil
}

// get opens a span of an object that begins at offset.
func (s *Store) get(ctx context.Context, bucket, key, etag, span string, offset int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}
	if etag != "" {
		in.IfMatch = aws.String(etag)
	}
	if span != "" {
		in.Range = aws.String(span)
	}
	out, err := s.API.GetObject(ctx, in)
	if err != nil {
		var a smithy.APIError
		if errors.As(err, &a) && a.ErrorCode() == "PreconditionFailed" {
			return nil, fmt.Errorf("open s3://%s/%s: the object changed since the load was planned; archives must not change during a load: start it again: %w", bucket, key, err)
		}
		if errors.As(err, &a) && a.ErrorCode() == "InvalidObjectState" {
			// Archive tiers of Intelligent-Tiering do not show in a listing.
			return nil, fmt.Errorf("open s3://%s/%s: the object lies in an archive tier: restore it (aws s3api restore-object --bucket %s --key '%s' --restore-request '{}'), wait until it is there, and go on: %w", bucket, key, bucket, key, err)
		}
		return nil, fmt.Errorf("open s3://%s/%s: %w", bucket, key, err)
	}
	return &body{out.Body, bucket, key, offset}, nil
}

// A BrokenError says that an object could not be read to its end. The object may
// be whole: reading again may help.
type BrokenError struct {
	Bucket, Key string
	Offset      int64 // bytes into the object
	err         error
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("read s3://%s/%s: the connection broke at byte %d: %v", e.Bucket, e.Key, e.Offset, e.err)
}

// Timeout is true, as of a network error that may pass.
func (e *BrokenError) Timeout() bool { return true }

// Unwrap returns the cause, unless it is io.ErrUnexpectedEOF: a decoder would
// take it for the end of a truncated object.
func (e *BrokenError) Unwrap() error {
	if errors.Is(e.err, io.ErrUnexpectedEOF) {
		return nil
	}
	return e.err
}

// A body knows what it is the body of.
type body struct {
	io.ReadCloser
	bucket, key string
	at          int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.at += int64(n)
	if err != nil && err != io.EOF {
		err = &BrokenError{b.bucket, b.key, b.at, err}
	}
	return n, err
}

// Put writes an object whole; a reader sees the old one or the new one. encoding
// is the Content-Encoding, "" for none.
func (s *Store) Put(ctx context.Context, bucket, key string, body []byte, contentType, encoding string) error {
	in := &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body),
		ContentType: aws.String(contentType),
		// With a checksum of ours the client sends no trailer, for which it would
		// add aws-chunked to the Content-Encoding over TLS. What S3 then keeps of a
		// pair is not documented, and aws_s3 decompresses "gzip" and nothing else.
		ChecksumCRC32: aws.String(checksum(body)),
	}
	if encoding != "" {
		in.ContentEncoding = aws.String(encoding)
	}
	if s.KMSKey != nil {
		if arn := s.KMSKey(bucket, key); arn != "" {
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String(arn)
		}
	}
	if _, err := s.API.PutObject(ctx, in); err != nil {
		return fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// checksum is the CRC-32 of a body as S3 takes it: big-endian, in base64.
func checksum(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}
