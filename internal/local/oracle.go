package local

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"godwit/internal/ledgergen"
)

// A Difference tells how a table of the target differs from what the ledger made
// of it.
type Difference struct {
	Table     string
	Rows      int64 // that the ledger makes
	Missing   int64
	Extra     int64
	Different int64  // in any value
	Example   string // document and version of one that differs
}

// Same says whether there is none.
func (d *Difference) Same() bool { return d.Missing+d.Extra+d.Different == 0 }

func (d *Difference) String() string {
	if d.Same() {
		return fmt.Sprintf("%s: %d rows, all the same", d.Table, d.Rows)
	}
	return fmt.Sprintf("%s: of %d rows %d are missing, %d differ, %d are too many; %s", d.Table, d.Rows, d.Missing, d.Different, d.Extra, d.Example)
}

// A derivation says how the columns of a target table follow from a ledger's
// document: an expression over data, the document as jsonb. What the packaged
// mapping says is written out here a second time, by hand, so that neither a
// mapping nor a writer of rows can agree with itself.
type derivation struct {
	ledger, target string
	columns        [][2]string // name, expression of its text
}

// derivations are those of the tables that ledgergen makes.
func derivations() []derivation {
	text := func(column, field string) [2]string { return [2]string{column, "data->>'" + field + "'"} }
	date := func(column, field string) [2]string { return [2]string{column, "(data->>'" + field + "')::date::text"} }
	document := [][2]string{{"doc", "data::text"}}
	return []derivation{
		{"Person", "person", [][2]string{
			{"person_id", "CASE WHEN data IS NOT NULL THEN doc_id END"},
			text("first_name", "FirstName"), text("last_name", "LastName"), date("dob", "DOB"),
			text("gov_id", "GovId"), text("gov_id_type", "GovIdType"), text("address", "Address"),
		}},
		{"Vehicle", "vehicle", [][2]string{
			text("vin", "VIN"), text("type", "Type"), text("year", "Year"), text("make", "Make"), text("model", "Model"),
			text("color", "Color"), //nolint:misspell // the tutorial spells it so
		}},
		{"VehicleRegistration", "vehicle_registration", [][2]string{
			text("vin", "VIN"), text("license_plate_num", "LicensePlateNumber"), text("state", "State"), text("city", "City"),
			text("pending_penalty_amt", "PendingPenaltyTicketAmount"), date("valid_from_dt", "ValidFromDate"), date("valid_to_dt", "ValidToDate"),
			{"primary_owner", "data#>>'{Owners,PrimaryOwner,PersonId}'"},
			{"secondary_owners", `(SELECT string_agg(o.value->>'PersonId', ',' ORDER BY o.ordinality) FROM jsonb_array_elements(data#>'{Owners,SecondaryOwners}') WITH ORDINALITY AS o)`},
		}},
		{"DriversLicense", "drivers_license", [][2]string{
			text("person_id", "PersonId"),
			{"license_plate_num", "coalesce(data->>'LicensePlateNumber', data->>'LicenseNumber')"},
			text("license_type", "LicenseType"), date("valid_from_dt", "ValidFromDate"), date("valid_to_dt", "ValidToDate"),
		}},
		{"Note", "note", document},
		{"Inspection", "inspection", document},
	}
}

// CompareLedger holds every row and every value of a schema, current tables and
// histories, against the first blocks of a ledger that was loaded with the
// packaged mapping and redactions applied. Where in an archive a revision stood
// is left out. It reads the blocks themselves, as JSON, and leaves the rest to
// SQL: no code of a loader or a stream takes part. db keeps a temporary table
// until it is closed.
func CompareLedger(ctx context.Context, db *pgx.Conn, schema string, j *ledgergen.Journal, blocks int64) ([]Difference, error) {
	oracle, err := j.Oracle(blocks)
	if err != nil {
		return nil, err
	}
	if err := fillOracle(ctx, db, j, &oracle); err != nil {
		return nil, fmt.Errorf("write what the ledger holds: %w", err)
	}
	var all []Difference
	known := []string{"table_counts"}
	for _, t := range derivations() {
		var there bool
		err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_temp.ledger WHERE source = $1)`, t.ledger).Scan(&there)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		for _, current := range []bool{true, false} {
			name := t.target
			if !current {
				name += "_audit_log"
			}
			d, err := t.compare(ctx, db, schema, name, current)
			if err != nil {
				return nil, fmt.Errorf("compare table %s: %w", name, err)
			}
			all, known = append(all, d), append(known, name)
		}
	}
	counts, err := compareCounts(ctx, db, schema)
	if err != nil {
		return nil, fmt.Errorf("compare table table_counts: %w", err)
	}
	// A table that the ledger knows nothing of.
	rows, err := db.Query(ctx, `SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relkind IN ('r', 'p') AND relname <> ALL ($2)`, schema, known)
	if err != nil {
		return nil, err
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range others {
		all = append(all, Difference{Table: name, Extra: 1, Example: "the ledger has no such table"})
	}
	return append(all, counts), err
}

// fillOracle writes the ledger's revisions to the temporary table ledger.
func fillOracle(ctx context.Context, db *pgx.Conn, j *ledgergen.Journal, oracle *ledgergen.Ledger) error {
	if _, err := db.Exec(ctx, `
DROP TABLE IF EXISTS pg_temp.ledger, pg_temp.ledger_counts;
CREATE TEMP TABLE ledger (source text, doc_id text COLLATE "C", version bigint, operation text, tx text, data jsonb, audit jsonb, active boolean);
CREATE TEMP TABLE ledger_counts (table_name text, table_id text, is_active boolean, revision_cnt bigint)`); err != nil {
		return err
	}
	active := map[string]bool{}
	for _, t := range oracle.Tables {
		active[t.ID] = t.Active
		if t.Revisions == 0 {
			continue // nothing tells of it
		}
		if _, err := db.Exec(ctx, `INSERT INTO pg_temp.ledger_counts VALUES ($1, $2, $3, $4)`, t.Name, t.ID, t.Active, t.Revisions); err != nil {
			return err
		}
	}
	var redacted []redactedRevision
	rows := &blockRows{journal: j, blocks: oracle.Blocks, active: active, redacted: &redacted}
	_, err := db.CopyFrom(ctx, pgx.Identifier{"pg_temp", "ledger"}, []string{"source", "doc_id", "version", "operation", "tx", "data", "audit", "active"}, rows)
	if err != nil {
		return err
	}
	if _, err := db.Exec(ctx, `CREATE INDEX ON pg_temp.ledger (doc_id, version); ANALYZE pg_temp.ledger`); err != nil {
		return err
	}
	for _, r := range redacted {
		_, err := db.Exec(ctx, `UPDATE pg_temp.ledger SET data = NULL, audit = audit || '{"ql_redacted": true}' WHERE doc_id = $1 AND version = $2`, r.DocumentID, r.Version)
		if err != nil {
			return err
		}
	}
	return nil
}

// A redactedRevision is one that a block asks to be redacted.
type redactedRevision struct {
	DocumentID string
	Version    int64
}

// blockRows are the revisions of a ledger's blocks, for COPY; redacted gets the
// redactions that the blocks ask for.
type blockRows struct {
	journal  *ledgergen.Journal
	blocks   int64
	active   map[string]bool
	redacted *[]redactedRevision

	next int64
	rows [][]any
	err  error
}

func (b *blockRows) Err() error { return b.err }

func (b *blockRows) Values() ([]any, error) {
	row := b.rows[0]
	b.rows = b.rows[1:]
	return row, nil
}

func (b *blockRows) Next() bool {
	for len(b.rows) == 0 && b.next < b.blocks && b.err == nil {
		b.err = b.read()
		b.next++
	}
	return len(b.rows) > 0 && b.err == nil
}

func (b *blockRows) read() error {
	block, err := b.journal.Block(b.next)
	if err != nil {
		return err
	}
	var x struct {
		BlockAddress    struct{ StrandID string }
		TransactionInfo struct {
			Documents map[string]struct{ TableName, TableID string }
		}
		RedactionInfo struct{ Revisions []redactedRevision }
		Revisions     []struct {
			Hash, DataHash string
			Data           json.RawMessage
			Metadata       *struct {
				ID, TxTime, TxID string
				Version          int64
			}
		}
	}
	if err := json.Unmarshal(block.JSON(), &x); err != nil {
		return fmt.Errorf("read block %d: %w", b.next, err)
	}
	*b.redacted = append(*b.redacted, x.RedactionInfo.Revisions...)
	for _, r := range x.Revisions {
		if r.Metadata == nil {
			continue
		}
		m, table := r.Metadata, x.TransactionInfo.Documents[r.Metadata.ID]
		redacted := r.DataHash != ""
		deleted := r.Data == nil && !redacted
		operation := "U"
		switch {
		case deleted:
			operation = "D"
		case m.Version == 0:
			operation = "I"
		}
		audit, err := json.Marshal(map[string]any{
			"ql_id": m.ID, "ql_v": m.Version, "ql_txid": m.TxID, "ql_txtime": m.TxTime, "ql_blockseq": b.next, "ql_strand": x.BlockAddress.StrandID,
			"ql_rev_hash": r.Hash, "ql_tableid": table.TableID, "ql_tablename": table.TableName, "ql_deletion": deleted, "ql_redacted": redacted, "ql_data_hash": r.DataHash,
		})
		if err != nil {
			return err
		}
		var data any // nil is NULL
		if r.Data != nil {
			data = string(r.Data)
		}
		b.rows = append(b.rows, []any{table.TableName, m.ID, m.Version, operation, m.TxID, data, string(audit), b.active[table.TableID]})
	}
	return nil
}

// compare compares one table of the target.
func (t *derivation) compare(ctx context.Context, db *pgx.Conn, schema, name string, current bool) (Difference, error) {
	d := Difference{Table: name}
	table := pgx.Identifier{schema, name}.Sanitize()
	var there bool
	if err := db.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&there); err != nil {
		return d, err
	}
	want := []string{"doc_id", "version"}
	got := []string{"doc_id", "version"}
	for _, c := range t.columns {
		want, got = append(want, "("+c[1]+`) COLLATE "C" AS `+c[0]), append(got, c[0]+`::text COLLATE "C" AS `+c[0])
	}
	want, got = append(want, "audit"), append(got, "ql_audit - '{ql_object,ql_offset,ql_revision}'::text[] AS audit")
	from := `(SELECT * FROM pg_temp.ledger WHERE source = $1) AS l`
	if current {
		// Of each document the last revision, where it is not a deletion and its data
		// may be seen.
		from = `(SELECT DISTINCT ON (doc_id) * FROM pg_temp.ledger WHERE source = $1 ORDER BY doc_id, version DESC) AS l
    WHERE operation <> 'D' AND NOT (audit->>'ql_redacted')::boolean AND active`
	} else {
		want, got = append(want, `operation COLLATE "C" AS operation`, `tx COLLATE "C" AS tx`), append(got, `operation::text COLLATE "C" AS operation`, `transaction_id COLLATE "C" AS tx`)
	}
	if !there {
		d.Example = "the target has no such table"
		return d, db.QueryRow(ctx, `SELECT count(*), count(*) FROM `+from, t.ledger).Scan(&d.Rows, &d.Missing)
	}
	err := db.QueryRow(ctx, fmt.Sprintf(`
WITH want AS (SELECT %s FROM %s), got AS (SELECT %s FROM %s),
difference AS (
  SELECT doc_id, version, w.doc_id IS NOT NULL AS wanted,
    CASE WHEN g.doc_id IS NULL THEN 'missing' WHEN w.doc_id IS NULL THEN 'too many' WHEN w IS DISTINCT FROM g THEN 'different in '
      || (SELECT string_agg(k, ', ') FROM jsonb_object_keys(to_jsonb(w)) AS k WHERE to_jsonb(w)->k IS DISTINCT FROM to_jsonb(g)->k) END AS what
  FROM want w FULL JOIN got g USING (doc_id, version))
SELECT count(*) FILTER (WHERE wanted), count(*) FILTER (WHERE what = 'missing'), count(*) FILTER (WHERE what = 'too many'), count(*) FILTER (WHERE what LIKE 'different in %%'),
  coalesce((SELECT format('document %%s version %%s is %%s', doc_id, version, what) FROM difference WHERE what IS NOT NULL ORDER BY doc_id, version LIMIT 1), '')
FROM difference`, strings.Join(want, ", "), from, strings.Join(got, ", "), table), t.ledger).Scan(&d.Rows, &d.Missing, &d.Extra, &d.Different, &d.Example)
	return d, err
}

// compareCounts compares the table that counts the revisions of each ledger table.
func compareCounts(ctx context.Context, db *pgx.Conn, schema string) (Difference, error) {
	d := Difference{Table: "table_counts"}
	err := db.QueryRow(ctx, `
WITH difference AS (
  SELECT w.table_id IS NOT NULL AS wanted, CASE WHEN g.table_id IS NULL THEN 'missing' WHEN w.table_id IS NULL THEN 'extra' WHEN w IS DISTINCT FROM g THEN 'different' END AS what
  FROM pg_temp.ledger_counts w FULL JOIN (SELECT table_name, table_id, is_active, revision_cnt FROM `+pgx.Identifier{schema, "table_counts"}.Sanitize()+`) g USING (table_id))
SELECT count(*) FILTER (WHERE wanted), count(*) FILTER (WHERE what = 'missing'), count(*) FILTER (WHERE what = 'extra'), count(*) FILTER (WHERE what = 'different') FROM difference`).
		Scan(&d.Rows, &d.Missing, &d.Extra, &d.Different)
	return d, err
}
