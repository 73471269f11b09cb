package dsql

import (
	"github.com/jackc/pgx/v5/pgproto3"
)

// A jobRequest is what a statement with ASYNC asks for.
type jobRequest struct {
	table       name
	constraint  string // to validate
	index       bool   // to build
	name        string // of the index; "" lets the server name it
	unique      bool
	ifNotExists bool
	rest        string // of the statement, from the keys on
}

func (c *Cluster) keep() { defer c.served.Done() }

func (c *Cluster) wakeKeeper() {}

func (c *Cluster) forgetJobs() error { return nil }

func (s *session) submit(stmt *statement, describe func([]pgproto3.FieldDescription) error) ([]byte, *pgproto3.ErrorResponse, error) {
	return nil, unknown("ASYNC").response(), nil
}

func (s *session) waitForJob(stmt *statement, parameters []string, describe func([]pgproto3.FieldDescription) error) ([]byte, *pgproto3.ErrorResponse, error) {
	return nil, unknown("wait_for_job").response(), nil
}
