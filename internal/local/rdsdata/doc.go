// Package rdsdata owns the local RDS Data API: the five operations that Aurora
// PostgreSQL's second generation (Serverless v2 and provisioned) serves, over a
// real PostgreSQL, with the limits, strict types, transaction rules and errors
// that make code pass on a laptop and fail on AWS.
//
// It leaves the server to postgres, passwords to secrets, permission to the
// gateway and SQL to PostgreSQL.
//
// Promises: a call without a transaction leaves nothing behind in its session;
// a caller that goes away does not stop its statement, which ends by itself or
// at the time limit; without continueAfterTimeout a statement that reaches the
// limit is rolled back, with it the statement goes on and commits. A Server may
// be used concurrently.
//
// Where AWS documents nothing, the stricter reading is taken, so that no caller
// comes to rely on luck:
//
//   - BatchExecuteStatement without a transaction commits set by set: sets
//     before the failing one stay. Callers that need all or nothing must begin
//     a transaction.
//   - Any error from the database ends the transaction of the call.
//   - The 1 MiB limit counts the JSON of the answer; with formatRecordsAs JSON
//     it counts the values as the database sends them and 10 MB count the text.
//   - Result types that AWS does not list (oid, interval, timetz, void,
//     timestamptz[] among them) are refused: cast them to text.
//
// Sources: the service's API reference (2018-08-01) and the Aurora User Guide,
// chapter "Using the Amazon RDS Data API".
package rdsdata
