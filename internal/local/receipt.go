package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"godwit/internal/local/lambda"
	"godwit/internal/migrate"
)

// functionSocket is where a job that keeps its database takes calls of prove-row,
// in its folder, for as long as the database runs.
const functionSocket = "prove-row.sock"

// proveRow is the function of the stacks that makes receipts.
func (c *Cloud) proveRow() (*lambda.Function, error) {
	for _, f := range c.Functions {
		if strings.Contains(f.Name, "ProveRow") {
			return f, nil
		}
	}
	return nil, errors.New("the stacks have no function ProveRow")
}

// ProveRow calls prove-row. The answer has the receipt, however long it is.
func (c *Cloud) ProveRow(ctx context.Context, input any) (*migrate.ProveRowOut, error) {
	f, err := c.proveRow()
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	answer, err := f.Invoke(ctx, payload)
	var failed *lambda.Error
	if errors.As(err, &failed) {
		return nil, errors.New(failed.Message)
	} else if err != nil {
		return nil, err
	}
	out := &migrate.ProveRowOut{}
	if err := json.Unmarshal(answer, out); err != nil || out.Content != "" {
		return out, err
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(out.Receipt, "s3://"), "/")
	body, _, err := c.S3.Get(bucket, key)
	out.Content = string(body)
	return out, err
}

// takeCalls answers calls of prove-row at a socket in the folder, until closed.
func (j *Job) takeCalls(c *Cloud) (stop func() error, err error) {
	path := filepath.Join(j.Folder, functionSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a job that was killed
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for make receipt: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in json.RawMessage
		err := json.NewDecoder(io.LimitReader(r.Body, lambda.MaxPayload)).Decode(&in)
		var out *migrate.ProveRowOut
		if err == nil {
			out, err = c.ProveRow(r.Context(), in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		_ = json.NewEncoder(w).Encode(out) // whoever asked went away
	})}
	go func() { _ = server.Serve(l) }() // ends with Close
	return server.Close, nil
}

// Receipt asks the stacks that a job keeps for the receipt of a row, writes it to
// the job's folder and says to out how to check it.
func Receipt(ctx context.Context, folder string, in migrate.ProveRowIn, out io.Writer) error {
	if in.Table == "" || in.Document == "" || in.Version == nil {
		return errors.New("say which row: -table name -document id -version number")
	}
	payload, err := json.Marshal(in)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(folder, functionSocket))
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://kept/", bytes.NewReader(payload))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errors.New("no stacks are kept on this machine: make demo KEEP=1 (or make load KEEP=1) keeps them while it runs")
	}
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	var answer migrate.ProveRowOut
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("decode the answer of prove-row: %w", err)
	}
	file := filepath.Join(folder, fmt.Sprintf("receipt-%s-%d.json", url.PathEscape(in.Document), *in.Version))
	if err := os.WriteFile(file, []byte(answer.Content), 0o600); err != nil {
		return err
	}
	tellReceipt(out, file, &answer)
	return nil
}

// tellReceipt says what a receipt leads to and how to check it.
func tellReceipt(out io.Writer, file string, answer *migrate.ProveRowOut) {
	fmt.Fprintln(out, "receipt:", file)
	if answer.Digest == "" {
		fmt.Fprintf(out, "  it ends with the hash of its block; digest: %s\ncheck it:\n  go run ./internal/receiptcheck %s\n", answer.DigestFrom, file)
		return
	}
	fmt.Fprintf(out, "  it leads to the digest %s\n  from: %s\ncheck it, with DIGEST from your own records:\n  go run ./internal/receiptcheck -digest DIGEST %s\n", answer.Digest, answer.DigestFrom, file)
}
