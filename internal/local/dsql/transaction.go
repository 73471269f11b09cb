package dsql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A transaction is what a session has begun.
type transaction struct {
	open     bool // on the server
	explicit bool // by BEGIN of the client
	failed   bool
	readOnly bool
	began    time.Time
	ddl, dml bool
	changed  map[string]bool // objects that the catalog's change is about
	jobs     bool            // that wait for the commit
	verb     string          // of the last statement that changed something
}

// start begins one on the server where there is none.
func (t *transaction) start(s *session) error {
	if t.open {
		return nil
	}
	sql := "BEGIN"
	if t.readOnly {
		sql = "BEGIN READ ONLY"
	}
	if err := s.exec(sql); err != nil {
		return err
	}
	s.busy.Store(true)
	t.open = true
	if t.began.IsZero() {
		t.began = s.cluster.config.Now()
	}
	return nil
}

// abandon rolls back what failed. Where the client has begun the transaction it
// stays failed until the client ends it.
func (t *transaction) abandon(s *session) error {
	t.failed = true
	if !t.open {
		return nil
	}
	t.open = false
	return s.exec("ROLLBACK")
}

// end forgets the transaction, rolling back what is open.
func (t *transaction) end(s *session) error {
	if t.open {
		if err := s.exec("ROLLBACK"); err != nil {
			return err
		}
	}
	*t = transaction{}
	s.busy.Store(false)
	return nil
}

// commit ends a transaction with its effect. A failure is the client's to hear;
// the transaction is over with it.
func (t *transaction) commit(s *session) (*pgproto3.ErrorResponse, error) {
	if !t.open {
		return nil, t.end(s)
	}
	refuse := func(e *Error) (*pgproto3.ErrorResponse, error) {
		return e.response(), t.end(s)
	}
	if e := t.tooOld(s); e != nil {
		return refuse(e)
	}
	fault := None
	rows, size, err := s.counted()
	if err != nil {
		return nil, err
	}
	if most := s.cluster.config.Limits.Bytes; size > most {
		e := limit("transaction size limit %gmb exceeded", megabytes(most))
		e.Detail = fmt.Sprintf("Current transaction size %.2fmb > %gmb", megabytes(size), megabytes(most))
		return refuse(e)
	}
	if rows > 0 || t.ddl {
		fault = s.fault(Commit, t.verb)
	}
	switch fault {
	case Conflict:
		return refuse(dataConflict())
	case SchemaChanged:
		return refuse(schemaConflict())
	case CutBefore, KillBefore:
		err := t.end(s)
		s.die(fault)
		if err == nil {
			err = errGone
		}
		return nil, err
	case None, CutAfter, KillAfter:
	default:
		return refuse(unknown("the fault %q at a commit", fault))
	}
	err = s.exec("COMMIT")
	t.open = false
	if err != nil {
		failure, err := answerOf(err)
		if err != nil {
			return nil, err
		}
		return translate(failure, t.ddl), t.end(s)
	}
	if len(t.changed) > 0 {
		s.cluster.changed(t.changed, s)
	}
	if t.jobs {
		s.cluster.wakeKeeper()
	}
	if fault != None {
		s.die(fault)
		return nil, errGone
	}
	return nil, t.end(s)
}

// tooOld is the refusal of a transaction that took too long.
func (t *transaction) tooOld(s *session) *Error {
	most := s.cluster.config.Limits.Age
	age := s.cluster.config.Now().Sub(t.began)
	if t.began.IsZero() || age <= most {
		return nil
	}
	e := limit("transaction age limit of %ds exceeded", int(most.Seconds()))
	e.Detail = fmt.Sprintf("Current transaction age %ds exceeds %ds", int(age.Seconds()), int(most.Seconds()))
	return e
}

// counted is how many rows the transaction has changed, and their size in bytes.
func (s *session) counted() (rows, size int64, err error) {
	got, err := s.rows("SELECT '0' || pg_catalog.current_setting('dsql.rows', true), '0' || pg_catalog.current_setting('dsql.bytes', true)")
	if err != nil {
		return 0, 0, err
	}
	// What was never set is NULL, and so is what is joined to it.
	rows, err = strconv.ParseInt("0"+got[0][0], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("read the rows of a transaction: %w", err)
	}
	size, err = strconv.ParseInt("0"+got[0][1], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("read the size of a transaction: %w", err)
	}
	return rows, size, nil
}

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }

// before judges a statement by the transaction that it would run in, and carries
// out those that are the cluster's own. done says that nothing is left to do.
func (s *session) before(stmt *statement, parameters []string, o output) (tag []byte, failure *pgproto3.ErrorResponse, done bool, err error) {
	t := &s.tx
	refuse := func(e *Error) ([]byte, *pgproto3.ErrorResponse, bool, error) { return nil, e.response(), true, nil }
	switch stmt.kind {
	case begin:
		return s.begin(stmt)
	case commit:
		tag, failure, err = s.commitExplicit()
		return tag, failure, true, err
	case rollback:
		if !t.explicit {
			s.client.Send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: "25P01", Message: "there is no transaction in progress"})
		}
		return []byte("ROLLBACK"), nil, true, t.end(s)
	default:
	}
	if t.failed {
		return refuse(aborted())
	}
	if e := t.tooOld(s); e != nil {
		return refuse(e)
	}
	if s.cluster.stale(s, stmt) {
		return refuse(schemaConflict())
	}
	switch {
	case stmt.defines() && t.ddl:
		return refuse(unsupported("multiple ddl statements not supported in a transaction"))
	case stmt.defines() && t.dml, stmt.changes() && t.ddl:
		return refuse(unsupported("ddl and dml are not supported in the same transaction"))
	}
	s.skipped = false
	switch f := s.fault(Statement, stmt.verb); f {
	case None, CutAfter, KillAfter, CutWithin, KillWithin:
		s.pending = f
	case Conflict:
		return refuse(dataConflict())
	case SchemaChanged:
		return refuse(schemaConflict())
	case CutBefore, KillBefore:
		s.die(f)
		return nil, nil, true, errGone
	default:
		return refuse(unknown("the fault %q at a statement", f))
	}
	if stmt.kind == waitForJob {
		tag, failure, err = s.waitForJob(stmt, parameters, o)
		return tag, failure, true, err
	}
	if err := t.start(s); err != nil {
		return nil, nil, true, err
	}
	if stmt.names["jobs"] {
		if err := s.tellTime(); err != nil {
			return nil, nil, true, err
		}
	}
	if stmt.verb == "drop index" {
		if e, err := s.unbuilt(stmt); e != nil || err != nil {
			return nil, e, true, err
		}
	}
	switch stmt.kind {
	case iamGrant, iamRevoke:
		tag, failure, err = s.mapRole(stmt)
	case indexJob, validateJob:
		tag, failure, err = s.submit(stmt, o)
	default:
		return nil, nil, false, nil
	}
	if failure == nil && err == nil {
		failure, err = s.after(stmt, tag)
	}
	return tag, failure, true, err
}

// after notes what a statement did.
func (s *session) after(stmt *statement, tag []byte) (*pgproto3.ErrorResponse, error) {
	if s.pending != None {
		s.die(s.pending)
		return nil, errGone
	}
	t := &s.tx
	if t.verb == "" || stmt.changes() || stmt.defines() {
		t.verb = stmt.verb
	}
	t.dml = t.dml || stmt.changes()
	if stmt.locks {
		// Rows that are locked count like those that are changed.
		rows, _ := strings.CutPrefix(string(tag), "SELECT ")
		if err := s.exec("SELECT sys.count_rows(" + sqlText(rows) + ")"); err != nil {
			return answerOf(err)
		}
	}
	if stmt.defines() {
		t.ddl = true
		if t.changed == nil {
			t.changed = map[string]bool{}
		}
		for _, n := range stmt.objects() {
			t.changed[n] = !s.skipped
		}
	}
	return nil, nil
}

func (s *session) begin(stmt *statement) ([]byte, *pgproto3.ErrorResponse, bool, error) {
	t := &s.tx
	if t.failed {
		return nil, aborted().response(), true, nil
	}
	if t.explicit {
		s.client.Send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: "25001", Message: "there is already a transaction in progress"})
		return []byte("BEGIN"), nil, true, nil
	}
	t.explicit = true
	t.readOnly = stmt.names["only"]
	t.began = s.cluster.config.Now()
	s.busy.Store(true)
	return []byte("BEGIN"), nil, true, nil
}

// commitExplicit answers COMMIT.
func (s *session) commitExplicit() ([]byte, *pgproto3.ErrorResponse, error) {
	t := &s.tx
	switch {
	case t.failed:
		return []byte("ROLLBACK"), nil, t.end(s)
	case !t.explicit:
		s.client.Send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: "25P01", Message: "there is no transaction in progress"})
	}
	failure, err := t.commit(s)
	if failure != nil {
		// The transaction is over; fail must not begin another failed one.
		return nil, failure, err
	}
	return []byte("COMMIT"), nil, err
}
