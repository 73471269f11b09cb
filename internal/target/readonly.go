package target

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata"
	"github.com/aws/aws-sdk-go-v2/service/rdsdata/types"
)

// ReadOnly has read run queries without parameters in one transaction that may
// write nothing; a query returns the texts of its only column. The transaction
// ends when read does, at the latest three minutes after its last query. It may be
// repeated.
func (db *DB) ReadOnly(ctx context.Context, read func(query func(ctx context.Context, sql string) ([]string, error)) error) error {
	// The first call wakes a cluster that pauses, with the patience of call.
	if err := db.Exec(ctx, "SELECT 1"); err != nil {
		return err
	}
	begun, err := db.API.BeginTransaction(ctx, &rdsdata.BeginTransactionInput{
		ResourceArn: aws.String(db.ClusterARN), SecretArn: aws.String(db.SecretARN), Database: aws.String(db.Database),
	})
	if err != nil {
		return apiError(err)
	}
	query := func(ctx context.Context, sql string) ([]string, error) {
		out, err := db.API.ExecuteStatement(ctx, &rdsdata.ExecuteStatementInput{
			ResourceArn: aws.String(db.ClusterARN), SecretArn: aws.String(db.SecretARN), Database: aws.String(db.Database),
			TransactionId: begun.TransactionId, Sql: aws.String(sql),
		})
		if err != nil {
			return nil, apiError(err)
		}
		texts := make([]string, 0, len(out.Records))
		for i, r := range out.Records {
			text, ok := single(r)
			if !ok {
				return nil, fmt.Errorf("row %d of a query is not one text", i)
			}
			texts = append(texts, text)
		}
		return texts, nil
	}
	if _, err = query(ctx, "SET TRANSACTION READ ONLY"); err == nil {
		err = read(query)
	}
	// Nothing is lost without it: the service ends what stands idle.
	if _, end := db.API.RollbackTransaction(context.WithoutCancel(ctx), &rdsdata.RollbackTransactionInput{
		ResourceArn: aws.String(db.ClusterARN), SecretArn: aws.String(db.SecretARN), TransactionId: begun.TransactionId,
	}); err == nil && end != nil {
		err = apiError(end)
	}
	return err
}

// single is the text of a record of one column; NULL is "".
func single(r []types.Field) (string, bool) {
	if len(r) != 1 {
		return "", false
	}
	switch v := r[0].(type) {
	case *types.FieldMemberStringValue:
		return v.Value, true
	case *types.FieldMemberIsNull:
		return "", true
	}
	return "", false
}
