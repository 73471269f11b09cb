// Package qldb is the QLDB of the local AWS: ledgers that ledgergen makes, with
// digests, blocks, revisions and proofs that are true, exports of their journals
// to the local S3, and streams of them to the local Kinesis. It speaks restJson1 as the SDK's client does, and
// answers what QLDB answered until it closed on 2025-07-31: its limits, its
// clamps and its errors, by the words of its developer guide.
//
// It leaves the hash arithmetic and the objects of an export to ledgergen,
// judging to the gateway, and storing to the local S3. It has no PartiQL: a
// ledger grows because a test says so.
//
// A stream writes what the Kinesis Producer Library writes, aggregates over the
// stream's shards, block after block as its ledger grows, or in disorder where a
// seed asks for it.
//
// Promises: an export runs beside the calls, writes with the credentials of the
// role that it was given and nothing else, and is IN_PROGRESS until its last
// object is stored; what is not served is an error by name; Close ends every
// export and leaves no file behind.
//
// The guide's chapter "Common errors for journal export" says that QLDB tried
// the bucket when an export was asked for, so here the first object is stored
// before the call is answered: a role that may not write is refused at once, and
// what is denied later cancels the export. What no document says is chosen here:
// the HTTP statuses of errors, their ResourceType, and InvalidParameterException
// for what the guide calls IllegalArgumentException.
package qldb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/ledgergen"
	"godwit/internal/local/gateway"
)

// Config is what a Service needs to know.
type Config struct {
	Account string
	Region  string
	// Gateway has the S3 that exports are written to, and issues the
	// credentials of their roles.
	Gateway *gateway.Gateway
	// Roles says whether QLDB may assume a role.
	Roles interface {
		// CanAssume returns nil, a *gateway.AccessDenied, or what else is wrong.
		CanAssume(role, service string, condition map[string]string) error
	}
	Folder string           // for the ledgers' files while they are open; "" is the system's
	Now    func() time.Time // nil is time.Now
	// Disorder seeds how streams deliver: in any order within some blocks, and some
	// messages twice. 0 delivers in the journal's order, once.
	Disorder uint64
}

// A Ledger is a ledger to be made.
type Ledger struct {
	Name string // "" is ledgergen.Name
	// Options choose the ledger; what they say of exports, but for
	// BlocksPerObject, does not matter.
	ledgergen.Options
	// Visible is how many of its blocks there are to begin with: Grow shows
	// more. 0 is all but those that Options.Later adds.
	Visible int64
}

// A Service answers for its ledgers. It may be used concurrently.
type Service struct {
	config Config
	ctx    context.Context // of all exports and streams; ends with Close
	stop   context.CancelFunc
	jobs   sync.WaitGroup

	mu      sync.Mutex
	ledgers map[string]*ledger
	exports []*export        // in the order in which they began
	streams []*journalStream // likewise
	news    chan struct{}    // closed and replaced when a ledger grew, or a stream went on
	begun   int              // exports, forgotten ones included, and streams
	holds   int              // calls of Hold without their release
	gate    chan struct{}    // of exports that are held; closed by the last release
}

var _ gateway.Service = (*Service)(nil)

// A ledger is one that is there. journal and name never change.
type ledger struct {
	name    string
	journal *ledgergen.Journal
	visible int64 // blocks
	running int   // exports in progress
	most    int   // greatest number of them so far
}

// New makes a service without ledgers. Close it after use.
func New(c Config) (*Service, error) {
	if c.Account == "" || c.Region == "" || c.Gateway == nil || c.Roles == nil {
		return nil, errors.New("local qldb needs an account, a region, a gateway and a judge of roles")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Service{config: c, ctx: ctx, stop: stop, ledgers: map[string]*ledger{}, news: make(chan struct{})}, nil
}

// Close ends the exports and streams under way and frees the ledgers.
func (s *Service) Close() error {
	s.mu.Lock()
	s.stop() // no export starts from here on
	s.mu.Unlock()
	s.jobs.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range s.ledgers {
		errs = append(errs, l.journal.Close())
	}
	s.ledgers = map[string]*ledger{}
	return errors.Join(errs...)
}

// Create adds a ledger.
func (s *Service) Create(l Ledger) error {
	if l.Name == "" {
		l.Name = ledgergen.Name
	}
	if !validName(l.Name) {
		return fmt.Errorf("create ledger %q: a name has 1 to 32 letters, digits and single hyphens between them, and not digits alone", l.Name)
	}
	j, err := ledgergen.NewJournal(l.Options, s.config.Folder)
	if err != nil {
		return fmt.Errorf("create ledger %s: %w", l.Name, err)
	}
	if l.Visible == 0 {
		l.Visible = j.Later()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.Visible < 0 || l.Visible > j.Len():
		err = fmt.Errorf("create ledger %s: %d documents make %d blocks, and %d are to be visible", l.Name, l.Documents, j.Len(), l.Visible)
	case s.ledgers[l.Name] != nil:
		err = fmt.Errorf("create ledger %s: it exists", l.Name)
	}
	if err != nil {
		return errors.Join(err, j.Close())
	}
	s.ledgers[l.Name] = &ledger{name: l.Name, journal: j, visible: l.Visible}
	return nil
}

// Delete removes a ledger without exports in progress.
func (s *Service) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgers[name]
	switch {
	case l == nil:
		return fmt.Errorf("delete ledger %s: there is none", name)
	case l.running > 0:
		return fmt.Errorf("delete ledger %s: %d exports are in progress", name, l.running)
	case slices.ContainsFunc(s.streams, func(x *journalStream) bool { return x.ledger == l && !x.ended() }):
		return fmt.Errorf("delete ledger %s: a stream of it has not ended", name)
	}
	delete(s.ledgers, name)
	return l.journal.Close()
}

// Grow shows further blocks of a ledger and returns its new tip.
func (s *Service) Grow(name string, blocks int64) (tip int64, err error) {
	defer s.tell()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgers[name]
	switch {
	case l == nil:
		return 0, fmt.Errorf("grow ledger %s: there is none", name)
	case blocks < 0 || l.visible+blocks > l.journal.Len():
		return 0, fmt.Errorf("grow ledger %s: %d of its %d blocks are visible, %d more are not there", name, l.visible, l.journal.Len(), blocks)
	}
	l.visible += blocks
	return l.visible - 1, nil
}

// Oracle is what a right loader finds in a ledger as it is now.
func (s *Service) Oracle(name string) (ledgergen.Ledger, error) {
	s.mu.Lock()
	l := s.ledgers[name]
	if l == nil {
		s.mu.Unlock()
		return ledgergen.Ledger{}, fmt.Errorf("ledger %s: there is none", name)
	}
	visible := l.visible
	s.mu.Unlock()
	oracle, err := l.journal.Oracle(visible)
	oracle.Name = name
	return oracle, err
}

// Journal is a ledger's journal, blocks that are not visible yet included; nil
// when there is no such ledger.
func (s *Service) Journal(name string) *ledgergen.Journal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.ledgers[name]; l != nil {
		return l.journal
	}
	return nil
}

// MostRunning is the greatest number of exports of a ledger that were in
// progress at once.
func (s *Service) MostRunning(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.ledgers[name]; l != nil {
		return l.most
	}
	return 0
}

// Hold keeps exports from ending until release is called: each waits behind its
// first data object, or, with one or none, before it says that it is complete.
func (s *Service) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds++; s.holds == 1 {
		s.gate = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.holds--; s.holds == 0 {
			close(s.gate)
			s.gate = nil
		}
	})
}

// Running are the ids of a ledger's exports in progress, the oldest first.
func (s *Service) Running(ledger string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exports {
		if x.ledger.name == ledger && x.status == inProgress {
			ids = append(ids, x.id)
		}
	}
	return ids
}

// Cancel cancels an export in progress, and returns when it has stopped. QLDB
// had no such operation: it cancelled by itself what could not go on.
func (s *Service) Cancel(id string) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.exports, func(x *export) bool { return x.id == id })
	if i < 0 || s.exports[i].status != inProgress {
		s.mu.Unlock()
		return fmt.Errorf("cancel export %s: it is not in progress", id)
	}
	x := s.exports[i]
	s.mu.Unlock()
	x.cancel(errors.New("it was cancelled"))
	<-x.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.status != cancelled {
		return fmt.Errorf("cancel export %s: it ended before", id)
	}
	return nil
}

// Why says why an export was cancelled; nil for any other.
func (s *Service) Why(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exports {
		if x.id == id {
			return x.err
		}
	}
	return nil
}

var nameLetters = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// validName follows the pattern of the API: letters, digits and hyphens, neither
// two hyphens in a row nor one at an end, and not digits alone.
// https://docs.aws.amazon.com/qldb/latest/developerguide/API_ExportJournalToS3.html
func validName(name string) bool {
	return nameLetters.MatchString(name) && !strings.Contains(name, "--") && strings.Trim(name, "-") == name && strings.Trim(name, "0123456789") != ""
}
