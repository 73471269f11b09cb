package change

import "time"

// A DBSnapshot is a snapshot of a cluster or DB instance, as RDS describes it.
type DBSnapshot struct {
	ARN       string
	Source    string // identifier of the cluster or DB instance
	Cluster   bool   // of a cluster
	Type      string // manual, automated, awsbackup, shared, public
	Engine    string // aurora-postgresql, postgres
	Status    string // available
	GiB       int64  // allocated storage, which an export is billed by
	Encrypted bool
	KeyARN    string
	Created   time.Time // when it is complete
}

// An ExportOrder asks RDS for the export of a snapshot.
type ExportOrder struct {
	ID       string // of the task, chosen by the caller, unique in account and region
	Snapshot string // ARN
	Bucket   string
	Prefix   string   // without a slash at its end
	Role     string   // ARN
	Key      string   // ARN
	Only     []string // database, database.schema, database.schema.table; nil is all
}

// The states of an ExportTask (RDS API Reference, ExportTask).
const (
	ExportStarting   = "STARTING"
	ExportInProgress = "IN_PROGRESS"
	ExportComplete   = "COMPLETE"
	ExportFailed     = "FAILED"
	ExportCanceling  = "CANCELING"
	ExportCanceled   = "CANCELED"
)

// An ExportTask is how far an export is.
type ExportTask struct {
	ID       string
	Snapshot string // ARN of what is exported
	Status   string
	Percent  int    // done
	Cause    string // of a failure
	Warning  string // JSON; "" where there is none
}
