package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"godwit/internal/change"
)

// Snapshots returns the snapshots of a cluster or DB instance, by its ARN, of
// all types but those that other accounts share.
func (c *RDS) Snapshots(ctx context.Context, source string) ([]change.DBSnapshot, error) {
	part := strings.SplitN(source, ":", 7)
	var list []change.DBSnapshot
	switch {
	case len(part) == 7 && part[5] == "cluster":
		pages := rds.NewDescribeDBClusterSnapshotsPaginator(c.API, &rds.DescribeDBClusterSnapshotsInput{DBClusterIdentifier: aws.String(part[6])})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("describe the snapshots of %s: %w", source, err)
			}
			for _, s := range page.DBClusterSnapshots {
				list = append(list, clusterSnapshot(s))
			}
		}
	case len(part) == 7 && part[5] == "db":
		pages := rds.NewDescribeDBSnapshotsPaginator(c.API, &rds.DescribeDBSnapshotsInput{DBInstanceIdentifier: aws.String(part[6])})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("describe the snapshots of %s: %w", source, err)
			}
			for _, s := range page.DBSnapshots {
				list = append(list, instanceSnapshot(s))
			}
		}
	default:
		return nil, fmt.Errorf("%q is not the ARN of a database cluster or DB instance", source)
	}
	return list, nil
}

// Snapshot returns the snapshot of an ARN.
func (c *RDS) Snapshot(ctx context.Context, arn string) (change.DBSnapshot, error) {
	part := strings.SplitN(arn, ":", 7)
	var list []change.DBSnapshot
	switch {
	case len(part) == 7 && part[5] == "cluster-snapshot":
		out, err := c.API.DescribeDBClusterSnapshots(ctx, &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: aws.String(arn), SnapshotType: automated(part[6])})
		if err != nil {
			return change.DBSnapshot{}, fmt.Errorf("describe snapshot %s: %w", arn, err)
		}
		for _, s := range out.DBClusterSnapshots {
			list = append(list, clusterSnapshot(s))
		}
	case len(part) == 7 && part[5] == "snapshot":
		out, err := c.API.DescribeDBSnapshots(ctx, &rds.DescribeDBSnapshotsInput{DBSnapshotIdentifier: aws.String(arn), SnapshotType: automated(part[6])})
		if err != nil {
			return change.DBSnapshot{}, fmt.Errorf("describe snapshot %s: %w", arn, err)
		}
		for _, s := range out.DBSnapshots {
			list = append(list, instanceSnapshot(s))
		}
	default:
		return change.DBSnapshot{}, fmt.Errorf("%q is not the ARN of a snapshot", arn)
	}
	if len(list) != 1 {
		return change.DBSnapshot{}, fmt.Errorf("describe snapshot %s: %d snapshots answer to it", arn, len(list))
	}
	return list[0], nil
}

// automated is the type that RDS wants to be told with the name of an automated
// snapshot, which begins with rds:; nil is every type.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBClusterSnapshots.html
func automated(id string) *string {
	if strings.HasPrefix(id, "rds:") {
		return aws.String("automated")
	}
	return nil
}

func clusterSnapshot(s types.DBClusterSnapshot) change.DBSnapshot {
	return change.DBSnapshot{
		ARN: aws.ToString(s.DBClusterSnapshotArn), Source: aws.ToString(s.DBClusterIdentifier), Cluster: true,
		Type: aws.ToString(s.SnapshotType), Engine: aws.ToString(s.Engine), Status: aws.ToString(s.Status),
		GiB: int64(aws.ToInt32(s.AllocatedStorage)), Encrypted: aws.ToBool(s.StorageEncrypted), KeyARN: aws.ToString(s.KmsKeyId),
		Created: aws.ToTime(s.SnapshotCreateTime),
	}
}

func instanceSnapshot(s types.DBSnapshot) change.DBSnapshot {
	return change.DBSnapshot{
		ARN: aws.ToString(s.DBSnapshotArn), Source: aws.ToString(s.DBInstanceIdentifier),
		Type: aws.ToString(s.SnapshotType), Engine: aws.ToString(s.Engine), Status: aws.ToString(s.Status),
		GiB: int64(aws.ToInt32(s.AllocatedStorage)), Encrypted: aws.ToBool(s.Encrypted), KeyARN: aws.ToString(s.KmsKeyId),
		Created: aws.ToTime(s.SnapshotCreateTime),
	}
}

// Tag returns the value of a tag of a snapshot, "" where it has none of the name.
func (c *RDS) Tag(ctx context.Context, arn, name string) (string, error) {
	out, err := c.API.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: aws.String(arn)})
	if err != nil {
		return "", fmt.Errorf("list the tags of %s: %w", arn, err)
	}
	for _, t := range out.TagList {
		if aws.ToString(t.Key) == name {
			return aws.ToString(t.Value), nil
		}
	}
	return "", nil
}

// StartExport begins an export. An order whose task exists already is an error
// with the code ExportTaskAlreadyExists; RDS checks role, bucket and key before
// it bills anything.
func (c *RDS) StartExport(ctx context.Context, o change.ExportOrder) error {
	in := &rds.StartExportTaskInput{
		ExportTaskIdentifier: aws.String(o.ID), SourceArn: aws.String(o.Snapshot), S3BucketName: aws.String(o.Bucket),
		IamRoleArn: aws.String(o.Role), KmsKeyId: aws.String(o.Key), ExportOnly: o.Only,
	}
	if o.Prefix != "" {
		in.S3Prefix = aws.String(o.Prefix)
	}
	if _, err := c.API.StartExportTask(ctx, in); err != nil {
		return fmt.Errorf("begin export %s of %s: %w", o.ID, o.Snapshot, err)
	}
	return nil
}

// ExportTask tells how far an export is; false where there is none of the name.
func (c *RDS) ExportTask(ctx context.Context, id string) (change.ExportTask, bool, error) {
	out, err := c.API.DescribeExportTasks(ctx, &rds.DescribeExportTasksInput{ExportTaskIdentifier: aws.String(id)})
	var none *types.ExportTaskNotFoundFault
	if errors.As(err, &none) || err == nil && len(out.ExportTasks) == 0 {
		return change.ExportTask{}, false, nil
	}
	if err != nil {
		return change.ExportTask{}, false, fmt.Errorf("describe export %s: %w", id, err)
	}
	t := out.ExportTasks[0]
	return change.ExportTask{
		ID: aws.ToString(t.ExportTaskIdentifier), Snapshot: aws.ToString(t.SourceArn), Status: aws.ToString(t.Status),
		Percent: int(aws.ToInt32(t.PercentProgress)), Cause: aws.ToString(t.FailureCause), Warning: aws.ToString(t.WarningMessage),
	}, true, nil
}

// Machines starts state machines.
type Machines struct{ API *sfn.Client }

// Start starts an execution of a name; false where one of that name was started
// before, within 90 days.
func (m *Machines) Start(ctx context.Context, machine, name, input string) (bool, error) {
	_, err := m.API.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(machine), Name: aws.String(name), Input: aws.String(input)})
	var exists *sfntypes.ExecutionAlreadyExists
	if errors.As(err, &exists) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("start execution %s of %s: %w", name, machine, err)
	}
	return true, nil
}
