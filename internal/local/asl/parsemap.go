package asl

import (
	"encoding/json"
	"slices"
	"strings"
)

// forbiddenInNames are the characters that a Label may not hold.
const forbiddenInNames = "?*<>{}[]\"#%\\^|~`$&,;:/ \t\r\n"

// mapping reads the fields of a Map state that are not common to all.
func (p *parser) mapping(f *fields, scope *scopeNames) *mapping {
	m := &mapping{
		items:       f.value("Items", scope, 0),
		selector:    f.value("ItemSelector", scope, 0),
		concurrency: f.amount("MaxConcurrency", scope, 0, 1<<31),
	}
	body := f.object("ItemProcessor")
	if body == nil {
		f.fault("ItemProcessor", "is missing")
		return m
	}
	body.text("Comment")
	distributed, express := false, false
	if c := body.object("ProcessorConfig"); c != nil {
		distributed = c.oneOf("Mode", "INLINE", "INLINE", "DISTRIBUTED") == "DISTRIBUTED"
		if distributed {
			kind := c.oneOf("ExecutionType", "", "STANDARD", "EXPRESS")
			if kind == "" {
				c.fault("ExecutionType", "is missing")
			}
			express = kind == "EXPRESS"
		}
		c.done()
	}
	inner := &scopeNames{outer: scope, names: map[string]bool{}}
	if distributed {
		inner.outer = nil // children are executions of their own
	}
	m.processor = p.processor(body, inner)
	m.processor.distributed, m.processor.express = distributed, express
	body.done()
	if m.items != nil && m.items.literal != nil && first(m.items.literal) != '[' && first(m.items.literal) != '{' {
		f.fault("Items", "is neither a list nor an object nor an expression")
	}
	if !distributed {
		return m // the other fields are unknown to an inline Map
	}
	m.reader = p.itemReader(f.object("ItemReader"), scope)
	if m.reader != nil && m.items != nil {
		f.fault("Items", "stands beside ItemReader")
	}
	if b := f.object("ItemBatcher"); b != nil {
		m.batcher = &itemBatcher{
			maxItems: b.amount("MaxItemsPerBatch", scope, 1, 1<<31),
			maxBytes: b.amount("MaxInputBytesPerBatch", scope, 1, MaxData),
			input:    b.value("BatchInput", scope, 0),
		}
		if m.batcher.maxItems == nil && m.batcher.maxBytes == nil {
			b.fault("MaxItemsPerBatch", "an ItemBatcher needs this or MaxInputBytesPerBatch")
		}
		b.done()
	}
	m.toleratedPct = f.value("ToleratedFailurePercentage", scope, 0)
	m.toleratedNum = f.amount("ToleratedFailureCount", scope, 0, 1<<31)
	m.label = f.text("Label")
	if len(m.label) > 40 || strings.ContainsAny(m.label, forbiddenInNames) {
		f.fault("Label", "%q has more than 40 characters, white space or one of %s", m.label, forbiddenInNames)
	}
	m.writer = p.resultWriter(f.object("ResultWriter"), scope)
	return m
}

// integration returns the part of an ARN of the form arn:aws:states:::x:y.
func integration(arn string) string {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "states" || part[3] != "" || part[4] != "" {
		return ""
	}
	return part[5]
}

func (p *parser) itemReader(f *fields, scope *scopeNames) *itemReader {
	if f == nil {
		return nil
	}
	arn := f.text("Resource")
	r := &itemReader{resource: integration(arn), arguments: f.value("Arguments", scope, 0)}
	if r.resource != "s3:getObject" && r.resource != "s3:listObjectsV2" {
		f.fault("Resource", "%q is no resource of an ItemReader known here", arn)
	}
	if r.arguments == nil {
		f.fault("Arguments", "is missing")
	} else if r.resource == "s3:getObject" {
		p.members(f, r.arguments, "Bucket", "Key")
	} else {
		p.members(f, r.arguments, "Bucket", "Prefix")
	}
	c := f.object("ReaderConfig")
	if c != nil {
		r.inputType = c.oneOf("InputType", "", "JSON", "JSONL", "CSV")
		r.maxItems = c.amount("MaxItems", scope, 1, 100000000)
		switch r.inputType {
		case "JSON":
			r.pointer = c.value("ItemsPointer", scope, 0)
		case "CSV":
			p.csv(c, r)
		}
		c.done()
	}
	if r.resource == "s3:getObject" && r.inputType == "" {
		f.fault("ReaderConfig", "needs an InputType")
	}
	if r.resource == "s3:listObjectsV2" && r.inputType != "" {
		f.fault("ReaderConfig", "InputType does not go with listObjectsV2 here")
	}
	f.done()
	return r
}

func (p *parser) csv(c *fields, r *itemReader) {
	switch c.oneOf("CSVHeaderLocation", "", "FIRST_ROW", "GIVEN") {
	case "GIVEN":
		r.given = true
		if err := json.Unmarshal(c.raw("CSVHeaders"), &r.headers); err != nil || len(r.headers) == 0 {
			c.fault("CSVHeaders", "is not a list of names")
		}
	case "":
		c.fault("CSVHeaderLocation", "is missing")
	}
	names := map[string]rune{"COMMA": ',', "PIPE": '|', "SEMICOLON": ';', "SPACE": ' ', "TAB": '\t'}
	r.delimiter = names[c.oneOf("CSVDelimiter", "COMMA", "COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")]
}

func (p *parser) resultWriter(f *fields, scope *scopeNames) *resultWriter {
	if f == nil {
		return nil
	}
	w := &resultWriter{arguments: f.value("Arguments", scope, 0), transformation: "NONE"}
	arn := f.text("Resource")
	switch {
	case arn == "" && w.arguments == nil:
		w.transformation = "COMPACT"
	case integration(arn) != "s3:putObject":
		f.fault("Resource", "%q is no resource of a ResultWriter", arn)
	case w.arguments == nil:
		f.fault("Arguments", "is missing")
	default:
		p.members(f, w.arguments, "Bucket", "Prefix")
	}
	if c := f.object("WriterConfig"); c != nil {
		w.transformation = c.oneOf("Transformation", w.transformation, "NONE", "COMPACT", "FLATTEN")
		w.jsonl = c.oneOf("OutputType", "JSON", "JSON", "JSONL") == "JSONL"
		c.done()
	}
	f.done()
	return w
}

// members refuses members of Arguments that nothing here would heed.
func (p *parser) members(f *fields, t *template, known ...string) {
	keys := t.keys
	if t.literal != nil {
		o, err := parseObject(t.literal)
		if err != nil {
			f.fault("Arguments", "%v", err)
		}
		keys = o.keys
	}
	for _, k := range keys {
		if !slices.Contains(known, k) {
			f.fault("Arguments."+k, "is not known here")
		}
	}
}
