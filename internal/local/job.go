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
	"godwit/internal/local/qldb"
	"godwit/internal/local/s3"
	"godwit/internal/local/template"
	"godwit/internal/report"
)

// A Job is one load on this machine, from a ledger or an archive to a report, and
// where a ledger is made on to a target that follows it, as a person at a terminal
// sees it.
type Job struct {
	Assembly string // folder of the synthesized stacks
	// Generate makes a ledger, which LedgerExport exports from the local QLDB; in
	// the layout AWSSample the archive is made as AWS's sample left it. Nil loads
	// Archive.
	Generate *ledgergen.Options
	Archive  string // folder with an archive
	Plan     bool   // say what the load would take; load nothing
	Prove    bool   // say how far the archive is proven; load nothing
	Digest   string // file with a digest or a proof to hold it against; "" what the archive and the export have
	Tamper   bool   // change one letter of the archive before it is loaded
	Mapping  string // mapping file; "" the packaged one
	Schema   string
	Input    string // further members of the input, as JSON
	Folder   string // for the report and the logs
	Keep     bool   // keep the database running until ctx ends
	Out      io.Writer
}

// demoExports is how many exports share the journal of the demo's ledger: more
// than QLDB runs at once.
const demoExports = 4

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
	options := Options{Assembly: j.Assembly, Buckets: []s3.Bucket{{Name: bucket}}, Logs: logs, Progress: bar.event, NoDatabase: j.Prove}
	export := j.Generate != nil && j.Generate.Layout != ledgergen.AWSSample
	began := time.Now()
	if export {
		options.Ledger = &qldb.Ledger{Options: *j.Generate}
		options.Ledger.Later = j.later()
	}
	fmt.Fprintln(j.Out, "starting the stacks of", j.Assembly)
	c, err := Start(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()

	var input json.RawMessage
	if export {
		if err := j.tellLedger(c, time.Since(began)); err != nil {
			return err
		}
		input, err = j.execute(ctx, c, bar, logs, "LedgerExport", map[string]any{
			"LedgerName": ledgergen.Name, "BucketPrefix": "exports/dmv/", "ExportCount": demoExports, "OutputFormat": j.Generate.Format,
		})
		if err == nil {
			err = j.tellExport(input)
		}
	} else {
		input, err = j.fill(c, bucket)
	}
	if err != nil {
		return err
	}
	if input, err = j.members(c, input); err != nil {
		return err
	}
	if err := j.bringEstimates(c); err != nil {
		return err
	}
	var p *planted
	if j.Tamper {
		if p, err = j.tamper(c, bucket); err != nil {
			return err
		}
	}
	if j.Prove {
		return j.prove(ctx, c, bar, logs, input)
	}
	if j.follows() {
		if err := j.beginStream(ctx, c); err != nil {
			return err
		}
	}
	began = time.Now()
	output, err := j.execute(ctx, c, bar, logs, "LedgerLoad", input)
	if p != nil {
		return p.refused(ctx, c, j.Out, err)
	}
	if err := errors.Join(err, j.quarantine(c)); err != nil {
		return err
	}
	if j.Plan {
		return j.finishPlan(c, output)
	}
	if err := j.finish(c, output, time.Since(began)); err != nil {
		return err
	}
	if j.follows() {
		if err := j.follow(ctx, c); err != nil {
			return err
		}
	}
	if j.Keep {
		return j.keep(ctx, c)
	}
	return nil
}

// tellExport prints what LedgerExport gave.
func (j *Job) tellExport(output json.RawMessage) error {
	var out struct {
		Bucket, Prefix, Digest  string
		ExportIds               []string
		DigestTip, LastBlockNum int64
	}
	if err := json.Unmarshal(output, &out); err != nil {
		return fmt.Errorf("read the output of LedgerExport: %w", err)
	}
	fmt.Fprintf(j.Out, "  blocks 0 to %d in %d exports below s3://%s/%s; digest %s at block %d\n",
		out.LastBlockNum, len(out.ExportIds), out.Bucket, out.Prefix, out.Digest, out.DigestTip)
	return nil
}

// execute runs a state machine to its end and returns its output.
func (j *Job) execute(ctx context.Context, c *Cloud, bar *progress, logs *os.File, machine string, input any) (json.RawMessage, error) {
	fmt.Fprintln(j.Out, machine)
	x, err := c.StartExecution(ctx, machine, "demo", input)
	if err != nil {
		return nil, err
	}
	r, err := x.Wait(ctx)
	bar.end()
	if err != nil {
		return nil, err
	}
	if err := c.Gateway.Err(); err != nil {
		return nil, fmt.Errorf("the local AWS does not know what the stacks ask for: %w", err)
	}
	if r.Status != asl.Succeeded {
		return nil, fmt.Errorf("%s %s: %s\n(the functions' log is %s)", machine, strings.ToLower(string(r.Status)), Cause(x), logs.Name())
	}
	return r.Output, nil
}

// members adds what the job asks for to the input of LedgerLoad. An input that
// nothing is added to stays as it is.
func (j *Job) members(c *Cloud, input json.RawMessage) (json.RawMessage, error) {
	more := map[string]any{}
	if j.Input != "" {
		if err := json.Unmarshal([]byte(j.Input), &more); err != nil {
			return nil, fmt.Errorf("read -input: %w", err)
		}
	}
	if j.Plan {
		more["Mode"] = "plan"
	}
	if j.follows() {
		more["EnableStream"] = true
	}
	if j.Schema != "" {
		more["Schema"] = j.Schema
	}
	if j.Mapping != "" {
		text, err := os.ReadFile(j.Mapping)
		if err != nil {
			return nil, fmt.Errorf("read the mapping: %w", err)
		}
		work, err := c.workBucket()
		if err != nil {
			return nil, err
		}
		if err := c.S3.Put(work, "mappings/mapping.json", text, s3.Options{}); err != nil {
			return nil, err
		}
		more["Mapping"] = "s3://" + work + "/mappings/mapping.json"
	}
	if len(more) == 0 {
		return input, nil
	}
	all := map[string]any{}
	for _, part := range []any{more, input} { // the archive is where it is
		text, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// tellLedger prints what the made-up ledger holds.
func (j *Job) tellLedger(c *Cloud, took time.Duration) error {
	l, err := c.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "made a ledger: %d documents, %d revisions, %d blocks in %.1f s\n", j.Generate.Documents, l.Revisions(), l.Tip+1, took.Seconds())
	return nil
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

// fill puts the archive into its bucket and returns the input that loads it.
func (j *Job) fill(c *Cloud, bucket string) (json.RawMessage, error) {
	began := time.Now()
	objects, size := 0, int64(0)
	prefix := "archive/"
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
			return nil, fmt.Errorf("make the ledger: %w", err)
		}
		fmt.Fprintf(j.Out, "made an archive: %d documents, %d revisions, %d blocks, %d objects of %s in %.1f s\n",
			o.Documents, ledger.Revisions(), ledger.Blocks, objects, bytesText(size), time.Since(began).Seconds())
		return json.Marshal(map[string]string{"Bucket": bucket, "Prefix": prefix})
	}
	err := filepath.WalkDir(j.Archive, func(path string, d fs.DirEntry, err error) error {
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
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	if objects == 0 {
		return nil, fmt.Errorf("folder %s holds no file: name the folder that holds the export's manifests", j.Archive)
	}
	fmt.Fprintf(j.Out, "archive: %d files, %s\n", objects, bytesText(size))
	return json.Marshal(map[string]string{"Bucket": bucket, "Prefix": prefix})
}

// fetch brings an object of a load to the folder: the local S3 ends with the job.
func (j *Job) fetch(c *Cloud, load, name, file string) ([]byte, error) {
	work, err := c.workBucket()
	if err != nil {
		return nil, err
	}
	body, _, err := c.S3.Get(work, "loads/"+load+"/"+name)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(j.Folder, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return body, os.WriteFile(path, body, 0o644)
}

// finish prints the outcome and brings the report to the folder.
func (j *Job) finish(c *Cloud, output json.RawMessage, took time.Duration) error {
	var out struct{ LoadId string }
	if err := json.Unmarshal(output, &out); err != nil {
		return fmt.Errorf("read the execution's output: %w", err)
	}
	body, err := j.fetch(c, out.LoadId, "report.json", "report.json")
	if err != nil {
		return err
	}
	if _, err := j.fetch(c, out.LoadId, "report.html", "report.html"); err != nil {
		return err
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
	fmt.Fprintf(j.Out, "report: %s\n", filepath.Join(j.Folder, "report.html"))
	if l.Verdict == report.DoesNotAddUp || l.Verdict == report.NotLoaded {
		return fmt.Errorf("the load is %s: read the findings", l.Verdict)
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

// StartExecution starts a state machine by the beginning of its logical id. An
// input that is JSON already is taken as it stands.
func (c *Cloud) StartExecution(ctx context.Context, machine, name string, input any) (*asl.Execution, error) {
	m, err := c.Machine(machine)
	if err != nil {
		return nil, err
	}
	b, ok := input.(json.RawMessage)
	if !ok {
		if b, err = json.Marshal(input); err != nil {
			return nil, err
		}
	}
	return c.Engine.Start(ctx, m, name, b)
}

// WriteArchive writes the export of a made-up ledger to a folder, for make load
// and make prove, and beside the folder the ledger's digest, as GetDigest answers:
// who can alter the archive must not have it.
func WriteArchive(o ledgergen.Options, folder string, out io.Writer) error {
	if folder == "" {
		return errors.New("say where to write the archive: -to folder")
	}
	l, err := ledgergen.Generate(o, func(x ledgergen.Object) error {
		path := filepath.Join(folder, filepath.FromSlash(x.Key))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, x.Body, 0o644)
	})
	if err != nil {
		return err
	}
	answer, err := json.MarshalIndent(map[string]any{
		"Digest":           l.Digest,
		"DigestTipAddress": map[string]string{"IonText": fmt.Sprintf("{strandId:%q,sequenceNo:%d}", l.Strand, l.Tip)},
	}, "", "    ")
	if err != nil {
		return err
	}
	file := filepath.Clean(folder) + ".digest.json"
	if err := os.WriteFile(file, append(answer, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "archive: %s, blocks 0 to %d, %s\ndigest at block %d: %s (hex %x), in %s\n",
		folder, l.LastBlock, bytesText(l.Bytes), l.Tip, l.Digest, l.Digest.Bytes(), file)
	return nil
}

func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}
