package control

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Mappings finds Lambda's event source mappings and turns them on and off. It is
// safe for concurrent use. A mapping that is being changed answers with the code
// ResourceInUseException: call again.
type Mappings struct{ API *lambda.Client }

// NewMappings makes the client of a function.
func NewMappings(cfg aws.Config) *Mappings { return &Mappings{lambda.NewFromConfig(cfg)} }

// Find returns the id of the mapping from a stream, by its ARN, to a function,
// by its name, or "" where there is none.
func (m *Mappings) Find(ctx context.Context, function, streamARN string) (id string, err error) {
	pages := lambda.NewListEventSourceMappingsPaginator(m.API, &lambda.ListEventSourceMappingsInput{
		FunctionName: aws.String(function), EventSourceArn: aws.String(streamARN),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("list the event source mappings of function %s: %w", function, err)
		}
		for _, x := range page.EventSourceMappings {
			if aws.ToString(x.EventSourceArn) == streamARN {
				return aws.ToString(x.UUID), nil
			}
		}
	}
	return "", nil
}

// State returns a mapping's state: Creating, Enabling, Enabled, Disabling,
// Disabled, Updating or Deleting.
func (m *Mappings) State(ctx context.Context, id string) (string, error) {
	out, err := m.API.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: aws.String(id)})
	if err != nil {
		return "", fmt.Errorf("get event source mapping %s: %w", id, err)
	}
	return aws.ToString(out.State), nil
}

// Enable turns a mapping on or off. It does not wait: the state follows, mostly
// within a minute.
func (m *Mappings) Enable(ctx context.Context, id string, on bool) error {
	_, err := m.API.UpdateEventSourceMapping(ctx, &lambda.UpdateEventSourceMappingInput{UUID: aws.String(id), Enabled: aws.Bool(on)})
	if err != nil {
		what := "enable"
		if !on {
			what = "disable"
		}
		return fmt.Errorf("%s event source mapping %s: %w", what, id, err)
	}
	return nil
}
