package iam

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// A Use is the account of one allowing statement.
type Use struct {
	Ref     Ref
	Allowed int      // how often it was the reason of an allow
	Sole    int      // how often it was the only one
	Actions []string // that it was the reason for, sorted
	Text    string   // the statement as JSON
}

// Uses lists every allowing statement in stack order: of identity, trust and
// resource policies. Where several statements allow a call, the first counts, so
// that a redundant one shows as unused.
func (j *Judge) Uses() []Use {
	j.mu.Lock()
	defer j.mu.Unlock()
	var uses []Use
	for _, s := range j.all {
		if s.allow && !s.removed {
			uses = append(uses, Use{s.ref, s.used, s.sole, slices.Sorted(maps.Keys(s.actions)), s.text})
		}
	}
	return uses
}

// Unused lists the allowing statements that were never the reason of an allow.
func (j *Judge) Unused() []Use {
	return slices.DeleteFunc(j.Uses(), func(u Use) bool { return u.Allowed > 0 })
}

// Needed lists the statements that were at least once the only reason of an
// allow: without one of them that run would have failed.
func (j *Judge) Needed() []Ref {
	var refs []Ref
	for _, u := range j.Uses() {
		if u.Sole > 0 {
			refs = append(refs, u.Ref)
		}
	}
	return refs
}

// Remove takes statements out of the judgement.
func (j *Judge) Remove(refs ...Ref) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, ref := range refs {
		i := slices.IndexFunc(j.all, func(s *statement) bool { return s.ref == ref })
		if i < 0 {
			return fmt.Errorf("no policy has the statement %s", ref)
		}
		j.all[i].removed = true
	}
	return nil
}

// Pick chooses n of the refs, or all if there are fewer, by seed: the same seed
// chooses the same ones.
func Pick(refs []Ref, seed uint64, n int) []Ref {
	picked := slices.Clone(refs)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(picked), func(i, k int) { picked[i], picked[k] = picked[k], picked[i] })
	return picked[:min(n, len(picked))]
}
