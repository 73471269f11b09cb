package rds_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"godwit/internal/local/rds"
)

// several makes snapshots of every kind.
func several(w *world) {
	w.t.Helper()
	w.snapshot("nightly")
	for _, c := range []rds.Snapshot{
		{ID: "rds:storefront-2026-11-23", SourceARN: source, Tags: map[string]string{"a": "b"}},
		{ID: "theirs", SourceARN: source, Owner: "444455556666", KMSKey: "arn:aws:kms:us-east-1:444455556666:key/9", Tags: map[string]string{"godwit": "export"}},
		{ID: "other", SourceARN: source + "-2", Engine: "aurora-mysql"},
		{ID: "soon", SourceARN: source, Creating: time.Hour},
		{ID: "one", SourceARN: instance, Version: "15.4"},
	} {
		_, err := w.rds.CreateSnapshot(w.t.Context(), c)
		w.must(err)
	}
}

func TestSnapshotsAreFoundAsByTheService(t *testing.T) {
	w := start(t)
	several(w)
	filter := func(name string, values ...string) []types.Filter {
		return []types.Filter{{Name: &name, Values: values}}
	}
	for what, c := range map[string]struct {
		in   sdk.DescribeDBClusterSnapshotsInput
		want string
	}{
		"all":                     {sdk.DescribeDBClusterSnapshotsInput{}, "nightly other rds:storefront-2026-11-23 soon"},
		"with those of others":    {sdk.DescribeDBClusterSnapshotsInput{IncludeShared: aws.Bool(true)}, "nightly other rds:storefront-2026-11-23 soon theirs"},
		"shared":                  {sdk.DescribeDBClusterSnapshotsInput{SnapshotType: aws.String("shared")}, "theirs"},
		"automated":               {sdk.DescribeDBClusterSnapshotsInput{SnapshotType: aws.String("automated")}, "rds:storefront-2026-11-23"},
		"of a cluster":            {sdk.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: aws.String("storefront-2")}, "other"},
		"by id":                   {sdk.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: aws.String("NIGHTLY")}, "nightly"},
		"an automated one by id":  {sdk.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: aws.String("rds:storefront-2026-11-23"), SnapshotType: aws.String("automated")}, "rds:storefront-2026-11-23"},
		"by the cluster's ARN":    {sdk.DescribeDBClusterSnapshotsInput{Filters: filter("db-cluster-id", source+"-2")}, "other"},
		"by engine":               {sdk.DescribeDBClusterSnapshotsInput{Filters: filter("engine", "aurora-postgresql")}, "nightly rds:storefront-2026-11-23 soon"},
		"by type and cluster":     {sdk.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: aws.String("storefront"), Filters: filter("snapshot-type", "manual")}, "nightly soon"},
		"by a filter that is not": {sdk.DescribeDBClusterSnapshotsInput{Filters: filter("db-cluster-snapshot-id", "x")}, ""},
	} {
		out, err := w.client().DescribeDBClusterSnapshots(t.Context(), &c.in)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var got []string
		for _, x := range out.DBClusterSnapshots {
			got = append(got, *x.DBClusterSnapshotIdentifier)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", what, got, c.want)
		}
	}
	for what, in := range map[string]*sdk.DescribeDBClusterSnapshotsInput{
		"none":                             {DBClusterSnapshotIdentifier: aws.String("never")},
		"an automated one without saying":  {DBClusterSnapshotIdentifier: aws.String("rds:storefront-2026-11-23")},
		"one of another account":           {DBClusterSnapshotIdentifier: aws.String("theirs")},
		"a snapshot of a DB instance":      {DBClusterSnapshotIdentifier: aws.String("one")},
		"one of another type than it says": {DBClusterSnapshotIdentifier: aws.String("nightly"), SnapshotType: aws.String("automated")},
	} {
		_, err := w.client().DescribeDBClusterSnapshots(t.Context(), in)
		refused(t, what, err, "DBClusterSnapshotNotFoundFault", "not found")
	}
	_, err := w.client().DescribeDBClusterSnapshots(t.Context(), &sdk.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: aws.String("a"), DBClusterSnapshotIdentifier: aws.String("b")})
	refused(t, "both", err, "InvalidParameterCombination", "together")
	_, err = w.client().DescribeDBClusterSnapshots(t.Context(), &sdk.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: aws.String(source)})
	refused(t, "an ARN for an identifier", err, "InvalidParameterValue", source)
}

func TestSnapshotIsDescribed(t *testing.T) {
	w := start(t)
	several(w)
	out, err := w.client().DescribeDBClusterSnapshots(t.Context(), &sdk.DescribeDBClusterSnapshotsInput{IncludeShared: aws.Bool(true)})
	w.must(err)
	for _, x := range out.DBClusterSnapshots {
		switch *x.DBClusterSnapshotIdentifier {
		case "nightly":
			if *x.Status != "available" || *x.SnapshotType != "manual" || *x.Engine != "aurora-postgresql" || *x.EngineVersion != "17.9" || *x.DBClusterIdentifier != "storefront" ||
				*x.PercentProgress != 100 || !x.SnapshotCreateTime.Equal(w.clock.Now()) || len(x.TagList) != 2 || *x.TagList[0].Key != "Name" || *x.StorageEncrypted || *x.MasterUsername != w.db.Master {
				t.Errorf("described as %+v", x)
			}
		case "soon":
			if *x.Status != "creating" || *x.PercentProgress != 0 {
				t.Errorf("described as %s, %d %%", *x.Status, *x.PercentProgress)
			}
		case "theirs":
			if *x.SnapshotType != "shared" || !*x.StorageEncrypted || !strings.HasSuffix(*x.KmsKeyId, "/9") || len(x.TagList) > 0 || !strings.Contains(*x.DBClusterSnapshotArn, ":444455556666:") {
				t.Errorf("described as %+v", x)
			}
		}
	}
	db, err := w.client().DescribeDBSnapshots(t.Context(), &sdk.DescribeDBSnapshotsInput{DBInstanceIdentifier: aws.String("storefront-1")})
	w.must(err)
	if len(db.DBSnapshots) != 1 || *db.DBSnapshots[0].Engine != "postgres" || *db.DBSnapshots[0].EngineVersion != "15.4" || *db.DBSnapshots[0].DBSnapshotArn != "arn:aws:rds:us-east-1:111122223333:snapshot:one" {
		t.Errorf("got %+v", db.DBSnapshots)
	}
}

func TestTagsAreReadByTheSnapshotsARN(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	w.must(w.rds.Tag(arn, "more", "x"))
	out, err := w.client().ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceName: &arn})
	w.must(err)
	got := map[string]string{}
	for _, tag := range out.TagList {
		got[*tag.Key] = *tag.Value
	}
	if len(got) != 3 || got["godwit"] != "export" || got["more"] != "x" {
		t.Errorf("got %v", got)
	}
	_, err = w.client().ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceName: aws.String(arn + "-x")})
	refused(t, "none", err, "DBClusterSnapshotNotFoundFault", "nightly-x")
}

func TestSnapshotIsDeletedUnlessItIsExported(t *testing.T) {
	w := start(t)
	arn := w.snapshot("nightly")
	w.start(request("job", arn))
	if err := w.rds.DeleteSnapshot(arn); err == nil {
		t.Error("a snapshot is deleted while it is exported")
	}
	_, err := w.client().CancelExportTask(t.Context(), &sdk.CancelExportTaskInput{ExportTaskIdentifier: aws.String("job")})
	w.must(err)
	w.task("job", "CANCELED")
	w.must(w.rds.DeleteSnapshot(arn))
	if _, err := w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "nightly", SourceARN: source}); err != nil {
		t.Error(err)
	}
	if _, err := w.rds.CreateSnapshot(t.Context(), rds.Snapshot{ID: "nightly", SourceARN: source}); err == nil {
		t.Error("two snapshots have one identifier")
	}
}
