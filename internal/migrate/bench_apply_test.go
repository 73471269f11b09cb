package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"
	"github.com/jackc/pgx/v5"

	"godwit/internal/copytext"
	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/stream"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

const (
	benchBatch = 2000 // revisions of one event, some 30 aggregates: a third of what an event may hold
	benchCheck = 1000 // revisions that both ways bring before anything is timed
)

// An applyBench is two copies of a ledger's tables in one database: one that
// stream-apply writes, one that is written as AWS's sample does. Each way goes
// through the messages of the ledger from the beginning on.
type applyBench struct {
	b        *testing.B
	ledger   *streamedLedger
	revision []bool // of each message: it is a revision
	look     *pgx.Conn
	run      *streamRun
	api      *rdsdata.Client
	cluster  *testdb.DataAPI

	liner     *liner
	decoder   *stream.Decoder
	columns   map[string]string // of each current table, for UPDATE
	fast      int               // messages that stream-apply had
	slow      int               // messages that the sample had
	event     events.KinesisEvent
	revisions int64 // that stream-apply had
}

func newApplyBench(b *testing.B, l *streamedLedger, revision []bool) *applyBench {
	b.Helper()
	db := testdb.NewDurable(b)
	x := &applyBench{b: b, ledger: l, revision: revision, cluster: db.DataAPI(b), look: testdb.Connect(b, db.SuperuserDSN), liner: newLiner(b, false), columns: map[string]string{}}
	x.decoder = stream.NewDecoder(x.liner.fields)
	x.through(x.cluster.URL)
	ctx := context.Background()
	admin := &target.DB{API: x.api, ClusterARN: x.cluster.ClusterARN, SecretARN: x.cluster.AdminSecret, Database: x.cluster.Database}
	loader := x.loader()
	if err := target.Prepare(ctx, admin, loader, db.Loader, db.LoaderPassword); err != nil {
		b.Fatal(err)
	}
	x.exec(`CREATE SCHEMA dmv AUTHORIZATION ` + target.Quote(db.Loader))
	x.exec(`CREATE TABLE dmv.table_counts (table_name text NOT NULL, table_id text PRIMARY KEY, is_active boolean NOT NULL, revision_cnt bigint NOT NULL)`)
	x.exec(`ALTER TABLE dmv.table_counts OWNER TO ` + target.Quote(db.Loader))
	x.exec(fmt.Sprintf(`INSERT INTO godwit.load (load_id, target_schema, stage_schema, history, state, strand, first_block, last_block, published_at)
VALUES ('%s', 'dmv', 'godwit_load_x', true, 'published', '%s', 0, -1, now())`, l.stream.Load, l.stream.Strand))
	s := l.stream
	s.ApplyRedactions = false // the sample knows of none
	if _, err := loader.EnableStream(ctx, s); err != nil {
		b.Fatal(err)
	}
	x.run = newStreamRun(b, s)
	x.run.db = loader
	x.run.restart()

	// Both ways bring the same.
	x.batch(benchCheck)
	if err := x.apply(); err != nil {
		b.Fatal(err)
	}
	x.plainTables(db.Loader)
	if err := x.sample(benchCheck); err != nil {
		b.Fatal(err)
	}
	x.same()
	x.run.metrics, x.revisions = map[string]int64{}, 0
	return x
}

// slowed adds a delay to every call from now on.
func (x *applyBench) slowed(delay time.Duration) {
	x.b.Helper()
	if delay == 0 {
		return
	}
	to, err := url.Parse(x.cluster.URL)
	if err != nil {
		x.b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(delay)
		proxy.ServeHTTP(w, r)
	}))
	x.b.Cleanup(front.Close)
	x.through(front.URL)
}

// through sends calls to an endpoint from now on.
func (x *applyBench) through(endpoint string) {
	x.api = target.NewAPI(aws.Config{Region: testdb.Region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	if x.run != nil {
		x.run.db = x.loader()
		x.run.restart()
	}
}

func (x *applyBench) loader() *target.DB {
	return &target.DB{API: x.api, ClusterARN: x.cluster.ClusterARN, SecretARN: x.cluster.LoaderSecret, Database: x.cluster.Database}
}

func (x *applyBench) exec(sql string) {
	x.b.Helper()
	if _, err := x.look.Exec(context.Background(), sql); err != nil {
		x.b.Fatalf("%.200s: %v", sql, err)
	}
}

// plainTables makes the tables of the sample like those of stream-apply.
func (x *applyBench) plainTables(loader string) {
	x.b.Helper()
	x.exec(`CREATE SCHEMA plain`)
	for _, t := range x.tables() {
		x.exec(`CREATE TABLE plain.` + t + ` (LIKE dmv.` + t + ` INCLUDING ALL)`)
		names := ""
		if err := x.look.QueryRow(context.Background(), `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = to_regclass('dmv.' || $1) AND attnum > 0 AND NOT attisdropped`, t).Scan(&names); err != nil {
			x.b.Fatal(err)
		}
		x.columns[t] = names
	}
	x.exec(`GRANT USAGE ON SCHEMA plain TO ` + target.Quote(loader))
	x.exec(`GRANT ALL ON ALL TABLES IN SCHEMA plain TO ` + target.Quote(loader))
}

// tables lists those of documents and their histories.
func (x *applyBench) tables() []string {
	x.b.Helper()
	rows, err := x.look.Query(context.Background(), `SELECT relname::text FROM pg_class WHERE relnamespace = 'dmv'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'table_counts'`)
	if err != nil {
		x.b.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 10 {
		x.b.Fatalf("the first %d revisions make the tables %q: %v", benchCheck, names, err)
	}
	return names
}

// same fails where the two ways brought different rows.
func (x *applyBench) same() {
	x.b.Helper()
	all := 0
	for _, t := range x.tables() {
		var n, wrong int
		err := x.look.QueryRow(context.Background(), fmt.Sprintf(`SELECT (SELECT count(*) FROM dmv.%[1]s), (SELECT count(*) FROM (TABLE dmv.%[1]s EXCEPT ALL TABLE plain.%[1]s) x) + (SELECT count(*) FROM (TABLE plain.%[1]s EXCEPT ALL TABLE dmv.%[1]s) x)`, t)).Scan(&n, &wrong)
		if err != nil || wrong != 0 {
			x.b.Fatalf("table %s: %d rows differ: %v", t, wrong, err)
		}
		all += n
	}
	if all < benchCheck {
		x.b.Fatalf("%d revisions made %d rows", benchCheck, all)
	}
}

// batch makes the event of the next n revisions.
func (x *applyBench) batch(n int) {
	var all []events.KinesisEventRecord
	var waiting []ledgergen.StreamMessage
	size := 0
	flush := func() {
		if len(waiting) > 0 {
			all = append(all, kinesisRecord(0, x.fast, waiting[0].PartitionKey, ledgergen.Aggregate(waiting), arrival))
		}
		waiting, size = nil, 0
	}
	for ; n > 0 && x.fast < len(x.ledger.messages); x.fast++ {
		m := x.ledger.messages[x.fast]
		if size+len(m.Data) > aggregateSize {
			flush()
		}
		waiting, size = append(waiting, m), size+len(m.Data)
		if x.revision[x.fast] {
			n--
			x.revisions++
		}
	}
	flush()
	x.event = delivered(x.b, all)
}

// apply has stream-apply apply the event, as Lambda delivers it.
func (x *applyBench) apply() error {
	out, err := x.run.apply.Handle(context.Background(), x.event)
	if err == nil && len(out.BatchItemFailures) > 0 {
		err = errors.New("not all was applied")
	}
	return err
}

// sample brings the next n revisions as AWS's sample function does: one
// transaction and six calls each.
func (x *applyBench) sample(n int) error {
	for ; n > 0 && x.slow < len(x.ledger.messages); x.slow++ {
		if !x.revision[x.slow] {
			continue
		}
		if err := x.one(x.ledger.messages[x.slow].Data); err != nil {
			return err
		}
		n--
	}
	return nil
}

func (x *applyBench) one(message []byte) error {
	event, err := x.decoder.Decode(stream.Message{Data: message})
	if err != nil {
		return err
	}
	revision, ok := event.(*stream.Revision)
	if !ok {
		return fmt.Errorf("a message is %T", event)
	}
	plan, err := x.liner.mapping.Plan(revision.Table().Name)
	if err != nil {
		return err
	}
	record, err := revision.Record()
	if err != nil {
		return err
	}
	deleted, id, version := revision.Block.Revisions[0].Deleted(), string(record.Key), fmt.Sprint(record.Version)
	row, err := plan.Map(record)
	if err != nil {
		return err
	}
	if x.liner.line, err = copytext.AppendJSON(x.liner.line[:0], row); err != nil {
		return err
	}
	text, current, history := string(x.liner.line), plan.Current.Name, plan.Current.Name+"_audit_log"

	ctx := context.Background()
	begun, err := x.api.BeginTransaction(ctx, &rdsdata.BeginTransactionInput{ResourceArn: &x.cluster.ClusterARN, SecretArn: &x.cluster.LoaderSecret, Database: &x.cluster.Database})
	if err != nil {
		return err
	}
	ask := func(sql string, params ...string) (found bool, err error) {
		in := &rdsdata.ExecuteStatementInput{ResourceArn: &x.cluster.ClusterARN, SecretArn: &x.cluster.LoaderSecret, Database: &x.cluster.Database, TransactionId: begun.TransactionId, Sql: &sql}
		for i := 0; i < len(params); i += 2 {
			in.Parameters = append(in.Parameters, types.SqlParameter{Name: &params[i], Value: &types.FieldMemberStringValue{Value: params[i+1]}})
		}
		out, err := x.api.ExecuteStatement(ctx, in)
		return err == nil && len(out.Records) > 0, err
	}
	there, err := ask(`SELECT version FROM plain.`+current+` WHERE doc_id = :id FOR UPDATE`, "id", id)
	if err != nil {
		return err
	}
	const populated = `json_populate_record(NULL::plain.%[1]s, :row::json)`
	switch {
	case deleted:
		_, err = ask(`DELETE FROM plain.`+current+` WHERE doc_id = :id`, "id", id)
	case there:
		_, err = ask(fmt.Sprintf(`UPDATE plain.%[1]s SET (%[2]s) = (SELECT %[2]s FROM `+populated+`) WHERE doc_id = :id`, current, x.columns[current]), "id", id, "row", text)
	default:
		_, err = ask(fmt.Sprintf(`INSERT INTO plain.%[1]s SELECT * FROM `+populated, current), "row", text)
	}
	if err != nil {
		return err
	}
	there, err = ask(`SELECT 1 FROM plain.`+history+` WHERE doc_id = :id AND version = :version::bigint`, "id", id, "version", version)
	if err == nil && !there {
		_, err = ask(fmt.Sprintf(`INSERT INTO plain.%[1]s SELECT * FROM `+populated, history), "row", text)
	}
	if err != nil {
		return err
	}
	_, err = x.api.CommitTransaction(ctx, &rdsdata.CommitTransactionInput{ResourceArn: &x.cluster.ClusterARN, SecretArn: &x.cluster.LoaderSecret, TransactionId: begun.TransactionId})
	return err
}

// BenchmarkStreamApply races stream-apply, from a Lambda event to committed rows,
// against six calls of the Data API for each revision, as AWS's sample makes them,
// with no added delay and with 5 ms a call. Both commit durably, as on Aurora: a
// commit that costs nothing would flatter the way that makes one a revision.
func BenchmarkStreamApply(b *testing.B) {
	l := streamLedger(b, ledgergen.Options{Seed: 1, Documents: 14_000}, 0)
	d := stream.NewDecoder(nil)
	revision := make([]bool, len(l.messages))
	for i, m := range l.messages {
		event, err := d.Decode(stream.Message{Data: m.Data})
		if err != nil {
			b.Fatal(err)
		}
		_, revision[i] = event.(*stream.Revision)
	}
	for _, c := range []struct {
		delay time.Duration
		few   int64 // revisions of the sample in a round
		least float64
	}{{0, 150, 25}, {5 * time.Millisecond, 30, 400}} {
		b.Run(strings.ReplaceAll(c.delay.String(), "0s", "0ms"), func(b *testing.B) {
			x := newApplyBench(b, l, revision)
			x.slowed(c.delay)
			race(b, fmt.Sprintf("stream to committed rows: %d revisions an event, current and history, commits wait for the disk, %v added to a call, wall time", benchBatch, c.delay), wall(),
				contestant{name: "godwit, stream-apply", bytes: benchBatch, things: "revisions", before: func() error { x.batch(benchBatch); return nil }, run: x.apply},
				contestant{name: "six calls a revision, same rows", bytes: c.few, things: "revisions", run: func() error { return x.sample(int(c.few)) }, least: c.least})
			calls := float64(x.run.metrics[migrate.MetricDataAPICalls]) / float64(x.revisions) * 1000
			fmt.Printf("  Data API calls of 1,000 revisions: %.2f; at most 10: %s\n", calls, verdict(calls <= 10))
			if x.fast >= len(l.messages) {
				b.Fatalf("the ledger of %d messages is too short for %d rounds", len(l.messages), b.N)
			}
		})
	}
}
