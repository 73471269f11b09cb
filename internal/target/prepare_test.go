package target_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/internal/local/rdsdata"
	"godwit/internal/target"
	"godwit/internal/testdb"
)

// newRole stores a login for a role that does not exist, and returns the DB that
// uses it. The role goes with the test.
func newRole(b *bench, role, password string) *target.DB {
	b.t.Helper()
	arn := fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s/other-a1B2c3", testdb.Region, testdb.Account, b.db.Name)
	if err := b.api.Secrets.Create(b.db.Name+"/other", arn, "", login(role, password)); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		quoted := target.Quote(role)
		for _, sql := range []string{"DROP OWNED BY " + quoted + " CASCADE", "DROP ROLE IF EXISTS " + quoted} {
			if _, err := b.look.Exec(context.Background(), sql); err != nil {
				b.t.Logf("clean up: %v", err)
			}
		}
	})
	db := *b.loader
	db.SecretARN = arn
	return &db
}

func login(role, password string) string {
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	return `{"username":` + quote(role) + `,"password":` + quote(password) + `}`
}

// Prepare makes the role, may be repeated, follows a rotated password, and never
// sends a password.
func TestPrepareMakesTheRoleAndFollowsItsPassword(t *testing.T) {
	t.Parallel()
	b := newBareBench(t, rdsdata.Config{})
	role := `Lo"ader '` + b.db.Name
	passwords := []string{`first "pass'word\ with $f$ and :colon %s ~`, "n3xt-passw0rd"}
	loader := newRole(b, role, passwords[0])
	for i, password := range passwords {
		if err := b.api.Secrets.Put(loader.SecretARN, login(role, password)); err != nil {
			t.Fatal(err)
		}
		var one []struct{ One int }
		if err := loader.Query(t.Context(), &one, `SELECT 1 AS one`); err == nil {
			t.Fatalf("password %d: got no error before it was prepared", i)
		}
		for range 2 {
			if err := target.Prepare(t.Context(), b.admin, loader, role, password); err != nil {
				t.Fatal(err)
			}
			if err := loader.Query(t.Context(), &one, `SELECT count(*) AS one FROM godwit.load`); err != nil {
				t.Errorf("password %d: %v", i, err)
			}
		}
	}
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	for _, call := range b.wire.calls {
		for _, p := range []string{"pass'word", "n3xt-passw0rd"} {
			if strings.Contains(call, p) {
				t.Errorf("a call holds the password: %.200s", call)
			}
		}
	}
	if get[bool](b, `SELECT rolpassword IS NULL OR rolpassword NOT LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = $1`, role) {
		t.Error("got no SCRAM verifier")
	}
}

func TestPrepareAtOnce(t *testing.T) {
	t.Parallel()
	b := newBareBench(t, rdsdata.Config{})
	role := b.db.Name + "_new"
	loader := newRole(b, role, "secret")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := target.Prepare(context.Background(), b.admin, loader, role, "secret"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// An execution that begins beside a running load does not wait for it.
func TestPrepareWaitsForNoLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	p := ledger("load1", people()...)
	p.aside = []revision{{doc: "b", version: 1, table: "T1"}}
	b.begin(p)
	tasks := b.imports(p)
	key := fmt.Sprintf("parts/%s/%s/quarantine.copy.gz", b.db.Name, p.ID)
	open := b.shelf.hold(t, "work-bucket", key)
	done := make(chan error)
	go func() { done <- b.runAll(p.ID, tasks) }()
	for b.shelf.count("work-bucket", key) == 0 {
		get[string](b, `SELECT pg_sleep(0.01)::text`)
	}
	b.exec(`ALTER ROLE ` + target.Quote(b.db.Loader) + ` SET lock_timeout = '1s'`) // of new sessions
	if err := target.Prepare(t.Context(), b.admin, b.loader, b.db.Loader, b.db.LoaderPassword); err != nil {
		t.Errorf("beside a running import: %v", err)
	}
	open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What looks like a parameter is one, even to a reader that knows no strings,
// dollar quotes and comments: how the service finds parameters is not documented.
func TestOnlyParametersLookLikeParameters(t *testing.T) {
	t.Parallel()
	b := newBareBench(t, rdsdata.Config{})
	loader := newRole(b, b.db.Name+"_new", "secret")
	if err := target.Prepare(t.Context(), b.admin, loader, b.db.Name+"_new", "secret"); err != nil {
		t.Fatal(err)
	}
	b.loader = loader
	b.load(ledger("load1", people()...))
	if _, err := b.loader.Times(t.Context(), "load1"); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?:^|[^:]):([A-Za-z_][A-Za-z_0-9]*)`)
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	for _, body := range b.wire.calls {
		var call struct {
			SQL        string `json:"sql"`
			Parameters []struct{ Name string }
		}
		if err := json.Unmarshal([]byte(body), &call); err != nil {
			t.Fatal(err)
		}
		if strings.Count(call.SQL, "'")%2 != 0 {
			t.Errorf("an odd number of apostrophes: %.200s", call.SQL)
		}
		for _, m := range name.FindAllStringSubmatch(call.SQL, -1) {
			if !slices.ContainsFunc(call.Parameters, func(p struct{ Name string }) bool { return p.Name == m[1] }) {
				t.Errorf("%s is no parameter of %.200s", m[0], call.SQL)
			}
		}
	}
}

// The loader can do what a load needs, as every other test shows, and no more.
func TestLoaderHasOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	b := newBareBench(t, rdsdata.Config{})
	role := b.db.Name + "_new"
	loader := newRole(b, role, "secret")
	b.exec(`CREATE SCHEMA app; CREATE TABLE app.secret (a int)`)
	if err := target.Prepare(t.Context(), b.admin, loader, role, "secret"); err != nil {
		t.Fatal(err)
	}
	if get[bool](b, `SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = $1`, role) {
		t.Error("got a role with attributes, want none but LOGIN")
	}
	if n := get[int](b, `SELECT count(*) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)`, role); n != 0 {
		t.Errorf("got %d memberships, want none", n)
	}
	equal(t, "grants on the database", b.list(`SELECT privilege_type FROM pg_database d, aclexplode(d.datacl) WHERE datname = current_database() AND grantee = (SELECT oid FROM pg_roles WHERE rolname = $1)`, role), "CREATE CONNECT")
	equal(t, "grants on schemas", b.list(`SELECT nspname || ':' || privilege_type FROM pg_namespace n, aclexplode(n.nspacl)
		WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = $1) AND nspowner <> grantee ORDER BY 1`, role), "aws_commons:USAGE aws_s3:USAGE")
	for _, sql := range []string{
		`SELECT * FROM app.secret`, `CREATE TABLE app.mine (a int)`, `CREATE TABLE public.mine (a int)`, `CREATE ROLE other`,
		`SELECT pg_read_file('PG_VERSION')`, `COPY godwit.load TO PROGRAM 'true'`,
	} {
		var e *target.Error
		if err := loader.Exec(t.Context(), sql); !errors.As(err, &e) || e.State != "42501" && e.State != "3F000" {
			t.Errorf("%s: got %v, want permission denied", sql, err)
		}
	}
}

func TestPasswordsOutsideASCIIAreRefused(t *testing.T) {
	for _, p := range []string{"pässword", "a\nb", "a\x7f", "💥"} {
		if v, err := target.Verifier(p); err == nil || strings.Contains(err.Error(), p) {
			t.Errorf("%q: got %s, %v, want an error without the password", p, v, err)
		}
	}
}

// Where everybody may create in schema public, as in databases older than
// PostgreSQL 15, a function there that fits the arguments better than the server's
// own is not called with the loader's rights.
func TestLoaderCallsNoFunctionOfOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, rdsdata.Config{})
	b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, b.db.Loader) // from before the role's setting
	for _, f := range []string{`concat_ws(text, text, text)`, `concat_ws(text, text, text, text)`, `format(text, text)`, `format(text, text, text)`} {
		b.exec(`CREATE FUNCTION public.` + f + ` RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$called as %$$, current_user; END'`)
	}
	b.load(two("load1"))
	b.unloads("load1")
}
