// Package gateway owns the one endpoint of the local AWS: it takes every signed
// request of every function, learns from the signature who calls which service,
// has IAM judge the call, injects the faults that a run asks for, and hands the
// request to the service. It knows no service.
package gateway

import "net/http"

// A Call is one request to a service, as IAM sees it.
type Call struct {
	Seq       int               // number of the call in this run, from 1
	Role      string            // ARN of the calling role; "" is the operator's root user
	Service   string            // as in the credential scope: s3, rds-data, secretsmanager, states
	Action    string            // IAM action: s3:GetObject
	Resources []string          // ARNs; every one must be allowed
	Condition map[string]string // condition keys beyond the global ones
	Detail    string            // tells requests apart that Action and Resources do not, such as statements; IAM does not see it
	Repeat    bool              // the client's own repeat of a call of which it did not get the answer in time
}

// A Service answers the requests of one AWS service.
type Service interface {
	// Describe names the IAM actions that a request needs, before it is judged;
	// usually one, more where AWS checks more than one on the caller's behalf
	// (rds-data:ExecuteStatement also needs secretsmanager:GetSecretValue). It
	// fills Action, Resources, Condition and Detail only. body is the whole request body.
	// An unknown operation is an error: the gateway answers 501 with its text.
	Describe(r *http.Request, body []byte) ([]Call, error)
	// ServeHTTP answers an allowed request; r.Body is unread. The caller's role
	// is in CallerRole(r.Context()).
	http.Handler
}

// An Authorizer judges calls by the policies that the stack gives its roles.
type Authorizer interface {
	// Authorize returns nil or an *AccessDenied. condition holds condition keys
	// (lower-case names are not assumed); aws:SecureTransport counts as true.
	Authorize(role, action, resource string, condition map[string]string) error
}

// AccessDenied names what a role may not do, in AWS's words.
type AccessDenied struct{ Role, Action, Resource, Why string }

func (e *AccessDenied) Error() string {
	return "User: " + e.Role + " is not authorized to perform: " + e.Action + " on resource: " + e.Resource + " because " + e.Why
}

// A Fault is what happens to one call.
type Fault uint8

// The faults. Kill takes the calling process down: before the service sees the
// request, or after it took effect and before the reply. Lose answers the caller
// with a broken connection after the effect; Throttle answers ThrottlingException
// without an effect.
const (
	None Fault = iota
	KillBefore
	KillAfter
	Lose
	Throttle
)

// Credentials are what a function's environment gets.
type Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }
