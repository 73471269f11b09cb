// Package ion owns godwit's fast path for Amazon Ion: a streaming cursor over
// binary Ion that steps over what nobody asks for, a writer for binary Ion, and
// the Ion hash. Ion text is left to ion-go, in journal.
//
// Promises: no input makes it panic or allocate more than a constant times what
// it was given; every length is checked against its container before a byte
// behind it is read; symbols are numbers until somebody asks for their text.
//
// Format: Amazon Ion 1.0 binary encoding (amazon-ion.github.io/ion-docs/docs/binary.html).
// Ion hash: amazon-ion.github.io/ion-hash.
package ion
