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

	"godwit/internal/change"
	"godwit/internal/local/source"
)

// A ShopJob is a PostgreSQL database that goes on while its target follows, as a
// person at a terminal sees it.
type ShopJob struct {
	Assembly  string // folder of the synthesized stacks
	Source    string // change.SourceDMS or change.SourceDSQL
	Seed      uint64 // of what the application does, and of where the producer falls back
	Customers int
	Folder    string // for the functions' log
	Out       io.Writer
}

// Behind the copy the application does a quarter as many transactions as there are
// customers, within these bounds.
const (
	changesShare               = 4
	fewestChanges, mostChanges = 200, 2000
)

// producers names who writes to the stream.
var producers = map[string]string{change.SourceDMS: "AWS DMS", change.SourceDSQL: "Aurora DSQL"}

// Run runs the job. An error means that the target does not hold what the source
// holds.
func (j *ShopJob) Run(ctx context.Context) (err error) {
	if producers[j.Source] == "" {
		return fmt.Errorf("no source is named %q: say qldb, dms or dsql", j.Source)
	}
	if err := os.MkdirAll(j.Folder, 0o755); err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(j.Folder, "functions.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	fmt.Fprintln(j.Out, "starting the stacks of", j.Assembly)
	c, err := Start(ctx, Options{Assembly: j.Assembly, Logs: logs})
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.OpenShop(ctx, ShopOptions{Source: j.Source, Customers: j.Customers, Seed: j.Seed, Repeats: j.Seed + 1})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := j.run(ctx, c, s); err != nil {
		return fmt.Errorf("%w\n(the functions' log is %s)", err, logs.Name())
	}
	return c.Gateway.Err()
}

func (j *ShopJob) run(ctx context.Context, c *Cloud, s *Shop) error {
	fmt.Fprintf(j.Out, "a shop in PostgreSQL; from %s on its changes go to Kinesis as %s writes them, made from the server's own log\n", s.position(s.Producer.Boundary()), producers[j.Source])
	// The application does not wait for the copy.
	changes := min(max(j.Customers/changesShare, fewestChanges), mostChanges)
	if err := s.Change(ctx, changes/3); err != nil {
		return err
	}
	began := time.Now()
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "copied %d rows of 5 tables as they were there, in %.1f s: by plain COPY, for the first copy is left to your own tool\n", s.Copied, time.Since(began).Seconds())
	in, err := s.Enable(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "stream-enable %s\n", text)

	began = time.Now()
	if err := s.Producer.Flush(ctx); err != nil {
		return err
	}
	status, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if err := s.Change(ctx, changes-changes/3); err != nil {
		return err
	}
	if err := s.Producer.Flush(ctx); err != nil {
		return err
	}
	if err := c.Mappings.Drain(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	j.tellSource(s.Producer.Sent())
	fmt.Fprintf(j.Out, "  stream-status, meanwhile:  %s\n", short(status.Line))
	calls, invocations := c.applyCalls()
	fmt.Fprintf(j.Out, "  stream-apply:              all of them in %.1f s, by %d invocations with %d Data API calls\n", took.Seconds(), invocations, calls)
	if err := j.tellUnkeyed(ctx, s); err != nil {
		return err
	}
	if status, err = s.Status(ctx); err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "  stream-status:             %s\n", status.Line)
	if !status.Safe {
		return errNotSafe
	}
	return j.tellComparison(ctx, s)
}

// tellSource says what the source did.
func (j *ShopJob) tellSource(sent source.Sent) {
	fmt.Fprintf(j.Out, "\nThe shop goes on: %d transactions, %d changes of rows; %d changed a primary key, and %d left a large value as it was, which the log leaves out\n",
		sent.Transactions, sent.Changes, sent.KeyChanges, sent.Unchanged)
	order := "in order for each key, over several shards"
	if j.Source == change.SourceDSQL {
		order = "in no order"
	}
	fmt.Fprintf(j.Out, "  %-26s %d records, %s; %d of them are repeats, behind %d restarts\n", producers[j.Source]+":", sent.Records, order, sent.Again, sent.Restarts)
}

// tellUnkeyed shows what becomes of the table without a key, and mends it.
func (j *ShopJob) tellUnkeyed(ctx context.Context, s *Shop) error {
	status, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if status.Aside == 0 {
		return errors.New("nothing was set aside, though a table has no key")
	}
	reason, err := s.reason()
	if err != nil {
		return err
	}
	const mend = `ALTER TABLE shop.visit ADD PRIMARY KEY (customer, page, seen)`
	if err := s.Target(ctx, mend); err != nil {
		return err
	}
	replayed, err := s.Replay(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "  set aside:                 %d messages: %s\n", status.Aside, reason)
	fmt.Fprintf(j.Out, "  mended in the target:      %s; stream-replay applied %d of them, %d are left\n", mend, replayed.Applied, replayed.Aside)
	return nil
}

// reason is why the first of what was set aside was.
func (s *Shop) reason() (string, error) {
	bucket, err := s.cloud.failureBucket()
	if err != nil {
		return "", err
	}
	objects, err := s.cloud.S3.List(bucket, "quarantine/")
	if err != nil || len(objects) == 0 {
		return "", errors.Join(err, fmt.Errorf("bucket %s has %d quarantine objects", bucket, len(objects)))
	}
	body, _, err := s.cloud.S3.Get(bucket, objects[0].Key)
	if err != nil {
		return "", err
	}
	var aside struct{ Reason string }
	return aside.Reason, json.Unmarshal(body, &aside)
}

// failureBucket is the stacks' own bucket for what could not be applied.
func (c *Cloud) failureBucket() (string, error) {
	for _, f := range c.Functions {
		if b := f.Env["GODWIT_FAILURE_BUCKET"]; b != "" {
			return b, nil
		}
	}
	return "", errors.New("no function of the stacks has a bucket of failures")
}

// tellComparison holds the target against the source, and gives it the source's
// rules, as before a cut-over.
func (j *ShopJob) tellComparison(ctx context.Context, s *Shop) error {
	all, err := s.Compare(ctx, append([]change.TableName{source.Unkeyed}, source.KeyedTables...))
	if err != nil {
		return fmt.Errorf("compare the target with the source: %w", err)
	}
	var rows, wrong int64
	for _, d := range all {
		rows += d.Rows
		if n := d.Wrong(); n > 0 {
			wrong += n
			fmt.Fprintf(j.Out, "  %s\n", &d)
		}
	}
	fmt.Fprintf(j.Out, "  compared:                  every row and value of %d tables, %d rows in all, with the source's: %d differences\n", len(all), rows, wrong)
	if wrong > 0 {
		return errors.New("the target does not hold what the source holds")
	}
	if err := s.Target(ctx, source.ShopRules...); err != nil {
		return fmt.Errorf("the target breaks a rule of the source: %w", err)
	}
	fmt.Fprintf(j.Out, "  ready to cut over:         the source's %d rules between rows hold in the target, and are added\n", len(source.ShopRules))
	return nil
}

// short is the beginning of a line that may be long.
func short(line string) string {
	if head, _, ok := strings.Cut(line, "; "); ok {
		return head + "; …"
	}
	return line
}
