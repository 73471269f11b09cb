package rdsdata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/local/gateway"
	"godwit/internal/local/secrets"
)

// The limits of the service.
const (
	maxRequest   = 4 << 20 // bytes, headers included
	maxSQL       = 65_536  // characters
	maxResponse  = 1 << 20 // bytes
	maxRow       = 64 << 10
	maxFormatted = 10 << 20 // bytes of formattedRecords
	callTimeout  = 45 * time.Second
	idleTimeout  = 3 * time.Minute
	totalTimeout = 24 * time.Hour
)

// Config says how a Server works; the zero value of each field but Secrets is
// the service's own behaviour.
type Config struct {
	Secrets *secrets.Store
	// Timeout is how long one call may take; 0 is 45 s. Tests set 200 ms,
	// because the database's time does not advance with a test's clock.
	Timeout time.Duration
	// Now is the clock by which transactions expire and clusters resume; nil is
	// time.Now. After advancing it, call Sweep.
	Now func() time.Time
}

// A Cluster is a database cluster as the Data API sees it.
type Cluster struct {
	Addr string // host:port of the writer
	// EndpointDisabled: the Data API is switched off.
	EndpointDisabled bool
	// NoInstance: the cluster has no instance.
	NoInstance bool
	// Stopped: the cluster is not available.
	Stopped bool
	// Unavailable: the writer is failing over.
	Unavailable bool
	// Paused: Serverless v2 at 0 ACU. The first call starts the resumption and,
	// like all calls until Resume has passed, is answered with
	// DatabaseResumingException; then Paused becomes false.
	Paused bool
	Resume time.Duration // 0 is 15 s

	resumed time.Time // when a resumption under way ends
}

// A Server is a gateway.Service for rds-data. Close ends it.
type Server struct {
	cfg  Config
	pool pool

	mu       sync.Mutex
	clusters map[string]*Cluster
	open     map[string]*transaction
	ended    map[string]string // why a transaction is gone
	order    []string          // of ended, oldest first
	running  sync.WaitGroup    // calls, and statements that outlive theirs
	closed   bool
	stop     chan struct{} // closed by Close
}

// New returns a Server that expires idle transactions by itself once a second.
func New(cfg Config) *Server {
	if cfg.Timeout == 0 {
		cfg.Timeout = callTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, clusters: map[string]*Cluster{}, open: map[string]*transaction{}, ended: map[string]string{}, stop: make(chan struct{})}
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				s.Sweep()
			case <-s.stop:
				return
			}
		}
	}()
	return s
}

// closeTimeout bounds the wait for cancelled statements: one that reads from a
// program does not notice a cancellation.
const closeTimeout = 10 * time.Second

// Close cancels what is running, rolls open transactions back and closes all
// connections. It may be repeated. An error says that a statement is still
// running; it ends with its server.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		err = errors.New("close the Data API: a statement does not end")
	}
	var gone []*pgconn.PgConn
	s.mu.Lock()
	for id, t := range s.open {
		s.finish(id, t, "the Data API was shut down")
		if !t.busy { // a busy one's connection is its statement's
			gone = append(gone, t.conn)
		}
	}
	s.mu.Unlock()
	for _, c := range gone {
		closeConn(c)
	}
	s.pool.close()
	return err
}

// AddCluster makes a cluster known under its ARN, or replaces it.
func (s *Server) AddCluster(arn string, c Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters[arn] = &c
}

// UpdateCluster changes a cluster's state, for example to pause it.
func (s *Server) UpdateCluster(arn string, change func(*Cluster)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clusters[arn]
	if c == nil {
		return fmt.Errorf("update cluster %s: it is unknown", arn)
	}
	change(c)
	return nil
}

// The operation of each path.
var operations = map[string]string{
	"/Execute":             "ExecuteStatement",
	"/BatchExecute":        "BatchExecuteStatement",
	"/BeginTransaction":    "BeginTransaction",
	"/CommitTransaction":   "CommitTransaction",
	"/RollbackTransaction": "RollbackTransaction",
}

// Describe implements gateway.Service: the caller needs the operation on the
// cluster and, checked on its behalf, the secret.
func (s *Server) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	op := operations[r.URL.Path]
	if op == "" || r.Method != http.MethodPost {
		return nil, fmt.Errorf("%s %s is no operation of the Data API", r.Method, r.URL.Path)
	}
	var in struct {
		ResourceArn string `json:"resourceArn"`
		SecretArn   string `json:"secretArn"`
		SQL         string `json:"sql"`
		Parameters  []struct {
			Name  string                     `json:"name"`
			Value map[string]json.RawMessage `json:"value"`
		} `json:"parameters"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("parse rds-data:%s: %w", op, err)
	}
	detail := clip(strings.Join(strings.Fields(in.SQL), " "))
	for _, p := range in.Parameters {
		for _, v := range p.Value {
			detail += " " + p.Name + "=" + clip(strings.Trim(string(v), `"`))
		}
	}
	calls := []gateway.Call{{Action: "rds-data:" + op, Resources: []string{in.ResourceArn}, Detail: detail}}
	if s.cfg.Secrets != nil {
		calls = append(calls, s.cfg.Secrets.Calls("secretsmanager:GetSecretValue", in.SecretArn)...)
	}
	return calls, nil
}

// clip cuts a text to what a log line needs of it.
func clip(s string) string {
	const most = 60 // bytes
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// ServeHTTP implements gateway.Service. It ignores the request's context on
// purpose: a lost caller does not stop a statement.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.serve(r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := apiError(err)
		w.Header().Set("X-Amzn-ErrorType", e.code)
		w.WriteHeader(e.status)
		body := map[string]any{"message": e.text}
		if e.connection != 0 {
			body["dbConnectionId"] = e.connection
		}
		out, _ = json.Marshal(body) // plain values cannot fail
	}
	w.Write(out) // an error means that the caller is gone
}

func (s *Server) serve(r *http.Request) ([]byte, error) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.running.Add(1)
		defer s.running.Done()
	}
	s.mu.Unlock()
	if closed {
		return nil, &Error{status: 503, code: "ServiceUnavailableError", text: "the Data API was shut down"}
	}
	op := operations[r.URL.Path]
	if op == "" {
		return nil, &Error{status: 404, code: "UnknownOperationException", text: r.URL.Path + " is no operation of the Data API"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, &Error{status: 400, code: "SerializationException", text: "read the request: " + err.Error()}
	}
	if n := len(body) + headerSize(r); n > maxRequest {
		return nil, &Error{status: 413, code: "RequestEntityTooLargeException", text: fmt.Sprintf("the request has more than %d bytes, headers included", maxRequest)}
	}
	var in request
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a member that we do not know must not be ignored
	if err := d.Decode(&in); err != nil {
		return nil, &Error{status: 400, code: "SerializationException", text: "parse the request: " + err.Error()}
	}
	if err := in.validate(op); err != nil {
		return nil, err
	}
	if err := s.available(in.ResourceArn); err != nil {
		return nil, err
	}
	if _, err := s.login(&in); err != nil {
		return nil, err
	}
	var out any
	switch op {
	case "ExecuteStatement":
		out, err = s.execute(&in)
	case "BatchExecuteStatement":
		out, err = s.batch(&in)
	case "BeginTransaction":
		out, err = s.begin(&in)
	case "CommitTransaction":
		out, err = s.end(&in, "COMMIT", "Transaction Committed")
	case "RollbackTransaction":
		out, err = s.end(&in, "ROLLBACK", "Rollback Complete")
	}
	if err != nil {
		return nil, err
	}
	b, err := encode(out)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return b, nil
}

// headerSize is the size of the request line and the headers on the wire.
func headerSize(r *http.Request) int {
	n := len(r.Method) + len(r.URL.RequestURI()) + len(" HTTP/1.1\r\n") + 1 + len("Host: \r\n") + len(r.Host) + 2
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// encode is json.Marshal without the escapes for HTML, which AWS does not write.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// available reports a cluster that cannot answer.
func (s *Server) available(arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clusters[arn]
	switch {
	case c == nil || c.EndpointDisabled:
		return &Error{status: 400, code: "HttpEndpointNotEnabledException", text: "HttpEndpoint is not enabled for resource " + arn}
	case c.NoInstance:
		return &Error{status: 404, code: "DatabaseNotFoundException", text: "DB cluster " + arn + " has no DB instance"}
	case c.Stopped:
		return &Error{status: 400, code: "InvalidResourceStateException", text: "DB cluster " + arn + " is not available"}
	case c.Unavailable:
		return &Error{status: 504, code: "DatabaseUnavailableException", text: "The writer instance in DB cluster " + arn + " isn't available"}
	case c.Paused:
		now := s.cfg.Now()
		if c.resumed.IsZero() {
			wait := c.Resume
			if wait == 0 {
				wait = 15 * time.Second
			}
			c.resumed = now.Add(wait)
		}
		if now.Before(c.resumed) {
			return &Error{status: 400, code: "DatabaseResumingException", text: "The Aurora DB instance of " + arn + " is resuming after being auto-paused. Please wait a few seconds and try again."}
		}
		c.Paused, c.resumed = false, time.Time{}
	}
	return nil
}

// login finds the address of the cluster and the user of the secret.
func (s *Server) login(in *request) (login, error) {
	s.mu.Lock()
	addr := s.clusters[in.ResourceArn].Addr
	s.mu.Unlock()
	if s.cfg.Secrets == nil {
		return login{}, errors.New("read the secret: the server has no secrets")
	}
	value, err := s.cfg.Secrets.Value(in.SecretArn)
	if err != nil {
		return login{}, &Error{status: 400, code: "SecretsErrorException", text: err.Error()}
	}
	var user struct{ Username, Password *string }
	if err := json.Unmarshal([]byte(value), &user); err != nil || user.Username == nil || user.Password == nil || *user.Username == "" {
		return login{}, &Error{status: 400, code: "InvalidSecretException", text: "The Secrets Manager secret used with the request isn't valid: it is no JSON object with username and password"}
	}
	l := login{addr: addr, user: *user.Username, password: *user.Password, database: in.Database}
	if l.database == "" {
		l.database = l.user // as PostgreSQL's clients do
	}
	if strings.ContainsRune(l.user+l.password+l.database, 0) {
		return login{}, &Error{status: 400, code: "InvalidSecretException", text: "The Secrets Manager secret used with the request isn't valid: it contains NUL"}
	}
	return l, nil
}
