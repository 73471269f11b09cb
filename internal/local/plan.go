package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"godwit/internal/local/s3"
	"godwit/internal/report"
)

// estimates is the folder, in the job's, of what plans predicted, by the id of
// the load: a later job's load of the same archive shows it beside what it took,
// as on AWS, where the work bucket stays.
const estimates = "estimates"

// finishPlan prints the plan and brings its report and the draft of a mapping to
// the folder.
func (j *Job) finishPlan(c *Cloud, output json.RawMessage) error {
	var out struct{ LoadId string }
	if err := json.Unmarshal(output, &out); err != nil {
		return fmt.Errorf("read the execution's output: %w", err)
	}
	body, err := j.fetch(c, out.LoadId, "plan-report.json", "plan.json")
	if err != nil {
		return err
	}
	p, err := report.ParsePlan(body)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "\n%s\n", p.Text(100))
	if _, err := j.fetch(c, out.LoadId, "plan-report.html", "plan.html"); err != nil {
		return err
	}
	if _, err := j.fetch(c, out.LoadId, "estimate.json", filepath.Join(estimates, out.LoadId+".json")); err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "report: %s\n", filepath.Join(j.Folder, "plan.html"))
	const draft = "mapping-draft.json"
	if p.Draft.Where == "" { // every table that would be loaded has rules
		if err := os.Remove(filepath.Join(j.Folder, draft)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if _, err := j.fetch(c, out.LoadId, draft, draft); err != nil {
		return err
	}
	fmt.Fprintf(j.Out, "draft of a mapping: %s\n", filepath.Join(j.Folder, draft))
	return nil
}

// bringEstimates puts what earlier plans predicted where their loads look for it.
func (j *Job) bringEstimates(c *Cloud) error {
	files, err := os.ReadDir(filepath.Join(j.Folder, estimates))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	work, err := c.workBucket()
	if err != nil {
		return err
	}
	for _, f := range files {
		body, err := os.ReadFile(filepath.Join(j.Folder, estimates, f.Name()))
		if err != nil {
			return err
		}
		if err := c.S3.Put(work, "loads/"+strings.TrimSuffix(f.Name(), ".json")+"/estimate.json", body, s3.Options{}); err != nil {
			return err
		}
	}
	return nil
}
