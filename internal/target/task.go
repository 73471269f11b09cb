package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"godwit/internal/change"
)

// A TaskError is a task that the database tried and refused; nothing of it was
// stored.
type TaskError struct {
	Phase, Name string
	State       string // SQLSTATE; GW001 counts differ, GW002 hashes differ, GW003 the load is not under way, GW004 documents are nowhere, GW006 a revision stands twice, GW009 rows refer to nothing, GW010 rows were not compared since they changed
	Message     string
}

func (e *TaskError) Error() string {
	return fmt.Sprintf("%s %s: %s (SQLSTATE %s)", e.Phase, e.Name, e.Message, e.State)
}

// SQLState returns the database's error code.
func (e *TaskError) SQLState() string { return e.State }

// Run does a task unless it is done. done is false while an attempt, this one or
// another, is still running: ask again later, with look set, to be told once of a
// failure that nobody heard of. After an error other than a *TaskError the task
// may be running or done; Run again finds out, and never does it twice.
func (db *DB) Run(ctx context.Context, load string, t change.Task, look bool) (done bool, err error) {
	var rows []struct{ Result string } // JSON as text: how the service renders jsonb in formatted records is not documented
	err = db.Query(ctx, &rows, `SELECT godwit.run(:load, :phase, :name, :look, :args::jsonb)::text AS result`,
		Param{"load", load}, Param{"phase", t.Phase}, Param{"name", t.Name}, Param{"look", look}, Param{"args", string(t.Args)})
	var e *Error
	if errors.As(err, &e) && e.API == "StatementTimeoutException" {
		// It goes on without us (ContinueAfterTimeout).
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", t.Phase, t.Name, err)
	}
	if len(rows) != 1 {
		return false, fmt.Errorf("%s %s: the database answered %d rows", t.Phase, t.Name, len(rows))
	}
	var r struct{ State, SQLState, Message string }
	if err := json.Unmarshal([]byte(rows[0].Result), &r); err != nil {
		return false, fmt.Errorf("%s %s: decode the database's answer: %w", t.Phase, t.Name, err)
	}
	switch r.State {
	case "done":
		return true, nil
	case "running":
		return false, nil
	case "failed":
		// Told once: the next look tries anew. If this reply is lost as well, the
		// next look is told again, and nothing worse.
		_ = db.Exec(ctx, `DELETE FROM godwit.failure WHERE load_id = :load AND phase = :phase AND name = :name`,
			Param{"load", load}, Param{"phase", t.Phase}, Param{"name", t.Name})
		return false, &TaskError{Phase: t.Phase, Name: t.Name, State: r.SQLState, Message: r.Message}
	default:
		return false, fmt.Errorf("%s %s: the database answered state %q", t.Phase, t.Name, r.State)
	}
}

// StagedRows returns the number of imported rows of each ledger table of a load,
// as committed with the rows themselves. Key "" counts the quarantine list; the
// list of redactions, which has no table id, is not counted.
func (db *DB) StagedRows(ctx context.Context, load string) (map[string]int64, error) {
	var rows []struct {
		TableID string `json:"table_id"`
		Rows    int64
	}
	err := db.Query(ctx, &rows, `SELECT table_id, sum(rows)::bigint AS rows FROM godwit.task
WHERE load_id = :load AND phase = 'import' AND table_id IS NOT NULL GROUP BY 1`, Param{"load", load})
	if err != nil {
		return nil, fmt.Errorf("count the staged rows of load %s: %w", load, err)
	}
	out := map[string]int64{}
	for _, r := range rows {
		out[r.TableID] = r.Rows
	}
	return out, nil
}

// Slices cuts a table's documents into ranges of about rows revisions each. The
// first answer is kept: asking again returns the same ranges.
func (db *DB) Slices(ctx context.Context, load, current string, rows int64) ([]change.Slice, error) {
	var out []change.Slice
	err := db.Query(ctx, &out, `SELECT number, low, high FROM godwit.plan_slices(:load, :current, :rows)`,
		Param{"load", load}, Param{"current", current}, Param{"rows", rows})
	if err != nil {
		return nil, fmt.Errorf("cut table %s into slices: %w", current, err)
	}
	return out, nil
}

// Published sums what the slices of a load published, by current table.
func (db *DB) Published(ctx context.Context, load string) ([]change.Published, error) {
	var out []change.Published
	err := db.Query(ctx, &out, `SELECT t.current_name AS "table",
  coalesce(sum((k.counts->>'documents')::bigint), 0)::bigint AS documents, coalesce(sum((k.counts->>'current')::bigint), 0)::bigint AS current,
  coalesce(sum((k.counts->>'deleted')::bigint), 0)::bigint AS deleted, coalesce(sum((k.counts->>'dropped')::bigint), 0)::bigint AS dropped,
  coalesce(sum((k.counts->>'withheld')::bigint), 0)::bigint AS withheld,
  coalesce(sum((SELECT sum(v::bigint) FROM jsonb_each_text(k.counts->'present_by_table') AS e (i, v))), 0)::bigint AS present
FROM godwit.load_table t LEFT JOIN godwit.task k ON k.load_id = t.load_id AND k.phase = 'slices'
  AND starts_with(k.name, t.current_name || '/') AND strpos(substr(k.name, length(t.current_name) + 2), '/') = 0
WHERE t.load_id = :load GROUP BY t.current_name ORDER BY t.current_name`, Param{"load", load})
	if err != nil {
		return nil, fmt.Errorf("sum what load %s published: %w", load, err)
	}
	return out, nil
}

// Stored reads back what the slices found in the staged history, by ledger table
// id, as the sums of verify.Checksum's terms.
func (db *DB) Stored(ctx context.Context, load string) ([]change.Stored, error) {
	var out []change.Stored
	err := db.Query(ctx, &out, `SELECT e.table_id, sum((v->>'rows')::bigint)::bigint AS rows, bit_xor((v->>'xor')::bigint)::text AS xor, sum((v->>'sum')::numeric)::text AS sum
FROM godwit.task k, jsonb_each(k.counts->'stored') AS e (table_id, v)
WHERE k.load_id = :load AND k.phase = 'slices' GROUP BY e.table_id ORDER BY e.table_id`, Param{"load", load})
	if err != nil {
		return nil, fmt.Errorf("read back what load %s stored: %w", load, err)
	}
	return out, nil
}

// Redacted counts the redacted revisions that a load was told of, or found, by
// ledger table id. Revisions that its archive holds redacted, and that neither
// were told of nor changed a row, are not among them.
func (db *DB) Redacted(ctx context.Context, load string) ([]change.Redacted, error) {
	var out []change.Redacted
	err := db.Query(ctx, &out, `SELECT table_id, coalesce((
    SELECT min(s.table_name) FROM godwit.load l JOIN godwit.load o USING (target_schema) JOIN godwit.load_source s ON s.load_id = o.load_id
    WHERE l.load_id = :load AND s.table_id = r.table_id), '') AS "table",
  count(*) FILTER (WHERE outcome = 'already')::bigint AS already, count(*) FILTER (WHERE outcome = 'loaded')::bigint AS loaded,
  count(*) FILTER (WHERE outcome = 'shown')::bigint AS shown, count(*) FILTER (WHERE outcome IS NULL)::bigint AS unknown
FROM (SELECT table_id, doc_id, version, max(outcome) AS outcome FROM godwit.redaction WHERE load_id = :load GROUP BY 1, 2, 3) AS r
GROUP BY table_id ORDER BY table_id`, Param{"load", load})
	if err != nil {
		return nil, fmt.Errorf("count the redactions of load %s: %w", load, err)
	}
	return out, nil
}

// Times tells when a load began, as phase "load", and when the tasks of each of
// its phases ran, in order.
func (db *DB) Times(ctx context.Context, load string) ([]change.PhaseTime, error) {
	var out []change.PhaseTime
	// Quoted colons: the service looks for names behind colons, and whether it does
	// in string constants too is not documented.
	err := db.Query(ctx, &out, `SELECT phase, to_char(started AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.US"Z"') AS started,
  to_char(finished AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.US"Z"') AS finished, tasks, rows
FROM (SELECT 'load' AS phase, started_at AS started, coalesce(published_at, started_at) AS finished, 0::bigint AS tasks, 0::bigint AS rows
      FROM godwit.load WHERE load_id = :load
      UNION ALL
      SELECT phase, min(begun_at), max(done_at), count(*), coalesce(sum(rows) FILTER (WHERE phase <> 'import' OR table_id IS NOT NULL), 0)::bigint
      FROM godwit.task WHERE load_id = :load GROUP BY phase) AS p
ORDER BY 2`, Param{"load", load})
	if err != nil {
		return nil, fmt.Errorf("read the times of load %s: %w", load, err)
	}
	return out, nil
}
