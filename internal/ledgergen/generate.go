package ledgergen

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"godwit/internal/proof"
)

// window bounds the documents that later transactions may still change; older
// ones keep their last revision for ever. It is what keeps memory flat.
const window = 2048

// Shares of the journal's revisions, in a hundred: the rest inserts.
const (
	updateShare = 40
	deleteShare = 3
)

// A document that may still change.
type document struct {
	table   int // index in Ledger.Tables
	id      string
	version int64
	data    value
	// doomed is set while the revision is written as redacted and the document
	// waits for the newer revision that QLDB demands before it redacts.
	doomed *value
	busy   bool // already written in the transaction under way
}

// A generator lives a ledger's life: transaction after transaction.
type generator struct {
	options Options
	random  random
	ids     idMaker
	author  author
	chain   chain
	ledger  Ledger
	// emit takes each block in turn; share is the part of the ledger that is
	// done with it, 0 to 1.
	emit func(b *block, share float64) error
	at   time.Time

	live                       []document
	redactions                 []value // asked for by coming transactions
	inserted, updated, deleted int
	redactedOnce               bool
	wanted                     int   // documents to be inserted, so far
	later                      int64 // first block of what Options.Later adds; 0 until then
	settling                   bool  // no new redactions
}

// errEnough ends a life at the block that the options say.
var errEnough = errors.New("the ledger has as many blocks as were asked for")

// run lives the ledger's life, or the part of it that the options ask for.
func (g *generator) run() error {
	switch err := g.life(); {
	case errors.Is(err, errEnough):
		return nil
	case err != nil:
		return err
	case g.options.Blocks > g.chain.next:
		return fmt.Errorf("%d documents make %d blocks, not the %d asked for: ask for more documents", g.options.Documents, g.chain.next, g.options.Blocks)
	}
	return nil
}

func (g *generator) life() error {
	// A ledger begins with QLDB's own blocks.
	if err := g.seal(&transaction{internal: 2, silent: true}); err != nil {
		return err
	}
	if err := g.seal(&transaction{silent: true}); err != nil {
		return err
	}
	for _, name := range []string{vehicleRegistration, driversLicense, vehicle, person, note} {
		if err := g.createTable(name); err != nil {
			return err
		}
	}
	// The first DriversLicense table is dropped and created again.
	dropAt := g.options.Documents / 5
	for dropped := false; g.inserted < g.wanted; {
		if !dropped && g.inserted >= dropAt {
			dropped = true
			if err := g.recreateTable(driversLicense); err != nil {
				return err
			}
		}
		if err := g.step(); err != nil {
			return err
		}
	}
	for i := range g.options.Unmappable {
		if err := g.unmappable(i); err != nil {
			return err
		}
	}
	if err := g.settle(); err != nil {
		return err
	}
	return g.goOn()
}

// goOn is what Options.Later adds.
func (g *generator) goOn() error {
	if g.options.Later == 0 {
		return nil
	}
	g.later, g.redactedOnce = g.chain.next, false
	g.author.later = true
	if err := g.createTable(inspection); err != nil {
		return err
	}
	grow := func(documents int) error {
		for g.wanted += documents; g.inserted < g.wanted; {
			if err := g.step(); err != nil {
				return err
			}
		}
		return nil
	}
	half := g.options.Later / 2
	if err := grow(half); err != nil {
		return err
	}
	if err := g.recreateTable(driversLicense); err != nil {
		return err
	}
	if err := grow(g.options.Later - half); err != nil {
		return err
	}
	return g.settle()
}

// export ends the export of a ledger that lived, and takes its digest.
func (g *generator) export(x *exporter) error {
	if err := x.finish(&g.ledger); err != nil {
		return err
	}
	if g.options.Layout == AWSSample {
		// QLDB goes on writing blocks of its own; the digest covers them.
		for range 3 {
			g.at = g.at.Add(time.Minute)
			b, err := g.chain.add(&transaction{silent: true}, g.at)
			if err != nil {
				return err
			}
			g.ledger.Tip = b.sequence
			x.note(&b)
		}
	}
	g.ledger.Digest = x.tree.Root()
	return x.writeProofs(&g.ledger)
}

// step adds one block: mostly one that changes documents.
func (g *generator) step() error {
	if len(g.redactions) > 0 {
		return g.redact()
	}
	switch n := g.random.below(100); {
	case n < 3:
		return g.seal(&transaction{silent: true, internal: g.random.below(2)})
	case n < 8: // reads are journalled too
		return g.seal(&transaction{statements: []statement{{text: "SELECT * FROM Vehicle AS v WHERE v.VIN = ?"}}})
	}
	return g.change()
}

// change adds a block with 1 to 40 revisions.
func (g *generator) change() error {
	size := 1
	switch n := g.random.below(10); {
	case n >= 8:
		size = g.random.between(9, 40)
	case n >= 5:
		size = g.random.between(2, 8)
	}
	tx := &transaction{}
	for range size {
		var err error
		revisions := g.inserted + g.updated + g.deleted + 1
		switch {
		case g.updated*100 < updateShare*revisions && g.random.chance(700):
			err = g.update(tx, g.idle(false))
		case g.deleted*100 < deleteShare*revisions && g.random.chance(300):
			g.delete(tx, g.idle(true))
		case g.inserted < g.wanted:
			err = g.insert(tx)
		}
		if err != nil {
			return err
		}
	}
	return g.finish(tx)
}

// finish seals a transaction that changed documents, and frees them.
func (g *generator) finish(tx *transaction) error {
	if len(tx.revisions) == 0 {
		return nil
	}
	for i := 0; i < len(g.live); i++ {
		g.live[i].busy = false
	}
	return g.seal(tx)
}

// idle returns the index of a live document that this transaction did not touch
// yet, or -1. One that waits for its newer revision comes first.
func (g *generator) idle(deleting bool) int {
	if len(g.live) == 0 {
		return -1
	}
	if !deleting {
		for i := range min(len(g.live), 8) {
			if g.live[i].doomed != nil && !g.live[i].busy {
				return i
			}
		}
	}
	for range 8 {
		if i := g.random.below(len(g.live)); !g.live[i].busy && (!deleting || g.live[i].doomed == nil) {
			return i
		}
	}
	return -1
}

func (g *generator) insert(tx *transaction) error {
	name := g.author.table()
	table := g.active(name)
	id := g.ids.id()
	data := g.author.document(name, id)
	parameter, err := g.chain.hasher.hash(&data)
	if err != nil {
		return err
	}
	said := int64(len(tx.statements))
	tx.statements = append(tx.statements, statement{"INSERT INTO " + name + " ?", []proof.Hash{parameter}})
	saidBy := []int64{said}
	if g.random.chance(30) {
		// Several statements on one document are one revision, and a statement
		// that touched it twice is listed twice.
		var text string
		data, text = g.author.change(name, data)
		tx.statements = append(tx.statements, statement{text: text})
		saidBy = append(saidBy, said+1, said+1)
	}
	d := document{table: table, id: id, data: data, busy: true}
	if len(g.live) < window {
		g.live = append(g.live, d)
	} else if i := g.random.below(window); g.live[i].doomed == nil {
		g.live[i] = d
	}
	g.inserted++
	g.ledger.Tables[table].Current++
	g.write(tx, revision{id: id, data: &data, saidBy: saidBy}, table)
	return nil
}

func (g *generator) update(tx *transaction, i int) error {
	if i < 0 {
		return nil
	}
	d := &g.live[i]
	name := g.ledger.Tables[d.table].Name
	data, said := g.author.change(name, d.data)
	parameter, err := g.chain.hasher.hash(&data)
	if err != nil {
		return err
	}
	saidBy := []int64{int64(len(tx.statements))}
	tx.statements = append(tx.statements, statement{said, []proof.Hash{parameter}})
	if d.doomed != nil {
		g.redactions = append(g.redactions, *d.doomed)
		d.doomed = nil
	}
	d.version++
	d.data, d.busy = data, true
	g.updated++
	r := revision{id: d.id, version: d.version, data: &data, saidBy: saidBy}
	if !g.settling && (g.random.chance(3) || !g.redactedOnce) {
		// Unless asked otherwise the export is made after the redaction: the data is
		// gone already.
		g.redactedOnce, r.redacted = true, !g.options.Unredacted && g.later == 0
		address := structure(
			field{"blockAddress", g.chain.address()},
			field{"tableId", text(g.ledger.Tables[d.table].ID)},
			field{"documentId", text(d.id)},
			field{"version", integer(d.version)})
		d.doomed = &address
		g.ledger.Tables[d.table].Redacted++
	}
	g.write(tx, r, d.table)
	return nil
}

func (g *generator) delete(tx *transaction, i int) {
	if i < 0 {
		return
	}
	d := g.live[i]
	g.live[i] = g.live[len(g.live)-1]
	g.live = g.live[:len(g.live)-1]
	name := g.ledger.Tables[d.table].Name
	saidBy := []int64{int64(len(tx.statements))}
	tx.statements = append(tx.statements, statement{text: "DELETE FROM " + name + " AS d BY id WHERE id = '" + d.id + "'"})
	g.deleted++
	g.ledger.Tables[d.table].Current--
	g.ledger.Tables[d.table].Deleted++
	g.write(tx, revision{id: d.id, version: d.version + 1, saidBy: saidBy}, d.table)
}

// unmappable adds a block with the i-th revision that a loader must refuse.
func (g *generator) unmappable(i int) error {
	name, data, id := note, structure(field{"body", text("NUL \x00 inside")}), g.ids.id()
	version, said := int64(0), "INSERT INTO "
	switch i % 3 {
	case 1:
		name, data = person, g.author.document(person, id).with("LastName", text(strings.Repeat("x", 101)))
	case 2:
		for i := range g.live {
			d := &g.live[i]
			if g.ledger.Tables[d.table].Name != vehicle || d.doomed != nil || d.data.get(colour).is(longColour) {
				continue
			}
			d.version++
			d.data = d.data.with(colour, text(longColour))
			name, data, id, version, said = vehicle, d.data, d.id, d.version, "UPDATE "
			break
		}
	}
	table := g.active(name)
	if version == 0 {
		g.ledger.Tables[table].Current++
	}
	g.ledger.Tables[table].Refused++
	tx := &transaction{statements: []statement{{text: said + name + " ?"}}}
	g.write(tx, revision{id: id, version: version, data: &data, saidBy: []int64{0}}, table)
	return g.seal(tx)
}

// longColour does not fit the public sample's column.
const longColour = "the colour of a summer sky"

func (g *generator) write(tx *transaction, r revision, table int) {
	t := &g.ledger.Tables[table]
	t.Revisions++
	r.table, r.name = t.ID, t.Name
	tx.revisions = append(tx.revisions, r)
}

// redact adds the block in which one redaction is asked for.
func (g *generator) redact() error {
	r := g.redactions[0]
	g.redactions = g.redactions[1:]
	said := fmt.Sprintf("EXEC REDACT_REVISION `%s`, '%s', '%s'", r.get("blockAddress").appendText(nil), r.get("tableId").text, r.get("documentId").text)
	return g.seal(&transaction{statements: []statement{{text: said}}, redaction: &r})
}

// settle gives every redacted revision its newer one and its redaction block.
func (g *generator) settle() error {
	g.settling = true
	defer func() { g.settling = false }()
	for i := range g.live {
		if g.live[i].doomed == nil {
			continue
		}
		tx := &transaction{}
		if err := g.update(tx, i); err != nil {
			return err
		}
		if err := g.finish(tx); err != nil {
			return err
		}
	}
	for len(g.redactions) > 0 {
		if err := g.redact(); err != nil {
			return err
		}
	}
	return nil
}

// active returns the index of the table that has the name now.
func (g *generator) active(name string) int {
	for i, t := range g.ledger.Tables {
		if t.Active && t.Name == name {
			return i
		}
	}
	return 0
}

func (g *generator) createTable(name string) error {
	g.ledger.Tables = append(g.ledger.Tables, Table{Name: name, ID: g.ids.id(), Active: true})
	// The catalogue's own revisions come as hashes only.
	err := g.seal(&transaction{internal: 1, statements: []statement{{text: "CREATE TABLE " + name}}})
	if err != nil {
		return err
	}
	indexes := map[string][]string{
		person: {"GovId"}, vehicle: {"VIN"}, vehicleRegistration: {"VIN", "LicensePlateNumber"}, driversLicense: {"PersonId"},
	}
	for _, column := range indexes[name] {
		said := fmt.Sprintf("CREATE INDEX ON %s (%s)", name, column)
		if err := g.seal(&transaction{internal: 1, statements: []statement{{text: said}}}); err != nil {
			return err
		}
	}
	return nil
}

// recreateTable drops a table with all its documents, without revisions of
// theirs, and creates another of the same name.
func (g *generator) recreateTable(name string) error {
	if err := g.settle(); err != nil { // a dropped table's revisions cannot be redacted
		return err
	}
	table := g.active(name)
	g.ledger.Tables[table].Active = false
	kept := g.live[:0]
	for _, d := range g.live {
		if d.table != table {
			kept = append(kept, d)
		}
	}
	g.live = kept
	if err := g.seal(&transaction{internal: 1, statements: []statement{{text: "DROP TABLE " + name}}}); err != nil {
		return err
	}
	return g.createTable(name)
}

// seal makes a block of tx and hands it on. What the oracle counts is counted
// by then, so that a ledger that ends here has a right one.
func (g *generator) seal(tx *transaction) error {
	g.advance()
	b, err := g.chain.add(tx, g.at)
	if err != nil {
		return err
	}
	g.ledger.Tip = b.sequence
	if err := g.emit(&b, g.share()); err != nil {
		return err
	}
	if g.chain.next == g.options.Blocks {
		return errEnough
	}
	return nil
}

// share is the part of the ledger that is done, 0 to 1.
func (g *generator) share() float64 {
	if g.options.Blocks > 0 {
		return float64(g.chain.next) / float64(g.options.Blocks)
	}
	return float64(g.inserted) / float64(max(g.options.Documents+g.options.Later, 1))
}

// advance moves the clock: most blocks follow within milliseconds, many within
// the same one, and now and then the ledger rests for a while.
func (g *generator) advance() {
	busy := min(max(g.options.Documents/20, 60), 20_000) // blocks between two rests
	if same := g.options.SameTime; same > 0 {
		if g.random.below(100) < same {
			return
		}
		g.at = g.at.Add(time.Millisecond)
	}
	switch {
	case g.random.below(busy) == 0:
		g.at = g.at.Add(time.Duration(g.random.between(20*60, 100*60)) * time.Second)
	case g.random.chance(600):
		g.at = g.at.Add(time.Duration(g.random.below(40)) * time.Millisecond)
	}
}
