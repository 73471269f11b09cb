// Package lambda owns the local Lambda service's inside: it runs the real
// bootstrap binary of a provided.al2023 function behind a Runtime API of its own,
// one process and one listener per execution environment, one call in flight per
// environment, environments kept warm and reused.
//
// It leaves to others who may invoke (IAM), what the process may call (the
// gateway judges by the credentials that the environment was given) and what a
// failed call means (the state machine interpreter).
//
// Promises: a process sees the variables that Lambda would give it and nothing
// else of the host; payloads over 6 MB, calls over the timeout and processes that
// exit fail with the error types of the service; a process that is stopped takes
// its whole process group with it, and on Linux none outlives the program that
// started it. A call whose caller has gone away runs on, as it does in Lambda.
//
// Protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package lambda
