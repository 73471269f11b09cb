package migrate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"godwit/internal/change"
	"godwit/internal/verify"
)

// A serviceError is an error as the SDKs give it: with a code.
type serviceError struct{ code, message string }

func (e *serviceError) Error() string     { return e.code + ": " + e.message }
func (e *serviceError) ErrorCode() string { return e.code }

// errCrash stands for a process that died; nobody sees it but the schedule.
var errCrash = errors.New("crash")

// memoryObjects is S3 in memory. It is strict where S3 is: a range that begins
// at the end of an object, another ETag, a key that S3 would not take. It also
// holds the promise of every step: what is written again is the same.
type memoryObjects struct {
	t testing.TB

	mu      sync.Mutex
	objects map[string]memoryObject // by bucket/key
	// fault, if not nil, is asked before each Put. stored tells whether the
	// object is stored before err is returned.
	fault func(key string) (stored bool, err error)
	// changing tells of keys that may be written again with other bytes.
	changing func(key string) bool
	puts     int
}

type memoryObject struct {
	body     []byte
	encoding string
	class    string // storage class; "restored GLACIER" was restored
}

func (o memoryObject) etag() string {
	sum := sha256.Sum256(o.body)
	return fmt.Sprintf("\"%x\"", sum[:16])
}

func newObjects(t testing.TB) *memoryObjects {
	return &memoryObjects{t: t, objects: map[string]memoryObject{}, changing: func(key string) bool { return strings.Contains(key, "/report.") }}
}

func (m *memoryObjects) List(ctx context.Context, bucket, prefix string, visit func(key, etag string, size int64, class string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	objects := maps.Clone(m.objects)
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		if key, ok := strings.CutPrefix(name, bucket+"/"); ok && strings.HasPrefix(key, prefix) {
			o := objects[name]
			class := strings.TrimPrefix(o.class, "restored ") // a listing does not tell
			if err := visit(key, o.etag(), int64(len(o.body)), class); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memoryObjects) Open(ctx context.Context, bucket, key, etag string, offset int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[bucket+"/"+key]
	switch {
	case !ok:
		return nil, &serviceError{"NoSuchKey", bucket + "/" + key}
	case etag != "" && etag != o.etag():
		return nil, &serviceError{"PreconditionFailed", bucket + "/" + key}
	case offset > 0 && offset >= int64(len(o.body)):
		return nil, &serviceError{"InvalidRange", fmt.Sprintf("%s/%s has %d bytes: no range begins at %d", bucket, key, len(o.body), offset)}
	case o.class != "" && !strings.HasPrefix(o.class, "restored "):
		return nil, &serviceError{"InvalidObjectState", key}
	}
	return io.NopCloser(bytes.NewReader(o.body[offset:])), nil
}

func (m *memoryObjects) Put(ctx context.Context, bucket, key string, body []byte, contentType, encoding string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	stored, err := true, error(nil)
	if m.fault != nil {
		if stored, err = m.fault(key); err == nil {
			stored = true
		}
	}
	if !stored {
		return err
	}
	odd := func(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune("\\{}^%`[]\"~<>#|", r) }
	switch was, again := m.objects[bucket+"/"+key]; {
	case !utf8.ValidString(key), len(key) > 1024, strings.ContainsFunc(key, odd), strings.Contains(key, "//"), strings.Contains(key, "/../"):
		m.t.Errorf("put key %q, which is not safe on S3", key)
	case contentType == "":
		m.t.Errorf("put %s without a content type", key)
	case strings.HasSuffix(key, ".gz") != (encoding == "gzip"):
		m.t.Errorf("put %s with content encoding %q", key, encoding)
	case strings.HasPrefix(key, "parts/") && len(body) == 0:
		m.t.Errorf("put empty part %s, which aws_s3 refuses", key)
	case again && !bytes.Equal(was.body, body) && !m.changing(key):
		m.t.Errorf("put %s again with other bytes:\n%.300s\nbefore:\n%.300s", key, body, was.body)
	}
	m.objects[bucket+"/"+key] = memoryObject{body: bytes.Clone(body), encoding: encoding}
	return err
}

// set stores an object past all checks.
func (m *memoryObjects) set(bucket, key string, body []byte) {
	m.objects[bucket+"/"+key] = memoryObject{body: bytes.Clone(body)}
}

// under returns the objects below a prefix of bucket/key, but for reports.
func (m *memoryObjects) under(prefix string) map[string]string {
	out := map[string]string{}
	for name, o := range m.objects {
		if strings.HasPrefix(name, prefix) && !strings.Contains(name, "/report.") {
			out[name] = string(o.body)
		}
	}
	return out
}

// read returns an object's content, decompressed where it says so.
func (m *memoryObjects) read(bucket, key string) ([]byte, error) {
	o, ok := m.objects[bucket+"/"+key]
	if !ok {
		return nil, fmt.Errorf("no object %s/%s", bucket, key)
	}
	if o.encoding != "gzip" {
		return o.body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(o.body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// A revision is one staged row, as far as the fake knows it.
type revision struct {
	doc     string
	version int64
	line    string
	op      string
	audit   struct {
		Table    string `json:"ql_tableid"`
		Redacted bool   `json:"ql_redacted"`
		RevHash  string `json:"ql_rev_hash"`
	}
}

// memoryTarget is the database in memory. It refuses what PostgreSQL or the
// bookkeeping would: rows twice, tasks before their tables, counts that differ.
type memoryTarget struct {
	t       testing.TB
	objects *memoryObjects
	// fault, if not nil, is asked at each call that changes something. stored
	// tells whether the change is kept before err is returned.
	fault func(call string) (stored bool, err error)

	mu      sync.Mutex
	load    change.Load
	state   string // "", loading, published
	staged  string // arguments of Stage
	tables  []change.LoadTable
	sources map[string]change.LoadSource
	rows    map[string][]revision // by history table
	asides  []aside
	redact  []redaction
	done    map[string]string // phase/name -> arguments
	byTable map[string]int64  // imported rows by ledger table id
	phases  map[string]int    // tasks done by phase
	current map[string]map[string]revision
	sums    map[string]*change.Published
	stored  map[string]*storedSum
	visible map[string]map[string]revision
}

type aside struct {
	load, table, doc string
	version          int64
}

type redaction struct {
	table, doc string
	version    int64
	outcome    string // "", already, loaded
}

type storedSum struct {
	rows int64
	sum  verify.Checksum
}

func newTarget(t testing.TB, o *memoryObjects) *memoryTarget {
	return &memoryTarget{
		t: t, objects: o, sources: map[string]change.LoadSource{}, rows: map[string][]revision{}, done: map[string]string{},
		byTable: map[string]int64{}, phases: map[string]int{}, current: map[string]map[string]revision{},
		sums: map[string]*change.Published{}, stored: map[string]*storedSum{},
	}
}

// change runs do unless the fault says that it crashed before.
func (m *memoryTarget) change(ctx context.Context, call string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, fault := true, error(nil)
	if m.fault != nil {
		if stored, fault = m.fault(call); fault == nil {
			stored = true
		}
	}
	if stored {
		if err := do(); err != nil {
			return err
		}
	}
	return fault
}

func (m *memoryTarget) Begin(ctx context.Context, l change.Load) (published bool, err error) {
	err = m.change(ctx, "begin", func() error {
		if m.state != "" && l != m.load {
			return fmt.Errorf("begin %+v beside %+v", l, m.load)
		}
		if m.state == "" {
			m.load, m.state = l, "loading"
		}
		published = m.state == "published"
		return nil
	})
	return published, err
}

func (m *memoryTarget) Abandon(ctx context.Context, load string) error {
	return m.change(ctx, "abandon", func() error {
		if load != m.load.ID {
			return nil
		}
		if m.state == "published" {
			return errors.New("published")
		}
		m.state, m.staged, m.tables = "", "", nil
		clear(m.rows)
		return nil
	})
}

func (m *memoryTarget) Stage(ctx context.Context, l change.Load, tables []change.LoadTable, sources []change.LoadSource) error {
	return m.change(ctx, "stage", func() error {
		if l != m.load {
			return fmt.Errorf("stage %+v, begun was %+v", l, m.load)
		}
		if m.state == "" {
			return errors.New("stage a load that is not registered")
		}
		b, err := json.Marshal([]any{tables, sources})
		if err != nil {
			return err
		}
		if m.staged != "" && m.staged != string(b) {
			m.t.Errorf("stage again with other tables:\n%s\nbefore:\n%s", b, m.staged)
		}
		m.staged, m.tables = string(b), tables
		for _, s := range sources {
			m.sources[s.ID] = s
		}
		return nil
	})
}

func (m *memoryTarget) Run(ctx context.Context, load string, t change.Task, _ bool) (done bool, err error) {
	err = m.change(ctx, t.Phase+" "+t.Name, func() error {
		if m.state == "published" || load != m.load.ID {
			if _, ok := m.done[t.Phase+"/"+t.Name]; !ok {
				return fmt.Errorf("task %s %s behind the end", t.Phase, t.Name)
			}
		}
		if args, ok := m.done[t.Phase+"/"+t.Name]; ok {
			if args != string(t.Args) {
				m.t.Errorf("task %s %s again with arguments %s, before %s", t.Phase, t.Name, t.Args, args)
			}
			return nil
		}
		var a struct {
			Schema, Relation, Key, Bucket, History, Table, Low string
			TableID                                            string `json:"table_id"`
			High                                               *string
			Rows                                               int64
			Redact                                             bool
		}
		if t.Phase != "indexes" {
			if err := json.Unmarshal(t.Args, &a); err != nil {
				return err
			}
		}
		switch t.Phase {
		case "import":
			err := m.importPart(a.Bucket, a.Key, a.Schema, a.Relation, a.TableID, a.Rows)
			if err != nil {
				return fmt.Errorf("import %s: %w", t.Name, err)
			}
		case "keys":
			seen := map[string]bool{}
			for _, r := range m.rows[a.History] {
				if k := r.doc + ":" + strconv.FormatInt(r.version, 10); seen[k] {
					return fmt.Errorf("revision %s stands in %s twice", k, a.History)
				} else {
					seen[k] = true
				}
			}
		case "slices":
			m.slice(a.Table, a.Low, a.High, a.Redact)
		case "indexes":
		case "visible":
			if m.phases["slices"] < len(m.tables) || m.phases["keys"] != len(m.tables) || m.phases["indexes"] < 2*len(m.tables) {
				return fmt.Errorf("visible after %v of %d tables", m.phases, len(m.tables))
			}
			m.visible, m.state = m.current, "published"
		default:
			return fmt.Errorf("no phase %s", t.Phase)
		}
		m.done[t.Phase+"/"+t.Name] = string(t.Args)
		m.phases[t.Phase]++
		return nil
	})
	return err == nil, err
}

func (m *memoryTarget) importPart(bucket, key, schema, relation, tableID string, rows int64) error {
	body, err := m.objects.read(bucket, key)
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(body), "\n")
	lines = lines[:len(lines)-1]
	if int64(len(lines)) != rows {
		return fmt.Errorf("it has %d rows, %d are announced", len(lines), rows)
	}
	if relation != "redaction" {
		m.byTable[tableID] += rows
	}
	for _, line := range lines {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if relation == "quarantine" {
			version, err := strconv.ParseInt(f[4], 10, 64)
			if err != nil || schema != "godwit" || len(f) != 10 {
				return fmt.Errorf("quarantine row %q: %v", line, err)
			}
			m.asides = append(m.asides, aside{f[0], f[1], f[3], version})
			continue
		}
		if relation == "redaction" {
			version, err := strconv.ParseInt(f[3], 10, 64)
			if err != nil || schema != "godwit" || len(f) != 7 || f[0] != m.load.ID || f[5]+f[6] != `\N\N` {
				return fmt.Errorf("redaction row %q: %v", line, err)
			}
			m.redact = append(m.redact, redaction{table: f[1], doc: f[2], version: version})
			continue
		}
		if schema != m.load.Stage() {
			return fmt.Errorf("into schema %s", schema)
		}
		r := revision{doc: f[0], line: line, op: f[len(f)-2]}
		if r.version, err = strconv.ParseInt(f[1], 10, 64); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(f[len(f)-3], `\\`, `\`)), &r.audit); err != nil {
			return fmt.Errorf("ql_audit %s: %w", f[len(f)-3], err)
		}
		if r.audit.Table != tableID {
			return fmt.Errorf("a row of table %q among those of %q", r.audit.Table, tableID)
		}
		m.rows[relation] = append(m.rows[relation], r)
	}
	return nil
}

// erase takes the data from a row.
func (m *memoryTarget) erase(r *revision) {
	for i := range m.redact {
		x := &m.redact[i]
		switch {
		case x.doc != r.doc || x.version != r.version || x.table != r.audit.Table:
		case r.op == "D" || r.audit.Redacted:
			x.outcome = "already"
		default:
			x.outcome, r.audit.Redacted = "loaded", true
			f := strings.Split(r.line, "\t")
			for i := range f[2 : len(f)-3] {
				f[2+i] = `\N`
			}
			f[len(f)-3] = strings.Replace(f[len(f)-3], `"ql_redacted":false`, `"ql_redacted":true`, 1)
			r.line = strings.Join(f, "\t")
		}
	}
}

func (m *memoryTarget) slice(table, low string, high *string, redact bool) {
	i := slices.IndexFunc(m.tables, func(t change.LoadTable) bool { return t.Current.Name == table })
	latest := map[string]revision{}
	p := m.sums[table]
	if p == nil {
		p = &change.Published{Table: table}
		m.sums[table], m.current[table] = p, map[string]revision{}
	}
	rows := m.rows[m.tables[i].History.Name]
	for i := range rows {
		if rows[i].doc < low || high != nil && rows[i].doc >= *high {
			continue
		}
		if redact {
			m.erase(&rows[i])
		}
		r := rows[i]
		hash, err := base64.StdEncoding.DecodeString(r.audit.RevHash)
		if err != nil {
			m.t.Errorf("revision hash %q: %v", r.audit.RevHash, err)
		}
		s := m.stored[r.audit.Table]
		if s == nil {
			s = &storedSum{}
			m.stored[r.audit.Table] = s
		}
		s.rows++
		s.sum.Add([]byte(r.doc), change.Version(r.version), hash)
		if have, ok := latest[r.doc]; !ok || have.version < r.version {
			latest[r.doc] = r
		}
	}
	for doc, r := range latest {
		p.Documents++
		withheld := slices.ContainsFunc(m.asides, func(a aside) bool {
			return a.load == m.load.ID && a.doc == doc && a.version > r.version
		})
		switch {
		case r.op == "D":
			p.Deleted++
		case !m.sources[r.audit.Table].Active:
			p.Dropped++
		case withheld || r.audit.Redacted:
			p.Withheld++
		default:
			p.Current++
			m.current[table][doc] = r
		}
	}
}

func (m *memoryTarget) Slices(_ context.Context, _, current string, _ int64) ([]change.Slice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.tables, func(t change.LoadTable) bool { return t.Current.Name == current }) {
		return nil, fmt.Errorf("no table %s", current)
	}
	high := "G"
	return []change.Slice{{Number: 1, Low: "", High: &high}, {Number: 2, Low: high}}, nil
}

func (m *memoryTarget) StagedRows(context.Context, string) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.byTable), nil
}

func (m *memoryTarget) Published(context.Context, string) ([]change.Published, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []change.Published
	for _, name := range slices.Sorted(maps.Keys(m.sums)) {
		out = append(out, *m.sums[name])
	}
	return out, nil
}

func (m *memoryTarget) Stored(context.Context, string) ([]change.Stored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []change.Stored
	for _, id := range slices.Sorted(maps.Keys(m.stored)) {
		s := m.stored[id]
		out = append(out, change.Stored{TableID: id, Rows: s.rows, Xor: strconv.FormatInt(int64(s.sum.Xor), 10), Sum: strconv.FormatUint(s.sum.Sum, 10)})
	}
	return out, nil
}

func (m *memoryTarget) Redacted(context.Context, string) ([]change.Redacted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	byTable := map[string]*change.Redacted{}
	for _, x := range m.redact {
		c := byTable[x.table]
		if c == nil {
			c = &change.Redacted{TableID: x.table, Table: m.sources[x.table].Name}
			byTable[x.table] = c
		}
		switch x.outcome {
		case "already":
			c.Already++
		case "loaded":
			c.Loaded++
		default:
			c.Unknown++
		}
	}
	var out []change.Redacted
	for _, id := range slices.Sorted(maps.Keys(byTable)) {
		out = append(out, *byTable[id])
	}
	return out, nil
}

func (m *memoryTarget) Times(context.Context, string) ([]change.PhaseTime, error) {
	const begun, ended = "2026-01-02T03:04:05.000000Z", "2026-01-02T03:05:05.000000Z"
	return []change.PhaseTime{{Phase: "load", Started: begun, Finished: ended}, {Phase: "import", Started: begun, Finished: ended, Tasks: 1, Rows: 1}}, nil
}

// origin is where a row's revision stood in the archive: of one ledger in two
// archives it is all that differs.
var origin = regexp.MustCompile(`,"ql_object":"[^"]*","ql_offset":\d+,"ql_revision":\d+`)

// lines are all rows of the target but for their origins, to compare two runs.
func (m *memoryTarget) lines() map[string][]string {
	out := map[string][]string{}
	for name, rows := range m.rows {
		for _, r := range rows {
			out[name] = append(out[name], origin.ReplaceAllString(r.line, ""))
		}
		slices.Sort(out[name])
	}
	for name, rows := range m.visible {
		for _, r := range rows {
			out["visible "+name] = append(out["visible "+name], origin.ReplaceAllString(r.line, ""))
		}
		slices.Sort(out["visible "+name])
	}
	for _, a := range m.asides {
		out["quarantine"] = append(out["quarantine"], fmt.Sprintf("%+v", a))
	}
	slices.Sort(out["quarantine"])
	return out
}
