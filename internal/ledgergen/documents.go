package ledgergen

import (
	"fmt"
	"math/big"
	"strings"

	"godwit/internal/ion"
)

// The tables of the tutorial, and one that no shipped mapping knows.
const (
	person              = "Person"
	vehicle             = "Vehicle"
	vehicleRegistration = "VehicleRegistration"
	driversLicense      = "DriversLicense"
	note                = "Note"
	inspection          = "Inspection" // of a ledger's later life
)

// colour is a field of a Vehicle.
const colour = "Color" //nolint:misspell // the tutorial spells it so

// waiting bounds the lists of persons and vehicles that still lack a license or
// a registration; who does not fit stays without.
const waiting = 512

// A writer of documents: what the tables' documents need to know of each other.
type author struct {
	random     *random
	ids        *idMaker
	persons    []string // ids of persons lately inserted, as owners
	unlicensed []string // persons without a license
	unplated   []string // VINs of vehicles without a registration
	written    int      // documents so far: shapes drift with it
	later      bool     // the application has another version
}

// document returns a new document of the table with the given id.
func (a *author) document(table, id string) value {
	a.written++
	switch table {
	case person:
		return a.person(id)
	case vehicle:
		return a.vehicle()
	case vehicleRegistration:
		return a.registration()
	case driversLicense:
		return a.license()
	case inspection:
		return a.inspection()
	}
	return a.note()
}

// table chooses the table of the next new document, among those whose
// documents can be made.
func (a *author) table() string {
	switch n := a.random.below(100); {
	case a.later && n < 12:
		return inspection
	case n < 24 && len(a.unplated) > 0 && len(a.persons) > 0:
		return vehicleRegistration
	case n < 44 && len(a.unlicensed) > 0:
		return driversLicense
	case n < 52:
		return note
	case n < 76:
		return vehicle
	}
	return person
}

func (a *author) person(id string) value {
	r := a.random
	if len(a.persons) < waiting {
		a.persons = append(a.persons, id)
	} else {
		a.persons[r.below(waiting)] = id
	}
	if len(a.unlicensed) < waiting {
		a.unlicensed = append(a.unlicensed, id)
	}
	first, last := pick(r, firstNames), pick(r, lastNames)
	kind, number := a.govID(last)
	v := structure(
		field{"FirstName", text(first)},
		field{"LastName", text(last)},
		field{"DOB", timestamp(a.date(1940, 2005))},
		field{"GovId", text(number)},
		field{"GovIdType", text(kind)},
		field{"Address", text(a.address())},
	)
	switch r.below(40) {
	case 0, 1:
		v = v.without("Address")
	case 2:
		v = v.with("Address", null(ion.StringType))
	case 3:
		v = v.without("GovIdType")
	case 4:
		v = v.with("DOB", null(ion.TimestampType))
	case 5:
		v = v.with("LastName", text(""))
	}
	if a.written > 200 && r.chance(250) { // the shape drifts: later persons have more
		v = v.with("Email", text(strings.ToLower(last)+"@example.com"))
	}
	return v
}

func (a *author) govID(last string) (kind, number string) {
	r := a.random
	switch r.below(3) {
	case 0:
		return "SSN", fmt.Sprintf("%03d-%02d-%04d", r.below(1000), r.below(100), r.below(10000))
	case 1:
		return "Passport", fmt.Sprintf("P%03d-%03d-%03d-%03d", r.below(1000), r.below(1000), r.below(1000), r.below(1000))
	}
	return "Driver License", strings.ToUpper(last) + a.letters(6)
}

func (a *author) address() string {
	r := a.random
	s := fmt.Sprintf("%d %s, %s, %s, %05d", r.between(1, 99999), pick(r, streets), pick(r, cities), pick(r, states), r.below(100000))
	switch r.below(50) {
	case 0:
		return "Apt. \"7\"\t" + s // what COPY's text format must escape
	case 1:
		return `c\o Smith` + "\n" + s
	case 2:
		return "Straße des 17. Juni 3, Zürich 東京"
	}
	return s
}

func (a *author) vehicle() value {
	r := a.random
	vin := a.ids.vin()
	if len(a.unplated) < waiting {
		a.unplated = append(a.unplated, vin)
	}
	m := pick(r, models)
	v := structure(
		field{"VIN", text(vin)},
		field{"Type", text(m.kind)},
		field{"Year", integer(int64(r.between(1955, 2024)))},
		field{"Make", text(m.make)},
		field{"Model", text(m.model)},
		field{colour, text(pick(r, paints))},
	)
	switch r.below(30) {
	case 0:
		v = v.without(colour)
	case 1:
		v = v.with("Year", null(ion.IntType))
	case 2, 3:
		v = v.with("Mileage", integer(int64(r.below(300000))))
	case 4:
		v = v.with("Features", list(text("sunroof"), structure(field{"seats", integer(7)})))
	}
	return v
}

func (a *author) registration() value {
	r := a.random
	from := r.between(2010, 2020)
	v := structure(
		field{"VIN", text(take(r, &a.unplated))},
		field{"LicensePlateNumber", text(a.plate())},
		field{"State", text(pick(r, states))},
		field{"City", text(pick(r, cities))},
		field{"PendingPenaltyTicketAmount", a.penalty()},
		field{"ValidFromDate", timestamp(a.date(from, from))},
		field{"ValidToDate", timestamp(a.date(from+1, from+5))},
		field{"Owners", a.owners()},
	)
	switch r.below(30) {
	case 0:
		v = v.without("PendingPenaltyTicketAmount")
	case 1:
		v = v.without("Owners")
	case 2:
		v = v.without("ValidToDate")
	}
	return v
}

// penalty varies in scale; the first documents have whole dollars as ints, as
// if the application had begun with them.
func (a *author) penalty() value {
	r := a.random
	if a.written < 300 && r.chance(300) {
		return integer(int64(r.below(200)))
	}
	switch r.below(6) {
	case 0:
		return decimal("0.00")
	case 1:
		return decimal(fmt.Sprintf("%d.%d", r.below(300), r.below(10)))
	case 2:
		return decimal(fmt.Sprintf("%d.%03d", r.below(300), r.below(1000)))
	}
	return decimal(fmt.Sprintf("%d.%02d", r.below(700), r.below(100)))
}

func (a *author) owners() value {
	r := a.random
	owner := func() value { return structure(field{"PersonId", text(pick(r, a.persons))}) }
	primary := field{"PrimaryOwner", owner()}
	if r.chance(50) {
		return structure(primary)
	}
	seconds := list()
	for range max(0, r.below(6)-2) {
		seconds.items = append(seconds.items, owner())
	}
	return structure(primary, field{"SecondaryOwners", seconds})
}

func (a *author) license() value {
	r := a.random
	from := r.between(2015, 2021)
	v := structure(
		field{"PersonId", text(take(r, &a.unlicensed))},
		field{"LicensePlateNumber", text(a.plate())},
		field{"LicenseType", text(pick(r, licenseTypes))},
		field{"ValidFromDate", timestamp(a.date(from, from))},
		field{"ValidToDate", timestamp(a.date(from+4, from+6))},
	)
	if r.chance(30) {
		v = v.without("ValidToDate")
	}
	if a.later { // the application gave a field its right name
		number := *v.get("LicensePlateNumber")
		v = v.without("LicensePlateNumber").with("LicenseNumber", number)
	}
	return v
}

// inspection returns a document of a table that came with a later version of
// the application.
func (a *author) inspection() value {
	r := a.random
	return structure(
		field{"Station", structure(field{"City", text(pick(r, cities))}, field{"State", text(pick(r, states))})},
		field{"On", timestamp(a.date(2021, 2022))},
		field{"Passed", boolean(r.chance(800))},
		field{"Fee", decimal(fmt.Sprintf("%d.%02d", r.between(20, 90), r.below(100)))},
		field{"Findings", list(a.freeForm(2), text(pick(r, remarks)))},
	)
}

// note returns a free-form document: every type that jsonb can hold, nested.
func (a *author) note() value {
	r := a.random
	v := structure(field{"subject", text(pick(r, subjects))})
	for range r.between(0, 6) {
		v = v.with(pick(r, noteFields), a.freeForm(0))
	}
	return v
}

func (a *author) freeForm(depth int) value {
	r := a.random
	n := r.below(18)
	if depth > 3 {
		n = r.below(14)
	}
	switch n {
	case 0:
		return null(ion.NullType)
	case 1:
		return null(pick(r, []ion.Type{ion.IntType, ion.StringType, ion.TimestampType, ion.ListType, ion.StructType}))
	case 2:
		return boolean(r.chance(500))
	case 3:
		return integer(int64(r.next())) // either sign, all 64 bits
	case 4:
		big := new(big.Int).SetBytes(append([]byte{1}, r.bytes(r.between(8, 24))...))
		if r.chance(500) {
			big.Neg(big)
		}
		return bigInteger(big)
	case 5:
		return integer(int64(r.between(-1, 1)))
	case 6:
		return float(pick(r, floats))
	case 7:
		return decimal(fmt.Sprintf("%s%d.%0*d", pick(r, []string{"", "-"}), r.between(1, 1<<30), r.between(1, 12), r.below(10)))
	case 8:
		return blob(r.bytes(r.below(40)))
	case 9:
		return timestamp(a.instant())
	case 10:
		return text("")
	case 11:
		return list()
	case 12, 13:
		return text(pick(r, remarks))
	case 14, 15:
		v := list()
		for range r.between(1, 4) {
			v.items = append(v.items, a.freeForm(depth+1))
		}
		return v
	}
	v := structure()
	for range r.between(0, 4) {
		v = v.with(pick(r, noteFields), a.freeForm(depth+1))
	}
	return v
}

// instant returns a timestamp of any precision and offset.
func (a *author) instant() string {
	r := a.random
	day := a.date(1900, 2030)
	switch r.below(6) {
	case 0:
		return day[:4] + "T"
	case 1:
		return day[:7] + "T"
	case 2:
		return day
	}
	at := fmt.Sprintf("%sT%02d:%02d", day, r.below(24), r.below(60))
	if r.chance(800) {
		at += fmt.Sprintf(":%02d", r.below(60))
		if r.chance(600) {
			at += fmt.Sprintf(".%0*d", r.between(1, 9), r.below(10))
		}
	}
	return at + pick(r, []string{"Z", "-00:00", "+02:00", "-08:00", "+05:30"})
}

// date returns a day between the two years, as timestamp text.
func (a *author) date(fromYear, toYear int) string {
	r := a.random
	return fmt.Sprintf("%04d-%02d-%02d", r.between(fromYear, toYear), r.between(1, 12), r.between(1, 28))
}

func (a *author) plate() string { return a.letters(3) + fmt.Sprintf("%04d", a.random.below(10000)) }

func (a *author) letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('A' + a.random.below(26))
	}
	return string(b)
}

// change returns the document of a later revision and the statement that made
// it so.
func (a *author) change(table string, v value) (value, string) {
	r := a.random
	switch table {
	case person:
		if r.chance(100) && v.get("LastName") != nil {
			return v.with("LastName", text(pick(r, lastNames))), "UPDATE Person AS p SET p.LastName = ? WHERE p.GovId = ?"
		}
		return v.with("Address", text(a.address())), "UPDATE Person AS p SET p.Address = ? WHERE p.GovId = ?"
	case vehicle:
		if r.chance(200) {
			return v.with("Mileage", integer(int64(r.below(300000)))), "UPDATE Vehicle AS v SET v.Mileage = ? WHERE v.VIN = ?"
		}
		return v.with(colour, text(pick(r, paints))), "UPDATE Vehicle AS v SET v." + colour + " = ? WHERE v.VIN = ?"
	case vehicleRegistration:
		vin := v.get("VIN").text
		switch r.below(3) {
		case 0:
			return v.with("Owners", a.owners()), "UPDATE VehicleRegistration AS r SET r.Owners = ? WHERE r.VIN = ?"
		case 1:
			return v.with("City", text(pick(r, cities))), "UPDATE VehicleRegistration AS r SET r.City = ? WHERE r.VIN = '" + vin + "'"
		}
		fine := a.penalty()
		return v.with("PendingPenaltyTicketAmount", fine),
			fmt.Sprintf("UPDATE VehicleRegistration AS r\nSET r.PendingPenaltyTicketAmount = %s\nWHERE r.VIN = '%s'", fine.appendText(nil), vin)
	case driversLicense:
		if r.chance(300) {
			return v.with("LicenseType", text(pick(r, licenseTypes))), "UPDATE DriversLicense AS d SET d.LicenseType = ? WHERE d.PersonId = ?"
		}
		return v.with("ValidToDate", timestamp(a.date(2026, 2030))), "UPDATE DriversLicense AS d SET d.ValidToDate = ? WHERE d.PersonId = ?"
	case inspection:
		return v.with("Passed", boolean(r.chance(500))), "UPDATE Inspection AS i BY id SET i.Passed = ? WHERE id = ?"
	}
	return v.with(pick(r, noteFields), a.freeForm(0)), "UPDATE Note AS n BY id SET n = ? WHERE id = ?"
}

// take removes a random element of a list and returns it.
func take(r *random, from *[]string) string {
	list := *from
	i, last := r.below(len(list)), len(list)-1
	taken := list[i]
	list[i] = list[last]
	*from = list[:last]
	return taken
}
