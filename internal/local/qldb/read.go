package qldb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amazon-ion/ion-go/ion"

	"godwit/internal/proof"
)

// A valueHolder holds Ion text.
type valueHolder struct{ IonText string }

// An address is where a block lies.
type address struct {
	strand   string
	sequence int64
}

func (a address) holder() valueHolder {
	return valueHolder{fmt.Sprintf("{strandId:%q,sequenceNo:%d}", a.strand, a.sequence)}
}

// parseAddress reads an address in the parameter of that name.
func parseAddress(parameter string, h *valueHolder) (address, error) {
	if h == nil || h.IonText == "" {
		return address{}, invalid(parameter, parameter+" is missing")
	}
	unparsed := invalid(parameter, "The provided Ion value is not valid and cannot be parsed.")
	wrong := invalid(parameter, "The provided block address is not valid.")
	r := ion.NewReaderString(h.IonText)
	if !r.Next() {
		return address{}, unparsed
	}
	if r.Type() != ion.StructType || r.IsNull() || r.StepIn() != nil {
		return address{}, wrong
	}
	a := address{sequence: -1}
	for r.Next() {
		name, err := r.FieldName()
		if err != nil || name == nil || name.Text == nil || r.IsNull() {
			return address{}, wrong
		}
		switch {
		case *name.Text == "strandId" && r.Type() == ion.StringType:
			text, err := r.StringValue()
			if err != nil {
				return address{}, unparsed
			}
			a.strand = *text
		case *name.Text == "sequenceNo" && r.Type() == ion.IntType:
			number, err := r.Int64Value()
			if err != nil {
				return address{}, wrong
			}
			a.sequence = *number
		default:
			return address{}, wrong
		}
	}
	if r.Err() != nil || r.StepOut() != nil || r.Next() || r.Err() != nil {
		return address{}, unparsed
	}
	if a.strand == "" || a.sequence < 0 {
		return address{}, wrong
	}
	return a, nil
}

// now returns a ledger and how many blocks it has at this moment.
func (s *Service) now(name string) (*ledger, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(name)
	if err != nil {
		return nil, 0, err
	}
	return l, l.visible, nil
}

func (s *Service) getDigest(r request, _ []byte) (any, error) {
	l, blocks, err := s.now(r.ledger)
	if err != nil {
		return nil, err
	}
	return struct {
		Digest           []byte
		DigestTipAddress valueHolder
	}{l.journal.Digest(blocks - 1).Bytes(), address{l.journal.Strand(), blocks - 1}.holder()}, nil
}

// A place is what GetBlock and GetRevision ask for.
type place struct {
	ledger *ledger
	block  int64
	tip    int64 // -1: no proof is asked for
}

// place finds a block, and checks the tip of the digest as QLDB did.
// https://docs.aws.amazon.com/qldb/latest/developerguide/verification.errors.html
func (s *Service) place(name string, block, tip *valueHolder) (place, error) {
	l, blocks, err := s.now(name)
	if err != nil {
		return place{}, err
	}
	at, err := parseAddress("BlockAddress", block)
	if err != nil {
		return place{}, err
	}
	p := place{l, at.sequence, -1}
	strand := l.journal.Strand()
	if tip != nil {
		end, err := parseAddress("DigestTipAddress", tip)
		if err != nil {
			return place{}, err
		}
		switch {
		case end.strand != at.strand:
			return place{}, invalid("DigestTipAddress", "The Strand ID of the provided block address must match the Strand ID of the provided digest tip address.")
		case end.sequence >= blocks:
			return place{}, invalid("DigestTipAddress", "The sequence number of the provided digest tip address is beyond the strand's latest committed record.")
		case at.sequence < blocks && at.sequence > end.sequence:
			return place{}, invalid("BlockAddress", "The sequence number of the provided block address must not be greater than the sequence number of the provided digest tip address.")
		}
		p.tip = end.sequence
	}
	switch {
	case at.strand != strand:
		return place{}, invalid("BlockAddress", "The Strand ID of the provided block address is not valid.")
	case at.sequence >= blocks:
		return place{}, invalid("BlockAddress", "The sequence number of the provided block address is beyond the strand's latest committed record.")
	}
	return p, nil
}

func (s *Service) getBlock(r request, body []byte) (any, error) {
	var in struct{ BlockAddress, DigestTipAddress *valueHolder }
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	p, err := s.place(r.ledger, in.BlockAddress, in.DigestTipAddress)
	if err != nil {
		return nil, err
	}
	b, err := p.ledger.journal.Block(p.block)
	if err != nil {
		return nil, err
	}
	var out struct {
		Block valueHolder
		Proof *valueHolder `json:",omitempty"`
	}
	out.Block.IonText = b.Text()
	if p.tip >= 0 {
		out.Proof = proofText(p.ledger.journal.Path(p.block, p.tip))
	}
	return out, nil
}

func (s *Service) getRevision(r request, body []byte) (any, error) {
	var in struct {
		BlockAddress, DigestTipAddress *valueHolder
		DocumentId                     string
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	p, err := s.place(r.ledger, in.BlockAddress, in.DigestTipAddress)
	if err != nil {
		return nil, err
	}
	b, err := p.ledger.journal.Block(p.block)
	if err != nil {
		return nil, err
	}
	for _, revision := range b.Revisions {
		if revision.DocumentID != in.DocumentId {
			continue
		}
		var out struct {
			Revision valueHolder
			Proof    *valueHolder `json:",omitempty"`
		}
		out.Revision.IonText = b.RevisionText(revision)
		if p.tip >= 0 {
			out.Proof = proofText(append(b.Path(revision), p.ledger.journal.Path(p.block, p.tip)...))
		}
		return out, nil
	}
	return nil, invalid("DocumentId", "The provided Document ID can't be found in the block at the specified block address.")
}

// proofText is a proof as Ion text: a list of blobs.
func proofText(path []proof.Hash) *valueHolder {
	blobs := make([]string, len(path))
	for i, h := range path {
		blobs[i] = "{{" + h.String() + "}}"
	}
	return &valueHolder{"[" + strings.Join(blobs, ",") + "]"}
}

func (s *Service) describeLedger(r request, _ []byte) (any, error) {
	l, _, err := s.now(r.ledger)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"Arn": s.arn(l.name), "Name": l.name, "State": "ACTIVE", "PermissionsMode": "STANDARD", "DeletionProtection": true,
		"CreationDateTime":      seconds(l.journal.At(0)),
		"EncryptionDescription": map[string]string{"KmsKeyArn": "AWS_OWNED_KMS_KEY", "EncryptionStatus": "ENABLED"},
	}, nil
}

type ledgerSummary struct {
	CreationDateTime float64
	Name, State      string
}

func (s *Service) listLedgers(r request, _ []byte) (any, error) {
	s.mu.Lock()
	var all []ledgerSummary
	for _, l := range s.ledgers {
		all = append(all, ledgerSummary{seconds(l.journal.At(0)), l.name, "ACTIVE"})
	}
	s.mu.Unlock()
	name := func(l ledgerSummary) string { return l.Name }
	slices.SortFunc(all, func(a, b ledgerSummary) int { return strings.Compare(a.Name, b.Name) })
	some, next, err := page(r, all, name)
	if err != nil {
		return nil, err
	}
	return struct {
		Ledgers   []ledgerSummary
		NextToken *string `json:",omitempty"`
	}{some, next}, nil
}
