// Package states owns the local Step Functions service: state machines by ARN,
// executions by name, and the operations by which the SDK and the console's users
// start, watch, stop and redrive them (awsJson1.0).
//
// It leaves running a machine to package asl and judging the caller to the
// gateway. What one starts runs until it ends, not until the request ends.
//
// Promises: an operation or a member that is not known is an error by name;
// StartExecution is idempotent exactly as the service's is (same name, same input,
// still running); errors carry the service's names.
//
// Protocol: API version 2016-11-23 of the Step Functions API Reference.
package states
