package dsql

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A jobRequest is what a statement with ASYNC asks for.
type jobRequest struct {
	table       name
	constraint  string // to validate
	index       bool   // to build
	name        string // of the index; "" lets the server name it
	unique      bool
	ifNotExists bool
	rest        string // of the statement, from the keys on
}

// tick is how often the keeper looks at the cluster's clock.
const tick = 10 * time.Millisecond

// keep carries jobs out, one after the other, and ends sessions whose time is
// over, until the cluster closes.
func (c *Cluster) keep() {
	defer c.served.Done()
	t := time.NewTicker(tick)
	defer t.Stop()
	open := true // jobs that have not ended: those of an earlier cluster
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.wake:
			open = true
		case <-t.C:
		}
		c.retire()
		for open {
			more, err := c.work()
			if err != nil {
				if c.ctx.Err() == nil {
					c.broken(err)
				}
				return
			}
			if open = more != idle; more == waiting {
				break
			}
		}
	}
}

// broken ends a cluster whose keeper cannot go on: its jobs would never end.
func (c *Cluster) broken(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = fmt.Errorf("keep the jobs of the local DSQL cluster: %w", err)
	for s := range c.sessions {
		s.cut()
	}
}

// wakeKeeper says that there are jobs.
func (c *Cluster) wakeKeeper() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake
	}
}

// retire ends the sessions that are an hour old, and do not have a transaction
// that they may still end.
func (c *Cluster) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.config.Limits
	now := c.config.Now()
	for s := range c.sessions {
		if age := now.Sub(s.opened); age > l.ConnectionLife && !s.busy.Load() || age > l.ConnectionLife+l.Age {
			s.cut()
		}
	}
}

// progress is what there is to do.
type progress uint8

const (
	idle    progress = iota // no job that has not ended
	waiting                 // for the clock
	moved                   // something was done
)

// work takes the oldest job that has not ended one step on.
func (c *Cluster) work() (progress, error) {
	var id, status, statement, path, table string
	var since time.Time
	err := c.admin.QueryRow(c.ctx, `SELECT job_id, status, statement, path, coalesce(relname, ''), update_time FROM sys.job LEFT JOIN pg_catalog.pg_class ON oid = relation
		WHERE status IN ('submitted', 'processing') ORDER BY position LIMIT 1`).Scan(&id, &status, &statement, &path, &table, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return idle, nil
	} else if err != nil {
		return idle, err
	}
	now := c.config.Now()
	if now.Sub(since) < c.config.JobDelay {
		return waiting, nil
	}
	next, details := "processing", ""
	if status == "processing" {
		next = "completed"
		if _, err := c.admin.Exec(c.ctx, "SELECT pg_catalog.set_config('search_path', $1, false)", path); err != nil {
			return idle, err
		}
		// A crash here leaves a job that is processing, and perhaps a part of an
		// index: see prepare.
		if _, err := c.admin.Exec(c.ctx, statement); err != nil {
			var server *pgconn.PgError
			if !errors.As(err, &server) {
				return idle, err
			}
			next, details = "failed", server.Message
		}
		c.changed(map[string]bool{table: true}, nil)
	}
	_, err = c.admin.Exec(c.ctx, `UPDATE sys.job SET status = $2, details = $3, update_time = $4,
		object_id = CASE WHEN job_type = 'INDEX_BUILD' THEN coalesce(pg_catalog.to_regclass(object_name)::oid, 0) ELSE object_id END WHERE job_id = $1`,
		id, next, details, now)
	return moved, err
}

// jobID is 128 random bits as the service spells them.
func jobID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// submit answers a statement with ASYNC: the job is there when the transaction
// commits.
func (s *session) submit(stmt *statement, o output) ([]byte, *pgproto3.ErrorResponse, error) {
	tag := "ALTER TABLE"
	work := s.submitValidation
	if stmt.job.index {
		tag, work = "CREATE INDEX", s.submitIndex
	}
	id, err := work(stmt.job)
	if err != nil {
		failure, err := answerOf(err)
		return nil, failure, err
	}
	var row [][]byte
	if id != "" { // IF NOT EXISTS begins no job for what exists
		row = [][]byte{[]byte(id)}
	}
	s.tx.jobs = true
	return []byte(tag), nil, o.table(s, stmt.columns(), row)
}

// owned finds the table of a request, which only its owner may change.
func (s *session) owned(n name) (schema, table string, err error) {
	spelled := identifier(n.object)
	asked := n.object
	if n.schema != "" {
		spelled, asked = identifier(n.schema, n.object), n.schema+"."+n.object
	}
	rows, err := s.rows(`SELECT n.nspname, c.relname, pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.oid = pg_catalog.to_regclass(` + sqlText(spelled) + `)`)
	if err != nil {
		return "", "", err
	}
	if len(rows) == 0 {
		return "", "", &Error{Code: "42P01", Message: fmt.Sprintf("relation %q does not exist", asked)}
	}
	if rows[0][2] != "t" {
		return "", "", &Error{Code: "42501", Message: "must be owner of table " + rows[0][1]}
	}
	return rows[0][0], rows[0][1], nil
}

// submitIndex checks an index by building it on an empty copy of its table, which
// finds all that its data do not.
func (s *session) submitIndex(j *jobRequest) (string, error) {
	schema, table, err := s.owned(j.table)
	if err != nil {
		return "", err
	}
	unique := ""
	if j.unique {
		unique = "UNIQUE "
	}
	id := ""
	err = s.asSuperuser(func() error {
		if j.name != "" {
			known, err := s.indexName(schema, j.name)
			if err != nil {
				return err
			}
			if known && j.ifNotExists {
				s.client.Send(&pgproto3.NoticeResponse{Severity: "NOTICE", SeverityUnlocalized: "NOTICE", Code: "42P07", Message: fmt.Sprintf("relation %q already exists, skipping", j.name)})
				s.skipped = true
				return nil
			} else if known {
				return &Error{Code: "42P07", Message: fmt.Sprintf("relation %q already exists", j.name)}
			}
		}
		spelled := ""
		if j.name != "" {
			spelled = identifier(j.name) + " "
		}
		twin := "pg_temp." + identifier(table)
		for _, sql := range []string{
			"SAVEPOINT twin", "CREATE TEMPORARY TABLE " + identifier(table) + " (LIKE " + identifier(schema, table) + ")",
			"CREATE " + unique + "INDEX " + spelled + "ON " + twin + " " + j.rest,
		} {
			if err := s.exec(sql); err != nil {
				return err
			}
		}
		rows, err := s.rows("SELECT c.relname, sys.check_keys(i.indrelid, (SELECT count(*) FROM pg_catalog.pg_index WHERE indrelid = " + sqlText(identifier(schema, table)) +
			"::regclass) + sys.to_build(" + sqlText(identifier(schema, table)) + "::regclass))" +
			" FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = " + sqlText(twin) + "::regclass")
		if err != nil {
			return err
		}
		if err := s.exec("ROLLBACK TO SAVEPOINT twin"); err != nil {
			return err
		}
		index := rows[0][0]
		for n := 1; j.name == ""; n++ {
			known, err := s.indexName(schema, index)
			if err != nil {
				return err
			}
			if !known {
				break
			}
			index = fmt.Sprintf("%s%d", rows[0][0], n)
		}
		id = jobID()
		return s.addJob(id, "INDEX_BUILD", "1259", "0", shown(schema, index), identifier(schema, table),
			"CREATE "+unique+"INDEX CONCURRENTLY "+identifier(index)+" ON "+identifier(schema, table)+" "+j.rest)
	})
	return id, err
}

// indexName says whether a name is taken, by a relation or by an index that is
// still to be built.
func (s *session) indexName(schema, index string) (bool, error) {
	rows, err := s.rows("SELECT FROM pg_catalog.pg_class WHERE relname = " + sqlText(index) + " AND relnamespace = " + sqlText(identifier(schema)) + "::regnamespace" +
		" UNION ALL SELECT FROM sys.job WHERE status IN ('submitted', 'processing') AND object_name = " + shown(schema, index))
	return len(rows) > 0, err
}

func (s *session) submitValidation(j *jobRequest) (string, error) {
	schema, table, err := s.owned(j.table)
	if err != nil {
		return "", err
	}
	id := jobID()
	return id, s.asSuperuser(func() error {
		rows, err := s.rows("SELECT oid, contype FROM pg_catalog.pg_constraint WHERE conrelid = " + sqlText(identifier(schema, table)) + "::regclass AND conname = " + sqlText(j.constraint))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return &Error{Code: "42704", Message: fmt.Sprintf("constraint %q of relation %q does not exist", j.constraint, table)}
		}
		if rows[0][1] != "f" && rows[0][1] != "c" {
			return &Error{Code: "42809", Message: fmt.Sprintf("constraint %q of relation %q is not a foreign key or check constraint", j.constraint, table)}
		}
		return s.addJob(id, "VALIDATE_CONSTRAINT", "2606", rows[0][0], shown(schema, table), identifier(schema, table),
			"ALTER TABLE "+identifier(schema, table)+" VALIDATE CONSTRAINT "+identifier(j.constraint))
	})
}

// shown is SQL for a name as sys.jobs spells it.
func shown(schema, object string) string {
	return "pg_catalog.format('%I.%I', " + sqlText(schema) + "::text, " + sqlText(object) + "::text)"
}

// addJob records a job, as the superuser. object is SQL for its name.
func (s *session) addJob(id, kind, class, oid, object, table, statement string) error {
	now := sqlText(s.cluster.config.Now().UTC().Format(time.RFC3339Nano))
	return s.exec("INSERT INTO sys.job (job_id, job_type, class_id, object_id, object_name, start_time, update_time, relation, statement, path) VALUES (" +
		strings.Join([]string{sqlText(id), sqlText(kind), class, oid, object, now, now, sqlText(table) + "::regclass", sqlText(statement)}, ", ") +
		", pg_catalog.current_setting('search_path'))")
}

// unbuilt refuses to drop an index whose job has not begun: the service cancels
// the job, local does not know how.
func (s *session) unbuilt(stmt *statement) (*pgproto3.ErrorResponse, error) {
	for _, n := range stmt.objects() {
		rows, err := s.rows("SELECT FROM sys.jobs WHERE status = 'submitted' AND job_type = 'INDEX_BUILD' AND object_name LIKE '%.' || pg_catalog.quote_ident(" + sqlText(n) + ")")
		if err != nil {
			return answerOf(err)
		}
		if len(rows) > 0 {
			return unknown("DROP INDEX of %q, which is still to be built,", n).response(), nil
		}
	}
	return nil, nil
}

// tellTime tells the session's server the cluster's clock.
func (s *session) tellTime() error {
	return s.exec("SELECT pg_catalog.set_config('dsql.now', " + sqlText(s.cluster.config.Now().UTC().Format(time.RFC3339Nano)) + ", false)")
}

// waitForJob answers CALL sys.wait_for_job.
func (s *session) waitForJob(stmt *statement, parameters []string, o output) ([]byte, *pgproto3.ErrorResponse, error) {
	if s.tx.explicit || s.tx.open {
		return nil, unknown("sys.wait_for_job in a transaction").response(), nil
	}
	id := stmt.args[0].text
	if stmt.args[0].kind == parameter {
		if len(parameters) != 1 {
			return nil, (&Error{Code: "08P01", Message: "sys.wait_for_job needs one parameter"}).response(), nil
		}
		id = parameters[0]
	}
	most := s.cluster.config.Limits.Age
	began := s.cluster.config.Now()
	for {
		if err := s.tellTime(); err != nil {
			return nil, nil, err
		}
		rows, err := s.rows("SELECT status FROM sys.jobs WHERE job_id = " + sqlText(id))
		switch {
		case err != nil:
			failure, err := answerOf(err)
			return nil, failure, err
		case len(rows) == 0:
			return nil, (&Error{Code: "22023", Message: fmt.Sprintf("job %q does not exist", id)}).response(), nil
		case rows[0][0] == "completed", rows[0][0] == "failed":
			return []byte("CALL"), nil, o.table(s, stmt.columns(), [][]byte{o.boolean(rows[0][0] == "completed")})
		case s.cluster.config.Now().Sub(began) > most:
			return nil, limit("transaction age limit of %ds exceeded", int(most.Seconds())).response(), nil
		}
		if err := sleep(s.cluster.ctx, tick); err != nil {
			return nil, nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
