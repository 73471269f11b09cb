// Command godwit-local runs the synthesized stacks on this machine: demo exports,
// loads and follows a made-up ledger, or follows a database, load loads an archive
// from a folder, plan says what loading either would take, prove how far either is
// proven, receipt proves one row, unload takes a load back, assess says what becomes
// of a database. It ends with 1, and assess with 3 where the database is refused.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"godwit/internal/change"
	"godwit/internal/ledgergen"
	"godwit/internal/local"
	"godwit/internal/migrate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "\n"+err.Error())
		}
		if errors.Is(err, local.ErrRefused) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say demo, load, plan, prove, receipt, unload, assess or archive; each with -help")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	j := local.Job{Out: os.Stdout}
	var format, layout, load, stream, route string
	var rows int
	var generate ledgergen.Options
	var row migrate.ProveRowIn
	judge := local.AssessJob{Now: time.Now, Out: os.Stdout}
	source := func() {
		flags.IntVar(&generate.Documents, "documents", 2000, "documents in the ledger")
		flags.StringVar(&format, "format", "ION_BINARY", "ION_BINARY, ION_TEXT or JSON")
		flags.StringVar(&layout, "layout", "", "aws-sample: as AWS's migration sample left its exports")
		flags.Uint64Var(&generate.Seed, "seed", 1, "chooses the ledger")
	}
	target := func() {
		flags.StringVar(&j.Assembly, "assembly", "build/cdk.out", "folder of the synthesized stacks")
		flags.BoolVar(&j.Keep, "keep", false, "keep the database running until Ctrl-C")
		flags.StringVar(&j.Folder, "out", "build", "folder for report.html, report.json and the logs")
	}
	archive := func() {
		flags.StringVar(&j.Archive, "archive", "", "folder that holds the archive")
		flags.StringVar(&j.Mapping, "mapping", "", "mapping file; default the packaged one")
		flags.StringVar(&j.Schema, "schema", "", "target schema; default the mapping's")
		flags.StringVar(&j.Input, "input", "", "further members of the input, as JSON")
	}
	switch args[0] {
	case "demo":
		source()
		target()
		flags.BoolVar(&j.Tamper, "tamper", false, "change one letter of the archive between export and load, which must find it")
		flags.StringVar(&route, "route", "ledger", "ledger: a ledger, or what a stream brings; snapshot: a PostgreSQL database by its snapshot")
		flags.IntVar(&rows, "rows", 20000, "rows of the database, about, with -route snapshot")
		flags.StringVar(&stream, "source", "qldb", "qldb: a ledger; dms or dsql: a PostgreSQL database that AWS DMS or Aurora DSQL streams, whose customers -documents counts")
	case "load":
		target()
		archive()
	case "plan":
		source()
		target()
		archive()
	case "prove":
		source()
		target()
		flags.StringVar(&j.Archive, "archive", "", "folder that holds the archive; default the demo's ledger")
		flags.StringVar(&j.Digest, "digest", "", "file with a digest, or with an answer of GetDigest, GetBlock or GetRevision")
		flags.StringVar(&j.Input, "input", "", "further members of the input, as JSON")
		flags.BoolVar(&j.Tamper, "tamper", false, "change one letter of the archive before, which the proof must find")
	case "unload":
		flags.StringVar(&j.Folder, "out", "build", "folder of the demo or load that keeps the database")
		flags.StringVar(&load, "load", "", "id of the load, as its report names it")
	case "receipt":
		flags.StringVar(&j.Folder, "out", "build", "folder of the demo or load that keeps the database; the receipt is written there")
		flags.StringVar(&row.Schema, "schema", "", "schema of the table; default the one that has it")
		flags.StringVar(&row.Table, "table", "", "name of the table, in the database or in the ledger")
		flags.StringVar(&row.Document, "document", "", "id of the document")
		flags.Func("version", "version of the document, from 0 on", func(text string) error {
			n, err := strconv.ParseInt(text, 10, 64)
			row.Version = &n
			return err
		})
		flags.StringVar(&row.LoadId, "load", "", "id of the load; default the latest that has the row")
	case "assess":
		flags.StringVar(&judge.Catalog, "catalog", "", "file that psql wrote by catalog.sql; default the demo's storefront")
		flags.StringVar(&judge.Target, "target", "dsql", "dsql or aurora")
		flags.StringVar(&judge.Profile, "profile", "", "what the target can do, by name: aurora-postgresql-16; default the newest")
		flags.StringVar(&judge.Mapping, "mapping", "", "file of rules; default none")
		flags.IntVar(&judge.Rows, "rows", 20000, "rows of the storefront, about")
		flags.Uint64Var(&judge.Seed, "seed", 1, "chooses the storefront's rows")
		flags.StringVar(&judge.Folder, "out", "build", "folder for assessment.html and assessment.json")
	case "archive":
		source()
		flags.StringVar(&j.Archive, "to", "", "folder to write the made-up ledger's export to")
	default:
		return fmt.Errorf("no command is named %s: say demo, load, plan, prove, receipt, unload, assess or archive", args[0])
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	generate.Format, generate.Layout = ledgergen.Format(format), ledgergen.Layout(layout)
	switch args[0] {
	case "demo":
		switch route {
		case "ledger":
		case "snapshot":
			shot := local.SnapshotJob{Assembly: j.Assembly, Rows: rows, Seed: generate.Seed, Folder: j.Folder, Out: j.Out}
			return shot.Run(ctx)
		default:
			return fmt.Errorf("no route is named %s: say ledger or snapshot", route)
		}
		if stream != change.SourceQLDB {
			if j.Keep || j.Tamper {
				return errors.New("-keep and -tamper are of the ledger's demo: leave them out, or -source")
			}
			shop := local.ShopJob{Assembly: j.Assembly, Source: stream, Seed: generate.Seed, Customers: generate.Documents, Folder: j.Folder, Out: j.Out}
			return shop.Run(ctx)
		}
		j.Generate = &generate
	case "plan", "prove":
		j.Plan, j.Prove = args[0] == "plan", args[0] == "prove"
		if j.Archive == "" {
			j.Generate = &generate // the demo's
		}
	case "archive":
		return local.WriteArchive(generate, j.Archive, os.Stdout)
	case "assess":
		return judge.Run(ctx)
	case "receipt":
		return local.Receipt(ctx, j.Folder, row, os.Stdout)
	case "unload":
		return local.Unload(ctx, j.Folder, load, os.Stdout)
	}
	return j.Run(ctx)
}
