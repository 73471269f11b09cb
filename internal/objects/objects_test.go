package objects_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"godwit/internal/local/gateway"
	"godwit/internal/local/s3"
	"godwit/internal/objects"
)

// open starts an S3 with one bucket, "archive".
func open(t *testing.T) (*objects.Store, *s3.Service) {
	t.Helper()
	service, err := s3.New(s3.Config{Account: "111122223333", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.CreateBucket(s3.Bucket{Name: "archive"}); err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	g.Register("s3", service)
	root := g.Root()
	return store(g.URL(), root.AccessKeyID, root.SecretAccessKey, root.SessionToken), service
}

func store(url, id, secret, token string) *objects.Store {
	return &objects.Store{API: awss3.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		// As config.LoadDefaultConfig sets them.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
	})}
}

func TestListVisitsEveryPageInOrder(t *testing.T) {
	s, service := open(t)
	var want []string
	for i := range 2345 {
		want = append(want, fmt.Sprintf("p/%d.ion", i))
	}
	for _, k := range append(want, "other/x", "p") {
		if err := service.Put("archive", k, []byte(k), s3.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := service.SetStorageClass("archive", "p/7.ion", "GLACIER"); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	var got, cold []string
	err := s.List(t.Context(), "archive", "p/", func(key, etag string, size int64, class string) error {
		got = append(got, key)
		if class != "STANDARD" {
			cold = append(cold, key+" "+class)
		}
		if size != int64(len(key)) || len(etag) < 34 {
			t.Errorf("%s: got size %d and ETag %s", key, size, etag)
		}
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d keys, %v, want %d in order", len(got), err, len(want))
	}
	if !slices.Equal(cold, []string{"p/7.ion GLACIER"}) {
		t.Errorf("got other storage classes %v, want p/7.ion's", cold)
	}

	enough := errors.New("enough")
	n := 0
	err = s.List(t.Context(), "archive", "p/", func(string, string, int64, string) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("got %v after %d visits, want the visitor's error after one", err, n)
	}
	if err := s.List(t.Context(), "no-such-bucket", "p/", nil); err == nil || !strings.Contains(err.Error(), "list s3://no-such-bucket/p/") {
		t.Errorf("got %v, want an error that names the bucket", err)
	}
}

func TestOpenReadsFromAnOffset(t *testing.T) {
	s, service := open(t)
	content := []byte("0123456789")
	if err := service.Put("archive", "odd key+'é.ion", content, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 1, 9} {
		body, err := s.Open(t.Context(), "archive", "odd key+'é.ion", "", offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != nil || !bytes.Equal(got, content[offset:]) {
			t.Errorf("offset %d: got %q, %v", offset, got, err)
		}
	}
	for name, do := range map[string]func() error{
		"absent":     func() error { _, err := s.Open(t.Context(), "archive", "none", "", 0); return err },
		"at the end": func() error { _, err := s.Open(t.Context(), "archive", "odd key+'é.ion", "", 10); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "open s3://archive/") {
			t.Errorf("%s: got %v, want an error that names the object", name, err)
		}
	}
}

func TestOpenRefusesAnObjectThatChanged(t *testing.T) {
	s, service := open(t)
	if err := service.Put("archive", "k", []byte("old"), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	var etag string
	if err := s.List(t.Context(), "archive", "k", func(_, e string, _ int64, _ string) error { etag = e; return nil }); err != nil {
		t.Fatal(err)
	}
	body, err := s.Open(t.Context(), "archive", "k", etag, 0)
	if err != nil {
		t.Fatalf("the ETag of the listing is not taken: %v", err)
	}
	body.Close()
	if err := s.Put(t.Context(), "archive", "k", []byte("new"), "text/plain", ""); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 2} {
		_, err = s.Open(t.Context(), "archive", "k", etag, offset)
		if err == nil || !strings.Contains(err.Error(), "s3://archive/k: the object changed since the load was planned") || !strings.Contains(err.Error(), "start it again") {
			t.Errorf("got %v, want it said that the object changed, and what to do", err)
		}
	}
}

// What is put with an encoding is read as it was put, and marked, so that others
// decompress it.
func TestPutKeepsBytesAndEncoding(t *testing.T) {
	s, service := open(t)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	io.WriteString(w, strings.Repeat("a\tb\n", 1000))
	w.Close()
	for _, test := range []struct {
		key, encoding string
		body          []byte
	}{{"z.copy.gz", "gzip", zipped.Bytes()}, {"plain", "", []byte("x")}, {"empty", "", nil}} {
		if err := s.Put(t.Context(), "archive", test.key, test.body, "application/octet-stream", test.encoding); err != nil {
			t.Fatal(err)
		}
		_, e, err := service.Get("archive", test.key)
		if err != nil || e.Header["Content-Encoding"] != test.encoding || e.Header["Content-Type"] != "application/octet-stream" {
			t.Errorf("%s: got headers %v, %v, want encoding %q", test.key, e.Header, err, test.encoding)
		}
		body, err := s.Open(t.Context(), "archive", test.key, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != nil || !bytes.Equal(got, test.body) {
			t.Errorf("%s: got %d bytes, %v, want the %d that were put", test.key, len(got), err, len(test.body))
		}
	}
	if err := s.Put(t.Context(), "no-such-bucket", "k", nil, "", ""); err == nil || !strings.Contains(err.Error(), "put s3://no-such-bucket/k") {
		t.Errorf("got %v, want an error that names the object", err)
	}
}

// Bucket policies that refuse what is not encrypted with the archive's own key
// look at the request, not at the bucket's default.
func TestPutNamesTheKeyOfAPlace(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000000"
	s, service := open(t)
	s.KMSKey = func(bucket, k string) string {
		if bucket == "archive" && strings.HasPrefix(k, "secret/") {
			return key
		}
		return ""
	}
	for name, want := range map[string]string{"secret/x": "aws:kms " + key, "plain": "AES256 "} {
		if err := s.Put(t.Context(), "archive", name, []byte("x"), "text/plain", ""); err != nil {
			t.Fatal(err)
		}
		_, e, err := service.Get("archive", name)
		if got := e.Header["X-Amz-Server-Side-Encryption"] + " " + e.Header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"]; err != nil || got != want {
			t.Errorf("%s is encrypted with %q, %v, want %q", name, got, err, want)
		}
	}
}

// A connection that breaks is no end of an object, least of all one that a
// decoder would take for a truncated archive.
func TestBrokenConnectionIsNoEnd(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "0123456789")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	body, err := store(srv.URL, "a", "b", "").Open(t.Context(), "archive", "k", "", 5)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	var broken *objects.BrokenError
	if !errors.As(err, &broken) || broken.Offset != 15 || !broken.Timeout() || !strings.Contains(err.Error(), "s3://archive/k") {
		t.Errorf("got %q, %v, want a broken connection at byte 15 of the object", got, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Error("the error counts as an end")
	}
}

// Over TLS the SDK's own checksum would follow the body and add aws-chunked to the
// encoding of a part, which then is no longer the "gzip" that aws_s3 looks for.
func TestPutSendsTheEncodingAloneOverTLS(t *testing.T) {
	var got http.Header
	var body []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	s := &objects.Store{API: awss3.New(store(server.URL, "id", "secret", "").API.Options(), func(o *awss3.Options) {
		o.HTTPClient, o.UsePathStyle = server.Client(), true
	})}
	if err := s.Put(t.Context(), "archive", "k", []byte("123456789"), "text/plain", "gzip"); err != nil {
		t.Fatal(err)
	}
	if e := got.Values("Content-Encoding"); !slices.Equal(e, []string{"gzip"}) || string(body) != "123456789" {
		t.Errorf("got encodings %q and body %q", e, body)
	}
	// CBF43926 is the check value of CRC-32.
	if sum := got.Get("X-Amz-Checksum-Crc32"); sum != "y/Q5Jg==" || got.Get("X-Amz-Trailer") != "" {
		t.Errorf("got checksum %q, trailer %q", sum, got.Get("X-Amz-Trailer"))
	}
}
