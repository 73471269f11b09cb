package target

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"godwit/internal/change"
)

//go:embed stream.sql
var streamSQL string

//go:embed revisions.sql
var revisionsSQL string

//go:embed rows.sql
var rowsSQL string

// The states of a stream that are errors: migrate, which cannot import this
// package, decides by them.
type (
	StreamStoppedError = change.StreamStoppedError
	StreamChangedError = change.StreamChangedError
	IntegrityError     = change.IntegrityError
	UnknownTableError  = change.UnknownTableError
	RefusedError       = change.RefusedError
	WaitError          = change.WaitError
)

// A registration is change.Stream as the bookkeeping keeps it.
type registration struct {
	Name         string          `json:"name"`
	Source       string          `json:"source"`
	Schema       string          `json:"target_schema"`
	Load         string          `json:"load_id"`
	Strand       string          `json:"strand"`
	Boundary     change.Position `json:"boundary"`
	BoundaryHash string          `json:"boundary_hash"` // base64
	Mapping      string          `json:"mapping"`
	Tables       []string        `json:"tables"`
	Aside        []string        `json:"aside"`
	History      bool            `json:"history"`
	Redact       bool            `json:"redact"`
	Generation   int64           `json:"generation,omitempty"`
	Stopped      string          `json:"stopped,omitempty"`
}

func registrationOf(s change.Stream) registration {
	return registration{
		s.Name, s.Source, s.Schema, s.Load, s.Strand, s.Boundary, base64.StdEncoding.EncodeToString(s.BoundaryHash), s.Mapping, s.Tables, s.Aside,
		s.History, s.ApplyRedactions, s.Generation, s.Stopped,
	}
}

func (r registration) stream() (change.Stream, error) {
	hash, err := unbase64(r.BoundaryHash)
	if err != nil {
		return change.Stream{}, fmt.Errorf("hash of the boundary's block: %w", err)
	}
	return change.Stream{
		Name: r.Name, Source: r.Source, Schema: r.Schema, Load: r.Load, Strand: r.Strand, Boundary: r.Boundary, BoundaryHash: hash, Mapping: r.Mapping,
		Tables: r.Tables, Aside: r.Aside, History: r.History, ApplyRedactions: r.Redact, Generation: r.Generation, Stopped: r.Stopped,
	}, nil
}

// unbase64 is nil for "".
func unbase64(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(s)
}

// EnableStream registers a stream and returns it as registered, with its
// generation. The same registration again changes nothing, also where the stream
// is stopped; another one starts anew from its boundary, with the next generation.
// A QLDB stream needs its load published (SQLSTATE GW003 otherwise).
func (db *DB) EnableStream(ctx context.Context, s change.Stream) (change.Stream, error) {
	args, err := json.Marshal(registrationOf(s))
	if err != nil {
		return change.Stream{}, err
	}
	var r registration
	if err := db.answer(ctx, &r, `SELECT godwit.enable_stream(:args::jsonb)::text AS result`, Param{"args", string(args)}); err != nil {
		return change.Stream{}, fmt.Errorf("register stream %s: %w", s.Name, err)
	}
	return r.stream()
}

// Stream returns the registration of a stream; a *StreamChangedError where there
// is none.
func (db *DB) Stream(ctx context.Context, name string) (change.Stream, error) {
	var r registration
	err := db.answer(ctx, &r, `SELECT coalesce(godwit.describe_stream(:name), '{}')::text AS result`, Param{"name", name})
	switch {
	case err != nil:
		return change.Stream{}, fmt.Errorf("read the registration of stream %s: %w", name, err)
	case r.Name == "":
		return change.Stream{}, &StreamChangedError{Stream: name}
	}
	return r.stream()
}

// StopStream has nothing more applied of a stream until it is resumed: what is
// being applied now commits before StopStream returns, or not at all. The first
// reason is kept.
func (db *DB) StopStream(ctx context.Context, name, reason string) error {
	if err := db.Exec(ctx, `UPDATE godwit.stream SET stopped = :reason, resumed_because = NULL WHERE name = :name AND stopped IS NULL`, Param{"reason", reason}, Param{"name", name}); err != nil {
		return fmt.Errorf("stop stream %s: %w", name, err)
	}
	return nil
}

// ResumeStream takes the stop flag back; because stays beside it. Resuming a
// stream that runs changes nothing.
func (db *DB) ResumeStream(ctx context.Context, name, because string) error {
	if err := db.Exec(ctx, `UPDATE godwit.stream SET stopped = NULL, resumed_because = :because WHERE name = :name AND stopped IS NOT NULL`, Param{"because", because}, Param{"name", name}); err != nil {
		return fmt.Errorf("resume stream %s: %w", name, err)
	}
	return nil
}

// ReleaseTables has a stream begin anew with tables, named as SQL does: they were
// dropped and made again since something of a stream was applied to them, or
// another stream wrote to them. Doing it again changes nothing. A table that is not
// there is refused (SQLSTATE 42P01).
func (db *DB) ReleaseTables(ctx context.Context, name string, tables []string) error {
	list, err := json.Marshal(tables)
	if err != nil {
		return err
	}
	if err := db.Exec(ctx, `SELECT godwit.release(:name, :tables::jsonb)::text`, Param{"name", name}, Param{"tables", string(list)}); err != nil {
		return fmt.Errorf("begin anew with %d tables of stream %s: %w", len(tables), name, err)
	}
	return nil
}

// Replayed notes that a message set aside was applied since, or is of no concern
// any more. Noting it again changes nothing.
func (db *DB) Replayed(ctx context.Context, name, object string) error {
	if err := db.Exec(ctx, `UPDATE godwit.stream_aside SET replayed_at = now() WHERE stream = :name AND object = :object AND replayed_at IS NULL`, Param{"name", name}, Param{"object", object}); err != nil {
		return fmt.Errorf("note the replay of %s: %w", object, err)
	}
	return nil
}

// StreamStatus tells how far a stream has come. Blocks whose gap was closed by
// other means than a request, as by a later load, are settled on the way, so that
// a stream at rest does not seem to wait for them.
func (db *DB) StreamStatus(ctx context.Context, name string) (change.StreamStatus, error) {
	var r struct {
		Stream      *registration        `json:"stream"`
		Ready       bool                 `json:"ready"`
		GapFree     int64                `json:"gap_free"`
		GapFreeHash string               `json:"gap_free_hash"`
		Open        []int64              `json:"open"`
		OpenBlocks  int64                `json:"open_blocks"`
		Last        change.Position      `json:"last"`
		LastAt      string               `json:"last_at"`
		AppliedAt   string               `json:"applied_at"`
		Shards      []change.ShardStatus `json:"shards"`
		Aside       int64                `json:"aside"`
		AsideFirst  string               `json:"aside_first"`
	}
	for settled := false; !settled; settled = !r.Ready {
		if err := db.answer(ctx, &r, `SELECT coalesce(godwit.stream_status(:name), '{}')::text AS result`, Param{"name", name}); err != nil {
			return change.StreamStatus{}, fmt.Errorf("read the status of stream %s: %w", name, err)
		}
		if r.Ready {
			err := db.Exec(ctx, `SELECT godwit.settle(:name, NULL)::text`, Param{"name", name})
			if sqlStateOf(err) == "GW009" {
				break // a chain that breaks stops the stream with its next request, and is a gap until then
			}
			if err != nil {
				return change.StreamStatus{}, fmt.Errorf("settle the blocks of stream %s: %w", name, err)
			}
		}
	}
	if r.Stream == nil {
		return change.StreamStatus{}, &StreamChangedError{Stream: name}
	}
	s, err := r.Stream.stream()
	if err != nil {
		return change.StreamStatus{}, fmt.Errorf("read the status of stream %s: %w", name, err)
	}
	hash, err := unbase64(r.GapFreeHash)
	if err != nil {
		return change.StreamStatus{}, fmt.Errorf("read the status of stream %s: hash of block %d: %w", name, r.GapFree, err)
	}
	return change.StreamStatus{
		Stream: s, GapFree: r.GapFree, GapFreeHash: hash, Open: r.Open, OpenBlocks: r.OpenBlocks, Last: r.Last, LastAt: r.LastAt, AppliedAt: r.AppliedAt,
		Shards: r.Shards, Aside: r.Aside, AsideFirst: r.AsideFirst,
	}, nil
}

// answer runs a statement that answers one row with one JSON text named result.
func (db *DB) answer(ctx context.Context, out any, sql string, params ...Param) error {
	var rows []struct{ Result string }
	if err := db.Query(ctx, &rows, sql, params...); err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("the database answered %d rows", len(rows))
	}
	if err := json.Unmarshal([]byte(rows[0].Result), out); err != nil {
		return fmt.Errorf("decode the database's answer: %w", err)
	}
	return nil
}

// sqlStateOf returns the SQLSTATE of a database error in err's chain, or "".
func sqlStateOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.State
	}
	return ""
}
