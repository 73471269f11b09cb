package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/klauspost/compress/gzip"
)

// settings is the file that only the server's user can read: where S3 is, and
// the credentials of the role that the cluster has for s3Import.
type settings struct {
	Endpoint, Region                           string
	AccessKeyID, SecretAccessKey, SessionToken string
}

// outcome is what the SQL function learns about a fetch beyond the rows.
type outcome struct {
	Bytes  int64  `json:"bytes"`            // stored size of the object, in bytes
	Status int    `json:"status,omitempty"` // HTTP status of a refused request
	Error  string `json:"error,omitempty"`
}

// The emptyHash is the SHA-256 of no bytes, the payload of a GET.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// fetch writes the object's bytes to standard output, decompressed if S3 says
// Content-Encoding: gzip, and the outcome to a file. It exits non-zero with
// S3's error on standard error, which makes COPY fail.
func fetch(config, bucket64, key64, outcomeFile string) int {
	var o outcome
	err := get(config, bucket64, key64, &o)
	if err != nil {
		o.Error = err.Error()
		fmt.Fprintln(os.Stderr, o.Error)
	}
	b, _ := json.Marshal(o) // a struct of plain fields cannot fail
	if werr := os.WriteFile(outcomeFile, b, 0o600); werr != nil {
		fmt.Fprintln(os.Stderr, "write the outcome of the fetch:", werr)
		return 1
	}
	if err != nil {
		return 1
	}
	return 0
}

func get(config, bucket64, key64 string, o *outcome) error {
	var s settings
	b, err := os.ReadFile(config)
	if err != nil {
		return fmt.Errorf("read the import role's settings: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("parse the import role's settings: %w", err)
	}
	bucket, err := base64.RawURLEncoding.DecodeString(bucket64)
	if err != nil {
		return fmt.Errorf("decode the bucket's name: %w", err)
	}
	key, err := base64.RawURLEncoding.DecodeString(key64)
	if err != nil {
		return fmt.Errorf("decode the key: %w", err)
	}
	resp, err := request(s, strings.TrimSuffix(s.Endpoint, "/")+"/"+escape(string(bucket))+"/"+escape(string(key)), o)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	o.Bytes = resp.ContentLength
	counted := &counter{r: resp.Body}
	var body io.Reader = bufio.NewReaderSize(counted, 1<<18)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(body)
		if err != nil {
			return fmt.Errorf("decompress s3://%s/%s, stored with Content-Encoding gzip: %w", bucket, key, err)
		}
		body = z
	}
	if err := copyAhead(os.Stdout, body); err != nil {
		return fmt.Errorf("read s3://%s/%s: %w", bucket, key, err)
	}
	o.Bytes = counted.n
	if o.Bytes == 0 {
		return errors.New("file is empty") // aws_s3 refuses objects of zero bytes
	}
	return nil
}

// copyAhead copies r to w and reads on while w is busy: decompressing would
// otherwise wait for the server, which empties a pipe of 64 KiB, and the server
// for decompressing.
func copyAhead(w io.Writer, r io.Reader) error {
	const buffers, size = 4, 1 << 18
	free, full := make(chan []byte, buffers), make(chan []byte, buffers)
	for range buffers {
		free <- make([]byte, size)
	}
	failed := make(chan error, 1) // filled before full is closed
	go func() {
		defer close(full)
		for b := range free {
			// Not io.ReadFull: its ErrUnexpectedEOF would hide that of an object
			// that is cut short.
			n, err := 0, error(nil)
			for n < len(b) && err == nil {
				var m int
				m, err = r.Read(b[n:])
				n += m
			}
			full <- b[:n]
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed <- err
				}
				return
			}
		}
	}()
	for b := range full {
		if _, err := w.Write(b); err != nil {
			return err // the process ends, and the reader with it
		}
		free <- b[:size]
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// request sends a signed GET, again after 5xx and broken connections as the AWS
// SDKs do: nothing has been handed to COPY before it returns.
func request(s settings, target string, o *outcome) (*http.Response, error) {
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	creds := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		req, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			return nil, fmt.Errorf("form the S3 request: %w", err)
		}
		req.Header.Set("X-Amz-Content-Sha256", emptyHash)
		err = v4.NewSigner().SignHTTP(context.Background(), creds, req, emptyHash, "s3", s.Region, time.Now(),
			func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // the path is escaped once, as S3 wants it
		if err != nil {
			return nil, fmt.Errorf("sign the S3 request: %w", err)
		}
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		if err == nil {
			o.Status = resp.StatusCode
			var e struct{ Code, Message string }
			b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16)) // the status says enough if the text is cut off
			resp.Body.Close()
			if xml.Unmarshal(b, &e) != nil || e.Code == "" {
				e.Code, e.Message = http.StatusText(resp.StatusCode), strings.TrimSpace(string(b))
			}
			err = fmt.Errorf("HTTP %d %s: %s", resp.StatusCode, e.Code, e.Message)
			if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
				return nil, err
			}
		}
		if attempt == attempts {
			return nil, err
		}
		time.Sleep(time.Duration(attempt) * 100 * time.Millisecond)
	}
}

// escape percent-encodes everything but RFC 3986's unreserved bytes and '/', as
// S3's canonical request does.
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")
}
