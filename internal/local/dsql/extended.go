package dsql

import (
	"github.com/jackc/pgx/v5/pgproto3"
)

// A prepared statement, by the client's name for it.
type prepared struct {
	stmt *statement // nil is the empty one
	own  bool       // carried out by the cluster: the server does not know it
}

// A portal is a prepared statement with its parameters.
type portal struct {
	*prepared
	parameters []string // of the cluster's own; text
	formats    []int16  // of its rows
}

// textOID is the type of what the cluster's own statements take and give.
const textOID = 25

func column(name string, oid uint32, size int16) pgproto3.FieldDescription {
	return pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oid, DataTypeSize: size, TypeModifier: -1}
}

// columns are what a statement of the cluster's own answers; none is no rows.
func (s *statement) columns() []pgproto3.FieldDescription {
	switch s.kind {
	case indexJob, validateJob:
		return []pgproto3.FieldDescription{column("job_id", textOID, -1)}
	case waitForJob:
		return []pgproto3.FieldDescription{column("succeeded", 16, 1)}
	default:
		return nil
	}
}

// refuse fails an exchange of the extended protocol: what follows is dropped
// until the client's Sync.
func (s *session) refuse(e *pgproto3.ErrorResponse) error {
	s.skip = true
	return s.fail(e)
}

// pass hands a message on to the server, in a transaction. It says whether it
// went well.
func (s *session) pass(m pgproto3.FrontendMessage, ddl bool) (bool, error) {
	if err := s.tx.start(s); err != nil {
		return false, err
	}
	failure, err := s.ask(func(m pgproto3.BackendMessage) error {
		if complete, ok := m.(*pgproto3.CommandComplete); ok {
			s.tag = append(s.tag[:0], complete.CommandTag...)
		}
		return s.send(m)
	}, m, &pgproto3.Sync{})
	if err != nil {
		return false, err
	}
	if failure != nil {
		return false, s.refuse(translate(failure, ddl))
	}
	return true, nil
}

// gone refuses what a failed transaction takes no more.
func (s *session) gone(stmt *statement) (bool, error) {
	if !s.tx.failed || stmt == nil || stmt.kind == commit || stmt.kind == rollback {
		return false, nil
	}
	return true, s.refuse(aborted().response())
}

func (s *session) parse(m *pgproto3.Parse) error {
	all, refusal := parse(m.Query)
	if refusal == nil && len(all) > 1 {
		refusal = &Error{Code: "42601", Message: "cannot insert multiple commands into a prepared statement"}
	}
	if refusal != nil {
		return s.refuse(s.now(refusal).response())
	}
	p := &prepared{}
	if len(all) == 1 {
		p.stmt = all[0]
		if done, err := s.gone(p.stmt); done {
			return err
		}
		switch p.stmt.kind {
		case read, change, definition:
		case copyIn:
			return s.refuse(unknown("COPY in the extended protocol").response())
		default:
			p.own = true
		}
	}
	if s.prepared[m.Name] != nil && m.Name != "" {
		e := &Error{Code: "42P05", Message: "prepared statement \"" + m.Name + "\" already exists"}
		return s.refuse(e.response())
	}
	if p.own {
		s.prepared[m.Name] = p
		return s.send(&pgproto3.ParseComplete{})
	}
	if p.stmt != nil && s.cluster.stale(s, p.stmt) {
		return s.refuse(schemaConflict().response())
	}
	ok, err := s.pass(m, false)
	if ok {
		s.prepared[m.Name] = p
	}
	return err
}

func (s *session) bind(m *pgproto3.Bind) error {
	p := s.prepared[m.PreparedStatement]
	if p == nil {
		e := &Error{Code: "26000", Message: "prepared statement \"" + m.PreparedStatement + "\" does not exist"}
		return s.refuse(e.response())
	}
	if done, err := s.gone(p.stmt); done {
		return err
	}
	made := &portal{prepared: p, formats: append([]int16(nil), m.ResultFormatCodes...)}
	if !p.own {
		ok, err := s.pass(m, false)
		if ok {
			s.portals[m.DestinationPortal] = made
		}
		return err
	}
	for _, v := range m.Parameters {
		made.parameters = append(made.parameters, string(v)) // of text, both formats are the same
	}
	s.portals[m.DestinationPortal] = made
	return s.send(&pgproto3.BindComplete{})
}

func (s *session) describe(m *pgproto3.Describe) error {
	p := s.prepared[m.Name]
	var formats []int16
	if m.ObjectType == 'P' {
		p = nil
		if q := s.portals[m.Name]; q != nil {
			p, formats = q.prepared, q.formats
		}
	}
	if p == nil || !p.own {
		if p != nil {
			if done, err := s.gone(p.stmt); done {
				return err
			}
		}
		_, err := s.pass(m, false)
		return err
	}
	if m.ObjectType == 'S' {
		d := &pgproto3.ParameterDescription{}
		for _, a := range p.stmt.args {
			if a.kind == parameter {
				d.ParameterOIDs = append(d.ParameterOIDs, textOID)
			}
		}
		s.client.Send(d)
	}
	c := p.stmt.columns()
	if c == nil {
		return s.send(&pgproto3.NoData{})
	}
	if len(formats) > 0 {
		c[0].Format = formats[0] // there is one column
	}
	return s.send(&pgproto3.RowDescription{Fields: c})
}

func (s *session) execute(m *pgproto3.Execute) error {
	p := s.portals[m.Portal]
	if p == nil {
		e := &Error{Code: "34000", Message: "portal \"" + m.Portal + "\" does not exist"}
		return s.refuse(e.response())
	}
	if p.stmt == nil {
		_, err := s.pass(m, false)
		return err
	}
	tag, failure, done, err := s.before(p.stmt, p.parameters, output{described: true, formats: p.formats})
	switch {
	case err != nil:
		return err
	case failure != nil:
		return s.refuse(failure)
	case done:
		return s.send(&pgproto3.CommandComplete{CommandTag: tag})
	}
	ok, err := s.pass(m, p.stmt.defines())
	if !ok || err != nil {
		return err
	}
	failure, err = s.after(p.stmt, s.tag)
	if failure != nil {
		return s.refuse(failure)
	}
	return err
}

func (s *session) close(m *pgproto3.Close) error {
	var p *prepared
	if m.ObjectType == 'S' {
		p = s.prepared[m.Name]
		delete(s.prepared, m.Name)
	} else {
		if q := s.portals[m.Name]; q != nil {
			p = q.prepared
		}
		delete(s.portals, m.Name)
	}
	if p == nil || p.own {
		return s.send(&pgproto3.CloseComplete{})
	}
	// It needs no transaction, and goes well in a failed one.
	failure, err := s.ask(func(m pgproto3.BackendMessage) error { return s.send(m) }, m, &pgproto3.Sync{})
	if failure != nil {
		return s.refuse(failure)
	}
	return err
}

// sync ends an exchange, and with it a transaction that the client did not begin.
func (s *session) sync() error {
	failed := s.skip
	s.skip = false
	if !s.tx.explicit {
		if !failed {
			failure, err := s.tx.commit(s)
			if err != nil {
				return err
			}
			if failure != nil {
				if err := s.send(failure); err != nil {
					return err
				}
			}
		}
		if err := s.tx.end(s); err != nil {
			return err
		}
		clear(s.portals)
	}
	return s.ready()
}
