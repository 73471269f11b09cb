package rds_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/gateway"
	"godwit/internal/local/rds"
)

func TestExportWalksThroughItsStates(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	began := w.clock.Now()
	out := w.start(request("job", arn))
	if *out.Status != "STARTING" || *out.ExportTaskIdentifier != "job" || out.TaskStartTime != nil || *out.PercentProgress != 0 {
		t.Errorf("it starts as %+v", out)
	}
	w.exec(`INSERT INTO numbers VALUES (11)`)
	w.clock.advance(t, 9*time.Minute)
	w.task("job", "STARTING")
	if got, _ := w.s3.List("exports", ""); len(got) > 0 {
		t.Errorf("%d objects before it is in progress", len(got))
	}
	w.clock.advance(t, time.Minute)
	if d := w.task("job", "IN_PROGRESS"); !d.TaskStartTime.Equal(began) || d.TaskEndTime != nil {
		t.Errorf("in progress it is %+v", d)
	}
	w.clock.advance(t, 5*time.Minute)
	got := w.task("job", "COMPLETE")
	want := types.ExportTask{
		ExportTaskIdentifier: aws.String("job"), SourceArn: &arn, SourceType: types.ExportSourceTypeSnapshot, Status: aws.String("COMPLETE"), PercentProgress: aws.Int32(100),
		S3Bucket: aws.String("exports"), S3Prefix: aws.String("p"), IamRoleArn: aws.String(writer), KmsKeyId: aws.String(key), SnapshotTime: &began, TaskStartTime: &began,
		TaskEndTime: aws.Time(began.Add(15 * time.Minute)), TotalExtractedDataInGB: aws.Int32(0), ExportOnly: []string{},
	}
	if d := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".noSmithyDocumentSerde" }, cmp.Ignore())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	stored, err := w.s3.List("exports", "p/job/")
	w.must(err)
	if len(stored) != 4 {
		t.Errorf("%d objects, want part, mark and two files of metadata", len(stored))
	}
	for _, o := range stored {
		if o.Header["X-Amz-Server-Side-Encryption"] != "aws:kms" || o.Header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] != key {
			t.Errorf("%s is encrypted by %v", o.Key, o.Header)
		}
	}
	if got := w.heard(); got != "0074 0075 0164" {
		t.Errorf("heard %s", got)
	}
}

func TestEventsAreLikeThoseOfTheService(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	e := w.events[1]
	var detail map[string]any
	w.must(json.Unmarshal(e.Detail, &detail))
	want := map[string]any{
		"EventCategories": []any{"backup"}, "SourceType": "CLUSTER_SNAPSHOT", "SourceArn": arn, "SourceIdentifier": "nightly", "Message": "Manual cluster snapshot created",
		"Date": "2026-11-23T03:00:00.000Z", "EventID": "RDS-EVENT-0075",
	}
	if d := cmp.Diff(want, detail); d != "" || e.Source != "aws.rds" || e.DetailType != "RDS DB Cluster Snapshot Event" || len(e.Resources) != 1 || e.Resources[0] != arn {
		t.Errorf("%+v (-want +got):\n%s", e, d)
	}
	_, err := w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "rds:auto", SourceARN: source, Creating: time.Hour})
	w.must(err)
	_, err = w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "one", SourceARN: instance})
	w.must(err)
	_, err = w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "rds:one", SourceARN: instance})
	w.must(err)
	if got := w.heard(); got != "0074 0075 0168 0040 0042 0090 0091" {
		t.Errorf("heard %s", got)
	}
	w.clock.advance(t, time.Hour)
	for range 400 {
		if strings.HasSuffix(w.heard(), " 0169") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("heard %s, and nothing of the automated one", w.heard())
}

func TestLivingClusterIsExportedAsItIsThen(t *testing.T) {
	w := start(t)
	w.start(request("job", source))
	w.exec(`INSERT INTO numbers VALUES (11)`)
	w.clock.advance(t, 10*time.Minute)
	w.clock.advance(t, 5*time.Minute)
	d := w.task("job", "COMPLETE")
	if d.SourceType != types.ExportSourceTypeCluster || !d.SnapshotTime.Equal(w.clock.Now().Add(-5*time.Minute)) || w.heard() != "0236" {
		t.Errorf("it is %+v, and events were %s", d, w.heard())
	}
}

func TestExportFailsAndIsCanceled(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	w.broken = "The export failed: something broke"
	w.start(request("job", arn))
	w.clock.advance(t, 10*time.Minute)
	if d := w.task("job", "FAILED"); *d.FailureCause != w.broken || d.TaskEndTime == nil {
		t.Errorf("it failed as %+v", d)
	}
	w.start(request("again", arn))
	if _, err := w.client().CancelExportTask(t.Context(), &sdk.CancelExportTaskInput{ExportTaskIdentifier: aws.String("again")}); err != nil {
		t.Fatal(err)
	}
	w.task("again", "CANCELED")
	if got := w.heard(); got != "0074 0075 0162 0163" {
		t.Errorf("heard %s", got)
	}
	for id, code := range map[string]string{"again": "InvalidExportTaskStateFault", "never": "ExportTaskNotFound"} {
		_, err := w.client().CancelExportTask(t.Context(), &sdk.CancelExportTaskInput{ExportTaskIdentifier: &id})
		refused(t, id, err, code, id)
	}
	w.start(request("third", arn)) // what has ended keeps nobody from another
}

func TestSixthExportIsOneTooMany(t *testing.T) {
	w := start(t)
	for i := range 5 {
		w.start(request(fmt.Sprintf("job-%d", i), w.snapshot(fmt.Sprintf("s%d", i))))
	}
	sixth := w.snapshot("s5")
	_, err := w.client().StartExportTask(t.Context(), request("job-5", sixth))
	refused(t, "a sixth", err, "ExportTaskLimitReachedFault", "5")
	_, err = w.client().CancelExportTask(t.Context(), &sdk.CancelExportTaskInput{ExportTaskIdentifier: aws.String("job-2")})
	w.must(err)
	w.task("job-2", "CANCELED")
	w.start(request("job-5", sixth))
}

func TestExportsAreRefusedAsByTheService(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	shared, err := w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "theirs", SourceARN: source, Owner: "444455556666"})
	w.must(err)
	creating, err := w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "soon", SourceARN: source, Creating: time.Hour})
	w.must(err)
	busy := w.snapshot("busy")
	w.start(request("taken", busy))
	w.must(w.judge.AddRole("arn:aws:iam::111122223333:role/weak", policy(writes[:2]...), trusts("export.rds.amazonaws.com")))
	set := func(change func(*sdk.StartExportTaskInput)) *sdk.StartExportTaskInput {
		in := request("job", arn)
		change(in)
		return in
	}
	for what, c := range map[string]struct {
		in         *sdk.StartExportTaskInput
		code, text string
	}{
		"an id with an underscore":  {request("a_b", arn), "InvalidParameterValue", "ExportTaskIdentifier is not a valid identifier"},
		"an id with two hyphens":    {request("a--b", arn), "InvalidParameterValue", "consecutive hyphens"},
		"an id that is too long":    {request(strings.Repeat("a", 61), arn), "InvalidParameterValue", "identifier"},
		"an id that is taken":       {request("taken", arn), "ExportTaskAlreadyExists", "taken"},
		"a prefix with a colon":     {set(func(in *sdk.StartExportTaskInput) { in.S3Prefix = aws.String("p:q") }), "InvalidParameterValue", "colon"},
		"a part with a hyphen":      {set(func(in *sdk.StartExportTaskInput) { in.ExportOnly = []string{"app.public", "a-b"} }), "InvalidExportOnly", "a-b"},
		"too many parts":            {set(func(in *sdk.StartExportTaskInput) { in.ExportOnly = []string{strings.Repeat("a", 200_001)} }), "InvalidExportOnly", "200000"},
		"no such snapshot":          {request("job", arn+"-x"), "DBClusterSnapshotNotFoundFault", "nightly-x"},
		"no such DB snapshot":       {request("job", strings.Replace(arn, "cluster-", "", 1)), "DBSnapshotNotFound", "nightly"},
		"no such cluster":           {request("job", source+"-x"), "DBClusterNotFoundFault", "storefront-x"},
		"a snapshot that is shared": {request("job", shared), "InvalidExportSourceState", "444455556666"},
		"a snapshot too early":      {request("job", creating), "InvalidExportSourceState", "creating"},
		"a source that is exported": {request("job", busy), "InvalidExportSourceState", "taken"},
		"no such bucket":            {set(func(in *sdk.StartExportTaskInput) { in.S3BucketName = aws.String("nowhere") }), "InvalidS3BucketFault", "nowhere"},
		"a bucket elsewhere":        {set(func(in *sdk.StartExportTaskInput) { in.S3BucketName = aws.String("abroad") }), "InvalidS3BucketFault", "eu-central-1"},
		"another key":               {set(func(in *sdk.StartExportTaskInput) { in.KmsKeyId = aws.String(key + "2") }), "KMSKeyNotAccessibleFault", "kms:DescribeKey"},
		"a role that is not":        {set(func(in *sdk.StartExportTaskInput) { in.IamRoleArn = aws.String(writer + "-x") }), "IamRoleNotFound", "writer-x"},
		"a role that trusts others": {set(func(in *sdk.StartExportTaskInput) { in.IamRoleArn = aws.String(stranger) }), "IamRoleMissingPermissions", "sts:AssumeRole"},
		"a role that may not":       {set(func(in *sdk.StartExportTaskInput) { in.IamRoleArn = aws.String("arn:aws:iam::111122223333:role/weak") }), "IamRoleMissingPermissions", "s3:ListBucket"},
		"a place it may not write":  {set(func(in *sdk.StartExportTaskInput) { in.S3Prefix = aws.String("q") }), "IamRoleMissingPermissions", "s3:PutObject"},
	} {
		_, err := w.client().StartExportTask(t.Context(), c.in)
		refused(t, what, err, c.code, c.text)
	}
	if err := w.gateway.Err(); err != nil {
		t.Error(err)
	}
}

// TestCallerNeedsTheRightsOfStarting takes every right away in turn.
func TestCallerNeedsTheRightsOfStarting(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	for i, lacking := range []string{"rds:StartExportTask", "iam:PassRole", "kms:DescribeKey", "kms:CreateGrant"} {
		role := fmt.Sprintf("%s-%d", caller, i)
		var rights []string
		for _, r := range [][2]string{{"rds:StartExportTask", arn}, {"iam:PassRole", writer}, {"kms:DescribeKey", key}, {"kms:CreateGrant", key}} {
			if r[0] != lacking {
				rights = append(rights, r[0], r[1])
			}
		}
		w.must(w.judge.AddRole(role, policy(rights...), trusts("lambda.amazonaws.com")))
		k := w.gateway.Issue(role, nil)
		client := sdk.New(sdk.Options{Region: region, BaseEndpoint: aws.String(w.gateway.URL()), Retryer: aws.NopRetryer{}, Credentials: credentials(k)})
		_, err := client.StartExportTask(t.Context(), request("job", arn))
		code := "AccessDenied"
		if strings.HasPrefix(lacking, "kms:") {
			code = "KMSKeyNotAccessibleFault"
		}
		refused(t, "without "+lacking, err, code, lacking)
	}
}

// TestBucketsPolicyIsAskedToo: it may deny what the role's own policy allows, and
// sees how objects are encrypted.
func TestBucketsPolicyIsAskedToo(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	deny := func(condition any) any {
		return map[string]any{"Statement": map[string]any{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::exports/*", "Condition": condition}}
	}
	w.must(w.judge.AddResource("arn:aws:s3:::exports", "", deny(map[string]any{"StringNotEquals": map[string]any{"s3:x-amz-server-side-encryption-aws-kms-key-id": key}})))
	w.start(request("job", arn))
	w.clock.advance(t, 10*time.Minute)
	w.task("job", "IN_PROGRESS")
	w.clock.advance(t, 5*time.Minute)
	w.task("job", "COMPLETE")
	w.must(w.judge.AddResource("arn:aws:s3:::exports", "", deny(map[string]any{"Bool": map[string]any{"aws:SecureTransport": "true"}})))
	_, err := w.client().StartExportTask(t.Context(), request("again", arn))
	refused(t, "what the bucket denies", err, "IamRoleMissingPermissions", "explicit deny in the resource-based policy")
}

// TestRightsThatAreTakenAwayFailTheExport: they are asked for with every object.
func TestRightsThatAreTakenAwayFailTheExport(t *testing.T) {
	w := start(t)
	w.start(request("job", w.snapshot("nightly")))
	w.must(w.judge.AddRole(writer, policy("s3:ListBucket", "arn:aws:s3:::exports"), trusts("export.rds.amazonaws.com")))
	w.clock.advance(t, 10*time.Minute)
	if d := w.task("job", "FAILED"); !strings.Contains(*d.FailureCause, "s3:PutObject") {
		t.Errorf("it failed of %s", *d.FailureCause)
	}
}

// TestLostReplyLeavesAnExport: the same request again says that it exists.
func TestLostReplyLeavesAnExport(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	w.fault(func(c gateway.Call) gateway.Fault {
		if c.Action == "rds:StartExportTask" {
			return gateway.Lose
		}
		return gateway.None
	})
	if _, err := w.client().StartExportTask(t.Context(), request("job", arn)); err == nil {
		t.Fatal("the reply was not lost")
	}
	w.fault(nil)
	_, err := w.client().StartExportTask(t.Context(), request("job", arn))
	refused(t, "again", err, "ExportTaskAlreadyExists", "job")
	var exists *types.ExportTaskAlreadyExistsFault
	if !errors.As(err, &exists) {
		t.Errorf("%v has no type", err)
	}
}

func TestExportsAreListed(t *testing.T) {
	w := start(t)
	for i := range 25 {
		id := fmt.Sprintf("job-%d", i)
		w.start(request(id, w.snapshot(fmt.Sprintf("s%d", i))))
		_, err := w.client().CancelExportTask(t.Context(), &sdk.CancelExportTaskInput{ExportTaskIdentifier: &id})
		w.must(err)
		w.task(id, "CANCELED")
	}
	w.start(request("last", w.snapshot("last")))
	filter := func(name string, values ...string) []types.Filter {
		return []types.Filter{{Name: &name, Values: values}}
	}
	for what, c := range map[string]struct {
		in   sdk.DescribeExportTasksInput
		want int
	}{
		"all":         {sdk.DescribeExportTasksInput{}, 26},
		"by status":   {sdk.DescribeExportTasksInput{Filters: filter("status", "starting")}, 1},
		"by statuses": {sdk.DescribeExportTasksInput{Filters: filter("status", "starting", "canceled")}, 26},
		"by bucket":   {sdk.DescribeExportTasksInput{Filters: filter("s3-bucket", "other")}, 0},
		"by source":   {sdk.DescribeExportTasksInput{SourceArn: aws.String("arn:aws:rds:us-east-1:111122223333:cluster-snapshot:s3")}, 1},
		"by type":     {sdk.DescribeExportTasksInput{SourceType: types.ExportSourceTypeCluster}, 0},
	} {
		n, pages := 0, 0
		c.in.MaxRecords = aws.Int32(20)
		p := sdk.NewDescribeExportTasksPaginator(w.client(), &c.in)
		for p.HasMorePages() {
			out, err := p.NextPage(t.Context())
			w.must(err)
			n += len(out.ExportTasks)
			pages++
		}
		if n != c.want || pages != max(1, (n+19)/20) {
			t.Errorf("%s: %d exports on %d pages, want %d", what, n, pages, c.want)
		}
	}
	_, err := w.client().DescribeExportTasks(t.Context(), &sdk.DescribeExportTasksInput{ExportTaskIdentifier: aws.String("never")})
	refused(t, "an unknown one", err, "ExportTaskNotFound", "never")
	_, err = w.client().DescribeExportTasks(t.Context(), &sdk.DescribeExportTasksInput{Filters: filter("colour", "red")})
	refused(t, "an unknown filter", err, "InvalidParameterValue", "colour")
	_, err = w.client().DescribeExportTasks(t.Context(), &sdk.DescribeExportTasksInput{MaxRecords: aws.Int32(5)})
	refused(t, "too short a page", err, "InvalidParameterValue", "20")
}
