package iam

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// condition is one key of a Condition element: all keys must be met, any of the
// values suffices.
type condition struct {
	operator string
	ifExists bool
	key      string // lower case
	values   []string
}

// operators compare one value of the request with one of the policy; negated
// ones must hold for every value of the policy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
var operators = map[string]struct {
	negated bool
	holds   func(have, want string) bool
}{
	"StringEquals":              {holds: func(have, want string) bool { return have == want }},
	"StringNotEquals":           {negated: true, holds: func(have, want string) bool { return have == want }},
	"StringEqualsIgnoreCase":    {holds: strings.EqualFold},
	"StringNotEqualsIgnoreCase": {negated: true, holds: strings.EqualFold},
	"StringLike":                {holds: func(have, want string) bool { return like(want, have) }},
	"StringNotLike":             {negated: true, holds: func(have, want string) bool { return like(want, have) }},
	"ArnEquals":                 {holds: arnLike},
	"ArnLike":                   {holds: arnLike},
	"ArnNotEquals":              {negated: true, holds: arnLike},
	"ArnNotLike":                {negated: true, holds: arnLike},
	"Bool":                      {holds: strings.EqualFold},
	"NumericEquals":             {holds: numeric(func(c int) bool { return c == 0 })},
	"NumericNotEquals":          {negated: true, holds: numeric(func(c int) bool { return c == 0 })},
	"NumericLessThan":           {holds: numeric(func(c int) bool { return c < 0 })},
	"NumericLessThanEquals":     {holds: numeric(func(c int) bool { return c <= 0 })},
	"NumericGreaterThan":        {holds: numeric(func(c int) bool { return c > 0 })},
	"NumericGreaterThanEquals":  {holds: numeric(func(c int) bool { return c >= 0 })},
	"Null":                      {},
}

// keys are the condition keys that local fills for the actions that have them.
var keys = []string{
	"aws:securetransport", "aws:requestedregion", "aws:resourceaccount", "aws:viaawsservice", "aws:principalisawsservice",
	"aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:principalservicename", "aws:sourcearn", "aws:sourceaccount",
	"s3:tlsversion", "s3:prefix", "s3:delimiter", "s3:max-keys", "s3:x-amz-acl", "s3:x-amz-storage-class", "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id",
	"kms:viaservice", "kms:calleraccount", "kms:encryptioncontext:*", "kms:granteeprincipal", "kms:grantisforawsresource",
	"iam:passedtoservice", "secretsmanager:versionstage", "secretsmanager:secretid", "sns:protocol", "states:statemachinequalifier", "lambda:functionarn", "cloudwatch:namespace",
}

func knownKey(key string) bool { return anyLike(keys, strings.ToLower(key)) }

func compileConditions(v any) ([]condition, error) {
	byOperator, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("condition %v is no object", v)
	}
	var conditions []condition
	for operator, element := range byOperator {
		c := condition{}
		c.operator, c.ifExists = strings.CutSuffix(operator, "IfExists")
		if _, known := operators[c.operator]; !known || c.operator == "Null" && c.ifExists {
			return nil, fmt.Errorf("condition operator %s is not known to local", operator)
		}
		byKey, ok := element.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("condition %s is no object", operator)
		}
		for key, values := range byKey {
			if !knownKey(key) {
				return nil, fmt.Errorf("condition key %s is not known to local", key)
			}
			var err error
			c.key = strings.ToLower(key)
			if c.values, err = texts(values); err != nil {
				return nil, fmt.Errorf("condition key %s: %w", key, err)
			}
			conditions = append(conditions, c)
		}
	}
	// One order, so that the same policy is always judged the same way.
	slices.SortFunc(conditions, func(a, b condition) int { return strings.Compare(a.operator+a.key, b.operator+b.key) })
	return conditions, nil
}

func (c condition) met(context map[string]string) bool {
	have, exists := context[c.key]
	operator := operators[c.operator]
	switch {
	case c.operator == "Null":
		return slices.ContainsFunc(c.values, func(want string) bool { return strings.EqualFold(want, strconv.FormatBool(!exists)) })
	case !exists:
		return c.ifExists || operator.negated
	}
	one := slices.ContainsFunc(c.values, func(want string) bool { return operator.holds(have, want) })
	return one != operator.negated
}

// arnLike compares ARNs part by part: a wildcard does not reach over a colon
// between the first six parts.
func arnLike(have, want string) bool {
	h, w := strings.SplitN(have, ":", 6), strings.SplitN(want, ":", 6)
	if len(h) != 6 || len(w) != 6 {
		return want == "*"
	}
	for i := range h {
		if !like(w[i], h[i]) {
			return false
		}
	}
	return true
}

// numeric compares two numbers; what is no number does not hold.
func numeric(holds func(int) bool) func(have, want string) bool {
	return func(have, want string) bool {
		h, err1 := strconv.ParseFloat(have, 64)
		w, err2 := strconv.ParseFloat(want, 64)
		if err1 != nil || err2 != nil {
			return false
		}
		switch {
		case h < w:
			return holds(-1)
		case h > w:
			return holds(1)
		}
		return holds(0)
	}
}
