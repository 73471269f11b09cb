package dsql

type session struct{}

// Close closes the connections that are idle, and those in use when they end.
func (db *DB) Close() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.closed, db.idle = true, nil
}

// A Preparation is what Prepare makes.
type Preparation struct {
	Loader     string   // the database role that loads
	Principals []string // ARNs of the IAM roles that may connect as it
	Schemas    []string // that it may make tables in, made where they are missing
}
