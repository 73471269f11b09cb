package qldb

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"godwit/internal/ledgergen"
)

// Limits of the service.
// https://docs.aws.amazon.com/qldb/latest/developerguide/limits.html
// https://docs.aws.amazon.com/qldb/latest/developerguide/export-journal.errors.html
const (
	exportsAtOnce = 2 // of one ledger
	remembered    = 7 * 24 * time.Hour
	longestPrefix = 128 // characters
)

// The states of an export.
const (
	inProgress = "IN_PROGRESS"
	completed  = "COMPLETED"
	cancelled  = "CANCELLED"
)

// An export is one job. Its request never changes; status, ended and err are
// guarded by the service.
type export struct {
	number  int // in the order in which they began
	id      string
	ledger  *ledger
	request exportRequest
	start   time.Time
	end     time.Time
	created time.Time
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when it is no longer in progress

	status string
	ended  time.Time
	err    error // why it was cancelled
}

type exportRequest struct {
	InclusiveStartTime, ExclusiveEndTime *float64
	RoleArn                              string
	OutputFormat                         string `json:",omitempty"`
	S3ExportConfiguration                *struct {
		Bucket, Prefix          string
		EncryptionConfiguration *struct {
			ObjectEncryptionType string
			KmsKeyArn            string `json:",omitempty"`
		}
	}
}

var bucketName = regexp.MustCompile(`^[A-Za-z0-9._-]{3,255}$`)

// check refuses what QLDB refused.
func (r *exportRequest) check() error {
	c := r.S3ExportConfiguration
	switch {
	case r.InclusiveStartTime == nil:
		return invalid("InclusiveStartTime", "InclusiveStartTime is missing")
	case r.ExclusiveEndTime == nil:
		return invalid("ExclusiveEndTime", "ExclusiveEndTime is missing")
	case len(r.RoleArn) < 20:
		return invalid("RoleArn", "RoleArn is missing, or no ARN")
	case c == nil:
		return invalid("S3ExportConfiguration", "S3ExportConfiguration is missing")
	case !bucketName.MatchString(c.Bucket):
		return invalid("Bucket", "The provided Amazon S3 bucket name is not valid: "+c.Bucket)
	case len(c.Prefix) > longestPrefix:
		return invalid("Prefix", fmt.Sprintf("Amazon S3 bucket prefix must not exceed %d characters", longestPrefix))
	case c.EncryptionConfiguration == nil:
		return invalid("EncryptionConfiguration", "EncryptionConfiguration is missing")
	}
	switch e := c.EncryptionConfiguration; {
	case e.ObjectEncryptionType == "SSE_KMS" && e.KmsKeyArn == "":
		return invalid("KmsKeyArn", "KmsKeyArn must be set when ObjectEncryptionType is SSE_KMS")
	case e.ObjectEncryptionType != "SSE_KMS" && e.KmsKeyArn != "":
		return invalid("KmsKeyArn", "KmsKeyArn must not be set unless ObjectEncryptionType is SSE_KMS")
	case !slices.Contains([]string{"SSE_KMS", "SSE_S3", "NO_ENCRYPTION"}, e.ObjectEncryptionType):
		return invalid("ObjectEncryptionType", "ObjectEncryptionType is SSE_KMS, SSE_S3 or NO_ENCRYPTION, not "+e.ObjectEncryptionType)
	}
	if !slices.Contains([]string{"", "ION_TEXT", "ION_BINARY", "JSON"}, r.OutputFormat) {
		return invalid("OutputFormat", "OutputFormat is ION_TEXT, ION_BINARY or JSON, not "+r.OutputFormat)
	}
	return nil
}

// timestamp is a time of the API, which has milliseconds.
func timestamp(seconds float64) time.Time {
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
}

func (s *Service) exportJournal(r request, body []byte) (any, error) {
	x := &export{id: newID(), status: inProgress, created: s.config.Now(), done: make(chan struct{})}
	if err := decode(body, &x.request); err != nil {
		return nil, err
	}
	l, blocks, err := s.now(r.ledger)
	if err != nil {
		return nil, err
	}
	if err := x.request.check(); err != nil {
		return nil, err
	}
	x.ledger = l
	x.start, x.end = timestamp(*x.request.InclusiveStartTime), timestamp(*x.request.ExclusiveEndTime)
	if !x.start.Before(x.end) {
		return nil, invalid("InclusiveStartTime", "Start date must be earlier than end date")
	}
	if x.end.After(x.created) {
		return nil, invalid("ExclusiveEndTime", "End date cannot be in the future")
	}
	if created := l.journal.At(0); x.start.Before(created) {
		x.start = created
	}
	err = s.config.Roles.CanAssume(x.request.RoleArn, principal, map[string]string{"aws:SourceArn": s.arn(l.name), "aws:SourceAccount": s.config.Account})
	if err != nil {
		return nil, invalid("RoleArn", "QLDB cannot assume the role "+x.request.RoleArn+": "+err.Error())
	}
	if err := s.begin(x, blocks); err != nil {
		return nil, err
	}
	return struct{ ExportId string }{x.id}, nil
}

// begin starts the export and returns when its first object is stored: QLDB
// checked by that whether the role may write to the bucket.
func (s *Service) begin(x *export, blocks int64) error {
	began := make(chan error, 1)
	if err := s.start(x, blocks, began); err != nil {
		return err
	}
	err := <-began
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return invalid("S3ExportConfiguration", "QLDB encountered an error validating S3 configuration: "+answer.ErrorCode()+" "+answer.ErrorMessage())
	}
	return err
}

// start starts the export unless too many are in progress. began is told when
// its first object is stored, or why none is.
func (s *Service) start(x *export, blocks int64, began chan<- error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return notFound("Ledger", x.ledger.name) // closed meanwhile
	}
	if x.ledger.running >= exportsAtOnce {
		return &failure{
			status: http.StatusBadRequest, code: "LimitExceededException", ResourceType: "JournalS3Export",
			Message: fmt.Sprintf("Exceeded the limit of %d concurrent journal export jobs of the ledger %s", exportsAtOnce, x.ledger.name),
		}
	}
	x.ledger.running++
	x.ledger.most = max(x.ledger.most, x.ledger.running)
	ctx, cancel := context.WithCancelCause(s.ctx)
	x.cancel = cancel
	s.jobs.Go(func() {
		defer cancel(nil)
		objects, err := s.write(ctx, x, blocks, began)
		s.end(x, err)
		if objects == 0 {
			began <- err
		}
	})
	return nil
}

// admit makes an export known whose first object is stored: one that stores
// nothing never was.
func (s *Service) admit(x *export) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
	x.number = s.begun
	s.exports = append(s.exports, x)
}

// end settles an export.
func (s *Service) end(x *export, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.ledger.running--
	x.status, x.ended, x.err = completed, s.config.Now(), err
	if err != nil {
		x.status = cancelled
	}
	close(x.done)
}

// write writes the export's objects with the credentials of its role, and says
// on began when the first is stored. It returns how many it stored.
func (s *Service) write(ctx context.Context, x *export, blocks int64, began chan<- error) (objects int, err error) {
	k := s.config.Gateway.Issue(x.request.RoleArn, nil)
	defer s.config.Gateway.Revoke(k.AccessKeyID)
	client := awss3.New(awss3.Options{
		Region: s.config.Region, BaseEndpoint: aws.String(s.config.Gateway.URL()), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 5, 50*time.Millisecond }),
	})
	to := x.request.S3ExportConfiguration
	data := 0
	err = x.ledger.journal.Export(ledgergen.Export{
		ID: x.id, Ledger: x.ledger.name, Start: x.start, End: x.end, Blocks: blocks, Format: ledgergen.Format(x.request.OutputFormat),
		Bucket: to.Bucket, Prefix: to.Prefix, Encryption: to.EncryptionConfiguration.ObjectEncryptionType,
	}, func(o ledgergen.Object) error {
		if objects > 0 && (o.First < 0 || data > 0) {
			if err := s.wait(ctx); err != nil {
				return err
			}
		}
		if o.First >= 0 {
			data++
		}
		in := awss3.PutObjectInput{
			Bucket: &to.Bucket, Key: &o.Key, Body: bytes.NewReader(o.Body),
			// Archives may belong to another account; hence the role needs
			// s3:PutObjectAcl, as the developer guide says.
			ACL: types.ObjectCannedACLBucketOwnerFullControl,
		}
		switch e := to.EncryptionConfiguration; e.ObjectEncryptionType {
		case "SSE_S3":
			in.ServerSideEncryption = types.ServerSideEncryptionAes256
		case "SSE_KMS":
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &e.KmsKeyArn
		}
		if _, err := client.PutObject(ctx, &in); err != nil {
			return fmt.Errorf("write s3://%s/%s: %w", to.Bucket, o.Key, err)
		}
		if objects++; objects == 1 {
			s.admit(x)
			began <- nil
		}
		return nil
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return objects, err
}

// wait waits while exports are held.
func (s *Service) wait(ctx context.Context) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// An exportDescription is an export as the API describes it.
type exportDescription struct {
	ExportId, LedgerName, RoleArn, Status, OutputFormat      string
	InclusiveStartTime, ExclusiveEndTime, ExportCreationTime float64
	S3ExportConfiguration                                    any
}

// describe is called with s.mu held.
func (x *export) describe() exportDescription {
	format := x.request.OutputFormat
	if format == "" {
		format = string(ledgergen.IonText)
	}
	return exportDescription{
		ExportId: x.id, LedgerName: x.ledger.name, RoleArn: x.request.RoleArn, Status: x.status, OutputFormat: format,
		InclusiveStartTime: seconds(x.start), ExclusiveEndTime: seconds(x.end), ExportCreationTime: seconds(x.created),
		S3ExportConfiguration: x.request.S3ExportConfiguration,
	}
}

// forget drops the exports that ended long ago; s.mu is held.
func (s *Service) forget() {
	now := s.config.Now()
	s.exports = slices.DeleteFunc(s.exports, func(x *export) bool { return x.status != inProgress && now.Sub(x.ended) > remembered })
}

func (s *Service) describeExport(r request, _ []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(r.ledger); err != nil {
		return nil, err
	}
	s.forget()
	for _, x := range s.exports {
		if x.id == r.id && x.ledger.name == r.ledger {
			return struct{ ExportDescription exportDescription }{x.describe()}, nil
		}
	}
	return nil, notFound("JournalS3Export", r.id)
}

func (s *Service) listExports(r request, _ []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ledger != "" {
		if _, err := s.find(r.ledger); err != nil {
			return nil, err
		}
	}
	s.forget()
	var all []*export
	for _, x := range s.exports {
		if r.ledger == "" || x.ledger.name == r.ledger {
			all = append(all, x)
		}
	}
	some, next, err := page(r, all, func(x *export) string { return fmt.Sprintf("%09d", x.number) })
	if err != nil {
		return nil, err
	}
	out := struct {
		JournalS3Exports []exportDescription
		NextToken        *string `json:",omitempty"`
	}{[]exportDescription{}, next}
	for _, x := range some {
		out.JournalS3Exports = append(out.JournalS3Exports, x.describe())
	}
	return out, nil
}

// newID returns 22 base-62 characters, as QLDB named its exports.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	digits := new(big.Int).SetBytes(b[:]).Text(62)
	return strings.Repeat("0", 22-len(digits)) + digits
}
