// The CDK app of godwit. It owns what runs where and who may do what; the names
// of functions and variables come from internal/config.
//
// Stacks per environment, in one direction:
//
//	data    keys, work bucket, access logs, alarm topic
//	target  network, Aurora PostgreSQL or an imported cluster, secrets, import role
//	stream  Kinesis stream, what applies it, alarms; deployed where cdk.json has
//	        "stream". Before ledger, because LedgerLoad's last step enables it
//	ledger  the functions of the ledger route, LedgerLoad, alarms
//	snapshot  SnapshotLoad and its functions, what starts it, an Aurora DSQL cluster;
//	        deployed where cdk.json has "snapshot"; needs data, and target unless it
//	        loads into Aurora DSQL
//	prove   LedgerProve and its functions; needs data only
//	export  LedgerExport and its functions, the roles that QLDB writes with; needs
//	        data and stream, and is deployed where cdk.json says "ledgerExport": true
//
// Promises: synth looks nothing up and needs no credentials; no stack holds a
// custom resource; every role names its actions, and a resource pattern stands
// in a reviewed table (policies_test.go); cdk-nag's AwsSolutions rules run
// on every synth and their findings fail it, with the CLI and without.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

func main() {
	defer jsii.Close()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "infra:", err)
		jsii.Close()
		os.Exit(1) //nolint:gocritic // closed in the line above
	}
}

func run() error {
	environment := flag.String("environment", "", "environment of cdk.json to synthesize; with the CDK CLI also -c environment=NAME")
	all := flag.Bool("all", false, "also the export of ledgers where the environment does not deploy it, to review or to delete it")
	flag.Parse()
	project, err := ReadProject("cdk.json")
	if err != nil {
		return err
	}
	app := NewApp(project.Context, "")
	name := *environment
	if name == "" {
		name, _ = app.Node().TryGetContext(jsii.String("environment")).(string)
	}
	if name == "" {
		return errors.New("no environment is given: add -c environment=dev, or use make synth ENV=dev")
	}
	e, err := project.Environment(name)
	if err != nil {
		return err
	}
	// What is not deployed is not in the assembly that deploy works on, whatever
	// it is told to select.
	e.LedgerExport = e.LedgerExport || *all
	if _, err := NewStacks(app, e, "build"); err != nil {
		return fmt.Errorf("environment %s: %w", name, err)
	}
	return Synth(app)
}

// NewApp makes the app with the feature flags of cdk.json. outdir is where the
// cloud assembly goes; "" leaves it to CDK_OUTDIR, which the CLI sets.
func NewApp(context map[string]any, outdir string) awscdk.App {
	props := &awscdk.AppProps{
		Context: &context,
		// No usage metadata: templates depend on nothing but this code.
		AnalyticsReporting: jsii.Bool(false),
		TreeMetadata:       jsii.Bool(false),
	}
	if outdir != "" {
		props.Outdir = jsii.String(outdir)
	}
	app := awscdk.NewApp(props)
	awscdk.Aspects_Of(app).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Verbose: jsii.Bool(true), Reports: jsii.Bool(false)}), nil)
	return app
}

// Stacks are the stacks of one environment.
type Stacks struct {
	Data *DataStack
	// Those below are nil where an environment does not deploy them.
	Target   *TargetStack
	Stream   *StreamStack
	Ledger   *LedgerStack
	Prove    *ProveStack
	Export   *ExportStack
	Snapshot *SnapshotStack
}

// NewStacks makes the stacks of an environment. assets is the folder of built
// functions: assets/<architecture>/<function>/bootstrap.
func NewStacks(app awscdk.App, e Environment, assets string) (Stacks, error) {
	var s Stacks
	var err error
	s.Data = NewDataStack(app, "godwit-"+e.Name+"-data", e)
	if e.hasCluster() {
		s.Target = NewTargetStack(app, "godwit-"+e.Name+"-target", e, s.Data)
	}
	if e.Snapshot != nil {
		if s.Snapshot, err = NewSnapshotStack(app, "godwit-"+e.Name+"-snapshot", e, s.Data, s.Target, assets); err != nil {
			return s, err
		}
	}
	if len(e.Archives) == 0 {
		return s, nil
	}
	if e.Stream != nil {
		if s.Stream, err = NewStreamStack(app, "godwit-"+e.Name+"-stream", e, s.Data, s.Target, assets); err != nil {
			return s, err
		}
	}
	if s.Ledger, err = NewLedgerStack(app, "godwit-"+e.Name+"-ledger", e, s.Data, s.Target, s.Stream, assets); err != nil {
		return s, err
	}
	if s.Prove, err = NewProveStack(app, "godwit-"+e.Name+"-prove", e, s.Data, assets); err != nil {
		return s, err
	}
	if e.LedgerExport {
		s.Export, err = NewExportStack(app, "godwit-"+e.Name+"-export", e, s.Data, s.Stream, assets)
	}
	return s, err
}

// newStack makes a stack with what all stacks share.
func newStack(app awscdk.App, id string, e Environment, description string) awscdk.Stack {
	env := &awscdk.Environment{Region: jsii.String(e.Region)}
	if e.Account != "" {
		env.Account = jsii.String(e.Account)
	}
	stack := awscdk.NewStack(app, jsii.String(id), &awscdk.StackProps{
		Env:                   env,
		Description:           jsii.String(description),
		TerminationProtection: jsii.Bool(e.Removal == retain),
		Tags:                  &map[string]*string{"godwit": jsii.String(e.Name)},
		Synthesizer: awscdk.NewDefaultStackSynthesizer(&awscdk.DefaultStackSynthesizerProps{
			// The CLI checks the bootstrap version; a rule in the template would
			// check it a second time through a parameter.
			GenerateBootstrapVersionRule: jsii.Bool(false),
		}),
	})
	// With an account given CDK would look the zones up, with credentials. The
	// network names zones by position: this value keeps CDK from asking and is
	// not used.
	if e.Account != "" {
		stack.Node().SetContext(jsii.String("availability-zones:account="+e.Account+":region="+e.Region), []string{"unused"})
	}
	return stack
}

// Synth writes the cloud assembly. Findings of cdk-nag and of CDK's own rules
// are its error, with the CLI and without (feature flags
// annotationsInValidationReport and validateAgainstDefaultRules); CDK prints them.
func Synth(app awscdk.App) (err error) {
	// jsii raises what the JavaScript side throws as a panic.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("synthesize: %v", r)
		}
	}()
	app.Synth(nil)
	return nil
}

func removalPolicy(e Environment) awscdk.RemovalPolicy {
	if e.Removal == retain {
		return awscdk.RemovalPolicy_RETAIN
	}
	return awscdk.RemovalPolicy_DESTROY
}
