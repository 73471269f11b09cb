package local_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"godwit/internal/local"
	"godwit/internal/local/asl"
	"godwit/internal/local/events"
	"godwit/internal/local/s3"
	"godwit/internal/local/source"
)

// exportTag has a snapshot exported and loaded.
var exportTag = map[string]string{"godwit": "export"}

// openTarget starts the stacks of the snapshot route into a target.
func openTarget(t testing.TB, target string, o local.Options) *local.Cloud {
	t.Helper()
	o.Assembly = assemblyOf(t, map[string]string{"aurora": "cdk.out.snapshot", "dsql": "cdk.out.snapshot-dsql"}[target])
	c, err := local.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// startStorefront starts the stacks of the snapshot route into a target, and a
// storefront.
func startStorefront(t *testing.T, target string, o local.Options) (*local.Cloud, *local.Storefront) {
	t.Helper()
	return startStorefrontWith(t, target, o, local.StorefrontOptions{Rows: 500, Seed: 1})
}

func startStorefrontWith(t *testing.T, target string, o local.Options, with local.StorefrontOptions) (*local.Cloud, *local.Storefront) {
	t.Helper()
	c := openTarget(t, target, o)
	if err := c.S3.Put(workBucket(t, c), "mappings/storefront.json", source.StorefrontRules, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenStorefront(t.Context(), with)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return c, s
}

// loads are the names of SnapshotLoad's executions so far.
func loads(t *testing.T, c *local.Cloud) (names []string) {
	t.Helper()
	if err := c.Events.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := c.Machine("SnapshotLoad")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range c.States.Executions(m.ARN) {
		names = append(names, x.Name)
	}
	return names
}

// TestSnapshotStartsItsLoadOnce: an event does, told twice or by a sweep as well,
// and a sweep alone where the event was lost.
func TestSnapshotStartsItsLoadOnce(t *testing.T) {
	for name, fault := range map[string]events.Fault{"told": events.None, "told twice": events.Double, "not told": events.Drop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := &asl.FastClock{}
			c, s := startStorefront(t, "aurora", local.Options{Clock: clock, Events: local.EventOptions{Fault: func(events.Event) events.Fault { return fault }}})
			if _, err := s.Snapshot(t.Context(), "untagged", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Snapshot(t.Context(), "nightly", exportTag); err != nil {
				t.Fatal(err)
			}
			want := 1
			if fault == events.Drop {
				want = 0
			}
			if got := loads(t, c); len(got) != want {
				t.Errorf("events started %v, want %d", got, want)
			}
			for range 2 {
				clock.Advance(15 * time.Minute)
				c.Events.Tick()
				if got := loads(t, c); len(got) != 1 || !strings.HasPrefix(got[0], "nightly-") {
					t.Errorf("behind a sweep there are %v", got)
				}
			}
			for _, d := range c.Events.Deliveries() {
				if d.Outcome != events.Delivered {
					t.Errorf("delivery %+v", d)
				}
			}
			if err := c.Gateway.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStorefrontIsExportedWithTheStacksRights: the load that an event started has
// RDS write the export, whose role, key and bucket the stacks give.
func TestStorefrontIsExportedWithTheStacksRights(t *testing.T) {
	t.Parallel()
	c, s := startStorefront(t, "aurora", local.Options{})
	arn, err := s.Snapshot(t.Context(), "nightly", exportTag)
	if err != nil {
		t.Fatal(err)
	}
	if got := loads(t, c); len(got) != 1 {
		t.Fatalf("events started %v", got)
	}
	k := c.Gateway.Root()
	client := rds.New(rds.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.Gateway.URL()), Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, ""),
	})
	for range 3000 {
		out, err := client.DescribeExportTasks(t.Context(), &rds.DescribeExportTasksInput{SourceArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.ExportTasks) == 1 {
			x := out.ExportTasks[0]
			switch *x.Status {
			case "COMPLETE":
				if aws.ToString(x.WarningMessage) != "" {
					t.Errorf("it warns: %s", *x.WarningMessage)
				}
				objects, err := c.S3.List(*x.S3Bucket, aws.ToString(x.S3Prefix))
				if err != nil || len(objects) < 2*13 {
					t.Errorf("%d objects, %v", len(objects), err)
				}
				return
			case "FAILED":
				t.Fatal(*x.FailureCause)
			}
		}
		if err := c.Gateway.Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("no export of the snapshot ends")
}
