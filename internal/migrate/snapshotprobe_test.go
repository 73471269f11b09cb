package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/migrate"
	"godwit/internal/profile"
)

const (
	probedARN = "arn:aws:dsql:us-east-1:111122223333:cluster/abcdefghijklmnopqrstuvwxyz"
	probeFile = "work/profiles/target.json"
)

// everything answers all that is in doubt of Aurora DSQL.
var everything = []profile.Probed{
	{Name: "smallIdentity", Value: 1, Note: "a table with it was made"},
	{Name: "deferrableUnique", Note: "not supported"},
	{Name: "keyDeclared", Value: 2000, Note: "key too large"},
	{Name: "keyBytes", Value: 1981, Note: "key size too large"},
}

// A probing is a target that is asked, with a clock.
type probing struct {
	*migrate.ProbeTarget
	objects *memoryObjects
	tries   int
	now     time.Time
	found   []profile.Probed
	err     error
}

func newProbing(t *testing.T) *probing {
	p := &probing{objects: newObjects(t), now: time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC), found: everything}
	p.objects.changing = func(key string) bool { return key == "profiles/target.json" }
	p.ProbeTarget = &migrate.ProbeTarget{
		Objects: p.objects, WorkBucket: "work", Cluster: probedARN, Now: func() time.Time { return p.now },
		Target: migrate.DSQLProbe{Try: func(context.Context) ([]profile.Probed, error) { p.tries++; return p.found, p.err }},
	}
	return p
}

func (p *probing) kept(t *testing.T) (k migrate.TargetProbe) {
	t.Helper()
	if err := json.Unmarshal(p.objects.objects[probeFile].body, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestATargetIsProbedOnceInThirtyDays(t *testing.T) {
	p := newProbing(t)
	for _, step := range []struct {
		what  string
		after time.Duration
		do    func()
		tries int
		out   migrate.ProbeTargetOut
	}{
		{"the first time", 0, nil, 1, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-11-23"}},
		{"again", 0, nil, 1, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-11-23", Kept: true}},
		{"a second before 30 days", 30*24*time.Hour - time.Second, nil, 1, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-11-23", Kept: true}},
		{"after 30 days", time.Second, nil, 2, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-23"}},
		{"by a clock that is slow", -30 * time.Second, nil, 2, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-23", Kept: true}},
		{"by a clock that is wrong", -48 * time.Hour, nil, 3, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-21"}},
		{"of another cluster", 0, func() { p.Cluster += "x" }, 4, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-21"}},
		{"behind a file that cannot be read", 0, func() { p.put("{") }, 5, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-21"}},
		{"behind one that knows what no profile does", 0, func() { p.edit(t, func(k *migrate.TargetProbe) { k.Found[0].Name = "wings" }) }, 6, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-21"}},
		{"behind one that leaves a doubt", 0, func() { p.edit(t, func(k *migrate.TargetProbe) { k.Found = k.Found[1:] }) }, 7, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-21"}},
		{"behind one of another profile", 0, func() { p.edit(t, func(k *migrate.TargetProbe) { k.Profile = "aurora-postgresql-17" }) }, 8, migrate.ProbeTargetOut{Profile: "aurora-dsql", Probed: "2026-12-21"}},
	} {
		p.now = p.now.Add(step.after)
		if step.do != nil {
			step.do()
		}
		out, err := p.Handle(t.Context())
		if err != nil || out != step.out || p.tries != step.tries {
			t.Errorf("%s: got %+v, %v after %d tries, want %+v after %d", step.what, out, err, p.tries, step.out, step.tries)
		}
	}
	if k := p.kept(t); len(k.Found) != len(everything) || k.Found[3].Value != 1981 {
		t.Errorf("kept is %+v", k)
	}
}

func (p *probing) put(text string) { p.objects.objects[probeFile] = memoryObject{body: []byte(text)} }

func (p *probing) edit(t *testing.T, change func(*migrate.TargetProbe)) {
	k := p.kept(t)
	change(&k)
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	p.put(string(text))
}

// An untriedError is a target without room for a try.
type untriedError struct{}

func (untriedError) Error() string   { return "as many schemas as it may" }
func (untriedError) Untried() string { return "as many schemas as it may" }

// Where nothing could be tried the load goes on by what is documented, and the next
// one tries again.
func TestATargetWithoutRoomIsTriedAgain(t *testing.T) {
	p := newProbing(t)
	p.found, p.err = nil, untriedError{}
	for tries := 1; tries <= 2; tries++ {
		out, err := p.Handle(t.Context())
		if err != nil || out.Untried == "" || out.Kept || out.Probed != "" || p.tries != tries {
			t.Errorf("got %+v, %v after %d tries, want that nothing was tried", out, err, p.tries)
		}
		if k := p.kept(t); k.Untried == "" || len(k.Found) != 0 || k.Profile != "aurora-dsql" {
			t.Errorf("kept is %+v", k)
		}
	}
}

// A probe that fails, or is cut off before or behind its file, is repeated.
func TestAProbeThatFailsIsRepeated(t *testing.T) {
	p := newProbing(t)
	p.err = &serviceError{"ThrottlingException", "slow down"}
	var again *migrate.Again
	if _, err := p.Handle(t.Context()); !errors.As(err, &again) || len(p.objects.objects) != 0 {
		t.Errorf("a throttled probe: got %v and %d objects", err, len(p.objects.objects))
	}
	p.err = nil
	for _, stored := range []bool{false, true} {
		clear(p.objects.objects)
		p.objects.fault = func(string) (bool, error) { return stored, errCrash }
		if _, err := p.Handle(t.Context()); !errors.Is(err, errCrash) {
			t.Errorf("got %v, want a crash", err)
		}
		p.objects.fault = nil
		if out, err := p.Handle(t.Context()); err != nil || out.Kept != stored {
			t.Errorf("after a crash (stored: %v): got %+v, %v", stored, out, err)
		}
	}
	p.found = []profile.Probed{{Name: "wings", Value: 2}}
	clear(p.objects.objects)
	var stop *migrate.Stop
	if _, err := p.Handle(t.Context()); !errors.As(err, &stop) || len(p.objects.objects) != 0 {
		t.Errorf("what no profile knows: got %v and %d objects, want a stop and none", err, len(p.objects.objects))
	}
}

// Two at once end in one file, whole.
func TestProbesAtOnceKeepOneFile(t *testing.T) {
	a, b := newProbing(t), newProbing(t)
	b.Objects = a.objects
	var group sync.WaitGroup
	for _, p := range []*probing{a, b} {
		group.Go(func() {
			if _, err := p.Handle(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if k := a.kept(t); len(k.Found) != len(everything) {
		t.Errorf("kept is %+v", k)
	}
}

// The version of Aurora PostgreSQL chooses the profile; one that nobody knows is
// refused by name, with what to do.
func TestAuroraIsKnownByItsVersion(t *testing.T) {
	for _, x := range []struct{ engine, version, profile, refused string }{
		{"aurora-postgresql", "15.8", "aurora-postgresql-15", ""},
		{"aurora-postgresql", "16.4", "aurora-postgresql-16", ""},
		{"aurora-postgresql", "17.9", "aurora-postgresql-17", ""},
		{"aurora-postgresql", "14.13", "", "aurora-postgresql 14.13, and what that version can do is not known: upgrade it to one of 15, 16, 17"},
		{"aurora-postgresql", "170.1", "", "170.1"},
		{"aurora-postgresql", "", "", "not known"},
		{"aurora-mysql", "8.0.mysql_aurora.3.08.0", "", `"aurora-mysql"`},
	} {
		p := newProbing(t)
		p.Target = migrate.AuroraProbe{Cluster: func(context.Context) (migrate.Cluster, error) {
			return migrate.Cluster{Engine: x.engine, Version: x.version}, nil
		}}
		out, err := p.Handle(t.Context())
		if x.refused != "" {
			var stop *migrate.Stop
			if !errors.As(err, &stop) || !strings.Contains(err.Error(), x.refused) || len(p.objects.objects) != 0 {
				t.Errorf("%s %s: got %v, want a stop that says %s", x.engine, x.version, err, x.refused)
			}
			continue
		}
		if err != nil || out.Profile != x.profile || p.kept(t).Profile != x.profile {
			t.Errorf("%s %s: got %+v, %v, want %s", x.engine, x.version, out, err, x.profile)
		}
		p.Target = migrate.AuroraProbe{Cluster: func(context.Context) (migrate.Cluster, error) {
			return migrate.Cluster{Engine: "aurora-postgresql", Version: "17.1"}, nil
		}}
		if out, err = p.Handle(t.Context()); err != nil || out.Profile != "aurora-postgresql-17" || out.Kept != (x.profile == "aurora-postgresql-17") {
			t.Errorf("%s upgraded: got %+v, %v", x.version, out, err)
		}
	}
}

// A plan goes by what the target said of itself; once a load goes on to the target
// its plan stays what it is, whatever is found later.
func TestAPlanGoesByTheProbeThatItsLoadBeganWith(t *testing.T) {
	t.Parallel()
	p := newPlanning(t)
	p.Profile = ""
	_, err := p.run(t)
	hasTexts(t, err, "there is no s3://"+workBucket+"/profiles/target.json", "start SnapshotLoad again")
	probe := func(day string, profileName string, found ...profile.Probed) {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		putJSON(t, p.objects, "profiles/target.json", migrate.TargetProbe{Cluster: p.Cluster, Profile: profileName, At: at, Found: found})
	}
	check := func(what, mode, name, day string) {
		t.Helper()
		p.input["Mode"] = mode
		out, err := p.run(t)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var plan migrate.SnapshotPlan
		if err := json.Unmarshal(p.objects.objects[workBucket+"/snapshots/"+out.LoadId+"/plan.json"].body, &plan); err != nil {
			t.Fatal(err)
		}
		if plan.Profile != name || plan.Probed != day {
			t.Errorf("%s: planned for %s, probed %q, want %s and %q", what, plan.Profile, plan.Probed, name, day)
		}
	}
	probe("2026-11-01", "aurora-dsql")
	check("an assessment", "assess", "aurora-dsql", "2026-11-01")
	probe("2026-11-02", "aurora-postgresql-15")
	check("an assessment after another probe", "assess", "aurora-postgresql-15", "2026-11-02")
	check("a load", "load", "aurora-postgresql-15", "2026-11-02")
	probe("2026-12-03", "aurora-postgresql-17")
	check("the same load, after another probe", "load", "aurora-postgresql-15", "2026-11-02")
	// What is refused never went on to the target.
	p = newPlanning(t)
	p.Profile = ""
	p.rules(`{"version": 1, "from": "postgresql", "tables": {"app.none": {"skip": true}}}`)
	probe("2026-11-01", "aurora-dsql", profile.Probed{Name: "keyBytes", Value: 1981})
	if _, err := p.run(t); retry(err) != "Stop" {
		t.Fatalf("got %v, want a stop: the rules name a table that is not there", err)
	}
	for key := range p.objects.objects {
		if strings.HasSuffix(key, "/profile.json") {
			t.Errorf("a load that is refused has %s", key)
		}
	}
}

func putJSON(t testing.TB, o *memoryObjects, key string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	o.set(workBucket, key, text)
}
