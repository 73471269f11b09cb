package gateway

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
)

// protocol is the wire form in which a service's clients read errors.
type protocol uint8

const (
	restJSON protocol = iota
	awsJSON
	s3XML
	queryXML
)

// protocolOf tells the protocol from the request alone, because an error may
// come before anybody knows the service.
func protocolOf(r *http.Request) protocol {
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		return awsJSON
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return queryXML
	case strings.Contains(r.Header.Get("Authorization"), "/s3/aws4_request") || strings.Contains(r.URL.Query().Get("X-Amz-Credential"), "/s3/aws4_request"):
		return s3XML
	}
	return restJSON
}

// reply answers an error that the gateway itself finds, in the form of the
// caller's protocol; a caller that is gone needs no answer. code is S3's word; the other protocols say it with the
// suffix Exception where AWS does.
func reply(w http.ResponseWriter, r *http.Request, status int, code, text string) {
	p := protocolOf(r)
	if p != s3XML {
		switch code {
		case "AccessDenied", "MissingAuthenticationToken", "IncompleteSignature", "Throttling":
			code += "Exception"
		case "InvalidAccessKeyId":
			code = "UnrecognizedClientException"
		case "SignatureDoesNotMatch", "RequestTimeTooSkewed":
			code = "InvalidSignatureException"
		}
	}
	if p == queryXML {
		code = strings.TrimSuffix(code, "Exception")
	}
	switch p {
	case awsJSON, restJSON:
		// awsJson 1.0 services say Message in access errors, restJson ones message.
		member := "message"
		if p == awsJSON {
			member = "Message"
			if status == http.StatusForbidden {
				status = http.StatusBadRequest // awsJson answers client errors with 400
			}
		}
		w.Header().Set("X-Amzn-Errortype", code)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, member: text})
	case s3XML:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>%s</Message></Error>", xml.Header, escape(code), escape(text))
		}
	case queryXML:
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", escape(code), escape(text))
	}
}

// throttle answers as each service does when it is called too often.
func throttle(w http.ResponseWriter, r *http.Request) {
	if protocolOf(r) == s3XML {
		reply(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		return
	}
	reply(w, r, http.StatusBadRequest, "Throttling", "Rate exceeded")
}

func escape(s string) string {
	var b strings.Builder
	// Writing to a strings.Builder cannot fail.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
