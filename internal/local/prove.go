package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"unicode/utf8"

	"godwit/internal/report"
)

// mostInput is how much the input of an execution may have, in bytes (Step
// Functions Developer Guide, service quotas).
const mostInput = 256 << 10

// heldAgainst adds what was kept of the ledger, a file as people have it, to the
// input of LedgerProve, in place of what is in it.
func (j *Job) heldAgainst(input json.RawMessage) (json.RawMessage, error) {
	if j.Digest == "" {
		return input, nil
	}
	text, err := os.ReadFile(j.Digest)
	if err != nil {
		return nil, fmt.Errorf("read the digest: %w", err)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%s is no text: give a digest in base64 or hex, the console's digest file, or an answer of GetDigest, GetBlock or GetRevision as the AWS CLI printed it", j.Digest)
	}
	all := map[string]any{}
	if err := json.Unmarshal(input, &all); err != nil {
		return nil, err
	}
	all["Digest"] = string(text)
	delete(all, "DigestTip") // of the other
	if input, err = json.Marshal(all); err != nil {
		return nil, err
	}
	if len(input) > mostInput {
		return nil, fmt.Errorf("%s makes an input of %d bytes, and Step Functions takes %d: put the file beside the manifests, named <exportId>.<strandId>.proofs.json", j.Digest, len(input), mostInput)
	}
	return input, nil
}

// prove proves the archive, prints how far, and brings the report to the folder.
// A bad archive has a report too: the error comes behind it.
func (j *Job) prove(ctx context.Context, c *Cloud, bar *progress, logs *os.File, input json.RawMessage) error {
	input, err := j.heldAgainst(input)
	if err != nil {
		return err
	}
	_, failed := j.execute(ctx, c, bar, logs, "LedgerProve", input)
	work, err := c.workBucket()
	if err != nil {
		return errors.Join(failed, err)
	}
	objects, err := c.S3.List(work, "proofs/")
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, o := range objects {
		name := path.Base(o.Key)
		if name != "report.json" && name != "report.html" {
			continue
		}
		body, _, err := c.S3.Get(work, o.Key)
		if err != nil {
			return errors.Join(failed, err)
		}
		file := filepath.Join(j.Folder, "proof"+path.Ext(name))
		if err := os.WriteFile(file, body, 0o644); err != nil {
			return errors.Join(failed, err)
		}
		if name == "report.html" {
			defer fmt.Fprintf(j.Out, "report: %s\n", file)
			continue
		}
		p, err := report.ParseProve(body)
		if err != nil {
			return errors.Join(failed, err)
		}
		fmt.Fprintf(j.Out, "\n%s", p.Text(100))
	}
	return failed
}
