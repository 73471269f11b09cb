package s3_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"godwit/internal/local/gateway"
	"godwit/internal/local/s3"
)

// BenchmarkThroughGateway says what signing, judging and serving leave of the
// machine's speed, so that a slow demo is not blamed on the wrong part.
func BenchmarkThroughGateway(b *testing.B) {
	service, err := s3.New(s3.Config{Account: "111122223333", Region: "us-east-1"})
	if err != nil {
		b.Fatal(err)
	}
	if err := service.CreateBucket(s3.Bucket{Name: "plain"}); err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Authorizer: &everything{}})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	g.Register("s3", service)
	c := client(g, g.Issue("arn:aws:iam::111122223333:role/r", nil), "us-east-1")
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	bucket, name := aws.String("plain"), aws.String("k")
	b.Run("put 16 MiB", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, err := c.PutObject(b.Context(), &sdk.PutObjectInput{Bucket: bucket, Key: name, Body: bytes.NewReader(body)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get 16 MiB", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			out, err := c.GetObject(b.Context(), &sdk.GetObjectInput{Bucket: bucket, Key: name})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, out.Body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("head", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.HeadObject(b.Context(), &sdk.HeadObjectInput{Bucket: bucket, Key: name}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
