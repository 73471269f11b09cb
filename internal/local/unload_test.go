package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"godwit/internal/change"
	"godwit/internal/local"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// What a job that keeps its database writes is enough to take a load back, once.
func TestUnloadFromTheKeptDatabase(t *testing.T) {
	t.Parallel()
	folder, out := t.TempDir(), &strings.Builder{}
	unload := func(load, want string) {
		t.Helper()
		if err := local.Unload(t.Context(), folder, load, out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	keep := func(dsn string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "database"), []byte(dsn+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unload("", "say which load")
	unload("load1", "no database is kept on this machine")
	keep("host=127.0.0.1 port=1 user=nobody") // of a job that was killed
	unload("load1", "no database is kept on this machine")

	db := testdb.New(t)
	api := db.DataAPI(t)
	client := target.NewAPI(aws.Config{Region: testdb.Region, BaseEndpoint: &api.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	admin := &target.DB{API: client, ClusterARN: api.ClusterARN, SecretARN: api.AdminSecret, Database: api.Database}
	loader := *admin
	loader.SecretARN = api.LoaderSecret
	if err := target.Prepare(t.Context(), admin, &loader, db.Loader, db.LoaderPassword); err != nil {
		t.Fatal(err)
	}
	l := change.Load{ID: "load1", Schema: "dmv", History: true, Strand: "S", First: 0, Last: 9}
	if _, err := loader.Begin(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	keep(db.SuperuserDSN)
	unload("load1", "load load1 is under way and shows nothing")
	if err := loader.Stage(t.Context(), l, nil, nil); err != nil {
		t.Fatal(err)
	}
	if done, err := loader.Run(t.Context(), l.ID, change.Task{Phase: "visible", Name: "load", Args: []byte(`{}`)}, false); err != nil || !done {
		t.Fatalf("got %v, %v, want the load shown", done, err)
	}
	if err := local.Unload(t.Context(), folder, "load1", out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"to be removed: load load1, shown on", "\nremoved: load load1, shown on", "dmv.table_counts (0 rows); it made schema dmv"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want %q in it", out, want)
		}
	}
	unload("load1", "load load1 is not known: was it removed already?")
}
