package journal_test

import (
	"testing"

	"godwit/internal/journal"
)

func TestTableEventsOfStatements(t *testing.T) {
	created := func(name string) journal.TableEvent {
		return journal.TableEvent{Kind: journal.TableCreated, Name: name}
	}
	dropped := func(name string) journal.TableEvent {
		return journal.TableEvent{Kind: journal.TableDropped, Name: name}
	}
	undropped := func(id string) journal.TableEvent {
		return journal.TableEvent{Kind: journal.TableUndropped, TableID: id}
	}
	none := journal.TableEvent{}
	for text, want := range map[string]journal.TableEvent{
		"CREATE TABLE Person":                                  created("Person"),
		"create table Person":                                  created("Person"),
		" Create\n\tTable  Person ; ":                          created("Person"),
		`CREATE TABLE "Person"`:                                created("Person"),
		`CREATE TABLE "a ""b"" c"`:                             created(`a "b" c`),
		"CREATE TABLE Person WITH (aws_tags = `{'a': ')'}`)":   created("Person"),
		"CREATE TABLE Person WITH(a = (1))":                    created("Person"),
		"-- a note\nCREATE /* it */ TABLE Person -- and so on": created("Person"),
		`CREATE TABLE"Person"`:                                 created("Person"),
		"DROP TABLE Person":                                    dropped("Person"),
		`drop table "Person";`:                                 dropped("Person"),
		`UNDROP TABLE "5PLf9SXwndd63lPaSIa0O6"`:                undropped("5PLf9SXwndd63lPaSIa0O6"),
		`Undrop Table 5PLf9SXwndd63lPaSIa0O6`:                  undropped("5PLf9SXwndd63lPaSIa0O6"),
		"CREATE INDEX ON Person (GovId)":                       none,
		`DROP INDEX "4tPW3fUhaVhDinRgKRLhGU" ON Person`:        none,
		"CREATE TABLEPerson":                                   none,
		"CREATE TABLE":                                         none,
		"CREATE TABLE ''":                                      none,
		`CREATE TABLE ""`:                                      none,
		`CREATE TABLE "open`:                                   none,
		"CREATE TABLE Person Vehicle":                          none,
		"CREATE TABLE Person WITH":                             none,
		"CREATE TABLE Person WITH (":                           none,
		"CREATE TABLE Person WITH (a) b":                       none,
		"DROP TABLE Person WITH (purge = true)":                none,
		"DROP TABLE Person; DROP TABLE Vehicle":                none,
		"INSERT INTO log VALUE 'DROP TABLE Person'":            none,
		"SELECT * FROM information_schema.user_tables":         none,
		"UNDROP":                  none,
		"":                        none,
		"--":                      none,
		"/*":                      none,
		"/*/ CREATE TABLE Person": none,
		"DELETE FROM Person AS p WHERE p.GovId = 'CREATE TABLE'": none,
	} {
		b := journal.Block{SequenceNo: 7, Statements: []journal.Statement{{Text: []byte("SELECT 1")}, {Text: []byte(text)}}}
		events := b.TableEvents()
		if want == none {
			if len(events) != 0 {
				t.Errorf("%q: got %+v, want none", text, events)
			}
			continue
		}
		want.Block, want.Statement = 7, 1
		if len(events) != 1 || events[0] != want {
			t.Errorf("%q: got %+v, want %+v", text, events, want)
		}
	}
}

func FuzzTableEvents(f *testing.F) {
	f.Add([]byte("CREATE TABLE Person WITH (a = `)`)"))
	f.Add([]byte(`/**/drop table "a""b";--`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := journal.Block{Statements: []journal.Statement{{Text: text}}}
		for _, e := range b.TableEvents() {
			if (e.Name == "") == (e.TableID == "") {
				t.Errorf("%q: %+v", text, e)
			}
		}
	})
}
