// Package control owns the calls to AWS control planes: what a cluster is, what
// a secret holds, what QLDB says of a ledger, whether a stream is read and how far,
// which snapshots there are. It begins exports and executions, turns event source
// mappings on and off, and changes nothing else.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// A Cluster is what a load needs to know of an Aurora cluster.
type Cluster struct {
	ID          string
	Region      string
	Engine      string   // aurora-postgresql
	Version     string   // of the engine: 17.9
	Status      string   // available
	DataAPI     bool     // the HTTP endpoint is on
	ImportRoles []string // ARNs of the roles attached for s3Import
	MinACU      float64  // least Serverless v2 capacity; 0 pauses, or is not Serverless
}

// RDS asks the RDS control plane.
type RDS struct{ API *rds.Client }

// Cluster describes the cluster of an ARN.
func (c *RDS) Cluster(ctx context.Context, arn string) (Cluster, error) {
	parts := strings.SplitN(arn, ":", 7)
	if len(parts) != 7 || parts[5] != "cluster" {
		return Cluster{}, fmt.Errorf("%q is not the ARN of a database cluster", arn)
	}
	out, err := c.API.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: aws.String(arn)})
	if err != nil {
		return Cluster{}, fmt.Errorf("describe cluster %s: %w", parts[6], err)
	}
	if len(out.DBClusters) != 1 {
		return Cluster{}, fmt.Errorf("describe cluster %s: %d clusters answer to it", parts[6], len(out.DBClusters))
	}
	d := out.DBClusters[0]
	cluster := Cluster{
		ID: parts[6], Region: parts[3],
		Engine: aws.ToString(d.Engine), Version: aws.ToString(d.EngineVersion), Status: aws.ToString(d.Status),
		DataAPI: aws.ToBool(d.HttpEndpointEnabled),
	}
	if s := d.ServerlessV2ScalingConfiguration; s != nil {
		cluster.MinACU = aws.ToFloat64(s.MinCapacity)
	}
	for _, r := range d.AssociatedRoles {
		if aws.ToString(r.FeatureName) == "s3Import" {
			cluster.ImportRoles = append(cluster.ImportRoles, aws.ToString(r.RoleArn))
		}
	}
	return cluster, nil
}

// Secrets reads Secrets Manager.
type Secrets struct{ API *secretsmanager.Client }

// Login returns the user name and password of a database secret. They must not
// be logged.
func (s *Secrets) Login(ctx context.Context, arn string) (user, password string, err error) {
	out, err := s.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	if err != nil {
		return "", "", fmt.Errorf("read secret %s: %w", arn, err)
	}
	var v struct{ Username, Password string }
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &v); err != nil || v.Username == "" || v.Password == "" {
		// The error of the decoder would quote the secret.
		return "", "", fmt.Errorf("secret %s is not JSON with username and password", arn)
	}
	return v.Username, v.Password, nil
}
