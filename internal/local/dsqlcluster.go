package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"godwit/internal/local/dsql"
	"godwit/internal/local/postgres"
	"godwit/internal/local/template"
)

// A DSQLCluster is the Aurora DSQL cluster of the stacks.
type DSQLCluster struct {
	*dsql.Cluster
	// DSN connects to the database behind the cluster, past all of its limits, to
	// look.
	DSN string

	name string // the host name that the stacks know it by
	ca   string // file of the certificate that its clients trust
}

// DSQLOptions are what a run asks of Aurora DSQL. The zero value has everything go
// well.
type DSQLOptions struct {
	JobDelay time.Duration                // see dsql.Config
	Fault    func(dsql.Event) dsql.Effect // nil is none
}

// startDSQL starts the Aurora DSQL cluster of the stacks, if they have one.
func (c *Cloud) startDSQL(ctx context.Context, o Options) error {
	clusters := template.ByType(c.Stacks, "AWS::DSQL::Cluster")
	if len(clusters) == 0 || o.NoDatabase {
		return nil
	}
	if len(clusters) > 1 {
		return fmt.Errorf("the stacks have %d clusters of Aurora DSQL: local runs one", len(clusters))
	}
	r := clusters[0]
	po := postgres.Options{}
	if o.Dir != "" {
		po.Dir, po.Durable = filepath.Join(o.Dir, "dsql"), true
	}
	server, err := postgres.Start(ctx, po)
	if err != nil {
		return fmt.Errorf("start the PostgreSQL of Aurora DSQL: %w", err)
	}
	c.closers = append(c.closers, func() { _ = server.Close() }) // its end is what matters
	c.DSQL = &DSQLCluster{DSN: server.AdminDSN("postgres") + "&timezone=UTC", name: r.ID + ".dsql." + r.Stack.Region + ".on.aws"}
	c.DSQL.Cluster, err = dsql.Start(ctx, dsql.Config{
		DSN: server.AdminDSN("postgres"), ID: r.ID, Account: r.Stack.Account, Region: r.Stack.Region,
		Gateway: c.Gateway, Now: c.Clock.Now, JobDelay: o.DSQL.JobDelay, Fault: o.DSQL.Fault,
	})
	if err != nil {
		return fmt.Errorf("start Aurora DSQL: %w", err)
	}
	c.closers = append(c.closers, func() { _ = c.DSQL.Close() }) // so is its end
	folder, err := os.MkdirTemp("", "godwit-dsql-")
	if err != nil {
		return err
	}
	c.closers = append(c.closers, func() { _ = os.RemoveAll(folder) }) // of temporary files
	c.DSQL.ca = filepath.Join(folder, "ca.pem")
	return os.WriteFile(c.DSQL.ca, c.DSQL.CA(), 0o644) // a certificate, which functions of another user may read
}

// resolve does what name servers and the trust store do on AWS: functions find the
// cluster where it is, and trust its certificate.
func (d *DSQLCluster) resolve(env map[string]string) {
	if d == nil {
		return
	}
	for name, value := range env {
		env[name] = strings.ReplaceAll(value, d.name, d.Endpoint())
	}
	env["SSL_CERT_FILE"] = d.ca
}
