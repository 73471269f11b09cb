// Package secrets owns the local Secrets Manager: named secrets with versions,
// read over awsJson1.1 by the functions and by the local Data API.
//
// It leaves generating values to the template loader and permission to the
// gateway; Describe tells it which permissions a request needs, kms:Decrypt on
// a customer's key included. Reading changes nothing. A Store may be used
// concurrently.
package secrets

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/gateway"
)

// The version stages that Secrets Manager moves by itself.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

// A Store holds the secrets of one account and region.
type Store struct {
	// Region and Account complete the ARN of a secret that is asked for by name
	// and does not exist.
	Region, Account string
	// Now is the clock of creation dates; nil is time.Now.
	Now func() time.Time

	mu    sync.Mutex
	byARN map[string]*secret
}

type secret struct {
	name, arn, kmsKey string
	versions          []version // oldest first, the last is current
}

type version struct {
	id      string
	value   string
	created time.Time
}

// A NotFoundError names a secret, or a version of one, that does not exist.
type NotFoundError struct{ ID, What string }

func (e *NotFoundError) Error() string {
	return "Secrets Manager can't find the specified " + e.What + ": " + e.ID
}

// Create adds a secret. arn is the whole ARN with its six random characters;
// kmsKeyArn is "" for the account's own key, which needs no permission. A name
// or an ARN that exists is an error.
func (s *Store) Create(name, arn, kmsKeyArn, value string) error {
	if name == "" || !strings.HasPrefix(arn, "arn:") {
		return fmt.Errorf("create secret %q: it needs a name and an ARN, not %q", name, arn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.byARN {
		if have.name == name || have.arn == arn {
			return fmt.Errorf("create secret %s (%s): %s (%s) exists", name, arn, have.name, have.arn)
		}
	}
	if s.byARN == nil {
		s.byARN = map[string]*secret{}
	}
	s.byARN[arn] = &secret{name: name, arn: arn, kmsKey: kmsKeyArn, versions: []version{s.version(value)}}
	return nil
}

// Put makes value the current version of a secret, as a rotation or a
// SecretTargetAttachment does.
func (s *Store) Put(id, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(id)
	if err != nil {
		return err
	}
	sec.versions = append(sec.versions, s.version(value))
	return nil
}

func (s *Store) version(value string) version {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return version{id: fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), value: value, created: now()}
}

// Value returns the current value of a secret given by name or ARN; the error
// is a *NotFoundError.
func (s *Store) Value(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(id)
	if err != nil {
		return "", err
	}
	return sec.versions[len(sec.versions)-1].value, nil
}

// find returns a secret by name, ARN, or ARN without the six random characters.
func (s *Store) find(id string) (*secret, error) {
	if sec := s.byARN[id]; sec != nil {
		return sec, nil
	}
	for _, sec := range s.byARN {
		if sec.name == id || (len(sec.arn) > 7 && sec.arn[:len(sec.arn)-7] == id) {
			return sec, nil
		}
	}
	return nil, &NotFoundError{ID: id, What: "secret"}
}

// Calls returns what IAM must allow for one action on a secret: the action and,
// for its value under a customer's key, kms:Decrypt through Secrets Manager.
func (s *Store) Calls(action, id string) []gateway.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(id)
	if err != nil {
		arn := id
		if !strings.HasPrefix(id, "arn:") {
			arn = "arn:aws:secretsmanager:" + s.Region + ":" + s.Account + ":secret:" + id
		}
		return []gateway.Call{{Action: action, Resources: []string{arn}}}
	}
	calls := []gateway.Call{{Action: action, Resources: []string{sec.arn}}}
	if action == "secretsmanager:GetSecretValue" {
		calls[0].Condition = map[string]string{"secretsmanager:VersionStage": current}
		if sec.kmsKey != "" {
			calls = append(calls, gateway.Call{
				Action: "kms:Decrypt", Resources: []string{sec.kmsKey},
				Condition: map[string]string{"kms:ViaService": "secretsmanager." + region(sec.arn) + ".amazonaws.com"},
			})
		}
	}
	return calls
}

// region returns the fourth part of an ARN.
func region(arn string) string {
	if parts := strings.SplitN(arn, ":", 5); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

// A request has the members of the two operations that are served.
type request struct {
	SecretId, VersionId, VersionStage string
}

// The prefix of X-Amz-Target.
const target = "secretsmanager."

// Describe implements gateway.Service.
func (s *Store) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	op, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	if !ok {
		return nil, fmt.Errorf("no secretsmanager operation in X-Amz-Target %q", r.Header.Get("X-Amz-Target"))
	}
	if op != "GetSecretValue" && op != "DescribeSecret" {
		return nil, fmt.Errorf("secretsmanager:%s is not served by the local Secrets Manager", op)
	}
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("parse secretsmanager:%s: %w", op, err)
	}
	return s.Calls("secretsmanager:"+op, in.SecretId), nil
}

// ServeHTTP implements gateway.Service.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.Header.Get("Smithy-Protocol"); p != "" {
		fail(w, http.StatusUnsupportedMediaType, "UnsupportedMediaType", "the local Secrets Manager speaks awsJson1.1, not "+p)
		return
	}
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target)
	if op != "GetSecretValue" && op != "DescribeSecret" {
		fail(w, http.StatusNotImplemented, "NotImplemented", "secretsmanager:"+op+" is not served by the local Secrets Manager")
		return
	}
	var in request
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	if in.SecretId == "" {
		fail(w, http.StatusBadRequest, "InvalidParameterException", "You must provide SecretId")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		fail(w, http.StatusBadRequest, "ResourceNotFoundException", err.Error())
		return
	}
	out := map[string]any{"ARN": sec.arn, "Name": sec.name}
	switch op {
	case "GetSecretValue":
		i := len(sec.versions) - 1
		if in.VersionStage == previous {
			i--
		} else if in.VersionStage != "" && in.VersionStage != current {
			i = -1
		}
		if in.VersionId != "" {
			i = -1
			for n, v := range sec.versions {
				if v.id == in.VersionId {
					i = n
				}
			}
		}
		if i < 0 || (in.VersionStage != "" && !slices.Contains(sec.stages(i), in.VersionStage)) {
			fail(w, http.StatusBadRequest, "ResourceNotFoundException", (&NotFoundError{What: "secret value for version or staging label", ID: in.VersionId + in.VersionStage}).Error())
			return
		}
		v := sec.versions[i]
		out["VersionId"], out["VersionStages"], out["SecretString"], out["CreatedDate"] = v.id, sec.stages(i), v.value, seconds(v.created)
	case "DescribeSecret":
		stages := map[string][]string{}
		for i, v := range sec.versions {
			if labels := sec.stages(i); len(labels) > 0 {
				stages[v.id] = labels
			}
		}
		out["VersionIdsToStages"], out["CreatedDate"] = stages, seconds(sec.versions[0].created)
		out["LastChangedDate"] = seconds(sec.versions[len(sec.versions)-1].created)
		if sec.kmsKey != "" {
			out["KmsKeyId"] = sec.kmsKey
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(out) // an error means that the caller is gone
}

// stages returns the labels of version i.
func (s *secret) stages(i int) []string {
	switch i {
	case len(s.versions) - 1:
		return []string{current}
	case len(s.versions) - 2:
		return []string{previous}
	}
	return nil
}

// seconds is a time as awsJson1.1 writes it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func fail(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-ErrorType", code)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"__type": code, "Message": text}) // an error means that the caller is gone
}
