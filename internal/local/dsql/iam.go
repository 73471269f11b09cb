package dsql

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// sqlText quotes a text for SQL.
func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// asSuperuser runs work of the cluster's own in the session's transaction, with
// rights that its role does not have.
func (s *session) asSuperuser(work func() error) error {
	if err := s.exec("RESET SESSION AUTHORIZATION"); err != nil {
		return err
	}
	if err := work(); err != nil {
		return err // what failed rolls the change of role back, too
	}
	return s.exec("SET SESSION AUTHORIZATION " + identifier(s.user))
}

// mapRole carries AWS IAM GRANT and REVOKE out.
func (s *session) mapRole(stmt *statement) ([]byte, *pgproto3.ErrorResponse, error) {
	if s.user != adminRole {
		return nil, (&Error{Code: "42501", Message: "permission denied to map roles"}).response(), nil
	}
	role, arn := stmt.args[0].text, stmt.args[1].text
	err := s.asSuperuser(func() error {
		known, err := s.rows("SELECT FROM pg_catalog.pg_roles WHERE rolname = " + sqlText(role) + " AND rolname <> 'admin' AND NOT rolsuper")
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return &Error{Code: "42704", Message: fmt.Sprintf("role %q does not exist", role)}
		}
		if stmt.kind == iamGrant {
			return s.exec("INSERT INTO sys.iam_grant (arn, role) VALUES (" + sqlText(arn) + ", " + sqlText(identifier(role)) + "::regrole) ON CONFLICT DO NOTHING")
		}
		return s.exec("DELETE FROM sys.iam_grant WHERE arn = " + sqlText(arn) + " AND role = " + sqlText(identifier(role)) + "::regrole")
	})
	if err != nil {
		failure, err := answerOf(err)
		return nil, failure, err
	}
	return []byte(strings.ToUpper(stmt.verb)), nil, nil
}

// identifier quotes names for SQL, joined by dots.
func identifier(parts ...string) string { return pgx.Identifier(parts).Sanitize() }
