package s3

import (
	"fmt"
	"strings"

	"godwit/internal/local/template"
)

// bucketProperties are the properties of AWS::S3::Bucket that local knows. Those
// that are true change nothing that a request could see here: versions are kept
// for nobody, lifecycle rules take days, and log delivery is a service's own.
var bucketProperties = map[string]bool{
	"BucketName": true, "Tags": true, "PublicAccessBlockConfiguration": true, "OwnershipControls": true, "LifecycleConfiguration": true,
	"VersioningConfiguration": true, "LoggingConfiguration": true, "BucketEncryption": false,
}

// BucketOf reads a bucket of a stack. A property that local does not know is an
// error by name.
func BucketOf(r *template.Resource) (Bucket, error) {
	for name := range r.Properties {
		if _, known := bucketProperties[name]; !known {
			return Bucket{}, fmt.Errorf("bucket %s: property %s is not known to local", r.LogicalID, name)
		}
	}
	var p struct {
		BucketEncryption struct {
			ServerSideEncryptionConfiguration []struct {
				BucketKeyEnabled              bool
				ServerSideEncryptionByDefault struct{ SSEAlgorithm, KMSMasterKeyID string }
			}
		}
	}
	if err := r.Decode(&p); err != nil {
		return Bucket{}, err
	}
	b := Bucket{Name: r.ID, Region: r.Stack.Region}
	for _, rule := range p.BucketEncryption.ServerSideEncryptionConfiguration {
		by := rule.ServerSideEncryptionByDefault
		switch by.SSEAlgorithm {
		case "AES256":
		case "aws:kms":
			if !strings.HasPrefix(by.KMSMasterKeyID, "arn:") || !strings.Contains(by.KMSMasterKeyID, ":key/") {
				return Bucket{}, fmt.Errorf("bucket %s: its key %q is no key's ARN, which local needs", r.LogicalID, by.KMSMasterKeyID)
			}
			b.KMSKey, b.BucketKey = by.KMSMasterKeyID, rule.BucketKeyEnabled
		default:
			return Bucket{}, fmt.Errorf("bucket %s: encryption %s is not known to local", r.LogicalID, by.SSEAlgorithm)
		}
	}
	return b, nil
}
