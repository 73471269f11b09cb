package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// wildcards are the statements that may name a pattern, reviewed one by one. A
// pattern that is not here fails the test, and so does an entry that nothing
// uses. Resources are written as synthesis.text does; <archive> is a configured
// archive with its asterisk, <environment> the environment's name, <machine> a
// state machine's, <here> region and account.
var wildcards = []struct{ role, actions, resource, why string }{
	{"*", "xray:PutTelemetryRecords xray:PutTraceSegments", "*", "the actions have no resources"},
	{"<machine>Role", "xray:GetSamplingRules xray:GetSamplingTargets", "*", "the actions have no resources"},
	{
		"<machine>Role", "logs:CreateLogDelivery logs:DeleteLogDelivery logs:DescribeLogGroups logs:DescribeResourcePolicies logs:GetLogDelivery " +
			"logs:ListLogDeliveries logs:PutResourcePolicy logs:UpdateLogDelivery", "*", "log delivery has no resources (Step Functions Developer Guide, logging)",
	},
	{"ProvePlanRole", "s3:GetObject", "<archive>", "manifests and proofs are found by their names"},
	{"ProveBlocksRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"ProvePlanRole", "s3:PutObject", "${Work.Arn}/proofs/*/plan.json", "keys hold the proof's id"},
	{"ProvePlanRole", "s3:GetObject s3:PutObject", "${Work.Arn}/proofs/*/items.jsonl", "keys hold the proof's id"},
	{"ProvePlanRole", "s3:PutObject", "${Work.Arn}/proofs/*/types.json", "keys hold the proof's id"},
	{"ProveBlocksRole", "s3:GetObject", "${Work.Arn}/proofs/*/types.json", "keys hold the proof's id"},
	{"ProvePlanRole", "s3:PutObject", "${Work.Arn}/proofs/*/evidence.json", "keys hold the proof's id"},
	{"ProveBlocksRole", "s3:GetObject", "${Work.Arn}/proofs/*/plan.json", "keys hold the proof's id"},
	{"ProveBlocksRole", "s3:GetObject s3:PutObject", "${Work.Arn}/proofs/*/runs/*", "keys hold the proof's id and the item"},
	{"ProveReportRole", "s3:GetObject", "${Work.Arn}/proofs/*/plan.json", "keys hold the proof's id"},
	{"ProveReportRole", "s3:GetObject", "${Work.Arn}/proofs/*/evidence.json", "keys hold the proof's id"},
	{"ProveReportRole", "s3:GetObject", "${Work.Arn}/proofs/*/runs/*", "keys hold the proof's id and the item"},
	{"ProveReportRole", "s3:PutObject", "${Work.Arn}/proofs/*/proof.json", "keys hold the proof's id"},
	{"ProveReportRole", "s3:PutObject", "${Work.Arn}/proofs/*/report.json", "keys hold the proof's id"},
	{"ProveReportRole", "s3:PutObject", "${Work.Arn}/proofs/*/report.html", "keys hold the proof's id"},
	{"LedgerProveRole", "s3:GetObject", "${Work.Arn}/proofs/*/items.jsonl", "keys hold the proof's id"},
	{"LedgerProveRole", "s3:AbortMultipartUpload s3:GetObject s3:ListMultipartUploadParts s3:PutObject", "${Work.Arn}/proofs/*/results/*", "keys hold the ids of proof and map run"},
	{"PreflightRole", "s3:GetObject", "<archive>", "it reads a byte of the first object: a listing does not prove that objects can be decrypted"},
	{"PlanRole", "s3:GetObject", "<archive>", "manifests are found by their names"},
	{"TypingRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"TransformRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"CountRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"SurveyRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"PlanRole", "s3:GetObject", "${Work.Arn}/mappings/*", "the execution's input names the mapping file"},
	{"PlanRole", "s3:PutObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"PlanRole", "s3:PutObject", "${Work.Arn}/loads/*/items.jsonl", "keys hold the load's id"},
	{"TypingRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"TypingRole", "s3:GetObject", "${Work.Arn}/loads/*/survey/plan.json", "keys hold the load's id"},
	{"TypingRole", "s3:GetObject", "${Work.Arn}/loads/*/items.jsonl", "keys hold the load's id"},
	{"TypingRole", "s3:PutObject", "${Work.Arn}/loads/*/types.json", "keys hold the load's id"},
	{"TransformRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"TransformRole", "s3:GetObject", "${Work.Arn}/loads/*/types.json", "keys hold the load's id"},
	{"TransformRole", "s3:PutObject", "${Work.Arn}/loads/*/segments/*", "keys hold the load's id and the item"},
	{"TransformRole", "s3:PutObject", "${Work.Arn}/loads/*/quarantine/*", "keys hold the load's id and the item"},
	{"TransformRole", "s3:PutObject", "${Work.Arn}/parts/*", "keys hold the load's id, the table and the item"},
	{"CountRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"CountRole", "s3:PutObject", "${Work.Arn}/loads/*/counts/*", "keys hold the load's id and the item"},
	{"PlanRole", "s3:PutObject", "${Work.Arn}/loads/*/survey/plan.json", "keys hold the load's id"},
	{"SurveyRole", "s3:GetObject", "${Work.Arn}/loads/*/types.json", "keys hold the load's id"},
	{"SurveyRole", "s3:GetObject s3:PutObject", "${Work.Arn}/loads/*/survey/*", "keys hold the load's id and the item"},
	{"PhaseRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"PhaseRole", "s3:GetObject", "${Work.Arn}/loads/*/segments/*", "keys hold the load's id and the item"},
	{"PhaseRole", "s3:GetObject", "${Work.Arn}/loads/*/counts/*", "keys hold the load's id and the item"},
	{"PhaseRole", "s3:PutObject", "${Work.Arn}/loads/*/tasks/*", "keys hold the load's id and the phase"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/types.json", "keys hold the load's id"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/segments/*", "keys hold the load's id and the item"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/counts/*", "keys hold the load's id and the item"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/quarantine/*", "keys hold the load's id and the item"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/survey/*", "keys hold the load's id and the item"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/estimate.json", "keys hold the load's id"},
	{"ReportRole", "s3:PutObject", "${Work.Arn}/loads/*/estimate.json", "keys hold the load's id"},
	{"ReportRole", "s3:PutObject", "${Work.Arn}/loads/*/plan-report.html", "keys hold the load's id"},
	{"ReportRole", "s3:PutObject", "${Work.Arn}/loads/*/plan-report.json", "keys hold the load's id"},
	{"ReportRole", "s3:PutObject", "${Work.Arn}/loads/*/mapping-draft.json", "keys hold the load's id"},
	{"ReportRole", "s3:PutObject", "${Work.Arn}/loads/*/report.html", "keys hold the load's id"},
	{"ReportRole", "s3:PutObject", "${Work.Arn}/loads/*/report.json", "keys hold the load's id"},
	{"PlanRole", "s3:PutObject", "${Work.Arn}/loads/*/evidence.json", "keys hold the load's id"},
	{"PhaseRole", "s3:GetObject", "${Work.Arn}/loads/*/evidence.json", "keys hold the load's id"},
	{"PhaseRole", "s3:PutObject", "${Work.Arn}/loads/*/proof.json", "keys hold the load's id"},
	{"PhaseRole", "s3:GetObject", "${Work.Arn}/parts/*/hashes/*", "keys hold the load's id and the item"},
	{"PhaseRole", "s3:PutObject", "${Work.Arn}/loads/*/hashes/*", "keys hold the load's id and a block"},
	{"ReportRole", "s3:GetObject", "${Work.Arn}/loads/*/proof.json", "keys hold the load's id"},
	{"ProveRowRole", "s3:GetObject", "<archive>", "the row names the object"},
	{"ProveRowRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"ProveRowRole", "s3:GetObject", "${Work.Arn}/loads/*/items.jsonl", "keys hold the load's id"},
	{"ProveRowRole", "s3:GetObject", "${Work.Arn}/loads/*/evidence.json", "keys hold the load's id"},
	{"ProveRowRole", "s3:GetObject", "${Work.Arn}/loads/*/types.json", "keys hold the load's id"},
	{"ProveRowRole", "s3:GetObject", "${Work.Arn}/loads/*/hashes/*", "keys hold the load's id and a block"},
	{"ProveRowRole", "s3:PutObject", "${Work.Arn}/receipts/*", "keys hold the load's id and the row's"},
	{"ImportRole", "s3:GetObject", "${Work.Arn}/parts/*", "keys hold the load's id, the table and the item"},
	{"LedgerLoadRole", "s3:GetObject", "${Work.Arn}/loads/*/items.jsonl", "keys hold the load's id"},
	{"LedgerLoadRole", "s3:GetObject", "${Work.Arn}/loads/*/tasks/*", "keys hold the load's id and the phase"},
	{"LedgerLoadRole", "s3:AbortMultipartUpload s3:GetObject s3:ListMultipartUploadParts s3:PutObject", "${Work.Arn}/loads/*/results/*", "keys hold the ids of load and map run"},
	{"<machine>Role", "states:DescribeExecution states:StopExecution", "execution:<machine>-<environment>:*", "executions of the machine itself, as the Developer Guide writes them"},
	{"<machine>Role", "states:DescribeExecution states:StopExecution", "execution:<machine>-<environment>/*", "children of its maps"},
	{"<machine>Role", "states:RedriveExecution", "execution:<machine>-<environment>/*", "children of its maps"},
	{"DigestRole", "qldb:DescribeLedger qldb:GetDigest", "qldb:<here>:ledger/*", "the execution's input names the ledger"},
	{"SplitRole", "qldb:GetBlock", "qldb:<here>:ledger/*", "the execution's input names the ledger"},
	{"ExportRole", "qldb:DescribeJournalS3Export qldb:ExportJournalToS3 qldb:ListJournalS3ExportsForLedger", "qldb:<here>:ledger/*", "the execution's input names the ledger"},
	{"ProofsRole", "qldb:GetBlock qldb:GetDigest", "qldb:<here>:ledger/*", "the execution's input names the ledger"},
	{"QldbRole", "s3:AbortMultipartUpload s3:PutObject s3:PutObjectAcl", "<archive>", "QLDB names the objects of an export"},
	{"ProofsRole", "s3:GetObject", "<archive>.completed.manifest", "names of manifests hold the exports' ids"},
	{"ProofsRole", "s3:PutObject", "<archive>.proofs.json", "proofs stand beside the manifests"},
	{"SplitRole", "s3:PutObject", "${Work.Arn}/exports/*/windows.jsonl", "keys hold the export's id"},
	{"SplitRole", "s3:GetObject s3:PutObject", "${Work.Arn}/exports/*/plan.json", "keys hold the export's id"},
	{"ExportRole", "s3:GetObject", "${Work.Arn}/exports/*/plan.json", "keys hold the export's id"},
	{"ExportRole", "s3:PutObject", "${Work.Arn}/exports/*/cancelled/*", "keys hold the ids of export and QLDB's export"},
	{"ProofsRole", "s3:GetObject", "${Work.Arn}/exports/*/plan.json", "keys hold the export's id"},
	{"ExportRole", "s3:PutObject", "${Work.Arn}/exports/*/done/*", "keys hold the export's id and the window"},
	{"ProofsRole", "s3:GetObject", "${Work.Arn}/exports/*/windows.jsonl", "keys hold the export's id"},
	{"ProofsRole", "s3:GetObject", "${Work.Arn}/exports/*/done/*", "keys hold the export's id and the window"},
	{"StreamApplyRole", "lambda:ListEventSourceMappings", "*", "the action has no resources; it finds the mapping that calls it, which is made after it"},
	{"StreamApplyRole", "s3:PutObject", "${Failures.Arn}/aws/lambda/*", "Lambda names its objects after mapping, shard and time"},
	{"StreamApplyRole", "s3:PutObject", "${Failures.Arn}/quarantine/*", "keys hold shard and sequence number"},
	{"StreamEnableRole", "s3:GetObject", "${Work.Arn}/loads/*/plan.json", "keys hold the load's id"},
	{"StreamEnableRole", "s3:GetObject", "${Work.Arn}/loads/*/segments/*", "keys hold the load's id and the item"},
	{"StreamResumeRole", "s3:GetObject", "${Work.Arn}/mappings/*", "the input names the mapping file"},
	{"StreamReplayRole", "s3:GetObject", "${Failures.Arn}/aws/lambda/*", "Lambda names its objects after mapping, shard and time"},
	{"StreamReplayRole", "s3:GetObject s3:PutObject", "${Failures.Arn}/quarantine/*", "keys hold shard and sequence number"},
	{"StreamReplayRole", "s3:PutObject", "${Failures.Arn}/replayed/*", "marks are named after what was replayed"},
	{"StreamStatusRole", "qldb:GetDigest", "qldb:<here>:ledger/*", "the input names the ledger"},
	{"LedgerExportRole", "s3:GetObject", "${Work.Arn}/exports/*/windows.jsonl", "keys hold the export's id"},
	{"LedgerExportRole", "s3:AbortMultipartUpload s3:GetObject s3:ListMultipartUploadParts s3:PutObject", "${Work.Arn}/exports/*/results/*", "keys hold the ids of export and map run"},
	{"RdsExportRole", "s3:DeleteObject s3:GetObject s3:PutObject", "${Exports.Arn}/*", "RDS names the objects of an export"},
	{"SnapshotCatalogueRole", "s3:GetObject", "${Work.Arn}/mappings/*", "the execution's input names the file"},
	{"SnapshotCatalogueRole", "s3:GetObject s3:PutObject", "${Work.Arn}/snapshots/*/catalog.json", "keys hold the load's id"},
	{"SnapshotExportRole", "s3:GetObject", "<archive>", "RDS names the objects of an export"},
	{"SnapshotPlanRole", "s3:GetObject", "<archive>", "RDS names the objects of an export"},
	{"SnapshotRowsRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"SnapshotEvidenceRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"SnapshotPhaseRole", "s3:GetObject", "<archive>", "the plan names the objects"},
	{"SnapshotEvidenceRole", "s3:GetObject", "${Exports.Arn}/*", "RDS names the objects of an export"},
	{"SnapshotEvidenceRole", "s3:PutObject", "${Work.Arn}/snapshots/*/evidence/*", "keys hold the load's id and the item"},
	{"SnapshotEvidenceRole", "s3:GetObject", "${Work.Arn}/snapshots/*/plan.json", "keys hold the load's id"},
	{"SnapshotExportRole", "s3:GetObject", "${Exports.Arn}/*", "RDS names the objects of an export"},
	{"SnapshotExportRole", "s3:GetObject s3:PutObject", "${Work.Arn}/snapshots/*/export.json", "keys hold the load's id"},
	{"SnapshotExportRole", "rds:DescribeExportTasks rds:StartExportTask", "*", "export tasks have no resources"},
	{"SnapshotLoadRole", "s3:GetObject", "${Work.Arn}/snapshots/*/items.jsonl", "keys hold the load's id"},
	{"SnapshotLoadRole", "s3:AbortMultipartUpload s3:GetObject s3:ListMultipartUploadParts s3:PutObject", "${Work.Arn}/snapshots/*/results/*", "keys hold the ids of load and map run"},
	{"SnapshotLoadRole", "s3:GetObject", "${Work.Arn}/snapshots/*/tasks/*", "keys hold the load's id and the phase"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Exports.Arn}/*", "RDS names the objects of an export"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/items.jsonl", "keys hold the load's id"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/parts/*.json", "keys hold the load's id and the item"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/quarantine/rows/*", "keys hold the load's id and the item"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/evidence/*", "keys hold the load's id and the item"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/assessment.json", "keys hold the load's id"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/plan.json", "keys hold the load's id"},
	{"SnapshotPhaseRole", "s3:PutObject", "${Work.Arn}/parts/*/repair/*", "keys hold the load's id and a digest"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/tasks/*", "keys hold the load's id and the phase"},
	{"SnapshotPhaseRole", "s3:GetObject", "${Work.Arn}/snapshots/*/segments/*", "keys hold the load's id and the item"},
	{"SnapshotPhaseRole", "s3:PutObject", "${Work.Arn}/snapshots/*/report.html", "keys hold the load's id"},
	{"SnapshotPhaseRole", "s3:PutObject", "${Work.Arn}/snapshots/*/report.json", "keys hold the load's id"},
	{"SnapshotPhaseRole", "s3:PutObject", "${Work.Arn}/snapshots/*/tasks/*", "keys hold the load's id and the phase"},
	{"SnapshotPhaseRole", "s3:GetObject s3:PutObject", "${Work.Arn}/snapshots/*/verdict.json", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:GetObject", "${Exports.Arn}/*", "RDS names the objects of an export"},
	{"SnapshotPlanRole", "s3:GetObject", "${Work.Arn}/mappings/*", "the execution's input names the file"},
	{"SnapshotPlanRole", "s3:PutObject", "${Work.Arn}/snapshots/*/assessment.html", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:PutObject", "${Work.Arn}/snapshots/*/assessment.json", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:GetObject", "${Work.Arn}/snapshots/*/catalog.json", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:GetObject", "${Work.Arn}/snapshots/*/export.json", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:PutObject", "${Work.Arn}/snapshots/*/items.jsonl", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:PutObject", "${Work.Arn}/snapshots/*/keys.sql", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:PutObject", "${Work.Arn}/snapshots/*/plan.json", "keys hold the load's id"},
	{"SnapshotPlanRole", "s3:GetObject s3:PutObject", "${Work.Arn}/snapshots/*/profile.json", "keys hold the load's id"},
	{"SnapshotPreflightRole", "s3:GetObject", "${Work.Arn}/mappings/*", "the execution's input names the file"},
	{"SnapshotPreflightRole", "rds:DescribeDBClusterSnapshots", "rds:<sources>:cluster-snapshot:*", "a snapshot's name is its maker's choice"},
	{"SnapshotReportRole", "s3:GetObject", "${Work.Arn}/snapshots/*/evidence/*", "keys hold the load's id and the item"},
	{"SnapshotReportRole", "s3:GetObject", "${Work.Arn}/snapshots/*/assessment.json", "keys hold the load's id"},
	{"SnapshotReportRole", "s3:GetObject", "${Work.Arn}/snapshots/*/plan.json", "keys hold the load's id"},
	{"SnapshotReportRole", "s3:PutObject", "${Work.Arn}/snapshots/*/report.html", "keys hold the load's id"},
	{"SnapshotReportRole", "s3:PutObject", "${Work.Arn}/snapshots/*/report.json", "keys hold the load's id"},
	{"SnapshotReportRole", "s3:GetObject", "${Work.Arn}/snapshots/*/segments/*", "keys hold the load's id and the item"},
	{"SnapshotReportRole", "s3:GetObject", "${Work.Arn}/snapshots/*/tasks/*", "keys hold the load's id and the phase"},
	{"SnapshotReportRole", "s3:GetObject", "${Work.Arn}/snapshots/*/verdict.json", "keys hold the load's id"},
	{"SnapshotRowsRole", "s3:GetObject", "${Exports.Arn}/*", "RDS names the objects of an export"},
	{"SnapshotRowsRole", "s3:GetObject", "${Work.Arn}/parts/*.json", "keys hold the load's id and the item"},
	{"SnapshotRowsRole", "s3:PutObject", "${Work.Arn}/parts/*", "keys hold the load's id and the item"},
	{"SnapshotRowsRole", "s3:GetObject", "${Work.Arn}/snapshots/*/plan.json", "keys hold the load's id"},
	{"SnapshotRowsRole", "s3:PutObject", "${Work.Arn}/snapshots/*/quarantine/*", "keys hold the load's id and the item"},
	{"SnapshotRowsRole", "s3:PutObject", "${Work.Arn}/snapshots/*/segments/*", "keys hold the load's id and the item"},
	{"SnapshotTaskRole", "s3:GetObject", "${Work.Arn}/parts/*/repair/*", "keys hold the load's id and a digest"},
	{"SnapshotTaskRole", "s3:GetObject s3:PutObject", "${Work.Arn}/snapshots/*/evidence/*", "keys hold the load's id and the item"},
	{"SnapshotTaskRole", "s3:GetObject", "${Work.Arn}/snapshots/*/plan.json", "keys hold the load's id"},
	{"SnapshotTaskRole", "s3:PutObject", "${Work.Arn}/snapshots/*/quarantine/*", "keys hold the load's id and a foreign key"},
	{"SnapshotTriggerRole", "rds:DescribeDBClusterSnapshots rds:ListTagsForResource", "rds:<sources>:cluster-snapshot:*", "a snapshot's name is its maker's choice"},
}

func TestNoPolicyNamesMoreThanItMust(t *testing.T) {
	used := make([]bool, len(wildcards))
	each(t, func(t *testing.T, s *synthesis) {
		for _, p := range s.resources("AWS::IAM::Policy") {
			role := strings.Trim(strings.Join(s.texts(p.Properties["Roles"]), " "), "${}")
			for _, statement := range statements(p.Properties["PolicyDocument"]) {
				actions := s.texts(statement["Action"])
				for _, a := range actions {
					if strings.Contains(a, "*") {
						t.Errorf("%s may %s: name the actions", role, a)
					}
				}
				if statement["Effect"] != "Allow" || statement["NotAction"] != nil || statement["NotResource"] != nil {
					t.Errorf("%s: statement %v is not a plain permission", role, statement)
				}
				for _, resource := range s.texts(statement["Resource"]) {
					if strings.Contains(resource, "*") {
						s.reviewed(t, used, role, actions, resource)
					}
				}
			}
		}
		for _, r := range s.resources("AWS::IAM::Role") {
			if r.Properties["ManagedPolicyArns"] != nil {
				t.Errorf("role %s has managed policies %v", r, r.Properties["ManagedPolicyArns"])
			}
		}
	})
	for i, w := range wildcards {
		if !used[i] {
			t.Errorf("no role has the reviewed pattern %+v any longer", w)
		}
	}
}

func (s *synthesis) reviewed(t *testing.T, used []bool, role string, actions []string, resource string) {
	t.Helper()
	archives := s.Environment.Archives
	if s.Environment.Snapshot != nil {
		archives = slices.Concat(archives, s.Environment.Snapshot.Exports)
		resource = strings.Replace(resource, "arn:aws:rds:"+s.Environment.Region+":111122223333:", "rds:<sources>:", 1)
	}
	for _, a := range archives {
		if rest, ok := strings.CutPrefix(resource, "arn:aws:s3:::"+a.Bucket+"/"+a.Prefix+"*"); ok {
			resource = "<archive>" + rest
		}
	}
	for _, part := range []string{"execution:", "qldb:"} {
		if i := strings.Index(resource, part); i >= 0 {
			resource = resource[i:]
		}
	}
	resource = strings.Replace(resource, "qldb:"+s.Environment.Region+":"+s.account()+":", "qldb:<here>:", 1)
	// Executions of the role's own machine only.
	machine := strings.TrimSuffix(role, "Role")
	own := strings.Replace(resource, machine+"-"+s.Environment.Name, "<machine>-<environment>", 1)
	// Action by action, because CDK merges statements about one resource.
	for _, action := range actions {
		found := false
		for i, w := range wildcards {
			admitted := (w.role == role || w.role == "*") && w.resource == resource || w.role == "<machine>Role" && slices.Contains(slices.Collect(maps.Values(machines)), machine) && w.resource == own
			if admitted && slices.Contains(strings.Fields(w.actions), action) {
				used[i], found = true, true
				break
			}
		}
		if !found {
			t.Errorf("%s may %s on %s, which is not in the reviewed table", role, action, resource)
		}
	}
}

// account is the account as templates name it.
func (s *synthesis) account() string {
	if s.Environment.Account != "" {
		return s.Environment.Account
	}
	return "${AWS::AccountId}"
}

// Policies of resources may name their own resource as a whole and nobody else's
// service without a reason.
func TestResourcePoliciesAdmitOnlyKnownPrincipals(t *testing.T) {
	known := map[string]string{
		"arn:aws:iam::${AWS::AccountId}:root":            "the account's own roles, as far as their policies go",
		"arn:aws:iam::111122223333:root":                 "the same, where the account is given",
		"arn:aws:iam::111122223333:role/existing-import": "the imported cluster's role reads parts",
		"cloudwatch.amazonaws.com":                       "alarms publish to an encrypted topic",
		"logging.s3.amazonaws.com":                       "access logs",
		"dsql.amazonaws.com":                             "Aurora DSQL encrypts the cluster with the key",
	}
	each(t, func(t *testing.T, s *synthesis) {
		for _, kind := range []string{"AWS::S3::BucketPolicy", "AWS::KMS::Key", "AWS::SNS::TopicPolicy"} {
			for _, r := range s.resources(kind) {
				document := r.Properties["PolicyDocument"]
				if document == nil {
					document = r.Properties["KeyPolicy"]
				}
				for _, statement := range statements(document) {
					if statement["Effect"] == "Deny" {
						continue
					}
					principals, ok := statement["Principal"].(map[string]any)
					if !ok {
						t.Errorf("%s admits %v", r, statement["Principal"])
					}
					for _, p := range principals {
						for _, name := range s.texts(p) {
							if known[name] == "" && name != "logs."+s.Environment.Region+".amazonaws.com" {
								t.Errorf("%s admits %s", r, name)
							}
						}
					}
				}
			}
		}
	})
}

func TestImportRoleReadsPartsOnly(t *testing.T) {
	s := synthesize(t, "prod")
	for _, r := range s.resources("AWS::IAM::Role") {
		if r.ID == "ImportRole" {
			trust := statements(r.Properties["AssumeRolePolicyDocument"])[0]
			if at(trust, "Principal", "Service") != "rds.amazonaws.com" || at(trust, "Condition", "StringEquals", "aws:SourceAccount") == nil {
				t.Errorf("the import role is trusted to %v", trust)
			}
		}
	}
	var got []string
	for _, p := range s.resources("AWS::IAM::Policy") {
		if p.ID == "ImportRoleDefaultPolicy" {
			for _, statement := range statements(p.Properties["PolicyDocument"]) {
				got = append(got, s.text(statement["Action"])+" "+s.text(statement["Resource"]))
			}
		}
	}
	want := []string{"s3:GetObject ${Work.Arn}/parts/*", "s3:ListBucket ${Work.Arn}", "kms:Decrypt ${DataKey.Arn}"}
	if !slices.Equal(got, want) {
		t.Errorf("the import role may %v, want %v", got, want)
	}
}

// Only the functions that prepare the target open the admin's secret.
func TestAdminSecretHasOneReader(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		var readers []string
		for _, p := range s.resources("AWS::IAM::Policy") {
			for _, statement := range statements(p.Properties["PolicyDocument"]) {
				for _, resource := range s.texts(statement["Resource"]) {
					if resource == "${AdminSecret}" || strings.Contains(resource, "secret:existing") {
						readers = append(readers, p.ID)
					}
				}
			}
		}
		var want []string
		if s.Environment.has("ledger") {
			want = append(want, "PrepareRoleDefaultPolicy")
		}
		if x := s.Environment.Snapshot; x != nil && x.Target == targetAurora {
			want = append(want, "SnapshotPrepareRoleDefaultPolicy")
		}
		slices.Sort(readers)
		if !slices.Equal(readers, want) {
			t.Errorf("the admin's secret is read by %v, want %v", readers, want)
		}
	})
}

// statements are those of a policy document.
func statements(document any) []map[string]any {
	list, _ := at(document, "Statement").([]any)
	out := make([]map[string]any, len(list))
	for i, s := range list {
		out[i], _ = s.(map[string]any)
	}
	return out
}

// The outputs that owners of other accounts' buckets copy from name every role
// that touches an archive, and no other.
func TestOutputsNameEveryUserOfArchives(t *testing.T) {
	s := synthesize(t, "prod")
	for stack, output := range map[string]string{"ledger": "ArchiveReaders", "prove": "ArchiveReaders", "export": "ArchiveWriters"} {
		outputs := s.Templates[stack]["Outputs"].(map[string]any)
		got := strings.Fields(s.text(at(outputs[output], "Value")))
		var want []string
		for _, p := range s.resources("AWS::IAM::Policy") {
			for _, statement := range statements(p.Properties["PolicyDocument"]) {
				touches := slices.ContainsFunc(s.texts(statement["Resource"]), func(r string) bool {
					return strings.HasPrefix(r, "arn:aws:s3:::"+s.Environment.Archives[0].Bucket)
				})
				role := strings.Replace(s.texts(p.Properties["Roles"])[0], "}", ".Arn}", 1)
				if touches && p.Stack == stack && !slices.Contains(want, role) {
					want = append(want, role)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("stack %s names %v, the archives are touched by %v", stack, got, want)
		}
	}
}

// QLDB may write what it exports to the archives, and do nothing else; only the
// functions that begin exports may hand a service its role, and to nobody but it.
func TestExportRoleWritesArchivesOnly(t *testing.T) {
	each(t, func(t *testing.T, s *synthesis) {
		for _, r := range s.resources("AWS::IAM::Role") {
			if r.ID != "QldbRole" {
				continue
			}
			trust := statements(r.Properties["AssumeRolePolicyDocument"])
			here := "arn:aws:qldb:" + s.Environment.Region + ":" + s.account() + ":*"
			if len(trust) != 1 || at(trust[0], "Principal", "Service") != "qldb.amazonaws.com" ||
				s.text(at(trust[0], "Condition", "StringEquals", "aws:SourceAccount")) != s.account() || s.text(at(trust[0], "Condition", "ArnLike", "aws:SourceArn")) != here {
				t.Errorf("the export role is trusted to %v", trust)
			}
		}
		passes := 0
		for _, p := range s.resources("AWS::IAM::Policy") {
			for _, statement := range statements(p.Properties["PolicyDocument"]) {
				actions, resources := s.texts(statement["Action"]), s.texts(statement["Resource"])
				if slices.Contains(actions, "iam:PassRole") {
					passes++
					want := struct{ policy, role, service any }{"ExportRoleDefaultPolicy", "${QldbRole.Arn}", "qldb.amazonaws.com"}
					if p.Stack == "snapshot" {
						want.policy, want.role, want.service = "SnapshotExportRoleDefaultPolicy", "${RdsExportRole.Arn}", "export.rds.amazonaws.com"
					}
					if p.ID != want.policy || len(actions) != 1 || len(resources) != 1 || resources[0] != want.role ||
						at(statement, "Condition", "StringEquals", "iam:PassedToService") != want.service {
						t.Errorf("%s passes roles: %v", p, statement)
					}
				}
				if p.ID != "QldbRoleDefaultPolicy" {
					continue
				}
				for _, r := range resources {
					archive := slices.ContainsFunc(s.Environment.Archives, func(a Archive) bool {
						return r == "arn:aws:s3:::"+a.Bucket+"/"+a.Prefix+"*" && slices.Equal(actions, []string{"s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"}) ||
							r == a.KMSKeyARN && slices.Equal(actions, []string{"kms:Decrypt", "kms:GenerateDataKey"})
					})
					if !archive {
						t.Errorf("the export role may %v on %s", actions, r)
					}
				}
			}
		}
		want := 0
		for _, stack := range []string{"export", "snapshot"} {
			if s.Environment.has(stack) {
				want++
			}
		}
		if passes != want {
			t.Errorf("%d statements pass a role, want %d", passes, want)
		}
	})
}
