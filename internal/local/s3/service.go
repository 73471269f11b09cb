// Package s3 is the S3 of the local AWS: gofakes3 behind a wall that knows what
// IAM action every request needs, encrypts with the bucket's key as far as
// permissions go, checks checksums, keeps storage classes and regions, and
// refuses by name what it does not know instead of answering something else.
//
// It leaves judging to the gateway. It promises that an object read is the object
// written, with its headers, and that a request that real S3 would refuse for
// its storage class, region, checksum or precondition is refused here.
package s3

import (
	"crypto/md5"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"

	"godwit/internal/local/gateway"
)

// Config is what a Service needs to know.
type Config struct {
	Account string           // of the caller, for kms:CallerAccount
	Region  string           // of buckets that name none
	Dir     string           // keeps objects in files named like their keys below it, for the next service too; "" keeps them in memory
	Now     func() time.Time // nil is time.Now
}

// A Bucket is how one bucket is set up.
type Bucket struct {
	Name      string
	Region    string // "" is the service's
	KMSKey    string // ARN of the default encryption key, "" for SSE-S3
	BucketKey bool   // S3 Bucket Keys: KMS sees the bucket's ARN instead of the object's
}

// A Service answers S3 requests.
type Service struct {
	config Config
	store  *store
	fake   http.Handler
}

var _ gateway.Service = (*Service)(nil)

// New makes a service without buckets.
func New(c Config) (*Service, error) {
	if c.Account == "" || c.Region == "" {
		return nil, errors.New("local s3 needs an account and a region")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dir != "" {
		absolute, err := filepath.Abs(c.Dir)
		if err != nil {
			return nil, err
		}
		c.Dir = absolute
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("folder of the local s3: %w", err)
		}
	}
	st := &store{dir: c.Dir, now: c.Now, buckets: map[string]*bucket{}}
	if c.Dir != "" {
		if err := st.openJournal(); err != nil {
			return nil, fmt.Errorf("folder of the local s3: %w", err)
		}
	}
	// The gateway checks the clock; metadata are limited to 2 KB as on S3.
	fake := gofakes3.New(st, gofakes3.WithTimeSkewLimit(0), gofakes3.WithMetadataSizeLimit(0))
	return &Service{config: c, store: st, fake: fake.Server()}, nil
}

// Close closes the journal of a service that keeps its objects on disk.
func (s *Service) Close() error {
	if s.store.journal == nil {
		return nil
	}
	return s.store.journal.Close()
}

// CreateBucket adds a bucket; its name must follow S3's rules and be free.
func (s *Service) CreateBucket(b Bucket) error { return s.store.create(s.complete(b)) }

func (s *Service) complete(b Bucket) Bucket {
	if b.Region == "" {
		b.Region = s.config.Region
	}
	return b
}

func (s *Service) bucket(name string) (Bucket, bool) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	b := s.store.buckets[name]
	if b == nil {
		return Bucket{}, false
	}
	return s.complete(b.Bucket), true
}

// BucketRegion is where a bucket is, "" where there is none.
func (s *Service) BucketRegion(name string) string {
	b, _ := s.bucket(name)
	return b.Region
}

// Options are an object's headers; all may be zero.
type Options struct {
	ContentType     string
	ContentEncoding string
	StorageClass    string // STANDARD when ""
	KMSKey          string // ARN of the key that it is encrypted with instead of the bucket's
	Metadata        map[string]string
}

func (o Options) header() (map[string]string, error) {
	if o.StorageClass != "" && !storageClasses[o.StorageClass] {
		return nil, fmt.Errorf("storage class %q is not known to local", o.StorageClass)
	}
	header := map[string]string{}
	for name, value := range map[string]string{"Content-Type": o.ContentType, "Content-Encoding": o.ContentEncoding, "X-Amz-Storage-Class": o.StorageClass} {
		if value != "" {
			header[name] = value
		}
	}
	for name, value := range o.Metadata {
		header[textproto.CanonicalMIMEHeaderKey("X-Amz-Meta-"+name)] = value
	}
	return header, nil
}

// Put stores an object, encrypted with the bucket's key unless the options name
// one, without asking IAM.
func (s *Service) Put(bucketName, key string, body []byte, o Options) error {
	return s.seed(bucketName, key, o, func(header map[string]string) (*object, error) {
		return newObject(append([]byte(nil), body...), header), nil
	})
}

// PutFile stores the file as an object without copying it: the file must stay
// as it is while the service lives. Its ETag depends on path, size and time, as
// an ETag need not be an MD5 sum.
func (s *Service) PutFile(bucketName, key, file string, o Options) error {
	return s.seed(bucketName, key, o, func(header map[string]string) (*object, error) {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		stored := newObject(nil, header)
		sum := md5.Sum(fmt.Appendf(nil, "%s %d %d", file, info.Size(), info.ModTime().UnixNano()))
		stored.body, stored.file, stored.size, stored.hash = nil, file, info.Size(), sum[:]
		return stored, nil
	})
}

func (s *Service) seed(bucketName, key string, o Options, stored func(map[string]string) (*object, error)) error {
	b, ok := s.bucket(bucketName)
	if !ok {
		return fmt.Errorf("put %s/%s: no such bucket", bucketName, key)
	}
	header, err := o.header()
	if err != nil {
		return fmt.Errorf("put %s/%s: %w", bucketName, key, err)
	}
	if o.KMSKey != "" {
		b.KMSKey, b.BucketKey = o.KMSKey, false
	}
	b.encrypt(header)
	object, err := stored(header)
	if err != nil {
		return fmt.Errorf("put %s/%s: %w", bucketName, key, err)
	}
	return s.store.put(bucketName, key, object, nil)
}

// encrypt adds the headers of the bucket's default encryption.
func (b Bucket) encrypt(header map[string]string) {
	header["X-Amz-Server-Side-Encryption"] = "AES256"
	if b.KMSKey == "" {
		return
	}
	header["X-Amz-Server-Side-Encryption"] = "aws:kms"
	header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = b.KMSKey
	if b.BucketKey {
		header["X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"] = "true"
	}
}

// An Entry is one stored object.
type Entry struct {
	Key          string
	Size         int64 // bytes
	ETag         string
	StorageClass string
	Header       map[string]string // as given back by S3, canonical names
	Modified     time.Time
}

// Get reads a whole object without asking IAM.
func (s *Service) Get(bucketName, key string) ([]byte, Entry, error) {
	o, err := s.store.object(bucketName, key)
	if err != nil {
		return nil, Entry{}, fmt.Errorf("get %s/%s: %w", bucketName, key, err)
	}
	body := o.body
	if o.file != "" {
		if body, err = os.ReadFile(o.file); err != nil {
			return nil, Entry{}, fmt.Errorf("get %s/%s: %w", bucketName, key, err)
		}
	}
	return body, o.entry(key), nil
}

func (o *object) entry(key string) Entry {
	return Entry{Key: key, Size: o.size, ETag: gofakes3.FormatETag(o.hash), StorageClass: o.storageClass(), Header: o.answer(key).Metadata, Modified: o.modified}
}

// List returns the objects below prefix in key order, without asking IAM.
func (s *Service) List(bucketName, prefix string) ([]Entry, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	b := s.store.buckets[bucketName]
	if b == nil {
		return nil, fmt.Errorf("list %s: no such bucket", bucketName)
	}
	var list []Entry
	for _, key := range b.ordered() {
		if strings.HasPrefix(key, prefix) {
			list = append(list, b.objects[key].entry(key))
		}
	}
	return list, nil
}

// Delete removes an object, if it is there, without asking IAM.
func (s *Service) Delete(bucketName, key string) error {
	_, err := s.store.DeleteObject(bucketName, key)
	return err
}

// SetStorageClass moves an object to another storage class, as a lifecycle rule
// would.
func (s *Service) SetStorageClass(bucketName, key, class string) error {
	if !storageClasses[class] {
		return fmt.Errorf("storage class %q is not known to local", class)
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	o, err := s.store.find(bucketName, key)
	if err != nil {
		return err
	}
	moved := *o
	moved.header = map[string]string{}
	for name, value := range o.header {
		moved.header[name] = value
	}
	moved.header["X-Amz-Storage-Class"] = class
	s.store.buckets[bucketName].objects[key] = &moved
	return s.store.note(bucketName, key, &moved)
}

var storageClasses = map[string]bool{
	"STANDARD": true, "STANDARD_IA": true, "ONEZONE_IA": true, "INTELLIGENT_TIERING": true, "REDUCED_REDUNDANCY": true,
	"GLACIER": true, "DEEP_ARCHIVE": true, "GLACIER_IR": true, "EXPRESS_ONEZONE": true,
}

// ServeHTTP answers a request that Describe knows.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := parse(r)
	if err != nil {
		fail(w, r, http.StatusNotImplemented, "NotImplemented", err.Error())
		return
	}
	b, exists := s.bucket(req.bucket)
	if exists {
		w.Header().Set("X-Amz-Bucket-Region", b.Region)
		if req.operation == "GetBucketLocation" {
			s.location(w, b)
			return
		}
		if region := signingRegion(r); region != "" && region != b.Region {
			fail(w, r, http.StatusMovedPermanently, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint: it is in "+b.Region+", not "+region+".")
			return
		}
	}
	switch req.operation {
	case "GetObject", "HeadObject":
		if !s.readable(w, r, req) {
			return
		}
	case "PutObject", "CopyObject", "CreateMultipartUpload":
		if class := r.Header.Get("X-Amz-Storage-Class"); class != "" && !storageClasses[class] {
			fail(w, r, http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid")
			return
		}
		if r.Header.Get("X-Amz-Server-Side-Encryption") == "" {
			header := map[string]string{}
			b.encrypt(header)
			for name, value := range header {
				r.Header.Set(name, value)
			}
		}
		for name := range kept {
			if v := r.Header.Get(name); v != "" && strings.HasPrefix(name, "X-Amz-Server-Side-Encryption") {
				w.Header().Set(name, v)
			}
		}
	}
	if r.Method == http.MethodPut && req.key != "" && req.operation != "CopyObject" {
		if err := verifyChecksums(r); err != nil {
			fail(w, r, http.StatusBadRequest, "BadDigest", err.Error())
			return
		}
	}
	s.fake.ServeHTTP(&answer{ResponseWriter: w, checksums: strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED")}, r)
}

// readable checks what S3 checks before it gives an object: its storage class
// and If-Match; gofakes3 does the rest.
func (s *Service) readable(w http.ResponseWriter, r *http.Request, req request) bool {
	o, err := s.store.object(req.bucket, req.key)
	if err != nil {
		return true // gofakes3 answers
	}
	etag := gofakes3.FormatETag(o.hash)
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && strings.Trim(match, `"`) != strings.Trim(etag, `"`) {
		fail(w, r, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		return false
	}
	if match := r.Header.Get("If-None-Match"); match != "" && (match == "*" || strings.Trim(match, `"`) == strings.Trim(etag, `"`)) {
		w.Header().Set("ETag", etag)
		w.WriteHeader(http.StatusNotModified)
		return false
	}
	if class := o.storageClass(); req.operation == "GetObject" && (class == "GLACIER" || class == "DEEP_ARCHIVE") {
		fail(w, r, http.StatusForbidden, "InvalidObjectState", "The operation is not valid for the object's storage class", "StorageClass", class)
		return false
	}
	return true
}

func (s *Service) location(w http.ResponseWriter, b Bucket) {
	constraint := b.Region
	if constraint == "us-east-1" {
		constraint = "" // S3 says nothing for its first region
	}
	w.Header().Set("Content-Type", "application/xml")
	// A caller that is gone needs no answer.
	_, _ = fmt.Fprintf(w, `%s<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</LocationConstraint>`, xml.Header, constraint)
}

// signingRegion is the region of the request's credential scope.
func signingRegion(r *http.Request) string {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if _, after, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(after, ",")
	}
	scope := strings.Split(credential, "/")
	if len(scope) < 3 {
		return ""
	}
	return scope[2]
}

// fail answers an error in S3's XML, with further elements as pairs.
func fail(w http.ResponseWriter, r *http.Request, status int, code, message string, more ...string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	var text strings.Builder
	text.WriteString(xml.Header + "<Error>")
	for i, pair := 0, append([]string{"Code", code, "Message", message}, more...); i+1 < len(pair); i += 2 {
		text.WriteString("<" + pair[i] + ">")
		// Writing to a strings.Builder cannot fail.
		_ = xml.EscapeText(&text, []byte(pair[i+1]))
		text.WriteString("</" + pair[i] + ">")
	}
	text.WriteString("</Error>")
	// A caller that is gone needs no answer.
	_, _ = io.WriteString(w, text.String())
}

// answer keeps back the checksum headers that the caller did not ask for, as S3
// does.
type answer struct {
	http.ResponseWriter
	checksums, started bool
}

func (a *answer) WriteHeader(status int) {
	if a.started { // an error on the way, to a caller that hung up
		return
	}
	a.started = true
	for name := range a.Header() {
		if isChecksum(name) && !a.checksums {
			a.Header().Del(name)
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if !a.started {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(b)
}
