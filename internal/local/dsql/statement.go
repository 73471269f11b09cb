package dsql

import "strings"

// A kind is what the cluster does with a statement.
type kind uint8

const (
	read        kind = iota // goes to the server
	change                  // changes rows
	definition              // changes the catalog
	copyIn                  // COPY FROM STDIN
	begin                   // of a transaction
	commit                  //
	rollback                //
	indexJob                // CREATE INDEX ASYNC
	validateJob             // ALTER TABLE ASYNC ... VALIDATE CONSTRAINT
	iamGrant                // AWS IAM GRANT
	iamRevoke               // AWS IAM REVOKE
	waitForJob              // CALL sys.wait_for_job
)

// A statement is one that Aurora DSQL has.
type statement struct {
	sql    string // without what surrounds it
	kind   kind
	verb   string // for faults: insert, create table, ...
	tokens []token
	names  map[string]bool // identifiers that it mentions
	args   []token         // of kinds that the cluster carries out itself
	job    *jobRequest     // of indexJob and validateJob
	locks  bool            // the rows that it reads
}

// defines says whether a transaction may hold no other statement beside it.
func (s *statement) defines() bool {
	switch s.kind {
	case definition, indexJob, validateJob, iamGrant, iamRevoke:
		return true
	default:
		return false
	}
}

// changes says whether a statement writes rows.
func (s *statement) changes() bool { return s.kind == change || s.kind == copyIn }

// parse splits SQL into statements and refuses those that Aurora DSQL does not
// have.
func parse(sql string) ([]*statement, *Error) {
	list, e := tokens(sql)
	if e != nil {
		return nil, e
	}
	var all []*statement
	for len(list) > 0 {
		end := 0
		for end < len(list) && !list[end].is(";") {
			end++
		}
		if end > 0 {
			s := &statement{sql: sql[list[0].from:list[end-1].to], tokens: relative(list[:end]), names: map[string]bool{}}
			for _, t := range s.tokens {
				if n := t.name(); n != "" {
					s.names[n] = true
				}
			}
			if e := s.classify(); e != nil {
				return all, e
			}
			all = append(all, s)
		}
		list = list[min(end+1, len(list)):]
	}
	return all, nil
}

// relative moves tokens so that the first begins at 0.
func relative(list []token) []token {
	moved := make([]token, len(list))
	for i, t := range list {
		t.from -= list[0].from
		t.to -= list[0].from
		moved[i] = t
	}
	return moved
}

// nodes are statements that Aurora DSQL refuses by the name of their node in
// PostgreSQL's parser, by their first words. Truncate, CreateExtension and
// Createdb were seen; the others follow from them.
var nodes = map[string]string{
	"truncate": "Truncate", "vacuum": "Vacuum", "do": "Do", "listen": "Listen", "notify": "Notify", "unlisten": "Unlisten", "lock": "Lock",
	"cluster": "Cluster", "reindex": "Reindex", "checkpoint": "CheckPoint", "load": "Load", "prepare": "Prepare", "execute": "Execute",
	"deallocate": "Deallocate", "declare": "DeclareCursor", "fetch": "Fetch", "move": "Fetch", "close": "ClosePortal", "discard": "Discard",
	"comment": "Comment", "security": "SecLabel", "reassign": "ReassignOwned", "import": "ImportForeignSchema", "merge": "Merge", "refresh": "RefreshMatView",
	"savepoint": "Transaction", "release": "Transaction",
	"create extension": "CreateExtension", "create database": "Createdb", "create type": "CreateType", "create tablespace": "CreateTableSpace",
	"create rule": "Rule", "create publication": "CreatePublication", "create subscription": "CreateSubscription", "create server": "CreateForeignServer",
	"create collation": "Define", "create aggregate": "Define", "create operator": "Define", "create cast": "CreateCast", "create policy": "CreatePolicy",
	"create materialized": "CreateTableAs", "create foreign": "CreateForeignTable", "create event": "CreateEventTrig", "create user": "CreateUserMapping",
	"alter system": "AlterSystem", "alter database": "AlterDatabase", "alter extension": "AlterExtension", "alter type": "AlterType",
	"drop database": "Dropdb", "drop extension": "Drop", "drop type": "Drop", "drop trigger": "Drop", "drop materialized": "Drop", "drop owned": "DropOwned",
}

// definitions are the catalog's statements that go to the server as they are, or
// after a look at their clauses.
var definitions = map[string]func(*statement) *Error{
	"create table": (*statement).createTable, "create index": (*statement).createIndex, "create unique": (*statement).createIndex,
	"create schema": (*statement).createSchema, "create view": nil, "create domain": nil, "create statistics": nil,
	"create sequence": (*statement).createSequence, "create function": (*statement).createFunction, "create role": (*statement).createRole, "create or": (*statement).createOrReplace,
	"create temp": (*statement).createTemporary, "create temporary": (*statement).createTemporary, "create unlogged": (*statement).createTemporary,
	"create procedure": (*statement).createProcedure, "create trigger": (*statement).createTrigger, "create constraint": (*statement).createTrigger,
	"alter table": (*statement).alterTable, "alter role": (*statement).createRole, "alter schema": nil, "alter view": nil, "alter domain": nil, "alter index": nil,
	"alter sequence": (*statement).alterSequence, "alter function": nil, "alter default": nil, "alter statistics": nil,
	"drop table": nil, "drop index": (*statement).dropIndex, "drop schema": nil, "drop view": nil, "drop sequence": nil, "drop domain": nil,
	"drop function": nil, "drop role": nil, "drop statistics": nil,
}

// classify tells a statement's kind, or refuses it.
func (s *statement) classify() *Error {
	t := s.tokens
	first := t[0].text
	if t[0].is("(") {
		first = "select"
	} else if t[0].kind != word {
		return syntaxError(t[0].text)
	}
	two := first
	if len(t) > 1 && t[1].kind == word {
		two = first + " " + t[1].text
	}
	s.verb = first
	if node := nodes[two]; node != "" {
		return unsupported("unsupported statement: %s", node)
	}
	if node := nodes[first]; node != "" {
		return unsupported("unsupported statement: %s", node)
	}
	switch first {
	case "select", "values", "table", "with", "explain", "show", "analyze":
		return s.classifyQuery(first)
	case "insert", "update", "delete":
		s.kind = change
		return s.clauses()
	case "copy":
		return s.copyStatement()
	case "begin", "start", "commit", "end", "rollback", "abort":
		return s.transactionStatement(first)
	case "set", "reset":
		return s.setStatement()
	case "create", "alter", "drop":
		check, known := definitions[two]
		if !known {
			return unknown("statement %s", strings.ToUpper(two))
		}
		s.kind, s.verb = definition, two
		if check == nil {
			return nil
		}
		return check(s)
	case "grant", "revoke":
		return s.grantStatement()
	case "aws":
		return s.awsStatement()
	case "call":
		return s.callStatement()
	}
	return syntaxError(s.sql[t[0].from:t[0].to])
}

// classifyQuery tells queries that change rows from those that read.
func (s *statement) classifyQuery(first string) *Error {
	if first == "explain" && !s.names["analyze"] {
		return s.clauses() // plans only
	}
	if first == "with" || first == "explain" {
		for i, t := range s.tokens {
			if (t.is("insert") || t.is("update") || t.is("delete")) && (i == 0 || !s.tokens[i-1].is("for") && !s.tokens[i-1].is("on")) {
				s.kind = change
			}
		}
	}
	return s.clauses()
}

// clauses refuses what a query may not hold.
func (s *statement) clauses() *Error {
	t := s.tokens
	for i := range t {
		rest := t[i:]
		switch {
		case begins(rest, "for", "share"):
			return unsupported("locking clause FOR SHARE not supported")
		case begins(rest, "for", "no", "key", "update"):
			return unsupported("locking clause FOR NO KEY UPDATE not supported")
		case begins(rest, "for", "update"), begins(rest, "for", "key", "share"):
			s.locks = s.kind == read
		case begins(rest, "set_config", "("):
			return unsupported("setting configuration parameter %q not supported", literalAfter(rest))
		case begins(rest, "wait_for_job", "("):
			return &Error{Code: "42809", Message: "sys.wait_for_job(unknown) is a procedure", Hint: "To call a procedure, use CALL."}
		}
	}
	if t[0].is("select") {
		if i := find(t, "into", "from"); i > 0 && t[i].is("into") {
			return unsupported("SELECT INTO not supported")
		}
	}
	return nil
}

func literalAfter(list []token) string {
	for _, t := range list {
		if t.kind == literal {
			return t.text
		}
	}
	return "?"
}

// copyStatement lets COPY FROM STDIN in the text and CSV formats through.
func (s *statement) copyStatement() *Error {
	i := find(s.tokens, "from", "to")
	switch {
	case i < 0 || i+1 >= len(s.tokens):
		return syntaxError("copy")
	case s.tokens[i].is("to"):
		return unknown("COPY TO")
	case !s.tokens[i+1].is("stdin"):
		return unsupported("COPY from a file or program not supported")
	case s.names["binary"]:
		return unknown("COPY in the binary format")
	}
	s.kind = copyIn
	return nil
}

// transactionStatement reads BEGIN and its like.
func (s *statement) transactionStatement(first string) *Error {
	var words []string
	for _, t := range s.tokens[1:] {
		if t.kind != word && !t.is(",") {
			return syntaxError(t.text)
		}
		words = append(words, t.text)
	}
	rest := strings.Join(words, " ")
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, "transaction"), "work")
	rest = strings.TrimSpace(rest)
	switch first {
	case "begin", "start":
		s.kind = begin
		for mode := range strings.SplitSeq(rest, ",") {
			mode = strings.TrimSpace(mode)
			mode, hasIsolation := strings.CutPrefix(mode, "isolation level ")
			if hasIsolation {
				mode = strings.TrimSpace(strings.TrimPrefix(mode, "repeatable read"))
			}
			switch mode {
			case "", "read only", "read write":
			default:
				return unsupported("transaction mode %q not supported", strings.TrimSpace(rest))
			}
		}
		return nil
	case "commit", "end":
		s.kind = commit
	default:
		s.kind = rollback
		if strings.HasPrefix(rest, "to ") {
			return unsupported("unsupported statement: Transaction")
		}
	}
	if rest != "" {
		return unsupported("unsupported statement: Transaction")
	}
	return nil
}

// settings are the parameters that a session may set.
var settings = map[string]bool{
	"search_path": true, "application_name": true, "client_encoding": true, "datestyle": true, "intervalstyle": true, "extra_float_digits": true,
	"timezone": true, "bytea_output": true,
}

func (s *statement) setStatement() *Error {
	t := s.tokens[1:]
	if len(t) > 0 && (t[0].is("session") || t[0].is("local")) {
		t = t[1:]
	}
	switch {
	case len(t) == 0:
		return syntaxError("set")
	case s.tokens[0].is("set") && begins(t, "constraints"):
		return nil
	case begins(t, "transaction"), begins(t, "characteristics"):
		return unknown("SET TRANSACTION")
	case begins(t, "authorization"):
		return unsupported("setting configuration parameter %q not supported", "session_authorization")
	}
	name := t[0].name()
	for i := 1; i+1 < len(t) && t[i].is("."); i += 2 {
		name += "." + t[i+1].name()
	}
	if begins(t, "time", "zone") {
		name, t = "timezone", t[1:]
	}
	if !settings[name] {
		return unsupported("setting configuration parameter %q not supported", name)
	}
	value := t[len(t)-1].text
	if (name == "timezone" && !strings.EqualFold(value, "utc") || name == "client_encoding" && !strings.EqualFold(value, "utf8")) && s.tokens[0].is("set") {
		return unsupported("setting configuration parameter %q to %q not supported", name, value)
	}
	return nil
}

// grantStatement refuses grants on what is the system's, and of roles.
func (s *statement) grantStatement() *Error {
	s.kind = definition
	on := find(s.tokens, "on")
	if on < 0 {
		return unsupported("Role %s not supported", s.tokens[min(1, len(s.tokens)-1)].text)
	}
	if begins(s.tokens[on:], "on", "schema") && len(s.tokens) > on+2 {
		if n := s.tokens[on+2].name(); n == "public" || n == "sys" || n == "information_schema" || strings.HasPrefix(n, "pg_") {
			return unsupported("feature not supported on system entity")
		}
	}
	return nil
}

// awsStatement reads AWS IAM GRANT role TO 'arn' and AWS IAM REVOKE role FROM 'arn'.
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/using-database-and-iam-roles.html
func (s *statement) awsStatement() *Error {
	t := s.tokens
	switch {
	case begins(t, "aws", "iam", "grant", "?", "to", "?"):
		s.kind, s.verb = iamGrant, "aws iam grant"
	case begins(t, "aws", "iam", "revoke", "?", "from", "?"):
		s.kind, s.verb = iamRevoke, "aws iam revoke"
	default:
		return syntaxError("AWS")
	}
	if len(t) != 6 || t[3].name() == "" || t[5].kind != literal {
		return syntaxError(t[len(t)-1].text)
	}
	if arn := strings.SplitN(t[5].text, ":", 6); len(arn) != 6 || arn[0] != "arn" || arn[2] != "iam" || !strings.HasPrefix(arn[5], "role/") && !strings.HasPrefix(arn[5], "user/") {
		return &Error{Code: "22023", Message: "IAM role must look like an IAM ARN"}
	}
	s.args = []token{t[3], t[5]}
	return nil
}

// callStatement knows one procedure.
func (s *statement) callStatement() *Error {
	t := s.tokens
	if !begins(t, "call", "sys", ".", "wait_for_job", "(", "?", ")") || len(t) != 7 || t[5].kind != literal && t[5].kind != parameter {
		return unknown("this procedure call")
	}
	s.kind, s.args = waitForJob, t[5:6]
	return nil
}
