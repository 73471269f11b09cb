package qldb_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	ionlib "github.com/amazon-ion/ion-go/ion"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"
	"github.com/aws/smithy-go"

	"godwit/internal/ledgergen"
	"godwit/internal/local/gateway"
	"godwit/internal/local/iam"
	"godwit/internal/local/qldb"
	"godwit/internal/local/s3"
	"godwit/internal/proof"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	caller  = "arn:aws:iam::111122223333:role/caller"
	writer  = "arn:aws:iam::111122223333:role/writer"
	key     = "arn:aws:kms:us-east-1:111122223333:key/1"
	name    = "vehicle-registration"
)

// A world is a QLDB, an S3 and a judge behind one gateway.
type world struct {
	qldb    *qldb.Service
	s3      *s3.Service
	judge   *iam.Judge
	gateway *gateway.Gateway
	mu      sync.Mutex
	now     time.Time
	fault   func(gateway.Call) gateway.Fault
}

// policy is a policy document with one statement per pair of actions and
// resource; a leading ! makes it a deny.
func policy(pairs ...string) any {
	var statements []any
	for i := 0; i < len(pairs); i += 2 {
		actions, denies := strings.CutPrefix(pairs[i], "!")
		effect := "Allow"
		if denies {
			effect = "Deny"
		}
		var list []any
		for _, a := range strings.Fields(actions) {
			list = append(list, a)
		}
		statements = append(statements, map[string]any{"Effect": effect, "Action": list, "Resource": pairs[i+1]})
	}
	return map[string]any{"Statement": statements}
}

// trusts is a trust policy as QLDB's developer guide recommends it.
func trusts(service string) any {
	return map[string]any{"Statement": map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"Service": service}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{
			"ArnEquals":    map[string]any{"aws:SourceArn": "arn:aws:qldb:us-east-1:111122223333:*"},
			"StringEquals": map[string]any{"aws:SourceAccount": account},
		},
	}}
}

func start(t *testing.T, ledgers ...qldb.Ledger) *world {
	t.Helper()
	return startWith(t, 0, ledgers...)
}

// startWith chooses the disorder of streams.
func startWith(t *testing.T, disorder uint64, ledgers ...qldb.Ledger) *world {
	t.Helper()
	w := &world{judge: iam.New(account, region), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	must(t, w.judge.AddRole(caller, policy("qldb:*", "*", "iam:PassRole", "arn:aws:iam::111122223333:role/*"), trusts("lambda.amazonaws.com")))
	must(t, w.judge.AddRole(writer, policy("s3:PutObject s3:PutObjectAcl", "arn:aws:s3:::archive/*", "kms:GenerateDataKey", key), trusts("qldb.amazonaws.com")))
	var err error
	w.gateway, err = gateway.New(gateway.Config{Authorizer: w.judge, Fault: func(c gateway.Call) gateway.Fault {
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
	must(t, w.s3.CreateBucket(s3.Bucket{Name: "archive"}))
	w.gateway.Register("s3", w.s3)
	w.qldb, err = qldb.New(qldb.Config{Account: account, Region: region, Gateway: w.gateway, Roles: w.judge, Folder: t.TempDir(), Disorder: disorder, Now: func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}})
	must(t, err)
	t.Cleanup(func() { _ = w.qldb.Close() })
	for _, l := range ledgers {
		must(t, w.qldb.Create(l))
	}
	w.gateway.Register("qldb", w.qldb)
	return w
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// client is the SDK's own client with the credentials of a role.
func (w *world) client(role string) *sdk.Client {
	k := w.gateway.Issue(role, nil)
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(w.gateway.URL()),
		// The SDK's transport now and then drops the connection of an answer that
		// comes before it has done with the request. Nothing else is repeated.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		}),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
	})
}

// request asks for an export of everything to archive/p.
func (w *world) request(ledger string) *sdk.ExportJournalToS3Input {
	j := w.qldb.Journal(ledger)
	return &sdk.ExportJournalToS3Input{
		Name: aws.String(ledger), RoleArn: aws.String(writer), OutputFormat: types.OutputFormatIonBinary,
		InclusiveStartTime: aws.Time(j.At(0)), ExclusiveEndTime: aws.Time(j.At(j.Len() - 1).Add(time.Millisecond)),
		S3ExportConfiguration: &types.S3ExportConfiguration{
			Bucket: aws.String("archive"), Prefix: aws.String("p"),
			EncryptionConfiguration: &types.S3EncryptionConfiguration{ObjectEncryptionType: types.S3ObjectEncryptionTypeSseS3},
		},
	}
}

// ended waits until an export is no longer in progress.
func (w *world) ended(t *testing.T, ledger, id string) types.JournalS3ExportDescription {
	t.Helper()
	for range 2000 {
		d := w.status(t, ledger, id)
		if d.Status != types.ExportStatusInProgress {
			return d
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("export %s does not end", id)
	return types.JournalS3ExportDescription{}
}

func (w *world) status(t *testing.T, ledger, id string) types.JournalS3ExportDescription {
	t.Helper()
	out, err := w.client(caller).DescribeJournalS3Export(t.Context(), &sdk.DescribeJournalS3ExportInput{Name: &ledger, ExportId: &id})
	must(t, err)
	return *out.ExportDescription
}

// stored are the objects of the archive by key.
func (w *world) stored(t *testing.T) map[string][]byte {
	t.Helper()
	objects, err := w.s3.List("archive", "")
	must(t, err)
	bodies := map[string][]byte{}
	for _, o := range objects {
		bodies[o.Key], _, err = w.s3.Get("archive", o.Key)
		must(t, err)
	}
	return bodies
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks an error's code, and that its text says what it should.
func refused(t *testing.T, what string, err error, code, text string) {
	t.Helper()
	var answer smithy.APIError
	if !errors.As(err, &answer) || answer.ErrorCode() != code || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %s with %q", what, err, code, text)
	}
}

func holder(text string) *types.ValueHolder { return &types.ValueHolder{IonText: &text} }

// proofOf reads a proof with a library that is not ours.
func proofOf(t *testing.T, h *types.ValueHolder) []proof.Hash {
	t.Helper()
	var blobs [][]byte
	must(t, ionlib.UnmarshalString(*h.IonText, &blobs))
	var path []proof.Hash
	for _, b := range blobs {
		hash, err := proof.ParseHash(b)
		must(t, err)
		if hash.IsEmpty() {
			t.Error("a proof holds nothing")
		}
		path = append(path, hash)
	}
	return path
}

func hashOf(t *testing.T, b []byte) proof.Hash {
	t.Helper()
	h, err := proof.ParseHash(b)
	must(t, err)
	return h
}

// keysOf reads the keys of a completion manifest in any format.
func keysOf(t *testing.T, body []byte) []string {
	t.Helper()
	var manifest struct {
		Keys []string `ion:"keys" json:"keys"`
	}
	if json.Unmarshal(body, &manifest) != nil {
		must(t, ionlib.Unmarshal(body, &manifest))
	}
	return manifest.Keys
}

// small is a ledger of some objects.
func small(n string) qldb.Ledger {
	return qldb.Ledger{Name: n, Options: ledgergen.Options{Seed: 5, Documents: 150, BlocksPerObject: 10}}
}

// parameter checks which parameter an error names.
func parameter(t *testing.T, what string, err error, want string) {
	t.Helper()
	var wrong *types.InvalidParameterException
	if !errors.As(err, &wrong) || aws.ToString(wrong.ParameterName) != want {
		t.Errorf("%s: %v does not name %s", what, err, want)
	}
}
