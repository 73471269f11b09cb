package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/local/asl"
	"godwit/internal/local/s3"
	"godwit/internal/local/template"
	"godwit/internal/report"
)

// A Job is one load on this machine, from an archive to a report, as a person
// at a terminal follows it.
type Job struct {
	Assembly string             // folder of the synthesized stacks
	Generate *ledgergen.Options // makes a ledger; nil loads Archive
	Archive  string             // folder with an archive
	Mapping  string             // mapping file; "" the packaged one
	Schema   string
	Input    string // further members of the input, as JSON
	Folder   string // for the report and the logs
	Keep     bool   // keep the database running until ctx ends
	Out      io.Writer
}

// Run runs the job. An error means that nothing was loaded, or that what was
// loaded does not add up.
func (j *Job) Run(ctx context.Context) (err error) {
	if err := os.MkdirAll(j.Folder, 0o755); err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(j.Folder, "functions.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	bucket, err := archiveBucket(j.Assembly)
	if err != nil {
		return err
	}
	bar := newProgress(j.Out)
	fmt.Fprintln(j.Out, "starting the stacks of", j.Assembly)
	c, err := Start(ctx, Options{Assembly: j.Assembly, Buckets: []s3.Bucket{{Name: bucket}}, Logs: logs, Progress: bar.event})
	if err != nil {
		return err
	}
	defer c.Close()

	input := map[string]any{}
	if j.Input != "" {
		if err := json.Unmarshal([]byte(j.Input), &input); err != nil {
			return fmt.Errorf("read -input: %w", err)
		}
	}
	prefix, err := j.fill(c, bucket)
	if err != nil {
		return err
	}
	input["Bucket"], input["Prefix"] = bucket, prefix
	if j.Schema != "" {
		input["Schema"] = j.Schema
	}
	if j.Mapping != "" {
		text, err := os.ReadFile(j.Mapping)
		if err != nil {
			return fmt.Errorf("read the mapping: %w", err)
		}
		work, err := c.workBucket()
		if err != nil {
			return err
		}
		if err := c.S3.Put(work, "mappings/mapping.json", text, s3.Options{}); err != nil {
			return err
		}
		input["Mapping"] = "s3://" + work + "/mappings/mapping.json"
	}
	began := time.Now()
	x, err := c.StartLoad(ctx, "load", input)
	if err != nil {
		return err
	}
	r, err := x.Wait(ctx)
	bar.end()
	if err != nil {
		return err
	}
	if err := j.quarantine(c); err != nil {
		return err
	}
	if err := c.Gateway.Err(); err != nil {
		return fmt.Errorf("the local AWS does not know what the stacks ask for: %w", err)
	}
	if r.Status != asl.Succeeded {
		return fmt.Errorf("LedgerLoad %s: %s\n(the functions' log is %s)", strings.ToLower(string(r.Status)), Cause(x), logs.Name())
	}
	return j.finish(ctx, c, r, time.Since(began))
}

// quarantine brings the list of what was set aside to the folder, because the
// local S3 ends with the job.
func (j *Job) quarantine(c *Cloud) error {
	file := filepath.Join(j.Folder, "quarantine.jsonl")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	work, err := c.workBucket()
	if err != nil {
		return err
	}
	objects, err := c.S3.List(work, "loads/")
	if err != nil {
		return err
	}
	var list []byte
	for _, o := range objects {
		if !strings.Contains(o.Key, "/quarantine/") {
			continue
		}
		body, _, err := c.S3.Get(work, o.Key)
		if err != nil {
			return err
		}
		list = append(list, body...)
	}
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintf(j.Out, "\nset aside, with object, block, path and reason: %s\n", file)
	return os.WriteFile(file, list, 0o600)
}

// Cause says why an execution failed: its error, or, where a Distributed Map
// only says that a child failed, that child's.
func Cause(x *asl.Execution) string {
	r := x.Result()
	if r.Error == nil {
		return ""
	}
	runs := x.Runs()
	for i := len(runs) - 1; i >= 0; i-- {
		for _, child := range runs[i].Children() {
			if c := child.Result(); c.Status == asl.Failed && c.Error != nil {
				return fmt.Sprintf("%s in %s: %s", c.Error.Name, runs[i].State, message(c.Error.Cause))
			}
		}
	}
	return r.Error.Name + ": " + message(r.Error.Cause)
}

// message is the message within a function's error, which Step Functions passes
// on as JSON.
func message(cause string) string {
	var e struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal([]byte(cause), &e) == nil && e.Message != "" {
		return e.Message
	}
	return cause
}

// fill puts the archive into its bucket.
func (j *Job) fill(c *Cloud, bucket string) (prefix string, err error) {
	began := time.Now()
	objects, size := 0, int64(0)
	if j.Generate != nil {
		prefix = "exports/dmv/"
		o := *j.Generate
		o.Bucket, o.Prefix = bucket, prefix
		ledger, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
			objects++
			size += int64(len(x.Body))
			return c.S3.Put(bucket, x.Key, append([]byte(nil), x.Body...), s3.Options{})
		})
		if err != nil {
			return "", fmt.Errorf("make the ledger: %w", err)
		}
		fmt.Fprintf(j.Out, "made a ledger: %d documents, %d revisions, %d blocks, %d objects of %s in %.1f s\n",
			o.Documents, ledger.Revisions(), ledger.Blocks, objects, bytesText(size), time.Since(began).Seconds())
		return prefix, nil
	}
	prefix = "archive/"
	err = filepath.WalkDir(j.Archive, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(j.Archive, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		full, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		objects++
		size += info.Size()
		return c.S3.PutFile(bucket, prefix+filepath.ToSlash(rel), full, s3.Options{})
	})
	if err != nil {
		return "", fmt.Errorf("read the archive: %w", err)
	}
	if objects == 0 {
		return "", fmt.Errorf("folder %s holds no file: name the folder that holds the export's manifests", j.Archive)
	}
	fmt.Fprintf(j.Out, "archive: %d files, %s\n", objects, bytesText(size))
	return prefix, nil
}

// finish prints the outcome and brings the report to the folder.
func (j *Job) finish(ctx context.Context, c *Cloud, r asl.Result, took time.Duration) error {
	var out struct{ LoadId, Verdict, Report string }
	if err := json.Unmarshal(r.Output, &out); err != nil {
		return fmt.Errorf("read the execution's output: %w", err)
	}
	work, err := c.workBucket()
	if err != nil {
		return err
	}
	var verdict report.Verdict
	for _, name := range []string{"report.json", "report.html"} {
		body, _, err := c.S3.Get(work, "loads/"+out.LoadId+"/"+name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(j.Folder, name), body, 0o644); err != nil {
			return err
		}
		if name != "report.json" {
			continue
		}
		l, err := report.Parse(body)
		if err != nil {
			return err
		}
		var read int64
		for _, t := range l.Tables {
			read += t.Read
		}
		fmt.Fprintf(j.Out, "\n%s\n%d revisions in %.1f s (%.0f a second)\n", l.Text(100), read, took.Seconds(), float64(read)/took.Seconds())
		verdict = l.Verdict
	}
	fmt.Fprintf(j.Out, "report: %s\n", filepath.Join(j.Folder, "report.html"))
	if j.Keep {
		fmt.Fprintf(j.Out, "\nthe database runs until you press Ctrl-C:\n  psql '%s'\n", c.Postgres.AdminDSN(c.Database))
		<-ctx.Done()
	}
	if verdict == report.DoesNotAddUp || verdict == report.NotLoaded {
		return fmt.Errorf("the load is %s: read the findings", verdict)
	}
	return nil
}

// workBucket is the stacks' own bucket for loads.
func (c *Cloud) workBucket() (string, error) {
	for _, f := range c.Functions {
		if b := f.Env["GODWIT_WORK_BUCKET"]; b != "" {
			return b, nil
		}
	}
	return "", errors.New("no function of the stacks has a work bucket")
}

// archiveBucket is the first bucket that the stacks let LedgerLoad read.
func archiveBucket(assembly string) (string, error) {
	stacks, err := template.Load(assembly, template.Options{})
	if err != nil {
		return "", err
	}
	for _, r := range template.ByType(stacks, "AWS::Lambda::Function") {
		var p struct {
			Environment struct{ Variables map[string]string }
		}
		if err := r.Decode(&p); err != nil {
			return "", err
		}
		var archives []struct{ Bucket string }
		if json.Unmarshal([]byte(p.Environment.Variables["GODWIT_ARCHIVES"]), &archives) == nil && len(archives) > 0 {
			return archives[0].Bucket, nil
		}
	}
	return "", errors.New("the stacks allow no archive")
}

// StartLoad starts LedgerLoad.
func (c *Cloud) StartLoad(ctx context.Context, name string, input any) (*asl.Execution, error) {
	m, err := c.Machine("LedgerLoad")
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	return c.Engine.Start(ctx, m, name, b)
}

// WriteArchive writes the export of a made-up ledger to a folder, for make load.
func WriteArchive(o ledgergen.Options, folder string) error {
	if folder == "" {
		return errors.New("say where to write the archive: -to folder")
	}
	_, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
		path := filepath.Join(folder, filepath.FromSlash(x.Key))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, x.Body, 0o644)
	})
	return err
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
}
