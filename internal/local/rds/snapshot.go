package rds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"godwit/internal/local/events"
	"godwit/internal/local/export"
	"godwit/internal/local/gateway"
)

// A Snapshot is a snapshot to be made.
type Snapshot struct {
	// ID is its identifier; that of an automated one begins with rds:.
	ID string
	// SourceARN is the cluster or DB instance that it is of; it need not be known.
	SourceARN string
	Engine    string // "" is aurora-postgresql, or postgres of a DB instance
	Version   string // "" is 17.9
	Tags      map[string]string
	KMSKey    string // ARN; "" is a snapshot that is not encrypted
	// Owner is the account that shares it; "" is our own.
	Owner     string
	Databases []export.Database
	// Creating is how long it is creating; 0 is not at all.
	Creating time.Duration
}

// A snapshot is one that was made. Its status is guarded by the service.
type snapshot struct {
	Snapshot
	arn     string
	cluster bool // a cluster snapshot, not one of a DB instance
	made    time.Time
	status  string
	frozen  *export.Frozen
}

// kind is the API's SnapshotType.
func (x *snapshot) kind(account string) string {
	switch {
	case x.Owner != account:
		return "shared"
	case strings.HasPrefix(x.ID, "rds:"):
		return "automated"
	}
	return "manual"
}

// CreateSnapshot keeps what databases hold, and publishes the events of it, the
// last behind the time that it is creating, which it does not wait for. It returns
// the snapshot's ARN.
func (s *Service) CreateSnapshot(ctx context.Context, c Snapshot) (arn string, err error) {
	part := strings.SplitN(c.SourceARN, ":", 7)
	if len(part) != 7 || part[5] != "cluster" && part[5] != "db" || c.ID == "" {
		return "", fmt.Errorf("create snapshot %q of %s: it needs a name, and the ARN of a cluster or DB instance", c.ID, c.SourceARN)
	}
	x := &snapshot{Snapshot: c, cluster: part[5] == "cluster", status: "creating", made: s.config.Clock.Now()}
	x.Tags = maps.Clone(c.Tags)
	if x.Owner == "" {
		x.Owner = s.config.Account
	}
	if x.Engine == "" {
		x.Engine = map[bool]string{true: "aurora-postgresql", false: "postgres"}[x.cluster]
	}
	if x.Version == "" {
		x.Version = "17.9"
	}
	x.arn = "arn:aws:rds:" + s.config.Region + ":" + x.Owner + ":" + map[bool]string{true: "cluster-snapshot", false: "snapshot"}[x.cluster] + ":" + x.ID
	if x.frozen, err = export.Freeze(ctx, x.made, c.Databases); err != nil {
		return "", err
	}
	s.mu.Lock()
	if s.ctx.Err() != nil || s.snapshot(x.arn) != nil {
		s.mu.Unlock()
		x.frozen.Close()
		return "", fmt.Errorf("create snapshot %s: it exists, or the service is closed", x.ID)
	}
	s.snapshots = append(s.snapshots, x)
	s.mu.Unlock()
	s.tell(x, "creating")
	if c.Creating == 0 {
		s.available(x)
		return x.arn, nil
	}
	s.jobs.Go(func() {
		if s.config.Clock.Sleep(s.ctx, c.Creating) == nil {
			s.available(x)
		}
	})
	return x.arn, nil
}

func (s *Service) available(x *snapshot) {
	s.mu.Lock()
	x.status = "available"
	s.mu.Unlock()
	s.tell(x, "created")
}

// Tag gives a snapshot a tag.
func (s *Service) Tag(arn, key, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.snapshot(arn)
	if x == nil {
		return fmt.Errorf("tag snapshot %s: there is none", arn)
	}
	if x.Tags == nil {
		x.Tags = map[string]string{}
	}
	x.Tags[key] = value
	return nil
}

// DeleteSnapshot removes a snapshot that is not being exported.
func (s *Service) DeleteSnapshot(arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.snapshot(arn)
	if x == nil || slices.ContainsFunc(s.tasks, func(t *task) bool { return t.source == arn && !t.ended() }) {
		return fmt.Errorf("delete snapshot %s: there is none, or it is being exported", arn)
	}
	x.frozen.Close()
	s.snapshots = slices.DeleteFunc(s.snapshots, func(o *snapshot) bool { return o == x })
	return nil
}

// snapshot finds a snapshot; s.mu is held.
func (s *Service) snapshot(arn string) *snapshot {
	for _, x := range s.snapshots {
		if x.arn == arn {
			return x
		}
	}
	return nil
}

// The numbers of events, by what is told, of which kind of source.
var eventIDs = map[string]map[string]string{
	"CLUSTER_SNAPSHOT": {
		"manual creating": "0074", "manual created": "0075", "automated creating": "0168", "automated created": "0169",
		"failed": "0162", "canceled": "0163", "completed": "0164",
	},
	"SNAPSHOT": {
		"manual creating": "0040", "manual created": "0042", "automated creating": "0090", "automated created": "0091",
		"failed": "0159", "canceled": "0160", "completed": "0161",
	},
	"CLUSTER": {"failed": "0234", "canceled": "0235", "completed": "0236"},
}

// tell publishes that a snapshot is creating or created. What others share makes
// no events here.
func (s *Service) tell(x *snapshot, what string) {
	kind := x.kind(s.config.Account)
	if kind == "shared" {
		return
	}
	sourceType, category, noun := "SNAPSHOT", "creation", strings.ToUpper(kind[:1])+kind[1:]+" snapshot "+what
	if x.cluster {
		sourceType, category, noun = "CLUSTER_SNAPSHOT", "backup", strings.ToUpper(kind[:1])+kind[1:]+" cluster snapshot "+what
	}
	s.publish(sourceType, kind+" "+what, category, x.arn, x.ID, noun)
}

// publish tells of an event as RDS does.
func (s *Service) publish(sourceType, what, category, arn, id, message string) {
	now := s.config.Clock.Now().UTC()
	detail, err := json.Marshal(map[string]any{
		"EventCategories": []string{category}, "SourceType": sourceType, "SourceArn": arn, "Date": now.Format("2006-01-02T15:04:05.000Z"),
		"SourceIdentifier": id, "Message": message, "EventID": "RDS-EVENT-" + eventIDs[sourceType][what],
	})
	if err != nil {
		return // texts are always JSON
	}
	s.config.Publish(events.Event{
		Source: "aws.rds", Time: now, Resources: []string{arn}, Detail: detail,
		DetailType: map[string]string{"CLUSTER_SNAPSHOT": "RDS DB Cluster Snapshot Event", "SNAPSHOT": "RDS DB Snapshot Event", "CLUSTER": "RDS DB Cluster Event"}[sourceType],
	})
}

// callsOfSnapshots asks for the snapshot that is named, in the caller's account.
func (s *Service) callsOfSnapshots(in request) []gateway.Call {
	kind, id := "cluster-snapshot", in.get("DBClusterSnapshotIdentifier")
	of, source := "cluster", in.get("DBClusterIdentifier")
	if in.action == "DescribeDBSnapshots" {
		kind, id, of, source = "snapshot", in.get("DBSnapshotIdentifier"), "db", in.get("DBInstanceIdentifier")
	}
	arn := func(kind, id string) string {
		if strings.HasPrefix(id, "arn:") {
			return id
		}
		return "arn:aws:rds:" + s.config.Region + ":" + s.config.Account + ":" + kind + ":" + id
	}
	switch {
	case id != "":
		return in.call(arn(kind, id))
	case source != "":
		return in.call(arn(of, source))
	}
	return in.call(arn(kind, "*"))
}

type tagXML struct {
	Key   string `xml:"Key"`
	Value string `xml:"Value"`
}

func tags(m map[string]string) (all []tagXML) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, tagXML{k, m[k]})
	}
	return all
}

// described are the members that cluster snapshots and DB snapshots share.
type described struct {
	SnapshotCreateTime string   `xml:"SnapshotCreateTime"`
	Engine             string   `xml:"Engine"`
	EngineVersion      string   `xml:"EngineVersion"`
	Status             string   `xml:"Status"`
	SnapshotType       string   `xml:"SnapshotType"`
	PercentProgress    int      `xml:"PercentProgress"`
	AllocatedStorage   int      `xml:"AllocatedStorage"`
	MasterUsername     string   `xml:"MasterUsername"`
	KmsKeyID           string   `xml:"KmsKeyId,omitempty"`
	Tags               []tagXML `xml:"TagList>Tag"`
}

type clusterSnapshotXML struct {
	ID     string `xml:"DBClusterSnapshotIdentifier"`
	Source string `xml:"DBClusterIdentifier"`
	ARN    string `xml:"DBClusterSnapshotArn"`
	described
	Encrypted bool `xml:"StorageEncrypted"`
}

type dbSnapshotXML struct {
	ID     string `xml:"DBSnapshotIdentifier"`
	Source string `xml:"DBInstanceIdentifier"`
	ARN    string `xml:"DBSnapshotArn"`
	described
	Encrypted bool `xml:"Encrypted"`
}

// source is the identifier of what the snapshot is of.
func (x *snapshot) source() string { return x.SourceARN[strings.LastIndexByte(x.SourceARN, ':')+1:] }

// describe is called with s.mu held.
func (s *Service) describe(x *snapshot) described {
	d := described{
		SnapshotCreateTime: stamp(x.made), Engine: x.Engine, EngineVersion: x.Version, Status: x.status, SnapshotType: x.kind(s.config.Account), AllocatedStorage: 1, KmsKeyID: x.KMSKey,
	}
	for _, database := range x.Databases {
		d.MasterUsername = database.Master
	}
	if x.status == "available" {
		d.PercentProgress = 100
	}
	if x.Owner == s.config.Account { // nobody sees the tags of another account
		d.Tags = tags(x.Tags)
	}
	return d
}

func (s *Service) describeClusterSnapshots(in request) (any, error) {
	found, next, err := s.selected(in, true, in.get("DBClusterSnapshotIdentifier"), in.get("DBClusterIdentifier"), "db-cluster-")
	if err != nil {
		return nil, err
	}
	out := struct {
		Snapshots []clusterSnapshotXML `xml:"DBClusterSnapshots>DBClusterSnapshot"`
		Marker    string               `xml:"Marker,omitempty"`
	}{Marker: next}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range found {
		out.Snapshots = append(out.Snapshots, clusterSnapshotXML{x.ID, x.source(), x.arn, s.describe(x), x.KMSKey != ""})
	}
	return out, nil
}

func (s *Service) describeDBSnapshots(in request) (any, error) {
	found, next, err := s.selected(in, false, in.get("DBSnapshotIdentifier"), in.get("DBInstanceIdentifier"), "db-")
	if err != nil {
		return nil, err
	}
	out := struct {
		Snapshots []dbSnapshotXML `xml:"DBSnapshots>DBSnapshot"`
		Marker    string          `xml:"Marker,omitempty"`
	}{Marker: next}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range found {
		out.Snapshots = append(out.Snapshots, dbSnapshotXML{x.ID, x.source(), x.arn, s.describe(x), x.KMSKey != ""})
	}
	return out, nil
}

// selected are the snapshots that a request asks for. What is shared, and an
// automated snapshot by its identifier, are found only by who asks for that kind,
// as the API's reference says.
func (s *Service) selected(in request, cluster bool, id, source, prefix string) ([]*snapshot, string, error) {
	sourceFilter, what := prefix+"id", "DBClusterSnapshot"
	if !cluster {
		sourceFilter, what = "db-instance-id", "DBSnapshot"
	}
	snapshotFilter := prefix + "snapshot-id"
	if err := in.known(sourceFilter, snapshotFilter, "snapshot-type", "engine"); err != nil {
		return nil, "", err
	}
	kind := in.get("SnapshotType")
	if !slices.Contains([]string{"", "automated", "manual", "shared"}, kind) {
		return nil, "", fail("InvalidParameterValue", "Invalid snapshot type: %s", kind)
	}
	if id != "" && source != "" {
		return nil, "", fail("InvalidParameterCombination", "An identifier of a snapshot and of its source cannot be given together")
	}
	if strings.Contains(source, ":") { // a filter takes ARNs, the parameter does not
		return nil, "", fail("InvalidParameterValue", "Invalid identifier: %s", source)
	}
	among := func(filter string, values ...string) bool {
		want, given := in.filter(filter)
		return !given || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(want, v) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*snapshot
	for _, x := range s.snapshots {
		is := x.kind(s.config.Account)
		switch {
		case x.cluster != cluster,
			kind != "" && is != kind,
			kind == "" && is == "shared" && in.get("IncludeShared") != "true",
			kind == "" && is == "automated" && id != "",
			id != "" && !strings.EqualFold(id, x.ID) && id != x.arn,
			source != "" && !strings.EqualFold(source, x.source()),
			!among(sourceFilter, x.source(), x.SourceARN), !among(snapshotFilter, x.ID), !among("snapshot-type", is), !among("engine", x.Engine):
		default:
			found = append(found, x)
		}
	}
	if id != "" && len(found) == 0 {
		code := map[bool]string{true: "DBClusterSnapshotNotFoundFault", false: "DBSnapshotNotFound"}[cluster]
		return nil, "", fail(code, "%s %s not found.", what, id)
	}
	return page(in, found)
}

func (s *Service) listTags(in request) (any, error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	arn := in.get("ResourceName")
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.snapshot(arn)
	switch {
	case x != nil && x.Owner == s.config.Account:
		return struct {
			Tags []tagXML `xml:"TagList>Tag"`
		}{tags(x.Tags)}, nil
	case strings.Contains(arn, ":cluster-snapshot:"):
		return nil, fail("DBClusterSnapshotNotFoundFault", "DBClusterSnapshot %s not found.", arn)
	case strings.Contains(arn, ":snapshot:"):
		return nil, fail("DBSnapshotNotFound", "DBSnapshot %s not found.", arn)
	}
	return nil, errors.New("tags of " + arn + " are not kept locally: snapshots have them")
}
