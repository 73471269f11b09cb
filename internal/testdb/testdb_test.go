package testdb_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"

	"godwit/internal/testdb"
)

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			admin := testdb.Connect(t, db.AdminDSN)
			if _, err := admin.Exec(context.Background(), `CREATE TABLE t (a int)`); err != nil {
				t.Fatal(err)
			}
			loader := testdb.Connect(t, db.LoaderDSN)
			if _, err := loader.Exec(context.Background(), `SELECT * FROM t`); err == nil {
				t.Error("got nil, want the loader to have no right to what it was not granted")
			}
		})
	}
}

func TestDataAPIAnswersTheSDK(t *testing.T) {
	api := testdb.New(t).DataAPI(t)
	client := awsrds.New(awsrds.Options{Region: testdb.Region, BaseEndpoint: &api.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		})})
	out, err := client.ExecuteStatement(t.Context(), &awsrds.ExecuteStatementInput{
		ResourceArn: &api.ClusterARN, SecretArn: &api.LoaderSecret, Database: &api.Database,
		Sql: aws.String("SELECT :n + 1, session_user::text"), Parameters: []types.SqlParameter{{Name: aws.String("n"), Value: &types.FieldMemberLongValue{Value: 41}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Records[0][0].(*types.FieldMemberLongValue).Value; got != 42 {
		t.Errorf("got %d, want 42", got)
	}
}
