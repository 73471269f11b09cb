package journal_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"godwit/internal/journal"
)

// synthetic makes Ion text of blocks in the journal's shape, vehicle
// registrations from a seed. Its hashes are random: nothing here checks them.
type synthetic struct {
	rng  *rand.Rand
	next int64
}

func newSynthetic(seed uint64) *synthetic {
	return &synthetic{rng: rand.New(rand.NewPCG(seed, 1))}
}

func (s *synthetic) id() string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := make([]byte, 22)
	for i := range b {
		b[i] = letters[s.rng.IntN(len(letters))]
	}
	return string(b)
}

func (s *synthetic) hash() string {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return "{{" + base64.StdEncoding.EncodeToString(b) + "}}"
}

var syntheticTables = [...]string{"Person", "Vehicle", "VehicleRegistration", "DriversLicense"}

func (s *synthetic) data(table string) string {
	switch table {
	case "Person":
		return fmt.Sprintf(`{FirstName:"Nora%d",LastName:"Žižek",DOB:19%02d-0%d-1%d,GovId:"P%010d",GovIdType:"Passport",Address:"%d Oak \"Lane\", Apt %d"}`,
			s.rng.IntN(1000), s.rng.IntN(100), 1+s.rng.IntN(9), s.rng.IntN(10), s.rng.IntN(1e9), s.rng.IntN(9999), s.rng.IntN(99))
	case "Vehicle":
		return fmt.Sprintf(`{VIN:"1N4AL11D75C%06d",Type:"Sedan",Year:%d,Make:"Audi",Model:"A%d",Color:"Silver"}`,
			s.rng.IntN(1e6), 1990+s.rng.IntN(30), s.rng.IntN(9))
	case "VehicleRegistration":
		return fmt.Sprintf(`{VIN:"1N4AL11D75C%06d",LicensePlateNumber:"LEWIS%dLL",State:"WA",City:"Everett",PendingPenaltyTicketAmount:%d.%02d,ValidFromDate:2017-08-2%d,ValidToDate:2020-05-1%d,Owners:{PrimaryOwner:{PersonId:"%s"},SecondaryOwners:[{PersonId:"%s"}]}}`,
			s.rng.IntN(1e6), s.rng.IntN(1000), 1+s.rng.IntN(500), s.rng.IntN(100), s.rng.IntN(10), s.rng.IntN(10), s.id(), s.id())
	}
	return fmt.Sprintf(`{PersonId:"%s",LicensePlateNumber:"LEWISR%d",LicenseType:"Learner",ValidFromDate:2017-08-2%d,ValidToDate:2020-11-1%d,Points:%d,Note:null}`,
		s.id(), s.rng.IntN(1000), s.rng.IntN(10), s.rng.IntN(10), s.rng.IntN(12))
}

// block returns the next block.
func (s *synthetic) block() string {
	var b, docs, revs strings.Builder
	strand, tx, seq := "KmA3ZZca7vAIiJAK9S5Iwl", s.id(), s.next
	s.next++
	address := fmt.Sprintf(`{strandId:"%s",sequenceNo:%d}`, strand, seq)
	at := fmt.Sprintf("2019-09-16T%02d:%02d:%02d.%03dZ", seq/3600%24, seq/60%60, seq%60, s.rng.IntN(1000))
	fmt.Fprintf(&b, `{blockAddress:%s,transactionId:"%s",blockTimestamp:%s,blockHash:%s,entriesHash:%s,previousBlockHash:%s,entriesHashList:[%s,%s,{{}},%s]`,
		address, tx, at, s.hash(), s.hash(), s.hash(), s.hash(), s.hash(), s.hash())
	if seq%17 == 5 { // a system block
		fmt.Fprintf(&b, `,revisions:[{hash:%s},{hash:%s}]}`, s.hash(), s.hash())
		return b.String()
	}
	for i := range 3 + s.rng.IntN(3) {
		id, n := s.id(), s.rng.IntN(4)
		fmt.Fprintf(&docs, `,'%s':{tableName:"%s",tableId:"%022d",statements:[0,%d]}`, id, syntheticTables[n], n, i)
		data := fmt.Sprintf("data:%s,", s.data(syntheticTables[n]))
		switch s.rng.IntN(20) {
		case 0:
			data = ""
		case 1:
			data = fmt.Sprintf("dataHash:%s,", s.hash())
		}
		fmt.Fprintf(&revs, `,{blockAddress:%s,hash:%s,%smetadata:{id:"%s",version:%d,txTime:%s,txId:"%s"}}`,
			address, s.hash(), data, id, s.rng.IntN(5), at, tx)
	}
	fmt.Fprintf(&b, `,transactionInfo:{statements:[{statement:"INSERT INTO Person ?",startTime:%s,statementDigest:%s}],documents:{%s}},revisions:[%s]}`,
		at, s.hash(), docs.String()[1:], revs.String()[1:])
	return b.String()
}

// blocks returns n blocks, one a line.
func (s *synthetic) blocks(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(s.block())
		b.WriteByte('\n')
	}
	return b.String()
}

// streamed returns blocks as a stream of binary Ion with a symbol table for
// every few blocks: version marker and new table, or the table added to.
func streamed(t testing.TB, s *synthetic, groups, perGroup int) []byte {
	t.Helper()
	var out bytes.Buffer
	for range groups {
		out.Write(encode(t, journal.IonBinary, s.blocks(perGroup)))
	}
	return out.Bytes()
}
