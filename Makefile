# godwit: build, try on this machine, test, deploy. `make` prints what there is.
#
# Everything that is built lands in build/ and is built again only when what it
# is made from changed.

MAKEFLAGS += --no-print-directory
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# The demo's ledger.
DOCUMENTS ?= 2000
FORMAT ?= ION_BINARY
LAYOUT ?=
SEED ?= 1
# The archive and mapping of `make load`.
ARCHIVE ?=
MAPPING ?=
SCHEMA ?=
# Further members of its input, as JSON: INPUT='{"Manifests":"none"}'.
INPUT ?=
# A file with a digest, or a proof, that `make prove` holds the archive against.
DIGEST ?=
# Any value changes one letter of the demo's archive before it is loaded or proven.
TAMPER ?=
# Any value keeps the local database running after demo and load.
KEEP ?=
SCHEDULES ?= 2000
# Who writes what the demo's target follows: qldb, dms or dsql.
SOURCE ?= qldb
# What the demo moves: ledger, or snapshot: a PostgreSQL database of about ROWS rows,
# by its snapshot, into TARGET: aurora or dsql.
ROUTE ?= ledger
TARGET ?= dsql
ROWS ?= 20000
# An environment of cdk.json.
ENV ?=
# What `make assess` reads: what psql wrote by internal/catalog/catalog.sql, and which
# profile of the target it goes by.
CATALOG ?=
PROFILE ?=
# The load that `make unload` removes, or that `make receipt` goes by.
LOAD ?=
# The row of `make receipt`: table, document id and version.
TABLE ?=
DOC ?=
VERSION ?=

GOLANGCI_LINT_VERSION := v2.12.0

# Lambda's name of this machine's architecture, and Go's of Lambda's.
HOST := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
GOARCH_arm64 := arm64
GOARCH_x86_64 := amd64
# The demo environments run on this machine, the others on Graviton.
ARCHITECTURE = $(if $(filter demo demo-%,$(ENV)),$(HOST),arm64)

# The stacks that the demo runs.
DEMO := build/cdk.out$(if $(filter snapshot,$(ROUTE)),.snapshot$(if $(filter dsql,$(TARGET)),-dsql,$(if $(filter aurora,$(TARGET)),,$(error no target is named '$(TARGET)': say aurora or dsql))),$(if $(filter-out qldb,$(SOURCE)),.$(SOURCE)))

sources = $(shell find $(1) -name node_modules -prune -o -name testdata -prune -o -type f -not -name '*_test.go' -not -name '*.md' -print)
FUNCTION_SOURCES := go.mod go.sum $(call sources,functions $(filter-out internal/local internal/ledgergen internal/plainproof internal/receiptcheck internal/testdb internal/imports_test.go,$(wildcard internal/*)))
LOCAL_SOURCES := go.mod go.sum $(call sources,internal)
INFRA_SOURCES := go.mod go.sum $(call sources,infra internal/config)

.PHONY: help demo load plan assess prove receipt unload test bench lint build synth diff bootstrap deploy destroy soak golden
.DEFAULT_GOAL := help

help: ## say what there is
	@echo 'Targets:'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target text; do printf '  %-10s %s\n' "$$target" "$$text"; done
	@echo 'Variables: ENV=$(ENV) DOCUMENTS=$(DOCUMENTS) FORMAT=$(FORMAT) LAYOUT=$(LAYOUT) SEED=$(SEED) KEEP=$(KEEP) ARCHIVE=$(ARCHIVE) MAPPING=$(MAPPING) SCHEMA=$(SCHEMA) INPUT=$(INPUT)'

demo: $(DEMO)/manifest.json build/godwit-local build/postgres.stamp ## export, load and follow a made-up ledger on this machine: DOCUMENTS= FORMAT=ION_BINARY|ION_TEXT|JSON LAYOUT=aws-sample SEED= KEEP=1 TAMPER=1; or follow a PostgreSQL database: SOURCE=dms|dsql DOCUMENTS= SEED=; or move one by its snapshot: ROUTE=snapshot TARGET=dsql|aurora ROWS= SEED=
	@build/godwit-local demo -route '$(ROUTE)' -rows '$(ROWS)' -source '$(SOURCE)' -assembly $(DEMO) -documents '$(DOCUMENTS)' -format '$(FORMAT)' -layout '$(LAYOUT)' -seed '$(SEED)' $(if $(KEEP),-keep) $(if $(TAMPER),-tamper)

load: build/cdk.out/manifest.json build/godwit-local build/postgres.stamp ## load your own archive into a database on this machine: ARCHIVE=./folder MAPPING=file SCHEMA=name INPUT=json KEEP=1
	@[ -n '$(ARCHIVE)' ] || { echo 'which archive? make load ARCHIVE=./folder [MAPPING=file] [SCHEMA=name] [INPUT=json] [KEEP=1]' >&2; exit 2; }
	@build/godwit-local load -assembly build/cdk.out -archive '$(ARCHIVE)' $(if $(MAPPING),-mapping '$(MAPPING)') $(if $(SCHEMA),-schema '$(SCHEMA)') $(if $(INPUT),-input '$(INPUT)') $(if $(KEEP),-keep)

plan: build/cdk.out/manifest.json build/godwit-local build/postgres.stamp ## say what a load would take, cost and refuse, without loading: ARCHIVE=./folder MAPPING= SCHEMA= INPUT=, or the demo's ledger
	@build/godwit-local plan -assembly build/cdk.out $(if $(ARCHIVE),-archive '$(ARCHIVE)',-documents '$(DOCUMENTS)' -format '$(FORMAT)' -layout '$(LAYOUT)' -seed '$(SEED)') $(if $(MAPPING),-mapping '$(MAPPING)') $(if $(SCHEMA),-schema '$(SCHEMA)') $(if $(INPUT),-input '$(INPUT)')

assess: build/godwit-local $(if $(CATALOG),,build/postgres.stamp) ## say what becomes of every table and column of a PostgreSQL database, before anything is exported: CATALOG=catalog.json TARGET=dsql|aurora MAPPING=file PROFILE=aurora-postgresql-16, or the demo's storefront
	@build/godwit-local assess -target '$(TARGET)' $(if $(CATALOG),-catalog '$(CATALOG)',-rows '$(ROWS)' -seed '$(SEED)') $(if $(MAPPING),-mapping '$(MAPPING)') $(if $(PROFILE),-profile '$(PROFILE)')

prove: build/cdk.out/manifest.json build/godwit-local ## prove an archive offline, and load nothing: ARCHIVE=./folder DIGEST=file INPUT=, or the demo's ledger; TAMPER=1
	@build/godwit-local prove -assembly build/cdk.out $(if $(ARCHIVE),-archive '$(ARCHIVE)',-documents '$(DOCUMENTS)' -format '$(FORMAT)' -layout '$(LAYOUT)' -seed '$(SEED)') $(if $(DIGEST),-digest '$(DIGEST)') $(if $(INPUT),-input '$(INPUT)') $(if $(TAMPER),-tamper)

receipt: $(if $(ENV),,build/godwit-local) ## prove one row: TABLE= DOC=id VERSION=number [SCHEMA=] [LOAD=], in ENV= or from what KEEP=1 keeps on this machine
	@[ -n '$(TABLE)' ] && [ -n '$(DOC)' ] && [ -n '$(VERSION)' ] || { echo 'which row? make receipt TABLE=person DOC=id VERSION=0 [ENV=dev]; doc_id and version stand in the row' >&2; exit 2; }
	@$(if $(ENV),$(RECEIPT),build/godwit-local receipt -table '$(TABLE)' -document '$(DOC)' -version '$(VERSION)' $(if $(SCHEMA),-schema '$(SCHEMA)') $(if $(LOAD),-load '$(LOAD)'))

unload: $(if $(ENV),,build/godwit-local) ## remove one load as if it had never been, or say why not: LOAD=id, in ENV= or from what KEEP=1 keeps on this machine
	@[ -n '$(LOAD)' ] || { echo 'which load? make unload LOAD=id [ENV=dev]; its report names it' >&2; exit 2; }
	@$(if $(ENV),$(UNLOAD),build/godwit-local unload -load '$(LOAD)')

test: build/cdk.out/manifest.json build/cdk.out.dms/manifest.json build/cdk.out.dsql/manifest.json build/cdk.out.snapshot/manifest.json build/cdk.out.snapshot-dsql/manifest.json build/godwit-local build/postgres.stamp ## run every test
	go test -timeout 20m -vet=off ./... # make lint vets

bench: build/postgres.stamp ## print speeds as ratios to a limit and to a plain way, each measured in turn with the other
	@go test -run '^$$' -bench 'ToRows|IonWalk|Import|Passes|Steps|Stream|Snapshot' -benchtime 9x -timeout 30m ./internal/migrate | grep -vE '^(goos|goarch|pkg|cpu|Benchmark|PASS|ok)'

soak: build/cdk.out/manifest.json build/cdk.out.dms/manifest.json build/cdk.out.dsql/manifest.json build/cdk.out.snapshot/manifest.json build/cdk.out.snapshot-dsql/manifest.json build/godwit-local build/postgres.stamp ## the long tests: a million documents, faults at every call of larger ledgers, SCHEDULES=2000 random schedules of streams, and of loads into Aurora DSQL
	@$(MAKE) demo DOCUMENTS=1000000
	@$(call long,soak,-tags soak ./internal/local)
	@$(call long,schedules,-run RandomStreamSchedules ./internal/migrate -schedules $(SCHEDULES))
	@$(call long,dsql,-run RandomSchedulesOfFaults ./internal/target/dsql -schedules $(SCHEDULES))

# A test with its log in build, of which it prints all but the names of what passes.
long = failed=0; go test -v -count 1 -timeout 6h $(2) > build/$(1).txt || failed=$$?; \
  grep -v -e '^=== ' -e '^ *--- PASS' -e '^PASS' -e 'no test files' build/$(1).txt; exit $$failed

# A cache of its own: the shared one remembers findings by the paths of other
# clones, to which the exceptions here do not apply.
lint: build/bin/golangci-lint-$(GOLANGCI_LINT_VERSION) ## check form and common mistakes
	@GOLANGCI_LINT_CACHE='$(CURDIR)/build/lint-cache' $< run ./...

build: build/arm64/.built build/infra ## build the functions and the CDK app
	@echo "built in build/arm64:"; ls build/arm64

synth: environment build/$(ARCHITECTURE)/.built build/infra build/cli.stamp ## write the templates of ENV= to build/cdk/$ENV, checked by cdk-nag
	@$(CDK_ALL) synth --quiet

diff: environment build/$(ARCHITECTURE)/.built build/infra build/cli.stamp ## what deploy would change in ENV=
	@$(CDK) diff

bootstrap: environment build/$(ARCHITECTURE)/.built build/infra build/cli.stamp ## once per account and region: prepare it for the CDK
	@$(CDK) bootstrap

deploy: environment build/$(ARCHITECTURE)/.built build/infra build/cli.stamp ## create or change the stacks of ENV=
	@$(CDK) deploy --all --outputs-file build/cdk/$(ENV).outputs.json

destroy: environment build/$(ARCHITECTURE)/.built build/infra build/cli.stamp ## delete the stacks of ENV=; data stays where its removal is "retain"
	@echo 'Buckets with objects in them stay: empty them first, versions included, if the data may go.'
	@$(CDK_ALL) destroy --all

golden: build/postgres.stamp ## write the expected results of tests anew; read the diff before committing it
	go test $(shell grep -rl --include='*_test.go' 'flag.Bool."update"' infra internal | xargs -r -n1 dirname | sort -u | sed 's|^|./|') -update

# What the targets are made from.

CDK = infra/node_modules/.bin/cdk --app 'build/infra -environment $(ENV)' --output build/cdk/$(ENV) --no-notices
# With the stacks that ENV does not deploy: to review them, and to delete what was
# deployed when cdk.json said otherwise.
CDK_ALL = $(subst -environment,-all -environment,$(CDK))

.PHONY: environment
environment:
	@[ -n '$(ENV)' ] || { echo "which environment of cdk.json? for example: make $(firstword $(MAKECMDGOALS)) ENV=dev" >&2; exit 2; }

# godwit.unload through the Data API, with your own credentials. A statement that
# outlives its call goes on: asking again tells what became of it. A load that is
# not known then was removed by the call before.
define UNLOAD
file=build/cdk/$(ENV).outputs.json; \
[ -f "$$file" ] || { echo "$$file is missing: make deploy ENV=$(ENV) writes it" >&2; exit 2; }; \
output() { node -e 'const v = JSON.parse(fs.readFileSync(process.argv[1]))["godwit-$(ENV)-target"]?.[process.argv[2]]; \
  if (!v) { console.error(`$${process.argv[1]} has no output $${process.argv[2]}: make deploy ENV=$(ENV)`); process.exit(2); } console.log(v)' "$$file" "$$1"; }; \
cluster=$$(output ClusterArn); secret=$$(output LoaderSecretArn); database=$$(output Database); \
region=$${cluster#arn:*:rds:}; region=$${region%%:*}; \
ask() { AWS_MAX_ATTEMPTS=1 aws rds-data execute-statement --region "$$region" --cli-read-timeout 70 --continue-after-timeout \
  --resource-arn "$$cluster" --secret-arn "$$secret" --database "$$database" --sql "$$1" \
  --parameters '[{"name": "load", "value": {"stringValue": "$(LOAD)"}}]' --query 'records[0][0].stringValue' --output text 2>&1; }; \
wait=0; look=false; sql="SELECT godwit.describe(:load)"; \
while true; do \
  if answer=$$(ask "$$sql"); then case "$$answer" in \
    None) sql= ;; \
    'load '*) echo "to be removed: $$answer"; sql= ;; \
    'done '*) echo "removed: $${answer#* }"; exit 0 ;; \
    'unknown '*) if $$look; then echo 'removed'; exit 0; fi; echo "$${answer#* }" >&2; exit 1 ;; \
    'running '*) look=true; wait=5; echo 'still at it' ;; \
    *) echo "$${answer#* }" >&2; exit 1 ;; \
  esac; else case "$$answer" in \
    *StatementTimeoutException*) look=true; wait=5; echo 'still at it' ;; \
    *DatabaseResumingException*) wait=5; echo 'the database resumes' ;; \
    *) echo "$$answer" >&2; exit 1 ;; \
  esac; fi; \
  [ -z "$$sql" ] || sleep $$wait; \
  [[ $$sql == *describe* ]] || sql="SELECT concat(u->>'state', ' ', u->>'message') FROM godwit.unload(:load, $$look) AS u"; \
done
endef

# prove-row, with your own credentials. It may be called again after any error.
define RECEIPT
file=build/cdk/$(ENV).outputs.json; \
[ -f "$$file" ] || { echo "$$file is missing: make deploy ENV=$(ENV) writes it" >&2; exit 2; }; \
function=$$(node -e 'const v = JSON.parse(fs.readFileSync(process.argv[1]))["godwit-$(ENV)-ledger"]?.ProveRowArn; \
  if (!v) { console.error(`$${process.argv[1]} has no output ProveRowArn: make deploy ENV=$(ENV)`); process.exit(2); } console.log(v)' "$$file"); \
region=$${function#arn:*:lambda:}; region=$${region%%:*}; \
payload=$$(node -e 'const [table, document, version, schema, load] = process.argv.slice(1); \
  console.log(JSON.stringify({Table: table, Document: document, Version: Number(version), ...(schema && {Schema: schema}), ...(load && {LoadId: load})}))' \
  '$(TABLE)' '$(DOC)' '$(VERSION)' '$(SCHEMA)' '$(LOAD)'); \
answer=$$(mktemp); trap 'rm -f "$$answer"' EXIT; \
aws lambda invoke --region "$$region" --cli-read-timeout 0 --cli-binary-format raw-in-base64-out --function-name "$$function" --payload "$$payload" "$$answer" > /dev/null; \
uri=$$(node -e 'const v = JSON.parse(fs.readFileSync(process.argv[1])); \
  if (!v.Receipt) { console.error(v.errorMessage ?? v); process.exit(1); } \
  console.error(v.Digest ? `it leads to the digest $${v.Digest}, from: $${v.DigestFrom}` : `it ends with the hash of its block; digest: $${v.DigestFrom}`); \
  if (v.Content) fs.writeFileSync(process.argv[2], v.Content); else console.log(v.Receipt)' "$$answer" build/receipt.json); \
[ -z "$$uri" ] || aws s3 cp --region "$$region" "$$uri" build/receipt.json; \
echo 'receipt: build/receipt.json'; echo 'check it, with DIGEST from your own records:'; echo '  go run ./internal/receiptcheck -digest DIGEST build/receipt.json'
endef

# One compilation for all functions of an architecture. The flags leave nothing
# in a binary that depends on the machine or the folder, so that unchanged code
# is an unchanged asset.
build/%/.built: $(FUNCTION_SOURCES)
	@rm -rf build/$*/.new && mkdir -p build/$*/.new
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH_$*) go build -trimpath -tags lambda.norpc -ldflags '-s -w -buildid=' -o build/$*/.new/ ./functions/...
	@for f in build/$*/.new/*; do mkdir -p build/$*/$${f##*/} && mv -f $$f build/$*/$${f##*/}/bootstrap; done
	@rmdir build/$*/.new && touch $@

build/infra: $(INFRA_SOURCES)
	go build -o $@ ./infra

build/godwit-local: $(LOCAL_SOURCES)
	go build -o $@ ./internal/local/godwit-local

# The demo's stacks, without the CDK CLI and without credentials.
build/cdk.out/manifest.json: build/infra build/$(HOST)/.built cdk.json
	@rm -rf build/cdk.out
	@CDK_OUTDIR=build/cdk.out build/infra -environment demo 2> build/synth.log || { grep -v '^!!' build/synth.log >&2; exit 1; }
	@touch $@

# The same of its other sources.
build/cdk.out.%/manifest.json: build/infra build/$(HOST)/.built cdk.json
	@rm -rf $(@D)
	@CDK_OUTDIR=$(@D) build/infra -environment demo-$* 2> build/synth.$*.log || { grep -v '^!!' build/synth.$*.log >&2; exit 1; }
	@touch $@

build/cli.stamp: infra/package-lock.json
	cd infra && npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p build && touch $@

build/postgres.stamp: internal/local/postgres/package-lock.json
	cd internal/local/postgres && npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p build && touch $@

build/bin/golangci-lint-$(GOLANGCI_LINT_VERSION):
	GOBIN=$(CURDIR)/build/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv build/bin/golangci-lint $@
