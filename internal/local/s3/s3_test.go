package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/local/gateway"
	"godwit/internal/local/s3"
	"godwit/internal/local/template"
)

const key = "arn:aws:kms:us-east-1:111122223333:key/k1"

// everything allows every call but the denied actions.
type everything struct{ denied []string }

func (e *everything) Authorize(role, action, resource string, _ map[string]string) error {
	if slices.Contains(e.denied, action) {
		return &gateway.AccessDenied{Role: role, Action: action, Resource: resource, Why: "the test denies it"}
	}
	return nil
}

type world struct {
	service *s3.Service
	gateway *gateway.Gateway
	judge   *everything
	client  *sdk.Client
}

func start(t *testing.T, c s3.Config) *world {
	t.Helper()
	c.Account, c.Region = "111122223333", "us-east-1"
	service, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []s3.Bucket{{Name: "plain"}, {Name: "secret", KMSKey: key, BucketKey: true}, {Name: "far-away", Region: "eu-west-1"}} {
		if err := service.CreateBucket(b); err != nil {
			t.Fatal(err)
		}
	}
	judge := &everything{}
	g, err := gateway.New(gateway.Config{Authorizer: judge})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	g.Register("s3", service)
	return &world{service, g, judge, client(g, g.Issue("arn:aws:iam::111122223333:role/r", nil), "us-east-1")}
}

func client(g *gateway.Gateway, c gateway.Credentials, region string) *sdk.Client {
	return sdk.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: aws.String(g.URL()), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	})
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestObjectComesBackAsWritten(t *testing.T) {
	for name, c := range map[string]s3.Config{"memory": {}, "disk": {Dir: t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, c)
			for _, k := range []string{"a/b c/ü+1.gz", "a", "a/b c", "../../escape", "x//y/.", strings.Repeat("long/", 150) + "end"} {
				body := bytes.Repeat([]byte(k), 100)
				if _, err := w.client.PutObject(t.Context(), &sdk.PutObjectInput{
					Bucket: aws.String("plain"), Key: &k, Body: bytes.NewReader(body), ContentEncoding: aws.String("gzip"), ContentType: aws.String("text/x"), Metadata: map[string]string{"origin": "here"},
				}); err != nil {
					t.Fatalf("put %q: %v", k, err)
				}
				got, err := w.client.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: &k})
				if err != nil {
					t.Fatalf("get %q: %v", k, err)
				}
				read, err := io.ReadAll(got.Body)
				if err != nil || !bytes.Equal(read, body) {
					t.Errorf("%q: got %d bytes and %v, want %d", k, len(read), err, len(body))
				}
				if aws.ToString(got.ContentEncoding) != "gzip" || aws.ToString(got.ContentType) != "text/x" || got.Metadata["origin"] != "here" {
					t.Errorf("%q: got headers %v %v %v", k, aws.ToString(got.ContentEncoding), aws.ToString(got.ContentType), got.Metadata)
				}
			}
		})
	}
}

func TestFolderOutlivesTheService(t *testing.T) {
	dir := t.TempDir()
	w := start(t, s3.Config{Dir: dir})
	for _, k := range []string{"kept", "gone", "kept"} {
		if err := w.service.Put("plain", k, []byte(k), s3.Options{ContentEncoding: "gzip", StorageClass: "GLACIER_IR"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.service.Delete("plain", "gone"); err != nil {
		t.Fatal(err)
	}
	if err := w.service.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of a line loses that line alone.
	journal, err := os.OpenFile(filepath.Join(dir, "journal.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.WriteString(`{"Bucket":"pl`); err != nil {
		t.Fatal(err)
	}
	journal.Close()
	again := start(t, s3.Config{Dir: dir})
	list, err := again.service.List("plain", "")
	if err != nil || len(list) != 1 || list[0].Key != "kept" || list[0].StorageClass != "GLACIER_IR" || list[0].Header["Content-Encoding"] != "gzip" {
		t.Fatalf("got %+v, %v", list, err)
	}
	if body, _, err := again.service.Get("plain", "kept"); err != nil || string(body) != "kept" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := again.service.Put("plain", "new", []byte("x"), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "plain", "kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.New(s3.Config{Account: "1", Region: "us-east-1", Dir: dir}); err == nil || !strings.Contains(err.Error(), "plain/kept") {
		t.Errorf("a lost file: got %v, want an error naming the object", err)
	}
}

func TestOverwriteForgetsOldHeaders(t *testing.T) {
	w := start(t, s3.Config{})
	for _, encoding := range []*string{aws.String("gzip"), nil} {
		if _, err := w.client.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), Body: strings.NewReader("x"), ContentEncoding: encoding}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.client.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String("plain"), Key: aws.String("k")})
	if err != nil || got.ContentEncoding != nil {
		t.Errorf("got %v and encoding %q, want none", err, aws.ToString(got.ContentEncoding))
	}
}

func TestListingPagesThroughKeysAndPrefixes(t *testing.T) {
	w := start(t, s3.Config{})
	var keys []string
	for i := range 25 {
		keys = append(keys, fmt.Sprintf("p/%02d", i), fmt.Sprintf("p/dir%02d/x", i), fmt.Sprintf("p/dir%02d/y", i))
	}
	keys = append(keys, "other", "p0")
	for _, k := range keys {
		if err := w.service.Put("plain", k, []byte("x"), s3.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(delimiter *string) (got, prefixes []string) {
		pages := sdk.NewListObjectsV2Paginator(w.client, &sdk.ListObjectsV2Input{Bucket: aws.String("plain"), Prefix: aws.String("p/"), Delimiter: delimiter, MaxKeys: aws.Int32(7)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				got = append(got, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				prefixes = append(prefixes, *p.Prefix)
			}
		}
		return got, prefixes
	}
	got, _ := read(nil)
	want := slices.DeleteFunc(slices.Sorted(slices.Values(keys)), func(k string) bool { return !strings.HasPrefix(k, "p/") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	got, prefixes := read(aws.String("/"))
	if len(got) != 25 || len(prefixes) != 25 || !slices.IsSorted(prefixes) || prefixes[24] != "p/dir24/" {
		t.Errorf("got %d keys and prefixes %v", len(got), prefixes)
	}
}

func TestStorageClassIsListedAndArchivesAreNotRead(t *testing.T) {
	w := start(t, s3.Config{})
	ctx := t.Context()
	put := func(k string, class types.StorageClass) {
		if _, err := w.client.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("plain"), Key: &k, Body: strings.NewReader(k), StorageClass: class}); err != nil {
			t.Fatal(err)
		}
	}
	put("cold", types.StorageClassDeepArchive)
	put("instant", types.StorageClassGlacierIr)
	put("warm", "")
	put("moved", "")
	if err := w.service.SetStorageClass("plain", "moved", "GLACIER"); err != nil {
		t.Fatal(err)
	}
	list, err := w.client.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: aws.String("plain")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range list.Contents {
		_, err := w.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: o.Key})
		got[*o.Key] = string(o.StorageClass) + " " + code(err)
	}
	want := map[string]string{"cold": "DEEP_ARCHIVE InvalidObjectState", "instant": "GLACIER_IR <nil>", "warm": "STANDARD <nil>", "moved": "GLACIER InvalidObjectState"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	head, err := w.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: aws.String("plain"), Key: aws.String("cold")})
	if err != nil || head.StorageClass != types.StorageClassDeepArchive {
		t.Errorf("head of an archived object: got %v and %v", head, err)
	}
	if _, err := w.client.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), StorageClass: "FREEZER", Body: strings.NewReader("x")}); code(err) != "InvalidStorageClass" {
		t.Errorf("unknown class: got %v", err)
	}
}

func TestPreconditions(t *testing.T) {
	w := start(t, s3.Config{})
	ctx := t.Context()
	put := func(match, none *string) (string, error) {
		out, err := w.client.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), Body: strings.NewReader("x"), IfMatch: match, IfNoneMatch: none})
		if err != nil {
			return "", err
		}
		return *out.ETag, nil
	}
	etag, err := put(nil, aws.String("*"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(nil, aws.String("*")); code(err) != "PreconditionFailed" {
		t.Errorf("second put if absent: got %v", err)
	}
	if _, err := put(aws.String(`"0"`), nil); code(err) != "PreconditionFailed" {
		t.Errorf("put over another version: got %v", err)
	}
	if _, err := put(&etag, nil); err != nil {
		t.Errorf("put over the same version: %v", err)
	}
	get := func(match, none *string) error {
		_, err := w.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), IfMatch: match, IfNoneMatch: none})
		return err
	}
	if err := get(&etag, nil); err != nil {
		t.Errorf("get of the same version: %v", err)
	}
	if err := get(aws.String(`"0"`), nil); code(err) != "PreconditionFailed" {
		t.Errorf("get of another version: got %v", err)
	}
	if err := get(nil, &etag); code(err) != "NotModified" && !strings.Contains(fmt.Sprint(err), "304") {
		t.Errorf("get if changed: got %v", err)
	}
}

func TestWrongChecksumIsRefusedAndRightOneComesBack(t *testing.T) {
	w := start(t, s3.Config{})
	in := &sdk.PutObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), Body: strings.NewReader("123456789")}
	in.ChecksumCRC64NVME = aws.String("AAAAAAAAAAA=")
	if _, err := w.client.PutObject(t.Context(), in); code(err) != "BadDigest" {
		t.Errorf("wrong checksum: got %v", err)
	}
	in.Body, in.ChecksumCRC64NVME = strings.NewReader("123456789"), aws.String("rosUhgp5mIg=") // ae8b14860a799888, the algorithm's check value
	if _, err := w.client.PutObject(t.Context(), in); err != nil {
		t.Fatalf("right checksum: %v", err)
	}
	in.Body, in.ChecksumCRC64NVME = strings.NewReader("123456789"), nil
	if _, err := w.client.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	got, err := w.client.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || aws.ToString(got.ChecksumCRC32) != "y/Q5Jg==" {
		t.Errorf("got %v and CRC32 %q, want y/Q5Jg==", err, aws.ToString(got.ChecksumCRC32))
	}
	part, err := w.client.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: aws.String("k"), Range: aws.String("bytes=-100")})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(part.Body); err != nil || string(body) != "123456789" {
		t.Errorf("suffix longer than the object: got %q, %v", body, err)
	}
}

func TestEveryOperationNamesItsActions(t *testing.T) {
	w := start(t, s3.Config{})
	ctx := t.Context()
	if err := w.service.Put("secret", "there", []byte("x"), s3.Options{}); err != nil {
		t.Fatal(err)
	}
	bucket, k := aws.String("secret"), aws.String("k")
	var upload *string
	kms := " kms:ViaService=s3.us-east-1.amazonaws.com"
	tests := []struct {
		name string
		do   func() error
		want []string
	}{
		{"put", func() error {
			_, err := w.client.PutObject(ctx, &sdk.PutObjectInput{Bucket: bucket, Key: k, Body: strings.NewReader("x")})
			return err
		}, []string{"s3:PutObject arn:aws:s3:::secret/k", "kms:GenerateDataKey " + key + kms}},
		{"put for the bucket's owner", func() error {
			_, err := w.client.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("plain"), Key: k, Body: strings.NewReader("x"), ACL: types.ObjectCannedACLBucketOwnerFullControl})
			return err
		}, []string{"s3:PutObject arn:aws:s3:::plain/k s3:x-amz-acl=bucket-owner-full-control", "s3:PutObjectAcl arn:aws:s3:::plain/k s3:x-amz-acl=bucket-owner-full-control"}},
		{"get", func() error {
			_, err := w.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: bucket, Key: k})
			return err
		}, []string{"s3:GetObject arn:aws:s3:::secret/k", "kms:Decrypt " + key + kms}},
		{"head", func() error {
			_, err := w.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: bucket, Key: k})
			return err
		}, []string{"s3:GetObject arn:aws:s3:::secret/k"}},
		{"list", func() error {
			_, err := w.client.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("a/")})
			return err
		}, []string{"s3:ListBucket arn:aws:s3:::secret s3:prefix=a/"}},
		{"head bucket", func() error {
			_, err := w.client.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: bucket})
			return err
		}, []string{"s3:ListBucket arn:aws:s3:::secret"}},
		{"location", func() error {
			_, err := w.client.GetBucketLocation(ctx, &sdk.GetBucketLocationInput{Bucket: bucket})
			return err
		}, []string{"s3:GetBucketLocation arn:aws:s3:::secret"}},
		{"copy", func() error {
			_, err := w.client.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: aws.String("plain"), Key: k, CopySource: aws.String("secret/there")})
			return err
		}, []string{"s3:PutObject arn:aws:s3:::plain/k", "s3:GetObject arn:aws:s3:::secret/there", "kms:Decrypt " + key + kms}},
		{"start upload", func() error {
			out, err := w.client.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: aws.String("plain"), Key: k})
			if err == nil {
				upload = out.UploadId
			}
			return err
		}, []string{"s3:PutObject arn:aws:s3:::plain/k"}},
		{"upload part", func() error {
			_, err := w.client.UploadPart(ctx, &sdk.UploadPartInput{Bucket: aws.String("plain"), Key: k, UploadId: upload, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
			return err
		}, []string{"s3:PutObject arn:aws:s3:::plain/k"}},
		{"abort upload", func() error {
			_, err := w.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: aws.String("plain"), Key: k, UploadId: upload})
			return err
		}, []string{"s3:AbortMultipartUpload arn:aws:s3:::plain/k"}},
		{"delete", func() error {
			_, err := w.client.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: bucket, Key: k})
			return err
		}, []string{"s3:DeleteObject arn:aws:s3:::secret/k"}},
		{"delete many", func() error {
			_, err := w.client.DeleteObjects(ctx, &sdk.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("p")}, {Key: aws.String("q")}}}})
			return err
		}, []string{"s3:DeleteObject arn:aws:s3:::secret/p arn:aws:s3:::secret/q"}},
	}
	for _, test := range tests {
		before := len(w.gateway.Calls())
		if err := test.do(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []string
		for _, e := range w.gateway.Calls()[before:] {
			text := e.Action + " " + strings.Join(e.Resources, " ")
			for _, name := range []string{"s3:prefix", "s3:x-amz-acl", "kms:ViaService"} {
				if v, ok := e.Condition[name]; ok {
					text += " " + name + "=" + v
				}
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestMissingKeyIs403ToWhoMayNotList(t *testing.T) {
	w := start(t, s3.Config{})
	get := func() error {
		_, err := w.client.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: aws.String("gone")})
		return err
	}
	if err := get(); code(err) != "NoSuchKey" {
		t.Errorf("got %v, want NoSuchKey", err)
	}
	w.judge.denied = []string{"s3:ListBucket"}
	if err := get(); code(err) != "AccessDenied" {
		t.Errorf("got %v, want AccessDenied", err)
	}
}

func TestBucketOfAnotherRegionRedirects(t *testing.T) {
	w := start(t, s3.Config{})
	_, err := w.client.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String("far-away")})
	if code(err) != "PermanentRedirect" {
		t.Errorf("list from us-east-1: got %v, want PermanentRedirect", err)
	}
	location, err := w.client.GetBucketLocation(t.Context(), &sdk.GetBucketLocationInput{Bucket: aws.String("far-away")})
	if err != nil || location.LocationConstraint != "eu-west-1" {
		t.Errorf("location: got %v, %v", location, err)
	}
	near := client(w.gateway, w.gateway.Root(), "eu-west-1")
	head, err := near.HeadBucket(t.Context(), &sdk.HeadBucketInput{Bucket: aws.String("far-away")})
	if err != nil || aws.ToString(head.BucketRegion) != "eu-west-1" {
		t.Errorf("head from eu-west-1: got %v, %v", head, err)
	}
}

func TestFileIsServedWithoutCopy(t *testing.T) {
	w := start(t, s3.Config{})
	file := filepath.Join(t.TempDir(), "block.ion")
	if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.service.PutFile("plain", "archive/block.ion", file, s3.Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := w.client.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("plain"), Key: aws.String("archive/block.ion"), Range: aws.String("bytes=2-4")})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(got.Body); err != nil || string(body) != "234" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := w.service.Delete("plain", "archive/block.ion"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("deleting the object took the user's file away: %v", err)
	}
}

func TestUnknownRequestsAreErrorsByName(t *testing.T) {
	w := start(t, s3.Config{})
	for _, test := range []struct{ method, target, header, want string }{
		{"GET", "/plain/k?tagging", "", "tagging"},
		{"GET", "/plain?policy", "", "policy"},
		{"GET", "/plain/k?versionId=1", "", "versionId"},
		{"POST", "/plain/k", "", "POST object"},
		{"PUT", "/plain/k", "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
		{"PUT", "/plain/k", "X-Amz-Tagging: a=b", "X-Amz-Tagging"},
		{"PUT", "/plain/k", "X-Amz-Acl: public-read", "public-read"},
	} {
		r, err := http.NewRequest(test.method, "http://127.0.0.1"+test.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name, value, ok := strings.Cut(test.header, ": "); ok {
			r.Header.Set(name, value)
		}
		if _, err := w.service.Describe(r, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: got %v, want an error naming %q", test.method, test.target, err, test.want)
		}
	}
}

func TestBucketOfRefusesUnknownProperties(t *testing.T) {
	of := func(properties map[string]any) (s3.Bucket, error) {
		return s3.BucketOf(&template.Resource{Stack: &template.Stack{Region: "eu-west-1"}, LogicalID: "Work", ID: "work", Properties: properties})
	}
	encryption := func(algorithm, id string) map[string]any {
		return map[string]any{"BucketEncryption": map[string]any{"ServerSideEncryptionConfiguration": []any{map[string]any{
			"BucketKeyEnabled": true, "ServerSideEncryptionByDefault": map[string]any{"SSEAlgorithm": algorithm, "KMSMasterKeyID": id},
		}}}}
	}
	got, err := of(encryption("aws:kms", key))
	if diff := cmp.Diff(s3.Bucket{Name: "work", Region: "eu-west-1", KMSKey: key, BucketKey: true}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for want, properties := range map[string]map[string]any{
		"NotificationConfiguration": {"NotificationConfiguration": map[string]any{}},
		"aws:kms:dsse":              encryption("aws:kms:dsse", key),
		"alias/k":                   encryption("aws:kms", "alias/k"),
	} {
		if _, err := of(properties); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error naming %q", err, want)
		}
	}
}

func TestMultipartObjectKeepsHeadersAndParts(t *testing.T) {
	w := start(t, s3.Config{})
	ctx := t.Context()
	bucket, k := aws.String("secret"), aws.String("big")
	upload, err := w.client.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: bucket, Key: k, ContentEncoding: aws.String("gzip"), StorageClass: types.StorageClassStandardIa})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	var parts []types.CompletedPart
	for i := range int32(2) {
		body := bytes.Repeat([]byte{byte('a' + i)}, 5<<20)
		want = append(want, body...)
		out, err := w.client.UploadPart(ctx, &sdk.UploadPartInput{Bucket: bucket, Key: k, UploadId: upload.UploadId, PartNumber: aws.Int32(i + 1), Body: bytes.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(i + 1)})
	}
	if _, err := w.client.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{Bucket: bucket, Key: k, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}); err != nil {
		t.Fatal(err)
	}
	got, err := w.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: bucket, Key: k})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(body, want) {
		t.Errorf("got %d bytes and %v, want %d", len(body), err, len(want))
	}
	if aws.ToString(got.ContentEncoding) != "gzip" || got.StorageClass != types.StorageClassStandardIa || got.ServerSideEncryption != types.ServerSideEncryptionAwsKms || aws.ToString(got.SSEKMSKeyId) != key {
		t.Errorf("got encoding %q, class %q, encryption %q with %q", aws.ToString(got.ContentEncoding), got.StorageClass, got.ServerSideEncryption, aws.ToString(got.SSEKMSKeyId))
	}
}
