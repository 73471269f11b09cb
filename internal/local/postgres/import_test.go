package postgres_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"godwit/internal/local/postgres"
)

// An object as the small S3 of these tests holds it, by escaped path.
type object struct {
	body     []byte
	encoding string
	status   int // of an error instead
	failures int32
}

// bucket serves objects and checks what the fetcher owes S3: a GET signed as
// the import role for S3 in the right region, without accepting compression.
func bucket(t *testing.T, objects map[string]*object) string {
	var failed atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		if r.Method != http.MethodGet || !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=IMPORTROLE/") || !strings.Contains(auth, "/us-east-1/s3/aws4_request") {
			t.Errorf("got %s with Authorization %q, want a GET signed by IMPORTROLE", r.Method, auth)
		}
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("X-Amz-Security-Token") != "token" {
			t.Errorf("got headers %v, want the session's token and no Accept-Encoding", r.Header)
		}
		o := objects[r.URL.EscapedPath()]
		switch {
		case o == nil:
			w.WriteHeader(404)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
		case o.status != 0:
			w.WriteHeader(o.status)
			fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>User: arn:aws:iam::123456789012:role/import is not authorized to perform: s3:GetObject</Message></Error>`)
		case o.failures > 0 && failed.Add(1) <= o.failures:
			w.WriteHeader(503)
			fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>`)
		default:
			if o.encoding != "" {
				w.Header().Set("Content-Encoding", o.encoding)
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(o.body)))
			w.Write(o.body)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func zip(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImportFromS3(t *testing.T) {
	s := start(t, postgres.Options{Master: "boss", Password: "x", Database: "app"})
	const plain = "1\ta\n2\t\\N\n"
	objects := map[string]*object{
		"/work-bucket/parts/a.copy":                             {body: []byte(plain)},
		"/work-bucket/parts/a.copy.gz":                          {body: zip(t, plain), encoding: "gzip"},
		"/work-bucket/parts/unmarked.gz":                        {body: zip(t, plain)},
		"/work-bucket/parts/empty":                              {},
		"/work-bucket/parts/cut.gz":                             {body: zip(t, plain)[:20], encoding: "gzip"},
		"/work-bucket/odd/sp%20ace%27%24%28x%29%2B%C3%A9%3F%25": {body: []byte(plain)},
		"/work-bucket/denied":                                   {status: 403},
		"/work-bucket/bad":                                      {body: []byte("x\ty\n")},
		"/work-bucket/throttled":                                {body: []byte(plain), failures: 2},
		"/work-bucket/quoted.csv":                               {body: []byte("b;a\n'q;1';1\n")},
	}
	if err := s.SetImport(postgres.Import{Endpoint: bucket(t, objects), Region: "us-east-1", AccessKeyID: "IMPORTROLE", SecretAccessKey: "s", SessionToken: "token"}); err != nil {
		t.Fatal(err)
	}
	boss := connect(t, s.DSN("boss", "x", "app"))
	for _, sql := range []string{
		`CREATE EXTENSION aws_s3 CASCADE`,
		`CREATE SCHEMA "St""age"`, `CREATE TABLE "St""age"."T" (a int, b text)`, `CREATE TABLE t (a int, b text)`, `CREATE TABLE secret (a int, b text)`,
		`CREATE ROLE loader LOGIN PASSWORD 'y'`,
		`GRANT USAGE ON SCHEMA aws_s3, aws_commons, "St""age" TO loader`, `GRANT SELECT, INSERT ON t, "St""age"."T" TO loader`,
		`GRANT INSERT (a, b) ON secret TO loader`,
	} {
		if _, err := boss.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	loader := connect(t, s.DSN("loader", "y", "app"))
	const uri = `aws_commons.create_s3_uri('work-bucket', $4, 'us-east-1')`
	for _, test := range []struct {
		name                      string
		table, columns, opts, key string
		want                      string // result, or
		code, text                string // error
	}{
		{name: "plain", table: "t", key: "parts/a.copy", want: `2 rows imported into relation "t" from file parts/a.copy of 9 bytes`},
		{name: "gzip by Content-Encoding", table: "t", key: "parts/a.copy.gz", want: fmt.Sprintf(`2 rows imported into relation "t" from file parts/a.copy.gz of %d bytes`, len(objects["/work-bucket/parts/a.copy.gz"].body))},
		{name: "gzip without Content-Encoding is not decompressed", table: "t", key: "parts/unmarked.gz", code: "22021"},
		{name: "empty object", table: "t", key: "parts/empty", code: "P0001", text: "file is empty"},
		{name: "gzip cut off", table: "t", key: "parts/cut.gz", code: "P0001", text: "unable to read from S3"},
		{name: "odd key", table: "t", key: "odd/sp ace'$(x)+é?%", want: `2 rows imported into relation "t" from file odd/sp ace'$(x)+é?% of 9 bytes`},
		{
			name: "quoted names, columns and options", table: `"St""age"."T"`, columns: `b, "a"`, opts: `(format csv, header true, delimiter ';', quote '''', force_null (b))`, key: "quoted.csv",
			want: `1 rows imported into relation ""St""age"."T"" from file quoted.csv of 12 bytes`,
		},
		{name: "old options", table: `t`, columns: `b,a`, opts: `DELIMITER ';' CSV HEADER QUOTE AS ''''`, key: "quoted.csv", want: `1 rows imported into relation "t" from file quoted.csv of 12 bytes`},
		{name: "throttled twice", table: "t", key: "throttled", want: `2 rows imported into relation "t" from file throttled of 9 bytes`},
		{name: "missing object", table: "t", key: "none", code: "P0001", text: "HTTP 404. Check your arguments and try again."},
		{name: "import role may not read", table: "t", key: "denied", code: "P0001", text: "HTTP 403. Check your arguments and try again."},
		{name: "value that does not fit", table: "t", key: "bad", code: "22P02"},
		{name: "no table", table: "none", key: "parts/a.copy", code: "42P01"},
		{name: "column privilege is enough for those columns", table: "secret", columns: "a,b", key: "parts/a.copy", want: `2 rows imported into relation "secret" from file parts/a.copy of 9 bytes`},
		{name: "and not for the table", table: "secret", key: "parts/a.copy", code: "42501"},
		{name: "catalogue", table: "pg_catalog.pg_class", key: "parts/a.copy", code: "42501"},
		{name: "where clause as the superuser", table: "t", opts: `(format text) WHERE pg_read_file('PG_VERSION') <> ''`, key: "parts/a.copy", code: "42601"},
		{name: "second statement", table: "t", opts: `(format text); DROP TABLE t`, key: "parts/a.copy", code: "42601"},
		{name: "comment in options", table: "t", opts: `(format text) -- x`, key: "parts/a.copy", code: "42601"},
		{name: "unknown option is COPY's error", table: "t", opts: `(nonsense true)`, key: "parts/a.copy", code: "42601"},
		{name: "columns with more", table: "t", columns: "a) FROM PROGRAM 'true' --", key: "parts/a.copy", code: "42601"},
		{name: "climbing key", table: "t", key: "parts/../../x", code: "22023"},
		{name: "control character in key", table: "t", key: "parts/\n", code: "22023"},
		{name: "empty key", table: "t", key: "", code: "22023"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, sql := range []string{
				`SELECT aws_s3.table_import_from_s3($1, $2, $3, ` + uri + `)`,
				`SELECT aws_s3.table_import_from_s3($1, $2, $3, 'work-bucket', $4, 'us-east-1')`,
			} {
				var got string
				err := loader.QueryRow(t.Context(), sql, test.table, test.columns, test.opts, test.key).Scan(&got)
				if got != test.want || code(err) != test.code || (test.text != "" && !strings.Contains(fmt.Sprint(err), test.text)) {
					t.Errorf("got %q and error %v, want %q or %s %s", got, err, test.want, test.code, test.text)
				}
			}
		})
	}
	var rows, nulls int
	if err := loader.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE b IS NULL) FROM t`).Scan(&rows, &nulls); err != nil {
		t.Fatal(err)
	}
	if rows != 18 || nulls != 8 {
		t.Errorf("got %d rows with %d nulls, want 18 with 8: failed imports leave nothing", rows, nulls)
	}

	var got string
	err := loader.QueryRow(t.Context(), `SELECT aws_s3.table_import_from_s3('t', '', '', 'work-bucket', 'parts/a.copy', 'eu-west-1')`).Scan(&got)
	if err == nil || !strings.Contains(err.Error(), "HTTP 301") {
		t.Errorf("another region: got %v, want HTTP 301", err)
	}
	if err := s.SetImport(postgres.Import{}); err != nil {
		t.Fatal(err)
	}
	err = loader.QueryRow(t.Context(), `SELECT aws_s3.table_import_from_s3('t', '', '', 'work-bucket', 'parts/a.copy', 'us-east-1')`).Scan(&got)
	if err == nil || !strings.Contains(err.Error(), "credentials stored with the database cluster can't be accessed") {
		t.Errorf("no role attached: got %v, want the error that Aurora gives", err)
	}
}

// The claim and the import are one statement, so a failing import takes its
// claim with it, and a repeat imports nothing.
func TestImportRollsBackWithItsStatement(t *testing.T) {
	s := start(t, postgres.Options{Master: "boss", Password: "x", Database: "app"})
	objects := map[string]*object{"/work-bucket/a": {body: []byte("1\n2\n")}, "/work-bucket/b": {body: []byte("1\nx\n")}}
	if err := s.SetImport(postgres.Import{Endpoint: bucket(t, objects), Region: "us-east-1", AccessKeyID: "IMPORTROLE", SecretAccessKey: "s", SessionToken: "token"}); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s.DSN("boss", "x", "app"))
	if _, err := c.Exec(t.Context(), `CREATE EXTENSION aws_s3 CASCADE; CREATE TABLE part (key text PRIMARY KEY); CREATE TABLE t (a int)`); err != nil {
		t.Fatal(err)
	}
	claim := func(key string) error {
		_, err := c.Exec(t.Context(), `WITH claim AS (INSERT INTO part VALUES ($1) ON CONFLICT DO NOTHING RETURNING key)
			SELECT aws_s3.table_import_from_s3('t', '', '(format text)', 'work-bucket', key, 'us-east-1') FROM claim`, key)
		return err
	}
	if err := claim("b"); code(err) != "22P02" {
		t.Fatalf("got %v, want SQLSTATE 22P02", err)
	}
	for range 2 {
		if err := claim("a"); err != nil {
			t.Fatal(err)
		}
	}
	var rows, parts int
	if err := c.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM part)`).Scan(&rows, &parts); err != nil {
		t.Fatal(err)
	}
	if rows != 2 || parts != 1 {
		t.Errorf("got %d rows of %d parts, want 2 of 1", rows, parts)
	}
}
