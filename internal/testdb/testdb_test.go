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
	client := awsrds.New(awsrds.Options{
		Region: testdb.Region, BaseEndpoint: &api.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
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

// Databases of one server have buckets of their own.
func TestBucketsAreImportedFrom(t *testing.T) {
	for _, want := range []string{"one", "two"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			bucket := db.Bucket(t)
			bucket.Put("parts/a", []byte(want+"\n"), "")
			c := testdb.Connect(t, db.AdminDSN)
			if _, err := c.Exec(context.Background(), `CREATE EXTENSION aws_s3 CASCADE; CREATE TABLE t (a text)`); err != nil {
				t.Fatal(err)
			}
			var said, got string
			if err := c.QueryRow(context.Background(), `SELECT aws_s3.table_import_from_s3('t', '', '', $1, 'parts/a', $2)`, bucket.Name, testdb.Region).Scan(&said); err != nil {
				t.Fatal(err)
			}
			if err := c.QueryRow(context.Background(), `SELECT a FROM t`).Scan(&got); err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}
