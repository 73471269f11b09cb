// Package iam judges calls by the policies of the deployed stacks, as AWS
// does for callers and resources of one account: identity policies of roles,
// trust policies, bucket, key, topic and secret policies, and function
// permissions.
//
// It owns policies, their evaluation and the account of which statements were
// ever the reason of an allow. It leaves to the services which actions a request
// needs, and to the gateway to ask.
//
// It promises that nothing is allowed that no statement allows, that an explicit
// deny wins, and that what it does not know is an error by name, never ignored:
// an action, a condition operator or key, a kind of principal, a managed policy.
//
// Evaluation logic:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
package iam

import (
	"fmt"
	"maps"
	"strings"
	"sync"

	"godwit/internal/local/gateway"
)

// A Judge judges calls. It is safe for concurrent use.
type Judge struct {
	account string
	region  string

	mu        sync.Mutex // guards the use counts and removals of all statements
	roles     map[string]*role
	resources map[string][]*statement // resource policies by ARN; see owner
	all       []*statement            // every statement once, in stack order
	known     map[string]bool         // ARNs of keys whose policy is known
	made      map[string][]*statement // managed policies of the stacks, by ARN
	foreign   map[string]string       // other accounts' resources, by ARN, and whose they are
}

var _ gateway.Authorizer = (*Judge)(nil)

type role struct {
	arn      string
	name     string
	identity []*statement
	trust    []*statement
	managed  []string // ARNs of managed policies still to come
}

// New makes a judge that knows no role yet.
func New(account, region string) *Judge {
	return &Judge{account: account, region: region, roles: map[string]*role{}, resources: map[string][]*statement{}, known: map[string]bool{}, made: map[string][]*statement{}, foreign: map[string]string{}}
}

// principal is who calls: a role by ARN, or an AWS service by its principal.
type principal struct{ role, service string }

func (p principal) name() string { return p.role + p.service }

// Authorize returns nil when the role may do action on resource, a
// *gateway.AccessDenied when it may not, and another error when the judge does
// not know the role, the action or a condition key.
func (j *Judge) Authorize(role, action, resource string, condition map[string]string) error {
	if j.roles[role] == nil {
		return fmt.Errorf("role %s is in no stack", role)
	}
	return j.decide(principal{role: role}, action, resource, condition)
}

// AuthorizeService judges a call that an AWS service makes by itself, such as
// cloudwatch.amazonaws.com publishing to a topic: only the resource's policy can
// allow it. condition should give aws:SourceArn and aws:SourceAccount.
func (j *Judge) AuthorizeService(service, action, resource string, condition map[string]string) error {
	return j.decide(principal{service: j.global(service)}, action, resource, condition)
}

// CanAssume returns nil when the role's trust policy admits the AWS service.
func (j *Judge) CanAssume(role, service string, condition map[string]string) error {
	if j.roles[role] == nil {
		return fmt.Errorf("role %s is in no stack", role)
	}
	return j.decide(principal{service: j.global(service)}, "sts:AssumeRole", role, condition)
}

// PassRole returns nil when caller may hand the role to the AWS service, and the
// service may assume it.
func (j *Judge) PassRole(caller, role, service string) error {
	if err := j.Authorize(caller, "iam:PassRole", role, map[string]string{"iam:PassedToService": service}); err != nil {
		return err
	}
	return j.CanAssume(role, service, nil)
}

// decide evaluates one request.
func (j *Judge) decide(who principal, action, resource string, condition map[string]string) error {
	if !knownAction(action) {
		return fmt.Errorf("IAM action %s is not in local's table of actions", action)
	}
	context, err := j.context(who, action, condition)
	if err != nil {
		return err
	}
	if account := j.foreign[j.owner(resource)]; account != "" {
		context["aws:resourceaccount"] = account
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var identity []*statement
	if who.role != "" {
		identity = j.roles[who.role].identity
	}
	owner := j.owner(resource)
	policy := j.resources[owner]
	if action == "sts:AssumeRole" && j.roles[resource] != nil {
		policy = j.roles[resource].trust
	}
	denied := func(why string) error {
		return &gateway.AccessDenied{Role: who.name(), Action: action, Resource: resource, Why: why}
	}
	var byIdentity, byResource, byAccount []*statement
	for _, s := range identity {
		if !s.removed && s.matches(action, resource, context) {
			if !s.allow {
				return denied("of an explicit deny in the identity-based policy " + s.ref.String())
			}
			byIdentity = append(byIdentity, s)
		}
	}
	for _, s := range policy {
		if s.removed || !s.matches(action, resource, context) {
			continue
		}
		direct, account := s.principals.match(who)
		switch {
		case !s.allow && (direct || account):
			return denied("of an explicit deny in the resource-based policy " + s.ref.String())
		case direct:
			byResource = append(byResource, s)
		case account:
			byAccount = append(byAccount, s)
		}
	}
	if j.foreign[owner] != "" {
		switch admitting := append(byResource, byAccount...); {
		case len(admitting) == 0:
			return denied("no resource-based policy allows the " + action + " action to account " + j.account)
		case len(byIdentity) == 0:
			return denied("no identity-based policy allows the " + action + " action")
		default:
			count(admitting, action)
			count(byIdentity, action)
			return nil
		}
	}
	// A key or a role is ruled by its own policy: IAM counts only where that policy
	// hands over to the account.
	if action == "sts:AssumeRole" || strings.HasPrefix(action, "kms:") && j.known[owner] {
		switch {
		case len(byResource) > 0:
			count(byResource, action)
			return nil
		case len(byAccount) == 0:
			return denied("no resource-based policy allows the " + action + " action")
		case len(byIdentity) == 0:
			return denied("no identity-based policy allows the " + action + " action")
		}
		count(byAccount, action)
		count(byIdentity, action)
		return nil
	}
	switch {
	case len(byIdentity) > 0:
		count(byIdentity, action)
	case len(byResource) > 0:
		count(byResource, action)
	case who.role != "":
		return denied("no identity-based policy allows the " + action + " action")
	default:
		return denied("no resource-based policy allows the " + action + " action")
	}
	return nil
}

// count records the first of the statements that allow a request, and whether
// it was the only one.
func count(allowing []*statement, action string) {
	s := allowing[0]
	s.used++
	if len(allowing) == 1 {
		s.sole++
	}
	s.actions[action] = true
}

// owner is the ARN under which a resource's policy is kept: a bucket's for its
// objects, an unqualified function's for its versions, and one for all log groups.
func (j *Judge) owner(resource string) string {
	part := strings.SplitN(resource, ":", 7)
	if len(part) < 6 {
		return resource
	}
	switch part[2] {
	case "s3":
		bucket, _, _ := strings.Cut(resource, "/")
		return bucket
	case "logs":
		return "logs"
	case "lambda":
		if len(part) == 7 {
			name, _, _ := strings.Cut(part[6], ":")
			return strings.Join(part[:6], ":") + ":" + name
		}
	}
	return resource
}

// context is the request context: the global keys and the call's own.
func (j *Judge) context(who principal, action string, condition map[string]string) (map[string]string, error) {
	context := map[string]string{
		"aws:securetransport": "true", "aws:requestedregion": j.region, "aws:resourceaccount": j.account, "aws:viaawsservice": "false",
		"aws:principalisawsservice": "false",
	}
	if who.role != "" {
		context["aws:principalarn"], context["aws:principalaccount"], context["aws:principaltype"] = who.role, j.account, "AssumedRole"
	} else {
		context["aws:principalisawsservice"], context["aws:principalservicename"] = "true", who.service
	}
	if strings.HasPrefix(action, "s3:") {
		context["s3:tlsversion"] = "1.3"
	}
	own := map[string]string{}
	for key, value := range condition {
		if !knownKey(key) {
			return nil, fmt.Errorf("condition key %s of action %s is not known to local", key, action)
		}
		own[strings.ToLower(key)] = value
	}
	maps.Copy(context, own)
	return context, nil
}
