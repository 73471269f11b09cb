package rdsdata

import (
	"encoding/json"
	"math"
	"unicode/utf8"
)

// A request has the members of all operations; validate refuses those that an
// operation does not have.
type request struct {
	ResourceArn           string          `json:"resourceArn"`
	SecretArn             string          `json:"secretArn"`
	Database              string          `json:"database"`
	Schema                *string         `json:"schema"`
	SQL                   *string         `json:"sql"`
	TransactionID         *string         `json:"transactionId"`
	Parameters            []parameter     `json:"parameters"`
	ParameterSets         [][]parameter   `json:"parameterSets"`
	IncludeResultMetadata bool            `json:"includeResultMetadata"`
	ContinueAfterTimeout  bool            `json:"continueAfterTimeout"`
	FormatRecordsAs       string          `json:"formatRecordsAs"`
	ResultSetOptions      resultSetOption `json:"resultSetOptions"`
}

type resultSetOption struct {
	DecimalReturnType string `json:"decimalReturnType"`
	LongReturnType    string `json:"longReturnType"`
}

type parameter struct {
	Name     string `json:"name"`
	TypeHint string `json:"typeHint"`
	Value    *field `json:"value"`
}

// A field is the request's side of the union: exactly one member is set.
type field struct {
	IsNull  *bool           `json:"isNull"`
	Boolean *bool           `json:"booleanValue"`
	Long    *int64          `json:"longValue"`
	Double  *double         `json:"doubleValue"`
	String  *string         `json:"stringValue"`
	Blob    []byte          `json:"blobValue"`
	Array   json.RawMessage `json:"arrayValue"`
}

// A double is a JSON number, or one of three strings for what JSON cannot write.
type double float64

func (d *double) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"NaN"`:
		*d = double(math.NaN())
	case `"Infinity"`:
		*d = double(math.Inf(1))
	case `"-Infinity"`:
		*d = double(math.Inf(-1))
	default:
		return json.Unmarshal(b, (*float64)(d))
	}
	return nil
}

// validate checks what the service checks before it asks the database.
func (in *request) validate(op string) error {
	for _, a := range []struct{ name, value string }{{"resourceArn", in.ResourceArn}, {"secretArn", in.SecretArn}} {
		if n := len(a.value); n < 11 || n > 570 {
			return validation("1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length between 11 and 570", a.name)
		}
	}
	if len(in.Database) > 64 {
		return validation("1 validation error detected: Value at 'database' failed to satisfy constraint: Member must have length less than or equal to 64")
	}
	if in.Schema != nil {
		return validation("The schema parameter isn't supported")
	}
	if in.TransactionID != nil && len(*in.TransactionID) > 192 {
		return validation("1 validation error detected: Value at 'transactionId' failed to satisfy constraint: Member must have length less than or equal to 192")
	}
	statement := op == "ExecuteStatement" || op == "BatchExecuteStatement"
	if statement && in.SQL == nil {
		return validation("1 validation error detected: Value at 'sql' failed to satisfy constraint: Member must not be null")
	}
	if in.SQL != nil && utf8.RuneCountInString(*in.SQL) > maxSQL {
		return validation("1 validation error detected: Value at 'sql' failed to satisfy constraint: Member must have length less than or equal to %d", maxSQL)
	}
	if !statement && (in.SQL != nil || in.Parameters != nil) ||
		op != "BatchExecuteStatement" && in.ParameterSets != nil ||
		op != "ExecuteStatement" && (in.Parameters != nil || in.ContinueAfterTimeout || in.IncludeResultMetadata || in.FormatRecordsAs != "" || in.ResultSetOptions != resultSetOption{}) {
		return validation("%s has a member that belongs to another operation", op)
	}
	if (op == "CommitTransaction" || op == "RollbackTransaction") && in.TransactionID == nil {
		return validation("1 validation error detected: Value at 'transactionId' failed to satisfy constraint: Member must not be null")
	}
	if op == "BeginTransaction" && in.TransactionID != nil {
		return validation("BeginTransaction has no transactionId")
	}
	for _, e := range []struct {
		name, value string
		allowed     []string
	}{
		{"formatRecordsAs", in.FormatRecordsAs, []string{"", "NONE", "JSON"}},
		{"decimalReturnType", in.ResultSetOptions.DecimalReturnType, []string{"", "STRING", "DOUBLE_OR_LONG"}},
		{"longReturnType", in.ResultSetOptions.LongReturnType, []string{"", "LONG", "STRING"}},
	} {
		known := false
		for _, a := range e.allowed {
			known = known || a == e.value
		}
		if !known {
			return validation("1 validation error detected: Value at '%s' failed to satisfy constraint: Member must satisfy enum value set: %v", e.name, e.allowed[1:])
		}
	}
	return nil
}
