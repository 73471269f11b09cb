package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An AllowedArchive is a place that the environment lets LedgerLoad read, and
// LedgerExport fill.
type AllowedArchive struct {
	Bucket, Prefix string
	KMSKeyARN      string // that new objects are encrypted with; "" is S3's own key
}

// A Cluster is what a load needs to know of its target cluster.
type Cluster struct {
	ID          string
	Region      string
	Engine      string
	Version     string
	Status      string
	DataAPI     bool
	ImportRoles []string
	MinACU      float64
}

// Preflight finds everything that would stop a load, before anything is written.
type Preflight struct {
	Objects Objects
	// Cluster describes a cluster; it changes nothing.
	Cluster    func(ctx context.Context, arn string) (Cluster, error)
	Archives   []AllowedArchive
	WorkBucket string
	ClusterARN string
	ImportRole string
	Region     string // of the functions and the work bucket
}

// PreflightOut is what Preflight found missing; Prepare adds what only the
// database knows, and stops the load when anything is.
type PreflightOut struct {
	Missing  []string
	Warnings []string
}

// Handle checks the input, the archive and the cluster. It names everything that
// is missing at once, each with what mends it. It may be repeated.
func (p *Preflight) Handle(ctx context.Context, event json.RawMessage) (PreflightOut, error) {
	in, err := ParseInput(event)
	if err != nil {
		return PreflightOut{}, &Stop{err}
	}
	var out PreflightOut
	if err := p.archive(ctx, in, &out); err != nil {
		return out, Classify(err)
	}
	if err := p.cluster(ctx, &out); err != nil {
		return out, Classify(err)
	}
	return out, nil
}

// AllowArchive refuses a bucket and prefix that the environment does not list:
// what a role may read is fixed when the stack is deployed.
func AllowArchive(allowed []AllowedArchive, bucket, prefix string) error {
	for _, a := range allowed {
		if a.Bucket == bucket && strings.HasPrefix(prefix, a.Prefix) {
			return nil
		}
		if a.Bucket == bucket && prefix != "" && a.Prefix == prefix+"/" {
			return fmt.Errorf("s3://%s/%s lacks the slash at its end: start again with \"Prefix\": %q", bucket, prefix, a.Prefix)
		}
	}
	var have []string
	for _, a := range allowed {
		have = append(have, "s3://"+a.Bucket+"/"+a.Prefix)
	}
	line, err := json.Marshal(map[string]string{"bucket": bucket, "prefix": prefix})
	if err != nil {
		return err
	}
	return fmt.Errorf("s3://%s/%s is not an archive of this environment (it has: %s): add %s to \"archives\" of the environment in cdk.json and run make deploy",
		bucket, prefix, strings.Join(have, ", "), line)
}

func (p *Preflight) archive(ctx context.Context, in Input, out *PreflightOut) error {
	if err := AllowArchive(p.Archives, in.Bucket, in.Prefix); err != nil {
		out.Missing = append(out.Missing, err.Error())
		return nil
	}
	var cold []Range
	var coldBytes int64
	class := ""
	found, sample, tag := 0, "", ""
	err := p.Objects.List(ctx, in.Bucket, in.Prefix, func(key, etag string, size int64, storage string) error {
		if found++; size > 0 && sample == "" {
			sample, tag = key, etag
		}
		if storage == "GLACIER" || storage == "DEEP_ARCHIVE" {
			cold = append(cold, Range{Key: key, ETag: etag})
			coldBytes += size
			class = storage
		}
		return nil
	})
	var code interface{ ErrorCode() string }
	if errors.As(err, &code) && (code.ErrorCode() == "AccessDenied" || code.ErrorCode() == "NoSuchBucket") {
		out.Missing = append(out.Missing, fmt.Sprintf("the archive s3://%s/%s cannot be listed (%s): a bucket of another account needs a bucket policy that gives the functions' roles s3:ListBucket and s3:GetObject, and its key a policy that gives them kms:Decrypt. S3 says: %v", in.Bucket, in.Prefix, code.ErrorCode(), err))
		return nil
	}
	if code != nil && elsewhere[code.ErrorCode()] {
		out.Missing = append(out.Missing, fmt.Sprintf("the archive s3://%s is not in region %s (%s): copy it into a bucket there (aws s3 sync s3://%s/%s s3://BUCKET/%s) and name that bucket, or deploy an environment in the archive's region", in.Bucket, p.Region, code.ErrorCode(), in.Bucket, in.Prefix, in.Prefix))
		return nil
	}
	if err != nil {
		return err
	}
	if found == 0 {
		out.Missing = append(out.Missing, fmt.Sprintf("s3://%s/%s holds no object: check Bucket and Prefix (a prefix of a folder ends in a slash)", in.Bucket, in.Prefix))
	}
	frozen, err := p.frozen(ctx, in.Bucket, cold)
	if err != nil {
		return err
	}
	if frozen {
		out.Missing = append(out.Missing, fmt.Sprintf("%d objects of %d bytes lie in cold storage (%s) and cannot be read: restore them and start again in some hours: aws s3 ls --recursive s3://%s/%s | awk '{print $4}' | xargs -I{} aws s3api restore-object --bucket %s --key {} --restore-request '{\"Days\":14,\"GlacierJobParameters\":{\"Tier\":\"Bulk\"}}'",
			len(cold), coldBytes, class, in.Bucket, in.Prefix, in.Bucket))
	} else if sample != "" {
		return p.readable(ctx, in.Bucket, sample, tag, out)
	}
	return nil
}

// elsewhere lists what S3 answers when a bucket is of another region.
var elsewhere = map[string]bool{"PermanentRedirect": true, "AuthorizationHeaderMalformed": true, "IllegalLocationConstraintException": true}

// frozen tells whether one of these objects cannot be read: one that was restored
// keeps its storage class in a listing.
func (p *Preflight) frozen(ctx context.Context, bucket string, cold []Range) (bool, error) {
	err := each(ctx, len(cold), func(ctx context.Context, i int) error {
		r, err := p.Objects.Open(ctx, bucket, cold[i].Key, cold[i].ETag, 0)
		if err != nil {
			return err
		}
		return r.Close()
	})
	var code interface{ ErrorCode() string }
	switch {
	case !errors.As(err, &code):
		return false, err
	case code.ErrorCode() == "InvalidObjectState":
		return true, nil
	case code.ErrorCode() == "AccessDenied":
		return false, nil // readable words it
	}
	return false, err
}

// readable reads the first byte of an object: listing needs neither the right to
// read nor the key that decrypts.
func (p *Preflight) readable(ctx context.Context, bucket, key, etag string, out *PreflightOut) error {
	r, err := p.Objects.Open(ctx, bucket, key, etag, 0)
	if err == nil {
		_, err = r.Read(make([]byte, 1))
		_ = r.Close() // read only
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	var code interface{ ErrorCode() string }
	if errors.As(err, &code) && code.ErrorCode() == "AccessDenied" {
		out.Missing = append(out.Missing, fmt.Sprintf("s3://%s/%s can be listed but not read: when the objects are encrypted with a key of yours, name it as kmsKeyArn of the archive in cdk.json and run make deploy; a bucket or key of another account needs a policy that gives the functions' roles s3:GetObject and kms:Decrypt. S3 says: %v", bucket, key, err))
		return nil
	}
	return err
}

func (p *Preflight) cluster(ctx context.Context, out *PreflightOut) error {
	c, err := p.Cluster(ctx, p.ClusterARN)
	var code interface{ ErrorCode() string }
	if err != nil && !passes(err) && errors.As(err, &code) {
		out.Missing = append(out.Missing, fmt.Sprintf("cluster %s cannot be described (%s): check that it exists in %s and that the environment names it: %v", p.ClusterARN, code.ErrorCode(), p.Region, err))
		return nil
	}
	if err != nil {
		return err
	}
	if c.Engine != "aurora-postgresql" {
		out.Missing = append(out.Missing, fmt.Sprintf("cluster %s runs %s: LedgerLoad needs aurora-postgresql", c.ID, c.Engine))
	}
	if c.Region != p.Region {
		out.Missing = append(out.Missing, fmt.Sprintf("cluster %s is in region %s, the work bucket %s in %s: aws_s3 reads buckets of its own region only: deploy the environment in %s", c.ID, c.Region, p.WorkBucket, p.Region, c.Region))
	}
	if !c.DataAPI {
		out.Missing = append(out.Missing, fmt.Sprintf("the Data API of cluster %s is off: aws rds enable-http-endpoint --resource-arn %s", c.ID, p.ClusterARN))
	}
	if !slices.Contains(c.ImportRoles, p.ImportRole) {
		if len(c.ImportRoles) > 0 {
			out.Missing = append(out.Missing, fmt.Sprintf("cluster %s has another role for s3Import (%s), and a cluster has one: name that role as importRoleArn of the environment and let it read the work bucket, or replace it: aws rds remove-role-from-db-cluster --db-cluster-identifier %s --feature-name s3Import --role-arn %s && aws rds add-role-to-db-cluster --db-cluster-identifier %s --feature-name s3Import --role-arn %s",
				c.ID, strings.Join(c.ImportRoles, ", "), c.ID, c.ImportRoles[0], c.ID, p.ImportRole))
		} else {
			out.Missing = append(out.Missing, fmt.Sprintf("cluster %s has no role to read S3 with: aws rds add-role-to-db-cluster --db-cluster-identifier %s --feature-name s3Import --role-arn %s", c.ID, c.ID, p.ImportRole))
		}
	}
	switch c.Status {
	case "available", "backing-up":
	default:
		out.Missing = append(out.Missing, fmt.Sprintf("cluster %s is %s: aws rds start-db-cluster --db-cluster-identifier %s when it is stopped, otherwise wait until it is available", c.ID, c.Status, c.ID))
	}
	if c.MinACU > 0 && c.MinACU < 2 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("cluster %s scales down to %g ACU: a load is steadier from 2 on", c.ID, c.MinACU))
	}
	return nil
}
