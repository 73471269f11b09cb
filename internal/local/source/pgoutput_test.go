package source

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// A message builds one of pgoutput's.
type message []byte

func (m message) u16(n uint16) message    { return binary.BigEndian.AppendUint16(m, n) }
func (m message) u32(n uint32) message    { return binary.BigEndian.AppendUint32(m, n) }
func (m message) u64(n uint64) message    { return binary.BigEndian.AppendUint64(m, n) }
func (m message) string(s string) message { return append(append(m, s...), 0) }
func (m message) bytes(b ...byte) message { return append(m, b...) }
func (m message) text(value string) message {
	return append(m.bytes('t').u32(uint32(len(value))), value...)
}

// transactionOf is a table of two columns, and an update of its key beside a
// value that is left alone.
func transactionOf() []message {
	const second = 1_000_000
	return []message{
		message("B").u64(100).u64(10 * second).u32(7),
		message("R").u32(5).string("shop").string("t").bytes('d').u16(2).bytes(1).string("id").u32(20).u32(1<<32 - 1).bytes(0).string("v").u32(25).u32(1<<32 - 1),
		message("U").u32(5).bytes('K').u16(2).text("1").bytes('n', 'N').u16(2).text("2").bytes('u'),
		message("C").bytes(0).u64(100).u64(150).u64(10 * second),
	}
}

func TestDecoderReadsATransaction(t *testing.T) {
	d := &decoder{relations: map[uint32]*relation{}}
	var got *transaction
	for i, m := range transactionOf() {
		x, err := d.decode(m)
		if err != nil || (x != nil) != (i == 3) {
			t.Fatalf("message %d: %v %v", i, x, err)
		}
		got = x
	}
	if got.id != 7 || got.end != 150 || !got.commit.Equal(time.Date(2000, 1, 1, 0, 0, 10, 0, time.UTC)) || len(got.changes) != 1 {
		t.Fatalf("got %+v", got)
	}
	c := got.changes[0]
	if c.op != updated || !c.keyOnly || c.before[0].text != "1" || !c.before[1].null || c.after[0].text != "2" || !c.after[1].unchanged || c.relation.columns[0].modifier != -1 || !c.relation.columns[0].identity {
		t.Errorf("got %+v of %+v", c, c.relation)
	}
}

// Whatever is cut off or altered is an error, never a wrong row or a panic.
func TestDecoderRefusesWhatEndsTooEarly(t *testing.T) {
	all := transactionOf()
	for i := range all {
		for n := range all[i] {
			d := &decoder{relations: map[uint32]*relation{}}
			for _, m := range all[:i] {
				if _, err := d.decode(m); err != nil {
					t.Fatal(err)
				}
			}
			x, err := d.decode(all[i][:n])
			if err == nil {
				t.Errorf("message %d cut to %d bytes is read as %+v", i, n, x)
			}
		}
	}
	d := &decoder{relations: map[uint32]*relation{}}
	for _, bad := range []string{"", "Z", "C", "I\x00\x00\x00\x05"} {
		if _, err := d.decode([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	for _, m := range all[:2] {
		if _, err := d.decode(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.decode(message("I").u32(5).bytes('N').u16(1).text("1")); err == nil || !strings.Contains(err.Error(), "1 columns of a table of 2") {
		t.Errorf("a row of another width: %v", err)
	}
}
