package mapping

import (
	"encoding/base64"
	"strconv"

	"godwit/internal/change"
)

// audit writes the ql_audit value of rec: the keys that AWS's migration sample
// (aws-samples/example-qldb-ledger-migration) puts into it, in its order.
// ql_txtime is Ion timestamp text; hashes are base64, "" when there is none. Behind
// them stands where the revision came from: its block begins at byte ql_offset of
// ql_object, decompressed, and it is number ql_revision of the block, from 0.
func (p *Plan) audit(rec *change.Record) (_ []byte, why string) {
	if why = p.auditOf.sync(rec); why != "" {
		return nil, why
	}
	at := len(p.buf)
	b := append(p.buf, `{"ql_id":`...)
	b, _ = appendText(b, rec.Key) // checked by Map, like Tx
	b = append(b, `,"ql_v":`...)
	b = strconv.AppendInt(b, int64(rec.Version), 10)
	b = append(b, `,"ql_txid":`...)
	b, _ = appendText(b, rec.Tx)
	b = append(b, `,"ql_txtime":`...)
	if b, why = appendText(b, rec.At); why != "" {
		return nil, why
	}
	b = append(b, `,"ql_blockseq":`...)
	b = strconv.AppendInt(b, rec.Origin.Block, 10)
	b = append(b, p.auditOf.behindBlock...)
	b = base64.StdEncoding.AppendEncode(b, rec.Hash)
	b = append(b, p.auditOf.behindHash...)
	b = strconv.AppendBool(b, rec.Deleted)
	b = append(b, `,"ql_redacted":`...)
	b = strconv.AppendBool(b, rec.Redacted)
	b = append(b, `,"ql_data_hash":"`...)
	b = base64.StdEncoding.AppendEncode(b, rec.DataHash)
	b = append(b, p.auditOf.behindData...)
	b = strconv.AppendInt(b, rec.Origin.Offset, 10)
	b = append(b, `,"ql_revision":`...)
	b = strconv.AppendInt(b, int64(rec.Origin.Revision), 10)
	b = append(b, '}')
	p.buf = b
	return b[at:], why
}

// An auditText is what the ql_audit values of one table in one strand, and those
// from one object, have in common.
type auditText struct {
	ready       bool
	strand      string
	table       change.SourceTable
	object      string
	behindBlock []byte
	behindHash  []byte
	behindData  []byte
}

// sync makes the text that of rec's table and object, or says why JSON cannot hold
// it.
func (a *auditText) sync(rec *change.Record) (why string) {
	if a.behindData == nil || a.object != rec.Origin.Object {
		b, why := appendString(append(a.behindData[:0], `","ql_object":`...), rec.Origin.Object)
		if why != "" {
			a.behindData = nil
			return why
		}
		a.object, a.behindData = rec.Origin.Object, append(b, `,"ql_offset":`...)
	}
	if a.ready && a.strand == rec.Origin.Strand && a.table == rec.Table {
		return ""
	}
	a.ready = false
	b, why := appendString(append(a.behindBlock[:0], `,"ql_strand":`...), rec.Origin.Strand)
	if why != "" {
		return why
	}
	a.behindBlock = append(b, `,"ql_rev_hash":"`...)
	if b, why = appendString(append(a.behindHash[:0], `","ql_tableid":`...), rec.Table.ID); why != "" {
		return why
	}
	if b, why = appendString(append(b, `,"ql_tablename":`...), rec.Table.Name); why != "" {
		return why
	}
	a.behindHash = append(b, `,"ql_deletion":`...)
	a.strand, a.table, a.ready = rec.Origin.Strand, rec.Table, true
	return ""
}

var operations = [...][]byte{[]byte("I"), []byte("U"), []byte("D")}

// operation is I for the first revision of a document, D for its deletion, else U.
func operation(rec *change.Record) []byte {
	switch {
	case rec.Deleted:
		return operations[2]
	case rec.Version == 0:
		return operations[0]
	}
	return operations[1]
}
