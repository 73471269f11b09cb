package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"godwit/internal/config"
)

var functions = []string{
	config.LedgerPreflight, config.TargetPrepare, config.LedgerPlan, config.LedgerTransform,
	config.LedgerCount, config.LedgerPhase, config.TargetTask, config.LedgerReport, config.LedgerSurvey, config.LedgerTyping, config.ProveRow,
	config.LedgerDigest, config.LedgerSplit, config.LedgerExport, config.LedgerProofs,
	config.ProvePlan, config.ProveBlocks, config.ProveReport,
	config.StreamApply, config.StreamEnable, config.StreamResume, config.StreamReplay, config.StreamStatus,
	config.SnapshotTrigger, config.SnapshotPreflight, config.SnapshotExport, config.SnapshotCatalog, config.SnapshotPlan, config.SnapshotPrepare,
	config.SnapshotRows, config.SnapshotEvidence, config.SnapshotPhase, config.SnapshotTask, config.SnapshotReport, config.TargetProbe,
}

var values = map[string]string{
	config.Archives:     `[{"bucket":"b","prefix":"p/"},{"bucket":"c","prefix":""}]`,
	config.WorkBucket:   "work",
	config.ClusterARN:   "arn:cluster",
	config.Database:     "ledger",
	config.LoaderSecret: "arn:loader",
	config.AdminSecret:  "arn:admin",
	config.ImportRole:   "arn:role",
	config.ExportRole:   "arn:export",
	config.Scale:        `{"transform":40,"tasks":4,"minACU":2,"maxACU":8}`,

	config.StreamARN:     "arn:stream",
	config.StreamSource:  "dms",
	config.StreamMapping: "5d0b1cb1-7b0c-4b3c-9a3a-0e6f1c2d3e4f",
	config.FailureBucket: "failures",

	config.SnapshotSources: `[{"arn":"arn:aws:rds:eu-west-1:111122223333:cluster:shop"}]`,
	config.SnapshotTarget:  `{"kind":"dsql","cluster":"arn:cluster","endpoint":"host","loaderRole":"loader"}`,
	config.SnapshotMachine: "arn:machine",
	config.ExportBucket:    "exports",
	config.ExportKey:       "arn:key",
}

func lookup(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestReadNeedsExactlyWhatNeedsSays(t *testing.T) {
	for _, f := range functions {
		only := map[string]string{}
		for _, name := range config.Needs(f) {
			only[name] = values[name]
		}
		if _, err := config.Read(f, lookup(only)); err != nil {
			t.Errorf("%s with what it needs: %v", f, err)
		}
		for _, name := range config.Needs(f) {
			without := maps.Clone(only)
			delete(without, name)
			if _, err := config.Read(f, lookup(without)); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s without %s: error %v does not name it", f, name, err)
			}
		}
	}
}

func TestReadNamesEverythingThatIsMissing(t *testing.T) {
	_, err := config.Read(config.LedgerPlan, lookup(map[string]string{config.Database: "  "}))
	for _, name := range config.Needs(config.LedgerPlan) {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}

func TestReadParsesArchives(t *testing.T) {
	c, err := config.Read(config.LedgerPreflight, lookup(values))
	want := []config.Archive{{Bucket: "b", Prefix: "p/"}, {Bucket: "c"}}
	if err != nil || !slices.Equal(c.Archives, want) {
		t.Errorf("got %v, %v, want %v", c.Archives, err, want)
	}
	broken := maps.Clone(values)
	broken[config.Archives] = `{"bucket":"secret-name"`
	_, err = config.Read(config.LedgerPreflight, lookup(broken))
	if err == nil || !strings.Contains(err.Error(), config.Archives) || strings.Contains(err.Error(), "secret-name") {
		t.Errorf("got %v, want an error that names the variable and not its value", err)
	}
}

func TestUnknownFunctionIsAnError(t *testing.T) {
	if _, err := config.Read("ledger-nothing", lookup(values)); err == nil || !strings.Contains(err.Error(), "ledger-nothing") {
		t.Errorf("got %v", err)
	}
	if config.Needs("ledger-nothing") != nil {
		t.Error("a function that does not exist needs variables")
	}
}

func TestReadRefusesAnUnknownSource(t *testing.T) {
	other := maps.Clone(values)
	other[config.StreamSource] = "oracle"
	_, err := config.Read(config.StreamEnable, lookup(other))
	if err == nil || !strings.Contains(err.Error(), config.StreamSource) {
		t.Errorf("got %v, want an error that names %s", err, config.StreamSource)
	}
}

// The admin's secret has one reader.
func TestOnlyPrepareNeedsTheAdminSecret(t *testing.T) {
	for _, f := range functions {
		if slices.Contains(config.Needs(f), config.AdminSecret) != (f == config.TargetPrepare) {
			t.Errorf("%s: %v", f, config.Needs(f))
		}
	}
}
