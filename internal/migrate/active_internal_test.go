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
