package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

// Where the functions keep what they hand on, under snapshots/<load id>/; see migrate.
const (
	snapshotExport     = snapshotsPrefix + "*/export.json"
	snapshotCatalog    = snapshotsPrefix + "*/catalog.json"
	snapshotPlan       = snapshotsPrefix + "*/plan.json"
	snapshotAssessment = snapshotsPrefix + "*/assessment.json"
	snapshotItems      = snapshotsPrefix + "*/items.jsonl"
	snapshotSegments   = snapshotsPrefix + "*/segments/*"
	snapshotEvidence   = snapshotsPrefix + "*/evidence/*"
	snapshotQuarantine = snapshotsPrefix + "*/quarantine/*"
	snapshotRefused    = snapshotsPrefix + "*/quarantine/rows/*"
	snapshotTasks      = snapshotsPrefix + "*/tasks/*"
	snapshotResults    = snapshotsPrefix + "*/results/*"
	snapshotVerdict    = snapshotsPrefix + "*/verdict.json"
	snapshotProfile    = snapshotsPrefix + "*/profile.json"
	snapshotReport     = snapshotsPrefix + "*/report.json"
	snapshotReportPage = snapshotsPrefix + "*/report.html"

	snapshotParts   = partsPrefix + "*.json"     // what parts hold
	snapshotRepairs = partsPrefix + "*/repair/*" // rows that are put right

	targetProfile = profilesPrefix + "target.json" // what the target can do
)

// snapshotGrants are the permissions of SnapshotLoad's functions, one method a
// function.
type snapshotGrants struct {
	grants
	stack   awscdk.Stack
	role    awsiam.Role // that RDS writes exports with
	cluster string      // ARN of the target
}

// exportRole makes the role that RDS writes exports with (Aurora User Guide,
// exporting snapshots, access to the bucket; its statement's patterns are written
// out).
func (g snapshotGrants) exportRole() awsiam.Role {
	role := awsiam.NewRole(g.stack, jsii.String("RdsExportRole"), &awsiam.RoleProps{
		Description: jsii.String("RDS writes exports of snapshots with it"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("export.rds.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *g.stack.Account()}},
		}),
	})
	objects := *g.data.Exports.ArnForObjects(jsii.String("*"))
	allow(role, []string{"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}, objects)
	allow(role, []string{"s3:GetBucketLocation", "s3:ListBucket"}, *g.data.Exports.BucketArn())
	suppress(role, "AwsSolutions-IAM5", "RDS names the objects of an export; the bucket holds nothing else", "/^Resource::<Exports.*>/\\*$|^Resource::.*Exports.*/\\*$/")
	return role
}

func (g snapshotGrants) trigger(r awsiam.Role, machine string) {
	g.describeSnapshots(r)
	for _, arn := range g.snapshotARNs() {
		allow(r, []string{"rds:ListTagsForResource"}, arn)
	}
	allow(r, []string{"states:StartExecution"}, machine)
}

func (g snapshotGrants) preflight(r awsiam.Role) {
	g.describeSnapshots(r)
	g.readWork(r, mappingsPrefix+"*")
}

// probe asks the target what it can do: of Aurora DSQL it tries it as the
// administrator, who alone may make a schema to try it in.
func (g snapshotGrants) probe(r awsiam.Role) {
	if g.e.Snapshot.Target == config.TargetDSQL {
		allow(r, []string{"dsql:DbConnectAdmin"}, g.cluster)
	} else {
		allow(r, []string{"rds:DescribeDBClusters"}, g.cluster)
	}
	g.listWork(r, targetProfile)
	g.readWork(r, targetProfile)
	g.writeWork(r, targetProfile)
}

// export begins exports, which RDS writes with the role that is passed to it and
// encrypts by a grant on the key.
func (g snapshotGrants) export(r awsiam.Role) {
	if len(g.e.Snapshot.Sources) > 0 {
		allow(r, []string{"rds:StartExportTask"}, "*")
		allow(r, []string{"rds:DescribeExportTasks"}, "*")
		suppress(r, "AwsSolutions-IAM5", "export tasks have no resources to name", "Resource::*")
		allowIf(r, object{"StringEquals": object{"iam:PassedToService": "export.rds.amazonaws.com"}}, []string{"iam:PassRole"}, *g.role.RoleArn())
		allowIf(r, object{"Bool": object{"kms:GrantIsForAWSResource": "true"}}, []string{"kms:CreateGrant"}, *g.data.Key.KeyArn())
		allow(r, []string{"kms:DescribeKey"}, *g.data.Key.KeyArn())
	}
	g.listExports(r)
	g.readExports(r)
	g.listWork(r, snapshotExport)
	g.readWork(r, snapshotExport)
	g.writeWork(r, snapshotExport)
}

func (g snapshotGrants) catalogue(r awsiam.Role) {
	for _, x := range g.e.Snapshot.Sources {
		if x.SecretARN == "" {
			continue
		}
		// One transaction, which is rolled back: all that is read is of one moment.
		allow(r, []string{"rds-data:BeginTransaction", "rds-data:ExecuteStatement", "rds-data:RollbackTransaction"}, x.ARN)
		allow(r, []string{"secretsmanager:GetSecretValue"}, x.SecretARN)
		if x.KeyARN != "" {
			allow(r, []string{"kms:Decrypt"}, x.KeyARN)
		}
	}
	g.listWork(r, snapshotCatalog)
	g.readWork(r, mappingsPrefix+"*", snapshotCatalog)
	g.writeWork(r, snapshotCatalog)
}

func (g snapshotGrants) plan(r awsiam.Role) {
	g.listExports(r)
	g.readExports(r)
	g.listWork(r, snapshotCatalog, snapshotProfile, targetProfile)
	g.readWork(r, mappingsPrefix+"*", snapshotExport, snapshotCatalog, snapshotProfile, targetProfile)
	g.writeWork(r, snapshotPlan, snapshotItems, snapshotProfile, snapshotAssessment, snapshotsPrefix+"*/assessment.html", snapshotsPrefix+"*/keys.sql")
}

func (g snapshotGrants) load(r awsiam.Role) {
	g.readExports(r)
	g.readWork(r, snapshotPlan)
	g.writeWork(r, snapshotSegments, snapshotQuarantine)
	if g.e.Snapshot.Target == config.TargetDSQL {
		g.loader(r)
		return
	}
	// A call goes on behind the parts that another wrote.
	g.listWork(r, partsPrefix+"*")
	g.readWork(r, snapshotParts)
	g.writeWork(r, partsPrefix+"*")
}

func (g snapshotGrants) evidence(r awsiam.Role) {
	g.readExports(r)
	g.readWork(r, snapshotPlan)
	g.writeWork(r, snapshotEvidence)
}

// phase reads rows of the export again that were refused, or that differ.
func (g snapshotGrants) phase(r awsiam.Role) {
	g.readExports(r)
	g.listWork(r, snapshotTasks, snapshotVerdict)
	g.readWork(r, snapshotPlan, snapshotAssessment, snapshotItems, snapshotSegments, snapshotEvidence, snapshotTasks, snapshotVerdict)
	g.writeWork(r, snapshotTasks, snapshotVerdict, snapshotRepairs, snapshotReport, snapshotReportPage) // the report of a load that differs
	if g.e.Snapshot.Target == config.TargetAurora {
		g.listWork(r, partsPrefix+"*", snapshotRefused)
		g.readWork(r, snapshotParts, snapshotRefused)
	}
	g.loader(r)
}

func (g snapshotGrants) task(r awsiam.Role) {
	g.readWork(r, snapshotPlan)
	g.writeWork(r, snapshotQuarantine)
	if g.e.Snapshot.Target == config.TargetDSQL {
		g.readWork(r, snapshotEvidence, snapshotRepairs) // it goes on behind what another call digested
		g.writeWork(r, snapshotEvidence)
	}
	g.loader(r)
}

func (g snapshotGrants) report(r awsiam.Role) {
	g.listWork(r, snapshotTasks)
	g.readWork(r, snapshotPlan, snapshotAssessment, snapshotSegments, snapshotEvidence, snapshotTasks, snapshotVerdict)
	g.writeWork(r, snapshotReport, snapshotReportPage)
}

// prepare acts as the database's administrator.
func (g snapshotGrants) prepare(r awsiam.Role) {
	if g.e.Snapshot.Target == config.TargetDSQL {
		allow(r, []string{"dsql:DbConnectAdmin"}, g.cluster)
		return
	}
	g.database(r, g.target.AdminSecret, g.target.LoaderSecret)
}

// loader lets a role act as the role that loads.
func (g snapshotGrants) loader(r awsiam.Role) {
	if g.e.Snapshot.Target == config.TargetDSQL {
		allow(r, []string{"dsql:DbConnect"}, g.cluster)
		return
	}
	g.database(r, g.target.LoaderSecret)
}

// describeSnapshots lets a role look at the sources' snapshots.
func (g snapshotGrants) describeSnapshots(r awsiam.Role) {
	for _, arn := range g.snapshotARNs() {
		suppress(r, "AwsSolutions-IAM5", "a snapshot's name is its maker's choice", "Resource::"+arn)
	}
	for _, x := range g.e.Snapshot.Sources {
		of := snapshotsOf[sourceRule.FindStringSubmatch(x.ARN)[3]]
		allow(r, []string{map[string]string{"cluster-snapshot": "rds:DescribeDBClusterSnapshots", "snapshot": "rds:DescribeDBSnapshots"}[of]}, x.ARN, snapshotARN(x))
	}
}

// listExports lets a role list the places that exports lie in: our bucket, and
// those that the environment names.
func (g snapshotGrants) listExports(r awsiam.Role) {
	g.listArchives(r, g.e.Snapshot.Exports)
	allow(r, []string{"s3:ListBucket"}, *g.data.Exports.BucketArn())
}

func (g snapshotGrants) readExports(r awsiam.Role) {
	g.readArchives(r, g.e.Snapshot.Exports)
	allow(r, []string{"s3:GetObject"}, *g.data.Exports.ArnForObjects(jsii.String("*")))
	allow(r, []string{"kms:Decrypt"}, *g.data.Key.KeyArn())
	suppress(r, "AwsSolutions-IAM5", "RDS names the objects of an export; the bucket holds nothing else", "/^Resource::.*Exports.*/\\*$/")
}
