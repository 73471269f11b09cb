// Package source is a PostgreSQL database that changes, and the producers that
// write its changes to Kinesis: AWS DMS and Aurora DSQL, as far as what arrives
// there tells them apart. What they write comes from the write-ahead log of a real
// server, by logical decoding.
//
// It leaves the records' form to package cdc, and whether the producer's role may
// write them to the gateway. What AWS does not document, such as how records are
// spread over a restart, is drawn from a seed.
//
// Promises: every transaction behind the slot's beginning is written whole, at
// least once; the snapshot that is copied holds exactly those before it.
package source
