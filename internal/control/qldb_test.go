package control_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsqldb "github.com/aws/aws-sdk-go-v2/service/qldb"

	"godwit/internal/control"
	"godwit/internal/journal"
	"godwit/internal/ledgergen"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/qldb"
	"godwit/internal/local/s3"
	"godwit/internal/proof"
)

const (
	account    = "111122223333"
	region     = "us-east-1"
	functions  = "arn:aws:iam::111122223333:role/functions"
	exportRole = "arn:aws:iam::111122223333:role/export"
	ledger     = "vehicle-registration"
)

// A world is the local QLDB and S3, behind what NewQLDB makes.
type world struct {
	qldb    *qldb.Service
	s3      *s3.Service
	gateway *gateway.Gateway
	config  aws.Config
	client  *control.QLDB

	mu    sync.Mutex
	fault func(gateway.Call) gateway.Fault
}

func openWorld(t *testing.T, l qldb.Ledger) *world {
	t.Helper()
	w := &world{}
	judge := iam.New(account, region)
	allow := func(action, resource string) map[string]any {
		return map[string]any{"Effect": "Allow", "Action": action, "Resource": resource}
	}
	trust := func(service string) map[string]any {
		return map[string]any{"Statement": map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": service}, "Action": "sts:AssumeRole"}}
	}
	policy := func(statements ...any) map[string]any { return map[string]any{"Statement": statements} }
	must(t, judge.AddRole(functions, policy(allow("qldb:*", "*"), allow("s3:*", "*"), allow("iam:PassRole", exportRole)), trust("lambda.amazonaws.com")))
	must(t, judge.AddRole(exportRole, policy(allow("s3:PutObject*", "arn:aws:s3:::archive/*")), trust("qldb.amazonaws.com")))
	var err error
	w.gateway, err = gateway.New(gateway.Config{Authorizer: judge, Fault: func(c gateway.Call) gateway.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.fault == nil {
			return gateway.None
		}
		return w.fault(c)
	}})
	must(t, err)
	t.Cleanup(func() { _ = w.gateway.Close() })
	w.s3, err = s3.New(s3.Config{Account: account, Region: region})
	must(t, err)
	must(t, errors.Join(w.s3.CreateBucket(s3.Bucket{Name: "archive"}), w.s3.CreateBucket(s3.Bucket{Name: "work"})))
	w.gateway.Register("s3", w.s3)
	w.qldb, err = qldb.New(qldb.Config{Account: account, Region: region, Gateway: w.gateway, Roles: judge, Folder: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { _ = w.qldb.Close() })
	must(t, w.qldb.Create(l))
	w.gateway.Register("qldb", w.qldb)
	k := w.gateway.Issue(functions, nil)
	w.config = aws.Config{
		Region: region, BaseEndpoint: aws.String(w.gateway.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
	}
	w.client = control.NewQLDB(w.config)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// strike sets what happens to calls.
func (w *world) strike(fault func(gateway.Call) gateway.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func someLedger() qldb.Ledger {
	return qldb.Ledger{Name: ledger, Options: ledgergen.Options{Seed: 5, Documents: 120, BlocksPerObject: 5}}
}

// code is the error code that callers branch on.
func code(err error) string {
	var c interface{ ErrorCode() string }
	if errors.As(err, &c) {
		return c.ErrorCode()
	}
	return ""
}

func TestLedgerIsRead(t *testing.T) {
	w := openWorld(t, someLedger())
	state, err := w.client.LedgerState(t.Context(), ledger)
	if err != nil || state != "ACTIVE" {
		t.Errorf("state %q, %v", state, err)
	}
	digest, tip, err := w.client.Digest(t.Context(), ledger)
	must(t, err)
	under, err := journal.ParseAddress(tip)
	must(t, err)
	oracle, err := w.qldb.Oracle(ledger)
	must(t, err)
	if under.SequenceNo != oracle.LastBlock || under.Strand != oracle.Strand {
		t.Errorf("the digest covers %+v, the ledger ends with block %d of strand %s", under, oracle.LastBlock, oracle.Strand)
	}
	at := journal.Address{Strand: under.Strand, SequenceNo: under.SequenceNo / 2}
	text, path, err := w.client.Block(t.Context(), ledger, at.String(), tip)
	must(t, err)
	b, err := journal.ParseBlock(text)
	must(t, err)
	hashes, err := journal.ParseProof(path)
	must(t, err)
	hash, err := proof.ParseHash(b.Hash)
	must(t, err)
	var folds []proof.Hash
	for _, h := range hashes {
		f, err := proof.ParseHash(h)
		must(t, err)
		folds = append(folds, f)
	}
	if b.SequenceNo != at.SequenceNo || string(proof.Fold(hash, folds).Bytes()) != string(digest) {
		t.Errorf("the proof of block %d does not lead to the digest", b.SequenceNo)
	}
	if text, path, err = w.client.Block(t.Context(), ledger, at.String(), ""); err != nil || text == "" || path != "" {
		t.Errorf("without a digest: %.40q, %q, %v", text, path, err)
	}
	for what, err := range map[string]error{
		"state":  second(w.client.LedgerState(t.Context(), "other")),
		"digest": third(w.client.Digest(t.Context(), "other")),
		"block":  third(w.client.Block(t.Context(), "other", at.String(), tip)),
		"start":  second(w.client.StartExport(t.Context(), w.export("other", 0))),
		"status": second(w.client.ExportStatus(t.Context(), ledger, strings.Repeat("x", 22))),
		"list":   w.client.Exports(t.Context(), "other", func(control.JournalExport) { t.Error("an export") }),
	} {
		if code(err) != "ResourceNotFoundException" {
			t.Errorf("%s: got %v", what, err)
		}
	}
	at.SequenceNo = 1 << 40
	if _, _, err := w.client.Block(t.Context(), ledger, at.String(), tip); code(err) != "InvalidParameterException" {
		t.Errorf("a block that is not there: %v", err)
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

// export asks for block 5*i and the four behind it.
func (w *world) export(name string, i int64) control.JournalExport {
	j := w.qldb.Journal(ledger)
	return control.JournalExport{
		Ledger: name, Bucket: "archive", Prefix: "exports/", Format: "ION_TEXT", Role: exportRole,
		Start: j.At(5 * i), End: j.At(5*i + 5),
	}
}

func TestExportsAreBegunAndFound(t *testing.T) {
	w := openWorld(t, someLedger())
	release := w.qldb.Hold()
	before := time.Now().Truncate(time.Millisecond)
	a, err := w.client.StartExport(t.Context(), w.export(ledger, 1))
	must(t, err)
	b, err := w.client.StartExport(t.Context(), w.export(ledger, 2))
	must(t, err)
	if _, err := w.client.StartExport(t.Context(), w.export(ledger, 3)); code(err) != "LimitExceededException" {
		t.Errorf("a third export: %v", err)
	}
	if status, err := w.client.ExportStatus(t.Context(), ledger, a); err != nil || status != "IN_PROGRESS" {
		t.Errorf("status %q, %v", status, err)
	}
	must(t, w.qldb.Cancel(b))
	release()
	for status := ""; status != "COMPLETED"; {
		if status, err = w.client.ExportStatus(t.Context(), ledger, a); err != nil || status != "IN_PROGRESS" && status != "COMPLETED" {
			t.Fatalf("status %q, %v", status, err)
		}
	}
	found := map[string]control.JournalExport{}
	must(t, w.client.Exports(t.Context(), ledger, func(e control.JournalExport) { found[e.ID] = e }))
	for i, id := range []string{a, b} {
		want, got := w.export(ledger, int64(i+1)), found[id]
		if got.Created.Before(before) || !got.Start.Equal(want.Start) || !got.End.Equal(want.End) {
			t.Errorf("export %s is of %s, from %s to %s; want from %s to %s", id, got.Created, got.Start, got.End, want.Start, want.End)
		}
		want.ID, want.Status, want.Created, want.Start, want.End = id, []string{"COMPLETED", "CANCELLED"}[i], got.Created, got.Start, got.End
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// More exports than a page holds are found, all of them.
func TestAllExportsAreListed(t *testing.T) {
	w := openWorld(t, someLedger())
	want := map[string]bool{}
	for i := range 120 {
		e := w.export(ledger, 0)
		e.Prefix = fmt.Sprintf("exports/%03d/", i)
		id, err := w.client.StartExport(t.Context(), e)
		for code(err) == "LimitExceededException" {
			id, err = w.client.StartExport(t.Context(), e)
		}
		must(t, err)
		want[id] = true
	}
	must(t, w.client.Exports(t.Context(), ledger, func(e control.JournalExport) { delete(want, e.ID) }))
	if len(want) > 0 {
		t.Errorf("%d exports are not listed", len(want))
	}
}

func TestExportsAreEncryptedWithTheKey(t *testing.T) {
	w := openWorld(t, someLedger())
	e := w.export(ledger, 0)
	e.KMSKey = "arn:aws:kms:us-east-1:111122223333:key/1"
	// The role may not use the key, which says that it was asked for.
	if _, err := w.client.StartExport(t.Context(), e); code(err) != "InvalidParameterException" || !strings.Contains(err.Error(), "kms") && !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("got %v", err)
	}
}

// A call that begins an export is made once, whatever becomes of it; others are
// tried again.
func TestExportsAreNotBegunTwice(t *testing.T) {
	for fault, begun := range map[gateway.Fault]int{gateway.Lose: 1, gateway.Throttle: 0} {
		w := openWorld(t, someLedger())
		w.strike(func(c gateway.Call) gateway.Fault {
			if c.Action == "qldb:ExportJournalToS3" {
				return fault
			}
			return gateway.None
		})
		if id, err := w.client.StartExport(t.Context(), w.export(ledger, 0)); err == nil {
			t.Errorf("fault %d: export %s", fault, id)
		}
		n := 0
		must(t, w.client.Exports(t.Context(), ledger, func(control.JournalExport) { n++ }))
		if n != begun {
			t.Errorf("fault %d: %d exports began, want %d", fault, n, begun)
		}
	}
	w := openWorld(t, someLedger())
	calls := 0
	w.strike(func(c gateway.Call) gateway.Fault {
		if calls++; calls < 3 {
			return []gateway.Fault{gateway.None, gateway.Throttle, gateway.Lose}[calls]
		}
		return gateway.None
	})
	if _, _, err := w.client.Digest(t.Context(), ledger); err != nil || calls != 3 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

// answering is a client whose every call ends as do says.
func answering(do func() (*http.Response, error)) *control.QLDB {
	return &control.QLDB{API: awsqldb.NewFromConfig(aws.Config{
		Region: region, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			out, err := do()
			if err != nil {
				err = &url.Error{Op: r.Method, URL: r.URL.String(), Err: err}
			}
			return out, err
		}),
	})}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestServiceThatIsGone(t *testing.T) {
	answer := func(status int, code, body string) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			h := http.Header{}
			if code != "" {
				h.Set("X-Amzn-ErrorType", code)
			}
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
		}
	}
	fails := func(err error) func() (*http.Response, error) {
		return func() (*http.Response, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		do   func() (*http.Response, error)
		gone bool
	}{
		"no such host":           {fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "qldb.us-east-1.amazonaws.com", IsNotFound: true}}), true},
		"refused":                {fails(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), true},
		"somebody else's host":   {fails(&tls.CertificateVerificationError{Err: x509.HostnameError{Host: "qldb"}}), true},
		"unknown operation":      {answer(404, "UnknownOperationException", "{}"), true},
		"unknown operation, 400": {answer(400, "UnknownOperationException", "{}"), true},
		"a page":                 {answer(404, "", "<html>not found</html>"), true},
		"gone":                   {answer(410, "", ""), true},

		"name server fails":   {fails(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), false},
		"name server is slow": {fails(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), false},
		"reset":               {fails(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), false},
		"timeout":             {fails(os.ErrDeadlineExceeded), false},
		"no ledger":           {answer(404, "ResourceNotFoundException", `{"Message":"no"}`), false},
		"no right":            {answer(403, "AccessDeniedException", "{}"), false},
		"busy":                {answer(503, "", ""), false},
		"throttled":           {answer(429, "ThrottlingException", "{}"), false},
	} {
		t.Run(name, func(t *testing.T) {
			q := answering(c.do)
			for what, err := range map[string]error{
				"state":  second(q.LedgerState(t.Context(), ledger)),
				"digest": third(q.Digest(t.Context(), ledger)),
				"block":  third(q.Block(t.Context(), ledger, "{}", "")),
				"start":  second(q.StartExport(t.Context(), control.JournalExport{Ledger: ledger, Bucket: "b", Prefix: "p", Role: exportRole, Start: time.Now(), End: time.Now()})),
				"status": second(q.ExportStatus(t.Context(), ledger, strings.Repeat("x", 22))),
				"list":   q.Exports(t.Context(), ledger, nil),
			} {
				var ended *control.EndedError
				if err == nil || errors.As(err, &ended) != c.gone || (code(err) == "QldbServiceEnded") != c.gone {
					t.Errorf("%s: got %v", what, err)
				}
				if c.gone && !strings.Contains(err.Error(), "closed on 2025-07-31; start LedgerLoad with the archive") {
					t.Errorf("%s: got %v, which gives no advice", what, err)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := answering(fails(context.Canceled)).Digest(ctx, ledger); err == nil || code(err) == "QldbServiceEnded" {
		t.Errorf("a cancelled call: %v", err)
	}
}
