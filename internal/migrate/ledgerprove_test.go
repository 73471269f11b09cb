package migrate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
	"godwit/internal/proof"
	"godwit/internal/report"
)

func (m *machine) provePlan() (migrate.ProvePlanOut, error) {
	h := &migrate.ProvePlan{Objects: m.objects, WorkBucket: workBucket, Archives: []migrate.AllowedArchive{{Bucket: archiveBucket}}}
	out, err := h.Handle(context.Background(), migrate.PlanIn{Input: json.RawMessage(m.input), Execution: "x"})
	return pass[migrate.ProvePlanOut](m.t, out), err
}

func (m *machine) proveBlocks(in migrate.ProveIn) (migrate.WorkOut, error) {
	ctx, cancel, now := m.context()
	defer cancel()
	h := &migrate.ProveBlocks{Objects: m.objects, WorkBucket: workBucket, StepBytes: m.segmentBytes, Now: now}
	out, err := h.Handle(ctx, pass[migrate.ProveIn](m.t, in))
	return pass[migrate.WorkOut](m.t, out), err
}

func (m *machine) proveReport(id string) (migrate.ProveReportOut, error) {
	h := &migrate.ProveReport{Objects: m.objects, WorkBucket: workBucket, Now: func() time.Time { return time.Time{} }}
	return h.Handle(context.Background(), migrate.ProveReportIn{ProofId: id, Execution: "x"})
}

// prove does a whole LedgerProve, each call twice, and returns the report that it
// left, which must be there also when the proof stops.
func (m *machine) prove() (migrate.ProveReportOut, report.Prove, error) {
	m.t.Helper()
	none := func(err error) (migrate.ProveReportOut, report.Prove, error) {
		return migrate.ProveReportOut{}, report.Prove{}, err
	}
	p, err := m.provePlan()
	if err != nil {
		return none(err)
	}
	if again, err := m.provePlan(); err != nil || again != p {
		m.t.Errorf("the plan is %+v, then %+v, %v", p, again, err)
	}
	items := lines[migrate.Item](m.t, m.objects, p.Items)
	for i := 0; i < len(items); i += batch {
		in := migrate.ProveIn{ProofId: p.ProofId, Items: items[i:min(i+batch, len(items))]}
		for turn := 0; ; turn++ {
			if turn > 10_000 {
				m.t.Fatal("a child does not end")
			}
			out, err := m.proveBlocks(in)
			if err != nil {
				return none(err)
			}
			if again, err := m.proveBlocks(in); err != nil || cmp.Diff(out, again) != "" {
				m.t.Errorf("a turn gives %+v, then %+v, %v", out, again, err)
			}
			if out.Done {
				break
			}
			in.Resume = out.Resume
		}
	}
	out, err := m.proveReport(p.ProofId)
	if again, anew := m.proveReport(p.ProofId); again != out || fmt.Sprint(anew) != fmt.Sprint(err) {
		m.t.Errorf("the report gives %+v, %v, then %+v, %v", out, err, again, anew)
	}
	b, missing := m.objects.read(workBucket, "proofs/"+p.ProofId+"/report.json")
	if missing != nil {
		m.t.Fatal(missing)
	}
	r, wrong := report.ParseProve(b)
	if wrong != nil {
		m.t.Fatal(wrong)
	}
	return out, r, err
}

// What LedgerProve finds is what a load of the same archive finds, in every
// format, wherever calls hand on.
func TestProofFindsWhatTheLoadFinds(t *testing.T) {
	for _, o := range []ledgergen.Options{
		{Format: ledgergen.IonBinary, Exports: 2}, {Format: ledgergen.IonText}, {Format: ledgergen.JSON}, {Layout: ledgergen.AWSSample},
	} {
		o.Seed, o.Documents, o.Prefix, o.BlocksPerObject = 3, 80, prefix, 7
		t.Run(fmt.Sprintf("%s %s", o.Format, o.Layout), func(t *testing.T) {
			m := newMachine(t, "")
			m.input = held(m.generate(o))
			loaded, _ := m.mustRun()
			want := m.readProof(loaded.LoadId).Conclusion
			var runs map[string]string
			for _, step := range []int64{0, 1, 3000} {
				m.segmentBytes, m.late = step, func() bool { return true }
				out, r, err := m.prove()
				if err != nil {
					t.Fatal(err)
				}
				got := readObject[migrate.Proof](m, "proofs/"+out.ProofId+"/proof.json").Conclusion
				if d := cmp.Diff(want, got, cmpopts.EquateComparable(proof.Hash{})); d != "" {
					t.Errorf("steps of %d bytes: the proof differs from the load's (-load +proof):\n%s", step, d)
				}
				if out.Level != want.Level || out.Verdict != string(r.Verdict) || out.Digest != want.Digest.String() || r.Proof.Level != want.Level || r.Archive.Blocks != want.Blocks.Total() {
					t.Errorf("the output is %+v, the report's proof %+v of %+v", out, r.Proof, r.Archive)
				}
				now := m.objects.under(workBucket + "/proofs/" + out.ProofId + "/runs/0")
				if runs == nil {
					runs = now
				}
				if !maps.Equal(runs, now) || len(now) == 0 {
					t.Errorf("steps of %d bytes: what is kept of the items differs", step)
				}
			}
		})
	}
}

// An archive that was tampered with ends the proof in words, and has a report.
func TestContradictedArchiveHasAReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(m *machine, l ledgergen.Ledger)
		want  []string
	}{
		{"a value", func(m *machine, _ ledgergen.Ledger) {
			lines, objects := blockLines(m)
			i := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, `data:{VIN:"`) })
			at := strings.Index(lines[i], `data:{VIN:"`) + len(`data:{VIN:"`)
			lines[i] = lines[i][:at] + bump(lines[i][at:at+3]) + lines[i][at+3:]
			storeLines(m, lines, objects)
		}, []string{"tampered: block ", "revision ", "in object exports/dmv/", "hash is not that of its metadata and data"}},
		{"the digest of another ledger", func(m *machine, l ledgergen.Ledger) {
			o := proving
			o.Seed++
			other := newMachine(m.t, "").generate(o)
			other.Strand, other.Tip = l.Strand, l.Tip
			m.input = held(other)
		}, []string{"tampered", "blocks were altered, or the digest is of another ledger", "contradicted by: Digest of the input"}},
		{"a digest that names another strand", func(m *machine, l ledgergen.Ledger) {
			m.input = fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Digest":{"Digest":%q,"DigestTipAddress":{"IonText":"{strandId:\"AnotherStrand000000000\",sequenceNo:%d}"}}}`, l.Digest, l.Tip)
		}, []string{"of strand AnotherStrand000000000", "one of them is of another ledger"}},
		{"a forged proofs.json", func(m *machine, l ledgergen.Ledger) {
			for name, body := range m.objects.under(archiveBucket + "/") {
				if strings.HasSuffix(name, ".proofs.json") {
					i := strings.Index(body, `"Proof"`)
					i += regexp.MustCompile(`[A-Za-z0-9+/]{20}`).FindStringIndex(body[i:])[0]
					m.objects.set(archiveBucket, strings.TrimPrefix(name, archiveBucket+"/"), []byte(body[:i]+bump(body[i:i+20])+body[i+20:]))
				}
			}
		}, []string{"the proof is forged", "contradicted by: " + prefix}},
		{"an object cut short", func(m *machine, _ ledgergen.Ledger) {
			lines, objects := blockLines(m)
			lines[len(lines)-1] = ""
			storeLines(m, lines, objects)
		}, []string{"not as its manifests", "cut short"}},
		{"an object that a manifest names is missing", func(m *machine, _ ledgergen.Ledger) {
			_, objects := blockLines(m)
			delete(m.objects.objects, objects[20])
		}, []string{"not as its manifests", "names object", "copy it there"}},
		{"blocks renumbered", func(m *machine, _ ledgergen.Ledger) {
			lines, objects := blockLines(m)
			lines[20] = regexp.MustCompile(`sequenceNo:\d+\}`).ReplaceAllString(lines[20], "sequenceNo:9999}")
			storeLines(m, lines, objects)
		}, []string{"not as its manifests", "block 9999 stands where block 20 is due"}},
		{"no Ion", func(m *machine, _ ledgergen.Ledger) {
			lines, objects := blockLines(m)
			lines[20] = "{]\n"
			storeLines(m, lines, objects)
		}, []string{"not as its manifests", "object exports/dmv/"}},
		{"an end that the export had", func(m *machine, l ledgergen.Ledger) {
			m.input = strings.TrimSuffix(m.input, "}") + fmt.Sprintf(`,"LastBlockNum":%d}`, l.Tip+5)
		}, []string{"the archive is cut short", "LastBlockNum"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := proving
			if strings.Contains(c.name, "proofs.json") {
				o.Layout = ledgergen.AWSSample
			}
			m := newMachine(t, "")
			l := m.generate(o)
			m.input = held(l)
			c.spoil(m, l)
			_, r, err := m.prove()
			mustStop(t, err, append(c.want, "report.html tells all")...)
			bad := map[bool]report.Provenness{true: report.NotProven, false: report.Contradicted}[strings.Contains(c.want[0], "manifests") || strings.Contains(c.want[0], "cut short")]
			if r.Verdict != bad || !slices.ContainsFunc(r.Findings, func(f report.Finding) bool { return f.Severity == report.Error }) {
				t.Errorf("the report says %q of %+v, want %q", r.Verdict, r.Findings, bad)
			}
			if r.Proof.Blocks == nil || r.Archive.Blocks == 0 {
				t.Errorf("the report has no counts: %+v", r.Proof)
			}
		})
	}
}

// What is missing or was never given lowers the level and fails nothing: the
// report says what, why, and what would lift it.
func TestLowerLevelsAreToldAndFailNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		make    func(o *ledgergen.Options)
		input   string // further members; %s is the digest, %d its tip
		level   int
		verdict report.Provenness
		said    []string
	}{
		{"all there", nil, `"Digest":"%s","DigestTip":%d`, 3, report.Proven, []string{"VERDICT: proven. Level 3 of 3"}},
		{"no digest", nil, ``, 1, report.PartlyProven, []string{"Level 1 of 3", "no digest or proof was given", "GetDigest"}},
		{"chain", nil, `"Verify":"chain","Digest":"%s","DigestTip":%d`, 2, report.PartlyProven, []string{"unchecked"}},
		{"tail cut off", func(o *ledgergen.Options) { o.UntilBlock = 30 }, `"Digest":"%s","DigestTip":%d`, 1, report.PartlyProven, []string{"the last blocks were cut off, or written after the export", "blocks 30 to "}},
		{"begins late", func(o *ledgergen.Options) { o.FromBlock = 30 }, `"Digest":"%s","DigestTip":%d`, 1, report.PartlyProven, []string{"blocks 0 to 29", "the archive begins with block 30"}},
		{"from a block on", nil, `"Since":30,"Digest":"%s","DigestTip":%d`, 1, report.PartlyProven, []string{"the archive begins with block 30"}},
		{"a digest of another ledger without its tip", nil, `"Digest":"` + strings.Repeat("7", 64) + `"`, 1, report.PartlyProven, []string{"it is not said which block it ends with"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := proving
			if c.make != nil {
				c.make(&o)
			}
			m := newMachine(t, "")
			l := m.generate(o)
			more := ""
			if c.input != "" {
				more = "," + c.input
			}
			if strings.Contains(more, "%s") {
				more = fmt.Sprintf(more, l.Digest, l.Tip)
			}
			m.input = `{"Bucket":"archive","Prefix":"exports/dmv/"` + more + `}`
			out, r, err := m.prove()
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(r.Text(100)), " ")
			if out.Level != c.level || r.Verdict != c.verdict {
				t.Errorf("level %d, %q, want %d, %q:\n%s", out.Level, r.Verdict, c.level, c.verdict, r.Text(100))
			}
			for _, s := range c.said {
				if !strings.Contains(text, s) {
					t.Errorf("the report does not say %q:\n%s", s, r.Text(100))
				}
			}
		})
	}
	t.Run("a gap", func(t *testing.T) {
		m := newMachine(t, "")
		l := m.generate(proving)
		_, objects := blockLines(m)
		delete(m.objects.objects, objects[20])
		m.input = strings.TrimSuffix(held(l), "}") + `,"Manifests":"none"}`
		out, r, err := m.prove()
		if err != nil {
			t.Fatal(err)
		}
		if out.Level != 0 || r.Verdict != report.NotProven || len(r.Archive.Gaps) != 1 || !strings.Contains(r.Text(100), "they are missing") {
			t.Errorf("level %d, %q:\n%s", out.Level, r.Verdict, r.Text(100))
		}
	})
}

// Members that mean nothing here, and inputs that name no archive, are refused by
// name before a block is read.
func TestProofRefusesWhatItHasNoUseFor(t *testing.T) {
	m := newMachine(t, "")
	m.generate(proving)
	for more, want := range map[string]string{
		`"Mapping":"s3://b/m.json"`: "Mapping", `"Schema":"dmv"`: "Schema", `"Tables":["Person"]`: "Tables", `"History":"none"`: "History",
		`"MaxQuarantined":3`: "MaxQuarantined", `"AcceptGaps":true`: "AcceptGaps", `"EnableStream":true`: "EnableStream", `"Abandon":"x"`: "Abandon", `"Mode":"plan"`: "Mode",
		`"ApplyRedactions":false`: "ApplyRedactions", `"Verify":"off"`: `"off" leaves nothing to do`, `"Since":"2024-05-01T00:00:00Z"`: "give its number",
		`"Digets":"x"`: "Digets", `"Digest":"x"`: "Digest of the input",
	} {
		m.input = `{"Bucket":"archive","Prefix":"exports/dmv/",` + more + `}`
		_, err := m.provePlan()
		mustStop(t, err, want)
	}
	for input, want := range map[string]string{
		`{"Bucket":"archive","Prefix":"exports/other/"}`: "holds no object",
		`{"Bucket":"elsewhere","Prefix":"x/"}`:           "is not an archive of this environment",
	} {
		m.input = input
		_, err := m.provePlan()
		mustStop(t, err, want)
	}
	second := proving
	second.Seed++
	m.generate(second)
	m.input = `{"Bucket":"archive","Prefix":"exports/dmv/"}`
	_, err := m.provePlan()
	mustStop(t, err, "the archive holds 2 ledgers")
}

// What answers of GetRevision show stays out of plans and reports, and proves as
// much; an input that a plan gives is the same load.
func TestValuesOfEvidenceStayOut(t *testing.T) {
	const secret = "Waldo's"
	m := newMachine(t, "")
	l := m.generate(proving)
	revision := fmt.Sprintf(`{"Revision":{"IonText":"{blockAddress:{strandId:\"%s\",sequenceNo:7},hash:{{%s}},data:{x:\"%s\"},metadata:{id:\"D\"}}"},"Proof":{"IonText":"[{{%s}}]"}}`, l.Strand, l.Digest, secret, l.Digest)
	m.input = fmt.Sprintf(`{"Bucket":"archive","Prefix":"exports/dmv/","Verify":"chain","LedgerName":"dmv","Digest":[%q,%s],"DigestTip":%d,"Strand":%q}`, l.Digest, revision, l.Tip, l.Strand)
	p, err := m.provePlan()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := m.plan()
	if err != nil {
		t.Fatal(err)
	}
	plan := readObject[migrate.Plan](m, "proofs/"+p.ProofId+"/plan.json")
	for name, body := range m.objects.under(workBucket + "/") {
		if strings.Contains(body, secret) {
			t.Errorf("%s holds a value of the input", name)
		}
	}
	again, err := json.Marshal(plan.Input)
	if err != nil {
		t.Fatal(err)
	}
	m.input = string(again)
	if same, err := m.provePlan(); err != nil || same != p {
		t.Errorf("the plan's input is proof %+v, %v, want %+v", same, err, p)
	}
	if same, err := m.plan(); err != nil || same.LoadId != loaded.LoadId {
		t.Errorf("the plan's input is load %+v, %v, want %+v", same, err, loaded)
	}
	m.input = strings.Replace(string(again), `"chain"`, `"off"`, 1)
	if _, err := migrate.ParseInput([]byte(m.input)); err != nil {
		t.Error(err)
	}
}
