// Package asl owns the local interpreter of the Amazon States Language: it reads
// a state machine definition strictly, runs executions of it, keeps their
// histories, and redrives them.
//
// It leaves to others the wire protocol of Step Functions (package states), what
// a task does (Functions, Integration), where objects lie (Objects) and what the
// state machine's role may do (gateway.Authorizer).
//
// Promises: a definition that holds an unknown field, state type, resource,
// function or variable does not load, and all its faults are named at once; what
// the service limits (256 KiB a state's input and output, 25,000 events a
// history, variables, names) is limited here and fails with the service's error
// names; every call made on behalf of a state machine is authorised for its role,
// the children of a Distributed Map included; a redriven execution does not
// repeat what succeeded. The query language is JSONata; a state in JSONPath is
// refused by name.
//
// Sources: https://states-language.net/spec.html and the Step Functions
// Developer Guide (state-map-distributed, input-output-itemreader,
// input-output-resultwriter, workflow-variables, transforming-data,
// concepts-error-handling, redrive-executions, service-quotas).
package asl
