// Package rds is the RDS control plane of the local AWS, as far as a load asks
// it: DescribeDBClusters of the clusters that the stacks make. It speaks the
// query protocol, version 2014-10-31, and refuses other operations by name.
package rds

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"godwit/internal/local/gateway"
)

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
}

// A Role is a role attached for one feature.
type Role struct{ ARN, Feature string }

// A Service answers for its clusters. Safe for concurrent use.
type Service struct {
	mu       sync.Mutex
	clusters map[string]Cluster // by id
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

func (s *Service) find(arnOrID string) (Cluster, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clusters {
		if c.ID == arnOrID || c.ARN == arnOrID {
			return c, true
		}
	}
	return Cluster{}, false
}

// Describe implements gateway.Service.
func (s *Service) Describe(_ *http.Request, body []byte) ([]gateway.Call, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("rds: read the request: %w", err)
	}
	if form.Get("Action") != "DescribeDBClusters" {
		return nil, fmt.Errorf("rds: operation %q is not implemented locally", form.Get("Action"))
	}
	for name := range form {
		switch name {
		case "Action", "Version", "DBClusterIdentifier":
		default:
			return nil, fmt.Errorf("rds: parameter %q of DescribeDBClusters is not implemented locally", name)
		}
	}
	resource := "*"
	if c, ok := s.find(form.Get("DBClusterIdentifier")); ok {
		resource = c.ARN
	}
	return []gateway.Call{{Action: "rds:DescribeDBClusters", Resources: []string{resource}}}, nil
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

type response struct {
	XMLName  xml.Name     `xml:"http://rds.amazonaws.com/doc/2014-10-31/ DescribeDBClustersResponse"`
	Clusters []clusterXML `xml:"DescribeDBClustersResult>DBClusters>DBCluster"`
}

type failure struct {
	XMLName xml.Name `xml:"http://rds.amazonaws.com/doc/2014-10-31/ ErrorResponse"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

// ServeHTTP implements gateway.Service.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		answer(w, http.StatusBadRequest, failure{Type: "Sender", Code: "MalformedQueryString", Message: err.Error()})
		return
	}
	id := r.Form.Get("DBClusterIdentifier")
	c, ok := s.find(id)
	if !ok {
		answer(w, http.StatusNotFound, failure{Type: "Sender", Code: "DBClusterNotFoundFault", Message: "DBCluster " + strings.TrimSpace(id) + " not found."})
		return
	}
	x := clusterXML{
		DBClusterIdentifier: c.ID, DBClusterArn: c.ARN, Engine: c.Engine, EngineVersion: c.Version, Status: c.Status,
		HTTPEndpointEnabled: c.DataAPI, MinCapacity: c.MinACU, MaxCapacity: c.MaxACU,
	}
	for _, role := range c.Roles {
		x.AssociatedRoles = append(x.AssociatedRoles, roleXML{role.ARN, role.Feature, "ACTIVE"})
	}
	answer(w, http.StatusOK, response{Clusters: []clusterXML{x}})
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := xml.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller that went away asks again
}
