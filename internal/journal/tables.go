package journal

import (
	"strings"
)

// A TableEventKind is a step in the life of a table.
type TableEventKind uint8

// The kinds of table events.
const (
	TableCreated TableEventKind = iota + 1
	TableDropped
	TableUndropped
)

// String names the kind as the statements do.
func (k TableEventKind) String() string {
	switch k {
	case TableCreated:
		return "CREATE TABLE"
	case TableDropped:
		return "DROP TABLE"
	case TableUndropped:
		return "UNDROP TABLE"
	}
	return "unknown table event"
}

// A TableEvent is a statement that created, dropped or brought back a table. A
// journal tells of that in no other place. CREATE and DROP give the table's
// name, UNDROP its id.
type TableEvent struct {
	Kind      TableEventKind
	Name      string // of CREATE and DROP
	TableID   string // of UNDROP
	Block     int64  // sequence number
	Statement int    // index in Block.Statements
}

// TableEvents returns the table events of b, in the order of its statements. A
// statement that only looks like one (a name is missing, text follows) is none.
func (b *Block) TableEvents() []TableEvent {
	var events []TableEvent
	for i := range b.Statements {
		if e, ok := parseTableStatement(b.Statements[i].Text); ok {
			e.Block, e.Statement = b.SequenceNo, i
			events = append(events, e)
		}
	}
	return events
}

// parseTableStatement reads, in any case:
//
//	CREATE TABLE name [WITH (...)]
//	DROP TABLE name
//	UNDROP TABLE "tableId"
//
// A name is plain or in double quotes, where a doubled quote is one. White
// space, comments and one semicolon at the end are allowed, as in PartiQL.
func parseTableStatement(text []byte) (e TableEvent, ok bool) {
	p := partiql{s: text}
	// Most statements are others: their first letter tells.
	p.space()
	if len(p.s) == 0 || p.s[0]|0x20 != 'c' && p.s[0]|0x20 != 'd' && p.s[0]|0x20 != 'u' {
		return e, false
	}
	switch {
	case p.keyword("create"):
		e.Kind = TableCreated
	case p.keyword("drop"):
		e.Kind = TableDropped
	case p.keyword("undrop"):
		e.Kind = TableUndropped
	default:
		return e, false
	}
	if !p.keyword("table") {
		return e, false
	}
	name, ok := p.identifier()
	if !ok {
		return e, false
	}
	if e.Kind == TableCreated && p.keyword("with") && !p.parenthesis() {
		return e, false
	}
	p.space()
	if len(p.s) > 0 && p.s[0] == ';' {
		p.s = p.s[1:]
		p.space()
	}
	if e.Kind == TableUndropped {
		e.TableID = name
	} else {
		e.Name = name
	}
	return e, len(p.s) == 0
}

// A partiql is what is left of a statement.
type partiql struct{ s []byte }

// space skips white space and comments.
func (p *partiql) space() {
	for len(p.s) > 0 {
		switch c := p.s[0]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			p.s = p.s[1:]
		case c == '-' && len(p.s) > 1 && p.s[1] == '-':
			i := 0
			for i < len(p.s) && p.s[i] != '\n' {
				i++
			}
			p.s = p.s[i:]
		case c == '/' && len(p.s) > 1 && p.s[1] == '*':
			i := 2
			for i < len(p.s) && (p.s[i] != '/' || p.s[i-1] != '*' || i == 2) {
				i++
			}
			p.s = p.s[min(i+1, len(p.s)):]
		default:
			return
		}
	}
}

// keyword takes the word, given in lower case.
func (p *partiql) keyword(word string) bool {
	p.space()
	if len(p.s) < len(word) || !strings.EqualFold(string(p.s[:len(word)]), word) {
		return false
	}
	if len(p.s) > len(word) && isNameByte(p.s[len(word)]) {
		return false
	}
	p.s = p.s[len(word):]
	return true
}

// identifier takes a name.
func (p *partiql) identifier() (string, bool) {
	p.space()
	if len(p.s) == 0 {
		return "", false
	}
	if p.s[0] != '"' {
		i := 0
		for i < len(p.s) && isNameByte(p.s[i]) {
			i++
		}
		name := string(p.s[:i])
		p.s = p.s[i:]
		return name, i > 0
	}
	var name strings.Builder
	for i := 1; i < len(p.s); i++ {
		if p.s[i] == '"' {
			if i+1 == len(p.s) || p.s[i+1] != '"' {
				p.s = p.s[i+1:]
				return name.String(), name.Len() > 0
			}
			i++
		}
		name.WriteByte(p.s[i])
	}
	return "", false
}

// parenthesis takes a pair of parentheses with what is in it. What stands in
// quotes (of strings, names, Ion values) is not looked at.
func (p *partiql) parenthesis() bool {
	p.space()
	depth, quote := 0, byte(0)
	for i, c := range p.s {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				p.s = p.s[i+1:]
				return true
			}
		}
		if depth == 0 {
			return false // it does not begin with one
		}
	}
	return false
}

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}
