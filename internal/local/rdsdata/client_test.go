package rdsdata_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"
	"github.com/aws/smithy-go"

	"godwit/internal/local/rdsdata"
	"godwit/internal/testdb"
)

// An api is the real SDK client before the local Data API.
type api struct {
	*testdb.DataAPI
	t      *testing.T
	client *awsrds.Client
}

func newAPI(t *testing.T, cfg rdsdata.Config) (*testdb.DB, *api) {
	t.Helper()
	db := testdb.New(t)
	a := &api{DataAPI: db.DataAPIWith(t, cfg), t: t}
	a.client = awsrds.New(awsrds.Options{
		Region: testdb.Region, BaseEndpoint: &a.URL, Retryer: aws.NopRetryer{}, HTTPClient: &http.Client{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
	return db, a
}

// input is a statement by the master user.
func (a *api) input(sql string, params ...types.SqlParameter) *awsrds.ExecuteStatementInput {
	return &awsrds.ExecuteStatementInput{ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, Database: &a.Database, Sql: &sql, Parameters: params}
}

func (a *api) exec(sql string, params ...types.SqlParameter) (*awsrds.ExecuteStatementOutput, error) {
	return a.client.ExecuteStatement(context.Background(), a.input(sql, params...))
}

// must executes statements that the test needs.
func (a *api) must(statements ...string) {
	a.t.Helper()
	for _, sql := range statements {
		if _, err := a.exec(sql); err != nil {
			a.t.Fatalf("%.80s: %v", sql, err)
		}
	}
}

// long returns the only value of a result.
func (a *api) long(sql string) int64 {
	a.t.Helper()
	out, err := a.exec(sql)
	if err != nil {
		a.t.Fatalf("%.80s: %v", sql, err)
	}
	return out.Records[0][0].(*types.FieldMemberLongValue).Value
}

func (a *api) begin() string {
	a.t.Helper()
	out, err := a.client.BeginTransaction(context.Background(), &awsrds.BeginTransactionInput{ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, Database: &a.Database})
	if err != nil {
		a.t.Fatal(err)
	}
	return *out.TransactionId
}

// in executes a statement in a transaction.
func (a *api) in(tx, sql string, params ...types.SqlParameter) (*awsrds.ExecuteStatementOutput, error) {
	i := a.input(sql, params...)
	i.TransactionId, i.Database = &tx, nil
	return a.client.ExecuteStatement(context.Background(), i)
}

func (a *api) commit(tx string) error {
	_, err := a.client.CommitTransaction(context.Background(), &awsrds.CommitTransactionInput{ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, TransactionId: &tx})
	return err
}

func (a *api) rollback(tx string) error {
	_, err := a.client.RollbackTransaction(context.Background(), &awsrds.RollbackTransactionInput{ResourceArn: &a.ClusterARN, SecretArn: &a.AdminSecret, TransactionId: &tx})
	return err
}

// code is the service's name for an error, "" for none.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func param(name string, v types.Field) types.SqlParameter {
	return types.SqlParameter{Name: &name, Value: v}
}

func hinted(name, value string, h types.TypeHint) types.SqlParameter {
	return types.SqlParameter{Name: &name, Value: &types.FieldMemberStringValue{Value: value}, TypeHint: h}
}

func text(s string) types.Field { return &types.FieldMemberStringValue{Value: s} }
