package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"godwit/internal/local/gateway"
)

const role = "arn:aws:iam::111122223333:role/loader"

// echo is a service with one action; it counts its effects.
type echo struct {
	action  string
	effects atomic.Int32
	caller  atomic.Value
}

func (e *echo) Describe(r *http.Request, body []byte) ([]gateway.Call, error) {
	switch e.action {
	case "":
		return nil, nil
	case "unknown operation":
		return nil, errors.New("operation Unknown is not known to local")
	}
	return []gateway.Call{{Action: e.action, Resources: []string{"arn:aws:x:::thing"}}}, nil
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.effects.Add(1)
	e.caller.Store(gateway.CallerRole(r.Context()))
	if strings.Contains(r.Header.Get("Authorization"), "/s3/") {
		return
	}
	io.WriteString(w, "{}")
}

// only allows what it lists.
type only map[string]bool

func (o only) Authorize(role, action, resource string, condition map[string]string) error {
	if strings.HasPrefix(action, "unknown:") {
		return errors.New("action " + action + " is not known")
	}
	if o[action] {
		return nil
	}
	return &gateway.AccessDenied{Role: role, Action: action, Resource: resource, Why: "no statement allows it"}
}

func start(t *testing.T, c gateway.Config, services map[string]*echo) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	for name, s := range services {
		g.Register(name, s)
	}
	return g
}

func settings(g *gateway.Gateway, c gateway.Credentials) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(g.URL()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	}
}

func TestSignedCallsOfEveryProtocolReachTheirService(t *testing.T) {
	services := map[string]*echo{"s3": {action: "s3:GetObject"}, "rds-data": {action: "rds-data:ExecuteStatement"}, "secretsmanager": {action: "secretsmanager:GetSecretValue"}, "states": {action: "states:StartExecution"}}
	g := start(t, gateway.Config{Authorizer: only{"s3:GetObject": true, "rds-data:ExecuteStatement": true, "secretsmanager:GetSecretValue": true, "states:StartExecution": true}}, services)
	cfg, ctx := settings(g, g.Issue(role, nil)), t.Context()
	calls := map[string]func() error{
		"s3": func() error {
			_, err := s3.NewFromConfig(cfg).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("work"), Key: aws.String("a b/ü+*~(1)&x=y")})
			return err
		},
		"rds-data": func() error {
			_, err := rdsdata.NewFromConfig(cfg).ExecuteStatement(ctx, &rdsdata.ExecuteStatementInput{ResourceArn: aws.String("arn:aws:rds:x"), SecretArn: aws.String("s"), Sql: aws.String("select 1")})
			return err
		},
		"secretsmanager": func() error {
			_, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
			return err
		},
		"states": func() error {
			_, err := sfn.NewFromConfig(cfg).StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String("arn"), Input: aws.String("{}")})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := services[name].caller.Load(); got != role {
			t.Errorf("%s: got caller %v, want %s", name, got, role)
		}
	}
	if got := g.Seq(); got != len(calls) {
		t.Errorf("got %d numbered calls, want %d", got, len(calls))
	}
}

func TestAccessDeniedNamesRoleActionResourceInEveryProtocol(t *testing.T) {
	services := map[string]*echo{"s3": {action: "s3:PutObject"}, "rds-data": {action: "rds-data:ExecuteStatement"}, "states": {action: "states:StartExecution"}, "rds": {action: "rds:DescribeDBClusters"}}
	g := start(t, gateway.Config{Authorizer: only{}}, services)
	cfg, ctx := settings(g, g.Issue(role, nil)), t.Context()
	_, err1 := s3.NewFromConfig(cfg).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("work"), Key: aws.String("k"), Body: strings.NewReader("x")})
	_, err2 := rdsdata.NewFromConfig(cfg).BeginTransaction(ctx, &rdsdata.BeginTransactionInput{ResourceArn: aws.String("arn:aws:rds:x"), SecretArn: aws.String("s")})
	_, err3 := sfn.NewFromConfig(cfg).StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String("arn")})
	_, err4 := rds.NewFromConfig(cfg).DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{})
	for code, err := range map[string]error{"AccessDenied ": err4, "AccessDenied": err1, "AccessDeniedException": err2, "AccessDeniedException ": err3} {
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != strings.TrimSpace(code) {
			t.Errorf("got %v, want %s", err, code)
			continue
		}
		for _, part := range []string{role, "arn:aws:x:::thing", ":"} {
			if !strings.Contains(api.ErrorMessage(), part) {
				t.Errorf("message %q lacks %q", api.ErrorMessage(), part)
			}
		}
	}
	for name, s := range services {
		if s.effects.Load() != 0 {
			t.Errorf("%s: a refused call had an effect", name)
		}
	}
	for _, e := range g.Calls() {
		if e.Allowed {
			t.Errorf("the log says that %s was allowed", e.Action)
		}
	}
}

func TestForgedRequestsAreRefused(t *testing.T) {
	s := &echo{action: "s3:GetObject"}
	g := start(t, gateway.Config{Authorizer: only{"s3:GetObject": true}}, map[string]*echo{"s3": s})
	c := g.Issue(role, nil)
	tests := []struct {
		name string
		c    gateway.Credentials
		want string
	}{
		{"other secret", gateway.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: "guess", SessionToken: c.SessionToken}, "SignatureDoesNotMatch"},
		{"other token", gateway.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: "guess"}, "InvalidAccessKeyId"},
		{"unknown key", gateway.Credentials{AccessKeyID: "ASIAGUESS", SecretAccessKey: "guess"}, "InvalidAccessKeyId"},
	}
	for _, test := range tests {
		_, err := s3.NewFromConfig(settings(g, test.c)).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("work"), Key: aws.String("k")})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != test.want {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	resp, err := http.Get(g.URL() + "/work/k")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: got %d, want 403", resp.StatusCode)
	}
	if s.effects.Load() != 0 {
		t.Error("a forged request reached the service")
	}
}

func TestPresignedRequestIsTheSigners(t *testing.T) {
	s := &echo{action: "s3:GetObject"}
	g := start(t, gateway.Config{Authorizer: only{"s3:GetObject": true}}, map[string]*echo{"s3": s})
	client := s3.NewPresignClient(s3.NewFromConfig(settings(g, g.Issue(role, nil))))
	signed, err := client.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("work"), Key: aws.String("a/b c")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]int{signed.URL: 200, strings.Replace(signed.URL, "/work/", "/other/", 1): 403} {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("got %d, want %d for %s", resp.StatusCode, want, url)
		}
	}
	if got := s.caller.Load(); got != role {
		t.Errorf("got caller %v, want %s", got, role)
	}
}

func TestFaultsHappenBeforeOrAfterTheEffect(t *testing.T) {
	tests := []struct {
		fault           gateway.Fault
		effects, killed int32
		throttled       bool
	}{
		{gateway.KillBefore, 0, 1, false},
		{gateway.KillAfter, 1, 1, false},
		{gateway.Lose, 1, 0, false},
		{gateway.Throttle, 0, 0, true},
		{gateway.None, 1, 0, false},
	}
	for _, test := range tests {
		s := &echo{action: "states:StartExecution"}
		g := start(t, gateway.Config{Authorizer: only{"states:StartExecution": true}, Fault: func(c gateway.Call) gateway.Fault {
			if c.Seq == 2 {
				return test.fault
			}
			return gateway.None
		}}, map[string]*echo{"states": s})
		var killed atomic.Int32
		client := sfn.NewFromConfig(settings(g, g.Issue(role, func() { killed.Add(1) })))
		call := func() error {
			_, err := client.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: aws.String("arn")})
			return err
		}
		if err := call(); err != nil {
			t.Fatalf("fault %d: call 1: %v", test.fault, err)
		}
		err := call()
		if (err == nil) != (test.fault == gateway.None) {
			t.Errorf("fault %d: got error %v", test.fault, err)
		}
		var api smithy.APIError
		if test.throttled && (!errors.As(err, &api) || api.ErrorCode() != "ThrottlingException") {
			t.Errorf("fault %d: got %v, want ThrottlingException", test.fault, err)
		}
		if got := s.effects.Load() - 1; got != test.effects || killed.Load() != test.killed {
			t.Errorf("fault %d: got %d effects and %d kills, want %d and %d", test.fault, got, killed.Load(), test.effects, test.killed)
		}
		// What a killed process still sends is not served.
		if err := call(); (err != nil) != (test.killed > 0) {
			t.Errorf("fault %d: third call: %v", test.fault, err)
		}
	}
}

func TestWhatLocalDoesNotKnowStopsTheRun(t *testing.T) {
	for name, service := range map[string]*echo{"action": {action: "unknown:Do"}, "operation": {action: "unknown operation"}, "no action": {}, "service": nil} {
		services := map[string]*echo{}
		if service != nil {
			services["states"] = service
		}
		var halted error
		g := start(t, gateway.Config{Authorizer: only{}, Halt: func(err error) { halted = err }}, services)
		_, err := sfn.NewFromConfig(settings(g, g.Issue(role, nil))).StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String("arn")})
		if err == nil || halted == nil || g.Err() == nil || !strings.Contains(halted.Error(), role) {
			t.Errorf("%s: got error %v, halt %v", name, err, halted)
		}
	}
}

func TestRootIsNeitherJudgedNorNumbered(t *testing.T) {
	s := &echo{action: "states:StartExecution"}
	g := start(t, gateway.Config{Authorizer: only{}, Fault: func(gateway.Call) gateway.Fault { return gateway.Throttle }}, map[string]*echo{"states": s})
	if _, err := sfn.NewFromConfig(settings(g, g.Root())).StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String("arn")}); err != nil {
		t.Error(err)
	}
	if g.Seq() != 0 {
		t.Errorf("got %d numbered calls, want 0", g.Seq())
	}
}

func TestClientsOwnRepeatIsTold(t *testing.T) {
	s := &echo{action: "states:StartExecution"}
	var mu sync.Mutex
	var repeats []bool
	g := start(t, gateway.Config{Authorizer: only{"states:StartExecution": true}, Fault: func(c gateway.Call) gateway.Fault {
		mu.Lock()
		defer mu.Unlock()
		repeats = append(repeats, c.Repeat)
		if len(repeats) == 2 {
			return gateway.Throttle
		}
		return gateway.None
	}}, map[string]*echo{"states": s})
	c := settings(g, g.Issue(role, nil))
	c.RetryMaxAttempts = 2
	for range 2 {
		if _, err := sfn.NewFromConfig(c).StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: aws.String("arn")}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []bool{false, false, true}; !slices.Equal(repeats, want) {
		t.Errorf("got repeats %v, want %v", repeats, want)
	}
}
