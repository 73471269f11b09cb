package testdb

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"godwit/internal/local/postgres"
)

// A Bucket holds objects that the aws_s3 of one database can import, for tests
// that need no more of S3. It may be used concurrently.
type Bucket struct {
	Name string

	mu      sync.Mutex
	objects map[string]stored
	hook    func(key string)
}

type stored struct {
	body     []byte
	encoding string
}

// Bucket attaches a bucket to the database until the test ends.
func (db *DB) Bucket(t testing.TB) *Bucket {
	t.Helper()
	b := &Bucket{Name: strings.ReplaceAll(db.Name, "_", "-"), objects: map[string]stored{}}
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	if err := db.Server.SetImport(postgres.Import{Endpoint: front.URL, Region: Region, AccessKeyID: "import", SecretAccessKey: "x", Database: db.Name}); err != nil {
		t.Fatal(err)
	}
	return b
}

// Put stores an object; encoding is its Content-Encoding, "gzip" or "".
func (b *Bucket) Put(key string, body []byte, encoding string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = stored{body, encoding}
}

// OnGet has f called, with the key, before an object is sent: to count imports,
// or to hold one up.
func (b *Bucket) OnGet(f func(key string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = f
}

func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutPrefix(r.URL.Path, "/"+b.Name+"/")
	b.mu.Lock()
	o, known := b.objects[key]
	hook := b.hook
	b.mu.Unlock()
	if hook != nil {
		hook(key)
	}
	if !ok || !known || r.Method != http.MethodGet {
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`))
		return
	}
	if o.encoding != "" {
		w.Header().Set("Content-Encoding", o.encoding)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
	w.Write(o.body)
}
