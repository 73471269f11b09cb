package testdb_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rdsdata"

	"godwit/internal/testdb"
)

func BenchmarkNew(b *testing.B) {
	testdb.New(b) // the server starts once
	for b.Loop() {
		testdb.New(b)
	}
}

func BenchmarkDataAPICall(b *testing.B) {
	api := testdb.New(b).DataAPI(b)
	client := awsrds.New(awsrds.Options{
		Region: testdb.Region, BaseEndpoint: &api.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
	in := &awsrds.ExecuteStatementInput{ResourceArn: &api.ClusterARN, SecretArn: &api.LoaderSecret, Database: &api.Database, Sql: aws.String("SELECT 1")}
	for b.Loop() {
		if _, err := client.ExecuteStatement(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
