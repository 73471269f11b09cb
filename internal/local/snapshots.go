package local

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/local/export"
	"godwit/internal/local/rds"
	"godwit/internal/local/rdsdata"
)

// SnapshotOptions are what a run asks of the exports of RDS. The zero value asks
// for nothing.
type SnapshotOptions struct {
	Style export.Style
	// Broken may fail exports: see rds.Config.
	Broken func(id string) string
	// Starting and Extracting are how long exports take at least: see rds.Config.
	Starting, Extracting time.Duration
}

// startRDS starts the control plane and the Data API, whose clusters come later.
func (c *Cloud) startRDS(_ context.Context, o Options) error {
	if o.NoDatabase {
		return nil
	}
	var err error
	c.RDS, err = rds.New(rds.Config{
		Account: c.Stacks[0].Account, Region: c.Stacks[0].Region, Clock: c.Clock, Judge: c.Judge, Objects: c.S3,
		Starting: o.Snapshots.Starting, Extracting: o.Snapshots.Extracting, Style: o.Snapshots.Style, Broken: o.Snapshots.Broken,
	})
	if err != nil {
		return fmt.Errorf("start RDS: %w", err)
	}
	c.closers = append(c.closers, c.RDS.Close)
	c.Gateway.Register("rds", c.RDS)
	c.Data = rdsdata.New(rdsdata.Config{Secrets: c.Secrets, Timeout: o.CallTimeout})
	c.closers = append(c.closers, func() { _ = c.Data.Close() }) // rolls back what is open
	c.Gateway.Register("rds-data", c.Data)
	return nil
}
