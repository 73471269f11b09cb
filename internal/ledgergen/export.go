package ledgergen

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"godwit/internal/ion"
	"godwit/internal/proof"
)

// Binary Ion is flushed every pieceBlocks blocks with the symbols that are new,
// and begins anew with another version marker every streamBlocks: readers meet
// both kinds of symbol table within one object.
const (
	pieceBlocks  = 16
	streamBlocks = 64
)

// An exporter writes blocks as one or more export jobs did.
type exporter struct {
	options    Options
	ledger     string // its name
	strand     string
	encryption string // as the manifests name it
	unnamed    bool   // the format was not asked for by name: manifests are silent about it
	ids        idMaker
	write      func(Object) error

	tree   proof.Tree // over all blocks, watching the last one
	proofs []jobProof
	job    *job
	done   int       // jobs that ended
	cut    time.Time // end of the window under way, once it is known
	last   time.Time // of the last block
	stats  Ledger    // what only the exporter counts
}

// A jobProof follows the last block of a job up to the digest.
type jobProof struct {
	export string
	last   int64
	at     time.Time
	tree   proof.Tree
}

// A job is one call of ExportJournalToS3.
type job struct {
	id     string
	start  time.Time // of the window
	keys   []string  // of data objects, below the prefix
	body   []byte
	writer ion.Writer
	hour   string
	first  int64
	blocks int // in the object under way
	last   int64
	at     time.Time // of the last block
}

func newExporter(o Options, strand string, write func(Object) error) *exporter {
	seed := mix(o.Seed+1) ^ mix(uint64(o.Documents)+2) ^ mix(uint64(o.Unmappable)<<32+3) ^ mix(uint64(o.FromBlock)<<1) ^ mix(uint64(o.UntilBlock)<<1|1)
	if o.Unredacted {
		seed = mix(seed) // another export has another id
	}
	return &exporter{options: o, ledger: Name, strand: strand, encryption: "SSE_S3", ids: idMaker{seed: seed}, write: write}
}

// add exports a block, or only notes it when the export leaves it out. Share is
// the part of the ledger that is done; it says when windows end.
func (e *exporter) add(b *block, share float64) error {
	wanted := b.sequence >= e.options.FromBlock && (e.options.UntilBlock == 0 || b.sequence < e.options.UntilBlock)
	if e.job != nil && (!wanted || !e.cut.IsZero() && !b.at.Before(e.cut)) {
		if err := e.endJob(e.cut); err != nil {
			return err
		}
	}
	if wanted {
		if e.job == nil {
			e.job = &job{id: e.ids.id(), start: e.cut, last: -1}
			if e.done == 0 {
				e.job.start = b.at.Truncate(time.Second)
			}
			e.cut = time.Time{}
		}
		if err := e.put(b); err != nil {
			return err
		}
		if e.cut.IsZero() && e.done+1 < e.options.Exports && share*float64(e.options.Exports) >= float64(e.done+1) {
			e.cut = b.at.Truncate(time.Second).Add(time.Second)
		}
	}
	e.note(b)
	return nil
}

// note follows the digest over a block, exported or not.
func (e *exporter) note(b *block) {
	for i := range e.proofs {
		e.proofs[i].tree.Add(b.hash)
	}
	e.tree.Watch()
	e.tree.Add(b.hash)
	e.last = b.at
}

func (e *exporter) put(b *block) error {
	j := e.job
	hour := b.at.Format("2006/01/02/15/")
	if j.blocks > 0 && (hour != j.hour || j.blocks >= e.options.BlocksPerObject) {
		if err := e.endObject(); err != nil {
			return err
		}
	}
	if j.blocks == 0 {
		j.hour, j.first = hour, b.sequence
	}
	j.blocks++
	j.last, j.at = b.sequence, b.at
	e.stats.Blocks++
	e.stats.LastBlock, e.stats.LastHash = b.sequence, b.hash
	switch e.options.Format {
	case IonText:
		j.body = append(b.value.appendText(j.body), '\n')
	case JSON:
		j.body = append(b.value.appendJSON(j.body), '\n')
	default:
		b.value.write(&j.writer)
		if j.blocks%pieceBlocks == 0 {
			if err := j.flush(); err != nil {
				return fmt.Errorf("write block %d: %w", b.sequence, err)
			}
		}
		if j.blocks%streamBlocks == 0 {
			j.writer.Reset()
		}
	}
	return nil
}

// flush moves what the Ion writer holds into the object.
func (j *job) flush() (err error) {
	if j.writer.Len() > 0 || j.writer.Err() != nil {
		j.body, err = j.writer.AppendTo(j.body)
	}
	return err
}

func (e *exporter) endObject() error {
	j := e.job
	if j.blocks == 0 {
		return nil
	}
	if err := j.flush(); err != nil {
		return fmt.Errorf("write blocks %d to %d: %w", j.first, j.last, err)
	}
	j.writer.Reset()
	extension := "ion"
	if e.options.Format == JSON {
		extension = "json"
	}
	key := fmt.Sprintf("%s%s.%d-%d.%s", j.hour, e.strand, j.first, j.last, extension)
	j.keys = append(j.keys, key)
	e.stats.Objects++
	e.stats.Bytes += int64(len(j.body))
	err := e.write(Object{Key: withPrefix(e.options.Prefix, key), Body: j.body, First: j.first, Last: j.last})
	j.body, j.blocks = j.body[:0], 0
	return err
}

// endJob ends the job under way: its last object, its manifests.
func (e *exporter) endJob(end time.Time) error {
	j := e.job
	if err := e.endObject(); err != nil {
		return err
	}
	if end.IsZero() {
		end = e.last.Truncate(time.Second).Add(time.Second)
	}
	if err := e.writeStarted(end); err != nil {
		return err
	}
	if err := e.writeCompleted(); err != nil {
		return err
	}
	if len(j.keys) > 0 {
		e.stats.ExportIDs = append(e.stats.ExportIDs, j.id)
		e.proofs = append(e.proofs, jobProof{export: j.id, last: j.last, at: j.at, tree: e.tree.Clone()})
	}
	e.job = nil
	e.done++
	return nil
}

// writeStarted writes the manifest of the job's beginning.
func (e *exporter) writeStarted(end time.Time) error {
	started := structure(
		field{"ledgerName", text(e.ledger)},
		field{"exportId", text(e.job.id)},
		field{"inclusiveStartTime", instant(e.job.start)},
		field{"exclusiveEndTime", instant(end)},
		field{"bucket", text(e.options.Bucket)},
		field{"prefix", text(e.options.OriginalPrefix)},
		field{"objectEncryptionType", text(e.encryption)})
	if !e.unnamed {
		started.fields = append(started.fields, field{"outputFormat", text(string(e.options.Format))})
	}
	return e.manifest(e.job.id+".started.manifest", started)
}

// writeCompleted writes the manifest of the job's objects.
func (e *exporter) writeCompleted() error {
	keys := list()
	for _, key := range e.job.keys {
		keys.items = append(keys.items, text(withPrefix(e.options.OriginalPrefix, key)))
	}
	return e.manifest(e.completed(e.job.id), structure(field{"keys", keys}))
}

// completed is the key of a completion manifest below the prefix.
func (e *exporter) completed(id string) string { return id + "." + e.strand + ".completed.manifest" }

// manifest writes a manifest in the export's own format.
func (e *exporter) manifest(key string, v value) error {
	var body []byte
	switch e.options.Format {
	case IonText:
		body = v.appendText(nil)
	case JSON:
		body = v.appendJSON(nil)
	default:
		var w ion.Writer
		v.write(&w)
		var err error
		if body, err = w.AppendTo(nil); err != nil {
			return fmt.Errorf("write manifest %s: %w", key, err)
		}
	}
	return e.write(Object{Key: withPrefix(e.options.Prefix, key), Body: body, First: -1, Last: -1})
}

// finish ends the last job, and adds the empty jobs of windows that no block
// fell into.
func (e *exporter) finish(l *Ledger) error {
	for e.done < e.options.Exports {
		if e.job == nil {
			start := e.last.Truncate(time.Second).Add(time.Duration(e.done) * time.Second)
			e.job = &job{id: e.ids.id(), start: start}
			e.cut = start.Add(time.Second)
		}
		if err := e.endJob(e.cut); err != nil {
			return err
		}
	}
	s := e.stats
	l.ExportIDs, l.Blocks, l.LastBlock, l.LastHash, l.Objects, l.Bytes = s.ExportIDs, s.Blocks, s.LastBlock, s.LastHash, s.Objects, s.Bytes
	return nil
}

// writeProofs writes what the sample's last step asked QLDB for: the proof of
// each job's last block under the digest.
func (e *exporter) writeProofs(l *Ledger) error {
	if e.options.Layout != AWSSample {
		return nil
	}
	type address struct {
		Strand   string `json:"strandId"`
		Sequence int64  `json:"sequenceNo"`
	}
	for i := range e.proofs {
		p := &e.proofs[i]
		path := []string{}
		for _, h := range p.tree.Path() {
			path = append(path, h.String())
		}
		body, err := json.Marshal(struct {
			Ledger             string
			Digest             string
			DigestTipAddress   address
			Export             string
			LastBlockNum       int64
			LastBlockTimestamp string
			Proof              []string
		}{l.Name, l.Digest.String(), address{l.Strand, l.Tip}, p.export, p.last, p.at.Format("2006-01-02T15:04:05.000000Z"), path})
		if err != nil {
			return fmt.Errorf("write proofs of export %s: %w", p.export, err)
		}
		key := e.completed(p.export) + p.export + "." + e.strand + ".proofs.json"
		if err := e.write(Object{Key: withPrefix(e.options.Prefix, key), Body: body, First: -1, Last: -1}); err != nil {
			return err
		}
	}
	return nil
}

// withPrefix puts the export's prefix before a key; the service added the slash.
func withPrefix(prefix, key string) string {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return prefix + key
	}
	return prefix + "/" + key
}
