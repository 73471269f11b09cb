package dsql

import "strings"

// What can be told from a definition's words is refused here; what only the
// catalog tells (types, sizes, numbers of things) install.sql refuses when the
// definition has run.

// A name is that of an object, its parts as the catalog has them.
type name struct {
	schema, object string
	from, to       int // tokens
}

// nameAt reads a name that may have a schema.
func nameAt(list []token, i int) (name, bool) {
	if i < 0 || i >= len(list) || list[i].name() == "" {
		return name{}, false
	}
	n := name{object: list[i].name(), from: i, to: i + 1}
	if i+2 < len(list) && list[i+1].is(".") && list[i+2].name() != "" {
		n.schema, n.object, n.to = n.object, list[i+2].name(), i+3
	}
	return n, true
}

// skip is the index behind words that may stand at i, each by itself.
func skip(list []token, i int, words ...string) int {
	for i < len(list) {
		known := false
		for _, w := range words {
			known = known || list[i].is(w)
		}
		if !known {
			break
		}
		i++
	}
	return i
}

// objects are the names that a definition is about, for whoever has an older
// catalog: the table of an index, the one that is granted on, the one dropped.
func (s *statement) objects() []string {
	t := s.tokens
	var at int
	switch s.verb {
	case "create index", "create unique", "create trigger":
		at = find(t, "on") + 1
	case "grant", "revoke":
		at = skip(t, find(t, "on")+1, "table")
	case "aws iam grant", "aws iam revoke", "create role", "alter role", "drop role", "alter default":
		return nil
	default:
		at = skip(t, 2, "if", "not", "exists", "async", "only", "replace", "view", "function")
	}
	var names []string
	for {
		n, ok := nameAt(t, at)
		if !ok {
			return names
		}
		names = append(names, n.object)
		if n.to >= len(t) || !t[n.to].is(",") {
			return names
		}
		at = n.to + 1
	}
}

// serials are types that PostgreSQL spells out and Aurora DSQL does not have.
var serials = map[string]bool{"serial": true, "serial2": true, "serial4": true, "serial8": true, "smallserial": true, "bigserial": true}

// createTable reads CREATE TABLE name (...).
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/create-table-syntax-support.html
func (s *statement) createTable() *Error {
	t := s.tokens
	n, ok := nameAt(t, skip(t, 2, "if", "not", "exists"))
	if !ok {
		return syntaxError("TABLE")
	}
	switch rest := t[n.to:]; {
	case len(rest) == 0:
		return syntaxError("")
	case rest[0].is("("):
	case find(rest, "as") >= 0:
		return unsupported("unsupported statement: CreateTableAs")
	case begins(rest, "partition", "of"):
		return unsupported("PARTITION OF not supported for CREATE TABLE")
	default:
		return unsupported("%s not supported for CREATE TABLE", strings.ToUpper(rest[0].text))
	}
	end := closing(t, n.to)
	if end < 0 {
		return syntaxError("")
	}
	if rest := t[end+1:]; len(rest) > 0 {
		switch {
		case find(rest, "as") >= 0:
			return unsupported("unsupported statement: CreateTableAs")
		case begins(rest, "partition", "by"):
			return unsupported("PARTITION BY not supported for CREATE TABLE")
		}
		return unsupported("%s not supported for CREATE TABLE", strings.ToUpper(rest[0].text))
	}
	for _, part := range parts(t[n.to+1 : end]) {
		if len(part) == 0 {
			return syntaxError(",")
		}
		if e := s.tablePart(part); e != nil {
			return e
		}
	}
	return nil
}

// tablePart reads a column or a constraint of CREATE TABLE.
func (s *statement) tablePart(part []token) *Error {
	switch {
	case begins(part, "exclude"), begins(part, "constraint", "?", "exclude"):
		return unsupported("EXCLUDE constraint not supported")
	case begins(part, "like"), begins(part, "constraint"), begins(part, "primary"), begins(part, "unique"), begins(part, "check"), begins(part, "foreign"):
		return nil
	}
	if len(part) < 2 {
		return syntaxError(part[0].text)
	}
	return s.columnType(part[1:])
}

// columnType refuses what a column's type or constraints may not say; list
// begins with the type.
func (s *statement) columnType(list []token) *Error {
	if list[0].kind == word && serials[list[0].text] {
		return &Error{Code: "42704", Message: "type \"" + list[0].text + "\" does not exist"}
	}
	if i := find(list, "identity"); i >= 0 {
		return s.cacheSize(list[i:], "identity column")
	}
	return nil
}

// cacheSize refuses a sequence whose cache is not said, or neither 1 nor large.
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/create-sequence-syntax-support.html
func (s *statement) cacheSize(list []token, what string) *Error {
	for i, t := range list {
		if t.is("cache") && i+1 < len(list) && list[i+1].kind == number {
			if n := list[i+1].text; n == "1" || len(n) > 5 || len(n) == 5 && n >= "65536" {
				return nil
			}
			return unsupported("%s is not supported with a cache size of %s. please define CACHE greater than or equal to 65536 or equal to 1", what, list[i+1].text)
		}
	}
	return unsupported("%s is not supported without an explicit cache size. please define CACHE greater than or equal to 65536 or equal to 1", what)
}

func (s *statement) createSequence() *Error {
	if find(s.tokens, "owned") >= 0 {
		return unknown("CREATE SEQUENCE OWNED BY")
	}
	if i := find(s.tokens, "as"); i >= 0 && i+1 < len(s.tokens) && !s.tokens[i+1].is("bigint") && !s.tokens[i+1].is("int8") {
		return unsupported("datatype %s not supported for CREATE SEQUENCE", s.tokens[i+1].text)
	}
	return s.cacheSize(s.tokens, "CREATE SEQUENCE")
}

func (s *statement) alterSequence() *Error {
	if find(s.tokens, "cache") >= 0 {
		return s.cacheSize(s.tokens, "ALTER SEQUENCE")
	}
	return nil
}

func (s *statement) createTemporary() *Error {
	if s.tokens[1].is("unlogged") {
		return unsupported("UNLOGGED table not supported for CREATE TABLE")
	}
	if len(s.tokens) > 2 && s.tokens[2].is("table") {
		return unsupported("TEMPORARY or TEMP table not supported for CREATE TABLE")
	}
	return unsupported("TEMPORARY or TEMP not supported")
}

func (s *statement) createProcedure() *Error { return unsupported("PROCEDURE is not supported") }

func (s *statement) createTrigger() *Error { return unsupported("CREATE TRIGGER not supported") }

func (s *statement) createSchema() *Error {
	// Its elements would be definitions within a definition.
	for _, t := range s.tokens[2:] {
		if t.is("create") || t.is("grant") {
			return unknown("CREATE SCHEMA with elements")
		}
	}
	return nil
}

// createFunction lets functions in SQL through.
func (s *statement) createFunction() *Error {
	if i := find(s.tokens, "language"); i >= 0 && i+1 < len(s.tokens) {
		if language := strings.ToLower(s.tokens[i+1].text); language != "sql" {
			return unsupported("CREATE FUNCTION with language %s not supported", language)
		}
	}
	return nil
}

func (s *statement) createOrReplace() *Error {
	t := s.tokens
	s.verb = "create or replace"
	switch {
	case begins(t, "create", "or", "replace", "function"):
		return s.createFunction()
	case begins(t, "create", "or", "replace", "view"):
		return nil
	case begins(t, "create", "or", "replace", "procedure"):
		return s.createProcedure()
	case begins(t, "create", "or", "replace", "trigger"):
		return s.createTrigger()
	}
	return unknown("statement CREATE OR REPLACE %s", strings.ToUpper(t[min(3, len(t)-1)].text))
}

// createRole lets a role have a login, and nothing that a token replaces.
func (s *statement) createRole() *Error {
	n, ok := nameAt(s.tokens, 2)
	if !ok {
		return syntaxError("ROLE")
	}
	for _, t := range s.tokens[n.to:] {
		if !t.is("with") && !t.is("login") && !t.is("nologin") {
			return unsupported("option %s not supported for %s", strings.ToUpper(t.text), strings.ToUpper(s.verb))
		}
	}
	return nil
}

func (s *statement) dropIndex() *Error {
	if s.names["concurrently"] && s.tokens[2].is("concurrently") {
		return unsupported("CONCURRENTLY not supported for DROP INDEX")
	}
	return nil
}

// alterTable reads ALTER TABLE [ASYNC] name action, ...
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/alter-table-syntax-support.html
func (s *statement) alterTable() *Error {
	t := s.tokens
	async := begins(t, "alter", "table", "async")
	n, ok := nameAt(t, skip(t, 2, "async", "if", "exists", "only"))
	if !ok || n.to >= len(t) {
		return syntaxError("TABLE")
	}
	actions := parts(t[n.to:])
	if async {
		a := actions[0]
		if len(actions) != 1 || len(a) != 3 || !begins(a, "validate", "constraint") || a[2].name() == "" {
			return unsupported("unsupported ALTER TABLE ASYNC statement")
		}
		s.kind, s.job = validateJob, &jobRequest{table: n, constraint: a[2].name()}
		return nil
	}
	for _, action := range actions {
		if e := s.alterAction(action); e != nil {
			return e
		}
	}
	return nil
}

func (s *statement) alterAction(a []token) *Error {
	switch {
	case begins(a, "add", "constraint", "?"):
		return s.addConstraint(a[3:])
	case begins(a, "add", "primary"), begins(a, "add", "unique"), begins(a, "add", "foreign"), begins(a, "add", "check"), begins(a, "add", "exclude"):
		return s.addConstraint(a[1:])
	case begins(a, "add"):
		return s.addColumn(a[skip(a, 1, "column", "if", "not", "exists"):])
	case begins(a, "validate"):
		return unsupported("unsupported ALTER TABLE VALIDATE CONSTRAINT statement")
	case begins(a, "alter", "constraint"):
		return unknown("ALTER TABLE ALTER CONSTRAINT")
	case begins(a, "alter"):
		return s.alterColumn(a[skip(a, 1, "column"):])
	case begins(a, "drop"), begins(a, "rename"), begins(a, "set", "schema"), begins(a, "owner"):
		return nil
	}
	var words []string
	for _, t := range a {
		if t.kind != word || len(words) == 3 {
			break
		}
		words = append(words, strings.ToUpper(t.text))
	}
	return unsupported("unsupported ALTER TABLE %s statement", strings.Join(words, " "))
}

// addConstraint lets those through that need no scan; list begins with the kind.
func (s *statement) addConstraint(list []token) *Error {
	notValid := false
	for i := range list {
		notValid = notValid || begins(list[i:], "not", "valid")
	}
	switch {
	case begins(list, "unique", "using", "index"):
		return nil
	case begins(list, "unique") && notValid:
		return unsupported("UNIQUE constraints cannot be marked NOT VALID")
	case begins(list, "primary") && notValid:
		return unsupported("PRIMARY KEY constraints cannot be marked NOT VALID")
	case (begins(list, "foreign") || begins(list, "check")) && notValid:
		return nil
	}
	return unsupported("unsupported ALTER TABLE ADD CONSTRAINT statement")
}

// addColumn lets a name and a type through.
func (s *statement) addColumn(list []token) *Error {
	if len(list) < 2 {
		return syntaxError("ADD")
	}
	if e := s.columnType(list[1:]); e != nil {
		return e
	}
	if find(list[1:], "default", "not", "null", "check", "unique", "primary", "references", "generated", "constraint") >= 0 {
		return unsupported("ALTER TABLE ADD COLUMN with constraint not supported")
	}
	return nil
}

// alterColumn reads ALTER COLUMN; list begins with the column.
func (s *statement) alterColumn(list []token) *Error {
	if len(list) < 2 {
		return syntaxError("ALTER")
	}
	a := list[1:]
	switch {
	case begins(a, "set", "default"), begins(a, "drop", "default"), begins(a, "drop", "not", "null"), begins(a, "drop", "identity"), begins(a, "drop", "expression"),
		begins(a, "set", "storage"), begins(a, "restart"), begins(a, "set", "generated"):
		return nil
	case begins(a, "add", "generated"):
		return s.cacheSize(a, "identity column")
	case begins(a, "set", "not", "null"):
		return unsupported("unsupported ALTER TABLE ALTER COLUMN ... SET NOT NULL statement")
	case begins(a, "type"), begins(a, "set", "data", "type"):
		return unsupported("unsupported ALTER TABLE ALTER COLUMN ... SET DATA TYPE statement")
	}
	var words []string
	for _, t := range a[:min(2, len(a))] {
		words = append(words, strings.ToUpper(t.text))
	}
	return unsupported("unsupported ALTER TABLE ALTER COLUMN ... %s statement", strings.Join(words, " "))
}

// createIndex reads CREATE [UNIQUE] INDEX ASYNC [IF NOT EXISTS] [name] ON table
// (key, ...) [INCLUDE (...)] [NULLS [NOT] DISTINCT] [WHERE ...].
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/create-index-syntax-support.html
func (s *statement) createIndex() *Error {
	t := s.tokens
	s.verb = "create index"
	job := &jobRequest{index: true}
	i := 1
	if t[i].is("unique") {
		job.unique = true
		i++
	}
	if i >= len(t) || !t[i].is("index") {
		return syntaxError("UNIQUE")
	}
	i++
	async := i < len(t) && t[i].is("async")
	i = skip(t, i, "async")
	if i < len(t) && t[i].is("concurrently") {
		return unsupported("CONCURRENTLY not supported for CREATE INDEX")
	}
	if begins(t[min(i, len(t)):], "if", "not", "exists") {
		job.ifNotExists = true
		i += 3
	}
	if i < len(t) && !t[i].is("on") {
		n, ok := nameAt(t, i)
		if !ok || n.schema != "" {
			return syntaxError(t[i].text)
		}
		job.name = n.object
		i = n.to
	}
	if i >= len(t) || !t[i].is("on") || job.ifNotExists && job.name == "" {
		return syntaxError("ON")
	}
	n, ok := nameAt(t, skip(t, i+1, "only"))
	if !ok {
		return syntaxError("ON")
	}
	job.table = n
	rest := t[n.to:]
	if begins(rest, "using", "?") {
		if !rest[1].is("btree_index") {
			return unsupported("USING not supported for CREATE INDEX")
		}
		rest = rest[2:]
	}
	if !async {
		return unsupported("unsupported mode. please use CREATE INDEX ASYNC.")
	}
	if len(rest) == 0 || !rest[0].is("(") {
		return syntaxError("ON")
	}
	end := closing(rest, 0)
	if end < 0 {
		return syntaxError("")
	}
	if e := indexKeys(parts(rest[1:end])); e != nil {
		return e
	}
	if e := indexTail(rest[end+1:]); e != nil {
		return e
	}
	job.rest = s.sql[rest[0].from:]
	s.kind, s.job = indexJob, job
	return nil
}

func indexKeys(keys [][]token) *Error {
	for _, key := range keys {
		if len(key) == 0 {
			return syntaxError(",")
		}
		i := 1 // behind a column, a function's arguments or an expression
		if key[0].is("(") {
			i = closing(key, 0) + 1
		} else if len(key) > 1 && key[1].is("(") {
			i = closing(key, 1) + 1
		}
		if i == 0 {
			return syntaxError("(")
		}
		for rest := key[i:]; len(rest) > 0; {
			switch {
			case rest[0].is("asc"), rest[0].is("desc"):
				return unsupported("specifying sort order not supported for index keys")
			case begins(rest, "nulls", "first"), begins(rest, "nulls", "last"):
				rest = rest[2:]
			case rest[0].is("collate"):
				return unsupported("COLLATE not supported for index keys")
			default:
				return unsupported("opclass not supported for index keys")
			}
		}
	}
	return nil
}

// indexTail reads what follows an index's keys.
func indexTail(rest []token) *Error {
	for len(rest) > 0 {
		switch {
		case begins(rest, "include", "("):
			end := closing(rest, 1)
			if end < 0 {
				return syntaxError("(")
			}
			for _, c := range parts(rest[2:end]) {
				if len(c) != 1 {
					return unsupported("expressions are not supported in included columns")
				}
			}
			rest = rest[end+1:]
		case begins(rest, "nulls", "distinct"):
			rest = rest[2:]
		case begins(rest, "nulls", "not", "distinct"):
			rest = rest[3:]
		case begins(rest, "where"):
			return nil
		default:
			return unsupported("%s not supported for CREATE INDEX", strings.ToUpper(rest[0].text))
		}
	}
	return nil
}
