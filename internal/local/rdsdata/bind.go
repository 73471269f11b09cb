package rdsdata

import (
	"encoding/json"
	"regexp"
	"strconv"
	"time"
)

// The PostgreSQL types that parameters are sent as. Never "unknown": a text for
// a uuid column without hint or cast must fail here as it does on Aurora.
const (
	oidBool, oidBytea, oidInt8, oidText, oidFloat8 = 16, 17, 20, 25, 701

	oidJSON, oidDate, oidTime, oidTimestamp, oidNumeric, oidUUID = 114, 1082, 1083, 1114, 1700, 2950
)

// A hint is a typeHint: the type that it sends and the texts that it accepts.
type hint struct {
	oid    uint32
	accept func(string) bool
	format string
}

var (
	dateFormat      = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	timeFormat      = regexp.MustCompile(`^\d{2}:\d{2}:\d{2}(\.\d{1,3})?$`)
	timestampFormat = regexp.MustCompile(`^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,3})?$`)
	decimalFormat   = regexp.MustCompile(`^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$`)
	uuidFormat      = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
)

// The fraction of a second has at most three digits: what has more must be
// passed as plain text and cast in SQL.
var hints = map[string]hint{
	"DATE":      {oidDate, clock(dateFormat, "2006-01-02"), "YYYY-MM-DD"},
	"TIME":      {oidTime, clock(timeFormat, "15:04:05"), "HH:MM:SS[.FFF]"},
	"TIMESTAMP": {oidTimestamp, clock(timestampFormat, "2006-01-02 15:04:05"), "YYYY-MM-DD HH:MM:SS[.FFF]"},
	"DECIMAL":   {oidNumeric, decimalFormat.MatchString, "a decimal number"},
	"JSON":      {oidJSON, func(s string) bool { return json.Valid([]byte(s)) }, "JSON"},
	"UUID":      {oidUUID, uuidFormat.MatchString, "a UUID"},
}

func clock(format *regexp.Regexp, layout string) func(string) bool {
	return func(s string) bool {
		if !format.MatchString(s) {
			return false
		}
		_, err := time.Parse(layout, s) // accepts a fraction behind the seconds
		return err == nil
	}
}

// arguments are the parameters of one execution, in the order of $n.
type arguments struct {
	values  [][]byte
	oids    []uint32
	formats []int16
}

// bind finds a value for every placeholder.
func bind(names []string, params []parameter) (arguments, error) {
	var a arguments
	byName := make(map[string]*parameter, len(params))
	for i := range params {
		p := &params[i]
		if p.Name == "" {
			return a, validation("parameter %d has no name", i+1)
		}
		if byName[p.Name] != nil {
			return a, validation("parameter %s is given twice", p.Name)
		}
		if p.Value == nil {
			return a, validation("parameter %s has no value", p.Name)
		}
		byName[p.Name] = p
	}
	for _, name := range names {
		p := byName[name]
		if p == nil {
			return a, validation("Cannot find parameter: %s", name)
		}
		value, oid, format, err := p.encode()
		if err != nil {
			return a, err
		}
		a.values, a.oids, a.formats = append(a.values, value), append(a.oids, oid), append(a.formats, format)
	}
	return a, nil
}

func (p *parameter) encode() (value []byte, oid uint32, format int16, err error) {
	h, known := hints[p.TypeHint]
	if p.TypeHint != "" && !known {
		return nil, 0, 0, validation("parameter %s: typeHint %s is not one of DATE, DECIMAL, JSON, TIME, TIMESTAMP, UUID", p.Name, p.TypeHint)
	}
	v := p.Value
	set := 0
	for _, is := range []bool{v.IsNull != nil, v.Boolean != nil, v.Long != nil, v.Double != nil, v.String != nil, v.Blob != nil, v.Array != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return nil, 0, 0, validation("parameter %s has %d values, not one", p.Name, set)
	case v.Array != nil:
		return nil, 0, 0, validation("Array parameters are not supported. (parameter %s)", p.Name)
	case v.IsNull != nil:
		if !*v.IsNull {
			return nil, 0, 0, validation("parameter %s: isNull is false and there is no value", p.Name)
		}
		return nil, h.oid, 0, nil // 0: the server infers the type
	case known && v.String == nil:
		return nil, 0, 0, validation("parameter %s: typeHint %s needs a stringValue", p.Name, p.TypeHint)
	case v.Boolean != nil:
		return strconv.AppendBool(nil, *v.Boolean), oidBool, 0, nil
	case v.Long != nil:
		return strconv.AppendInt(nil, *v.Long, 10), oidInt8, 0, nil
	case v.Double != nil:
		return strconv.AppendFloat(nil, float64(*v.Double), 'g', -1, 64), oidFloat8, 0, nil
	case v.Blob != nil:
		return v.Blob, oidBytea, 1, nil
	}
	if known && !h.accept(*v.String) {
		return nil, 0, 0, validation("parameter %s: typeHint %s accepts only %s", p.Name, p.TypeHint, h.format)
	}
	if known {
		return []byte(*v.String), h.oid, 0, nil
	}
	return []byte(*v.String), oidText, 0, nil
}
