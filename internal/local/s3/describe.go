package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"godwit/internal/local/gateway"
)

// request is one S3 request: which operation on what.
type request struct {
	operation   string
	bucket, key string
	query       url.Values
}

// operations maps method, place and sub-resource to S3's operations: all that
// local serves. Sub-resources are the query parameters that choose an operation.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
var operations = map[string]string{
	"GET service":            "ListBuckets",
	"PUT bucket":             "CreateBucket",
	"DELETE bucket":          "DeleteBucket",
	"HEAD bucket":            "HeadBucket",
	"GET bucket":             "ListObjects",
	"GET bucket list-type":   "ListObjectsV2",
	"GET bucket location":    "GetBucketLocation",
	"GET bucket uploads":     "ListMultipartUploads",
	"POST bucket delete":     "DeleteObjects",
	"GET object":             "GetObject",
	"HEAD object":            "HeadObject",
	"PUT object":             "PutObject",
	"DELETE object":          "DeleteObject",
	"POST object uploads":    "CreateMultipartUpload",
	"PUT object uploadId":    "UploadPart",
	"GET object uploadId":    "ListParts",
	"POST object uploadId":   "CompleteMultipartUpload",
	"DELETE object uploadId": "AbortMultipartUpload",
}

// parameters are the query parameters that do not choose the operation.
var parameters = []string{
	"x-id", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "fetch-owner", "marker", "partNumber",
	"max-parts", "part-number-marker", "max-uploads", "key-marker", "upload-id-marker",
	"response-content-type", "response-content-language", "response-expires", "response-cache-control", "response-content-disposition", "response-content-encoding",
}

var subresources = []string{"list-type", "location", "uploads", "delete", "uploadId"}

func parse(r *http.Request) (request, error) {
	req := request{query: r.URL.Query()}
	path := strings.TrimPrefix(r.URL.Path, "/")
	req.bucket, req.key, _ = strings.Cut(path, "/")
	place, sub := "object", ""
	switch {
	case req.bucket == "":
		place = "service"
	case req.key == "":
		place = "bucket"
	}
	for name := range req.query {
		switch {
		case strings.HasPrefix(name, "X-Amz-") || slices.Contains(parameters, name):
		case slices.Contains(subresources, name) && sub == "":
			sub = name
		default:
			return req, fmt.Errorf("parameter %q of S3 request %s %s is not known to local", name, r.Method, r.URL.Path)
		}
	}
	form := strings.TrimSpace(r.Method + " " + place + " " + sub)
	if req.operation = operations[form]; req.operation == "" {
		return req, fmt.Errorf("S3 operation %q is not known to local", form)
	}
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		if req.operation != "PutObject" {
			return req, fmt.Errorf("%s with a copy source is not known to local", req.operation)
		}
		req.operation = "CopyObject"
	}
	// gofakes3 would store the chunk framing as part of the object.
	if hash := r.Header.Get("X-Amz-Content-Sha256"); strings.HasPrefix(hash, "STREAMING-") || strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		return req, fmt.Errorf("%s with the chunked body %s is not known to local: give the client a seekable body and an http endpoint", req.operation, hash)
	}
	return req, nil
}

// Describe names the IAM actions of a request, with the KMS actions that S3
// takes on the caller's behalf.
func (s *Service) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	req, err := parse(r)
	if err != nil {
		return nil, err
	}
	bucketARN := "arn:aws:s3:::" + req.bucket
	object := bucketARN + "/" + req.key
	call := func(action, resource string) gateway.Call {
		return gateway.Call{Action: action, Resources: []string{resource}}
	}
	switch req.operation {
	case "ListBuckets":
		return []gateway.Call{call("s3:ListAllMyBuckets", "*")}, nil
	case "CreateBucket", "DeleteBucket", "GetBucketLocation":
		return []gateway.Call{call("s3:"+req.operation, bucketARN)}, nil
	case "HeadBucket":
		return []gateway.Call{call("s3:ListBucket", bucketARN)}, nil
	case "ListObjects", "ListObjectsV2":
		list := call("s3:ListBucket", bucketARN)
		list.Condition = map[string]string{}
		for _, name := range []string{"prefix", "delimiter", "max-keys"} {
			if req.query.Has(name) {
				list.Condition["s3:"+name] = req.query.Get(name)
			}
		}
		return []gateway.Call{list}, nil
	case "ListMultipartUploads":
		return []gateway.Call{call("s3:ListBucketMultipartUploads", bucketARN)}, nil
	case "DeleteObjects":
		return describeDelete(bucketARN, body)
	case "GetObject", "HeadObject":
		calls := []gateway.Call{call("s3:GetObject", object)}
		header, there := s.store.header(req.bucket, req.key)
		if !there {
			// Who may not list the bucket is not told that the key is missing: S3
			// answers 403 instead of 404. The request has no s3:prefix.
			return append(calls, call("s3:ListBucket", bucketARN)), nil
		}
		if req.operation == "GetObject" || r.Header.Get("X-Amz-Checksum-Mode") != "" {
			calls = append(calls, s.kms(header, object, "kms:Decrypt")...)
		}
		return calls, nil
	case "DeleteObject":
		return []gateway.Call{call("s3:DeleteObject", object)}, nil
	case "AbortMultipartUpload":
		return []gateway.Call{call("s3:AbortMultipartUpload", object)}, nil
	case "ListParts":
		return []gateway.Call{call("s3:ListMultipartUploadParts", object)}, nil
	case "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "CopyObject":
		return s.describeWrite(r, req, object)
	}
	return nil, fmt.Errorf("S3 operation %s has no IAM action in local's table", req.operation)
}

func (s *Service) describeWrite(r *http.Request, req request, object string) ([]gateway.Call, error) {
	put := gateway.Call{Action: "s3:PutObject", Resources: []string{object}, Condition: map[string]string{}}
	for _, name := range []string{"x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"} {
		if v := r.Header.Get(name); v != "" {
			put.Condition["s3:"+name] = v
		}
	}
	calls := []gateway.Call{put}
	if r.Header.Get("X-Amz-Tagging") != "" {
		return nil, errors.New("header X-Amz-Tagging (s3:PutObjectTagging) is not known to local")
	}
	switch acl := r.Header.Get("X-Amz-Acl"); acl {
	case "":
	case "bucket-owner-full-control": // the one that buckets without ACLs take
		calls = append(calls, gateway.Call{Action: "s3:PutObjectAcl", Resources: []string{object}, Condition: map[string]string{"s3:x-amz-acl": acl}})
		put.Condition["s3:x-amz-acl"] = acl
	default:
		return nil, fmt.Errorf("header X-Amz-Acl with %q is not known to local", acl)
	}
	if r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		return nil, errors.New("CopyObject that replaces metadata is not known to local")
	}
	if r.Header.Get("If-Match") != "" {
		calls = append(calls, gateway.Call{Action: "s3:GetObject", Resources: []string{object}})
	}
	if req.operation == "CopyObject" {
		source, err := url.PathUnescape(strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), "/"))
		if err != nil {
			return nil, fmt.Errorf("copy source: %w", err)
		}
		from, key, ok := strings.Cut(source, "/")
		if !ok || strings.Contains(key, "?versionId=") {
			return nil, fmt.Errorf("copy source %q is not known to local", source)
		}
		arn := "arn:aws:s3:::" + source
		calls = append(calls, gateway.Call{Action: "s3:GetObject", Resources: []string{arn}})
		if header, there := s.store.header(from, key); there {
			calls = append(calls, s.kms(header, arn, "kms:Decrypt")...)
		}
	}
	header := map[string]string{}
	for _, name := range []string{"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"} {
		if v := r.Header.Get(name); v != "" {
			header[name] = v
		}
	}
	b, _ := s.bucket(req.bucket)
	if len(header) == 0 {
		b.encrypt(header)
	}
	if header["X-Amz-Server-Side-Encryption"] == "aws:kms" && !strings.HasPrefix(header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"], "arn:") {
		return nil, fmt.Errorf("encryption with the key %q is not known to local: name the key's ARN", header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"])
	}
	switch req.operation {
	case "PutObject", "CopyObject":
		calls = append(calls, s.kms(header, object, "kms:GenerateDataKey")...)
	case "CreateMultipartUpload", "UploadPart":
		calls = append(calls, s.kms(header, object, "kms:GenerateDataKey", "kms:Decrypt")...)
	case "CompleteMultipartUpload":
		calls = append(calls, s.kms(header, object, "kms:Decrypt")...)
	}
	return calls, nil
}

func describeDelete(bucketARN string, body []byte) ([]gateway.Call, error) {
	var request struct {
		Object []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		}
	}
	if err := xml.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("DeleteObjects: %w", err)
	}
	one := gateway.Call{Action: "s3:DeleteObject"}
	for _, o := range request.Object {
		if o.VersionID != "" {
			return nil, fmt.Errorf("DeleteObjects of version %s of %s is not known to local", o.VersionID, o.Key)
		}
		one.Resources = append(one.Resources, bucketARN+"/"+o.Key)
	}
	return []gateway.Call{one}, nil
}

// kms are the calls to the key that header names, made by S3 for the caller.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (s *Service) kms(header map[string]string, objectARN string, actions ...string) []gateway.Call {
	key := header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"]
	if header["X-Amz-Server-Side-Encryption"] != "aws:kms" {
		return nil
	}
	arn := objectARN
	if header["X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"] == "true" {
		arn, _, _ = strings.Cut(objectARN, "/")
	}
	var calls []gateway.Call
	for _, action := range actions {
		calls = append(calls, gateway.Call{Action: action, Resources: []string{key}, Condition: map[string]string{
			"kms:ViaService": "s3." + s.config.Region + ".amazonaws.com", "kms:CallerAccount": s.config.Account, "kms:EncryptionContext:aws:s3:arn": arn,
		}})
	}
	return calls
}
