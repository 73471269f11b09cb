// Package dsql owns the local Aurora DSQL: an endpoint that speaks
// PostgreSQL's protocol over TLS, takes tokens for passwords, and puts a real
// PostgreSQL behind the limits and refusals of the service.
//
// It leaves the server to postgres, credentials and judging to the gateway.
//
// Work in progress: see the package's tests for what holds.
package dsql
