package catalog_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/catalog"
	"godwit/internal/testdb"
)

// The Data API, with its limits on statements, rows and answers, serves Read in
// one of its transactions.
func TestReadThroughTheDataAPI(t *testing.T) {
	db := testdb.New(t)
	c := testdb.Connect(t, db.AdminDSN)
	exec(t, c, `DO $$ BEGIN FOR i IN 1..80 LOOP
		EXECUTE (SELECT format('CREATE TABLE t%s (id bigserial PRIMARY KEY, %s)', i, string_agg(format('"spalte ""%s"" %s" int', repeat('ü', 20), n), ',')) FROM generate_series(1, 100) n);
		END LOOP; END $$`)
	api := db.DataAPI(t)
	client := awsrds.New(awsrds.Options{
		Region: testdb.Region, BaseEndpoint: &api.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
	tx, err := client.BeginTransaction(t.Context(), &awsrds.BeginTransactionInput{ResourceArn: &api.ClusterARN, SecretArn: &api.LoaderSecret, Database: &api.Database})
	if err != nil {
		t.Fatal(err)
	}
	got, err := catalog.Read(t.Context(), func(ctx context.Context, sql string) (texts []string, err error) {
		out, err := client.ExecuteStatement(ctx, &awsrds.ExecuteStatementInput{ResourceArn: &api.ClusterARN, SecretArn: &api.LoaderSecret, Database: &api.Database, Sql: &sql, TransactionId: tx.TransactionId})
		if err != nil {
			return nil, err
		}
		for _, row := range out.Records {
			texts = append(texts, row[0].(*types.FieldMemberStringValue).Value)
		}
		return texts, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := parse(t, query(t, c)), parse(t, string(got))
	for _, c := range []*catalog.Catalog{a, b} { // who may not read sequences does not see where they stand
		for i := range c.Sequences {
			c.Sequences[i].Hidden = false
		}
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("want -, got +:\n%.3000s", d)
	}
	if len(got) < 1<<20 {
		t.Errorf("got %d bytes, want more than an answer holds", len(got))
	}
}
