package rds

import (
	"slices"
	"strings"
)

// A taskXML is an export as the API describes it.
type taskXML struct {
	ID           string   `xml:"ExportTaskIdentifier"`
	SourceARN    string   `xml:"SourceArn"`
	Only         []string `xml:"ExportOnly>member"`
	SnapshotTime string   `xml:"SnapshotTime,omitempty"`
	StartTime    string   `xml:"TaskStartTime,omitempty"`
	EndTime      string   `xml:"TaskEndTime,omitempty"`
	Bucket       string   `xml:"S3Bucket"`
	Prefix       string   `xml:"S3Prefix"`
	Role         string   `xml:"IamRoleArn"`
	Key          string   `xml:"KmsKeyId"`
	Status       string   `xml:"Status"`
	Percent      int      `xml:"PercentProgress"`
	Gigabytes    int      `xml:"TotalExtractedDataInGB"`
	Cause        string   `xml:"FailureCause,omitempty"`
	Warning      string   `xml:"WarningMessage,omitempty"`
	SourceType   string   `xml:"SourceType"`
}

// describe is called with s.mu held. A task has a starting time once it is in
// progress.
func (t *task) describe() taskXML {
	x := taskXML{
		ID: t.id, SourceARN: t.source, Only: t.only, SnapshotTime: stamp(t.snapshotTime), EndTime: stamp(t.endedAt), Bucket: t.bucket, Prefix: t.prefix, Role: t.role, Key: t.key,
		Status: t.status, Percent: t.percent, Gigabytes: t.extractedInGiga, Cause: t.cause, Warning: t.warning, SourceType: t.sourceType,
	}
	if t.status != starting {
		x.StartTime = stamp(t.started)
	}
	return x
}

func (s *Service) describeExports(in request) (any, error) {
	fields := map[string]func(*task) string{
		"export-task-identifier": func(t *task) string { return t.id }, "s3-bucket": func(t *task) string { return t.bucket },
		"source-arn": func(t *task) string { return t.source }, "status": func(t *task) string { return strings.ToLower(t.status) },
	}
	if err := in.known("export-task-identifier", "s3-bucket", "source-arn", "status"); err != nil {
		return nil, err
	}
	if kind := in.get("SourceType"); !slices.Contains([]string{"", "SNAPSHOT", "CLUSTER"}, kind) {
		return nil, fail("InvalidParameterValue", "Invalid source type: %s", kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*task
	for _, t := range s.tasks {
		keep := (in.get("ExportTaskIdentifier") == "" || in.get("ExportTaskIdentifier") == t.id) && (in.get("SourceArn") == "" || in.get("SourceArn") == t.source) &&
			(in.get("SourceType") == "" || in.get("SourceType") == t.sourceType)
		for name, field := range fields {
			if want, given := in.filter(name); given && !slices.ContainsFunc(want, func(v string) bool { return strings.EqualFold(v, field(t)) }) {
				keep = false
			}
		}
		if keep {
			found = append(found, t)
		}
	}
	if id := in.get("ExportTaskIdentifier"); id != "" && len(found) == 0 {
		return nil, fail("ExportTaskNotFound", "The export task %s doesn't exist", id)
	}
	some, next, err := page(in, found)
	if err != nil {
		return nil, err
	}
	out := struct {
		Tasks  []taskXML `xml:"ExportTasks>ExportTask"`
		Marker string    `xml:"Marker,omitempty"`
	}{Marker: next}
	for _, t := range some {
		out.Tasks = append(out.Tasks, t.describe())
	}
	return out, nil
}

func (s *Service) cancelExport(in request) (any, error) {
	id := in.get("ExportTaskIdentifier")
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.tasks, func(t *task) bool { return t.id == id })
	if i < 0 {
		return nil, fail("ExportTaskNotFound", "The export task %s doesn't exist", id)
	}
	t := s.tasks[i]
	if t.ended() || t.status == canceling {
		return nil, fail("InvalidExportTaskStateFault", "The export task %s is %s, and can't be canceled", id, t.status)
	}
	t.status = canceling
	t.cancel()
	return t.describe(), nil
}
