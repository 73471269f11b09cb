package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options says how a server starts. The zero value is a temporary server with a
// master user named "postgres", fast and forgetful, for tests.
type Options struct {
	// Dir keeps the data: it is created, or taken up again if an earlier server
	// filled it. "" is a temporary folder, removed when the server ends.
	Dir string
	// Durable makes commits survive a crash of the machine (fsync). Without it
	// they survive only an orderly end of the server.
	Durable bool
	// Master is the name of the master user, "" is "postgres"; Password is its
	// password, "" one that nobody knows. Special characters are allowed.
	Master, Password string
	// Database is created and owned by the master user; "" creates none.
	Database string
	// Settings are further server settings, such as "max_connections".
	Settings map[string]string
}

// A Server is a running PostgreSQL. Its methods may be called concurrently.
type Server struct {
	port      int
	socket    string // folder of the socket, for rdsadmin
	data      string
	dir       string // everything of ours; removed if temporary
	temporary bool
	attendant string

	guard *exec.Cmd
	pipe  *os.File // its end is the server's
	ended chan struct{}
	once  sync.Once
}

// startTimeout bounds one attempt to start; a cold disk is slow.
const startTimeout = 60 * time.Second

// Start starts a server and returns when it accepts connections, after about
// 0.2 s (some seconds on first use, when the cache is filled). The server ends
// with Close or with this process. ctx bounds the start only. A missing
// installation is a *NotInstalledError.
func Start(ctx context.Context, o Options) (*Server, error) {
	cache, err := prepare(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: o.Dir, temporary: o.Dir == "", attendant: filepath.Join(cache, "attendant")}
	if err := s.makeFolders(filepath.Join(cache, "data")); err != nil {
		s.remove()
		return nil, err
	}
	const attempts = 10
	for attempt := 1; ; attempt++ {
		err := s.start(ctx, cache, o)
		if err == nil {
			break
		}
		// Another process may take the port between our finding it free and the server's taking it.
		if attempt == attempts || !strings.Contains(err.Error(), "could not bind") {
			s.remove()
			return nil, err
		}
	}
	if o.Master == "" {
		o.Master = "postgres"
	}
	if o.Password == "" {
		o.Password = randomText()
	}
	if err := createMaster(ctx, s.AdminDSN("postgres"), o.Master, o.Password, o.Database); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// makeFolders lays out <dir>/data from the cache's. A crash leaves a folder
// data.part, which the next start replaces.
func (s *Server) makeFolders(template string) error {
	if s.temporary {
		dir, err := temporaryFolder()
		if err != nil {
			return err
		}
		s.dir = dir
	} else {
		dir, err := filepath.Abs(s.dir)
		if err != nil {
			return fmt.Errorf("find data folder %s: %w", s.dir, err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make data folder: %w", err)
		}
		if err := passable(dir); err != nil {
			return err
		}
		s.dir = dir
	}
	s.data = filepath.Join(s.dir, "data")
	if !exists(filepath.Join(s.data, "PG_VERSION")) {
		part := s.data + ".part"
		if err := os.RemoveAll(part); err != nil {
			return fmt.Errorf("remove what an earlier start left: %w", err)
		}
		if err := copyData(template, part); err != nil {
			return fmt.Errorf("copy the data folder from the cache: %w", err)
		}
		if err := os.Rename(part, s.data); err != nil {
			return fmt.Errorf("keep the data folder: %w", err)
		}
	}
	if err := giveToServer(s.dir); err != nil {
		return fmt.Errorf("give the data folder to the server's user: %w", err)
	}
	// A socket's path is short by law (103 bytes on darwin).
	s.socket = s.dir
	if len(s.socket) > 80 {
		dir, err := os.MkdirTemp("/tmp", "godwit-pg-socket-")
		if err != nil {
			return fmt.Errorf("make a folder for the socket: %w", err)
		}
		s.socket = dir
		if err := giveToServer(dir); err != nil {
			return fmt.Errorf("give the socket's folder to the server's user: %w", err)
		}
	}
	return nil
}

// temporaryFolder makes a folder of mode 0700 where the server's user can reach it.
func temporaryFolder() (string, error) {
	parent := os.TempDir()
	if passable(parent) != nil {
		parent = "/var/tmp"
	}
	dir, err := os.MkdirTemp(parent, "godwit-pg-")
	if err != nil {
		return "", fmt.Errorf("make a temporary data folder: %w", err)
	}
	return dir, nil
}

// passable reports a parent folder that the server's user cannot enter.
func passable(dir string) error {
	if serverUID() < 0 {
		return nil
	}
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		st, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("look at folder %s: %w", at, err)
		}
		if at != filepath.Clean(dir) && st.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("keep data in %s: as root the server runs as uid %d, which may not enter %s; choose a folder elsewhere, for example in /var/tmp", dir, serverUID(), at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func (s *Server) start(ctx context.Context, cache string, o Options) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port = port
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(port), "unix_socket_directories": s.socket,
		"unix_socket_permissions": "0700", "max_connections": "200", "timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C",
		"password_encryption": "scram-sha-256", "max_wal_size": "4GB", "log_checkpoints": "off", "jit": "off",
		"shared_buffers": "128MB", "maintenance_work_mem": "128MB",
	}
	if !o.Durable {
		for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
			settings[name] = "off"
		}
	}
	for name, value := range o.Settings {
		settings[name] = value
	}
	folder := "keep"
	if s.temporary {
		folder = s.dir
	}
	args := []string{"guard", folder, filepath.Join(cache, "native", "bin", "postgres"), "-D", s.data}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	logFile := filepath.Join(s.dir, "log")
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close()
	before, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("find the end of the server's log: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the guard's pipe: %w", err)
	}
	defer r.Close()
	c := exec.Command(s.attendant, args...)
	asServer(c)
	c.Env, c.Dir, c.Stdin, c.Stdout, c.Stderr = serverEnv(), "/", r, log, log
	if err := c.Start(); err != nil {
		w.Close()
		return fmt.Errorf("start the server's guard: %w", err)
	}
	s.guard, s.pipe, s.ended = c, w, make(chan struct{})
	go func(ended chan struct{}) {
		c.Wait() // what it says is in the log
		close(ended)
	}(s.ended)
	if err := s.wait(ctx); err != nil {
		w.Close()
		<-s.ended
		said, _ := os.ReadFile(logFile) // the guard removed it, or it says why
		if int64(len(said)) > before {
			said = said[before:]
		}
		if b := bytes.TrimSpace(said); len(b) > 0 {
			err = fmt.Errorf("%w: %s", err, tail(b))
		}
		return err
	}
	return nil
}

// wait returns when the server's own status line says that it is ready.
func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		// https://www.postgresql.org/docs/17/storage-file-layout.html: the eighth line is pg_ctl's.
		b, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
		if lines := strings.Split(string(b), "\n"); err == nil && len(lines) > 7 && lines[3] == strconv.Itoa(s.port) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("start PostgreSQL: it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("start PostgreSQL: it is not ready: %w", ctx.Err())
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// Close ends the server, in order if its data are kept, and waits for its end.
// Open connections are cut. It may be repeated.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		err = s.pipe.Close()
		<-s.ended
		s.remove()
	})
	return err
}

func (s *Server) remove() {
	if s.temporary && s.dir != "" {
		os.RemoveAll(s.dir) // best effort: the guard has done it unless it never ran
	}
	if s.socket != "" && s.socket != s.dir {
		os.RemoveAll(s.socket)
	}
}

// Addr returns the loopback address, host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// DSN returns the connection string for a user with a password.
func (s *Server) DSN(user, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// AdminDSN returns the connection string of rdsadmin, the superuser that no
// client of Aurora ever is: for tests to look and for the local AWS to set up.
func (s *Server) AdminDSN(database string) string {
	q := url.Values{"host": {s.socket}, "port": {strconv.Itoa(s.port)}, "user": {"rdsadmin"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// Import is what aws_s3 needs: where S3 is and who the cluster is there.
type Import struct {
	Endpoint string // of S3, path style: http://127.0.0.1:4566
	Region   string // of the cluster; imports must name it
	// The credentials of the role attached to the cluster for s3Import.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Database limits the rest to one database, so that tests that share a
	// server need not share a bucket; "" is for all that have none of their own.
	Database string
}

// SetImport attaches the role that aws_s3.table_import_from_s3 fetches as; a
// zero Import detaches it. It takes effect for the next import.
func (s *Server) SetImport(i Import) error {
	dir := filepath.Join(s.data, "aws_s3")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the import role: %w", err)
	}
	b, err := json.Marshal(struct {
		Import
		Attendant string
	}{i, "'" + strings.ReplaceAll(s.attendant, "'", `'\''`) + "'"}) // as the shell that COPY starts reads it
	if err != nil {
		return fmt.Errorf("write the import role: %w", err)
	}
	// Renamed into place: a concurrent import reads the old file or the new.
	part := filepath.Join(dir, "import.json.part-"+randomText())
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return fmt.Errorf("write the import role: %w", err)
	}
	if err := giveToServer(dir); err != nil {
		return fmt.Errorf("give the import role to the server's user: %w", err)
	}
	name := "import.json"
	if i.Database != "" {
		name = fmt.Sprintf("import-%x.json", i.Database)
	}
	if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("keep the import role: %w", err)
	}
	return nil
}
