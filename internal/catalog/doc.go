// Package catalog owns what a PostgreSQL database consists of, as data, and the
// one query that reads it (catalog.sql): tables, columns, keys, foreign keys,
// checks, indexes, sequences, and the names of what else there is.
//
// It leaves connections to the caller, and decisions to assess.
//
// Promises. The query reads the system catalogs alone, works on PostgreSQL 11 to
// 18 with no rights but to connect, changes nothing but settings of its own
// transaction, and answers one JSON value, as psql -XAt -f catalog.sql does. Parse
// refuses what it does not know, so that no part of a database is overlooked.
package catalog
