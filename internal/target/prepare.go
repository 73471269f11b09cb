package target

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// scramIterations is PostgreSQL's default cost of a SCRAM verifier.
const scramIterations = 4096

// Verifier derives the SCRAM-SHA-256 verifier of a password (RFC 5803, and
// PostgreSQL's pg_authid.rolpassword), so that the password itself never is in a
// statement or its log. Passwords outside printable ASCII would need SASLprep
// and are refused.
func Verifier(password string) (string, error) {
	for _, r := range password {
		if r < 0x20 || r > 0x7e {
			return "", fmt.Errorf("the password has a character outside printable ASCII: choose another")
		}
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	return verifier(password, salt)
}

func verifier(password string, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", err
	}
	sum := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(sum(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(sum(salted, "Server Key"))), nil
}

// Prepare makes a database ready for loads: as admin the aws_s3 extension, the
// loader's role and its grants, then as loader the bookkeeping schema. Doing it
// again is harmless. password is the loader's.
func Prepare(ctx context.Context, admin, loader *DB, role, password string) error {
	var found []struct{ Available, Known bool }
	err := admin.Query(ctx, &found, `SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'aws_s3') AS available,
  EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :role) AS known`, Param{"role", role})
	if err != nil {
		return fmt.Errorf("look for extension aws_s3: %w", err)
	}
	switch {
	case len(found) != 1:
		return fmt.Errorf("look for extension aws_s3: the database answered %d rows", len(found))
	case !found[0].Available:
		return ErrNoAWSS3
	}
	if strings.Contains(role+admin.Database, "$") {
		return fmt.Errorf("the loader's role %q or the database %q has a dollar sign: choose another name", role, admin.Database)
	}
	verifier, err := newVerifier(ctx, loader, password, found[0].Known)
	if err != nil {
		return err
	}
	if err := admin.Exec(ctx, adminSQL(admin.Database, role, verifier)); err != nil {
		return fmt.Errorf("prepare extension aws_s3, role %s and its grants: %w", role, err)
	}
	for _, sql := range []string{installSQL, publishSQL, unloadSQL, streamSQL, revisionsSQL, rowsSQL, snapshotSQL} {
		if err := loader.Exec(ctx, comments.ReplaceAllString(sql, "")); err != nil {
			return fmt.Errorf("install the bookkeeping schema godwit: %w", err)
		}
	}
	return nil
}

// comments are the lines of comments in the SQL files. They stay here: their
// apostrophes would look like the ends of strings to a service that does not know
// comments when it looks for parameters.
var comments = regexp.MustCompile(`(?m)^ *--.*\n`)

// newVerifier derives a verifier of the loader's password when the loader cannot
// log in: it does not exist yet, or its secret was changed. Otherwise "".
// A role that is not known does not try: the service may remember a failed login
// for longer than it takes to make the role.
func newVerifier(ctx context.Context, loader *DB, password string, known bool) (string, error) {
	var one []struct{ One int }
	if known && loader.Query(ctx, &one, `SELECT 1 AS one`) == nil {
		return "", nil
	}
	v, err := Verifier(password)
	if err != nil {
		return "", fmt.Errorf("derive the loader's password verifier: %w", err)
	}
	return v, nil
}

// adminSQL is everything that the admin does, in one statement and under one
// lock: two loads may begin at once, and neither CREATE EXTENSION IF NOT EXISTS
// nor GRANT is safe against itself.
func adminSQL(database, role, verifier string) string {
	password := ""
	if verifier != "" {
		// A verifier holds colons, behind which the service might see names of
		// parameters: they are escaped.
		password = fmt.Sprintf("ALTER ROLE %s LOGIN PASSWORD E%s;", Quote(role), strings.ReplaceAll(literal(verifier), ":", `\072`))
	}
	// Functions are qualified: where everybody may create in schema public, as in
	// databases older than PostgreSQL 15, another's function of that name could
	// fit the arguments better and run as the admin. The loader, whose functions are
	// many, looks in pg_catalog alone, in sessions that begin from now on.
	return fmt.Sprintf(`DO $prepare$
BEGIN
PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('godwit prepare', 0));
CREATE EXTENSION IF NOT EXISTS aws_s3 CASCADE;
IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %[1]s) THEN
  CREATE ROLE %[2]s;
END IF;
%[3]s
ALTER ROLE %[2]s IN DATABASE %[4]s SET search_path = pg_catalog;
GRANT CONNECT, CREATE ON DATABASE %[4]s TO %[2]s;
GRANT USAGE ON SCHEMA aws_s3, aws_commons TO %[2]s;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_s3, aws_commons TO %[2]s;
END $prepare$`, literal(role), Quote(role), password, Quote(database))
}

// literal quotes a string constant for DDL, where no parameter is allowed. With
// standard_conforming_strings, which is on everywhere since PostgreSQL 9.1, only
// the quote is special.
func literal(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// ErrNoAWSS3 says that the server has no aws_s3 extension to create.
var ErrNoAWSS3 = fmt.Errorf("the server offers no aws_s3 extension: loads need Aurora PostgreSQL (it is in every supported version)")
