package change_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/change"
)

func TestFieldsKnowOnlyWhatWasRegistered(t *testing.T) {
	var f change.Fields
	first, second := f.ID("VIN"), f.ID("Owners")
	if first == 0 || first == second || f.ID("VIN") != first || f.Len() != 2 {
		t.Errorf("ids %d and %d, again %d, of %d names", first, second, f.ID("VIN"), f.Len())
	}
	if got := f.Lookup([]byte("VIN")); got != first {
		t.Errorf("Lookup(VIN) = %d, want %d", got, first)
	}
	if got := f.Lookup([]byte("vin")); got != 0 {
		t.Errorf("Lookup(vin) = %d, want 0: nobody registered it", got)
	}
	var none *change.Fields
	if none.Lookup([]byte("VIN")) != 0 || none.Len() != 0 {
		t.Error("no dictionary knows a name")
	}
}

// tape is {"a": "x", "b": "", "c": 7, "d": 12345678901234567890}.
func tape() *change.Tape {
	return &change.Tape{
		Nodes: []change.Node{
			{Kind: change.Struct, Name: -1, End: 5},
			{Kind: change.Text, Name: 0, End: 2, Off: 3, Len: 1},
			{Kind: change.Text, Name: 1, End: 3},
			{Kind: change.Int, Name: 2, End: 4, Int: 7},
			{Kind: change.Int, Name: 3, End: 5, Off: 4, Len: 20},
		},
		Data:  []byte("---x12345678901234567890"),
		Names: []change.Name{{Text: "a"}, {Text: "b"}, {Text: "c"}, {Text: "d"}},
	}
}

func TestTapeValuesAreWhatTheNodesSay(t *testing.T) {
	d := tape()
	want := []change.Value{
		{Kind: change.Struct},
		{Kind: change.Text, Bytes: []byte("x")},
		{Kind: change.Text, Bytes: []byte{}}, // empty, not absent
		{Kind: change.Int, Int: 7},
		{Kind: change.Int, Bytes: []byte("12345678901234567890")},
	}
	for i := range d.Nodes {
		if diff := cmp.Diff(want[i], d.Value(&d.Nodes[i])); diff != "" {
			t.Errorf("node %d (-want +got):\n%s", i, diff)
		}
	}
	if text := d.Value(&d.Nodes[2]); text.Bytes == nil {
		t.Error("an empty text has no bytes: it could be taken for an int")
	}
}

func TestCloneOutlivesTheSource(t *testing.T) {
	source := tape()
	clone := source.Clone()
	source.Nodes[1].Len, source.Data[3], source.Names[0].Text = 0, 'y', "z"
	if diff := cmp.Diff(tape(), clone); diff != "" {
		t.Errorf("the clone changed with its source (-want +got):\n%s", diff)
	}
}

func TestAppendingToBytesLeavesTheTape(t *testing.T) {
	d := tape()
	_ = append(d.Bytes(&d.Nodes[1]), "overwrite"...)
	if got := string(d.Data[4:6]); got != "12" {
		t.Errorf("the bytes behind the value are %q", got)
	}
}

func TestOriginReadsAsAPartOfAMessage(t *testing.T) {
	o := change.Origin{Object: "a/b.ion", Offset: 12, Block: 3}
	if got, want := o.String(), "object a/b.ion, offset 12, block 3, revision 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
