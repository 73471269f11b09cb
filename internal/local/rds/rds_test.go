package rds_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/control"
	"godwit/internal/local/rds"
)

const arn = "arn:aws:rds:us-east-1:111122223333:cluster:ledger"

func service(t *testing.T) (*rds.Service, *control.RDS) {
	t.Helper()
	s := &rds.Service{}
	s.Set(rds.Cluster{
		ID: "ledger", ARN: arn, Engine: "aurora-postgresql", Version: "17.9", Status: "available", DataAPI: true,
		MinACU: 2, MaxACU: 8, Roles: []rds.Role{{ARN: "arn:aws:iam::111122223333:role/import", Feature: "s3Import"}, {ARN: "arn:aws:iam::111122223333:role/export", Feature: "s3Export"}},
	})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	api := awsrds.New(awsrds.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s"}, nil
		}),
	})
	return s, &control.RDS{API: api}
}

func TestClusterIsReadByTheRealClient(t *testing.T) {
	s, c := service(t)
	want := control.Cluster{
		ID: "ledger", Region: "us-east-1", Engine: "aurora-postgresql", Version: "17.9", Status: "available", DataAPI: true, MinACU: 2,
		ImportRoles: []string{"arn:aws:iam::111122223333:role/import"},
	}
	got, err := c.Cluster(context.Background(), arn)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s.Change("ledger", func(c *rds.Cluster) { c.DataAPI, c.Status, c.Roles = false, "stopped", nil })
	want.DataAPI, want.Status, want.ImportRoles = false, "stopped", nil
	if got, err = c.Cluster(context.Background(), arn); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after a change, -want +got:\n%s", diff)
	}
}

func TestUnknownClusterIsTheServicesError(t *testing.T) {
	_, c := service(t)
	_, err := c.Cluster(context.Background(), arn+"-other")
	var a smithy.APIError
	if !errors.As(err, &a) || a.ErrorCode() != "DBClusterNotFoundFault" {
		t.Errorf("got %v, want DBClusterNotFoundFault", err)
	}
	if _, err := c.Cluster(context.Background(), "ledger"); err == nil {
		t.Error("a name is taken for an ARN")
	}
}

func TestOtherOperationsAreRefusedByName(t *testing.T) {
	s, _ := service(t)
	for body, want := range map[string]string{
		"Action=StartDBCluster&Version=2014-10-31":                                  `rds: operation "StartDBCluster" is not implemented locally`,
		"Action=DescribeDBClusters&Version=2014-10-31&Filters.Filter.1.Name=engine": `rds: parameter "Filters.Filter.1.Name" of DescribeDBClusters is not implemented locally`,
	} {
		if _, err := s.Describe(nil, []byte(body)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
	calls, err := s.Describe(nil, []byte("Action=DescribeDBClusters&Version=2014-10-31&DBClusterIdentifier="+arn))
	if err != nil || len(calls) != 1 || calls[0].Action != "rds:DescribeDBClusters" || calls[0].Resources[0] != arn {
		t.Errorf("got %v, %v", calls, err)
	}
}
