package dsql

// A catalog remembers who changed what when, so that sessions that began before
// a change hear of it.
type catalog struct {
	version uint64
	changes map[string]revision // by the object's last name
}

type revision struct {
	version uint64
	by      *session // nil is the cluster itself
}

// changed notes that objects of the catalog, those that are true, are other ones
// now.
func (c *Cluster) changed(names map[string]bool, by *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catalog.version++
	if c.catalog.changes == nil {
		c.catalog.changes = map[string]revision{}
	}
	for n, changed := range names {
		if changed {
			c.catalog.changes[n] = revision{c.catalog.version, by}
		}
	}
}

// stale says whether a statement mentions an object that another session has
// changed since this one last looked. It looks then, so that a repeat goes
// through, as on the service, where any change of the catalog does this.
func (c *Cluster) stale(s *session, stmt *statement) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range stmt.names {
		if r := c.catalog.changes[n]; r.version > s.seen && r.by != s {
			s.seen = c.catalog.version
			return true
		}
	}
	return false
}
