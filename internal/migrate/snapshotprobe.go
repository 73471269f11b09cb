package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"godwit/internal/profile"
)

// probeKey is where the probe of the environment's target is kept in the work
// bucket.
const probeKey = "profiles/target.json"

// probeLasts is how long what a probe found is believed: a managed service learns
// more from month to month.
const probeLasts = 30 * 24 * time.Hour

// ProbeTarget finds what the target of snapshots can do: which profile is its, and
// what of that is in doubt.
type ProbeTarget struct {
	Objects    Objects
	Target     Probing
	WorkBucket string
	Cluster    string // ARN
	Now        func() time.Time
}

// Probing is a target as far as it can be asked what it can do. Both may be
// repeated, and called beside themselves.
type Probing interface {
	// Engine names the database engine, as profile.Of takes it, and its version.
	Engine(ctx context.Context) (engine, version string, err error)
	// Probe tries what the profile is in doubt about, and leaves nothing in the
	// target. An error with a method Untried() string says why nothing could be
	// tried; the profile then stays as it is.
	Probe(ctx context.Context) ([]profile.Probed, error)
}

// A TargetProbe is what a target said of itself on a day.
type TargetProbe struct {
	Cluster string // ARN
	Profile string
	At      time.Time
	Found   []profile.Probed
	Untried string `json:",omitempty"` // why nothing could be tried
}

// day is when the target was probed, "" where it was not.
func (t *TargetProbe) day() string {
	if t.At.IsZero() || t.Untried != "" {
		return ""
	}
	return t.At.UTC().Format(time.DateOnly)
}

// profile returns the profile with what was found in it.
func (t *TargetProbe) profile() (*profile.Profile, error) {
	known, err := profile.Lookup(t.Profile)
	if err != nil || len(t.Found) == 0 {
		return known, err
	}
	return known.Correct(t.day(), t.Found)
}

// lasts reports whether a probe still tells what the target can do: it is young,
// and answers all that the profile of today is in doubt about.
func (t *TargetProbe) lasts(now time.Time) bool {
	// One from the future is of a wrong clock, or was written by hand; a minute is
	// what the clocks of two functions may differ by.
	if age := now.Sub(t.At); age < -time.Minute || age >= probeLasts {
		return false
	}
	known, err := t.profile()
	return err == nil && len(known.Doubtful()) == 0
}

// ProbeTargetOut says what the target is, for whoever looks at the execution.
type ProbeTargetOut struct {
	Profile string
	Probed  string // day; "" where nothing could be tried
	Kept    bool   // it was probed before
	Untried string `json:",omitempty"`
}

// Handle probes the target, unless that was done within 30 days. It may be
// repeated; two at once find the same.
func (p *ProbeTarget) Handle(ctx context.Context) (ProbeTargetOut, error) {
	out, err := p.handle(ctx)
	return out, Classify(err)
}

func (p *ProbeTarget) handle(ctx context.Context) (ProbeTargetOut, error) {
	engine, version, err := p.Target.Engine(ctx)
	if err != nil {
		return ProbeTargetOut{}, fmt.Errorf("ask the target for its version: %w", err)
	}
	now := p.Now().UTC()
	probe := TargetProbe{Cluster: p.Cluster, At: now}
	if probe.Profile, err = profile.Of(engine, version); err != nil {
		return ProbeTargetOut{}, &Stop{err}
	}
	kept, err := readProbe(ctx, p.Objects, p.WorkBucket, probeKey, p.Cluster)
	if err != nil {
		return ProbeTargetOut{}, err
	}
	if kept != nil && kept.Profile == probe.Profile && kept.lasts(now) {
		return ProbeTargetOut{Profile: kept.Profile, Probed: kept.day(), Kept: true}, nil
	}
	probe.Found, err = p.Target.Probe(ctx)
	var untried interface{ Untried() string }
	if errors.As(err, &untried) {
		probe.Untried, err = untried.Untried(), nil
	}
	if err != nil {
		return ProbeTargetOut{}, fmt.Errorf("probe the target: %w", err)
	}
	if _, err := probe.profile(); err != nil {
		return ProbeTargetOut{}, &Stop{fmt.Errorf("probe the target: %w: please report this", err)}
	}
	return ProbeTargetOut{Profile: probe.Profile, Probed: probe.day(), Untried: probe.Untried}, putJSON(ctx, p.Objects, p.WorkBucket, probeKey, probe)
}

// readProbe reads a probe of a cluster that was kept; nil where there is none, or
// where it is of another cluster or cannot be read.
func readProbe(ctx context.Context, o Objects, bucket, key, cluster string) (*TargetProbe, error) {
	there, err := exists(ctx, o, bucket, key)
	if err != nil || !there {
		return nil, err
	}
	text, err := readAll(ctx, o, bucket, key)
	if err != nil {
		return nil, err
	}
	var t TargetProbe
	if json.Unmarshal(text, &t) == nil && t.Cluster == cluster {
		return &t, nil
	}
	return nil, nil
}

// AuroraProbe asks the control plane for the version of a cluster of Aurora
// PostgreSQL, of whose profiles nothing is in doubt. It needs no role of the
// database, which may have none yet, and wakes no cluster that sleeps.
type AuroraProbe struct {
	Cluster func(ctx context.Context) (Cluster, error)
}

// Engine is what RDS says.
func (a AuroraProbe) Engine(ctx context.Context) (engine, version string, err error) {
	c, err := a.Cluster(ctx)
	return c.Engine, c.Version, err
}

// Probe finds nothing that the version does not say.
func (AuroraProbe) Probe(context.Context) ([]profile.Probed, error) { return nil, nil }

// A DSQLProbe tries things in an Aurora DSQL cluster, which has no versions.
type DSQLProbe struct {
	Try func(ctx context.Context) ([]profile.Probed, error)
}

// Engine is Aurora DSQL.
func (DSQLProbe) Engine(context.Context) (engine, version string, err error) {
	return "aurora-dsql", "", nil
}

// Probe tries what documents and measurements tell differently.
func (d DSQLProbe) Probe(ctx context.Context) ([]profile.Probed, error) { return d.Try(ctx) }
