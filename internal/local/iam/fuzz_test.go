package iam_test

import (
	"testing"

	"godwit/internal/local/iam"
)

// FuzzPolicy: a policy may be wrong in any way, and is an error then; a right one
// is judged without harm, and never allows what it has no allowing statement for.
func FuzzPolicy(f *testing.F) {
	f.Add(`{"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Principal": {"AWS": ["*", "111122223333"]}}}`, "arn:aws:s3:::work/a")
	f.Add(`{"Statement": [{"Effect": "Deny", "NotAction": "s3:Get*", "NotResource": "arn:aws:s3:::?*/", "Principal": "*", "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}, "Null": {"s3:prefix": true}}}]}`, "arn:aws:s3:::work/a")
	f.Add(`{"Statement": [null]}`, "")
	f.Add(`{"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": {"AWS": ":::::"}}]}`, "::::::")
	f.Add(`[]`, "*")
	f.Fuzz(func(t *testing.T, document, resource string) {
		j := iam.New("111122223333", "us-east-1")
		if err := j.AddResource("arn:aws:s3:::work", "", document); err != nil {
			return
		}
		allows := len(j.Uses()) > 0
		err := j.AuthorizeService("logging.s3.amazonaws.com", "s3:GetObject", resource, map[string]string{"s3:prefix": resource})
		if err == nil && !allows {
			t.Errorf("allowed by %s", document)
		}
	})
}
