package target_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	rdsdataapi "github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/jackc/pgx/v5"

	"godwit/internal/change"
	"godwit/internal/copytext"
	"godwit/internal/local/postgres"
	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// A shelf is the S3 that aws_s3 reads: gzip objects by path. The server of a test
// binary has one import role, so all tests share one shelf.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	gates   map[string]chan struct{} // an object is not served before its gate opens
	reads   map[string]int
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	body, gate := s.objects[r.URL.Path], s.gates[r.URL.Path]
	s.reads[r.URL.Path]++
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if body == nil {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body)
}

func (s *shelf) put(t testing.TB, bucket, key string, text []byte) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(text)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects["/"+bucket+"/"+key] = b.Bytes()
}

// hold keeps an object back until the returned function is called.
func (s *shelf) hold(t testing.TB, bucket, key string) (open func()) {
	gate := make(chan struct{})
	s.mu.Lock()
	s.gates["/"+bucket+"/"+key] = gate
	s.mu.Unlock()
	open = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	return open
}

func (s *shelf) count(bucket, key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads["/"+bucket+"/"+key]
}

var sharedShelf = sync.OnceValues(func() (*shelf, string) {
	s := &shelf{objects: map[string][]byte{}, gates: map[string]chan struct{}{}, reads: map[string]int{}}
	return s, httptest.NewServer(s).URL // until the test binary ends
})

// A wire stands between the client and the Data API, and may break.
type wire struct {
	to    string
	mu    sync.Mutex
	lose  func(body string) bool // the request is carried out, the reply is lost
	calls []string               // bodies
}

func (p *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	p.mu.Lock()
	p.calls = append(p.calls, string(body))
	lost := p.lose != nil && p.lose(string(body))
	p.mu.Unlock()
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, p.to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || lost {
		panic(http.ErrAbortHandler)
	}
	for k, v := range res.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(res.StatusCode)
	w.Write(answer)
}

// A bench is a prepared database with everything that a load needs around it.
type bench struct {
	t      testing.TB
	db     *testdb.DB
	api    *testdb.DataAPI
	wire   *wire
	admin  *target.DB
	loader *target.DB
	shelf  *shelf
	look   *pgx.Conn // sees everything
}

func newBench(t testing.TB, cfg rdsdata.Config) *bench {
	t.Helper()
	b := newBareBench(t, cfg)
	admin, loader := *b.admin, *b.loader
	if cfg.Timeout > 0 { // is the test's, not the installation's
		api := b.db.DataAPIWith(t, rdsdata.Config{})
		admin = target.DB{API: client(api.URL), ClusterARN: api.ClusterARN, SecretARN: api.AdminSecret, Database: api.Database}
		loader = target.DB{API: client(api.URL), ClusterARN: api.ClusterARN, SecretARN: api.LoaderSecret, Database: api.Database}
	}
	if err := target.Prepare(t.Context(), &admin, &loader, b.db.Loader, b.db.LoaderPassword); err != nil {
		t.Fatal(err)
	}
	return b
}

func newBareBench(t testing.TB, cfg rdsdata.Config) *bench {
	t.Helper()
	db := testdb.New(t)
	api := db.DataAPIWith(t, cfg)
	s, url := sharedShelf()
	if err := db.Server.SetImport(postgres.Import{Endpoint: url, Region: testdb.Region, AccessKeyID: "IMPORTROLE", SecretAccessKey: "s"}); err != nil {
		t.Fatal(err)
	}
	w := &wire{to: api.URL}
	front := httptest.NewServer(w)
	t.Cleanup(front.Close)
	api1 := client(front.URL)
	return &bench{
		t: t, db: db, api: api, wire: w, shelf: s, look: testdb.Connect(t, db.SuperuserDSN),
		admin:  &target.DB{API: api1, ClusterARN: api.ClusterARN, SecretARN: api.AdminSecret, Database: api.Database},
		loader: &target.DB{API: api1, ClusterARN: api.ClusterARN, SecretARN: api.LoaderSecret, Database: api.Database},
	}
}

// client is the client of a function, without IAM.
func client(url string) *rdsdataapi.Client {
	return target.NewAPI(aws.Config{
		Region: testdb.Region, BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
}

// loseReplies makes the wire lose the replies of calls whose body has text in it,
// n times.
func (b *bench) loseReplies(n int, text string) {
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	b.wire.lose = func(body string) bool {
		if n == 0 || !strings.Contains(body, text) {
			return false
		}
		n--
		return true
	}
}

// get returns one value.
func get[T any](b *bench, sql string, args ...any) T {
	b.t.Helper()
	var v T
	if err := b.look.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		b.t.Fatalf("%.200s: %v", sql, err)
	}
	return v
}

// list returns the values of one text column, joined by spaces.
func (b *bench) list(sql string, args ...any) string {
	b.t.Helper()
	rows, err := b.look.Query(context.Background(), sql, args...)
	if err != nil {
		b.t.Fatalf("%.200s: %v", sql, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%.200s: %v", sql, err)
	}
	return strings.Join(all, " ")
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.look.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatalf("%.200s: %v", sql, err)
	}
}

// waitIdle waits for the statements of the Data API to end.
func (b *bench) waitIdle() {
	b.t.Helper()
	for range 600 {
		if get[int](b, `SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'RDS Data API' AND state <> 'idle'`, b.db.Name) == 0 {
			return
		}
		get[string](b, `SELECT pg_sleep(0.05)::text`)
	}
	b.t.Fatal("a statement does not end")
}

// A revision of the test ledgers. Documents have one mapped column, name.
type revision struct {
	doc     string
	version int64
	op      string // I, U, D
	table   string // ledger table id
	value   string // of column name; also makes the hash
	gone    bool   // this copy is redacted
}

func (r revision) hash() string {
	h := sha256.Sum256([]byte(r.doc + r.value + fmt.Sprint(r.version)))
	return base64.StdEncoding.EncodeToString(h[:])
}

func (r revision) dataHash() string {
	if !r.gone {
		return ""
	}
	h := sha256.Sum256([]byte(r.value))
	return base64.StdEncoding.EncodeToString(h[:])
}

// pair makes the two tables of a target table.
func pair(current string, mapped ...change.Column) change.LoadTable {
	text := change.Type{Kind: change.Text}
	cols := append([]change.Column{{Name: "doc_id", Type: text, NotNull: true}, {Name: "version", Type: change.Type{Kind: change.Int, Bits: 64}, NotNull: true}}, mapped...)
	cols = append(cols, change.Column{Name: "ql_audit", Type: change.Type{Kind: change.JSON}, NotNull: true})
	return change.LoadTable{
		Current: change.Table{Name: current, Columns: cols, Key: []string{"doc_id"}},
		History: change.Table{Name: current + "_audit_log", Key: []string{"doc_id", "version"}, Columns: append(slices.Clone(cols),
			change.Column{Name: "operation", Type: change.Type{Kind: change.Text, Length: 1}, NotNull: true},
			change.Column{Name: "transaction_id", Type: text, NotNull: true})},
	}
}

var nameColumn = change.Column{Name: "name", Type: change.Type{Kind: change.Text}}

// A plan is one load of the tests.
type plan struct {
	change.Load
	tables    []change.LoadTable
	sources   []change.LoadSource
	revisions []revision
	aside     []revision // in quarantine
	redact    []revision // asked for by the archive
	keep      bool       // redactions are not applied
	sliceRows int64
}

// ledger makes a plan with one target table, person, fed by ledger table T1.
func ledger(id string, revisions ...revision) *plan {
	for i := range revisions {
		if revisions[i].table == "" {
			revisions[i].table = "T1"
		}
	}
	return &plan{
		Load:      change.Load{ID: id, Schema: "dmv", History: true, Strand: "S", First: 0, Last: 100},
		tables:    []change.LoadTable{pair("person", nameColumn)},
		sources:   []change.LoadSource{{SourceTable: change.SourceTable{ID: "T1", Name: "Person"}, Current: "person", Active: true}},
		revisions: revisions,
		sliceRows: 2,
	}
}

func (p *plan) table(current string) change.LoadTable {
	return p.tables[slices.IndexFunc(p.tables, func(t change.LoadTable) bool { return t.Current.Name == current })]
}

func task(phase, name string, args map[string]any) change.Task {
	text, err := json.Marshal(args)
	if err != nil {
		panic(err) // a map of plain values
	}
	return change.Task{Phase: phase, Name: name, Args: text}
}

// part writes rows of a table as one part and returns the task that imports it.
func (b *bench) part(p *plan, relation, tableID string, lines []byte, rows int) change.Task {
	b.t.Helper()
	key := fmt.Sprintf("parts/%s/%s/%s.copy.gz", b.db.Name, p.ID, tableID)
	b.shelf.put(b.t, "work-bucket", key, lines)
	return task("import", tableID+"/000000", map[string]any{
		"schema": p.Stage(), "relation": relation, "table_id": tableID,
		"bucket": "work-bucket", "key": key, "region": testdb.Region, "rows": rows,
	})
}

func (b *bench) imports(p *plan) []change.Task {
	b.t.Helper()
	var tasks []change.Task
	for _, s := range p.sources {
		history := p.table(s.Current).History
		var lines []byte
		n := 0
		for _, r := range p.revisions {
			if r.table != s.ID {
				continue
			}
			n++
			audit, err := json.Marshal(map[string]any{"ql_rev_hash": r.hash(), "ql_tableid": r.table, "ql_id": r.doc, "ql_v": r.version, "ql_redacted": r.gone, "ql_data_hash": r.dataHash()})
			if err != nil {
				b.t.Fatal(err)
			}
			value := change.Value{Kind: change.Text, Bytes: []byte(r.value)}
			if r.op == "D" || r.gone {
				value = change.Value{Kind: change.Null}
			}
			lines, err = copytext.AppendRow(lines, change.Row{Table: &history, Values: []change.Value{
				{Kind: change.Text, Bytes: []byte(r.doc)},
				{Kind: change.Int, Int: r.version},
				value,
				{Kind: change.JSON, Bytes: audit},
				{Kind: change.Text, Bytes: []byte(r.op)},
				{Kind: change.Text, Bytes: []byte("tx")},
			}})
			if err != nil {
				b.t.Fatal(err)
			}
		}
		if n > 0 {
			tasks = append(tasks, b.part(p, history.Name, s.ID, lines, n))
		}
	}
	if len(p.aside) > 0 {
		var lines strings.Builder
		for _, r := range p.aside {
			fmt.Fprintf(&lines, "%s\t%s\tPerson\t%s\t%d\tobject\t1\t0\tname\tno reason\n", p.ID, r.table, r.doc, r.version)
		}
		key := fmt.Sprintf("parts/%s/%s/quarantine.copy.gz", b.db.Name, p.ID)
		b.shelf.put(b.t, "work-bucket", key, []byte(lines.String()))
		tasks = append(tasks, task("import", "quarantine", map[string]any{
			"schema": "godwit", "relation": "quarantine", "table_id": "",
			"bucket": "work-bucket", "key": key, "region": testdb.Region, "rows": len(p.aside),
		}))
	}
	if len(p.redact) > 0 && !p.keep {
		var lines strings.Builder
		for _, r := range p.redact {
			fmt.Fprintf(&lines, "%s\t%s\t%s\t%d\t1\t\\N\t\\N\n", p.ID, cmp.Or(r.table, "T1"), r.doc, r.version)
		}
		key := fmt.Sprintf("parts/%s/%s/redactions.copy.gz", b.db.Name, p.ID)
		b.shelf.put(b.t, "work-bucket", key, []byte(lines.String()))
		tasks = append(tasks, task("import", "redactions", map[string]any{
			"schema": "godwit", "relation": "redaction", "bucket": "work-bucket", "key": key, "region": testdb.Region, "rows": len(p.redact),
		}))
	}
	return tasks
}

func (b *bench) keys(p *plan) (tasks []change.Task) {
	for _, t := range p.tables {
		tasks = append(tasks, task("keys", t.History.Name, map[string]any{"history": t.History.Name}))
	}
	return tasks
}

func (b *bench) slices(p *plan) (tasks []change.Task) {
	b.t.Helper()
	for _, t := range p.tables {
		slices, err := b.loader.Slices(context.Background(), p.ID, t.Current.Name, p.sliceRows)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, s := range slices {
			tasks = append(tasks, task("slices", fmt.Sprintf("%s/%d", t.Current.Name, s.Number), map[string]any{"table": t.Current.Name, "low": s.Low, "high": s.High, "redact": !p.keep}))
		}
	}
	return tasks
}

func (b *bench) indexes(p *plan) (tasks []change.Task) {
	for _, t := range p.tables {
		tasks = append(tasks,
			task("indexes", t.Current.Name+" key", map[string]any{"relation": t.Current.Name, "columns": t.Current.Key, "key": true}),
			task("indexes", t.Current.Name+" heads", map[string]any{"heads_of": t.Current.Name, "columns": []string{"relation", "doc_id"}, "key": true}))
		for _, x := range []change.Table{t.Current, t.History} {
			for i, ix := range x.Indexes {
				tasks = append(tasks, task("indexes", fmt.Sprintf("%s index %d", x.Name, i+1), map[string]any{
					"relation": x.Name, "columns": ix.Columns, "unique": ix.Unique, "key": false, "index": ix.Name,
				}))
			}
		}
	}
	return tasks
}

var visible = task("visible", "load", map[string]any{})

// run does a task to its end as the state machine does: again after a lost
// reply, with look while it is running.
func (b *bench) run(load string, t change.Task) error {
	look := false
	for range 600 {
		done, err := b.loader.Run(context.Background(), load, t, look)
		if done || err != nil {
			return err
		}
		look = true
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s %s does not end", t.Phase, t.Name)
}

func (b *bench) runAll(load string, tasks []change.Task) error {
	for _, t := range tasks {
		if err := b.run(load, t); err != nil {
			return err
		}
	}
	return nil
}

// begin registers a load and makes its hidden tables.
func (b *bench) begin(p *plan) {
	b.t.Helper()
	published, err := b.loader.Begin(context.Background(), p.Load)
	if err != nil || published {
		b.t.Fatalf("begin %s: got published %v and error %v", p.ID, published, err)
	}
	if err := b.loader.Stage(context.Background(), p.Load, p.tables, p.sources); err != nil {
		b.t.Fatal(err)
	}
}

// hidden does everything of a load but showing it.
func (b *bench) hidden(p *plan) error {
	b.t.Helper()
	b.begin(p)
	if err := b.runAll(p.ID, b.imports(p)); err != nil {
		return err
	}
	if err := b.runAll(p.ID, b.keys(p)); err != nil {
		return err
	}
	if err := b.runAll(p.ID, b.slices(p)); err != nil {
		return err
	}
	return b.runAll(p.ID, b.indexes(p))
}

// load does a whole load.
func (b *bench) load(p *plan) {
	b.t.Helper()
	if err := b.hidden(p); err != nil {
		b.t.Fatal(err)
	}
	if err := b.run(p.ID, visible); err != nil {
		b.t.Fatal(err)
	}
}

// current shows the current table as doc:version:value.
func (b *bench) current() string {
	b.t.Helper()
	return b.list(`SELECT doc_id || ':' || version || ':' || coalesce(name, '-') FROM dmv.person ORDER BY doc_id COLLATE "C"`)
}

// history shows the audit table as doc:version:operation.
func (b *bench) history() string {
	b.t.Helper()
	return b.list(`SELECT doc_id || ':' || version || ':' || operation FROM dmv.person_audit_log ORDER BY doc_id COLLATE "C", version`)
}

// heads shows what guards the current table, tombstones marked with a cross.
func (b *bench) heads() string {
	b.t.Helper()
	return b.list(`SELECT doc_id || ':' || version || CASE WHEN deleted THEN 'x' ELSE '' END FROM godwit.head ORDER BY relation, doc_id`)
}

func equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got  %s\nwant %s", what, got, want)
	}
}

// inline puts literals in place of $1, $2 …, for statements whose parameters a
// test does not type.
func inline(sql string, args []any) string {
	for i, a := range args {
		text := "NULL"
		switch v := a.(type) {
		case string:
			text = "'" + strings.ReplaceAll(v, "'", "''") + "'"
		case int64, bool:
			text = fmt.Sprint(v)
		}
		sql = strings.ReplaceAll(sql, fmt.Sprintf("$%d", i+1), text)
	}
	return sql
}

// waitLocked waits until n statements of the Data API wait for locks.
func (b *bench) waitLocked(n int) {
	b.t.Helper()
	watch := testdb.Connect(b.t, b.db.SuperuserDSN) // b.look may hold the lock
	for range 600 {
		var waits int
		if err := watch.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'RDS Data API' AND wait_event_type = 'Lock'`).Scan(&waits); err != nil {
			b.t.Fatal(err)
		}
		if waits >= n {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Fatalf("fewer than %d statements wait for locks", n)
}
