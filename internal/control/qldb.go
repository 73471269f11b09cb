package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"
	"github.com/aws/smithy-go"
)

// QLDB asks the control plane of Amazon QLDB, and begins exports. It is safe for
// concurrent use.
//
// Errors have the service's codes, but for a service that is not there any more:
// that is an *EndedError.
type QLDB struct{ API *qldb.Client }

const (
	// The service answered within a second; a connection that says nothing for
	// a minute is dead, and a new one is tried.
	qldbTimeout = time.Minute
	// Of calls that only read. Their waits sum up to about half a minute.
	qldbAttempts = 5
)

// NewQLDB makes the client of a function.
func NewQLDB(cfg aws.Config) *QLDB {
	return &QLDB{qldb.NewFromConfig(cfg, func(o *qldb.Options) {
		o.RetryMaxAttempts = qldbAttempts
		o.HTTPClient = &http.Client{Timeout: qldbTimeout}
	})}
}

// An EndedError says that Amazon QLDB is not there: it closed on 2025-07-31.
type EndedError struct{ err error }

func (e *EndedError) Error() string {
	return "amazon QLDB is not there any more: it closed on 2025-07-31; start LedgerLoad with the archive of the ledger's exports: " + e.err.Error()
}

// Unwrap returns what was answered.
func (e *EndedError) Unwrap() error { return e.err }

// ErrorCode is as a service's code.
func (e *EndedError) ErrorCode() string { return "QldbServiceEnded" }

// qldbError says what was attempted, and tells a service that is gone from one
// that refuses.
func qldbError(err error, format string, args ...any) error {
	err = fmt.Errorf(format+": %w", append(args, err)...)
	if gone(err) {
		return &EndedError{err}
	}
	return err
}

// gone tells whether an answer, or its absence, is that of a service that was
// closed: its name leads nowhere, or to a host that is not QLDB. A name server's
// failure and a broken connection are no such signs.
func gone(err error) bool {
	var name *net.DNSError
	if errors.As(err, &name) {
		return name.IsNotFound
	}
	var foreign *tls.CertificateVerificationError
	if errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &foreign) {
		return true
	}
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var status interface{ HTTPStatusCode() int }
	switch {
	case code == "UnknownOperationException":
		return true
	case code == "ResourceNotFoundException" || !errors.As(err, &status):
		return false
	}
	return status.HTTPStatusCode() == http.StatusNotFound || status.HTTPStatusCode() == http.StatusGone
}

// LedgerState returns a ledger's state: CREATING, ACTIVE, DELETING or DELETED.
func (q *QLDB) LedgerState(ctx context.Context, ledger string) (string, error) {
	out, err := q.API.DescribeLedger(ctx, &qldb.DescribeLedgerInput{Name: aws.String(ledger)})
	if err != nil {
		return "", qldbError(err, "describe ledger %s", ledger)
	}
	return string(out.State), nil
}

// Digest returns the digest of a ledger and the address of the last block that it
// covers, in Ion text.
func (q *QLDB) Digest(ctx context.Context, ledger string) (digest []byte, tip string, err error) {
	out, err := q.API.GetDigest(ctx, &qldb.GetDigestInput{Name: aws.String(ledger)})
	if err != nil {
		return nil, "", qldbError(err, "get the digest of ledger %s", ledger)
	}
	return out.Digest, ionText(out.DigestTipAddress), nil
}

// Block returns the block at an address, and, when tip is not "", its proof
// against the digest with that tip. All are Ion text.
func (q *QLDB) Block(ctx context.Context, ledger, address, tip string) (block, proof string, err error) {
	in := &qldb.GetBlockInput{Name: aws.String(ledger), BlockAddress: &types.ValueHolder{IonText: aws.String(address)}}
	if tip != "" {
		in.DigestTipAddress = &types.ValueHolder{IonText: aws.String(tip)}
	}
	out, err := q.API.GetBlock(ctx, in)
	if err != nil {
		return "", "", qldbError(err, "get block %s of ledger %s", address, ledger)
	}
	return ionText(out.Block), ionText(out.Proof), nil
}

func ionText(v *types.ValueHolder) string {
	if v == nil {
		return ""
	}
	return aws.ToString(v.IonText)
}

// A JournalExport is an export job of a ledger's journal.
type JournalExport struct {
	ID      string    // given by the service
	Ledger  string    // name
	Bucket  string    // where the objects go
	Prefix  string    // of their keys
	KMSKey  string    // ARN of the key that encrypts the objects; "" is S3's own
	Format  string    // ION_BINARY, ION_TEXT, JSON; "" where none was asked for
	Role    string    // ARN of the role that the service writes with
	Start   time.Time // of the first block, inclusive; milliseconds count
	End     time.Time // exclusive; milliseconds count
	Created time.Time // given by the service
	Status  string    // given by the service: IN_PROGRESS, COMPLETED, CANCELLED
}

// StartExport begins an export and returns its id. It is never repeated here: an
// error does not mean that nothing began, so callers look at Exports before they
// call it again. A ledger with as many exports under way as it may have is an
// error with code LimitExceededException.
func (q *QLDB) StartExport(ctx context.Context, e JournalExport) (id string, err error) {
	encryption := &types.S3EncryptionConfiguration{ObjectEncryptionType: types.S3ObjectEncryptionTypeSseS3}
	if e.KMSKey != "" {
		encryption = &types.S3EncryptionConfiguration{ObjectEncryptionType: types.S3ObjectEncryptionTypeSseKms, KmsKeyArn: aws.String(e.KMSKey)}
	}
	out, err := q.API.ExportJournalToS3(ctx, &qldb.ExportJournalToS3Input{
		Name:                  aws.String(e.Ledger),
		InclusiveStartTime:    aws.Time(e.Start),
		ExclusiveEndTime:      aws.Time(e.End),
		OutputFormat:          types.OutputFormat(e.Format),
		RoleArn:               aws.String(e.Role),
		S3ExportConfiguration: &types.S3ExportConfiguration{Bucket: aws.String(e.Bucket), Prefix: aws.String(e.Prefix), EncryptionConfiguration: encryption},
	}, func(o *qldb.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return "", qldbError(err, "begin an export of ledger %s to s3://%s/%s", e.Ledger, e.Bucket, e.Prefix)
	}
	return aws.ToString(out.ExportId), nil
}

// ExportStatus returns the status of an export.
func (q *QLDB) ExportStatus(ctx context.Context, ledger, id string) (string, error) {
	out, err := q.API.DescribeJournalS3Export(ctx, &qldb.DescribeJournalS3ExportInput{Name: aws.String(ledger), ExportId: aws.String(id)})
	if err != nil {
		return "", qldbError(err, "describe export %s of ledger %s", id, ledger)
	}
	if out.ExportDescription == nil {
		return "", fmt.Errorf("describe export %s of ledger %s: the answer is empty", id, ledger)
	}
	return string(out.ExportDescription.Status), nil
}

// Exports calls visit for each export of a ledger that the service remembers: for
// a week after its end.
func (q *QLDB) Exports(ctx context.Context, ledger string, visit func(JournalExport)) error {
	pages := qldb.NewListJournalS3ExportsForLedgerPaginator(q.API, &qldb.ListJournalS3ExportsForLedgerInput{Name: aws.String(ledger)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return qldbError(err, "list the exports of ledger %s", ledger)
		}
		for _, d := range page.JournalS3Exports {
			e := JournalExport{
				ID: aws.ToString(d.ExportId), Ledger: aws.ToString(d.LedgerName), Format: string(d.OutputFormat), Role: aws.ToString(d.RoleArn),
				Start: aws.ToTime(d.InclusiveStartTime), End: aws.ToTime(d.ExclusiveEndTime), Created: aws.ToTime(d.ExportCreationTime), Status: string(d.Status),
			}
			if c := d.S3ExportConfiguration; c != nil {
				e.Bucket, e.Prefix = aws.ToString(c.Bucket), aws.ToString(c.Prefix)
				if c.EncryptionConfiguration != nil {
					e.KMSKey = aws.ToString(c.EncryptionConfiguration.KmsKeyArn)
				}
			}
			visit(e)
		}
	}
	return nil
}
