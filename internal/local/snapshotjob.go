package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
	"godwit/internal/local/source"
	"godwit/internal/migrate"
	"godwit/internal/report"
)

// A SnapshotJob is a storefront's database that moves by a snapshot, as a person at
// a terminal sees it.
type SnapshotJob struct {
	Assembly string // folder of the synthesized stacks
	Rows     int    // of the storefront's tables, about
	Seed     uint64
	Folder   string // for the report and the functions' log
	Out      io.Writer
}

// Run runs the job. An error means that the target does not hold what the source
// held when its snapshot was taken.
func (j *SnapshotJob) Run(ctx context.Context) (err error) {
	if err := os.MkdirAll(j.Folder, 0o755); err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(j.Folder, "functions.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	bar := newProgress(j.Out)
	fmt.Fprintln(j.Out, "starting the stacks of", j.Assembly)
	c, err := Start(ctx, Options{Assembly: j.Assembly, Logs: logs, Progress: bar.event})
	if err != nil {
		return err
	}
	defer c.Close()
	began := time.Now()
	s, err := c.OpenStorefront(ctx, StorefrontOptions{Rows: j.Rows, Seed: j.Seed})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(j.Out, "a storefront in PostgreSQL, about %d rows, made in %.1f s\n", j.Rows, time.Since(began).Seconds())
	if err := j.run(ctx, c, s, bar); err != nil {
		return fmt.Errorf("%w\n(the functions' log is %s)", err, logs.Name())
	}
	return c.Gateway.Err()
}

func (j *SnapshotJob) run(ctx context.Context, c *Cloud, s *Storefront, bar *progress) error {
	work, err := c.workBucket()
	if err != nil {
		return err
	}
	if err := c.S3.Put(work, "mappings/storefront.json", source.StorefrontRules, s3.Options{}); err != nil {
		return err
	}
	began := time.Now()
	x, err := s.Load(ctx, "nightly")
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "a snapshot with the tag godwit=export: its event started SnapshotLoad, execution %s\n", x.Name)
	r, err := x.Wait(ctx)
	bar.end()
	if err != nil {
		return err
	}
	if err := c.Gateway.Err(); err != nil {
		return fmt.Errorf("the local AWS does not know what the stacks ask for: %w", err)
	}
	if r.Status != asl.Succeeded {
		return fmt.Errorf("SnapshotLoad %s: %s", strings.ToLower(string(r.Status)), Cause(x))
	}
	var out migrate.ReportSnapshotOut
	if err := json.Unmarshal(r.Output, &out); err != nil {
		return fmt.Errorf("read the output of SnapshotLoad: %w", err)
	}
	fmt.Fprintf(j.Out, "loaded and verified: %d rows of %d tables in %.1f s, the export included\n", out.Rows, out.Tables, time.Since(began).Seconds())
	if err := j.reports(c, work, out.LoadId); err != nil {
		return err
	}
	return j.compare(ctx, c, s, work, out.LoadId)
}

// reports brings what people read to the folder, because the local S3 ends with the
// job, and shows the report.
func (j *SnapshotJob) reports(c *Cloud, work, load string) error {
	var body []byte
	for _, name := range []string{"assessment.json", "assessment.html", "keys.sql", "report.html", "report.json"} {
		var err error
		if body, _, err = c.S3.Get(work, "snapshots/"+load+"/"+name); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(j.Folder, name), body, 0o644); err != nil { // for whoever ran the job
			return err
		}
	}
	r, err := report.ParseSnapshot(body)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "\n%s\n", r.Text(100))
	fmt.Fprintln(j.Out, "(the export's minutes are those of the local RDS, whose clock leaps over waits)")
	for _, x := range [][2]string{{"report, as a page:", "report.html"}, {"what became of every column, and why:", "assessment.html"}, {"the new keys as SQL:", "keys.sql"}} {
		fmt.Fprintf(j.Out, "%-38s %s\n", x[0], filepath.Join(j.Folder, x[1]))
	}
	return nil
}

// compare holds the target against the source once more, by other means.
func (j *SnapshotJob) compare(ctx context.Context, c *Cloud, s *Storefront, work, load string) error {
	body, _, err := c.S3.Get(work, "snapshots/"+load+"/plan.json")
	if err != nil {
		return err
	}
	var plan migrate.SnapshotPlan
	if err := json.Unmarshal(body, &plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	to, err := c.snapshotTarget()
	if err != nil {
		return err
	}
	found, err := s.Compare(ctx, plan.Plans, to)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "compared with the source, row by row and in SQL: %d rows of %d tables, %d differences\n", found.Rows, found.Tables, len(found.Differences))
	if len(found.Differences) > 0 {
		return fmt.Errorf("the target is not what the source holds; first: %s", found.Differences[0])
	}
	return nil
}

// snapshotTarget connects to the database that snapshots are loaded into, as its
// administrator.
func (c *Cloud) snapshotTarget() (string, error) {
	switch {
	case c.DSQL != nil:
		return c.DSQL.DSN, nil
	case c.Postgres != nil:
		return c.Postgres.AdminDSN(c.Database) + "&timezone=UTC", nil
	}
	return "", errors.New("the stacks have no target of snapshots")
}

// Load takes a snapshot with the tag that has it loaded, and returns the execution
// that its event starts.
func (s *Storefront) Load(ctx context.Context, id string) (*asl.Execution, error) {
	c := s.cloud
	machine, err := c.Machine("SnapshotLoad")
	if err != nil {
		return nil, err
	}
	before := len(c.States.Executions(machine.ARN))
	if _, err := s.Snapshot(ctx, id, map[string]string{"godwit": "export"}); err != nil {
		return nil, err
	}
	if err := c.Events.Wait(ctx); err != nil {
		return nil, err
	}
	list := c.States.Executions(machine.ARN)
	if len(list) != before+1 {
		return nil, fmt.Errorf("the snapshot's event started %d executions of SnapshotLoad%s", len(list)-before, c.undelivered())
	}
	return list[before], nil
}

// undelivered says what became of events that no target took.
func (c *Cloud) undelivered() string {
	var texts []string
	for _, d := range c.Events.Deliveries() {
		if d.Err != nil {
			texts = append(texts, fmt.Sprintf("%s: %v", d.Rule, d.Err))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return ": " + strings.Join(texts, "; ")
}
