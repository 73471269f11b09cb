package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit/internal/assess"
	"godwit/internal/catalog"
	"godwit/internal/estimate"
	"godwit/internal/local/postgres"
	"godwit/internal/local/source"
	"godwit/internal/mapping"
	"godwit/internal/migrate"
	"godwit/internal/profile"
	"godwit/internal/report"
)

// An AssessJob says what SnapshotLoad would make of a database, by its catalog
// alone: nothing of AWS is asked, and nothing is exported.
type AssessJob struct {
	Catalog string // file that psql wrote by catalog.sql; "" is the demo's storefront, in a PostgreSQL of its own
	Target  string // dsql or aurora
	Profile string // "" is the newest of the target: aurora-dsql, aurora-postgresql-17
	Mapping string // file of rules; "" is none, and for the storefront the demo's
	Rows    int    // of the storefront, about
	Seed    uint64
	Folder  string // for assessment.html and assessment.json
	Now     func() time.Time
	Out     io.Writer
}

// ErrRefused is of a database that cannot be moved until somebody decides: the
// assessment is written, and says what.
var ErrRefused = errors.New("the database cannot be moved as it is")

// Run assesses. An error that is not ErrRefused is of the job's files and names.
func (j *AssessJob) Run(ctx context.Context) error {
	known, err := j.profile()
	if err != nil {
		return err
	}
	in := assess.Input{Profile: known}
	rules, from := source.StorefrontRules, "the demo's"
	if j.Mapping != "" || j.Catalog != "" {
		rules, from = nil, j.Mapping
	}
	if j.Mapping != "" {
		if rules, err = os.ReadFile(j.Mapping); err != nil {
			return fmt.Errorf("read the mapping: %w", err)
		}
	}
	if rules != nil {
		if in.Rules, err = mapping.ParseTables(rules); err != nil {
			return fmt.Errorf("read the mapping %s: %w", from, err)
		}
	}
	text, name, err := j.catalog(ctx)
	if err != nil {
		return err
	}
	if in.Catalog, err = catalog.Parse(text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	decision, err := assess.Decide(in)
	if err != nil {
		return err
	}
	a, err := migrate.Assess(migrate.AssessIn{Input: in, DSQL: j.dsql(), Place: estimate.Place{}, Now: j.Now()}, decision)
	if err != nil {
		return err
	}
	a.Mapping.From = from
	return j.write(a)
}

func (j *AssessJob) dsql() bool { return strings.HasPrefix(j.Profile, "aurora-dsql") }

// profile finds what the target can do, and settles the profile's name.
func (j *AssessJob) profile() (*profile.Profile, error) {
	engine, ok := map[string]string{"dsql": "aurora-dsql", "aurora": "aurora-postgresql"}[j.Target]
	if !ok {
		return nil, fmt.Errorf("no target is named %q: say dsql or aurora", j.Target)
	}
	names := slices.DeleteFunc(profile.Names(), func(name string) bool { return !strings.HasPrefix(name, engine) })
	if len(names) == 0 {
		return nil, fmt.Errorf("nothing is known of the target %s", j.Target)
	}
	j.Profile = cmp.Or(j.Profile, slices.Max(names))
	if !slices.Contains(names, j.Profile) {
		return nil, fmt.Errorf("the target %s has no profile %q: say one of %s", j.Target, j.Profile, strings.Join(names, ", "))
	}
	return profile.Lookup(j.Profile)
}

// catalog reads the catalog, and says where it is from.
func (j *AssessJob) catalog(ctx context.Context) (text []byte, name string, err error) {
	if j.Catalog != "" {
		if text, err = os.ReadFile(j.Catalog); err != nil {
			return nil, "", fmt.Errorf("read the catalog: %w: make it in the source: psql -XAt -f internal/catalog/catalog.sql > %s", err, j.Catalog)
		}
		return text, j.Catalog, nil
	}
	fmt.Fprintln(j.Out, "no CATALOG is given: a storefront in a PostgreSQL of this machine is assessed, the demo's")
	s, err := postgres.Start(ctx, postgres.Options{Master: storefrontMaster, Password: "assess", Database: "storefront"})
	if err != nil {
		return nil, "", fmt.Errorf("start a PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	db, err := connectUTC(ctx, s.DSN(storefrontMaster, "assess", "storefront"))
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }() // everything is read
	if err := source.OpenStorefront(ctx, db, j.Rows, j.Seed); err != nil {
		return nil, "", err
	}
	if err := db.QueryRow(ctx, catalog.SQL()).Scan(&text); err != nil {
		return nil, "", fmt.Errorf("read the catalog of the storefront: %w", err)
	}
	return text, "the storefront", nil
}

// write writes the assessment to the folder, and shows it.
func (j *AssessJob) write(a report.Assessment) error {
	a, err := a.Complete()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(j.Folder, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func() ([]byte, error){"assessment.json": a.JSON, "assessment.html": a.HTML} {
		body, err := write()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(j.Folder, name), body, 0o644); err != nil { // for whoever ran the job
			return err
		}
	}
	page := filepath.Join(j.Folder, "assessment.html")
	fmt.Fprintf(j.Out, "\n%s\nwhat becomes of every column, and why: %s\n", a.Text(100), page)
	if a.Verdict == report.NotMovable {
		return fmt.Errorf("%w: %s says what to decide", ErrRefused, page)
	}
	return nil
}
