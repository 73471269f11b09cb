package local

import (
	"bytes"
	"context"
	"io"
	"iter"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"godwit/internal/local/asl"
	"godwit/internal/local/gateway"
	"godwit/internal/local/lambda"
)

// functions is asl's view of the Lambda functions.
type functions map[string]*lambda.Function

// Invoke calls the function of an ARN.
func (f functions) Invoke(ctx context.Context, arn string, payload []byte) ([]byte, error) {
	fn, ok := f[arn]
	if !ok {
		return nil, &lambda.Error{Type: "Lambda.ResourceNotFoundException", Message: "Function not found: " + arn}
	}
	return fn.Invoke(ctx, payload)
}

// A store is S3 as state machines use it: with the credentials of their roles,
// through the gateway, so that their policies are judged like a function's.
type store struct {
	gateway *gateway.Gateway
	region  string
	mu      sync.Mutex
	clients map[string]*awss3.Client // by role
}

func newStore(g *gateway.Gateway, region string) *store {
	return &store{gateway: g, region: region, clients: map[string]*awss3.Client{}}
}

// client returns the client of a role; "" is the operator.
func (s *store) client(role string) *awss3.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.clients[role]; ok {
		return c
	}
	k := s.gateway.Root()
	if role != "" {
		k = s.gateway.Issue(role, nil)
	}
	c := awss3.New(awss3.Options{
		Region: s.region, BaseEndpoint: aws.String(s.gateway.URL()), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, nil
		}),
	})
	s.clients[role] = c
	return c
}

// Get opens an object.
func (s *store) Get(ctx context.Context, role, bucket, key string) (io.ReadCloser, error) {
	out, err := s.client(role).GetObject(ctx, &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Put stores an object whole.
func (s *store) Put(ctx context.Context, role, bucket, key string, body []byte) error {
	_, err := s.client(role).PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
	return err
}

// List yields the objects below prefix.
func (s *store) List(ctx context.Context, role, bucket, prefix string) iter.Seq2[asl.Object, error] {
	return func(yield func(asl.Object, error) bool) {
		pages := awss3.NewListObjectsV2Paginator(s.client(role), &awss3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(asl.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if !yield(asl.Object{
					Key: aws.ToString(o.Key), ETag: aws.ToString(o.ETag), StorageClass: string(o.StorageClass),
					Size: aws.ToInt64(o.Size), LastModified: aws.ToTime(o.LastModified),
				}, nil) {
					return
				}
			}
		}
	}
}
