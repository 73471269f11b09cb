package target

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
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
	var found []struct{ Installed, Available bool }
	err := admin.Query(ctx, &found, `SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'aws_s3') AS installed,
EXISTS (SELECT FROM pg_available_extensions WHERE name = 'aws_s3') AS available`)
	if err != nil {
		return fmt.Errorf("look for extension aws_s3: %w", err)
	}
	switch {
	case len(found) != 1:
		return fmt.Errorf("look for extension aws_s3: the database answered %d rows", len(found))
	case !found[0].Available:
		return ErrNoAWSS3
	case !found[0].Installed:
		if err := admin.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS aws_s3 CASCADE`); err != nil {
			return fmt.Errorf("create extension aws_s3: %w", err)
		}
	}
	if err := prepareRole(ctx, admin, loader, role, password); err != nil {
		return err
	}
	for _, sql := range []string{
		"GRANT CREATE, TEMPORARY ON DATABASE " + Quote(admin.Database) + " TO " + Quote(role),
		"GRANT USAGE ON SCHEMA aws_s3, aws_commons TO " + Quote(role),
		"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_s3, aws_commons TO " + Quote(role),
	} {
		if err := admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("grant the loader its rights: %w", err)
		}
	}
	if err := loader.Exec(ctx, installSQL); err != nil {
		return fmt.Errorf("install the bookkeeping schema godwit: %w", err)
	}
	return nil
}

// prepareRole creates the loader's role, or gives it the secret's password when
// it cannot log in with it (the secret was rotated, or a crash came between).
func prepareRole(ctx context.Context, admin, loader *DB, role, password string) error {
	var one []struct{ One int }
	if loader.Query(ctx, &one, `SELECT 1 AS one`) == nil {
		return nil
	}
	var roles []struct{ Super bool }
	if err := admin.Query(ctx, &roles, `SELECT rolsuper AS super FROM pg_roles WHERE rolname = :role`, Param{"role", role}); err != nil {
		return fmt.Errorf("look for role %s: %w", role, err)
	}
	v, err := Verifier(password)
	if err != nil {
		return fmt.Errorf("derive the loader's password verifier: %w", err)
	}
	verb := "CREATE ROLE "
	if len(roles) == 1 {
		verb = "ALTER ROLE "
	}
	// The verifier is base64, digits, '$' and ':' only.
	if err := admin.Exec(ctx, verb+Quote(role)+" LOGIN PASSWORD '"+v+"'"); err != nil {
		return fmt.Errorf("prepare role %s: %w", role, err)
	}
	return nil
}

// ErrNoAWSS3 says that the server has no aws_s3 extension to create.
var ErrNoAWSS3 = fmt.Errorf("the server offers no aws_s3 extension: LedgerLoad needs Aurora PostgreSQL (it is in every supported version)")
