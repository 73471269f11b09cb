package estimate

import "fmt"

// words are the assumptions of the whole estimate.
func (f Facts) words(t *tables) []string {
	said := []string{
		"Low takes every rate at its best and high every rate at its worst: most loads end near the likely figure.",
		fmt.Sprintf("Functions of %d MB on %s; %d children at once in each pass over the archive, %d in the database.", f.Place.MemoryMB, f.Place.Architecture, f.Place.Transform, f.Place.Tasks),
		fmt.Sprintf("The cluster scales from %g to %g ACU; all of its ACU-hours while the load runs are counted, also those that it would take without the load.", f.Place.MinACU, f.Place.MaxACU),
		"What the database does a second was measured on a local PostgreSQL and is taken to be two to six times less a core on Aurora: the database's minutes are the least certain figures here.",
	}
	if f.Place.Region != "" && f.Place.Region != t.region {
		said = append(said, fmt.Sprintf("Prices are those of %s, as of %s. The load runs in %s, where they differ: by some percent as a rule, in some regions by half and more.", t.region, t.asOf, f.Place.Region))
	}
	if !f.Survey {
		said = append(said, fmt.Sprintf("The archive was not surveyed: revisions and rows are worked out of its size, and shared out among %d tables with %d indexes each.", assumedTables, assumedIndexes))
	}
	if f.Survey && f.Unread > 0 {
		said = append(said, fmt.Sprintf("%d of %d blocks could not be read; they are taken to hold as much as the others.", f.Unread, f.Blocks))
	}
	said = append(said, "The load verifies every hash of the archive, the default; with Verify \"chain\" or \"off\" it reads faster than is said here.")
	if f.NoHistory {
		said = append(said, "The history is staged and then left out; what stays in the database is counted as if it were kept.")
	}
	return said
}

func notCovered() []string {
	return []string{
		"waiting for quotas, throttling, restores from cold storage, failures and what is repeated after them",
		"taxes, discounts and free tiers",
		"logs, metrics and traces of CloudWatch and X-Ray, requests to KMS and Secrets Manager: some percent of the total",
		"retrieval fees of archives that are not in S3 Standard, and transfer between regions",
		"merging into tables that hold rows already, whose rows are inserted when the load is shown",
		"backups of the database beyond its own size",
	}
}
