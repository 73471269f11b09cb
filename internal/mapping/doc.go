// Package mapping owns the rules that make target rows of source documents: the
// mapping file, its types and paths, and the compiled plan that turns one
// change.Record into one change.Row. It knows no dialect beyond the type names
// that the file is written in, no clock and no service.
//
// It also owns the shape of what a table's documents hold (Shape) and the rules
// that are drafted from it (AddDrafts).
//
// Rows of tables, which have columns already, have rules of their own in the same
// file format: see Tables. What becomes of a table by them is decided by assess.
//
// It leaves reading to the sources, bytes to copytext, and SQL to target.
//
// Promises. A value maps exactly or is refused with a *ValueError that names
// the record, the path and the reason and never repeats the value; nothing is
// rounded, cut or dropped quietly. The Ion and the JSON form of one document
// make the same row, except where JSON itself cannot tell two types apart (a
// base64 string from a text: see "encoding"). Map allocates nothing per record
// once its buffers have grown.
//
// # The file
//
// JSON, checked by Parse and by the JSON Schema beside it (schema.json):
//
//	{
//	  "version": 1,
//	  "schema": "dmv",
//	  "tables": {
//	    "Person": {
//	      "target": "person",
//	      "columns": [
//	        {"name": "first_name", "path": "FirstName", "type": "varchar(100)", "notNull": true},
//	        {"name": "plate", "path": ["LicensePlateNumber", "LicenseNumber"], "type": "text"},
//	        {"name": "owners", "path": "Owners[*].PersonId", "type": "text[]", "list": "array"}
//	      ],
//	      "indexes": [{"columns": ["plate"]}]
//	    },
//	    "Scratch": {"skip": true}
//	  }
//	}
//
// A ledger table that is not named becomes a table with its name in snake case
// and one column, doc jsonb. A path names fields with dots between them, in
// double quotes where they hold other characters than letters, digits, _ and -;
// [*] runs over a list; $docId and its like name what is not in the document. Of
// several paths the first that leads to a value wins. Something else than a
// struct in the middle of a path is refused, not taken for an absent value,
// unless another path of the column leads to something. A field that appears
// twice where a path goes is refused. "list" says what becomes of a list:
// "json", "array", or "join" with a "separator", where elements that are empty,
// null or contain the separator are refused, and an empty list is the empty text
// or, with "empty": "null", NULL. "dropAnnotations" allows what is refused
// otherwise. "encoding": "base64" reads text into bytea, for JSON exports.
//
// A unique index holds in the current table only, and "notNull" not in the
// history, where deletions and redactions have no values.
//
// # What "exactly" means
//
//   - Numbers are equal as numbers. Trailing zeros of a decimal may go where the
//     type has no place for them (1.00 into integer or numeric(3,1)) and are kept
//     where it has (numeric, jsonb). Negative zero is refused where a type has
//     none. A binary float goes into real, double precision and jsonb alone;
//     there it is its shortest decimal text that reads back as the same bits. A
//     decimal or integer goes into a float column when it survives the way back.
//   - A timestamp goes into date with day precision, or at midnight at Z or with
//     unknown offset; into timestamptz with a known offset; into timestamp at Z
//     or with unknown offset (both are the wall clock of UTC). Fractions beyond
//     microseconds must be zero. The instant or the wall clock is kept; the
//     offset as written and the precision are not: map to text or jsonb for those.
//   - Text goes into a date, time, timestamp or uuid column when it is exactly
//     such a value, because a JSON export writes them as strings.
//
// Fields that no path asks for are left out: that is what a mapping is for.
// "$doc" as jsonb keeps the whole document beside the columns.
package mapping
