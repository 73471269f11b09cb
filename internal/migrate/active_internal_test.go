package migrate

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"godwit/internal/journal"
)

// Which of the ids that a name had is not dropped at the end of the archive.
func TestActiveTables(t *testing.T) {
	drop := func(block int64, name string) journal.TableEvent {
		return journal.TableEvent{Kind: journal.TableDropped, Name: name, Block: block}
	}
	create := func(block int64, name string) journal.TableEvent {
		return journal.TableEvent{Kind: journal.TableCreated, Name: name, Block: block}
	}
	undrop := func(block int64, id string) journal.TableEvent {
		return journal.TableEvent{Kind: journal.TableUndropped, TableID: id, Block: block}
	}
	table := func(id, name string, first, last int64) SegmentTable {
		return SegmentTable{ID: id, Name: name, FirstBlock: first, LastBlock: last}
	}
	for _, c := range []struct {
		name   string
		tables []SegmentTable
		events []journal.TableEvent
		want   string
	}{
		{"only created", []SegmentTable{table("a", "T", 1, 5)}, []journal.TableEvent{create(0, "T")}, "a"},
		{"no statement at all", []SegmentTable{table("a", "T", 1, 5)}, nil, "a"},
		{"dropped", []SegmentTable{table("a", "T", 1, 5)}, []journal.TableEvent{create(0, "T"), drop(6, "T")}, ""},
		{"dropped and created again", []SegmentTable{table("a", "T", 1, 5), table("b", "T", 8, 9)}, []journal.TableEvent{drop(6, "T"), create(7, "T")}, "b"},
		{"created again, nothing written", []SegmentTable{table("a", "T", 1, 5)}, []journal.TableEvent{drop(6, "T"), create(7, "T")}, ""},
		{"the drop is not in the archive", []SegmentTable{table("a", "T", 1, 5), table("b", "T", 8, 9)}, nil, "b"},
		{"ids in no order of time", []SegmentTable{table("a", "T", 8, 9), table("b", "T", 1, 5)}, nil, "a"},
		{"three lives", []SegmentTable{table("a", "T", 1, 5), table("b", "T", 8, 9), table("c", "T", 12, 13)}, []journal.TableEvent{drop(6, "T"), drop(10, "T")}, "c"},
		{"the last life dropped too", []SegmentTable{table("a", "T", 1, 5), table("b", "T", 8, 9)}, []journal.TableEvent{drop(6, "T"), drop(10, "T")}, ""},
		{"brought back", []SegmentTable{table("a", "T", 1, 5)}, []journal.TableEvent{drop(6, "T"), undrop(8, "a")}, "a"},
		{"brought back, written to, dropped", []SegmentTable{table("a", "T", 1, 9)}, []journal.TableEvent{drop(6, "T"), undrop(8, "a"), drop(10, "T")}, ""},
		{"the old one brought back", []SegmentTable{table("a", "T", 1, 5), table("b", "T", 8, 9)}, []journal.TableEvent{drop(6, "T"), drop(10, "T"), undrop(11, "a")}, "a"},
		{"the old one wrote last, its return is not in the archive", []SegmentTable{table("a", "T", 1, 15), table("b", "T", 8, 9)}, []journal.TableEvent{drop(6, "T")}, "a"},
		{"undropped id of another table", []SegmentTable{table("a", "T", 1, 5), table("x", "U", 1, 5)}, []journal.TableEvent{drop(6, "T"), drop(7, "U"), undrop(8, "x")}, "x"},
		{"undropped before it was written to", []SegmentTable{table("a", "T", 9, 9)}, []journal.TableEvent{drop(6, "T"), undrop(7, "a")}, "a"},
		{"another name dropped", []SegmentTable{table("a", "T", 1, 5)}, []journal.TableEvent{drop(6, "U")}, "a"},
		{"another case dropped", []SegmentTable{table("a", "T", 1, 5)}, []journal.TableEvent{drop(6, "t")}, "a"},
		{"two names", []SegmentTable{table("a", "T", 1, 5), table("b", "U", 2, 7)}, []journal.TableEvent{drop(6, "T")}, "b"},
		{"revisions of no table", []SegmentTable{table("", "", 1, 5), table("b", "U", 2, 7)}, nil, "b"},
		{"a drop before the first that was read", []SegmentTable{table("a", "T", 7, 8)}, []journal.TableEvent{drop(3, "T")}, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &load{tables: c.tables, events: c.events}
			got := strings.Join(slices.Sorted(maps.Keys(l.active())), " ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A table that was dropped or brought back in an archive that begins late, and is
// not known from it, is said: an earlier load may have its documents.
func TestDropsOfUnseenTablesAreSaid(t *testing.T) {
	event := func(kind journal.TableEventKind, what string, block int64) journal.TableEvent {
		e := journal.TableEvent{Kind: kind, Name: what, Block: block}
		if kind == journal.TableUndropped {
			e.Name, e.TableID = "", what
		}
		return e
	}
	for _, c := range []struct {
		name   string
		first  int64
		tables []SegmentTable
		events []journal.TableEvent
		want   string // blocks
	}{
		{"whole archive", 0, nil, []journal.TableEvent{event(journal.TableDropped, "T", 6)}, ""},
		{"dropped, not seen", 5, nil, []journal.TableEvent{event(journal.TableDropped, "T", 6)}, "Block 6"},
		{"dropped, seen before", 5, []SegmentTable{{ID: "a", Name: "T", FirstBlock: 6}}, []journal.TableEvent{event(journal.TableDropped, "T", 7)}, ""},
		{"dropped and created again, only the second seen", 5, []SegmentTable{{ID: "b", Name: "T", FirstBlock: 8}}, []journal.TableEvent{event(journal.TableDropped, "T", 6), event(journal.TableCreated, "T", 7)}, "Block 6"},
		{"said once", 5, nil, []journal.TableEvent{event(journal.TableDropped, "T", 6), event(journal.TableCreated, "T", 7), event(journal.TableDropped, "T", 8)}, "Block 6"},
		{"another table", 5, []SegmentTable{{ID: "a", Name: "U", FirstBlock: 5}}, []journal.TableEvent{event(journal.TableDropped, "T", 6)}, "Block 6"},
		{"brought back, not seen", 5, []SegmentTable{{ID: "a", Name: "U", FirstBlock: 5}}, []journal.TableEvent{event(journal.TableUndropped, "x", 9)}, "Block 9"},
		{"brought back, seen", 5, []SegmentTable{{ID: "x", Name: "U", FirstBlock: 10}}, []journal.TableEvent{event(journal.TableUndropped, "x", 9)}, ""},
		{"revisions of no table", 5, []SegmentTable{{FirstBlock: 5}}, []journal.TableEvent{event(journal.TableDropped, "T", 6)}, "Block 6"},
		{"created", 5, nil, []journal.TableEvent{event(journal.TableCreated, "T", 6)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &load{plan: &Plan{First: c.first}, tables: c.tables, events: c.events}
			var said []string
			for _, f := range l.droppedUnseen() {
				block, _, _ := strings.Cut(f.Text, " holds")
				said = append(said, block)
			}
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
