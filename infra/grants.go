package main

import (
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// Where the functions keep what they hand on, under loads/<load id>/; see migrate.
const (
	planFile   = loadsPrefix + "*/plan.json"
	itemsFile  = loadsPrefix + "*/items.jsonl"
	segments   = loadsPrefix + "*/segments/*"
	quarantine = loadsPrefix + "*/quarantine/*"
	counts     = loadsPrefix + "*/counts/*"
	tasks      = loadsPrefix + "*/tasks/*"
	results    = loadsPrefix + "*/results/*"
	surveyPlan = loadsPrefix + "*/survey/plan.json"
	survey     = loadsPrefix + "*/survey/*"
	estimate   = loadsPrefix + "*/estimate.json"
	evidence   = loadsPrefix + "*/evidence.json"
	proof      = loadsPrefix + "*/proof.json"
	hashes     = loadsPrefix + "*/hashes/*"
	newHashes  = partsPrefix + "*/hashes/*" // of blocks, as segments leave them
	types      = loadsPrefix + "*/types.json"
)

// grants are the permissions of the ledger route's functions, one method a
// function. They are written out and not taken from the constructs' grant
// methods, which grant action patterns such as s3:GetObject*.
type grants struct {
	e         Environment
	data      *DataStack
	target    *TargetStack
	partition string
}

func (g grants) preflight(r awsiam.Role) {
	g.listArchives(r, g.e.Archives)
	g.readArchives(r, g.e.Archives)
	allow(r, []string{"rds:DescribeDBClusters"}, g.target.ClusterARN)
}

func (g grants) prepare(r awsiam.Role) {
	g.database(r, g.target.AdminSecret, g.target.LoaderSecret)
}

func (g grants) plan(r awsiam.Role) {
	g.listArchives(r, g.e.Archives)
	g.readArchives(r, g.e.Archives)
	g.readWork(r, mappingsPrefix+"*")
	g.writeWork(r, planFile, itemsFile, evidence, surveyPlan)
	g.database(r, g.target.LoaderSecret)
}

func (g grants) typing(r awsiam.Role) {
	g.readArchives(r, g.e.Archives)
	g.readWork(r, planFile, surveyPlan, itemsFile)
	g.writeWork(r, types)
}

func (g grants) transform(r awsiam.Role) {
	g.readArchives(r, g.e.Archives)
	g.readWork(r, planFile, types)
	g.writeWork(r, segments, quarantine, partsPrefix+"*")
}

func (g grants) count(r awsiam.Role) {
	g.readArchives(r, g.e.Archives)
	g.readWork(r, planFile)
	g.writeWork(r, counts)
}

func (g grants) survey(r awsiam.Role) {
	g.readArchives(r, g.e.Archives)
	g.readWork(r, survey, types)
	g.writeWork(r, survey)
}

func (g grants) phase(r awsiam.Role) {
	g.listWork(r, segments)
	g.readWork(r, planFile, segments, counts, evidence, newHashes)
	g.writeWork(r, tasks, proof, hashes)
	g.database(r, g.target.LoaderSecret)
}

// task reads no object: the cluster reads the parts with its own role.
func (g grants) task(r awsiam.Role) {
	g.database(r, g.target.LoaderSecret)
}

func (g grants) report(r awsiam.Role) {
	g.listWork(r, segments, estimate)
	g.readWork(r, planFile, segments, counts, quarantine, survey, estimate, proof, types)
	g.writeWork(r, loadsPrefix+"*/report.json", loadsPrefix+"*/report.html", estimate,
		loadsPrefix+"*/plan-report.json", loadsPrefix+"*/plan-report.html", loadsPrefix+"*/mapping-draft.json")
	g.database(r, g.target.LoaderSecret)
}

// proveRow reads no part and no list of the archive: the row and the load's plan
// name the one object.
func (g grants) proveRow(r awsiam.Role) {
	g.readArchives(r, g.e.Archives)
	g.readWork(r, planFile, itemsFile, evidence, types, hashes)
	g.writeWork(r, receiptsPrefix+"*")
	g.database(r, g.target.LoaderSecret)
}

// listArchives lets a role list archives, and nothing beside them.
func (g grants) listArchives(r awsiam.Role, archives []Archive) {
	for _, a := range archives {
		if a.Prefix == "" {
			allow(r, []string{"s3:ListBucket"}, g.bucket(a))
		} else {
			allowIf(r, object{"StringLike": object{"s3:prefix": a.Prefix + "*"}}, []string{"s3:ListBucket"}, g.bucket(a))
		}
	}
}

// readArchives lets a role read the objects of archives.
func (g grants) readArchives(r awsiam.Role, archives []Archive) {
	for _, a := range archives {
		g.allowBelow(r, a, "*", "s3:GetObject")
		if a.KMSKeyARN != "" {
			allow(r, []string{"kms:Decrypt"}, a.KMSKeyARN)
		}
	}
}

// allowBelow allows actions on the objects of an archive whose names, below its
// prefix, are like a pattern.
func (g grants) allowBelow(r awsiam.Role, a Archive, pattern string, actions ...string) {
	allow(r, actions, g.bucket(a)+"/"+a.Prefix+pattern)
	suppress(r, "AwsSolutions-IAM5", "an archive is a prefix; its objects are named by QLDB",
		"/^Resource::arn:.*:s3:::"+regexp.QuoteMeta(a.Bucket+"/"+a.Prefix+pattern)+"$/")
}

func (g grants) bucket(a Archive) string { return "arn:" + g.partition + ":s3:::" + a.Bucket }

func (g grants) listWork(r awsiam.Role, prefixes ...string) {
	allowIf(r, object{"StringLike": object{"s3:prefix": prefixes}}, []string{"s3:ListBucket"}, *g.data.Work.BucketArn())
}

func (g grants) readWork(r awsiam.Role, patterns ...string) {
	allow(r, []string{"s3:GetObject"}, g.workObjects(r, patterns...)...)
	allow(r, []string{"kms:Decrypt"}, *g.data.Key.KeyArn())
}

func (g grants) writeWork(r awsiam.Role, patterns ...string) {
	allow(r, []string{"s3:PutObject"}, g.workObjects(r, patterns...)...)
	allow(r, []string{"kms:GenerateDataKey"}, *g.data.Key.KeyArn())
}

func (g grants) workObjects(r awsiam.Role, patterns ...string) []string {
	arns := make([]string, len(patterns))
	for i, p := range patterns {
		arns[i] = *g.data.Work.ArnForObjects(jsii.String(p))
	}
	for _, p := range patterns {
		suppress(r, "AwsSolutions-IAM5", "names of objects hold the run's id; the folder is named", "/^Resource::.*/"+regexp.QuoteMeta(p)+"$/")
	}
	return arns
}

// database lets a role run statements through the Data API with secrets, which
// the service fetches as the caller. No function opens a transaction that spans
// calls.
func (g grants) database(r awsiam.Role, secrets ...Secret) {
	allow(r, []string{"rds-data:ExecuteStatement"}, g.target.ClusterARN)
	for _, s := range secrets {
		allow(r, []string{"secretsmanager:GetSecretValue"}, s.ARN)
		if s.KeyARN != "" {
			allow(r, []string{"kms:Decrypt"}, s.KeyARN)
		}
	}
}
