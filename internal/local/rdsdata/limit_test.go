package rdsdata_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	awsrds "github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"

	"godwit/internal/local/rdsdata"
)

func TestSQLTextLimit(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	sql := `SELECT 1 /*` + strings.Repeat("é", 65_536-13) + `*/`
	if _, err := a.exec(sql); err != nil {
		t.Errorf("65,536 characters: %v", err)
	}
	if _, err := a.exec(sql + " "); code(err) != "ValidationException" {
		t.Errorf("65,537 characters: got %v, want ValidationException", err)
	}
}

func TestRequestSizeLimit(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	// post sends a request of exactly size bytes, headers included, and returns its status.
	post := func(size int) int {
		body := func(n int) []byte {
			b, err := json.Marshal(map[string]any{
				"resourceArn": a.ClusterARN, "secretArn": a.AdminSecret, "database": a.Database, "sql": "SELECT length(:v)",
				"parameters": []any{map[string]any{"name": "v", "value": map[string]string{"stringValue": strings.Repeat("x", n)}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		// The request line and headers as net/http writes them.
		form := func(b []byte) *http.Request {
			r, err := http.NewRequest(http.MethodPost, a.URL+"/Execute", bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("User-Agent", "x")
			r.Header.Set("Accept-Encoding", "identity")
			return r
		}
		var wire bytes.Buffer
		b := body(1_000_000)
		if err := form(b).Write(&wire); err != nil {
			t.Fatal(err)
		}
		overhead := wire.Len() - 1_000_000
		resp, err := http.DefaultClient.Do(form(body(size - overhead)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	const limit = 4 << 20
	if got := post(limit - 8); got != http.StatusOK { // 8: net/http may write a header line differently
		t.Errorf("just below 4 MiB: got status %d, want 200", got)
	}
	if got := post(limit + 8); got != http.StatusRequestEntityTooLarge {
		t.Errorf("just above 4 MiB: got status %d, want 413", got)
	}
	_, err := a.exec(`SELECT length(:v)`, param("v", text(strings.Repeat(`"`, limit/2))))
	if code(err) != "RequestEntityTooLargeException" {
		t.Errorf("4 MiB only when encoded: got %v, want RequestEntityTooLargeException", err)
	}
}

func TestResponseSizeLimits(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	for _, test := range []struct {
		name, sql string
		json      bool
		code      string
		says      string
	}{
		{"row of 64 KB", `SELECT repeat('x', 65536)`, false, "", ""},
		{"row above 64 KB", `SELECT repeat('x', 65536), 'y'`, false, "DatabaseErrorException", "Packet for query is too large"},
		{"row above 64 KB as JSON", `SELECT repeat('x', 65537)`, true, "DatabaseErrorException", "Packet for query is too large"},
		{"1 MiB of rows", `SELECT repeat('x', 60000) FROM generate_series(1, 17)`, false, "", ""},
		{"above 1 MiB", `SELECT repeat('x', 60000) FROM generate_series(1, 18)`, false, "DatabaseErrorException", "Database response exceeded size limit"},
		{"above 1 MiB only when encoded", `SELECT 1 FROM generate_series(1, 65000)`, false, "DatabaseErrorException", "Database response exceeded size limit"},
		{"the same as JSON", `SELECT 1 AS a FROM generate_series(1, 65000)`, true, "", ""},
		{"above 1 MiB as JSON", `SELECT repeat('x', 60000) AS a FROM generate_series(1, 18)`, true, "DatabaseErrorException", "Database response exceeded size limit"},
		{"above 10 MB of JSON", `SELECT 1 AS "` + strings.Repeat("l", 60) + `" FROM generate_series(1, 170000)`, true, "BadRequestException", "10 MB"},
	} {
		in := a.input(test.sql)
		if test.json {
			in.FormatRecordsAs = types.RecordsFormatTypeJson
		}
		_, err := a.client.ExecuteStatement(context.Background(), in)
		if code(err) != test.code || (err != nil && !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: got %.200v, want %s %s", test.name, err, test.code, test.says)
		}
	}
	// The caller learns nothing, the statement took effect: an error does not mean that nothing was stored.
	a.must(`CREATE TABLE t (a text)`)
	if _, err := a.exec(`INSERT INTO t SELECT repeat('x', 60000) FROM generate_series(1, 18) RETURNING a`); code(err) != "DatabaseErrorException" {
		t.Errorf("got %v, want DatabaseErrorException", err)
	}
	if n := a.long(`SELECT count(*) FROM t`); n != 18 {
		t.Errorf("got %d rows, want 18", n)
	}
}

func TestRequestsThatTheServiceRefuses(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	in := a.input(`SELECT 1`)
	in.Schema = ptr("public")
	if _, err := a.client.ExecuteStatement(context.Background(), in); code(err) != "ValidationException" || !strings.Contains(err.Error(), "The schema parameter isn't supported") {
		t.Errorf("schema: got %v, want ValidationException", err)
	}
	if _, err := a.client.BeginTransaction(context.Background(), &awsrds.BeginTransactionInput{ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, Schema: ptr("s")}); code(err) != "ValidationException" {
		t.Errorf("schema in BeginTransaction: got %v, want ValidationException", err)
	}
	if _, err := a.exec(`SELECT 1; SELECT 2`); code(err) != "ValidationException" || !strings.Contains(err.Error(), "Multistatements aren't supported.") {
		t.Errorf("two statements: got %v, want ValidationException", err)
	}
	if _, err := a.exec(`SELECT 1;`); err != nil {
		t.Errorf("one statement with its semicolon: %v", err)
	}
	if _, err := a.exec(`COPY (SELECT 1) TO STDOUT`); code(err) != "DatabaseErrorException" {
		t.Errorf("COPY TO STDOUT: got %v, want DatabaseErrorException", err)
	}
	_, err := a.client.ExecuteSql(context.Background(), &awsrds.ExecuteSqlInput{DbClusterOrInstanceArn: &a.ClusterARN, AwsSecretStoreArn: &a.AdminSecret, SqlStatements: ptr("SELECT 1")}) //nolint:staticcheck // deprecated, and refused
	if code(err) != "UnknownOperationException" {
		t.Errorf("ExecuteSql: got %v, want UnknownOperationException", err)
	}
	for name, body := range map[string]string{
		"unknown member": `{"resourceArn":"` + a.ClusterARN + `","secretArn":"` + a.AdminSecret + `","sql":"SELECT 1","colour":1}`,
		"no JSON":        `{`,
		"no sql":         `{"resourceArn":"` + a.ClusterARN + `","secretArn":"` + a.AdminSecret + `"}`,
		"no secret":      `{"resourceArn":"` + a.ClusterARN + `","sql":"SELECT 1"}`,
		"sql in batch":   `{"resourceArn":"` + a.ClusterARN + `","secretArn":"` + a.AdminSecret + `","sql":"SELECT 1","parameterSets":[]}`,
		"long as text":   `{"resourceArn":"` + a.ClusterARN + `","secretArn":"` + a.AdminSecret + `","sql":"SELECT :a","parameters":[{"name":"a","value":{"longValue":"1"}}]}`,
		"two values":     `{"resourceArn":"` + a.ClusterARN + `","secretArn":"` + a.AdminSecret + `","sql":"SELECT :a","parameters":[{"name":"a","value":{"longValue":1,"isNull":true}}]}`,
	} {
		resp, err := http.Post(a.URL+"/Execute", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got status %d, want 400", name, resp.StatusCode)
		}
	}
}

func TestDatabaseErrorsCarryTheSQLState(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TABLE t (a int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	for sql, want := range map[string]string{
		`INSERT INTO t VALUES (1)`: "ERROR: duplicate key value violates unique constraint \"t_pkey\"\n  Detail: Key (a)=(1) already exists.; SQLState: 23505",
		`SELEC 1`:                  `ERROR: syntax error at or near "SELEC"; Position: 1; SQLState: 42601`,
		`SELECT * FROM none`:       `ERROR: relation "none" does not exist; Position: 15; SQLState: 42P01`,
		`SELECT 1/0`:               `ERROR: division by zero; SQLState: 22012`,
	} {
		_, err := a.exec(sql)
		if code(err) != "DatabaseErrorException" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", sql, err, want)
		}
	}
}

func TestBatchCommitsSetBySet(t *testing.T) {
	t.Parallel()
	_, a := newAPI(t, rdsdata.Config{})
	a.must(`CREATE TABLE t (a int PRIMARY KEY, b text)`)
	batch := func(tx *string, sets ...[]types.SqlParameter) (*awsrds.BatchExecuteStatementOutput, error) {
		return a.client.BatchExecuteStatement(context.Background(), &awsrds.BatchExecuteStatementInput{
			ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, Database: &a.Database,
			Sql: ptr(`INSERT INTO t VALUES (:a, :b)`), ParameterSets: sets, TransactionId: tx,
		})
	}
	set := func(n int64, b types.Field) []types.SqlParameter {
		return []types.SqlParameter{param("a", &types.FieldMemberLongValue{Value: n}), param("b", b)}
	}
	var sets [][]types.SqlParameter
	for n := range int64(1500) {
		sets = append(sets, set(n, text("x")))
	}
	out, err := batch(nil, sets...)
	if err != nil || len(out.UpdateResults) != 1500 || len(out.UpdateResults[7].GeneratedFields) != 0 {
		t.Fatalf("got %v, %v, want 1,500 empty results", out, err)
	}
	_, err = batch(nil, set(2000, text("y")), set(2001, &types.FieldMemberIsNull{Value: true}), set(7, text("again")), set(2002, text("y")))
	if code(err) != "DatabaseErrorException" || !strings.Contains(err.Error(), "SQLState: 23505") {
		t.Errorf("got %v, want 23505", err)
	}
	if n := a.long(`SELECT count(*) FROM t WHERE a >= 2000`); n != 2 {
		t.Errorf("got %d rows of the failed batch, want the 2 before its error", n)
	}
	tx := a.begin()
	if _, err = batch(&tx, set(3000, text("y")), set(7, text("again"))); code(err) != "DatabaseErrorException" {
		t.Errorf("got %v, want DatabaseErrorException", err)
	}
	if n := a.long(`SELECT count(*) FROM t WHERE a >= 3000`); n != 0 {
		t.Errorf("got %d rows of the failed transaction, want 0", n)
	}
	if _, err = batch(nil, set(1, &types.FieldMemberArrayValue{Value: &types.ArrayValueMemberLongValues{}})); code(err) != "ValidationException" {
		t.Errorf("array: got %v, want ValidationException", err)
	}
	if out, err := a.client.BatchExecuteStatement(context.Background(), &awsrds.BatchExecuteStatementInput{
		ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, Database: &a.Database,
		Sql: ptr(`UPDATE t SET b = 'z' WHERE a = 1`),
	}); err != nil || len(out.UpdateResults) != 1 {
		t.Errorf("without sets: got %v, %v, want one result", out, err)
	}
}
