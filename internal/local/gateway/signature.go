package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// signatureError is a refusal in the words of AWS's common errors.
type signatureError struct{ code, text string }

func (e *signatureError) Error() string { return e.code + ": " + e.text }

const (
	algorithm = "AWS4-HMAC-SHA256"
	dateForm  = "20060102T150405Z"
	maxSkew   = 15 * time.Minute
)

// authenticate checks the request's Signature Version 4, in the header or in a
// presigned URL, and returns the owner of the key and the service of the scope.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (g *Gateway) authenticate(r *http.Request, body []byte) (*identity, string, error) {
	query := r.URL.Query()
	presigned := query.Has("X-Amz-Signature")
	field := map[string]string{}
	date, token := r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Security-Token")
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if presigned {
		field["Credential"], field["SignedHeaders"], field["Signature"] = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature")
		date, token, payload = query.Get("X-Amz-Date"), query.Get("X-Amz-Security-Token"), "UNSIGNED-PAYLOAD"
	} else {
		list, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
		if !ok {
			return nil, "", &signatureError{"MissingAuthenticationToken", "the request has no " + algorithm + " signature"}
		}
		for part := range strings.SplitSeq(list, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			field[name] = value
		}
	}
	scope := strings.Split(field["Credential"], "/") // key / date / region / service / aws4_request
	if len(scope) != 5 || scope[4] != "aws4_request" || field["Signature"] == "" || field["SignedHeaders"] == "" {
		return nil, "", &signatureError{"IncompleteSignature", "the credential, signature or signed headers are incomplete"}
	}
	g.mu.Lock()
	who := g.issued[scope[0]]
	g.mu.Unlock()
	if who == nil || token != who.credentials.SessionToken {
		return nil, "", &signatureError{"InvalidAccessKeyId", "the access key id " + scope[0] + " or its token is not one that this run issued"}
	}
	at, err := time.Parse(dateForm, date)
	if err != nil || at.Format("20060102") != scope[1] {
		return nil, "", &signatureError{"SignatureDoesNotMatch", "the date in the credential scope is not the request's date " + date}
	}
	age := g.config.Now().Sub(at)
	if presigned {
		seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
		if err != nil || age > time.Duration(seconds)*time.Second {
			return nil, "", &signatureError{"AccessDenied", "the presigned request has expired"}
		}
	} else if age > maxSkew || age < -maxSkew {
		return nil, "", &signatureError{"RequestTimeTooSkewed", "the request's time differs too much from the gateway's"}
	}
	// S3 signs the hash that the header names, and none in URLs; every other service
	// the body's.
	if presigned && scope[3] != "s3" {
		payload = ""
	}
	switch {
	case payload == "UNSIGNED-PAYLOAD" || strings.HasPrefix(payload, "STREAMING-"):
	case payload == "":
		payload = hexHash(body)
	case payload != hexHash(body):
		return nil, "", &signatureError{"XAmzContentSHA256Mismatch", "the body does not have the hash in x-amz-content-sha256"}
	}
	canonical := canonicalRequest(r, strings.Split(field["SignedHeaders"], ";"), scope[3], payload)
	text := algorithm + "\n" + date + "\n" + strings.Join(scope[1:], "/") + "\n" + hexHash([]byte(canonical))
	key := []byte("AWS4" + who.credentials.SecretAccessKey)
	for _, part := range scope[1:] {
		key = sign(key, part)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(sign(key, text))), []byte(field["Signature"])) {
		return nil, "", &signatureError{"SignatureDoesNotMatch", "the request signature does not match the one calculated from the issued secret; canonical request:\n" + canonical}
	}
	return who, scope[3], nil
}

func canonicalRequest(r *http.Request, signed []string, service, payload string) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	if service == "s3" {
		path = uriEncode(r.URL.Path, false)
	} else {
		path = uriEncode(path, false) // encoded twice
	}
	query := r.URL.Query()
	query.Del("X-Amz-Signature")
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	sort.Strings(names)
	var pairs []string
	for _, name := range names {
		sort.Strings(query[name])
		for _, v := range query[name] {
			pairs = append(pairs, uriEncode(name, true)+"="+uriEncode(v, true))
		}
	}
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	return strings.Join([]string{r.Method, path, strings.Join(pairs, "&"), headers.String(), strings.Join(signed, ";"), payload}, "\n")
}

// uriEncode escapes everything but RFC 3986's unreserved characters, and "/"
// unless slash is true.
func uriEncode(s string, slash bool) string {
	escaped := strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
	if !slash {
		escaped = strings.ReplaceAll(escaped, "%2F", "/")
	}
	return escaped
}

func hexHash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
