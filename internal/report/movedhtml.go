package report

import (
	"cmp"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/estimate"
)

// What the pages show of long lists; the JSON beside them has them whole.
const (
	mostColumns = 400 // of a table
	mostWheres  = 12  // places of one decision
	openTables  = 3   // so few tables show their columns at once
)

// A movedPage is what the templates of both reports of a snapshot show.
type movedPage struct {
	Moved
	CSS          template.CSS
	Tone         string // ok, warn, bad
	Title        string
	File         string // that lies beside it, for programs
	Facts        []fact
	Advice       []advice
	MoreFindings int64
	Groups       []fateGroup
	Views        []tableView
	Keys         []KeyRule
	MoreKeys     int64
	Costs        *costs
	Asked        string // the input, indented
}

// A fateGroup is decisions of one fate.
type fateGroup struct {
	ID, Title, Says string
	Kinds           []kindGroup
}

// A kindGroup is decisions of one fate and kind.
type kindGroup struct {
	Title string
	Count int64
	Items []sameDecision
	at    map[[2]string]int // of Items, by Why and Do
	More  int64
	Open  bool
}

// A sameDecision is decisions with the same words.
type sameDecision struct {
	Where   []string
	More    int64
	Why, Do string
}

// A tableView is a table with what is worked out for the eye.
type tableView struct {
	MovedTable
	ID        string
	Says      string
	All       int64 // columns of the source that are loaded
	Converted int64
	About     []Decision
	More      int64
	Open      bool
}

func newMovedPage(m Moved, file string) (movedPage, error) {
	p := movedPage{Moved: m, File: file, Asked: indent(m.Input)}
	p.Advice = newAdvice(head(m.Findings))
	p.MoreFindings = int64(len(m.Findings) - len(head(m.Findings)))
	p.Groups = groups(m.Decisions)
	about := map[string][]Decision{}
	for _, d := range m.Decisions {
		about[d.Table] = append(about[d.Table], d)
	}
	for i, t := range m.Tables {
		p.Views = append(p.Views, newTableView(t, about[t.Source], "table-"+strconv.Itoa(i+1), len(m.Tables) <= openTables))
	}
	p.Keys = head(m.Keys)
	p.MoreKeys = int64(len(m.Keys) - len(p.Keys))
	prices, rates, err := estimate.SnapshotTables()
	if err != nil {
		return movedPage{}, err
	}
	p.Costs = newCosts(m.Estimate, prices, rates)
	return p, nil
}

func newTableView(t MovedTable, about []Decision, id string, open bool) tableView {
	v := tableView{MovedTable: t, ID: id, Open: open || t.Fate == Refused}
	known := map[string]bool{}
	left := int64(0)
	for _, c := range t.Columns {
		known[c.Source], known[c.Target] = true, true
		if c.Target == "" {
			left++
			continue
		}
		v.All++
		if c.Fate == Converted {
			v.Converted++
		}
	}
	for _, d := range about {
		if d.Column == "" || !known[d.Column] { // the others stand beside their columns
			v.About = append(v.About, d)
		}
	}
	says := []string{count(v.All, "column")}
	if v.Converted > 0 {
		says = append(says, number(v.Converted)+" converted")
	}
	if left > 0 {
		says = append(says, number(left)+" left out")
	}
	if t.Indexes > 0 {
		says = append(says, count(int64(t.Indexes), "index", "indexes"))
	}
	if t.Foreign > 0 {
		says = append(says, count(int64(t.Foreign), "foreign key"))
	}
	lost := int64(0)
	for _, d := range about {
		if d.Fate == Lost {
			lost++
		}
	}
	if lost > 0 {
		says = append(says, count(lost, "thing", "lost", "lost"))
	}
	if t.Target == "" {
		says = says[:0]
	}
	v.Says = strings.Join(says, ", ")
	if len(v.Columns) > mostColumns {
		v.More, v.Columns = int64(len(v.Columns)-mostColumns), v.Columns[:mostColumns]
	}
	return v
}

// groups sorts decisions by fate and kind; those with the same words are one. What
// is refused stands among the findings.
func groups(decisions []Decision) []fateGroup {
	all := []fateGroup{
		{"lost", "Lost", "The target will not have these. No value of a column that is loaded is among them.", nil},
		{"converted", "Converted", "By a rule that keeps every value, or refuses the row that holds it.", nil},
		{"left", "Left out", "As the mapping asks.", nil},
		{"know", "To know", "These are kept as they are, and somebody should know.", nil},
	}
	for _, d := range decisions { // by fate and kind
		if d.Fate == Refused {
			continue
		}
		g := &all[slices.Index(fates, d.Fate)-1]
		if n := len(g.Kinds); n == 0 || g.Kinds[n-1].Title != kindTitle(d.Kind) {
			g.Kinds = append(g.Kinds, kindGroup{Title: kindTitle(d.Kind), at: map[[2]string]int{}})
		}
		g.Kinds[len(g.Kinds)-1].add(d)
	}
	for i := range all {
		for j := range all[i].Kinds {
			k := &all[i].Kinds[j]
			k.Open = k.Count == 1
			slices.SortStableFunc(k.Items, func(a, b sameDecision) int {
				return cmp.Compare(int64(len(b.Where))+b.More, int64(len(a.Where))+a.More)
			})
			shown := head(k.Items)
			for _, x := range k.Items[len(shown):] {
				k.More += int64(len(x.Where)) + x.More
			}
			k.Items = shown
		}
	}
	return slices.DeleteFunc(all, func(g fateGroup) bool { return len(g.Kinds) == 0 })
}

func (k *kindGroup) add(d Decision) {
	k.Count++
	i, ok := k.at[[2]string{d.Why, d.Do}]
	if !ok {
		i = len(k.Items)
		k.at[[2]string{d.Why, d.Do}] = i
		k.Items = append(k.Items, sameDecision{Why: d.Why, Do: d.Do})
	}
	if x := &k.Items[i]; len(x.Where) < mostWheres {
		x.Where = append(x.Where, d.where())
	} else {
		x.More++
	}
}

// kindTitles are the headings of decisions, by kind; a kind without one is its own.
var kindTitles = map[string]string{
	"check": "CHECK constraints", "collation": "Order of texts", "columns": "Columns of a table", "default": "Defaults", "domain": "Domains",
	"encoding": "Encoding", "exclusion": "EXCLUDE constraints", "extension-table": "Tables of extensions", "foreign-key": "Foreign keys",
	"foreign-table": "Foreign tables", "generated": "Generated columns", "identity": "Identities and sequences of columns", "index": "Indexes",
	"indexes": "Indexes of a table", "inherited": "Inheritance", "key": "Primary keys", "key-size": "Length of keys", "key-uuid": "Keys that become UUIDs",
	"large-objects": "Large objects", "name": "Names", "no-catalog": "No catalogue", "no-key": "Tables without a key", "not-carried": "What no export carries",
	"not-exported": "In the catalogue and not in the export", "not-in-catalog": "In the export and not in the catalogue", "objects": "Views, functions and the like",
	"odd-name": "Names that exports skip", "orphans": "Rows that may refer to nothing", "partition": "Partitions", "rule": "Rules of the mapping", "schemas": "Schemas",
	"sequence": "Sequences of their own", "sequential-key": "Keys that grow", "tables": "Number of tables", "type-changed": "Types that changed",
	"type-fit": "Narrower types", "type-refused": "Types without a conversion", "type-text": "Types that become text", "type-wider": "Wider types",
	"unique": "UNIQUE constraints", "unlogged": "Unlogged tables", "value-size": "Length of values", "version": "Version of the source", "writes": "Writes after the snapshot",
}

func kindTitle(kind string) string {
	if t, ok := kindTitles[kind]; ok {
		return t
	}
	kind = strings.ReplaceAll(kind, "-", " ")
	if kind == "" {
		return "Other"
	}
	return strings.ToUpper(kind[:1]) + kind[1:]
}
