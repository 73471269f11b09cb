package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// beforeImage is the member of DMS's messages that holds a row as it was. The
// name is stream's.
const beforeImage = "before-image"

// producer makes what the source of the changes needs to write them. For QLDB the
// export stack does: a deployment that names QLDB may fail, now that it is gone.
func (s *StreamStack) producer(e Environment, data *DataStack) {
	switch s.Source {
	case sourceDSQL:
		// DescribeStreamSummary and ListShards, as the User Guide of Aurora DSQL asks for.
		role := writerRole(s.Stack, "WriterRole", "Aurora DSQL writes changes with it", "dsql.amazonaws.com", "dsql", "cluster/*/stream/*", s, data)
		// CloudFormation has no such resource.
		output(s.Stack, "CreateStream", fmt.Sprintf(
			`aws dsql create-stream --region %s --cluster-identifier <cluster> --ordering UNORDERED --format JSON --target-definition '{"kinesis":{"streamArn":"%s","roleArn":"%s"}}'`,
			e.Region, *s.Stream.StreamArn(), *role.RoleArn()), "Run once, before the tables are copied: Aurora DSQL then writes every change")
	case sourceDMS:
		role := writerRole(s.Stack, "WriterRole", "AWS DMS writes changes with it", "dms.amazonaws.com", "dms", "*", s, data)
		output(s.Stack, "WriterRoleArn", *role.RoleArn(), "ServiceAccessRoleArn of the DMS endpoint of the stream")
		if e.Stream.DMS != nil {
			s.replication(e, *e.Stream.DMS, data, role)
		}
	}
}

// writerRole makes the role that a service writes to the stream with. Nobody
// else's resource of that service can make it use the role.
func writerRole(scope awscdk.Stack, id, description, principal, service, resource string, stream *StreamStack, data *DataStack) awsiam.Role {
	role := awsiam.NewRole(scope, jsii.String(id), &awsiam.RoleProps{
		Description: jsii.String(description),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String(principal), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{
				"StringEquals": map[string]any{"aws:SourceAccount": *scope.Account()},
				"ArnLike":      map[string]any{"aws:SourceArn": fmt.Sprintf("arn:%s:%s:%s:%s:%s", *scope.Partition(), service, *scope.Region(), *scope.Account(), resource)},
			},
		}),
	})
	allow(role, []string{
		"kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:PutRecord", "kinesis:PutRecords",
	}, *stream.Stream.StreamArn())
	// The key is that of other data, too: for this stream's only.
	allowIf(role, object{"StringEquals": object{"kms:EncryptionContext:aws:kinesis:arn": *stream.Stream.StreamArn()}},
		[]string{"kms:GenerateDataKey"}, *data.Key.KeyArn())
	return role
}

// replication makes a serverless replication of changes only. What was there
// before is copied by other means: the position to start from is that copy's.
func (s *StreamStack) replication(e Environment, d DMS, data *DataStack, role awsiam.Role) {
	source := d.SourceEndpoint
	if d.Source != nil {
		source = *s.sourceEndpoint(e, *d.Source, data).Ref()
	}
	destination := awsdms.NewCfnEndpoint(s.Stack, jsii.String("DmsTarget"), &awsdms.CfnEndpointProps{
		EndpointType: jsii.String("target"),
		EngineName:   jsii.String("kinesis"),
		// What stream-apply refuses to do without. UseLargeIntegerValue, without which
		// integers of more than 16 digits come in scientific notation and may be set
		// aside, is of DMS's API alone: the resource type has no such property.
		KinesisSettings: &awsdms.CfnEndpoint_KinesisSettingsProperty{
			StreamArn:                   s.Stream.StreamArn(),
			ServiceAccessRoleArn:        role.RoleArn(),
			MessageFormat:               jsii.String("json-unformatted"),
			IncludeTransactionDetails:   jsii.Bool(true), // the position that orders changes
			IncludePartitionValue:       jsii.Bool(true),
			PartitionIncludeSchemaTable: jsii.Bool(true), // equal keys of two tables need not share a shard
			IncludeNullAndEmpty:         jsii.Bool(true), // a null is not an absent column
			IncludeTableAlterOperations: jsii.Bool(true),
			IncludeControlDetails:       jsii.Bool(true),
			NoHexPrefix:                 jsii.Bool(false),
		},
	})
	// The stream's policy is there before DMS looks at the stream.
	destination.Node().AddDependency(role)
	subnets := awsdms.NewCfnReplicationSubnetGroup(s.Stack, jsii.String("DmsSubnets"), &awsdms.CfnReplicationSubnetGroupProps{
		ReplicationSubnetGroupDescription: jsii.String("godwit " + e.Name + ": from the source to its stream"),
		SubnetIds:                         jsii.PtrSlice(d.SubnetIDs...),
	})
	replication := awsdms.NewCfnReplicationConfig(s.Stack, jsii.String("Replication"), &awsdms.CfnReplicationConfigProps{
		ReplicationConfigIdentifier: jsii.String("godwit-" + e.Name),
		ReplicationType:             jsii.String("cdc"),
		SourceEndpointArn:           jsii.String(source),
		TargetEndpointArn:           destination.Ref(),
		TableMappings:               tableMappings(d.Tables),
		ReplicationSettings:         replicationSettings(),
		ComputeConfig: &awsdms.CfnReplicationConfig_ComputeConfigProperty{
			MaxCapacityUnits:         jsii.Number(d.MaxDCU),
			MinCapacityUnits:         jsii.Number(1),
			KmsKeyId:                 data.Key.KeyArn(),
			ReplicationSubnetGroupId: subnets.Ref(),
			VpcSecurityGroupIds:      jsii.PtrSlice(d.SecurityGroupIDs...),
		},
	})
	output(s.Stack, "StartReplication", fmt.Sprintf(
		"aws dms start-replication --region %s --replication-config-arn %s --start-replication-type start-replication --cdc-start-position <LSN>",
		e.Region, *replication.Ref()), "Run once, with the LSN that the tables were copied at: that of the slot, 0/1A2B3C")
}

// sourceEndpoint makes the endpoint of a PostgreSQL source, known by its secret.
func (s *StreamStack) sourceEndpoint(e Environment, d DMSSource, data *DataStack) awsdms.CfnEndpoint {
	// DMS fetches secrets as the service of its region (User Guide, secrets).
	role := awsiam.NewRole(s.Stack, jsii.String("SecretRole"), &awsiam.RoleProps{
		Description: jsii.String("AWS DMS reads the source's secret with it"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("dms."+e.Region+".amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *s.Account()}},
		}),
	})
	allow(role, []string{"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"}, d.SecretARN)
	if d.KeyARN != "" {
		allow(role, []string{"kms:Decrypt"}, d.KeyARN)
	}
	endpoint := awsdms.NewCfnEndpoint(s.Stack, jsii.String("DmsSource"), &awsdms.CfnEndpointProps{
		EndpointType: jsii.String("source"),
		EngineName:   jsii.String("postgres"),
		DatabaseName: jsii.String(d.Database),
		SslMode:      jsii.String("require"),
		KmsKeyId:     data.Key.KeyArn(),
		PostgreSqlSettings: &awsdms.CfnEndpoint_PostgreSqlSettingsProperty{
			SecretsManagerSecretId:      jsii.String(d.SecretARN),
			SecretsManagerAccessRoleArn: role.RoleArn(),
			// Ours, so that no change between the copy and the start is missed.
			SlotName: jsii.String(d.Slot),
			// pglogical ignores REPLICA IDENTITY FULL.
			PluginName: jsii.String("test_decoding"),
			// A source that rests would keep its log for the slot without end.
			HeartbeatEnable: jsii.Bool(true),
		},
	})
	endpoint.Node().AddDependency(role)
	return endpoint
}

// tableMappings are the rules of a replication: what is included, and that the
// partition key is the row's key, which spreads a table over the shards and keeps
// the changes of a row together (DMS User Guide, Kinesis as a target).
func tableMappings(tables []DMSTable) object {
	var rules []object
	rule := func(kind, action, name string, t DMSTable, more object) {
		id := number(len(rules) + 1)
		rules = append(rules, with(object{
			"rule-type": kind, "rule-id": id, "rule-name": name + id, "rule-action": action,
			"object-locator": object{"schema-name": t.Schema, "table-name": t.Table},
		}, more))
	}
	for _, t := range tables {
		rule("selection", "include", "include", t, nil)
		rule("object-mapping", "map-record-to-record", "key", t, object{"mapping-parameters": object{"partition-key-type": "primary-key"}})
	}
	return object{"rules": rules}
}

// replicationSettings are the settings of the task that differ from DMS's own:
// whatever it cannot carry whole stops it, where it would log a line and go on.
func replicationSettings() object {
	return object{
		"BeforeImageSettings": object{"EnableBeforeImage": true, "FieldName": beforeImage, "ColumnFilter": "all"},
		"TargetMetadata": object{
			// Kinesis takes large objects in a row only, up to a size: 1 MB.
			"SupportLobs": true, "FullLobMode": false, "LimitedSizeLobMode": true, "LobMaxSize": 1024,
			"BatchApplyEnabled": false, // it can lose changes with this target
		},
		"ErrorBehavior": object{
			"DataErrorPolicy": "STOP_TASK", "DataTruncationErrorPolicy": "STOP_TASK", "TableErrorPolicy": "STOP_TASK",
			"RecoverableErrorCount": -1, // of the network and the like: tried again for ever
		},
		"Logging": object{"EnableLogging": true},
	}
}
