package mapping

import (
	"encoding/base64"
	"strconv"

	"godwit/internal/change"
)

// audit writes the ql_audit value of rec: the keys that AWS's migration sample
// (aws-samples/example-qldb-ledger-migration) puts into it, in its order.
// ql_txtime is Ion timestamp text; hashes are base64, "" when there is none.
func (p *Plan) audit(rec *change.Record) (_ []byte, why string) {
	at := len(p.buf)
	b := p.buf
	text := func(key string, s string) {
		b = append(b, key...)
		var w string
		if b, w = appendString(b, s); w != "" && why == "" {
			why = w
		}
	}
	b = append(b, `{"ql_id":`...)
	b, _ = appendString(b, rec.Key) // checked by Map, like Tx
	b = append(b, `,"ql_v":`...)
	b = strconv.AppendInt(b, int64(rec.Version), 10)
	b = append(b, `,"ql_txid":`...)
	b, _ = appendString(b, rec.Tx)
	b = append(b, `,"ql_txtime":`...)
	if b, why = appendString(b, rec.At); why != "" {
		return nil, why
	}
	b = append(b, `,"ql_blockseq":`...)
	b = strconv.AppendInt(b, rec.Origin.Block, 10)
	text(`,"ql_strand":`, rec.Origin.Strand)
	b = append(b, `,"ql_rev_hash":"`...)
	b = base64.StdEncoding.AppendEncode(b, rec.Hash)
	text(`","ql_tableid":`, rec.Table.ID)
	text(`,"ql_tablename":`, rec.Table.Name)
	b = append(b, `,"ql_deletion":`...)
	b = strconv.AppendBool(b, rec.Deleted)
	b = append(b, `,"ql_redacted":`...)
	b = strconv.AppendBool(b, rec.Redacted)
	b = append(b, `,"ql_data_hash":"`...)
	b = base64.StdEncoding.AppendEncode(b, rec.DataHash)
	b = append(b, `"}`...)
	p.buf = b
	return b[at:], why
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
