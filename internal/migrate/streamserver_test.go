package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"

	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// A streamServer is a real PostgreSQL behind the Data API. It serves one schedule
// after the other.
type streamServer struct {
	t    testing.TB
	look *pgx.Conn
	to   string
	load string         // name of the role
	ways [3]*streamWay  // of two functions and the operator
	open sync.WaitGroup // calls, some of which nobody waits for
}

func newStreamServer(t testing.TB) *streamServer {
	t.Helper()
	db := testdb.New(t)
	api := db.DataAPIWith(t, rdsdata.Config{})
	s := &streamServer{t: t, look: testdb.Connect(t, db.SuperuserDSN), to: api.URL, load: db.Loader}
	connect := func(url, secret string) *target.DB {
		client := target.NewAPI(aws.Config{
			Region: testdb.Region, BaseEndpoint: &url,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
			}),
		})
		sleep := func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
		return &target.DB{API: client, ClusterARN: api.ClusterARN, SecretARN: secret, Database: api.Database, Sleep: sleep}
	}
	for i := range s.ways {
		w := &streamWay{server: s}
		front := httptest.NewServer(w)
		t.Cleanup(front.Close)
		w.db = connect(front.URL, api.LoaderSecret)
		s.ways[i] = w
	}
	if err := target.Prepare(t.Context(), connect(api.URL, api.AdminSecret), connect(api.URL, api.LoaderSecret), db.Loader, db.LoaderPassword); err != nil {
		t.Fatal(err)
	}
	s.exec(testSQL)
	s.exec(`GRANT ALL ON public.parent, public.orders, public.item TO ` + s.load)
	return s
}

// heldLock is the advisory lock for which a transaction waits when it has taken
// its heads.
const heldLock = "4711"

// testSQL has transactions wait there, and has the database refuse some rows and
// some revisions of documents until that is mended. Its tables are those of rows.
const testSQL = `
CREATE SCHEMA test;
GRANT USAGE ON SCHEMA test TO PUBLIC;
CREATE TABLE test.rule AS SELECT true AS refuses, 0::bigint AS seed;
GRANT SELECT ON test.rule TO PUBLIC;
CREATE FUNCTION test.held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(` + heldLock + `); RETURN NULL; END $$;
CREATE TRIGGER held AFTER INSERT ON godwit.head FOR EACH STATEMENT EXECUTE FUNCTION test.held();
CREATE TRIGGER held AFTER INSERT ON godwit.row_head FOR EACH STATEMENT EXECUTE FUNCTION test.held();
CREATE FUNCTION test.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (SELECT refuses AND CASE TG_TABLE_NAME WHEN 'item' THEN to_jsonb(new)->>'id' = '7'
    ELSE hashtext(concat(seed, to_jsonb(new)->'doc_id', to_jsonb(new)->'version')) % 12 = 0 END FROM test.rule) THEN
    RAISE EXCEPTION 'it is odd' USING ERRCODE = '22003';
  END IF;
  RETURN new;
END $$;
CREATE TABLE public.parent (id bigint PRIMARY KEY);
CREATE TABLE public.orders (id bigint REFERENCES public.parent, line text, price numeric(12,2), doc jsonb, PRIMARY KEY (id, line));
CREATE TABLE public.item (id bigint PRIMARY KEY, name text);
CREATE TRIGGER refuse BEFORE INSERT ON public.item FOR EACH ROW EXECUTE FUNCTION test.refuse();
CREATE TRIGGER refuse BEFORE INSERT ON godwit.head FOR EACH ROW EXECUTE FUNCTION test.refuse();`

// hold has the next transaction wait that took its heads.
func (s *streamServer) hold() { s.exec(`SELECT pg_advisory_lock(` + heldLock + `)`) }

func (s *streamServer) release() { s.exec(`SELECT pg_advisory_unlock_all()`) }

// waits tells whether so many transactions wait for locks: it returns when they
// do, or when done is closed.
func (s *streamServer) waits(n int, done <-chan struct{}) bool {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(300 * time.Microsecond) {
		select {
		case <-done:
			return false
		default:
		}
		if s.number(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) >= n {
			return true
		}
	}
	return false
}

// idle waits for the calls that nobody waits for.
func (s *streamServer) idle() { s.open.Wait() }

func (s *streamServer) operator() *streamWay { return s.ways[len(s.ways)-1] }

// of returns the way of a function.
func (s *streamServer) of(db any) *streamWay {
	return s.ways[slices.IndexFunc(s.ways[:], func(w *streamWay) bool { return w.db == db })]
}

// A streamWay is a way to the database that breaks.
type streamWay struct {
	server *streamServer
	db     *target.DB

	mu     sync.Mutex
	random *rand.Rand
	met    *faultCounts
	armed  string // the next fault
	after  int    // calls until it
	late   func() // told of every request that applies something; nil
}

func (w *streamWay) begin(random *rand.Rand, met *faultCounts) {
	w.random, w.met = random, met
	w.db.RequestBytes = []int{0, 0, 24 << 10}[random.IntN(3)]
	w.arm("", 0)
}

// arm lets a call after some others meet a fault; "" is none.
func (w *streamWay) arm(fault string, after int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.after, w.late = fault, after, nil
}

// endAfter returns a context that ends before a request, so many after the next.
func (w *streamWay) endAfter(ctx context.Context, requests int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	w.arm("", 0)
	w.late = func() {
		if requests--; requests < 0 {
			cancel()
		}
	}
	return ctx
}

// strikes is asked at every call, and returns the fault that it meets, or "".
func (w *streamWay) strikes(applies bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late != nil && applies {
		w.late()
	}
	if w.armed == "" || !applies && w.random.IntN(3) > 0 {
		return ""
	}
	if w.after--; w.after > 0 {
		return ""
	}
	name := w.armed
	w.met.count(name, 1)
	w.armed = ""
	return name
}

// ServeHTTP passes a call on, or answers what its fault does.
func (w *streamWay) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.server.open.Add(1)
	defer w.server.open.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fault := w.strikes(bytes.Contains(body, []byte("godwit.apply(")))
	f := databaseFaults[fault]
	status, answer, header := 0, []byte(nil), http.Header{}
	if fault == "" || f.stored {
		req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, w.server.to+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Header = r.Header
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			out.Header().Set("X-Amzn-Errortype", "TestBroke")
			out.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(out, `{"message":%q}`, err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		if answer, err = io.ReadAll(res.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		status, header = res.StatusCode, res.Header
	}
	code, text := "", "later"
	switch e := f.err.(type) {
	case *stateError:
		code, text = "DatabaseErrorException", "ERROR: it is so; SQLState: "+e.state
	case *serviceError:
		if code = e.code; code == "NoAnswer" {
			panic(http.ErrAbortHandler)
		}
	}
	if code != "" {
		out.Header().Set("X-Amzn-Errortype", code)
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(out, `{"message":%q}`, text)
		return
	}
	maps.Copy(out.Header(), header)
	out.WriteHeader(status)
	_, _ = out.Write(answer) // to a client that may be gone
}

func (s *streamServer) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.look.Exec(context.Background(), sql, args...); err != nil {
		s.t.Fatalf("%.300s: %v", sql, err)
	}
}

func (s *streamServer) number(sql string, args ...any) (n int) {
	s.t.Helper()
	if err := s.look.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.t.Fatalf("%.300s: %v", sql, err)
	}
	return n
}

// applied tells when something was applied last.
func (s *streamServer) applied() (at string) {
	s.t.Helper()
	if err := s.look.QueryRow(context.Background(), `SELECT concat('at ', applied_at) FROM godwit.stream`).Scan(&at); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// asides are the objects of what was set aside.
func (s *streamServer) asides() []string {
	s.t.Helper()
	rows, err := s.look.Query(context.Background(), `SELECT object FROM godwit.stream_aside`)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// begin makes the database as it is before a stream begins: without the tables of
// a ledger, and with empty ones of rows.
func (s *streamServer) begin(t testing.TB, w *streamWorld, seed uint64) {
	t.Helper()
	s.idle()
	s.t = t
	s.release()
	s.exec(beginSQL)
	s.exec(`UPDATE test.rule SET refuses = true, seed = $1`, int64(seed))
	if w.ledger != nil {
		s.exec(`CREATE SCHEMA dmv AUTHORIZATION ` + s.load + `;
CREATE TABLE dmv.table_counts (table_name text NOT NULL, table_id text PRIMARY KEY, is_active boolean NOT NULL, revision_cnt bigint NOT NULL);
ALTER TABLE dmv.table_counts OWNER TO ` + s.load)
		s.exec(`INSERT INTO godwit.load (load_id, target_schema, stage_schema, history, state, strand, first_block, last_block, published_at)
VALUES ($1, 'dmv', 'godwit_load_x', true, 'published', $2, 0, $3, now())`, w.stream.Load, w.stream.Strand, w.stream.Boundary.Major)
	}
	if _, err := s.operator().db.EnableStream(context.Background(), w.stream); err != nil {
		t.Fatal(err)
	}
}

// beginSQL deletes, which takes a tenth of what it takes to truncate.
const beginSQL = `DO $$
DECLARE x text;
BEGIN
  DROP SCHEMA IF EXISTS dmv CASCADE;
  FOR x IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'godwit.head'::regclass LOOP
    EXECUTE 'DROP TABLE ' || x;
  END LOOP;
  PERFORM set_config('session_replication_role', 'replica', true);
  FOR x IN SELECT oid::regclass FROM pg_class WHERE relnamespace IN ('godwit'::regnamespace, 'public'::regnamespace) AND relkind = 'r' LOOP
    EXECUTE 'DELETE FROM ' || x;
  END LOOP;
  INSERT INTO public.parent SELECT generate_series(0, 10);
END $$`

// mend makes the target take what it refused, and counts that.
func (s *streamServer) mend(met *faultCounts) {
	s.t.Helper()
	for reason, name := range map[string]string{"%SQLSTATE 22003%": "refused value", "%rule between rows%": "waits for other rows"} {
		met.count(name, s.number(`SELECT count(*) FROM godwit.stream_aside WHERE reason LIKE $1`, reason))
	}
	s.exec(`UPDATE test.rule SET refuses = false; INSERT INTO public.parent SELECT 11`)
}

// seemly checks what every reader of a ledger's tables may rely on at any time:
// the current tables have the newest revisions that the history has, and no
// document that is deleted, redacted, of a dropped table, or of which a newer
// revision is set aside.
func (s *streamServer) seemly(w *streamWorld) {
	s.t.Helper()
	if w.ledger == nil {
		return
	}
	var tables []string
	if err := s.look.QueryRow(context.Background(), `SELECT coalesce(array_agg(current_name), '{}') FROM godwit.load_table`).Scan(&tables); err != nil {
		s.t.Fatal(err)
	}
	for _, table := range tables {
		var odd []string
		err := s.look.QueryRow(context.Background(), fmt.Sprintf(`
WITH newest AS (SELECT DISTINCT ON (doc_id) * FROM dmv.%[1]s_audit_log ORDER BY doc_id, version DESC),
want AS (
  SELECT n.doc_id, n.version FROM newest n
  WHERE operation <> 'D' AND (ql_audit->>'ql_redacted')::boolean IS NOT TRUE
    AND NOT EXISTS (SELECT FROM godwit.load_source o WHERE o.table_id = n.ql_audit->>'ql_tableid' AND NOT o.active)
    AND NOT EXISTS (SELECT FROM godwit.stream_aside a WHERE a.doc_id = n.doc_id AND a.version > n.version AND a.replayed_at IS NULL)),
got AS (SELECT doc_id, version FROM dmv.%[1]s)
SELECT ARRAY(
  SELECT 'lacks ' || (w::text) FROM (SELECT * FROM want EXCEPT SELECT * FROM got) AS w
  UNION ALL SELECT 'has ' || (g::text) FROM (SELECT * FROM got EXCEPT SELECT * FROM want) AS g)`, table)).Scan(&odd)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, x := range odd[:min(len(odd), 3)] {
			s.t.Errorf("before the end table dmv.%s %s", table, x)
		}
	}
}

// same compares the database with what it has to hold.
func (s *streamServer) same(w *streamWorld) {
	s.t.Helper()
	if w.database != nil {
		rows := map[string][]json.RawMessage{"orders": nil, "item": nil}
		for key, row := range w.database.rows {
			table, _, _ := strings.Cut(strings.TrimPrefix(key, "public."), "[")
			var m map[string]json.RawMessage
			var doc string
			if err := json.Unmarshal([]byte(row), &m); err != nil {
				s.t.Fatal(err)
			}
			if m["doc"] != nil && json.Unmarshal(m["doc"], &doc) == nil {
				m["doc"] = json.RawMessage(doc)
			}
			b, _ := json.Marshal(m)
			rows[table] = append(rows[table], b)
		}
		for table, want := range rows {
			s.compare("public."+table, "*", want)
		}
		return
	}
	split := func(from map[string]string, suffix string) map[string][]json.RawMessage {
		out := map[string][]json.RawMessage{}
		for _, key := range slices.Sorted(maps.Keys(from)) {
			table, _, _ := strings.Cut(key, "/")
			out["dmv."+table+suffix] = append(out["dmv."+table+suffix], json.RawMessage(from[key]))
		}
		return out
	}
	for _, tables := range []map[string][]json.RawMessage{split(w.ledger.history, "_audit_log"), split(w.ledger.current, "")} {
		for table, want := range tables {
			s.compare(table, `(to_jsonb(x) - 'ql_audit'), (CASE WHEN (ql_audit->>'ql_redacted')::boolean THEN ql_audit - 'ql_data_hash' ELSE ql_audit END) - '{ql_object,ql_offset,ql_revision}'::text[]`, want)
		}
	}
}

func (s *streamServer) compare(table, columns string, want []json.RawMessage) {
	s.t.Helper()
	all, _ := json.Marshal(want)
	var lack, more []string
	err := s.look.QueryRow(context.Background(), fmt.Sprintf(`
WITH want AS (SELECT %[1]s FROM json_populate_recordset(NULL::%[2]s, $1::json) AS x), got AS (SELECT %[1]s FROM %[2]s AS x)
SELECT ARRAY(SELECT w::text FROM (SELECT * FROM want EXCEPT ALL SELECT * FROM got) AS w), ARRAY(SELECT w::text FROM (SELECT * FROM got EXCEPT ALL SELECT * FROM want) AS w)`, columns, table), string(all)).Scan(&lack, &more)
	if err != nil {
		s.t.Errorf("%s: %v", table, err)
	}
	for _, x := range lack[:min(len(lack), 3)] {
		s.t.Errorf("%s lacks %s (%d rows)", table, x, len(lack))
	}
	for _, x := range more[:min(len(more), 3)] {
		s.t.Errorf("%s has %s (%d rows)", table, x, len(more))
	}
}

// faultCounts counts how often each fault occurred.
type faultCounts struct {
	mu sync.Mutex
	n  map[string]int
}

func (f *faultCounts) count(name string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = map[string]int{}
	}
	f.n[name] += n
}

func (f *faultCounts) add(met *faultCounts) {
	for name, n := range met.n {
		f.count(name, n)
	}
}

// report prints the counts; all tells that each fault must have occurred.
func (f *faultCounts) report(t *testing.T, all bool) {
	t.Helper()
	for _, name := range streamFaults {
		t.Logf("%6d %s", f.n[name], name)
		if all && f.n[name] == 0 {
			t.Errorf("fault %q never occurred", name)
		}
	}
	for name := range f.n {
		if !slices.Contains(streamFaults, name) {
			t.Errorf("fault %q is not listed", name)
		}
	}
}

// cause is an error with what the client said of a call without an answer, which
// target leaves out.
func cause(err error) error {
	var e *target.Error
	if errors.As(err, &e) && errors.Unwrap(e) != nil {
		return fmt.Errorf("%w (%w)", err, errors.Unwrap(e))
	}
	return err
}
