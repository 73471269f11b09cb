package migrate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	ionlib "github.com/amazon-ion/ion-go/ion"
)

// The plain way to rows, as one would write it in an afternoon: a block is
// unmarshalled by a library into structs, and each revision formatted into the
// line that the packaged mapping makes of it. It knows the tables of the
// vehicle registration and leaves out what the packaged mapping does not map.

// A plainRow is what a revision's line consists of.
type plainRow struct {
	id, tx, time, strand string
	table, tableID       string
	version, block       int64
	hash, dataHash       []byte
	deleted, redacted    bool
	columns              []*string // nil: NULL
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

// write appends the row as a line of COPY text.
func (r *plainRow) write(out *bytes.Buffer) error {
	audit, err := json.Marshal(struct {
		ID       string `json:"ql_id"`
		Version  int64  `json:"ql_v"`
		Tx       string `json:"ql_txid"`
		Time     string `json:"ql_txtime"`
		Block    int64  `json:"ql_blockseq"`
		Strand   string `json:"ql_strand"`
		Hash     []byte `json:"ql_rev_hash"`
		TableID  string `json:"ql_tableid"`
		Table    string `json:"ql_tablename"`
		Deleted  bool   `json:"ql_deletion"`
		Redacted bool   `json:"ql_redacted"`
		DataHash string `json:"ql_data_hash"`
	}{r.id, r.version, r.tx, r.time, r.block, r.strand, r.hash, r.tableID, r.table, r.deleted, r.redacted, base64.StdEncoding.EncodeToString(r.dataHash)})
	if err != nil {
		return err
	}
	fields := []string{copyEscapes.Replace(r.id), strconv.FormatInt(r.version, 10)}
	for _, c := range r.columns {
		if c == nil {
			fields = append(fields, `\N`)
		} else {
			fields = append(fields, copyEscapes.Replace(*c))
		}
	}
	operation := "U"
	switch {
	case r.deleted:
		operation = "D"
	case r.version == 0:
		operation = "I"
	}
	fields = append(fields, copyEscapes.Replace(string(audit)), operation, r.tx)
	out.WriteString(strings.Join(fields, "\t"))
	out.WriteByte('\n')
	return nil
}

// plainWidth is the number of mapped columns of each table.
var plainWidth = map[string]int{"Person": 7, "Vehicle": 6, "VehicleRegistration": 9, "DriversLicense": 5}

// plainIonBlock is a block, as journal.Reader reads it.
type plainIonBlock struct {
	BlockAddress struct {
		StrandID   string `ion:"strandId"`
		SequenceNo int64  `ion:"sequenceNo"`
	} `ion:"blockAddress"`
	TransactionID     string           `ion:"transactionId"`
	BlockTimestamp    ionlib.Timestamp `ion:"blockTimestamp"`
	BlockHash         []byte           `ion:"blockHash"`
	EntriesHash       []byte           `ion:"entriesHash"`
	PreviousBlockHash []byte           `ion:"previousBlockHash"`
	EntriesHashList   [][]byte         `ion:"entriesHashList"`
	TransactionInfo   struct {
		Statements []struct {
			Statement       string           `ion:"statement"`
			StartTime       ionlib.Timestamp `ion:"startTime"`
			StatementDigest []byte           `ion:"statementDigest"`
		} `ion:"statements"`
		Documents map[string]struct {
			TableName  string `ion:"tableName"`
			TableID    string `ion:"tableId"`
			Statements []int  `ion:"statements"`
		} `ion:"documents"`
	} `ion:"transactionInfo"`
	Revisions []struct {
		BlockAddress struct {
			StrandID   string `ion:"strandId"`
			SequenceNo int64  `ion:"sequenceNo"`
		} `ion:"blockAddress"`
		Hash     []byte `ion:"hash"`
		DataHash []byte `ion:"dataHash"`
		Data     any    `ion:"data"`
		Metadata *struct {
			ID      string           `ion:"id"`
			Version int64            `ion:"version"`
			TxTime  ionlib.Timestamp `ion:"txTime"`
			TxID    string           `ion:"txId"`
		} `ion:"metadata"`
	} `ion:"revisions"`
}

// leanIonBlock is plainIonBlock of which only what rows need is read.
type leanIonBlock struct {
	BlockAddress struct {
		StrandID   string `ion:"strandId"`
		SequenceNo int64  `ion:"sequenceNo"`
	} `ion:"blockAddress"`
	TransactionID     string           `ion:"-"`
	BlockTimestamp    ionlib.Timestamp `ion:"-"`
	BlockHash         []byte           `ion:"-"`
	EntriesHash       []byte           `ion:"-"`
	PreviousBlockHash []byte           `ion:"-"`
	EntriesHashList   [][]byte         `ion:"-"`
	TransactionInfo   struct {
		Statements []struct {
			Statement       string           `ion:"statement"`
			StartTime       ionlib.Timestamp `ion:"startTime"`
			StatementDigest []byte           `ion:"statementDigest"`
		} `ion:"-"`
		Documents map[string]struct {
			TableName  string `ion:"tableName"`
			TableID    string `ion:"tableId"`
			Statements []int  `ion:"-"`
		} `ion:"documents"`
	} `ion:"transactionInfo"`
	Revisions []struct {
		BlockAddress struct {
			StrandID   string `ion:"strandId"`
			SequenceNo int64  `ion:"sequenceNo"`
		} `ion:"-"`
		Hash     []byte `ion:"hash"`
		DataHash []byte `ion:"dataHash"`
		Data     any    `ion:"data"`
		Metadata *struct {
			ID      string           `ion:"id"`
			Version int64            `ion:"version"`
			TxTime  ionlib.Timestamp `ion:"txTime"`
			TxID    string           `ion:"txId"`
		} `ion:"metadata"`
	} `ion:"revisions"`
}

// leanIon is plainIon, reading no more of a block than rows need.
func leanIon(object []byte, out *bytes.Buffer) error {
	return ionRows(object, out, func(d *ionlib.Decoder, block *plainIonBlock) error {
		var lean leanIonBlock
		err := d.DecodeTo(&lean)
		*block = plainIonBlock(lean)
		return err
	})
}

// plainIon writes the rows of an object in Ion with ion-go's decoder.
func plainIon(object []byte, out *bytes.Buffer) error {
	return ionRows(object, out, func(d *ionlib.Decoder, block *plainIonBlock) error { return d.DecodeTo(block) })
}

func ionRows(object []byte, out *bytes.Buffer, decode func(*ionlib.Decoder, *plainIonBlock) error) error {
	decoder := ionlib.NewDecoder(ionlib.NewReaderBytes(object))
	for {
		var block plainIonBlock
		if err := decode(decoder, &block); errors.Is(err, ionlib.ErrNoInput) {
			return nil
		} else if err != nil {
			return err
		}
		for i := range block.Revisions {
			r := &block.Revisions[i]
			if r.Metadata == nil {
				continue
			}
			table := block.TransactionInfo.Documents[r.Metadata.ID]
			row := plainRow{
				id: r.Metadata.ID, tx: r.Metadata.TxID, time: r.Metadata.TxTime.String(), strand: block.BlockAddress.StrandID,
				table: table.TableName, tableID: table.TableID, version: r.Metadata.Version, block: block.BlockAddress.SequenceNo,
				hash: r.Hash, dataHash: r.DataHash,
			}
			if err := row.writeIon(out, r.Data); err != nil {
				return err
			}
		}
	}
}

// writeIon is write with the columns of a document as ion-go has it; nil where
// there is none.
func (r *plainRow) writeIon(out *bytes.Buffer, document any) (err error) {
	width, ok := plainWidth[r.table]
	if !ok {
		return nil
	}
	r.deleted, r.redacted = document == nil && r.dataHash == nil, r.dataHash != nil
	r.columns = make([]*string, width)
	if doc, ok := document.(map[string]any); ok {
		if r.columns, err = plainIonColumns(r.table, r.id, doc); err != nil {
			return err
		}
	}
	return r.write(out)
}

func plainIonColumns(table, id string, doc map[string]any) (columns []*string, err error) {
	text := func(name string) *string {
		s, ok := doc[name].(*string)
		if !ok && doc[name] != nil {
			err = fmt.Errorf("%s is a %T", name, doc[name])
		}
		return s
	}
	date := func(name string) *string {
		switch v := doc[name].(type) {
		case *ionlib.Timestamp:
			return new(v.GetDateTime().Format("2006-01-02"))
		case nil:
		default:
			err = fmt.Errorf("%s is a %T", name, v)
		}
		return nil
	}
	number := func(name string) *string {
		switch v := doc[name].(type) {
		case int:
			return new(strconv.Itoa(v))
		case int64:
			return new(strconv.FormatInt(v, 10))
		case *ionlib.Decimal:
			digits, exp := v.CoEx()
			return new(plainNumber(digits, int(exp)))
		case nil:
		default:
			err = fmt.Errorf("%s is a %T", name, v)
		}
		return nil
	}
	switch table {
	case "Person":
		columns = []*string{&id, text("FirstName"), text("LastName"), date("DOB"), text("GovId"), text("GovIdType"), text("Address")}
	case "Vehicle":
		columns = []*string{text("VIN"), text("Type"), number("Year"), text("Make"), text("Model"), text("Color")}
	case "DriversLicense":
		columns = []*string{text("PersonId"), text("LicensePlateNumber"), text("LicenseType"), date("ValidFromDate"), date("ValidToDate")}
	case "VehicleRegistration":
		var first, others *string
		if owners, ok := doc["Owners"].(map[string]any); ok {
			if primary, ok := owners["PrimaryOwner"].(map[string]any); ok {
				first, _ = primary["PersonId"].(*string)
			}
			var ids []string
			seconds, _ := owners["SecondaryOwners"].([]any)
			for _, s := range seconds {
				if owner, ok := s.(map[string]any); ok {
					if id, ok := owner["PersonId"].(*string); ok {
						ids = append(ids, *id)
					}
				}
			}
			if len(ids) > 0 {
				others = new(strings.Join(ids, ","))
			}
		}
		columns = []*string{
			text("VIN"), text("LicensePlateNumber"), text("State"), text("City"), number("PendingPenaltyTicketAmount"),
			date("ValidFromDate"), date("ValidToDate"), first, others,
		}
	}
	return columns, err
}

// plainNumber writes digits x 10^exp without an exponent.
func plainNumber(digits *big.Int, exp int) string {
	s := digits.String()
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if exp >= 0 {
		return sign + s + strings.Repeat("0", exp)
	}
	if len(s) <= -exp {
		s = strings.Repeat("0", 1-exp-len(s)) + s
	}
	return sign + s[:len(s)+exp] + "." + s[len(s)+exp:]
}

// plainJSONBlock is plainIonBlock in JSON. A document waits as it stands for its
// table's struct.
type plainJSONBlock struct {
	BlockAddress struct {
		StrandID   string `json:"strandId"`
		SequenceNo int64  `json:"sequenceNo"`
	} `json:"blockAddress"`
	TransactionInfo struct {
		Documents map[string]struct {
			TableName string `json:"tableName"`
			TableID   string `json:"tableId"`
		} `json:"documents"`
	} `json:"transactionInfo"`
	Revisions []struct {
		Hash     []byte          `json:"hash"`
		DataHash []byte          `json:"dataHash"`
		Data     json.RawMessage `json:"data"`
		Metadata *struct {
			ID      string `json:"id"`
			Version int64  `json:"version"`
			TxTime  string `json:"txTime"`
			TxID    string `json:"txId"`
		} `json:"metadata"`
	} `json:"revisions"`
}

// The documents of the four tables.
type (
	plainPerson struct {
		FirstName, LastName, DOB, GovID, GovIDType, Address *string
	}
	plainVehicle struct {
		VIN, Type, Make, Model, Color *string
		Year                          *json.Number
	}
	plainLicense struct {
		PersonID, LicensePlateNumber, LicenseType, ValidFromDate, ValidToDate *string
	}
	plainOwner        struct{ PersonID *string }
	plainRegistration struct {
		VIN, LicensePlateNumber, State, City, ValidFromDate, ValidToDate *string
		PendingPenaltyTicketAmount                                       *json.Number
		Owners                                                           *struct {
			PrimaryOwner    *plainOwner
			SecondaryOwners []plainOwner
		}
	}
)

// plainJSON writes the rows of an object in JSON Lines with encoding/json.
func plainJSON(object []byte, out *bytes.Buffer) error {
	decoder := json.NewDecoder(bytes.NewReader(object))
	for {
		var block plainJSONBlock
		if err := decoder.Decode(&block); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for i := range block.Revisions {
			r := &block.Revisions[i]
			if r.Metadata == nil {
				continue
			}
			table := block.TransactionInfo.Documents[r.Metadata.ID]
			width, ok := plainWidth[table.TableName]
			if !ok {
				continue
			}
			row := plainRow{
				id: r.Metadata.ID, tx: r.Metadata.TxID, time: r.Metadata.TxTime, strand: block.BlockAddress.StrandID,
				table: table.TableName, tableID: table.TableID, version: r.Metadata.Version, block: block.BlockAddress.SequenceNo,
				hash: r.Hash, dataHash: r.DataHash, deleted: r.Data == nil && r.DataHash == nil, redacted: r.DataHash != nil,
				columns: make([]*string, width),
			}
			if r.Data != nil {
				columns, err := plainJSONColumns(table.TableName, row.id, r.Data)
				if err != nil {
					return err
				}
				row.columns = columns
			}
			if err := row.write(out); err != nil {
				return err
			}
		}
	}
}

func plainJSONColumns(table, id string, data []byte) ([]*string, error) {
	number := func(n *json.Number) *string {
		if n == nil {
			return nil
		}
		mantissa, exponent, _ := strings.Cut(n.String(), "e")
		exp, _ := strconv.Atoi(exponent)
		whole, fraction, _ := strings.Cut(mantissa, ".")
		digits, _ := new(big.Int).SetString(whole+fraction, 10)
		return new(plainNumber(digits, exp-len(fraction)))
	}
	switch table {
	case "Person":
		var p plainPerson
		err := json.Unmarshal(data, &p)
		return []*string{&id, p.FirstName, p.LastName, p.DOB, p.GovID, p.GovIDType, p.Address}, err
	case "Vehicle":
		var v plainVehicle
		err := json.Unmarshal(data, &v)
		return []*string{v.VIN, v.Type, number(v.Year), v.Make, v.Model, v.Color}, err
	case "DriversLicense":
		var d plainLicense
		err := json.Unmarshal(data, &d)
		return []*string{d.PersonID, d.LicensePlateNumber, d.LicenseType, d.ValidFromDate, d.ValidToDate}, err
	}
	var v plainRegistration
	err := json.Unmarshal(data, &v)
	var first, others *string
	if v.Owners != nil {
		if v.Owners.PrimaryOwner != nil {
			first = v.Owners.PrimaryOwner.PersonID
		}
		var ids []string
		for _, o := range v.Owners.SecondaryOwners {
			if o.PersonID != nil {
				ids = append(ids, *o.PersonID)
			}
		}
		if len(ids) > 0 {
			others = new(strings.Join(ids, ","))
		}
	}
	return []*string{v.VIN, v.LicensePlateNumber, v.State, v.City, number(v.PendingPenaltyTicketAmount), v.ValidFromDate, v.ValidToDate, first, others}, err
}
