// Package migrate owns the steps of the workflows: what each handler is given
// and gives back, what is written where on S3 between them, how records are
// counted and set aside, and which errors are worth a repeat.
//
// It leaves formats to the sources, columns to mapping, SQL to target, and
// comparison to verify. Services are behind small interfaces declared here.
//
// Promises: every step may be repeated at any time, also beside itself, and
// ends in the same objects and rows; accounting is exact to the revision:
// read = staged + quarantined + filtered (invariant 5); memory is bounded by
// configuration (invariant 8); work ends before the deadline and returns where
// to go on.
package migrate
