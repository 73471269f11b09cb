package asl

import (
	"context"
	"crypto/md5" // #nosec G501 -- $hash offers it
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- $hash offers it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/recolabs/gnata"
)

// expression is one {% … %} of a definition.
type expression struct {
	at   string // path of the field, for messages
	text string
	code *gnata.Expression
}

// maxRange bounds the elements that $range may return.
const maxRange = 1000

// evaluate runs the expression; vars holds "states" and the variables in scope.
// An undefined result is nil. An execution that is aborted meanwhile does not make
// an error of it: it ends behind the expression.
func (e *expression) evaluate(ctx context.Context, vars map[string]any, now time.Time) (any, error) {
	ctx = context.WithoutCancel(ctx)
	env := gnata.NewCustomEnv(stateFunctions(ctx, now))
	for name, v := range vars {
		env.Bind(name, v)
	}
	return e.code.EvalWithCustomFuncs(ctx, nil, env)
}

// fault turns an evaluation's error into the language's.
func (e *expression) fault(err error) *Error {
	if errors.Is(err, errUndefined) {
		return errorf(ErrQueryEvaluation, "The JSONata expression '%s' specified for the field '%s' returned nothing (undefined).", e.text, e.at)
	}
	return errorf(ErrQueryEvaluation, "The JSONata expression '%s' specified for the field '%s' threw an error during evaluation: %v", e.text, e.at, err)
}

func (e *expression) json(ctx context.Context, vars map[string]any, now time.Time) (json.RawMessage, *Error) {
	v, err := e.evaluate(ctx, vars, now)
	if err != nil {
		return nil, e.fault(err)
	}
	raw, err := encodeResult(v)
	if err != nil {
		return nil, e.fault(err)
	}
	return raw, nil
}

// stateFunctions are what Step Functions adds to JSONata, and what it changes:
// $now and $millis read the execution's clock, $eval is gone.
func stateFunctions(ctx context.Context, now time.Time) map[string]gnata.CustomFunc {
	format := func(args []any) (any, error) {
		code, err := gnata.Compile("$fromMillis($at, $picture, $zone)")
		if err != nil {
			return nil, err
		}
		v := map[string]any{"at": float64(now.UnixMilli())}
		for i, name := range []string{"picture", "zone"} {
			if i < len(args) && args[i] != nil {
				v[name] = args[i]
			}
		}
		return code.EvalWithVars(ctx, nil, v)
	}
	return map[string]gnata.CustomFunc{
		"now": func(args []any, _ any) (any, error) {
			if len(args) > 0 {
				return format(args)
			}
			return stamp(now), nil
		},
		"millis":    func([]any, any) (any, error) { return float64(now.UnixMilli()), nil },
		"uuid":      func([]any, any) (any, error) { return newUUID(), nil },
		"parse":     parseFunction,
		"partition": partitionFunction,
		"range":     rangeFunction,
		"hash":      hashFunction,
		"random":    randomFunction,
		"eval": func([]any, any) (any, error) {
			return nil, errors.New("$eval is not supported in Step Functions")
		},
	}
}

func parseFunction(args []any, _ any) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("$parse takes one string")
	}
	s, ok := args[0].(string)
	if !ok {
		return nil, errors.New("$parse takes a string")
	}
	v, err := gnata.DecodeJSON(json.RawMessage(s))
	if err != nil {
		return nil, fmt.Errorf("$parse: %w", err)
	}
	return v, nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

func partitionFunction(args []any, _ any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("$partition takes a list and a size")
	}
	list, ok := args[0].([]any)
	if !ok {
		list = []any{args[0]}
	}
	size, ok := number(args[1])
	if !ok || size < 1 || size != math.Trunc(size) {
		return nil, errors.New("$partition takes a size of at least 1")
	}
	parts := []any{}
	for part := range slices.Chunk(list, int(size)) {
		parts = append(parts, slices.Clone(part))
	}
	return parts, nil
}

func rangeFunction(args []any, _ any) (any, error) {
	if len(args) < 2 || len(args) > 3 {
		return nil, errors.New("$range takes a first, a last and a step")
	}
	var n [3]float64
	n[2] = 1
	for i, a := range args {
		v, ok := number(a)
		if !ok || v != math.Trunc(v) {
			return nil, errors.New("$range takes integers")
		}
		n[i] = v
	}
	if n[2] == 0 {
		return nil, errors.New("$range takes a step other than 0")
	}
	list := []any{}
	for v := n[0]; n[2] > 0 && v <= n[1] || n[2] < 0 && v >= n[1]; v += n[2] {
		if len(list) == maxRange {
			return nil, fmt.Errorf("$range returns at most %d numbers", maxRange)
		}
		list = append(list, v)
	}
	return list, nil
}

func hashFunction(args []any, _ any) (any, error) {
	if len(args) == 0 || len(args) > 2 {
		return nil, errors.New("$hash takes a string and an algorithm")
	}
	s, ok := args[0].(string)
	if !ok {
		return nil, errors.New("$hash takes a string")
	}
	algorithm := "SHA-256"
	if len(args) == 2 {
		algorithm, _ = args[1].(string)
	}
	switch algorithm {
	case "MD5":
		h := md5.Sum([]byte(s)) // #nosec G401 -- as asked
		return hex.EncodeToString(h[:]), nil
	case "SHA-1":
		h := sha1.Sum([]byte(s)) // #nosec G401 -- as asked
		return hex.EncodeToString(h[:]), nil
	case "SHA-256":
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:]), nil
	case "SHA-384":
		h := sha512.Sum384([]byte(s))
		return hex.EncodeToString(h[:]), nil
	case "SHA-512":
		h := sha512.Sum512([]byte(s))
		return hex.EncodeToString(h[:]), nil
	}
	return nil, fmt.Errorf("$hash does not know the algorithm %q", algorithm)
}

func randomFunction(args []any, _ any) (any, error) {
	if len(args) == 0 {
		return mrand.Float64(), nil
	}
	seed, ok := number(args[0])
	if !ok {
		return nil, errors.New("$random takes a number as its seed")
	}
	return mrand.New(mrand.NewPCG(math.Float64bits(seed), 0)).Float64(), nil
}

func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// stamp writes a time as the context object does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// mapOf is a decoded object whose members are ordered by name.
type mapOf struct{ m map[string]any }

func orderedFrom(m map[string]any) mapOf { return mapOf{m} }

// Range calls fn for each member in the order of the names.
func (o mapOf) Range(fn func(key string, val any) bool) {
	for _, k := range slices.Sorted(maps.Keys(o.m)) {
		if v := o.m[k]; v == nil {
			// encoding/json's null, from a function of ours
			if !fn(k, json.RawMessage("null")) {
				return
			}
		} else if !fn(k, v) {
			return
		}
	}
}

// jsonataFunctions are the names that an expression may call.
var jsonataFunctions = strings.Fields(`
	string length substring substringBefore substringAfter uppercase lowercase trim pad contains split join match
	replace base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent decodeUrl
	number abs floor ceil round power sqrt random formatNumber formatBase formatInteger parseInteger
	sum max min average boolean not exists count append sort reverse shuffle distinct zip
	keys lookup spread merge sift each error assert type now millis fromMillis toMillis
	map filter single reduce partition range hash uuid parse`)
