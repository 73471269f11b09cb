package migrate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/migrate"
)

func TestParseInput(t *testing.T) {
	for _, c := range []struct {
		name, input string
		want        migrate.Input
		refused     []string // what the error says; nil: accepted
	}{
		{name: "least", input: `{"Bucket":"b"}`, want: migrate.Input{Bucket: "b"}},
		{
			name:  "everything",
			input: `{"Bucket":"b","Prefix":"p/","ExportIds":["x"],"Mapping":"s3://m/k","Schema":"s","Tables":["T"],"Since":5,"History":"none","MaxQuarantined":3,"AcceptGaps":true,"Abandon":"a"}`,
			want: migrate.Input{
				Bucket: "b", Prefix: "p/", ExportIds: []string{"x"}, Mapping: "s3://m/k", Schema: "s", Tables: []string{"T"},
				Since: migrate.Since{Block: 5}, History: "none", MaxQuarantined: 3, AcceptGaps: true, Abandon: "a",
			},
		},
		{name: "a time", input: `{"Bucket":"b","Since":"2024-05-01T02:00:00.5+02:00"}`, want: migrate.Input{Bucket: "b", Since: migrate.Since{Time: "2024-05-01T00:00:00.5Z"}}},
		{name: "block 0", input: `{"Bucket":"b","Since":0}`, want: migrate.Input{Bucket: "b"}},
		{name: "redacted data is kept", input: `{"Bucket":"b","ApplyRedactions":false}`, want: migrate.Input{Bucket: "b", ApplyRedactions: new(bool)}},
		{name: "neither true nor false", input: `{"Bucket":"b","ApplyRedactions":"no"}`, refused: []string{"ApplyRedactions"}},
		{name: "null is absent", input: `{"Bucket":"b","Since":null,"Tables":null,"ExportIds":null,"Mapping":null}`, want: migrate.Input{Bucket: "b"}},
		{name: "the last block there can be", input: `{"Bucket":"b","Since":9223372036854775807}`, want: migrate.Input{Bucket: "b", Since: migrate.Since{Block: 1<<63 - 1}}},
		{name: "without manifests", input: `{"Bucket":"b","Manifests":"none"}`, want: migrate.Input{Bucket: "b", Manifests: "none"}},

		{name: "no bucket", input: `{}`, refused: []string{"no Bucket"}},
		{name: "nothing", input: `null`, refused: []string{"no Bucket"}},
		{name: "no object", input: `[]`, refused: []string{"read the input"}},
		{name: "no JSON", input: `{"Bucket":`, refused: []string{"read the input"}},
		{name: "more behind it", input: `{"Bucket":"b"}{"Bucket":"c"}`, refused: []string{"read the input"}},
		{name: "typing error", input: `{"Bucket":"b","Prefx":"p"}`, refused: []string{`"Prefx"`}},
		{name: "leading slash", input: `{"Bucket":"b","Prefix":"/p/"}`, refused: []string{`"/p/"`, "leave it out"}},
		{name: "a URI for a bucket", input: `{"Bucket":"s3://b/p/"}`, refused: []string{`"s3://b/p/"`, "Prefix"}},
		{name: "other manifests", input: `{"Bucket":"b","Manifests":"some"}`, refused: []string{`"some"`, `"none"`}},
		{name: "export ids without manifests", input: `{"Bucket":"b","Manifests":"none","ExportIds":["x"]}`, refused: []string{"ExportIds", "one of the two"}},
		{name: "another mode", input: `{"Bucket":"b","Mode":"dry"}`, refused: []string{`"dry"`, `"plan"`}},
		{name: "other history", input: `{"Bucket":"b","History":"ALL"}`, refused: []string{`"ALL"`, `"all"`}},
		{name: "fewer than none", input: `{"Bucket":"b","MaxQuarantined":-1}`, refused: []string{"-1"}},
		{name: "half a revision", input: `{"Bucket":"b","MaxQuarantined":0.5}`, refused: []string{"MaxQuarantined"}},
		{name: "mapping by another protocol", input: `{"Bucket":"b","Mapping":"https://m/k"}`, refused: []string{"https://m/k", "s3://bucket/key"}},
		{name: "mapping without a key", input: `{"Bucket":"b","Mapping":"s3://m"}`, refused: []string{"s3://bucket/key"}},
		{name: "mapping without a bucket", input: `{"Bucket":"b","Mapping":"s3:///k"}`, refused: []string{"s3://bucket/key"}},
		{name: "a block before the first", input: `{"Bucket":"b","Since":-1}`, refused: []string{"neither a block number nor a time"}},
		{name: "a part of a block", input: `{"Bucket":"b","Since":1.5}`, refused: []string{"neither a block number nor a time"}},
		{name: "a block too far", input: `{"Bucket":"b","Since":9223372036854775808}`, refused: []string{"neither a block number nor a time"}},
		{name: "a date", input: `{"Bucket":"b","Since":"2024-05-01"}`, refused: []string{`"2024-05-01"`, "2024-05-01T00:00:00Z"}},
		{name: "a block as text", input: `{"Bucket":"b","Since":"17"}`, refused: []string{`"17"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := migrate.ParseInput([]byte(c.input))
			if c.refused == nil {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
				// It goes through plan.json unchanged.
				if diff := cmp.Diff(c.want, pass[migrate.Input](t, got)); diff != "" {
					t.Error(diff)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			for _, w := range c.refused {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q without %q", err, w)
				}
			}
		})
	}
}

// The same cause is the same load; another cause is another.
func TestLoadIDIsOfTheCauseAlone(t *testing.T) {
	o := ledgergen.Options{Seed: 2, Documents: 40, Prefix: prefix, BlocksPerObject: 4, Exports: 2}
	id := func(input string, o ledgergen.Options, change func(m *machine)) string {
		t.Helper()
		m := newMachine(t, input)
		m.generate(o)
		if change != nil {
			change(m)
		}
		p, err := m.plan()
		if err != nil {
			t.Fatal(err)
		}
		return p.LoadId
	}
	with := func(more string) string { return strings.TrimSuffix(whole, "}") + "," + more + "}" }
	want := id(whole, o, nil)
	for name, input := range map[string]string{
		"again":          whole,
		"defaults":       with(`"History":"all","Tables":[],"ExportIds":[],"Since":0`),
		"all of it":      with(`"Verify":"full","Digest":null`),
		"more patience":  with(`"MaxQuarantined":9,"AcceptGaps":true`),
		"a plan":         with(`"Mode":"plan"`),
		"an export":      with(`"LedgerName":"dmv","DigestTip":9,"LastBlockNum":3,"LastBlockTimestamp":"2021-08-03T17:04:05Z"`),
		"wider prefix":   `{"Bucket":"archive","Prefix":"exports/"}`,
		"packaged named": with(`"Schema":"dmv"`),
	} {
		if got := id(input, o, nil); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if a, b := id(with(`"Tables":["Person","Vehicle"]`), o, nil), id(with(`"Tables":["Vehicle","Person","Person"]`), o, nil); a != b {
		t.Errorf("the order of Tables counts: %s, %s", a, b)
	}
	seen := map[string]string{want: "whole"}
	for name, got := range map[string]string{
		"a table":  id(with(`"Tables":["Person"]`), o, nil),
		"a digest": id(with(`"Digest":"`+strings.Repeat("A", 43)+`="`), o, nil),
		"a chain":  id(with(`"Verify":"chain"`), o, nil),
		"no proof": id(with(`"Verify":"off"`), o, nil),
		"a schema": id(with(`"Schema":"other"`), o, nil),
		"since":    id(with(`"Since":3`), o, nil),
		"a time":   id(with(`"Since":"2021-01-01T00:00:00Z"`), o, nil),
		"a ledger": id(whole, ledgergen.Options{Seed: 3, Documents: 40, Prefix: prefix, BlocksPerObject: 4, Exports: 2}, nil),
		"objects":  id(whole, ledgergen.Options{Seed: 2, Documents: 40, Prefix: prefix, BlocksPerObject: 5, Exports: 2}, nil),
		"history":  id(with(`"History":"none"`), o, nil),
		"a content": id(whole, o, func(m *machine) {
			m.objects.set(archiveBucket, firstData(m), append(m.objects.objects[archiveBucket+"/"+firstData(m)].body, '\n'))
		}),
		"a mapping": id(with(`"Mapping":"s3://archive/mapping.json"`), o, func(m *machine) {
			m.objects.set(archiveBucket, "mapping.json", []byte(`{"version":1,"schema":"dmv","tables":{}}`))
		}),
	} {
		if other, ok := seen[got]; ok {
			t.Errorf("%s is the same load as %s", name, other)
		}
		seen[got] = name
	}
}

// Exports have random names: which proof lies under which says nothing about the
// cause.
func TestLoadIDIsOfProofsNotOfTheirNames(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/"}`)
	m.generate(ledgergen.Options{Seed: 2, Documents: 40, Prefix: prefix, Layout: ledgergen.AWSSample, Exports: 2})
	m.objects.changing = func(key string) bool { return strings.HasSuffix(key, "/evidence.json") } // which has the names
	want, err := m.plan()
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for name, x := range m.objects.under(archiveBucket) {
		if strings.HasSuffix(name, ".proofs.json") {
			m.objects.set(archiveBucket, prefix+"OTHER."+strings.Split(name, ".")[1]+".proofs.json", []byte(x))
			moved++
		}
	}
	if moved != 1 {
		t.Fatalf("the archive has %d proofs, want one", moved)
	}
	if got, err := m.plan(); err != nil || got.LoadId != want.LoadId {
		t.Errorf("got load %s, %v, want %s", got.LoadId, err, want.LoadId)
	}
}

// firstData is the key of an archive's first data object.
func firstData(m *machine) string {
	first := ""
	for name := range m.objects.under(archiveBucket) {
		if strings.HasSuffix(name, ".ion") && (first == "" || name < first) {
			first = name
		}
	}
	return strings.TrimPrefix(first, archiveBucket+"/")
}

// The report names the mapping by the hash of the file as it lies on S3, so that
// sha256sum of the file finds it.
func TestMappingIsNamedByItsFile(t *testing.T) {
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Mapping":"s3://archive/maps/m.json"}`)
	m.generate(ledgergen.Options{Seed: 2, Documents: 20, Prefix: prefix})
	m.objects.set(archiveBucket, "maps/m.json", []byte("{\"version\": 1,\n\n   \"schema\" : \"dmv\", \"tables\":{\"Person\":{\"skip\":true}} }\n"))
	out, rep := m.mustRun()
	// sha256sum of the bytes above.
	if got, want := rep.Mapping.SHA256, "464c8b3b702c94623b5fccb090258093a99eeb69cdb73f1aaa589edd8883dd55"; got != want || rep.Mapping.From != "s3://archive/maps/m.json" {
		t.Errorf("got %+v, want %s", rep.Mapping, want)
	}
	for _, x := range rep.Tables {
		if (x.Name == "Person") != (x.Staged == 0) || x.Name == "Person" && x.Filtered != x.Read {
			t.Errorf("skipped table: %+v", x)
		}
	}
	var again map[string]any
	if err := json.Unmarshal(m.readPlan(out.LoadId).Mapping, &again); err != nil {
		t.Error(err)
	}
}

func TestMappingIsReadOnlyFromWhereRolesMay(t *testing.T) {
	for _, uri := range []string{"s3://elsewhere/m.json", "s3://work/m.json", "s3://work/loads/x/plan.json"} {
		m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Mapping":"`+uri+`"}`)
		m.generate(ledgergen.Options{Seed: 2, Documents: 20, Prefix: prefix})
		_, err := m.plan()
		mustStop(t, err, uri, "s3://work/mappings/")
	}
	m := newMachine(t, `{"Bucket":"archive","Prefix":"exports/dmv/","Mapping":"s3://work/mappings/m.json"}`)
	m.generate(ledgergen.Options{Seed: 2, Documents: 20, Prefix: prefix})
	m.objects.set(workBucket, "mappings/m.json", []byte(`{"version":1,"schema":"dmv","tables":{}}`))
	if _, err := m.plan(); err != nil {
		t.Error(err)
	}
}
