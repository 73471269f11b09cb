package iam

import (
	"encoding/json"
	"fmt"
	"strings"

	"godwit/internal/local/template"
)

// inlineLimit is how long all inline policies of a role may be together, in
// characters without white space.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const inlineLimit = 10240

// FromStacks makes the judge of the given stacks, which must be of one account.
func FromStacks(stacks []*template.Stack) (*Judge, error) {
	if len(stacks) == 0 {
		return nil, fmt.Errorf("there is no stack to judge by")
	}
	j := New(stacks[0].Account, stacks[0].Region)
	for _, s := range stacks {
		if s.Account != j.account {
			return nil, fmt.Errorf("stack %s is in account %s, not in %s: local judges one account", s.Name, s.Account, j.account)
		}
		for _, r := range s.ByType("AWS::IAM::Role") {
			j.roles[r.ARN()] = &role{arn: r.ARN(), name: r.ID}
		}
	}
	inline := map[string]int{}
	for _, s := range stacks {
		for _, id := range s.Order {
			if err := j.add(s.Resources[id], inline); err != nil {
				return nil, fmt.Errorf("stack %s: %w", s.Name, err)
			}
		}
	}
	for arn, r := range j.roles {
		if len(r.managed) > 0 {
			return nil, fmt.Errorf("role %s: managed policy %s is not known to local and in no stack", arn, r.managed[0])
		}
	}
	for name, length := range inline {
		if length > inlineLimit {
			return nil, fmt.Errorf("role %s has inline policies of %d characters: IAM takes %d", name, length, inlineLimit)
		}
	}
	return j, nil
}

// add takes the policies of one resource.
func (j *Judge) add(r *template.Resource, inline map[string]int) error {
	ref := Ref{Stack: r.Stack.Name, Resource: r.LogicalID}
	switch r.Type {
	case "AWS::IAM::Role":
		return j.addRole(r, ref, inline)
	case "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy":
		for _, other := range []string{"Users", "Groups"} {
			if r.Properties[other] != nil {
				return fmt.Errorf("policy %s is attached to %s, which local does not know", r.LogicalID, other)
			}
		}
		ref.Policy = "policy"
		statements, err := j.compile(r.Properties["PolicyDocument"], ref, false)
		if err != nil {
			return err
		}
		names, err := optionalTexts(r.Properties["Roles"])
		if err != nil {
			return fmt.Errorf("policy %s: %w", r.LogicalID, err)
		}
		for _, name := range names {
			to := j.byName(name)
			to.identity = append(to.identity, statements...)
			if r.Type == "AWS::IAM::Policy" {
				inline[name] += length(r.Properties["PolicyDocument"])
			}
		}
		j.attach(r.ID, statements)
	case "AWS::KMS::Key":
		document := r.Properties["KeyPolicy"]
		if document == nil { // KMS's own default
			document = map[string]any{"Statement": map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::" + j.account + ":root"}, "Action": "kms:*", "Resource": "*"}}
		}
		j.known[r.ARN()] = true
		return j.addResource(r.ARN(), document, ref, "key")
	case "AWS::S3::BucketPolicy":
		bucket, _ := r.Properties["Bucket"].(string)
		return j.addResource("arn:aws:s3:::"+bucket, r.Properties["PolicyDocument"], ref, "bucket")
	case "AWS::SNS::TopicPolicy":
		return j.addResources(r, r.Properties["Topics"], ref, "topic")
	case "AWS::SQS::QueuePolicy":
		return j.addResources(r, r.Properties["Queues"], ref, "queue")
	case "AWS::SecretsManager::ResourcePolicy":
		secret, _ := r.Properties["SecretId"].(string)
		return j.addResource(secret, r.Properties["ResourcePolicy"], ref, "secret")
	case "AWS::Logs::ResourcePolicy":
		return j.addResource("logs", r.Properties["PolicyDocument"], ref, "logs")
	case "AWS::Lambda::Permission":
		return j.addPermission(r, ref)
	}
	return nil
}

func (j *Judge) addRole(r *template.Resource, ref Ref, inline map[string]int) error {
	to := j.roles[r.ARN()]
	if r.Properties["PermissionsBoundary"] != nil {
		return fmt.Errorf("role %s has a permissions boundary, which local does not know", r.LogicalID)
	}
	ref.Policy = "trust"
	var err error
	if to.trust, err = j.compile(r.Properties["AssumeRolePolicyDocument"], ref, true); err != nil {
		return err
	}
	policies, _ := r.Properties["Policies"].([]any)
	for _, element := range policies {
		policy, _ := element.(map[string]any)
		ref.Policy, _ = policy["PolicyName"].(string)
		statements, err := j.compile(policy["PolicyDocument"], ref, false)
		if err != nil {
			return err
		}
		to.identity = append(to.identity, statements...)
		inline[to.name] += length(policy["PolicyDocument"])
	}
	arns, err := optionalTexts(r.Properties["ManagedPolicyArns"])
	if err != nil {
		return fmt.Errorf("role %s: %w", r.LogicalID, err)
	}
	for _, arn := range arns {
		name, aws := strings.CutPrefix(arn, "arn:aws:iam::aws:policy/")
		if !aws {
			to.managed = append(to.managed, arn) // made by a stack: attached when it comes, see attach
			continue
		}
		document, known := managed[name]
		if !known {
			return fmt.Errorf("role %s: managed policy %s is not known to local", r.LogicalID, arn)
		}
		ref.Policy = name
		statements, err := j.compile(document, ref, false)
		if err != nil {
			return err
		}
		to.identity = append(to.identity, statements...)
	}
	j.attach("", nil)
	return nil
}

// attach gives the statements of a managed policy that a stack makes to the
// roles that name it; the policy may come before or after the role.
func (j *Judge) attach(arn string, statements []*statement) {
	j.made[arn] = statements
	for _, r := range j.roles {
		var waiting []string
		for _, want := range r.managed {
			if made, ok := j.made[want]; ok {
				r.identity = append(r.identity, made...)
				continue
			}
			waiting = append(waiting, want)
		}
		r.managed = waiting
	}
}

// byName finds a role by name; a role that no stack makes is an imported one,
// whose further policies nobody here knows.
func (j *Judge) byName(name string) *role {
	for _, r := range j.roles {
		if r.name == name {
			return r
		}
	}
	r := &role{arn: "arn:aws:iam::" + j.account + ":role/" + name, name: name}
	j.roles[r.arn] = r
	return r
}

// addResources takes one policy of several resources: of topics by ARN, of queues
// by URL.
func (j *Judge) addResources(r *template.Resource, of any, ref Ref, policy string) error {
	names, err := texts(of)
	if err != nil {
		return fmt.Errorf("%s policy %s: %w", policy, r.LogicalID, err)
	}
	ref.Policy = policy
	statements, err := j.compile(r.Properties["PolicyDocument"], ref, true)
	if err != nil {
		return err
	}
	for _, name := range names {
		if host, isURL := strings.CutPrefix(name, "https://sqs."); isURL {
			region, rest, _ := strings.Cut(host, ".")
			_, queue, _ := strings.Cut(rest, "/")
			name = "arn:aws:sqs:" + region + ":" + strings.ReplaceAll(queue, "/", ":")
		}
		j.resources[name] = append(j.resources[name], statements...)
	}
	return nil
}

func (j *Judge) addResource(arn string, document any, ref Ref, policy string) error {
	ref.Policy = policy
	statements, err := j.compile(document, ref, true)
	if err != nil {
		return err
	}
	owner := j.owner(arn)
	j.resources[owner] = append(j.resources[owner], statements...)
	return nil
}

// addPermission turns a function's permission into the policy statement that
// Lambda makes of it.
func (j *Judge) addPermission(r *template.Resource, ref Ref) error {
	var p struct{ FunctionName, Action, Principal, SourceArn, SourceAccount, PrincipalOrgID, EventSourceToken, FunctionUrlAuthType string }
	if err := r.Decode(&p); err != nil {
		return err
	}
	if p.PrincipalOrgID+p.EventSourceToken+p.FunctionUrlAuthType != "" {
		return fmt.Errorf("permission %s has a member that local does not know", r.LogicalID)
	}
	function := p.FunctionName
	if !strings.HasPrefix(function, "arn:") {
		function = "arn:aws:lambda:" + r.Stack.Region + ":" + j.account + ":function:" + function
	}
	kind := "AWS"
	if strings.HasSuffix(p.Principal, ".amazonaws.com") {
		kind = "Service"
	}
	condition := map[string]any{}
	if p.SourceArn != "" {
		condition["ArnLike"] = map[string]any{"aws:SourceArn": p.SourceArn}
	}
	if p.SourceAccount != "" {
		condition["StringEquals"] = map[string]any{"aws:SourceAccount": p.SourceAccount}
	}
	return j.addResource(function, map[string]any{"Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]any{kind: p.Principal}, "Action": p.Action, "Resource": function, "Condition": condition,
	}}}, ref, "function")
}

// AddResource makes a resource outside the stacks known, such as another
// account's archive bucket: whose it is ("" is the judge's own account), and the
// policy that its owner wrote, as JSON text or a decoded value; nil is none. A
// call to another account's resource needs both sides: the caller's identity
// policy and the resource's policy.
func (j *Judge) AddResource(arn, account string, document any) error {
	owner := j.owner(arn)
	if account != "" && account != j.account {
		j.foreign[owner] = account
	}
	if strings.Contains(arn, ":kms:") && document != nil {
		j.known[owner] = true
	}
	if document == nil {
		return nil
	}
	return j.addResource(arn, document, Ref{Stack: "outside", Resource: arn}, "resource")
}

// AddRole makes a role outside the stacks known, such as an imported cluster's
// import role, with an identity policy and a trust policy.
func (j *Judge) AddRole(arn string, identity, trust any) error {
	ref := Ref{Stack: "outside", Resource: arn, Policy: "trust"}
	trusting, err := j.compile(trust, ref, true)
	if err != nil {
		return err
	}
	ref.Policy = "policy"
	allowing, err := j.compile(identity, ref, false)
	if err != nil {
		return err
	}
	j.roles[arn] = &role{arn: arn, name: arn[strings.LastIndex(arn, "/")+1:], identity: allowing, trust: trusting}
	return nil
}

func optionalTexts(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	return texts(v)
}

// length is how long a policy is as IAM counts: JSON without white space.
func length(document any) int {
	text, err := json.Marshal(document)
	if err != nil {
		return 0 // it came from JSON
	}
	return len(text)
}
