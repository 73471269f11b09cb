package s3

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// store keeps buckets and objects: keys and headers in memory, bodies in memory
// or in files. It is gofakes3's Backend; unlike the ones that gofakes3 brings it
// forgets an overwritten object's headers, knows storage classes and pages
// through common prefixes.
type store struct {
	dir string // "" keeps bodies in memory
	now func() time.Time

	mu      sync.RWMutex
	buckets map[string]*bucket
	journal *os.File                      // every put and delete when dir is set; see journal.go
	found   map[string]map[string]*object // what the journal held, by bucket, until the bucket is created
}

type bucket struct {
	Bucket
	created time.Time
	objects map[string]*object
	keys    []string // sorted; rebuilt when sorted is false
	sorted  bool
}

// object is immutable once stored: an overwrite replaces it.
type object struct {
	body     []byte
	file     string // where the body lies when it is not in memory
	size     int64
	hash     []byte
	header   map[string]string // as S3 gives them back; never nil
	modified time.Time
}

var _ gofakes3.Backend = (*store)(nil)

// kept are the request headers that S3 gives back with the object, beside the
// x-amz-meta- and x-amz-checksum- ones.
var kept = map[string]bool{
	"Content-Type": true, "Content-Encoding": true, "Content-Disposition": true,
	"X-Amz-Storage-Class": true, "X-Amz-Server-Side-Encryption": true,
	"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": true, "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": true,
}

func (s *store) find(bucketName, key string) (*object, error) {
	b := s.buckets[bucketName]
	if b == nil {
		return nil, gofakes3.BucketNotFound(bucketName)
	}
	o := b.objects[key]
	if o == nil {
		return nil, gofakes3.KeyNotFound(key)
	}
	return o, nil
}

func (s *store) object(bucketName, key string) (*object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(bucketName, key)
}

// header are the headers of an object, and whether it is there.
func (s *store) header(bucketName, key string) (map[string]string, bool) {
	o, err := s.object(bucketName, key)
	if err != nil {
		return nil, false
	}
	return o.header, true
}

func (s *store) put(bucketName, key string, o *object, conditions *gofakes3.PutConditions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b == nil {
		return gofakes3.BucketNotFound(bucketName)
	}
	old := b.objects[key]
	if conditions != nil {
		info := &gofakes3.ConditionalObjectInfo{Exists: old != nil}
		if old != nil {
			info.Hash = old.hash
		}
		if conditions.IfMatch != nil && old == nil {
			return gofakes3.KeyNotFound(key) // S3 answers 404, not 412
		}
		if err := gofakes3.CheckPutConditions(conditions, info); err != nil {
			return err
		}
	}
	if o.file == "" && s.dir != "" {
		if err := s.toFile(bucketName, key, o); err != nil {
			return err
		}
	}
	o.modified = s.now()
	if err := s.note(bucketName, key, o); err != nil {
		return err
	}
	b.objects[key] = o
	b.sorted = b.sorted && old != nil
	return nil
}

// toFile moves an object's body to a file named like its key. A crash leaves at
// most a temporary file behind; readers of an overwritten object keep the old
// file open.
func (s *store) toFile(bucketName, key string, o *object) error {
	segments := strings.Split(key, "/")
	for i, segment := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(segment), ".", "%2E")
		if strings.Trim(segment, ".") != "" {
			segments[i] = url.PathEscape(segment)
		}
		if segment == "" {
			segments[i] = "%"
		}
	}
	file := filepath.Join(append([]string{s.dir, bucketName}, segments...)...)
	err := replaceFile(file, o.body)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		// The key is too long for a file's name, or a prefix of another key.
		sum := sha256.Sum256([]byte(key))
		file = filepath.Join(s.dir, bucketName, "%", hex.EncodeToString(sum[:]))
		err = replaceFile(file, o.body)
	}
	if err != nil {
		return fmt.Errorf("keep object %s/%s on disk: %w", bucketName, key, err)
	}
	o.file, o.body = file, nil
	return nil
}

// owns says whether a file is one that the store made.
func (s *store) owns(file string) bool {
	return s.dir != "" && strings.HasPrefix(file, s.dir+string(filepath.Separator))
}

func replaceFile(file string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".put-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(body)
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		// The write's error is the one to report.
		_ = os.Remove(temporary.Name())
	}
	return err
}

func (o *object) open() (io.ReadSeekCloser, error) {
	if o.file == "" {
		return struct {
			*bytes.Reader
			io.Closer
		}{bytes.NewReader(o.body), io.NopCloser(nil)}, nil
	}
	return os.Open(o.file)
}

func (o *object) answer(key string) *gofakes3.Object {
	header := maps.Clone(o.header)
	header["Last-Modified"] = o.modified.UTC().Format("Mon, 02 Jan 2006 15:04:05") + " GMT"
	return &gofakes3.Object{Name: key, Metadata: header, Size: o.size, Hash: o.hash, Contents: io.NopCloser(strings.NewReader(""))}
}

func (o *object) storageClass() string {
	if class := o.header["X-Amz-Storage-Class"]; class != "" {
		return class
	}
	return "STANDARD"
}

// ordered returns the bucket's keys in order; the caller holds the write lock.
func (b *bucket) ordered() []string {
	if !b.sorted {
		b.keys = slices.Sorted(maps.Keys(b.objects))
		b.sorted = true
	}
	return b.keys
}

// ListBuckets and the methods below satisfy gofakes3.Backend.
func (s *store) ListBuckets() ([]gofakes3.BucketInfo, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]gofakes3.BucketInfo, 0, len(s.buckets))
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		list = append(list, gofakes3.BucketInfo{Name: name, CreationDate: gofakes3.NewContentTime(s.buckets[name].created)})
	}
	return list, nil
}

// ListBucket lists one page, keys and common prefixes together in order.
func (s *store) ListBucket(name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return nil, gofakes3.BucketNotFound(name)
	}
	list := gofakes3.NewObjectList()
	if page.MaxKeys == 0 {
		return list, nil
	}
	start, delimiter := "", ""
	if prefix != nil {
		start, delimiter = prefix.Prefix, prefix.Delimiter
	}
	keys := b.ordered()
	from := sort.SearchStrings(keys, start)
	if page.Marker > start {
		from = sort.Search(len(keys), func(i int) bool { return keys[i] > page.Marker })
	}
	last, seen := "", int64(0)
	for _, key := range keys[from:] {
		if !strings.HasPrefix(key, start) {
			break
		}
		entry := key
		if delimiter != "" {
			if i := strings.Index(key[len(start):], delimiter); i >= 0 {
				entry = key[:len(start)+i+len(delimiter)]
			}
		}
		// A page that ended with a common prefix goes on behind all its keys.
		if entry != key && (entry == last || entry == page.Marker) {
			continue
		}
		if seen == page.MaxKeys {
			list.IsTruncated, list.NextMarker = true, last
			break
		}
		if entry != key {
			list.AddPrefix(entry)
		} else {
			o := b.objects[key]
			list.Add(&gofakes3.Content{
				Key: key, LastModified: gofakes3.NewContentTime(o.modified.UTC()), ETag: gofakes3.FormatETag(o.hash),
				Size: o.size, StorageClass: gofakes3.StorageClass(o.storageClass()),
			})
		}
		last = entry
		seen++
	}
	return list, nil
}

func (s *store) CreateBucket(name string) error { return s.create(Bucket{Name: name}) }

func (s *store) create(b Bucket) error {
	if err := gofakes3.ValidateBucketName(b.Name); err != nil {
		return fmt.Errorf("create bucket %q: %w", b.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[b.Name] != nil {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, b.Name)
	}
	objects := s.found[b.Name]
	if objects == nil {
		objects = map[string]*object{}
	}
	delete(s.found, b.Name)
	s.buckets[b.Name] = &bucket{Bucket: b, created: s.now(), objects: objects}
	return nil
}

func (s *store) BucketExists(name string) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.buckets[name] != nil, nil
}

func (s *store) DeleteBucket(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return gofakes3.BucketNotFound(name)
	}
	if len(b.objects) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	delete(s.buckets, name)
	return nil
}

// ForceDeleteBucket is MinIO's, and no S3 operation.
func (s *store) ForceDeleteBucket(string) error { return gofakes3.ErrNotImplemented }

func (s *store) HeadObject(bucketName, key string) (*gofakes3.Object, error) {
	o, err := s.object(bucketName, key)
	if err != nil {
		return nil, err
	}
	return o.answer(key), nil
}

func (s *store) GetObject(bucketName, key string, requested *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	o, err := s.object(bucketName, key)
	if err != nil {
		return nil, err
	}
	if requested != nil && requested.FromEnd && requested.End > o.size && o.size > 0 {
		// S3 answers a suffix longer than the object with the whole object.
		requested = &gofakes3.ObjectRangeRequest{FromEnd: true, End: o.size}
	}
	part, err := requested.Range(o.size)
	if err != nil {
		return nil, err
	}
	body, err := o.open()
	if err != nil {
		return nil, fmt.Errorf("open object %s/%s: %w", bucketName, key, err)
	}
	out := o.answer(key)
	out.Contents, out.Range = body, part
	if part != nil {
		if _, err := body.Seek(part.Start, io.SeekStart); err != nil {
			// The seek's error is the one to report.
			_ = body.Close()
			return nil, fmt.Errorf("seek in object %s/%s: %w", bucketName, key, err)
		}
		out.Contents = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, part.Length), body}
		for name := range out.Metadata {
			if strings.HasPrefix(name, "X-Amz-Checksum-") {
				delete(out.Metadata, name) // of the whole object
			}
		}
	}
	return out, nil
}

func (s *store) PutObject(bucketName, key string, meta map[string]string, input io.Reader, size int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	body, err := gofakes3.ReadAll(input, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	return gofakes3.PutObjectResult{}, s.put(bucketName, key, newObject(body, meta), conditions)
}

func newObject(body []byte, meta map[string]string) *object {
	header := map[string]string{"Content-Type": "binary/octet-stream"}
	for name, value := range meta {
		if kept[name] || strings.HasPrefix(name, "X-Amz-Meta-") || isChecksum(name) {
			header[name] = value
		}
	}
	if header["X-Amz-Storage-Class"] == "STANDARD" {
		delete(header, "X-Amz-Storage-Class") // S3 does not say it
	}
	hash := md5.Sum(body)
	return &object{body: body, size: int64(len(body)), hash: hash[:], header: header}
}

func (s *store) CopyObject(srcBucket, srcKey, dstBucket, dstKey string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	src, err := s.GetObject(srcBucket, srcKey, nil)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	defer func() { _ = src.Contents.Close() }() // it was only read
	if _, err := s.PutObject(dstBucket, dstKey, meta, src.Contents, src.Size, nil); err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	return gofakes3.CopyObjectResult{ETag: gofakes3.FormatETag(src.Hash), LastModified: gofakes3.NewContentTime(s.now())}, nil
}

func (s *store) DeleteObject(bucketName, key string) (gofakes3.ObjectDeleteResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucketName]
	if b == nil {
		return gofakes3.ObjectDeleteResult{}, gofakes3.BucketNotFound(bucketName)
	}
	o := b.objects[key]
	if o == nil {
		return gofakes3.ObjectDeleteResult{}, nil
	}
	if err := s.note(bucketName, key, nil); err != nil {
		return gofakes3.ObjectDeleteResult{}, err
	}
	delete(b.objects, key)
	b.sorted = false
	if s.owns(o.file) {
		if err := os.Remove(o.file); err != nil {
			return gofakes3.ObjectDeleteResult{}, fmt.Errorf("delete object %s/%s: %w", bucketName, key, err)
		}
	}
	return gofakes3.ObjectDeleteResult{}, nil
}

func (s *store) DeleteMulti(bucketName string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var result gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := s.DeleteObject(bucketName, key); err != nil {
			result.Error = append(result.Error, gofakes3.ErrorResultFromError(err))
			continue
		}
		result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
	}
	return result, nil
}
