package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/change"
	"godwit/internal/migrate"
)

// starts are executions by name, as Step Functions has them.
type starts map[string]string

func (s starts) start(_ context.Context, name, input string) (bool, error) {
	if was, ok := s[name]; ok {
		if was != input {
			return false, &serviceError{"ExecutionAlreadyExists", name + " with another input"}
		}
		return false, nil
	}
	s[name] = input
	return true, nil
}

func newTrigger(r *memoryRDS, s starts, sources ...migrate.SnapshotSource) *migrate.SnapshotTrigger {
	if sources == nil {
		sources = []migrate.SnapshotSource{{ARN: shopARN, Mapping: "s3://work/mappings/shop.json"}}
	}
	return &migrate.SnapshotTrigger{
		Snapshots: r, Sources: sources, Start: s.start, Target: "arn:target",
		Now: func() time.Time { return time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC) },
	}
}

func told(arn string) json.RawMessage {
	return json.RawMessage(`{"source": "aws.rds", "detail-type": "RDS DB Cluster Snapshot Event", "detail": {"EventID": "RDS-EVENT-0075", "SourceArn": "` + arn + `"}}`)
}

const sweep = `{"source": "aws.scheduler"}`

func TestOnlyTaggedSnapshotsOfTheSourcesAreLoaded(t *testing.T) {
	t.Parallel()
	with := func(edit func(*change.DBSnapshot)) change.DBSnapshot {
		s := nightly()
		edit(&s)
		return s
	}
	for name, test := range map[string]struct {
		snapshot  change.DBSnapshot
		tags      map[string]string
		automated bool
		starts    bool
	}{
		"manual":                {nightly(), map[string]string{"godwit": "export"}, false, true},
		"no tags":               {nightly(), nil, false, false},
		"another value":         {nightly(), map[string]string{"godwit": "Export"}, false, false},
		"another tag":           {nightly(), map[string]string{"export": "godwit"}, false, false},
		"being made":            {with(func(s *change.DBSnapshot) { s.Status = "creating" }), map[string]string{"godwit": "export"}, false, false},
		"being copied":          {with(func(s *change.DBSnapshot) { s.Status = "copying" }), map[string]string{"godwit": "export"}, false, false},
		"being deleted":         {with(func(s *change.DBSnapshot) { s.Status = "deleted" }), map[string]string{"godwit": "export"}, false, false},
		"automated":             {with(func(s *change.DBSnapshot) { s.Type = "automated" }), map[string]string{"godwit": "export"}, false, false},
		"automated, wanted":     {with(func(s *change.DBSnapshot) { s.Type = "automated" }), map[string]string{"godwit": "export"}, true, true},
		"automated, not tagged": {with(func(s *change.DBSnapshot) { s.Type = "automated" }), nil, true, false},
		"by AWS Backup":         {with(func(s *change.DBSnapshot) { s.Type = "awsbackup" }), map[string]string{"godwit": "export"}, false, true},
		"of last month":         {with(func(s *change.DBSnapshot) { s.Created = s.Created.AddDate(0, 0, -31) }), map[string]string{"godwit": "export"}, false, false},
	} {
		for _, event := range []string{string(told(nightlyARN)), sweep} {
			r, s := newRDS(t, test.snapshot), starts{}
			r.tags[nightlyARN] = test.tags
			trigger := newTrigger(r, s, migrate.SnapshotSource{ARN: shopARN, Automated: test.automated})
			out, err := trigger.Handle(t.Context(), json.RawMessage(event))
			if err != nil || (len(s) == 1) != test.starts || (out.Untold == 1) == test.starts {
				t.Errorf("%s, by %.30s: started %v, %+v, %v", name, event, s, out, err)
			}
		}
	}
}

// Two events, a sweep and an event: one load, under a name that people recognize and
// that Step Functions takes.
func TestASnapshotHasOneExecution(t *testing.T) {
	t.Parallel()
	odd := nightly()
	odd.ARN = "arn:aws:rds:us-east-1:111122223333:cluster-snapshot:rds:shop-" + strings.Repeat("2026-11-23.", 20)
	r, s := newRDS(t, nightly(), odd), starts{}
	trigger := newTrigger(r, s)
	for i, event := range []json.RawMessage{told(nightlyARN), told(nightlyARN), json.RawMessage(sweep), json.RawMessage(`{}`), told("arn:aws:rds:us-east-1:111122223333:cluster-snapshot:other")} {
		out, err := trigger.Handle(t.Context(), event)
		want := []migrate.TriggerOut{{Started: []string{nightlyARN}}, {Known: 1}, {Started: []string{odd.ARN}, Known: 1}, {Known: 2}, {}}[i]
		if err != nil || !slices.Equal(out.Started, want.Started) || out.Known != want.Known || out.Untold != want.Untold {
			t.Errorf("call %d: %+v, %v, want %+v", i, out, err, want)
		}
	}
	name := regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	for n, input := range s {
		if !name.MatchString(n) || !strings.HasPrefix(n, "nightly-") && !strings.HasPrefix(n, "rds-shop-2026-11-23-") && !strings.HasPrefix(n, "shop-2026-11-23-") {
			t.Errorf("an execution has the name %q", n)
		}
		in, err := migrate.ParseSnapshotInput([]byte(input))
		if err != nil || in.Snapshot == "" || in.Mapping != "s3://work/mappings/shop.json" {
			t.Errorf("an execution has the input %s: %v", input, err)
		}
	}
	// Into another target it is another load.
	trigger.Target = "arn:other"
	if out, err := trigger.Handle(t.Context(), told(nightlyARN)); err != nil || len(out.Started) != 1 {
		t.Errorf("into another target: %+v, %v", out, err)
	}
}

// A source that is gone, or a snapshot whose tags cannot be read, keeps no other
// waiting; and the call fails, so that EventBridge repeats it.
func TestOneSourceDoesNotKeepTheOthersWaiting(t *testing.T) {
	t.Parallel()
	const otherARN, laterARN = "arn:aws:rds:us-east-1:111122223333:db:other", "arn:aws:rds:us-east-1:111122223333:snapshot:later"
	second := nightly()
	second.ARN = nightlyARN + "2"
	later := change.DBSnapshot{ARN: laterARN, Source: "other", Type: "manual", Engine: "postgres", Status: "available", Created: nightly().Created}
	sources := []migrate.SnapshotSource{{ARN: shopARN}, {ARN: otherARN, Mapping: "s3://work/mappings/other.json"}}
	for name, test := range map[string]struct {
		call, about string
		err         error
		retry       string
		starts      int
	}{
		"a source that was deleted": {"Snapshots", shopARN, &serviceError{"DBClusterNotFoundFault", shopARN}, "Stop", 1},
		"a source, for now":         {"Snapshots", shopARN, &serviceError{"Throttling", "slow down"}, "Again", 1},
		"tags, for now":             {"Tag", nightlyARN, &serviceError{"Throttling", "slow down"}, "Again", 2},
		"tags":                      {"Tag", nightlyARN, &serviceError{"AccessDenied", "rds:ListTagsForResource"}, "Stop", 2},
	} {
		r, s := newRDS(t, nightly(), second), starts{}
		r.list[otherARN], r.tags[laterARN] = []change.DBSnapshot{later}, map[string]string{"godwit": "export"}
		r.refuse = func(call, about string) error {
			if call == test.call && about == test.about {
				return test.err
			}
			return nil
		}
		trigger := newTrigger(r, s, sources...)
		_, err := trigger.Handle(t.Context(), json.RawMessage(sweep))
		if retry(err) != test.retry || len(s) != test.starts {
			t.Errorf("%s: started %v, %v", name, s, err)
		}
		r.refuse = nil
		if _, err := trigger.Handle(t.Context(), json.RawMessage(sweep)); err != nil || len(s) != 3 {
			t.Errorf("%s, and again: started %v, %v", name, s, err)
		}
	}
	// Of two sources each has its own rules.
	r, s := newRDS(t), starts{}
	r.list[otherARN], r.tags[laterARN] = []change.DBSnapshot{later}, map[string]string{"godwit": "export"}
	if _, err := newTrigger(r, s, sources...).Handle(t.Context(), told(laterARN)); err != nil || len(s) != 1 {
		t.Fatalf("started %v, %v", s, err)
	}
	for _, input := range s {
		if !strings.Contains(input, "other.json") {
			t.Errorf("started with %s", input)
		}
	}
}

func TestWhatStepFunctionsSaysDecidesWhetherATriggerIsRepeated(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"ExecutionLimitExceeded": "Again", "ThrottlingException": "Again", "StateMachineDoesNotExist": "Stop", "InvalidExecutionInput": "Stop", "ExecutionAlreadyExists": "Stop"} {
		r, s := newRDS(t, nightly()), starts{}
		trigger := newTrigger(r, s)
		trigger.Start = func(context.Context, string, string) (bool, error) { return false, &serviceError{code, "…"} }
		if out, err := trigger.Handle(t.Context(), told(nightlyARN)); retry(err) != want || len(out.Started) > 0 {
			t.Errorf("%s: %+v, %v, want %s", code, out, err, want)
		}
		trigger.Start = s.start
		if out, err := trigger.Handle(t.Context(), json.RawMessage(sweep)); err != nil || len(out.Started) != 1 {
			t.Errorf("after %s a sweep: %+v, %v", code, out, err)
		}
	}
	if _, err := newTrigger(newRDS(t), starts{}).Handle(t.Context(), json.RawMessage(`{`)); retry(err) != "Stop" {
		t.Errorf("an event that is none: %v", err)
	}
}

func newPreflight(r *memoryRDS, o *memoryObjects) *migrate.SnapshotPreflight {
	return &migrate.SnapshotPreflight{
		Objects: o, Snapshots: r, Sources: []migrate.SnapshotSource{{ARN: shopARN}}, Exports: []migrate.AllowedArchive{{Bucket: exportsHere, Prefix: "mine/"}},
		WorkBucket: workBucket, Target: "arn:target",
	}
}

// Whatever would stop a load is said before anything is billed, all of it at once,
// with what mends it.
func TestPreflightSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	const input = `{"Snapshot": "` + nightlyARN + `"}`
	for name, test := range map[string]struct {
		input string
		edit  func(*change.DBSnapshot)
		set   func(*migrate.SnapshotPreflight, *memoryRDS)
		want  []string
	}{
		"of MySQL":                        {input, func(s *change.DBSnapshot) { s.Engine = "aurora-mysql" }, nil, []string{"snapshot nightly is of engine aurora-mysql: only exports of PostgreSQL are read"}},
		"of MariaDB":                      {input, func(s *change.DBSnapshot) { s.Engine = "mariadb" }, nil, []string{"is of engine mariadb"}},
		"being made":                      {input, func(s *change.DBSnapshot) { s.Status = "creating" }, nil, []string{"is creating: start again when it is available"}},
		"being copied":                    {input, func(s *change.DBSnapshot) { s.Status = "copying" }, nil, []string{"is copying"}},
		"failed":                          {input, func(s *change.DBSnapshot) { s.Status = "failed" }, nil, []string{"is failed"}},
		"of another source":               {input, func(s *change.DBSnapshot) { s.Source = "warehouse" }, nil, []string{"is of warehouse, which is no source of this environment", `"sources"`, "make deploy"}},
		"of an instance of the same name": {input, func(s *change.DBSnapshot) { s.Cluster = false }, nil, []string{"is no source of this environment"}},
		"several":                         {input, func(s *change.DBSnapshot) { s.Engine, s.Status, s.Source = "mysql", "creating", "x" }, nil, []string{"is of engine mysql", "is creating", "is of x"}},
		"deleted":                         {input, func(s *change.DBSnapshot) { s.ARN += "-gone" }, nil, []string{nightlyARN, "is not there: it was deleted, or its name is another"}},
		"of another account": {
			strings.Replace(input, "111122223333", "444455556666", 1), nil, nil,
			[]string{"of account 444455556666", "this environment exports those of account 111122223333 in us-east-1 alone: copy it there first", "copy-db-cluster-snapshot", "default key", "customer key"},
		},
		"of another region":                 {strings.Replace(input, "us-east-1", "eu-west-1", 1), nil, nil, []string{"in eu-west-1", "copy it there first"}},
		"of an instance of another account": {`{"Snapshot": "arn:aws:rds:us-east-1:444455556666:snapshot:x"}`, nil, nil, []string{"copy-db-snapshot"}},
		"no ARN":                            {`{"Snapshot": "nightly"}`, nil, nil, []string{`"nightly" is not the ARN of a snapshot`, "describe-db-cluster-snapshots"}},
		"the cluster's ARN":                 {`{"Snapshot": "` + shopARN + `"}`, nil, nil, []string{"is not the ARN of a snapshot"}},
		"no sources":                        {input, nil, func(p *migrate.SnapshotPreflight, _ *memoryRDS) { p.Sources = nil }, []string{"this environment exports no snapshots", `"sources"`, "make deploy"}},
		"an export elsewhere":               {`{"Export": {"Bucket": "theirs", "Prefix": "a/b/"}}`, nil, nil, []string{"s3://theirs/a/b/ is not a place of exports of this environment", `{"bucket":"theirs","prefix":"a/b/"}`, "make deploy"}},
		"an export beside":                  {`{"Export": {"Bucket": "exports", "Prefix": "others/b/"}}`, nil, nil, []string{"is not a place of exports"}},
		"neither":                           {`{}`, nil, nil, []string{"no Snapshot and no Export, or both"}},
		"both":                              {`{"Snapshot": "` + nightlyARN + `", "Export": {"Bucket": "exports", "Prefix": "mine/b/"}}`, nil, nil, []string{"or both"}},
		"an unknown member":                 {`{"Snapshot": "` + nightlyARN + `", "Speed": 9}`, nil, nil, []string{`unknown field "Speed"`}},
		"another mode":                      {`{"Snapshot": "` + nightlyARN + `", "Mode": "fast"}`, nil, nil, []string{`Mode "fast" is neither`}},
		"a part of an export":               {`{"Export": {"Bucket": "exports", "Prefix": "mine/b/"}, "Only": ["shop"]}`, nil, nil, []string{"Only is for an export that is to begin"}},
		"no folder":                         {`{"Export": {"Bucket": "exports", "Prefix": "mine/b"}}`, nil, nil, []string{"is not the folder of an export"}},
		"rules elsewhere":                   {`{"Snapshot": "` + nightlyARN + `", "Mapping": "s3://theirs/m.json"}`, nil, nil, []string{"s3://theirs/m.json may not be read", "aws s3 cp FILE s3://" + workBucket + "/mappings/"}},
		"rules that are not there":          {`{"Snapshot": "` + nightlyARN + `", "Mapping": "s3://` + workBucket + `/mappings/none.json"}`, nil, nil, []string{"NoSuchKey", "mappings/none.json"}},
		"rules that are none":               {`{"Snapshot": "` + nightlyARN + `", "Mapping": "s3://` + workBucket + `/mappings/bad.json"}`, nil, nil, []string{"read the rules s3://" + workBucket + "/mappings/bad.json"}},
		"a catalog elsewhere":               {`{"Snapshot": "` + nightlyARN + `", "Catalog": "s3://` + workBucket + `/other/c.json"}`, nil, nil, []string{"Catalog s3://" + workBucket + "/other/c.json may not be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := nightly()
			if test.edit != nil {
				test.edit(&s)
			}
			r, o := newRDS(t, s), newObjects(t)
			o.set(workBucket, "mappings/bad.json", []byte(`{"version": 1, "from": "postgresql", "tables": {"a": {}, "a.b": {"colour": 1}}}`))
			p := newPreflight(r, o)
			if test.set != nil {
				test.set(p, r)
			}
			_, err := p.Handle(t.Context(), migrate.SnapshotPreflightIn{Input: json.RawMessage(test.input), Execution: "x"})
			if retry(err) != "Stop" {
				t.Errorf("the error is %s, want Stop: %v", retry(err), err)
			}
			hasTexts(t, err, test.want...)
			if len(r.orders) > 0 || o.puts > 0 {
				t.Errorf("it ordered %v and wrote %d objects", r.orders, o.puts)
			}
		})
	}
}

func TestPreflightNamesTheLoadAndWhatItCosts(t *testing.T) {
	t.Parallel()
	r, o := newRDS(t, nightly()), newObjects(t)
	p := newPreflight(r, o)
	ids := map[string]string{}
	for _, input := range []string{
		`{"Snapshot": "` + nightlyARN + `"}`, `{"Snapshot": "` + nightlyARN + `", "Replace": true}`, `{"Snapshot": "` + nightlyARN + `", "Only": ["shop.public"]}`,
		`{"Snapshot": "` + nightlyARN + `", "Database": "shop"}`, `{"Export": {"Bucket": "exports", "Prefix": "mine/b/"}}`,
	} {
		out, err := p.Handle(t.Context(), migrate.SnapshotPreflightIn{Input: json.RawMessage(input)})
		if err != nil || len(out.LoadId) != 32 {
			t.Fatalf("%s: %+v, %v", input, out, err)
		}
		if other, ok := ids[out.LoadId]; ok {
			t.Errorf("%s and %s are one load", input, other)
		}
		ids[out.LoadId] = input
		if snapshot := strings.Contains(input, nightlyARN); snapshot != (out.Source == shopARN) || snapshot && !strings.Contains(strings.Join(out.Warnings, " "), "100 GiB, about 1.07 USD") {
			t.Errorf("%s: %+v", input, out)
		}
	}
	// How it is loaded makes no other load of it.
	a, err1 := p.Handle(t.Context(), migrate.SnapshotPreflightIn{Input: json.RawMessage(`{"Snapshot": "` + nightlyARN + `", "Only": ["b", "a"]}`)})
	b, err2 := p.Handle(t.Context(), migrate.SnapshotPreflightIn{Input: json.RawMessage(`{"Snapshot": "` + nightlyARN + `", "Only": ["a", "b"], "MaxQuarantined": 7, "AcceptSkipped": true}`)})
	if err1 != nil || err2 != nil || a.LoadId != b.LoadId {
		t.Errorf("%+v, %+v, %v, %v", a, b, err1, err2)
	}
	for _, engine := range []string{"aurora-postgresql", "postgres"} {
		s := nightly()
		s.Engine = engine
		if _, err := newPreflight(newRDS(t, s), o).Handle(t.Context(), migrate.SnapshotPreflightIn{Input: json.RawMessage(`{"Snapshot": "` + nightlyARN + `"}`)}); err != nil {
			t.Errorf("%s: %v", engine, err)
		}
	}
	for code, want := range map[string]string{"Throttling": "Again", "InternalFailure": "Again", "AccessDenied": "Stop"} {
		r.refuse = func(string, string) error { return &serviceError{code, "…"} }
		if _, err := p.Handle(t.Context(), migrate.SnapshotPreflightIn{Input: json.RawMessage(`{"Snapshot": "` + nightlyARN + `"}`)}); retry(err) != want {
			t.Errorf("%s: %v, want %s", code, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.refuse = func(string, string) error { return ctx.Err() }
	if _, err := p.Handle(ctx, migrate.SnapshotPreflightIn{Input: json.RawMessage(`{"Snapshot": "` + nightlyARN + `"}`)}); retry(err) != "Again" || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
