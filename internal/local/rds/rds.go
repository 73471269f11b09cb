// Package rds is the RDS control plane of the local AWS, as far as a load asks
// it: the clusters that the stacks make, snapshots with their tags, and exports of
// snapshots and clusters to the local S3. It speaks the query protocol, version
// 2014-10-31, and refuses other operations and parameters by name.
//
// It leaves what an export holds to package export, judging a call to the
// gateway, and who hears of an event to whoever gives it a Publish. What RDS
// checks on behalf of others it asks the judge: whether the caller may have the
// key used (DescribeKey, CreateGrant), whether the export's role can be assumed
// and may write to the bucket.
//
// Promises: a snapshot holds what its databases held when it was made; states go
// by the clock that it is given, an export's no faster than its objects are
// stored; an event comes behind what it tells of; Close ends every export.
//
// Limits, errors and events:
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_StartExportTask.html
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
// The error of a sixth export at once is in no document; callers of the real API
// know it as ExportTaskLimitReachedFault. Chosen here: a second export of a
// source that is being exported has the error of a source in a wrong state, and
// so has a snapshot that another account shares.
package rds

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/local/asl"
	"godwit/internal/local/events"
	"godwit/internal/local/export"
	"godwit/internal/local/gateway"
	"godwit/internal/local/s3"
)

// Config is what a Service needs to know. What is for snapshots and exports alone
// may be missing where there are none.
type Config struct {
	Account string
	Region  string
	Clock   asl.Clock
	Judge   Judge
	Objects Objects
	// Publish is told every event, in order. nil is nobody.
	Publish func(events.Event)
	// Starting is how long an export is STARTING, and Extracting how long it is
	// IN_PROGRESS, at least; 0 is 10 and 5 minutes, a snapshot being restored first.
	Starting, Extracting time.Duration
	Style                export.Style
	// Broken says why the export with this identifier fails once it is in progress;
	// "" lets it end well. nil breaks none.
	Broken func(id string) string
}

// A Judge says what others than the caller may do, as iam.Judge does.
type Judge interface {
	// Authorize returns nil, or a *gateway.AccessDenied.
	Authorize(role, action, resource string, condition map[string]string) error
	// CanAssume returns nil, a *gateway.AccessDenied, or what else is wrong.
	CanAssume(role, service string, condition map[string]string) error
}

// Objects is the S3 that exports are written to, as s3.Service is.
type Objects interface {
	// BucketRegion is where a bucket is, "" where there is none.
	BucketRegion(name string) string
	// Put stores an object without asking anybody.
	Put(bucket, key string, body []byte, o s3.Options) error
}

// A Cluster is what the control plane says of one cluster.
type Cluster struct {
	ID      string
	ARN     string
	Engine  string
	Version string
	Status  string
	DataAPI bool
	MinACU  float64
	MaxACU  float64
	Roles   []Role
	// Databases is what the cluster holds, for exports of the living cluster.
	Databases []export.Database
}

// A Role is a role attached for one feature.
type Role struct{ ARN, Feature string }

// A Service answers for its clusters, snapshots and exports. The zero Service
// answers for clusters; one that New made is closed after use. Safe for concurrent
// use.
type Service struct {
	config Config
	ctx    context.Context // of everything under way; ends with Close
	stop   context.CancelFunc
	jobs   sync.WaitGroup

	mu        sync.Mutex
	clusters  map[string]Cluster // by id
	snapshots []*snapshot        // in the order of their making
	tasks     []*task            // likewise
}

var _ gateway.Service = (*Service)(nil)

// New makes a service that knows nothing yet.
func New(c Config) (*Service, error) {
	if c.Account == "" || c.Region == "" || c.Clock == nil {
		return nil, errors.New("local rds needs an account, a region and a clock")
	}
	if c.Publish == nil {
		c.Publish = func(events.Event) {}
	}
	if c.Broken == nil {
		c.Broken = func(string) string { return "" }
	}
	if c.Starting == 0 {
		c.Starting = 10 * time.Minute
	}
	if c.Extracting == 0 {
		c.Extracting = 5 * time.Minute
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Service{config: c, ctx: ctx, stop: stop}, nil
}

// Close ends the exports under way and lets the databases of all snapshots go.
func (s *Service) Close() {
	s.mu.Lock()
	s.stop() // no export starts from here on
	s.mu.Unlock()
	s.jobs.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.snapshots {
		x.frozen.Close()
	}
	s.snapshots = nil
}

// Set adds or replaces a cluster.
func (s *Service) Set(c Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters == nil {
		s.clusters = map[string]Cluster{}
	}
	s.clusters[c.ID] = c
}

// Change changes a cluster that is there.
func (s *Service) Change(id string, change func(*Cluster)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clusters[id]
	c.Roles = slices.Clone(c.Roles)
	change(&c)
	s.clusters[id] = c
}

// find finds a cluster; s.mu is held.
func (s *Service) find(arnOrID string) (Cluster, bool) {
	for _, c := range s.clusters {
		if c.ID == arnOrID || c.ARN == arnOrID {
			return c, true
		}
	}
	return Cluster{}, false
}

type roleXML struct {
	RoleArn     string `xml:"RoleArn"`
	FeatureName string `xml:"FeatureName"`
	Status      string `xml:"Status"`
}

type clusterXML struct {
	DBClusterIdentifier string    `xml:"DBClusterIdentifier"`
	DBClusterArn        string    `xml:"DBClusterArn"`
	Engine              string    `xml:"Engine"`
	EngineVersion       string    `xml:"EngineVersion"`
	Status              string    `xml:"Status"`
	HTTPEndpointEnabled bool      `xml:"HttpEndpointEnabled"`
	AssociatedRoles     []roleXML `xml:"AssociatedRoles>DBClusterRole"`
	MinCapacity         float64   `xml:"ServerlessV2ScalingConfiguration>MinCapacity"`
	MaxCapacity         float64   `xml:"ServerlessV2ScalingConfiguration>MaxCapacity"`
}

func (s *Service) describeClusters(in request) (any, error) {
	id := strings.TrimSpace(in.get("DBClusterIdentifier"))
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.find(id)
	if !ok {
		return nil, fail("DBClusterNotFoundFault", "DBCluster %s not found.", id)
	}
	x := clusterXML{
		DBClusterIdentifier: c.ID, DBClusterArn: c.ARN, Engine: c.Engine, EngineVersion: c.Version, Status: c.Status,
		HTTPEndpointEnabled: c.DataAPI, MinCapacity: c.MinACU, MaxCapacity: c.MaxACU,
	}
	for _, role := range c.Roles {
		x.AssociatedRoles = append(x.AssociatedRoles, roleXML{role.ARN, role.Feature, "ACTIVE"})
	}
	return struct {
		Clusters []clusterXML `xml:"DBClusters>DBCluster"`
	}{[]clusterXML{x}}, nil
}
