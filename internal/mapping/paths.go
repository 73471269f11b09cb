package mapping

// EachPath visits what was seen at each path of the documents, the documents
// themselves first and every path before those below it, in the order first
// seen. A path is spelled as in mapping files, with [] for the elements of a
// list; "" is the documents.
func (s *Shape) EachPath(visit func(path string, f *Field)) { s.Root.paths("", visit) }

func (f *Field) paths(at string, visit func(path string, f *Field)) {
	visit(at, f)
	for _, c := range f.Fields {
		path := quoteName(c.Name)
		if at != "" {
			path = at + "." + path
		}
		c.paths(path, visit)
	}
	if f.Elements != nil {
		f.Elements.paths(at+"[]", visit)
	}
}
