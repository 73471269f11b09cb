package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsrds"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// A cluster must have subnets in two zones; one instance runs in one of them.
	zones = 2
	// 5432 is what scanners try first. Nothing connects to the port anyway: the
	// security group admits nobody, and the Data API does not use the network.
	databasePort = 5433
	backupDays   = 14
	// A cluster of an environment that may sleep does so after this idle time.
	pauseMinutes = 10
)

// The roles in the database. The loader's is made by target-prepare.
const (
	adminUser  = "godwit_admin"
	loaderUser = "godwit_loader"
)

// A TargetStack is the database that loads go to, ours or imported, and what
// opens it: the secrets and the role that the cluster reads S3 with.
type TargetStack struct {
	awscdk.Stack
	ClusterARN   string
	ClusterName  string
	Database     string
	AdminSecret  Secret
	LoaderSecret Secret
	ImportRole   string // ARN
}

// A Secret is a secret's ARN with the key that decrypts it; "" is the account's
// own key for Secrets Manager, which needs no grant.
type Secret struct{ ARN, KeyARN string }

// NewTargetStack makes the target of an environment.
func NewTargetStack(app awscdk.App, id string, e Environment, data *DataStack) *TargetStack {
	s := &TargetStack{Stack: newStack(app, id, e, "godwit: the database that loads go to"), Database: e.Database()}

	key := awskms.NewKey(s.Stack, jsii.String("SecretsKey"), &awskms.KeyProps{
		Description:       jsii.String("godwit " + e.Name + ": database secrets"),
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     removalPolicy(e),
	})
	s.LoaderSecret = Secret{ARN: *s.secret("LoaderSecret", loaderUser, key, e).SecretArn(), KeyARN: *key.KeyArn()}

	if c := e.Cluster.Imported; c != nil {
		s.ClusterARN = c.ARN
		s.AdminSecret = Secret{ARN: c.AdminSecretARN, KeyARN: c.AdminKeyARN}
		s.ImportRole = c.ImportRoleARN
		s.ClusterName = clusterName(c.ARN)
		if s.ImportRole == "" {
			s.ImportRole = *s.importRole(data).RoleArn()
			output(s.Stack, "AttachImportRole", fmt.Sprintf(
				"aws rds add-role-to-db-cluster --region %s --db-cluster-identifier %s --feature-name s3Import --role-arn %s",
				e.Region, s.ClusterName, s.ImportRole), "Run once: a stack cannot attach a role to a cluster that it did not make")
		}
		output(s.Stack, "EnableDataAPI", fmt.Sprintf("aws rds enable-http-endpoint --region %s --resource-arn %s", e.Region, c.ARN),
			"Run once unless the Data API is on already")
	} else {
		role := s.importRole(data)
		s.ImportRole = *role.RoleArn()
		s.newCluster(e, data, key, role)
	}
	output(s.Stack, "ClusterArn", s.ClusterARN, "The Aurora PostgreSQL cluster that loads go to")
	output(s.Stack, "Database", s.Database, "The database in it")
	output(s.Stack, "LoaderSecretArn", s.LoaderSecret.ARN, "The role that owns what is loaded; make unload runs as it")
	return s
}

// secret makes the secret of a role in the database, with a password of its own.
func (s *TargetStack) secret(id, user string, key awskms.IKey, e Environment) awssecretsmanager.Secret {
	secret := awssecretsmanager.NewSecret(s.Stack, jsii.String(id), &awssecretsmanager.SecretProps{
		Description: jsii.String("godwit " + e.Name + ": the database role " + user),
		// By its ARN: for a key of its own CDK would add action patterns to the
		// key's policy, which the account's statement there makes needless.
		EncryptionKey: awskms.Key_FromKeyArn(s.Stack, jsii.String(id+"Key"), key.KeyArn()),
		RemovalPolicy: removalPolicy(e),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			SecretStringTemplate: jsii.String(`{"username":"` + user + `"}`),
			GenerateStringKey:    jsii.String("password"),
			PasswordLength:       jsii.Number(40),
			ExcludePunctuation:   jsii.Bool(true),
		},
	})
	suppress(secret, "AwsSolutions-SMG4", "rotation would need a function inside the network, which has no way out to Secrets Manager; "+
		"the secret never leaves the Data API, and a new value is taken over by the next run of target-prepare")
	return secret
}

// importRole makes the role that the cluster reads the parts with. AWS asks for
// GetObject and ListBucket (Aurora User Guide, S3 import).
func (s *TargetStack) importRole(data *DataStack) awsiam.Role {
	role := awsiam.NewRole(s.Stack, jsii.String("ImportRole"), &awsiam.RoleProps{
		Description: jsii.String("The cluster reads parts of loads with it (feature s3Import)"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("rds.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.Account()}},
		}),
	})
	allow(role, []string{"s3:GetObject"}, *data.Work.ArnForObjects(jsii.String(partsPrefix + "*")))
	allowIf(role, map[string]any{"StringLike": map[string]any{"s3:prefix": partsPrefix + "*"}}, []string{"s3:ListBucket"}, *data.Work.BucketArn())
	allow(role, []string{"kms:Decrypt"}, *data.Key.KeyArn())
	suppress(role, "AwsSolutions-IAM5", "the names of parts hold the load's id; only "+partsPrefix+" is readable", "/^Resource::.*/"+partsPrefix+"\\*$/")
	return role
}

// newCluster makes an Aurora PostgreSQL Serverless v2 cluster in a network
// without a way in or out but to S3.
func (s *TargetStack) newCluster(e Environment, data *DataStack, key awskms.IKey, importRole awsiam.IRole) {
	vpc := s.network(data)
	group := awsec2.NewSecurityGroup(s.Stack, jsii.String("ClusterGroup"), &awsec2.SecurityGroupProps{
		Vpc:              vpc,
		Description:      jsii.String("The cluster: nothing in, HTTPS out (to the S3 endpoint, the only route)"),
		AllowAllOutbound: jsii.Bool(false),
	})
	group.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(443)), jsii.String("S3 through the gateway endpoint"), nil)

	secret := s.secret("AdminSecret", adminUser, key, e)
	n := e.Cluster.New
	props := &awsrds.DatabaseClusterProps{
		Engine: awsrds.DatabaseClusterEngine_AuroraPostgres(&awsrds.AuroraPostgresClusterEngineProps{
			Version: awsrds.AuroraPostgresEngineVersion_VER_17_9(),
		}),
		// FromPassword and not FromSecret: an attachment would only add the host
		// and port, which the Data API does not use.
		Credentials:             awsrds.Credentials_FromPassword(jsii.String(adminUser), secret.SecretValueFromJson(jsii.String("password"))),
		DefaultDatabaseName:     jsii.String(n.Database),
		Port:                    jsii.Number(databasePort),
		EnableDataApi:           jsii.Bool(true),
		IamAuthentication:       jsii.Bool(true),
		ServerlessV2MinCapacity: jsii.Number(n.MinACU),
		ServerlessV2MaxCapacity: jsii.Number(n.MaxACU),
		Writer: awsrds.ClusterInstance_ServerlessV2(jsii.String("Writer"), &awsrds.ServerlessV2ClusterInstanceProps{
			PubliclyAccessible:      jsii.Bool(false),
			AutoMinorVersionUpgrade: jsii.Bool(true),
		}),
		Vpc:                  vpc,
		VpcSubnets:           &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED},
		SecurityGroups:       &[]awsec2.ISecurityGroup{group},
		S3ImportRole:         importRole,
		StorageEncrypted:     jsii.Bool(true),
		StorageEncryptionKey: data.Key,
		Backup:               &awsrds.BackupProps{Retention: awscdk.Duration_Days(jsii.Number(backupDays))},
		CopyTagsToSnapshot:   jsii.Bool(true),
		DeletionProtection:   jsii.Bool(e.Removal == retain),
		RemovalPolicy:        removalPolicy(e),
	}
	if n.MinACU == 0 {
		props.ServerlessV2AutoPauseDuration = awscdk.Duration_Minutes(jsii.Number(pauseMinutes))
	}
	cluster := awsrds.NewDatabaseCluster(s.Stack, jsii.String("Cluster"), props)
	// What a cluster that stays runs in stays with it: a subnet with its network
	// interfaces cannot be deleted, and the stack's deletion would end halfway.
	for _, c := range []constructs.IConstruct{vpc, group} {
		awscdk.RemovalPolicies_Of(c).Apply(removalPolicy(e), &awscdk.RemovalPolicyProps{ApplyToResourceTypes: jsii.Strings(
			"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::RouteTable", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCEndpoint", "AWS::EC2::SecurityGroup",
		)})
	}
	if e.Removal == destroy {
		suppress(cluster, "AwsSolutions-RDS10", "this environment's removal is destroy: its cluster is meant to go with the stack")
	}
	s.ClusterARN, s.ClusterName = *cluster.ClusterArn(), *cluster.ClusterIdentifier()
	s.AdminSecret = Secret{ARN: *secret.SecretArn(), KeyARN: *key.KeyArn()}
}

// network makes a VPC of isolated subnets, whose only route leads to S3.
func (s *TargetStack) network(data *DataStack) awsec2.Vpc {
	// Zones by position, which CloudFormation resolves.
	names := make([]*string, zones)
	for i := range names {
		names[i] = awscdk.Fn_Select(jsii.Number(i), awscdk.Fn_GetAzs(jsii.String("")))
	}
	logs := awslogs.NewLogGroup(s.Stack, jsii.String("FlowLog"), &awslogs.LogGroupProps{
		EncryptionKey: data.Operations,
		Retention:     logRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	return awsec2.NewVpc(s.Stack, jsii.String("Network"), &awsec2.VpcProps{
		AvailabilityZones: &names,
		NatGateways:       jsii.Number(0),
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{{
			Name:       jsii.String("Isolated"),
			SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED,
			CidrMask:   jsii.Number(24),
		}},
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"S3": {Service: awsec2.GatewayVpcEndpointAwsService_S3()},
		},
		FlowLogs: &map[string]*awsec2.FlowLogOptions{
			"Rejected": {
				Destination: awsec2.FlowLogDestination_ToCloudWatchLogs(logs, nil),
				TrafficType: awsec2.FlowLogTrafficType_REJECT,
			},
		},
		// Emptying the default group takes a custom resource with a function of
		// its own; nothing is ever put into that group.
		RestrictDefaultSecurityGroup: jsii.Bool(false),
	})
}

// clusterName is the identifier in a cluster's ARN.
func clusterName(arn string) string {
	return arn[strings.LastIndexByte(arn, ':')+1:]
}
