package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"

	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// A streamServer is a real PostgreSQL behind the Data API, with a way to it that
// breaks. It serves one schedule after the other.
type streamServer struct {
	t    testing.TB
	look *pgx.Conn
	to   string
	db   *target.DB
	load string // name of the role
	// strikes names the fault that a call meets; "" is none.
	strikes func(applies bool) string
}

func newStreamServer(t testing.TB) *streamServer {
	t.Helper()
	db := testdb.New(t)
	api := db.DataAPIWith(t, rdsdata.Config{})
	s := &streamServer{t: t, look: testdb.Connect(t, db.SuperuserDSN), to: api.URL, load: db.Loader}
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	client := target.NewAPI(aws.Config{
		Region: testdb.Region, BaseEndpoint: &front.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
	sleep := func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	admin := &target.DB{API: client, ClusterARN: api.ClusterARN, SecretARN: api.AdminSecret, Database: api.Database, Sleep: sleep}
	s.db = &target.DB{API: client, ClusterARN: api.ClusterARN, SecretARN: api.LoaderSecret, Database: api.Database, Sleep: sleep}
	if err := target.Prepare(t.Context(), admin, s.db, db.Loader, db.LoaderPassword); err != nil {
		t.Fatal(err)
	}
	return s
}

// ServeHTTP passes a call on, or answers what its fault does.
func (s *streamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fault := ""
	if s.strikes != nil {
		fault = s.strikes(bytes.Contains(body, []byte("godwit.apply(")))
	}
	f := databaseFaults[fault]
	status, answer, header := 0, []byte(nil), http.Header{}
	if fault == "" || f.stored {
		req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, s.to+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Header = r.Header
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			panic(http.ErrAbortHandler)
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
		w.Header().Set("X-Amzn-Errortype", code)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"message":%q}`, text)
		return
	}
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(answer) // to a client that may be gone
}

func (s *streamServer) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.look.Exec(context.Background(), sql, args...); err != nil {
		s.t.Fatalf("%.300s: %v", sql, err)
	}
}

// begin makes the database as it is before a stream begins: without its tables,
// a ledger's that is, and with those of rows.
func (s *streamServer) begin(t testing.TB, w *streamWorld) {
	t.Helper()
	s.t, s.strikes = t, nil
	s.exec(`DO $$
DECLARE x text;
BEGIN
  DROP SCHEMA IF EXISTS dmv CASCADE;
  DROP TABLE IF EXISTS public.orders, public.item, public.parent CASCADE;
  FOR x IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'godwit.head'::regclass LOOP
    EXECUTE 'DROP TABLE ' || x;
  END LOOP;
  SELECT string_agg(oid::regclass::text, ', ') INTO x FROM pg_class WHERE relnamespace = 'godwit'::regnamespace AND relkind = 'r';
  EXECUTE 'TRUNCATE ' || x || ' CASCADE';
END $$`)
	if w.ledger != nil {
		s.exec(`CREATE SCHEMA dmv AUTHORIZATION ` + s.load)
		s.exec(`CREATE TABLE dmv.table_counts (table_name text NOT NULL, table_id text PRIMARY KEY, is_active boolean NOT NULL, revision_cnt bigint NOT NULL)`)
		s.exec(`ALTER TABLE dmv.table_counts OWNER TO ` + s.load)
		s.exec(`INSERT INTO godwit.load (load_id, target_schema, stage_schema, history, state, strand, first_block, last_block, published_at)
VALUES ($1, 'dmv', 'godwit_load_x', true, 'published', $2, 0, $3, now())`, w.stream.Load, w.stream.Strand, w.stream.Boundary.Major)
	} else {
		s.exec(`CREATE TABLE public.parent (id bigint PRIMARY KEY)`)
		s.exec(`CREATE TABLE public.orders (id bigint REFERENCES public.parent, line text, price numeric(12,2), doc jsonb, PRIMARY KEY (id, line))`)
		s.exec(`CREATE TABLE public.item (id bigint PRIMARY KEY, name text, CONSTRAINT odd CHECK (id <> 7))`)
		s.exec(`INSERT INTO public.parent SELECT generate_series(0, 9)`)
		s.exec(`GRANT ALL ON public.parent, public.orders, public.item TO ` + s.load)
	}
	if _, err := s.db.EnableStream(context.Background(), w.stream); err != nil {
		t.Fatal(err)
	}
}

// mend makes the target take what it refused, and counts that.
func (s *streamServer) mend(met map[string]int) {
	s.t.Helper()
	for name, reason := range map[string]string{"refused value": "%SQLSTATE 23514%", "waits for other rows": "%rule between rows%"} {
		n := 0
		if err := s.look.QueryRow(context.Background(), `SELECT count(*) FROM godwit.stream_aside WHERE reason LIKE $1`, reason).Scan(&n); err != nil {
			s.t.Fatal(err)
		}
		met[name] += n
	}
	s.exec(`ALTER TABLE IF EXISTS public.item DROP CONSTRAINT IF EXISTS odd`)
	s.exec(`DO $$ BEGIN IF to_regclass('public.parent') IS NOT NULL THEN INSERT INTO public.parent SELECT generate_series(10, 12); END IF; END $$`)
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

// The same against the real target: one in 25, for what the target does with each
// kind of item is its own package's to try.
func TestRandomStreamSchedulesOnPostgreSQL(t *testing.T) {
	first, n := rand.Uint64()%1_000_000, uint64(max(1, *streamSchedules/25))
	if text := os.Getenv("GODWIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	worlds := streamWorlds(t)
	server := newStreamServer(t)
	met := &faultCounts{}
	for seed := first; seed < first+n; seed++ {
		w := &worlds[seed%uint64(len(worlds))]
		t.Run(fmt.Sprintf("%s seed %d", w.name, seed), func(t *testing.T) {
			server.begin(t, w)
			s := newStreamSchedule(t, w, seed)
			s.server, s.db = server, server.db
			server.strikes = s.strikes
			s.restart()
			s.run()
			met.add(s.met)
		})
	}
	met.report(t, n >= 40)
}
