package dsql

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"godwit/internal/local/gateway"
)

// adminRole is the role that every cluster has.
const adminRole = "admin"

// loginTimeout bounds everything until a session begins.
const loginTimeout = 30 * time.Second

// denied is the refusal of a connection; why is for the hint.
func denied(why string) *Error {
	return &Error{Code: "08006", Message: "unable to accept connection, access denied", Hint: why, fatal: true}
}

// throttled and tooMany are the refusals of connections beyond the quotas.
func throttled() *Error {
	return &Error{Code: "53400", Message: "Unable to accept connection, rate exceeded.", fatal: true}
}

func tooMany() *Error {
	return &Error{Code: "53300", Message: "Unable to accept connection, too many open connections.", fatal: true}
}

// serve takes one connection from its first byte to its last.
func (c *Cluster) serve(conn net.Conn) {
	defer conn.Close()
	// Neither a client nor a statement may keep the cluster from closing.
	defer context.AfterFunc(c.ctx, func() { conn.Close() })()
	s := &session{cluster: c, conn: conn}
	// A client that says nothing must not stay for ever.
	_ = conn.SetDeadline(time.Now().Add(loginTimeout))
	secured, err := c.secure(conn)
	if err != nil {
		return // a client that speaks another protocol, asks to cancel, or left
	}
	defer secured.Close()
	s.client = pgproto3.NewBackend(secured, secured)
	s.client.SetMaxBodyLen(c.config.Limits.MessageBytes)
	refusal, err := s.login()
	if refusal != nil {
		s.client.Send(refusal.response())
		_ = s.client.Flush() // the client may be gone
	}
	if refusal != nil || err != nil {
		return
	}
	defer c.leave(s)
	defer s.server.Close()
	defer context.AfterFunc(c.ctx, func() { s.server.Close() })()
	_ = conn.SetDeadline(time.Time{})
	s.run()
}

// secure makes the connection a TLS one, which must name its server.
func (c *Cluster) secure(conn net.Conn) (*tls.Conn, error) {
	first := pgproto3.NewBackend(conn, conn)
	message, err := first.ReceiveStartupMessage()
	if err != nil {
		return nil, err
	}
	refuse := func(why string) error {
		first.Send((&Error{Code: "08006", Message: "unable to accept connection, " + why, fatal: true}).response())
		return errors.Join(errGone, first.Flush())
	}
	switch message.(type) {
	case *pgproto3.SSLRequest:
	case *pgproto3.CancelRequest:
		return nil, errGone // has no answer; a statement ends by itself
	default:
		return nil, refuse("ssl is required")
	}
	if _, err := conn.Write([]byte{'S'}); err != nil {
		return nil, err
	}
	secured := tls.Server(conn, c.tls)
	if err := secured.Handshake(); err != nil {
		return nil, err
	}
	if secured.ConnectionState().ServerName != endpointHost {
		first = pgproto3.NewBackend(secured, secured)
		return nil, refuse("sni was not received")
	}
	return secured, nil
}

// startupParameters are those that a client may send.
var startupParameters = []string{"user", "database", "application_name", "client_encoding"}

// login takes the startup message and the token, has the caller judged, and
// opens the connection behind the session. After it the session is entered.
func (s *session) login() (*Error, error) {
	message, err := s.client.ReceiveStartupMessage()
	if err != nil {
		return nil, err
	}
	startup, ok := message.(*pgproto3.StartupMessage)
	if !ok {
		return nil, errGone
	}
	parameters := startup.Parameters
	s.user = parameters["user"]
	for name := range parameters {
		if !slices.Contains(startupParameters, name) {
			e := unsupported("setting configuration parameter %q not supported", name)
			e.fatal = true
			return e, nil
		}
	}
	if db := parameters["database"]; db != "postgres" {
		return &Error{Code: "3D000", Message: fmt.Sprintf("database %q does not exist", db), fatal: true}, nil
	}
	s.client.Send(&pgproto3.AuthenticationCleartextPassword{})
	if err := s.client.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
		return nil, err
	}
	if err := s.client.Flush(); err != nil {
		return nil, err
	}
	message, err = s.client.Receive()
	if err != nil {
		return nil, err
	}
	password, ok := message.(*pgproto3.PasswordMessage)
	if !ok {
		return nil, errGone
	}
	fault, refusal := s.admit(password.Password)
	if refusal != nil {
		return refusal, nil
	}
	if refusal := s.cluster.enter(s); refusal != nil {
		return refusal, nil
	}
	if fault == None {
		fault = s.fault(Connect, "")
	}
	switch fault {
	case Throttle:
		s.cluster.leave(s)
		return throttled(), nil
	case CutBefore, KillBefore:
		s.cluster.leave(s)
		s.die(fault)
		return nil, errGone
	case None, CutAfter, KillAfter:
	default:
		s.cluster.leave(s)
		return unknown("the fault %q at a connection", fault), nil
	}
	if err := s.open(parameters); err != nil {
		s.cluster.leave(s)
		var full *pgconn.PgError
		if errors.As(err, &full) && full.Code == "53300" {
			return tooMany(), nil // the server behind the cluster takes fewer
		}
		return &Error{Code: "08006", Message: "unable to accept connection, " + err.Error(), fatal: true}, nil
	}
	if fault == CutAfter || fault == KillAfter {
		s.cluster.leave(s)
		s.server.Close()
		s.die(fault)
		return nil, errGone
	}
	return nil, s.welcome()
}

// admit checks the token and judges its signer. A token is the URL of a
// presigned request without its scheme.
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/SECTION_authentication-token.html
func (s *session) admit(token string) (Fault, *Error) {
	c := s.cluster
	request, err := http.NewRequest(http.MethodGet, "https://"+token, nil)
	if err != nil {
		return None, denied("the token is no presigned request")
	}
	if problem := c.checkToken(request.URL); problem != "" {
		return None, denied(problem)
	}
	action := request.URL.Query().Get("Action")
	want := "DbConnect"
	if s.user == adminRole {
		want = "DbConnectAdmin"
	}
	if action != want {
		return None, denied("Wrong user to action mapping. user: " + s.user + ", action: " + action)
	}
	s.signer, err = c.config.Gateway.Verify(request)
	if err != nil {
		why := err.Error()
		if strings.Contains(why, "expired") {
			why = "Signature expired: " + why
		}
		return None, denied(why)
	}
	_, fault, err := c.config.Gateway.Admit(s.signer.Role, gateway.Call{Service: "dsql", Action: "dsql:" + action, Resources: []string{c.ARN()}, Detail: s.user})
	if err != nil {
		return None, denied(err.Error())
	}
	switch fault {
	case gateway.None:
		return None, nil
	case gateway.KillBefore:
		return KillBefore, nil
	case gateway.KillAfter:
		return KillAfter, nil
	case gateway.Lose:
		return CutAfter, nil
	case gateway.Throttle:
		return Throttle, nil
	}
	return None, denied(fmt.Sprintf("fault %d of the gateway is not known to local DSQL", fault))
}

// checkToken says what is wrong with a token that the signature does not tell.
func (c *Cluster) checkToken(u *url.URL) string {
	query := u.Query()
	scope := strings.Split(query.Get("X-Amz-Credential"), "/")
	expires, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	switch {
	case u.Host != c.Endpoint() && u.Host != endpointHost:
		return "the token is for host " + u.Host
	case u.Path != "" && u.Path != "/":
		return "the token has a path"
	case len(scope) != 5 || scope[3] != "dsql":
		return "Credential should be scoped to correct service: 'dsql'."
	case scope[2] != c.config.Region:
		return "Credential should be scoped to a valid region."
	case err != nil || expires < 1 || expires > 604_800:
		return "X-Amz-Expires must be a number of seconds of at most a week"
	}
	return ""
}

// open connects to the server behind the cluster as the session's role.
func (s *session) open(parameters map[string]string) error {
	c := s.cluster
	ctx, cancel := context.WithTimeout(c.ctx, loginTimeout)
	defer cancel()
	config, err := pgx.ParseConfig(c.config.DSN)
	if err != nil {
		return err
	}
	config.RuntimeParams = map[string]string{
		"timezone": "UTC", "default_transaction_isolation": "repeatable read", "client_encoding": "UTF8",
		"application_name": parameters["application_name"], "lock_timeout": strconv.FormatInt(c.config.Limits.LockWait.Milliseconds(), 10),
		"dsql.limits": c.limitText, "dsql.now": "-infinity", "search_path": `"$user", public`,
	}
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return err
	}
	if s.user != adminRole {
		granted, err := rolesOf(ctx, conn, s.signer.Role)
		if err != nil || !slices.Contains(granted, s.user) {
			_ = conn.Close(ctx)
			if err != nil {
				return err
			}
			return fmt.Errorf("role %q is not granted to %s", s.user, s.signer.Role)
		}
	}
	if _, err := conn.Exec(ctx, "SET SESSION AUTHORIZATION "+identifier(s.user)).ReadAll(); err != nil {
		_ = conn.Close(ctx)
		return err
	}
	h, err := conn.Hijack()
	if err != nil {
		return err
	}
	s.server, s.backend, s.parameters = h.Conn, h.Frontend, h.ParameterStatuses
	return nil
}

// rolesOf are the database roles that AWS IAM GRANT gave to an IAM role and that
// may log in.
func rolesOf(ctx context.Context, conn *pgconn.PgConn, arn string) ([]string, error) {
	r := conn.ExecParams(ctx, `SELECT g.pg_role_name FROM sys.iam_pg_role_mappings g JOIN pg_catalog.pg_roles r ON r.rolname = g.pg_role_name
		WHERE g.arn = $1 AND r.rolcanlogin`, [][]byte{[]byte(arn)}, nil, nil, nil).Read()
	var roles []string
	for _, row := range r.Rows {
		roles = append(roles, string(row[0]))
	}
	return roles, r.Err
}

// welcome tells the client that its session begins.
func (s *session) welcome() error {
	s.client.Send(&pgproto3.AuthenticationOk{})
	shown := map[string]string{}
	for name, value := range s.parameters {
		shown[name] = value
	}
	shown["server_version"], shown["session_authorization"], shown["is_superuser"] = "16.9", s.user, "off"
	for name, value := range shown {
		s.client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	secret := make([]byte, 4)
	_, _ = rand.Read(secret) // never fails
	s.client.Send(&pgproto3.BackendKeyData{ProcessID: binary.BigEndian.Uint32(secret) >> 1, SecretKey: secret})
	s.client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return s.client.Flush()
}
