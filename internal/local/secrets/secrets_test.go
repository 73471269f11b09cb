package secrets_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/gateway"
	"godwit/internal/local/secrets"
)

const (
	arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf"
	key = "arn:aws:kms:eu-west-1:123456789012:key/k"
)

func client(t *testing.T, s *secrets.Store) *secretsmanager.Client {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return secretsmanager.New(secretsmanager.Options{
		Region: "eu-west-1", BaseEndpoint: &srv.URL, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
}

func TestSDKReadsVersions(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &secrets.Store{Region: "eu-west-1", Account: "123456789012", Now: func() time.Time { return created }}
	if err := s.Create("app/db", arn, key, `{"password":"one<&>é"}`); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("app/db", "two"); err != nil {
		t.Fatal(err)
	}
	c := client(t, s)
	for _, test := range []struct{ id, stage, want string }{
		{arn, "", "two"}, {"app/db", "", "two"}, {strings.TrimSuffix(arn, "-AbCdEf"), "AWSCURRENT", "two"}, {arn, "AWSPREVIOUS", `{"password":"one<&>é"}`},
	} {
		in := &secretsmanager.GetSecretValueInput{SecretId: &test.id}
		if test.stage != "" {
			in.VersionStage = &test.stage
		}
		out, err := c.GetSecretValue(t.Context(), in)
		if err != nil || aws.ToString(out.SecretString) != test.want || aws.ToString(out.ARN) != arn || !out.CreatedDate.Equal(created) {
			t.Errorf("%s %s: got %+v, %v, want %s", test.id, test.stage, out, err, test.want)
			continue
		}
		again, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &test.id, VersionId: out.VersionId})
		if err != nil || aws.ToString(again.SecretString) != test.want {
			t.Errorf("%s by version: got %+v, %v, want %s", test.id, again, err, test.want)
		}
	}
	d, err := c.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("app/db")})
	if err != nil || aws.ToString(d.KmsKeyId) != key || len(d.VersionIdsToStages) != 2 {
		t.Errorf("got %+v, %v, want its key and two versions", d, err)
	}
}

func TestErrorsAreTheServices(t *testing.T) {
	s := &secrets.Store{Region: "eu-west-1", Account: "123456789012"}
	if err := s.Create("app/db", arn, "", "x"); err != nil {
		t.Fatal(err)
	}
	c := client(t, s)
	var missing *types.ResourceNotFoundException
	for name, in := range map[string]*secretsmanager.GetSecretValueInput{
		"no such secret":  {SecretId: aws.String("none")},
		"no such version": {SecretId: aws.String("app/db"), VersionId: aws.String("00000000-0000-0000-0000-000000000000")},
		"no such stage":   {SecretId: aws.String("app/db"), VersionStage: aws.String("AWSPENDING")},
		"no previous":     {SecretId: aws.String("app/db"), VersionStage: aws.String("AWSPREVIOUS")},
	} {
		if _, err := c.GetSecretValue(t.Context(), in); !errors.As(err, &missing) {
			t.Errorf("%s: got %v, want ResourceNotFoundException", name, err)
		}
	}
	_, err := c.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() == "" {
		t.Errorf("ListSecrets: got %v, want an error of the service", err)
	}
	for name, err := range map[string]error{
		"same name":   s.Create("app/db", arn+"x", "", "x"),
		"same ARN":    s.Create("other", arn, "", "x"),
		"no ARN":      s.Create("third", "third", "", "x"),
		"put to none": s.Put("none", "x"),
	} {
		if err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
	var notFound *secrets.NotFoundError
	if _, err := s.Value("none"); !errors.As(err, &notFound) {
		t.Errorf("got %v, want a NotFoundError", err)
	}
}

func TestDescribeNamesTheKey(t *testing.T) {
	s := &secrets.Store{Region: "eu-west-1", Account: "123456789012"}
	if err := s.Create("app/db", arn, key, "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Create("plain", arn+"2", "", "x"); err != nil {
		t.Fatal(err)
	}
	describe := func(op, id string) ([]gateway.Call, error) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("X-Amz-Target", "secretsmanager."+op)
		return s.Describe(r, []byte(`{"SecretId":"`+id+`"}`))
	}
	stage := map[string]string{"secretsmanager:VersionStage": "AWSCURRENT"}
	for _, test := range []struct {
		op, id string
		want   []gateway.Call
	}{
		{"GetSecretValue", "app/db", []gateway.Call{
			{Action: "secretsmanager:GetSecretValue", Resources: []string{arn}, Condition: stage},
			{Action: "kms:Decrypt", Resources: []string{key}, Condition: map[string]string{"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}},
		}},
		{"GetSecretValue", "plain", []gateway.Call{{Action: "secretsmanager:GetSecretValue", Resources: []string{arn + "2"}, Condition: stage}}},
		{"DescribeSecret", "app/db", []gateway.Call{{Action: "secretsmanager:DescribeSecret", Resources: []string{arn}}}},
		{"GetSecretValue", "none", []gateway.Call{{Action: "secretsmanager:GetSecretValue", Resources: []string{"arn:aws:secretsmanager:eu-west-1:123456789012:secret:none"}}}},
	} {
		got, err := describe(test.op, test.id)
		if err != nil || !cmp.Equal(got, test.want) {
			t.Errorf("%s %s: %v\n%s", test.op, test.id, err, cmp.Diff(test.want, got))
		}
	}
	if _, err := describe("PutSecretValue", "app/db"); err == nil || !strings.Contains(err.Error(), "secretsmanager:PutSecretValue") {
		t.Errorf("got %v, want an error that names the operation", err)
	}
}
