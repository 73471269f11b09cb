package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/change"
)

// name is that of the slot and of the publication.
const name = "godwit"

// A changeLog is the changes of a database behind one place of its write-ahead
// log. One goroutine uses it.
//
// AWS DMS reads the text of the plug-in test_decoding. This reads pgoutput, which
// says the same with types and lengths: what is copied here is what arrives, not how
// DMS learns it.
type changeLog struct {
	db    *pgx.Conn
	begin int64 // log sequence number: the snapshot holds what ends at or before it
	types map[[2]int64]string
	keys  map[uint32][]string
}

// A snapshot is the database as it was where a log begins.
type snapshot struct {
	name string // for SET TRANSACTION SNAPSHOT, until it is closed
	conn *pgconn.PgConn
}

func (s *snapshot) close(ctx context.Context) error { return s.conn.Close(ctx) }

// openLog makes a slot, and the snapshot of the same moment. The server's wal_level
// is logical, its synchronous_commit on, or read does not see the latest commits yet;
// dsn is a superuser's.
func openLog(ctx context.Context, dsn string) (_ *changeLog, _ *snapshot, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	// Values are spelt by the session that reads the log.
	for name, value := range map[string]string{"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "bytea_output": "hex", "extra_float_digits": "1"} {
		config.RuntimeParams[name] = value
	}
	l := &changeLog{types: map[[2]int64]string{}, keys: map[uint32][]string{}}
	if l.db, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, nil, fmt.Errorf("connect to the source: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close(ctx))
		}
	}()
	if _, err = l.db.Exec(ctx, `CREATE PUBLICATION `+name+` FOR ALL TABLES WITH (publish = 'insert, update, delete')`); err != nil {
		return nil, nil, err
	}
	walsender, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	walsender.RuntimeParams["replication"] = "database"
	s := &snapshot{}
	if s.conn, err = pgconn.ConnectConfig(ctx, walsender); err != nil {
		return nil, nil, fmt.Errorf("connect to the source's log: %w", err)
	}
	results, err := s.conn.Exec(ctx, `CREATE_REPLICATION_SLOT `+name+` LOGICAL pgoutput (SNAPSHOT 'export')`).ReadAll()
	if err == nil && (len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < 3) {
		err = errors.New("the server does not say where the slot begins")
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a replication slot: %w", err), s.close(ctx))
	}
	row := results[0].Rows[0]
	s.name = string(row[2])
	if l.begin, err = change.ParseLSN(string(row[1])); err != nil {
		return nil, nil, errors.Join(err, s.close(ctx))
	}
	return l, s, nil
}

func (l *changeLog) close(ctx context.Context) error { return l.db.Close(ctx) }

// read returns the transactions behind the slot's place, in the order of their
// commits, and leaves the slot where it is.
func (l *changeLog) read(ctx context.Context) ([]*transaction, error) {
	rows, err := l.db.Query(ctx, `SELECT data FROM pg_logical_slot_peek_binary_changes('`+name+`', NULL, NULL, 'proto_version', '1', 'publication_names', '`+name+`')`)
	if err != nil {
		return nil, fmt.Errorf("read the source's log: %w", err)
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read the source's log: %w", err)
	}
	d := &decoder{relations: map[uint32]*relation{}}
	var all []*transaction
	for i, m := range messages {
		t, err := d.decode(m)
		if err != nil {
			return nil, fmt.Errorf("read the source's log: message %d: %w", i, err)
		}
		if t != nil && len(t.changes) > 0 {
			all = append(all, t)
		}
	}
	for _, t := range all {
		for _, c := range t.changes {
			if err := l.describe(ctx, c.relation); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// advance has the log begin behind a transaction.
func (l *changeLog) advance(ctx context.Context, to int64) error {
	if _, err := l.db.Exec(ctx, `SELECT pg_replication_slot_advance('`+name+`', $1::text::pg_lsn)`, change.FormatLSN(to)); err != nil {
		return fmt.Errorf("advance in the source's log: %w", err)
	}
	return nil
}

// describe fills in the names of a table's types.
func (l *changeLog) describe(ctx context.Context, x *relation) error {
	for i := range x.columns {
		c := &x.columns[i]
		id := [2]int64{int64(c.oid), int64(c.modifier)}
		if l.types[id] == "" {
			var name string
			if err := l.db.QueryRow(ctx, `SELECT format_type($1, $2)`, c.oid, c.modifier).Scan(&name); err != nil {
				return fmt.Errorf("name the type of column %s of %s.%s: %w", c.name, x.schema, x.name, err)
			}
			l.types[id] = name
		}
		c.typ = l.types[id]
	}
	if _, ok := l.keys[x.oid]; ok {
		return nil
	}
	rows, err := l.db.Query(ctx, `SELECT attname::text FROM pg_index i, unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (n, o), pg_attribute a
WHERE i.indrelid = $1 AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY o`, x.oid)
	if err != nil {
		return err
	}
	l.keys[x.oid], err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// key returns the values of a row's primary key; nil where the table has none.
func (l *changeLog) key(x *relation, row []value) []string {
	var key []string
	for _, n := range l.keys[x.oid] {
		for i := range x.columns {
			if x.columns[i].name == n && i < len(row) {
				key = append(key, row[i].text)
			}
		}
	}
	return key
}

// joined is a key as one text, unlike that of any other.
func joined(key []string) string { return fmt.Sprintf("%q", key) }

// quoted is a table's name in SQL.
func quoted(schema, table string) string { return pgx.Identifier{schema, table}.Sanitize() }

// plain is a table's name in a partition key.
func plain(x *relation, key []string) string {
	return strings.Join(append([]string{x.schema, x.name}, key...), ".")
}
