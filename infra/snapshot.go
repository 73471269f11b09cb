package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdsql"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"godwit/internal/config"
)

const (
	// Some calls of RDS for each snapshot of a source.
	triggerMinutes = 5
	// Some eighty definitions in Aurora DSQL, one after the other.
	probeMinutes = 10
	// Events of RDS are best effort (Aurora User Guide, USER_Events): what no event
	// told of is found within this time.
	sweepMinutes = 15
	// The role of the target's database that loads; snapshot-prepare makes it.
	dsqlLoader = "godwit_loader"
)

// snapshotEvents are the events of RDS that a snapshot is complete (Aurora User
// Guide, USER_Events.Messages): cluster snapshots by hand and automated, DB
// snapshots by hand and automated.
var snapshotEvents = []string{"RDS-EVENT-0075", "RDS-EVENT-0169", "RDS-EVENT-0042", "RDS-EVENT-0091"}

// A SnapshotStack loads snapshots: functions, SnapshotLoad, what starts it, the
// role that RDS writes exports with, the Aurora DSQL cluster where that is the
// target, alarms, dashboard, saved queries.
type SnapshotStack struct {
	awscdk.Stack
	Functions []*Function
	Load      *Machine
	rules     []awsevents.Rule
}

// NewSnapshotStack makes the snapshot route of an environment that has one.
// target is nil where the environment has no cluster of Aurora PostgreSQL.
func NewSnapshotStack(app awscdk.App, id string, e Environment, data *DataStack, target *TargetStack, assets string) (*SnapshotStack, error) {
	s := &SnapshotStack{Stack: newStack(app, id, e, "godwit: SnapshotLoad, a snapshot of PostgreSQL into Aurora")}
	g := snapshotGrants{grants: grants{e: e, data: data, target: target, partition: *s.Partition()}, stack: s.Stack}
	g.role = g.exportRole()
	where := config.Target{Kind: e.Snapshot.Target}
	if where.Kind == config.TargetDSQL {
		where.LoaderRole = dsqlLoader
		where.Cluster, where.Endpoint = s.dsql(e, data)
	} else {
		where.Cluster, where.Database, where.LoaderSecret = target.ClusterARN, target.Database, target.LoaderSecret.ARN
	}
	g.cluster = where.Cluster
	values, err := snapshotValues(e, data, where, *g.role.RoleArn())
	if err != nil {
		return nil, err
	}
	steps := []step{
		{"SnapshotPreflight", config.SnapshotPreflight, "Names everything that the load of a snapshot lacks", preflightMinutes, g.preflight},
		{"TargetProbe", config.TargetProbe, "What the target can do, asked of itself", probeMinutes, g.probe},
		{"SnapshotExport", config.SnapshotExport, "Begins the export of a snapshot, tells when it is complete", exportMinutes, g.export},
		{"SnapshotCatalogue", config.SnapshotCatalog, "Keys, foreign keys and indexes of the living database", preflightMinutes, g.catalogue},
		{"SnapshotPlan", config.SnapshotPlan, "What becomes of every column; ranges of rows", workMinutes, g.plan},
		{"SnapshotRows", config.SnapshotRows, "Rows of an export into the target", workMinutes, g.load},
		{"SnapshotEvidence", config.SnapshotEvidence, "Digests of an export's rows, independently of the loader", workMinutes, g.evidence},
		{"SnapshotPhase", config.SnapshotPhase, "Checks a phase and writes its tasks", workMinutes, g.phase},
		{"SnapshotTask", config.SnapshotTask, "Table, import, index, key or digest in the database", workMinutes, g.task},
		{"SnapshotReport", config.SnapshotReport, "Writes report.json and report.html", workMinutes, g.report},
	}
	if s.Functions, err = newFunctions(s.Stack, e, data, assets, values, steps); err != nil {
		return nil, err
	}
	prepare, err := s.prepare(e, data, target, assets, where, g)
	if err != nil {
		return nil, err
	}
	s.Functions = append(s.Functions, prepare)
	definition, err := SnapshotLoadDefinition(DefinitionProps{
		Partition: *s.Partition(), WorkBucket: *data.Work.BucketName(), Functions: arns(s.Functions), Concurrency: e.Concurrency,
	})
	if err != nil {
		return nil, fmt.Errorf("write the definition of SnapshotLoad: %w", err)
	}
	s.Load = NewMachine(s.Stack, e, data, MachineProps{
		Name: "SnapshotLoad", Definition: definition, Functions: s.Functions, Items: []string{snapshotItems, snapshotTasks}, Results: snapshotResults,
	})
	if len(e.Snapshot.Sources) > 0 {
		values[config.SnapshotMachine] = *s.Load.StateMachineArn()
		if err := s.trigger(e, data, assets, values, g); err != nil {
			return nil, err
		}
	}
	saveQueries(s.Stack, e, "SnapshotLoad", savedQueries, s.Functions, s.Load)
	f := byName(s.Functions)
	rows, phase := f[config.SnapshotRows], f[config.SnapshotPhase]
	workflowDashboard(s.Stack, e, "snapshot", snapshotsPrefix+"<load>", s.Load, s.Functions, s.alarms(e, data),
		graph("Rows written a second", perSecond(rows, metricRows)),
		graph("Rows left out: refused by the target, filtered by rules", ours(phase, metricQuarantined, "Sum"), ours(rows, metricFiltered, "Sum")),
		twoAxes("Rows that differ (left), transactions done again (right)",
			[]awscloudwatch.IMetric{ours(phase, metricDiffering, "Sum")}, []awscloudwatch.IMetric{ours(rows, metricConflicts, "Sum")}),
	)
	output(s.Stack, "ExportRoleArn", *g.role.RoleArn(), "RDS writes exports of snapshots with it")
	output(s.Stack, "ExportReaders", roles(s.Functions, config.SnapshotExport, config.SnapshotPlan, config.SnapshotRows, config.SnapshotEvidence, config.SnapshotPhase),
		"Roles that read exports. Policies of another account's bucket and key must give them s3:ListBucket, s3:GetObject and kms:Decrypt")
	output(s.Stack, "SnapshotLoadArn", *s.Load.StateMachineArn(), `Start it with {"Snapshot": "arn:…"} or {"Export": {"Bucket": "…", "Prefix": "…"}}`)
	return s, nil
}

// snapshotValues are the variables of the stack's functions.
func snapshotValues(e Environment, data *DataStack, where config.Target, role string) (map[string]string, error) {
	sources := make([]config.SnapshotSource, 0, len(e.Snapshot.Sources))
	for _, x := range e.Snapshot.Sources {
		source := config.SnapshotSource{ARN: x.ARN, Automated: x.Automated, SecretARN: x.SecretARN, Database: x.Database}
		if x.Mapping != "" {
			source.Mapping = "s3://" + *data.Work.BucketName() + "/" + mappingsPrefix + x.Mapping
		}
		sources = append(sources, source)
	}
	list, err := json.Marshal(sources)
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.SnapshotSources, err)
	}
	to, err := json.Marshal(where)
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.SnapshotTarget, err)
	}
	exports, err := archivesVariable(e.Snapshot.Exports)
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.Archives, err)
	}
	return map[string]string{
		config.SnapshotSources: string(list),
		config.SnapshotTarget:  string(to),
		config.Archives:        exports,
		config.WorkBucket:      *data.Work.BucketName(),
		config.ExportBucket:    *data.Exports.BucketName(),
		config.ExportKey:       *data.Key.KeyArn(),
		config.ExportRole:      role,
	}, nil
}

// prepare makes the function that opens the admin's secret; with Aurora DSQL, which
// has none, target-probe may act as the administrator as well.
func (s *SnapshotStack) prepare(e Environment, data *DataStack, target *TargetStack, assets string, where config.Target, g snapshotGrants) (*Function, error) {
	if where.Kind == config.TargetDSQL {
		where.LoaderARNs = strings.Split(roles(s.Functions, config.SnapshotRows, config.SnapshotPhase, config.SnapshotTask), " ")
	} else {
		where.AdminSecret = target.AdminSecret.ARN
	}
	to, err := json.Marshal(where)
	if err != nil {
		return nil, fmt.Errorf("write variable %s: %w", config.SnapshotTarget, err)
	}
	made, err := newFunctions(s.Stack, e, data, assets, map[string]string{config.SnapshotTarget: string(to)}, []step{
		{"SnapshotPrepare", config.SnapshotPrepare, "Roles, schemas and bookkeeping of the target", prepareMinutes, g.prepare},
	})
	if err != nil {
		return nil, err
	}
	return made[0], nil
}

// trigger makes what starts SnapshotLoad: a function, called by events of RDS and
// every quarter of an hour, because events may get lost.
func (s *SnapshotStack) trigger(e Environment, data *DataStack, assets string, values map[string]string, g snapshotGrants) error {
	made, err := newFunctions(s.Stack, e, data, assets, values, []step{
		{"SnapshotTrigger", config.SnapshotTrigger, "Starts SnapshotLoad for snapshots with the tag godwit=export", triggerMinutes, func(r awsiam.Role) {
			g.trigger(r, *s.Load.StateMachineArn())
		}},
	})
	if err != nil {
		return err
	}
	s.Functions = append(s.Functions, made...)
	to := func() *[]awsevents.IRuleTarget {
		return &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(made[0].Function, nil)}
	}
	s.rules = []awsevents.Rule{
		awsevents.NewRule(s.Stack, jsii.String("SnapshotMade"), &awsevents.RuleProps{
			Description: jsii.String("godwit " + e.Name + ": a snapshot is complete"),
			// By the event's number: the detail-type of DB snapshots is in no document.
			EventPattern: &awsevents.EventPattern{
				Source: jsii.Strings("aws.rds"),
				Detail: &map[string]any{"EventID": jsii.Strings(snapshotEvents...)},
			},
			Targets: to(),
		}),
		awsevents.NewRule(s.Stack, jsii.String("Sweep"), &awsevents.RuleProps{
			Description: jsii.String("godwit " + e.Name + ": snapshots that no event told of"),
			Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(sweepMinutes))),
			Targets:     to(),
		}),
	}
	return nil
}

// dsql returns the ARN and the endpoint of the target's cluster, and makes it
// unless it exists.
func (s *SnapshotStack) dsql(e Environment, data *DataStack) (arn, endpoint string) {
	if c := e.Snapshot.DSQL.Imported; c != nil {
		return c.ARN, c.Endpoint
	}
	cluster := awsdsql.NewCfnCluster(s.Stack, jsii.String("Cluster"), &awsdsql.CfnClusterProps{
		DeletionProtectionEnabled: jsii.Bool(e.Removal == retain),
		KmsEncryptionKey:          data.Key.KeyArn(),
		Tags:                      &[]*awscdk.CfnTag{{Key: jsii.String("Name"), Value: jsii.String("godwit-" + e.Name)}},
	})
	cluster.ApplyRemovalPolicy(removalPolicy(e), nil)
	output(s.Stack, "Endpoint", *cluster.AttrEndpoint(), "The Aurora DSQL cluster that snapshots are loaded into")
	return *cluster.AttrResourceArn(), *cluster.AttrEndpoint()
}

// alarms makes the alarms of SnapshotLoad. Each says what to look at first.
func (s *SnapshotStack) alarms(e Environment, data *DataStack) []awscloudwatch.Alarm {
	a := &alarmer{stack: s.Stack, topic: data.Alarms, environment: e, workflow: "SnapshotLoad"}
	a.alarm("SnapshotLoadFailed", s.Load.MetricFailed(sum()), 1,
		"The load of a snapshot failed. Look first at the execution in Step Functions: its failed state, and for a map the failed child in its Map Run, says table, object, row and what to do. "+
			"Mend that and redrive the execution, or start it again with the same input. Before the state Report nothing of it is visible")
	a.alarm("SnapshotLoadTimedOut", s.Load.MetricTimedOut(sum()), 1,
		"The load of a snapshot took longer than "+number(executionDays)+" days. Look first at the execution's last state and at the saved query "+a.saved(queryRetries)+
			"; then start it again with the same input: it goes on where it stopped")
	a.alarm("SnapshotLoadAborted", s.Load.MetricAborted(sum()), 1,
		"Somebody stopped the load of a snapshot. Look first at who did (CloudTrail, StopExecution); start it again with the same input to go on. RDS goes on with an export that was begun, and bills it")
	a.functions(s.Functions, byExecution, "lower concurrency in cdk.json")
	phase := byName(s.Functions)[config.SnapshotPhase]
	a.alarm("Refused", counted(phase, metricQuarantined), 1,
		"The target cannot hold rows of a snapshot. Look first at the failed state of the execution, or at quarantine/ of the load in the work bucket: each row stands there with its part, column and reason. "+
			"Mend the rules of Mapping or the source and load again, or leave the rows out by MaxQuarantined")
	a.alarm("Differing", counted(phase, metricDiffering), 1,
		"Rows of the target are not what the export says. Look first at verdict.json of the load in the work bucket, which lists them by key and column, and at who else writes to these tables. "+
			`Then start again with the same input and "Repair": true, which puts the rows right, or with "Replace": true. The load is not complete before they are equal`)
	for _, rule := range s.rules {
		id := *rule.Node().Id()
		a.alarm(id+"Undelivered", awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace:     jsii.String("AWS/Events"),
			MetricName:    jsii.String("FailedInvocations"),
			DimensionsMap: &map[string]*string{"RuleName": rule.RuleName()},
			Statistic:     sum().Statistic,
			Period:        sum().Period,
		}), 1, "The rule "+id+" could not call snapshot-trigger. Look first at that function's policy and state; the next sweep finds every snapshot that is waiting")
	}
	return a.made
}

// snapshotARN is the pattern of the snapshots of a source's kind: a snapshot's name
// is its maker's choice, and does not say what it is of.
func snapshotARN(x SnapshotSource) string {
	m := sourceRule.FindStringSubmatch(x.ARN)
	head, _, _ := strings.Cut(x.ARN, ":"+m[3]+":")
	return head + ":" + snapshotsOf[m[3]] + ":*"
}

func (g snapshotGrants) snapshotARNs() []string {
	var list []string
	for _, x := range g.e.Snapshot.Sources {
		list = append(list, snapshotARN(x))
	}
	slices.Sort(list)
	return slices.Compact(list)
}
