package local

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsqldb "github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"
	"github.com/jackc/pgx/v5"

	"godwit/internal/control"
	"godwit/internal/ledgergen"
	"godwit/internal/local/lambda"
	"godwit/internal/local/template"
	"godwit/internal/migrate"
	"godwit/internal/proof"
)

// In the demo the ledger goes on behind the load by a tenth of its documents,
// within these bounds, and the stream begins a tenth of the blocks before the
// load ends.
const (
	laterShare             = 10
	fewestLater, mostLater = 200, 5000
)

// follows says whether the job shows a ledger that goes on behind the load.
func (j *Job) follows() bool {
	return j.Generate != nil && j.Generate.Layout != ledgergen.AWSSample && !j.Plan && !j.Prove && !j.Tamper
}

// later is how many documents come behind the load.
func (j *Job) later() int {
	if !j.follows() {
		return 0
	}
	return min(max(j.Generate.Documents/laterShare, fewestLater), mostLater)
}

// Invoke calls a function of the stacks by the beginning of its logical id, as
// whoever deploys them may, and decodes its answer. The error is the function's
// own.
func (c *Cloud) Invoke(ctx context.Context, id string, in, out any) error {
	var f *lambda.Function
	for _, r := range template.ByType(c.Stacks, "AWS::Lambda::Function") {
		if strings.HasPrefix(r.LogicalID, id) && len(r.LogicalID) == len(id)+8 { // CDK appends eight digits
			f = c.Functions[r.ARN()]
		}
	}
	if f == nil {
		return fmt.Errorf("the stacks have no function %s", id)
	}
	payload, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := f.Invoke(ctx, payload)
	var failed *lambda.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %s: %s", id, failed.Type, failed.Message)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", id, err)
	}
	return nil
}

// StreamLedger begins a journal stream of a ledger, from the given block on, into
// the stream of the stacks, as its operator.
func (c *Cloud) StreamLedger(ctx context.Context, ledger string, from int64) error {
	role := ""
	for _, r := range template.ByType(c.Stacks, "AWS::IAM::Role") {
		if strings.HasPrefix(r.LogicalID, "QldbStreamRole") {
			role = r.ARN()
		}
	}
	streams := template.ByType(c.Stacks, "AWS::Kinesis::Stream")
	if role == "" || len(streams) != 1 {
		return errors.New("the stacks have no stream that QLDB may write to")
	}
	journal := c.QLDB.Journal(ledger)
	if journal == nil {
		return fmt.Errorf("there is no ledger %s", ledger)
	}
	start := journal.At(from)
	_, err := c.qldbAPI().StreamJournalToKinesis(ctx, &awsqldb.StreamJournalToKinesisInput{
		LedgerName: &ledger, RoleArn: &role, StreamName: aws.String(fmt.Sprintf("godwit-from-%d", from)), InclusiveStartTime: &start,
		KinesisConfiguration: &types.KinesisConfiguration{StreamArn: aws.String(streams[0].ARN())},
	})
	return err
}

// qldbAPI is QLDB's client of the operator.
func (c *Cloud) qldbAPI() *awsqldb.Client {
	k := c.Gateway.Root()
	return awsqldb.New(awsqldb.Options{
		Region: c.Stacks[0].Region, BaseEndpoint: aws.String(c.Gateway.URL()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
	})
}

// beginStream has QLDB stream the ledger while it is exported and loaded.
func (j *Job) beginStream(ctx context.Context, c *Cloud) error {
	l, err := c.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		return err
	}
	from := l.Blocks - l.Blocks/10
	if err := c.StreamLedger(ctx, ledgergen.Name, from); err != nil {
		return fmt.Errorf("stream the journal: %w", err)
	}
	// The stream begins at a time, and with all blocks of it.
	from = c.QLDB.Journal(ledgergen.Name).First(c.QLDB.Journal(ledgergen.Name).At(from))
	fmt.Fprintf(j.Out, "QLDB streams the journal to Kinesis from block %d on; the load ends with block %d, so that none is missing between them\n", from, l.Tip)
	return nil
}

// follow lets the ledger go on behind the load, and shows that the target follows.
// An error means that it does not hold what the ledger holds.
func (j *Job) follow(ctx context.Context, c *Cloud) error {
	journal := c.QLDB.Journal(ledgergen.Name)
	loaded, tip := journal.Later()-1, journal.Len()-1
	before, err := c.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		return err
	}
	began := time.Now()
	half := (tip - loaded) / 2
	var status migrate.StreamStatusOut
	for i, blocks := range []int64{half, tip - loaded - half} {
		if _, err := c.QLDB.Grow(ledgergen.Name, blocks); err != nil {
			return err
		}
		if i == 0 {
			if status, err = c.streamStatus(ctx); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(j.Out, "\nThe ledger goes on: blocks %d to %d, with updates, deletions, redactions, licenses of another shape, a new table and a dropped one\n", loaded+1, tip)
	fmt.Fprintf(j.Out, "  stream-status, meanwhile:  %s\n", status.Line)
	if err := c.QLDB.Streamed(ctx, ledgergen.Name); err != nil {
		return err
	}
	if err := c.Mappings.Drain(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	if err := c.Gateway.Err(); err != nil {
		return fmt.Errorf("the local AWS does not know what the stacks ask for: %w", err)
	}
	after, err := c.QLDB.Oracle(ledgergen.Name)
	if err != nil {
		return err
	}
	if status, err = c.streamStatus(ctx); err != nil {
		return err
	}
	calls, invocations := c.applyCalls()
	fmt.Fprintf(j.Out, "  stream-apply:              %d revisions in %.1f s, by %d invocations with %d Data API calls\n", after.Revisions()-before.Revisions(), took.Seconds(), invocations, calls)
	fmt.Fprintf(j.Out, "  stream-status:             %s\n", status.Line)
	if !status.Safe {
		return errors.New("the stream did not bring everything: read its status")
	}
	if err := j.tellComparison(ctx, c, journal, tip); err != nil {
		return err
	}
	return j.tellTip(ctx, c, loaded, tip)
}

// streamStatus asks stream-status, which asks the ledger how far it is.
func (c *Cloud) streamStatus(ctx context.Context) (out migrate.StreamStatusOut, err error) {
	err = c.Invoke(ctx, "StreamStatus", migrate.StreamStatusIn{Ledger: ledgergen.Name}, &out)
	return out, err
}

// applyCalls counts what stream-apply did so far.
func (c *Cloud) applyCalls() (calls int, invocations int64) {
	for _, e := range c.Gateway.Calls() {
		if strings.Contains(e.Role, "StreamApplyRole") && e.Action == "rds-data:ExecuteStatement" {
			calls++
		}
	}
	for _, r := range template.ByType(c.Stacks, "AWS::Lambda::EventSourceMapping") {
		invocations += c.Mappings.Stats(r.ID).Invocations
	}
	return calls, invocations
}

// tellComparison holds the whole target against the ledger.
func (j *Job) tellComparison(ctx context.Context, c *Cloud, journal *ledgergen.Journal, tip int64) error {
	db, err := pgx.Connect(ctx, c.Postgres.AdminDSN(c.Database))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }() // read only, but for what ends with it
	all, err := CompareLedger(ctx, db, "dmv", journal, tip+1)
	if err != nil {
		return fmt.Errorf("compare the target with the ledger: %w", err)
	}
	var rows, wrong int64
	for _, d := range all {
		rows += d.Rows
		if !d.Same() {
			wrong += d.Missing + d.Extra + d.Different
			fmt.Fprintf(j.Out, "  %s\n", &d)
		}
	}
	fmt.Fprintf(j.Out, "  compared:                  every row and value of %d tables, %d rows in all, with the ledger's blocks: %d differences\n", len(all), rows, wrong)
	if wrong > 0 {
		return errors.New("the target does not hold what the ledger holds")
	}
	return nil
}

var ionBlob = regexp.MustCompile(`\{\{([A-Za-z0-9+/=]+)\}\}`)

// tellTip shows that the chain of hashes that the target followed ends where the
// ledger's digest says.
func (j *Job) tellTip(ctx context.Context, c *Cloud, loaded, tip int64) error {
	db, err := pgx.Connect(ctx, c.Postgres.AdminDSN(c.Database))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }() // read only
	var gapFree int64
	var hash string
	if err := db.QueryRow(ctx, `SELECT gap_free, gap_free_hash FROM godwit.stream`).Scan(&gapFree, &hash); err != nil {
		return err
	}
	var at proof.Hash
	if err := at.UnmarshalText([]byte(hash)); err != nil {
		return fmt.Errorf("read the hash of block %d: %w", gapFree, err)
	}
	ledger := control.QLDB{API: c.qldbAPI()}
	digest, where, err := ledger.Digest(ctx, ledgergen.Name)
	if err != nil {
		return err
	}
	_, path, err := ledger.Block(ctx, ledgergen.Name, where, where)
	if err != nil {
		return err
	}
	var hashes []proof.Hash
	for _, m := range ionBlob.FindAllStringSubmatch(path, -1) {
		b, err := base64.StdEncoding.DecodeString(m[1])
		if err != nil {
			return fmt.Errorf("read the proof of block %d: %w", tip, err)
		}
		h, err := proof.ParseHash(b)
		if err != nil {
			return fmt.Errorf("read the proof of block %d: %w", tip, err)
		}
		hashes = append(hashes, h)
	}
	if got := proof.Fold(at, hashes); gapFree != tip || string(got.Bytes()) != string(digest) {
		return fmt.Errorf("the target's chain ends with block %d and hash %s, which does not lead to the ledger's digest at block %d", gapFree, at, tip)
	}
	fmt.Fprintf(j.Out, "  proven:                    the chain of previous hashes from the load's proven boundary (block %d) to the tip (block %d), whose hash leads to the ledger's digest there, %s\n",
		loaded, tip, base64.StdEncoding.EncodeToString(digest))
	return nil
}
