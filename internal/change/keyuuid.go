package change

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// KeyUUID appends the UUID that stands for a row of a table whose key becomes a
// UUID: version 8 (RFC 9562, section 5.8), of the first 16 bytes of SHA-256 of
//
//	namespace, and for schema, table and each column of the key: LF length ":" text
//
// length is that of the text in bytes, in decimal; a column's text is canonical:
// integers and numeric in digits without trailing zeros behind the point, text as
// it is, date, timestamp and uuid in PostgreSQL's ISO form (timestamptz in UTC),
// character(n) without its padding. It is the same for every load, every repeat
// and every row that refers to it, so that no table of pairs is needed.
func KeyUUID(dst []byte, namespace string, table TableName, key ...[]byte) []byte {
	var room [256]byte
	name := append(room[:0], namespace...)
	name = appendCounted(name, table.Schema)
	name = appendCounted(name, table.Name)
	for _, text := range key {
		name = appendCounted(name, text)
	}
	sum := sha256.Sum256(name)
	sum[6] = sum[6]&0x0f | 0x80 // version 8
	sum[8] = sum[8]&0x3f | 0x80 // the variant of RFC 9562
	for i, part := range [...][]byte{sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

func appendCounted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '\n')
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, ':')
	return append(dst, text...)
}
