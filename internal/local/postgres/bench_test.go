package postgres_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/local/postgres"
)

// BenchmarkImport imports 64 MiB of COPY text through aws_s3, plain and gzip,
// and through COPY FROM PROGRAM 'cat' of the same bytes on the same server. It
// reports the ratio of the speeds, where 1 is as fast as cat.
func BenchmarkImport(b *testing.B) {
	if err := postgres.Installed(); err != nil {
		b.Skip(err)
	}
	s, err := postgres.Start(b.Context(), postgres.Options{Master: "boss", Password: "x"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var rows bytes.Buffer
	for n := 0; rows.Len() < 64<<20; n++ {
		fmt.Fprintf(&rows, "8F0TPCmdNQ6JTRpiLj%04d\t%d\tRaul%d\tLewis\t1963-08-19\t{\"ql_id\": \"8F0TPCmdNQ6JTRpiLj\", \"ql_v\": %d, \"ql_txtime\": \"2026-01-02T03:04:05.678Z\"}\n", n%10000, n, n, n%7)
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := z.Write(rows.Bytes()); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := rows.Bytes()
		if r.URL.Path == "/work-bucket/packed" {
			w.Header().Set("Content-Encoding", "gzip")
			body = packed.Bytes()
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	}))
	defer srv.Close()
	if err := s.SetImport(postgres.Import{Endpoint: srv.URL, Region: "us-east-1", AccessKeyID: "IMPORTROLE", SecretAccessKey: "s"}); err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "godwit-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "rows")
	if err := os.WriteFile(file, rows.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	c, err := pgx.Connect(b.Context(), s.AdminDSN("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(b.Context())
	run := func(sql string) time.Duration {
		if _, err := c.Exec(b.Context(), `DROP TABLE IF EXISTS t; CREATE TABLE t (doc_id text COLLATE "C", version bigint, a text, b text, c date, ql_audit jsonb)`); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	if _, err := c.Exec(b.Context(), `CREATE EXTENSION aws_s3 CASCADE`); err != nil {
		b.Fatal(err)
	}
	cat := fmt.Sprintf(`COPY t FROM PROGRAM 'cat %s'`, file)
	imported := `SELECT aws_s3.table_import_from_s3('t', '', '(format text)', 'work-bucket', '%s', 'us-east-1')`
	run(cat)
	for b.Loop() {
		naive := run(cat)
		plain, gz := run(fmt.Sprintf(imported, "plain")), run(fmt.Sprintf(imported, "packed"))
		b.ReportMetric(naive.Seconds()/plain.Seconds(), "plain/cat")
		b.ReportMetric(naive.Seconds()/gz.Seconds(), "gzip/cat")
		b.ReportMetric(float64(rows.Len())/1e6/gz.Seconds(), "MB/s")
	}
}
