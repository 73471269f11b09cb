package rds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"strings"
	"time"

	"godwit/internal/local/export"
	"godwit/internal/local/gateway"
	"godwit/internal/local/s3"
)

// Limits of the service.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/CHAP_Limits.html
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-export-snapshot.Considerations.html
const (
	exportsAtOnce     = 5       // of an account
	longestIdentifier = 60      // characters of an export's identifier
	longestOnly       = 200_000 // characters of ExportOnly, about 200 KB
)

// exporter is who RDS is when it writes exports.
const exporter = "export.rds.amazonaws.com"

// The states of an export.
const (
	starting   = "STARTING"
	inProgress = "IN_PROGRESS"
	complete   = "COMPLETE"
	failed     = "FAILED"
	canceling  = "CANCELING"
	canceled   = "CANCELED"
)

// A task is one export. Its request never changes; what follows status is guarded
// by the service.
type task struct {
	id, source, sourceType   string
	sourceID                 string
	bucket, prefix, role     string
	key                      string
	only                     []string
	started                  time.Time
	databases                []export.Database // of a living cluster
	frozen                   *export.Frozen    // of a snapshot
	cancel                   context.CancelFunc
	status, cause, warning   string
	snapshotTime, endedAt    time.Time
	percent, extractedInGiga int
}

func (t *task) ended() bool {
	return t.status == complete || t.status == failed || t.status == canceled
}

// callsOfStart asks for the source, and for passing the role that the export is
// written with.
func (s *Service) callsOfStart(in request) []gateway.Call {
	resource := in.get("SourceArn")
	if !strings.HasPrefix(resource, "arn:") {
		resource = "*"
	}
	calls := in.call(resource)
	if role := in.get("IamRoleArn"); role != "" {
		calls = append(calls, gateway.Call{Action: "iam:PassRole", Resources: []string{role}, Condition: map[string]string{"iam:PassedToService": exporter}})
	}
	return calls
}

var (
	identifierRule = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$`)
	onlyRule       = regexp.MustCompile(`^[A-Za-z0-9$_]+(\.[A-Za-z0-9$_]+){0,2}$`)
	keyRule        = regexp.MustCompile(`^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/.+$`)
)

// startExport is StartExportTask.
func (s *Service) startExport(in request) (any, error) {
	t := &task{
		id: in.get("ExportTaskIdentifier"), source: in.get("SourceArn"), bucket: in.get("S3BucketName"), prefix: in.get("S3Prefix"), role: in.get("IamRoleArn"),
		key: in.get("KmsKeyId"), only: in.list("ExportOnly.member"), status: starting, started: s.config.Clock.Now(),
	}
	if s.config.Judge == nil || s.config.Objects == nil {
		return nil, errors.New("exports need a judge and an S3, which this RDS was not given")
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := s.rights(in.caller, t); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	t.cancel = cancel
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(t); err != nil {
		cancel()
		return nil, err
	}
	s.tasks = append(s.tasks, t)
	s.jobs.Go(func() {
		defer cancel()
		s.run(ctx, t)
	})
	return t.describe(), nil
}

// check refuses what a request cannot have.
func (t *task) check() error {
	for name, value := range map[string]string{"ExportTaskIdentifier": t.id, "SourceArn": t.source, "S3BucketName": t.bucket, "IamRoleArn": t.role, "KmsKeyId": t.key} {
		if value == "" {
			return fail("MissingParameter", "The request must contain the parameter %s", name)
		}
	}
	switch {
	case !identifierRule.MatchString(t.id) || len(t.id) > longestIdentifier:
		return fail("InvalidParameterValue", "The parameter ExportTaskIdentifier is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.")
	case strings.Contains(t.prefix, ":"):
		return fail("InvalidParameterValue", "The S3Prefix parameter can't contain a colon (:)")
	case !keyRule.MatchString(t.key):
		return errors.New("KmsKeyId " + t.key + " is not implemented locally: name a key's ARN")
	case len(strings.Join(t.only, ",")) > longestOnly:
		return fail("InvalidExportOnly", "ExportOnly is longer than %d characters", longestOnly)
	}
	for _, o := range t.only {
		if !onlyRule.MatchString(o) {
			return fail("InvalidExportOnly", "The export is invalid: %s is none of database, database.schema and database.schema.table, of letters, digits, $ and _", o)
		}
	}
	return nil
}

// rights refuses an export whose key, role or bucket RDS may not use. The caller
// grants RDS the use of the key.
func (s *Service) rights(caller string, t *task) error {
	via := map[string]string{"kms:ViaService": "rds." + s.config.Region + ".amazonaws.com", "kms:CallerAccount": s.config.Account}
	grant := maps.Clone(via)
	grant["kms:GrantIsForAWSResource"] = "true"
	if caller != "" { // the operator may do everything
		err := s.config.Judge.Authorize(caller, "kms:DescribeKey", t.key, via)
		if err == nil {
			err = s.config.Judge.Authorize(caller, "kms:CreateGrant", t.key, grant)
		}
		if err != nil {
			return denied(err, "KMSKeyNotAccessibleFault", "The specified KMS key ["+t.key+"] isn't accessible")
		}
	}
	switch region := s.config.Objects.BucketRegion(t.bucket); region {
	case s.config.Region:
	case "":
		return fail("InvalidS3BucketFault", "The specified Amazon S3 bucket %s can't be found", t.bucket)
	default:
		return fail("InvalidS3BucketFault", "The Amazon S3 bucket %s is in %s, and must be in %s", t.bucket, region, s.config.Region)
	}
	err := s.config.Judge.CanAssume(t.role, exporter, map[string]string{"aws:SourceAccount": s.config.Account, "aws:SourceArn": t.source})
	if err != nil {
		return denied(err, "IamRoleMissingPermissions", "RDS can't assume the role "+t.role)
	}
	bucket := "arn:aws:s3:::" + t.bucket
	object := bucket + "/" + path.Join(t.prefix, t.id, "export_info_"+t.id+".json")
	// What comes, and what RDS looks at and clears away.
	for _, need := range []struct {
		action, resource string
		condition        map[string]string
	}{
		{"s3:PutObject", object, t.encryption()}, {"s3:GetObject", object, nil}, {"s3:DeleteObject", object, nil}, {"s3:ListBucket", bucket, nil}, {"s3:GetBucketLocation", bucket, nil},
	} {
		if err := s.config.Judge.Authorize(t.role, need.action, need.resource, need.condition); err != nil {
			return denied(err, "IamRoleMissingPermissions", "The IAM role "+t.role+" requires additional permissions to export to the bucket "+t.bucket)
		}
	}
	return nil
}

// denied turns a judgement into an error of the service. What the judge does not
// know is IamRoleNotFound for a role, and an error of local's own otherwise.
func denied(err error, code, text string) error {
	var no *gateway.AccessDenied
	switch {
	case errors.As(err, &no):
		return fail(code, "%s: %v", text, err)
	case code == "IamRoleMissingPermissions":
		return fail("IamRoleNotFound", "%s: %v", text, err)
	}
	return err
}

// admit refuses an export of a source that is not there or not ready, or one too
// many; s.mu is held.
func (s *Service) admit(t *task) error {
	part := strings.SplitN(t.source, ":", 7)
	if len(part) != 7 || part[2] != "rds" {
		return fail("InvalidParameterValue", "Invalid ARN: %s", t.source)
	}
	t.sourceID = part[6]
	x := s.snapshot(t.source)
	var state, engine string
	switch part[5] {
	case "cluster-snapshot", "snapshot":
		t.sourceType = "SNAPSHOT"
		if x == nil {
			return fail(map[string]string{"cluster-snapshot": "DBClusterSnapshotNotFoundFault", "snapshot": "DBSnapshotNotFound"}[part[5]], "%s not found", t.source)
		}
		state, engine, t.frozen, t.snapshotTime = x.status, x.Engine, x.frozen, x.made
		if x.Owner != s.config.Account {
			return fail("InvalidExportSourceState", "The snapshot %s belongs to account %s: copy it to this account first", t.source, x.Owner)
		}
	case "cluster":
		t.sourceType = "CLUSTER"
		c, ok := s.find(t.source)
		if !ok {
			return fail("DBClusterNotFoundFault", "DBCluster %s not found.", t.source)
		}
		state, engine, t.databases = c.Status, c.Engine, c.Databases
	default:
		return fail("InvalidParameterValue", "Invalid ARN: %s", t.source)
	}
	running := 0
	for _, o := range s.tasks {
		switch {
		case o.id == t.id:
			return fail("ExportTaskAlreadyExists", "An export task with the identifier %s already exists", t.id)
		case !o.ended() && o.source == t.source:
			return fail("InvalidExportSourceState", "%s is being exported by the task %s", t.source, o.id)
		case !o.ended():
			running++
		}
	}
	switch {
	case state != "available":
		return fail("InvalidExportSourceState", "%s is %s, and must be available", t.source, state)
	case !strings.Contains(engine, "postgres"):
		return fmt.Errorf("an export of engine %s is not implemented locally", engine)
	case running >= exportsAtOnce:
		return fail("ExportTaskLimitReachedFault", "The limit of %d concurrent export tasks is reached", exportsAtOnce)
	case s.ctx.Err() != nil:
		return errors.New("the service is closed")
	}
	return nil
}

// run walks a task through its states.
func (s *Service) run(ctx context.Context, t *task) {
	result, err := s.extract(ctx, t)
	s.mu.Lock()
	if ctx.Err() != nil && s.ctx.Err() != nil {
		s.mu.Unlock()
		return // the end of the service, not of the export
	}
	t.endedAt = s.config.Clock.Now()
	what, message := "completed", "exported"
	switch {
	case err == nil && t.status != canceling:
		t.status, t.percent, t.warning, t.extractedInGiga = complete, 100, result.Warning, int(result.Bytes>>30)
	case t.status == canceling:
		t.status, what, message = canceled, "canceled", "export canceled"
	default:
		t.status, t.cause, what, message = failed, err.Error(), "failed", "export failed"
	}
	s.mu.Unlock()
	sourceType := map[bool]string{true: "CLUSTER_SNAPSHOT", false: "SNAPSHOT"}[strings.Contains(t.source, ":cluster-snapshot:")]
	if t.sourceType == "CLUSTER" {
		sourceType = "CLUSTER"
	}
	s.publish(sourceType, what, "notification", t.source, t.sourceID, "Export task "+t.id+": "+message)
}

// extract writes the export, in no less time than it takes on AWS.
func (s *Service) extract(ctx context.Context, t *task) (export.Result, error) {
	if err := s.config.Clock.Sleep(ctx, s.config.Starting); err != nil {
		return export.Result{}, err
	}
	s.mu.Lock()
	if t.status == starting {
		t.status = inProgress
	}
	if t.frozen == nil {
		t.snapshotTime = s.config.Clock.Now()
	}
	s.mu.Unlock()
	from := t.frozen
	if from == nil {
		var err error
		if from, err = export.Freeze(ctx, t.snapshotTime, t.databases); err != nil {
			return export.Result{}, err
		}
		defer from.Close()
	}
	style := s.config.Style
	style.Letters = style.Letters || t.sourceType == "CLUSTER"
	result, err := export.Write(ctx, from, export.Task{
		ID: t.id, SourceARN: t.source, Only: t.only, Bucket: t.bucket, Prefix: t.prefix, RoleARN: t.role, KMSKey: t.key, Started: t.started, Now: s.config.Clock.Now, Style: style,
		Extracting: func(percent int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.percent = percent
		},
	}, func(ctx context.Context, key string, body []byte) error { return s.put(ctx, t, key, body) })
	if err != nil {
		return result, err
	}
	if why := s.config.Broken(t.id); why != "" {
		return result, errors.New(why)
	}
	return result, s.config.Clock.Sleep(ctx, s.config.Extracting)
}

// encryption is what S3 is asked for with every object, as policies see it.
func (t *task) encryption() map[string]string {
	return map[string]string{"s3:x-amz-server-side-encryption": "aws:kms", "s3:x-amz-server-side-encryption-aws-kms-key-id": t.key}
}

// put stores an object with the rights of the task's role. RDS uses the key by the
// grant, so that the role needs none on it.
func (s *Service) put(ctx context.Context, t *task, key string, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.config.Judge.Authorize(t.role, "s3:PutObject", "arn:aws:s3:::"+t.bucket+"/"+key, t.encryption()); err != nil {
		return fmt.Errorf("write s3://%s/%s: %w", t.bucket, key, err)
	}
	return s.config.Objects.Put(t.bucket, key, body, s3.Options{KMSKey: t.key})
}
