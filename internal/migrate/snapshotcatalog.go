package migrate

import (
	"cmp"
	"context"
	"fmt"

	"godwit/internal/catalog"
)

// ReadCatalog keeps the catalog of a snapshot's source beside the load: keys,
// foreign keys, defaults and indexes, which no export carries.
type ReadCatalog struct {
	Objects    Objects
	WorkBucket string
	// Living has the catalog of a source, by its ARN, read through query; false
	// where the environment has no way to it. All queries are of one transaction,
	// which changes nothing.
	Living func(ctx context.Context, source string, read func(query func(ctx context.Context, sql string) ([]string, error)) error) (bool, error)
}

// ReadCatalogIn is the load, its input, and the ARN of what the snapshot is of, ""
// where that is not known.
type ReadCatalogIn struct {
	LoadId string
	Input  SnapshotInput
	Source string
}

// ReadCatalogOut says whether there is a catalog.
type ReadCatalogOut struct{ Known bool }

// Handle keeps the catalog that the input gives, or that of the living source. It
// may be repeated: what was kept stays, so that a load goes on with the catalog
// that it began with.
func (r *ReadCatalog) Handle(ctx context.Context, in ReadCatalogIn) (ReadCatalogOut, error) {
	out, err := r.handle(ctx, in)
	return out, Classify(err)
}

func (r *ReadCatalog) handle(ctx context.Context, in ReadCatalogIn) (ReadCatalogOut, error) {
	key := snapshotKey(in.LoadId, catalogFile)
	if kept, err := exists(ctx, r.Objects, r.WorkBucket, key); err != nil || kept {
		return ReadCatalogOut{kept}, err
	}
	var text []byte
	var err error
	if in.Input.Catalog != "" {
		if text, err = readGiven(ctx, r.Objects, r.WorkBucket, "Catalog", in.Input.Catalog); err != nil {
			return ReadCatalogOut{}, err
		}
	} else if in.Source != "" {
		known, err := r.Living(ctx, in.Source, func(query func(context.Context, string) ([]string, error)) error {
			text, err = catalog.Read(ctx, query)
			return err
		})
		if err != nil {
			return ReadCatalogOut{}, fmt.Errorf("read the catalog of %s: %w; or give it as Catalog in the input: psql -XAt -f catalog.sql > catalog.json", in.Source, err)
		}
		if !known {
			return ReadCatalogOut{}, nil
		}
	} else {
		return ReadCatalogOut{}, nil
	}
	if _, err := catalog.Parse(text); err != nil {
		return ReadCatalogOut{}, &Stop{fmt.Errorf("the catalog of %s is not what catalog.sql of this version prints: %w: print it again, by psql -XAt -f catalog.sql > catalog.json", cmp.Or(in.Input.Catalog, in.Source), err)}
	}
	return ReadCatalogOut{true}, r.Objects.Put(ctx, r.WorkBucket, key, text, "application/json", "")
}
