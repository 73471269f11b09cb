package asl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// writeResults makes the result of a Distributed Map from its children, and the
// files of its ResultWriter. It writes them for a run that has failed as well.
func (x *Execution) writeResults(ctx context.Context, v *visit, r *MapRun, failed bool) (json.RawMessage, error) {
	w := v.s.each.writer
	if w == nil || w.arguments == nil {
		if failed {
			return nil, nil
		}
		var outputs []json.RawMessage
		for _, c := range r.Children() {
			res := c.Result()
			if res.Status != Succeeded {
				continue // tolerated
			}
			switch {
			case w == nil || w.transformation == "COMPACT":
				outputs = append(outputs, res.Output)
			case w.transformation == "FLATTEN":
				outputs = append(outputs, flattened(res.Output)...)
			default:
				outputs = append(outputs, resultRecord(c))
			}
		}
		all := encodeList(outputs)
		if e := tooLarge("result of the Map state '"+v.s.name+"'", all); e != nil {
			return nil, e
		}
		return all, nil
	}
	if context.Cause(ctx) != nil {
		return nil, context.Cause(ctx)
	}
	args, e := v.eval(ctx, w.arguments)
	if e != nil {
		return nil, e
	}
	var at struct{ Bucket, Prefix string }
	if err := json.Unmarshal(args, &at); err != nil || at.Bucket == "" {
		return nil, errorf(ErrResultWriterFailed, "The arguments of the ResultWriter of '%s' name no bucket: %s", v.s.name, args)
	}
	prefix := strings.TrimSuffix(at.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	prefix += r.ARN[strings.LastIndexByte(r.ARN, ':')+1:] + "/"
	if err := x.putResults(ctx, w, r, at.Bucket, prefix); err != nil {
		return nil, errorf(ErrResultWriterFailed, "ResultWriter of the Map state '%s': %s", v.s.name, denied(err))
	}
	return encodeObject("MapRunArn", r.ARN, "ResultWriterDetails",
		encodeObject("Bucket", at.Bucket, "Key", prefix+"manifest.json")), nil
}

// maxResultFile is where a result file ends and the next begins, in bytes: the
// service's is 5 GB, which nobody wants to wait for in a test.
const maxResultFile = 64 << 20

func (x *Execution) putResults(ctx context.Context, w *resultWriter, r *MapRun, bucket, prefix string) error {
	if x.engine.Objects == nil {
		return fmt.Errorf("the engine has no objects")
	}
	put := func(key string, body []byte) error {
		if err := x.authorize("s3:PutObject", "arn:"+x.Machine.part(1)+":s3:::"+bucket+"/"+key); err != nil {
			return err
		}
		return x.engine.Objects.Put(ctx, x.Machine.Role, bucket, key, body)
	}
	groups := map[string][]json.RawMessage{}
	for _, c := range r.Children() {
		res := c.Result()
		switch {
		case res.Status == Succeeded && w.transformation == "COMPACT":
			groups["SUCCEEDED"] = append(groups["SUCCEEDED"], res.Output)
		case res.Status == Succeeded && w.transformation == "FLATTEN":
			groups["SUCCEEDED"] = append(groups["SUCCEEDED"], flattened(res.Output)...)
		case res.Status == Succeeded:
			groups["SUCCEEDED"] = append(groups["SUCCEEDED"], resultRecord(c))
		case res.Status == Pending || res.Status == Running:
			groups["PENDING"] = append(groups["PENDING"], resultRecord(c))
		default:
			groups["FAILED"] = append(groups["FAILED"], resultRecord(c))
		}
	}
	extension := ".json"
	if w.jsonl {
		extension = ".jsonl"
	}
	files := map[string]json.RawMessage{}
	for _, kind := range []string{"FAILED", "PENDING", "SUCCEEDED"} {
		var list []json.RawMessage
		records := groups[kind]
		for n := 0; len(records) > 0; n++ {
			size, count := 0, 0
			for count < len(records) && (count == 0 || size+len(records[count]) <= maxResultFile) {
				size += len(records[count]) + 1
				count++
			}
			body := []byte(encodeList(records[:count]))
			if w.jsonl {
				body = lines(records[:count])
			}
			key := fmt.Sprintf("%s%s_%d%s", prefix, kind, n, extension)
			if err := put(key, body); err != nil {
				return err
			}
			list = append(list, encodeObject("Key", key, "Size", len(body)))
			records = records[count:]
		}
		files[kind] = encodeList(list)
	}
	return put(prefix+"manifest.json", encodeObject("DestinationBucket", bucket, "MapRunArn", r.ARN, "ResultFiles",
		encodeObject("FAILED", files["FAILED"], "PENDING", files["PENDING"], "SUCCEEDED", files["SUCCEEDED"])))
}

func lines(records []json.RawMessage) []byte {
	var b bytes.Buffer
	for _, r := range records {
		b.Write(r)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// flattened is the elements of a list, or the one value that is none.
func flattened(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if first(raw) == '[' && json.Unmarshal(raw, &list) == nil {
		return list
	}
	return []json.RawMessage{raw}
}

// resultRecord is a child in a result file that is not transformed.
func resultRecord(c *Execution) json.RawMessage {
	res := c.Result()
	included := encodeObject("Included", true)
	why := c.WhyNotRedrivable()
	status := "REDRIVABLE_BY_MAP_RUN"
	if why != "" || res.Status == Pending {
		status = "NOT_REDRIVABLE"
	}
	pairs := []any{"ExecutionArn", c.ARN}
	if res.Error != nil && *res.Error != (Error{}) {
		pairs = append(pairs, "Error", res.Error.Name, "Cause", res.Error.Cause)
	}
	pairs = append(pairs, "Input", string(c.Input), "InputDetails", included, "Name", c.Name)
	if res.Output != nil {
		pairs = append(pairs, "Output", string(res.Output), "OutputDetails", included)
	}
	pairs = append(pairs, "RedriveCount", res.RedriveCount, "RedriveStatus", status)
	if why != "" {
		pairs = append(pairs, "RedriveStatusReason", why)
	}
	if !res.Started.IsZero() {
		pairs = append(pairs, "StartDate", stamp(res.Started))
	}
	pairs = append(pairs, "StateMachineArn", c.MachineARN, "Status", string(res.Status))
	if !res.Stopped.IsZero() {
		pairs = append(pairs, "StopDate", stamp(res.Stopped))
	}
	return encodeObject(pairs...)
}
