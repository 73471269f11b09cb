package qldb_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	ionlib "github.com/amazon-ion/ion-go/ion"
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"
	"github.com/google/go-cmp/cmp"

	"godwit/internal/ledgergen"
	"godwit/internal/local/gateway"
)

func export(t *testing.T, w *world, in *sdk.ExportJournalToS3Input) string {
	t.Helper()
	out, err := w.client(caller).ExportJournalToS3(t.Context(), in)
	must(t, err)
	return *out.ExportId
}

func TestExportsWriteWhatLedgergenWrites(t *testing.T) {
	l := small("my-ledger")
	l.Visible = 31
	w := start(t, l)
	for _, format := range []types.OutputFormat{types.OutputFormatIonBinary, types.OutputFormatIonText, types.OutputFormatJson, ""} {
		in := w.request(l.Name)
		in.OutputFormat = format
		in.S3ExportConfiguration.Prefix = aws.String("in/x" + string(format))
		id := export(t, w, in)
		d := w.ended(t, l.Name, id)
		if len(id) != 22 || d.Status != types.ExportStatusCompleted || *d.RoleArn != writer || *d.LedgerName != l.Name || d.OutputFormat == "" ||
			*d.S3ExportConfiguration.Bucket != "archive" || d.S3ExportConfiguration.EncryptionConfiguration.ObjectEncryptionType != types.S3ObjectEncryptionTypeSseS3 ||
			!d.ExportCreationTime.Equal(w.now) || !d.InclusiveStartTime.Equal(*in.InclusiveStartTime) || !d.ExclusiveEndTime.Equal(*in.ExclusiveEndTime) {
			t.Errorf("export %s ends as %+v (%v)", id, d, w.qldb.Why(id))
		}
		stored := w.stored(t)
		keys := map[string]bool{}
		x := ledgergen.Export{
			ID: id, Ledger: l.Name, Start: *in.InclusiveStartTime, End: *in.ExclusiveEndTime, Blocks: 31, Format: ledgergen.Format(format),
			Bucket: "archive", Prefix: *in.S3ExportConfiguration.Prefix, Encryption: "SSE_S3",
		}
		must(t, w.qldb.Journal(l.Name).Export(x, func(o ledgergen.Object) error {
			keys[o.Key] = true
			if !bytes.Equal(stored[o.Key], o.Body) {
				t.Errorf("format %q: %s has other bytes, or is missing", format, o.Key)
			}
			return nil
		}))
		for key := range stored {
			if strings.HasPrefix(key, x.Prefix+"/") && !keys[key] {
				t.Errorf("format %q: %s is too much", format, key)
			}
		}
		manifest := stored[x.Prefix+"/"+id+"."+w.qldb.Journal(l.Name).Strand()+".completed.manifest"]
		if listed := keysOf(t, manifest); len(listed) != len(keys)-2 || len(listed) < 4 {
			t.Errorf("format %q: the manifest lists %d of %d objects", format, len(listed), len(keys)-2)
		}
		if format == "" {
			var started map[string]any
			must(t, ionlib.Unmarshal(stored[x.Prefix+"/"+id+".started.manifest"], &started))
			if started["outputFormat"] != nil || started["ledgerName"] != l.Name || d.OutputFormat != types.OutputFormatIonText {
				t.Errorf("without a format: %v, described as %s", started, d.OutputFormat)
			}
		}
	}
}

func TestObjectsAreEncryptedAsAsked(t *testing.T) {
	w := start(t, small(name))
	for kind, want := range map[types.S3ObjectEncryptionType]string{
		types.S3ObjectEncryptionTypeSseS3: "AES256", types.S3ObjectEncryptionTypeSseKms: "aws:kms", types.S3ObjectEncryptionTypeNoEncryption: "AES256", // S3's own since 2023
	} {
		in := w.request(name)
		in.S3ExportConfiguration.Prefix = aws.String(string(kind))
		in.S3ExportConfiguration.EncryptionConfiguration.ObjectEncryptionType = kind
		if kind == types.S3ObjectEncryptionTypeSseKms {
			in.S3ExportConfiguration.EncryptionConfiguration.KmsKeyArn = aws.String(key)
		}
		if d := w.ended(t, name, export(t, w, in)); d.Status != types.ExportStatusCompleted {
			t.Fatalf("%s: %s (%v)", kind, d.Status, w.qldb.Why(*d.ExportId))
		}
		objects, err := w.s3.List("archive", string(kind)+"/")
		must(t, err)
		for _, o := range objects {
			_, entry, err := w.s3.Get("archive", o.Key)
			must(t, err)
			if got := fmt.Sprint(entry.Header["X-Amz-Server-Side-Encryption"]); got != want {
				t.Errorf("%s: %s is encrypted with %s, want %s", kind, o.Key, got, want)
			}
		}
		asked := slices.ContainsFunc(w.gateway.Calls(), func(e gateway.Entry) bool { return e.Role == writer && e.Action == "kms:GenerateDataKey" })
		if kind == types.S3ObjectEncryptionTypeSseKms && !asked {
			t.Error("nobody asked whether the role may use the key")
		}
	}
}

func TestRequestsAreRefusedAsQLDBDid(t *testing.T) {
	w := start(t, small(name))
	j := w.qldb.Journal(name)
	for what, c := range map[string]struct {
		change    func(*sdk.ExportJournalToS3Input)
		parameter string
	}{
		"an empty window":       {func(in *sdk.ExportJournalToS3Input) { in.ExclusiveEndTime = in.InclusiveStartTime }, "InclusiveStartTime"},
		"a window turned round": {func(in *sdk.ExportJournalToS3Input) { in.ExclusiveEndTime = aws.Time(j.At(0).Add(-time.Hour)) }, "InclusiveStartTime"},
		"an end to come":        {func(in *sdk.ExportJournalToS3Input) { in.ExclusiveEndTime = aws.Time(w.now.Add(time.Millisecond)) }, "ExclusiveEndTime"},
		"no such format":        {func(in *sdk.ExportJournalToS3Input) { in.OutputFormat = "PARQUET" }, "OutputFormat"},
		"a prefix too long": {func(in *sdk.ExportJournalToS3Input) {
			in.S3ExportConfiguration.Prefix = aws.String(strings.Repeat("p", 129))
		}, "Prefix"},
		"no bucket's name":      {func(in *sdk.ExportJournalToS3Input) { in.S3ExportConfiguration.Bucket = aws.String("a b") }, "Bucket"},
		"no role":               {func(in *sdk.ExportJournalToS3Input) { in.RoleArn = aws.String("") }, "RoleArn"},
		"an unknown role":       {func(in *sdk.ExportJournalToS3Input) { in.RoleArn = aws.String("arn:aws:iam::111122223333:role/nobody") }, "RoleArn"},
		"a role of other trust": {func(in *sdk.ExportJournalToS3Input) { in.RoleArn = aws.String(caller) }, "RoleArn"},
		"encryption without key": {func(in *sdk.ExportJournalToS3Input) {
			in.S3ExportConfiguration.EncryptionConfiguration.ObjectEncryptionType = "SSE_KMS"
		}, "KmsKeyArn"},
		"a key without its kind": {func(in *sdk.ExportJournalToS3Input) {
			in.S3ExportConfiguration.EncryptionConfiguration.KmsKeyArn = aws.String(key)
		}, "KmsKeyArn"},
		"another encryption": {func(in *sdk.ExportJournalToS3Input) {
			in.S3ExportConfiguration.EncryptionConfiguration.ObjectEncryptionType = "ROT13"
		}, "ObjectEncryptionType"},
		"a bucket that is not": {func(in *sdk.ExportJournalToS3Input) { in.S3ExportConfiguration.Bucket = aws.String("nowhere") }, "S3ExportConfiguration"},
		"a key that is forbidden": {func(in *sdk.ExportJournalToS3Input) {
			in.S3ExportConfiguration.EncryptionConfiguration = &types.S3EncryptionConfiguration{ObjectEncryptionType: "SSE_KMS", KmsKeyArn: aws.String("arn:aws:kms:us-east-1:111122223333:key/2")}
		}, "S3ExportConfiguration"},
	} {
		in := w.request(name)
		c.change(in)
		_, err := w.client(caller).ExportJournalToS3(t.Context(), in)
		// The API's model has no members for this error of this operation.
		refused(t, what, err, "InvalidParameterException", "")
		if what != "no role" && c.parameter == "RoleArn" && !strings.Contains(fmt.Sprint(err), *in.RoleArn) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.client(caller).ExportJournalToS3(t.Context(), func() *sdk.ExportJournalToS3Input { in := w.request(name); in.Name = aws.String("nobody"); return in }())
	refused(t, "no such ledger", err, "ResourceNotFoundException", "nobody")
	if exports := list(t, w, name, 100); len(exports) != 0 || len(w.stored(t)) != 0 {
		t.Errorf("%d exports, %d objects of requests that were refused", len(exports), len(w.stored(t)))
	}
	if most := w.qldb.MostRunning(name); most > 1 {
		t.Errorf("%d ran at once", most)
	}
}

func TestAWindowBeforeTheLedgerIsClamped(t *testing.T) {
	w := start(t, small(name))
	in := w.request(name)
	in.InclusiveStartTime = aws.Time(time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC))
	if d := w.ended(t, name, export(t, w, in)); !d.InclusiveStartTime.Equal(w.qldb.Journal(name).At(0)) {
		t.Errorf("the export begins at %s", d.InclusiveStartTime)
	}
}

func TestAnEmptyWindowOfBlocksIsAnExportWithoutObjects(t *testing.T) {
	w := start(t, small(name))
	in := w.request(name)
	in.InclusiveStartTime = aws.Time(in.ExclusiveEndTime.Add(time.Hour))
	in.ExclusiveEndTime = aws.Time(in.InclusiveStartTime.Add(time.Hour))
	id := export(t, w, in)
	if d := w.ended(t, name, id); d.Status != types.ExportStatusCompleted {
		t.Errorf("it ends as %s", d.Status)
	}
	stored := w.stored(t)
	if manifest := stored["p/"+id+"."+w.qldb.Journal(name).Strand()+".completed.manifest"]; len(stored) != 2 || len(keysOf(t, manifest)) != 0 {
		t.Errorf("%d objects", len(stored))
	}
}

func TestTwoExportsOfALedgerRunAtOnce(t *testing.T) {
	w := start(t, small("one"), small("two"))
	release := w.qldb.Hold()
	w.qldb.Hold()() // another hold changes nothing
	ids := []string{export(t, w, w.request("one")), export(t, w, w.request("one"))}
	for _, id := range ids {
		if d := w.status(t, "one", id); d.Status != types.ExportStatusInProgress {
			t.Errorf("export %s is %s", id, d.Status)
		}
	}
	_, err := w.client(caller).ExportJournalToS3(t.Context(), w.request("one"))
	refused(t, "a third export", err, "LimitExceededException", "limit of 2")
	other := export(t, w, w.request("two"))
	release()
	for _, id := range ids {
		w.ended(t, "one", id)
	}
	w.ended(t, "two", other)
	w.ended(t, "one", export(t, w, w.request("one")))
	if a, b := w.qldb.MostRunning("one"), w.qldb.MostRunning("two"); a != 2 || b != 1 {
		t.Errorf("%d and %d ran at once, want 2 and 1", a, b)
	}
}

func TestAnExportIsCancelledInTheMiddle(t *testing.T) {
	w := start(t, small(name))
	release := w.qldb.Hold()
	defer release()
	id := export(t, w, w.request(name))
	for range 1000 { // until it waits behind its first object
		if len(w.stored(t)) == 2 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	must(t, w.qldb.Cancel(id))
	if d := w.status(t, name, id); d.Status != types.ExportStatusCancelled || w.qldb.Why(id) == nil {
		t.Errorf("it is %s", d.Status)
	}
	if stored := w.stored(t); len(stored) != 2 || stored["p/"+id+".started.manifest"] == nil {
		t.Errorf("%d objects are left", len(stored))
	}
	for what, id := range map[string]string{"twice": id, "nothing": "0"} {
		if w.qldb.Cancel(id) == nil {
			t.Errorf("cancelled %s", what)
		}
	}
	release()
	if d := w.ended(t, name, export(t, w, w.request(name))); d.Status != types.ExportStatusCompleted {
		t.Errorf("the next one is %s", d.Status)
	}
}

func TestExportsWriteWithTheirRole(t *testing.T) {
	w := start(t, small(name))
	id := export(t, w, w.request(name))
	w.ended(t, name, id)
	puts := 0
	for _, e := range w.gateway.Calls() {
		if e.Service == "s3" && (e.Role != writer || !slices.Contains([]string{"s3:PutObject", "s3:PutObjectAcl"}, e.Action)) {
			t.Errorf("%s by %s", e.Action, e.Role)
		}
		if e.Action == "s3:PutObject" {
			puts++
		}
	}
	if puts != len(w.stored(t)) {
		t.Errorf("%d calls for %d objects", puts, len(w.stored(t)))
	}
}

func TestWhatIsDenied(t *testing.T) {
	const bare, late, deaf = "arn:aws:iam::111122223333:role/bare", "arn:aws:iam::111122223333:role/late", "arn:aws:iam::111122223333:role/deaf"
	w := start(t, small(name))
	must(t, w.judge.AddRole(bare, policy("s3:PutObject", "arn:aws:s3:::archive/*"), trusts("qldb.amazonaws.com")))
	must(t, w.judge.AddRole(late, policy("s3:PutObject s3:PutObjectAcl", "arn:aws:s3:::archive/*", "!s3:PutObject", "arn:aws:s3:::archive/*.completed.manifest"), trusts("qldb.amazonaws.com")))
	must(t, w.judge.AddRole(deaf, policy("qldb:*", "*"), trusts("lambda.amazonaws.com")))

	in := w.request(name)
	_, err := w.client(deaf).ExportJournalToS3(t.Context(), in)
	refused(t, "a caller without PassRole", err, "AccessDeniedException", "iam:PassRole")
	in.RoleArn = aws.String(bare)
	_, err = w.client(caller).ExportJournalToS3(t.Context(), in)
	refused(t, "a role without PutObjectAcl", err, "InvalidParameterException", "validating S3 configuration: AccessDenied")
	in.RoleArn = aws.String(late)
	id := export(t, w, in)
	if d := w.ended(t, name, id); d.Status != types.ExportStatusCancelled || !strings.Contains(fmt.Sprint(w.qldb.Why(id)), "explicit deny") {
		t.Errorf("an export that may not end is %s (%v)", d.Status, w.qldb.Why(id))
	}
	if exports := list(t, w, name, 100); !cmp.Equal(exports, []string{id}) {
		t.Errorf("the exports are %v, want %s alone", exports, id)
	}
}

func TestExportsOutliveFaultsOfTheStore(t *testing.T) {
	w := start(t, small(name))
	n := 0
	w.mu.Lock()
	w.fault = func(c gateway.Call) gateway.Fault {
		if c.Service != "s3" {
			return gateway.None
		}
		n++
		return []gateway.Fault{gateway.None, gateway.Throttle, gateway.Lose, gateway.KillBefore, gateway.KillAfter}[n%5]
	}
	w.mu.Unlock()
	id := export(t, w, w.request(name))
	if d := w.ended(t, name, id); d.Status != types.ExportStatusCompleted {
		t.Errorf("it ends as %s (%v)", d.Status, w.qldb.Why(id))
	}
}

// list are the ids of a ledger's exports, or of all where ledger is "".
func list(t *testing.T, w *world, ledger string, most int32) (ids []string) {
	t.Helper()
	var pages interface {
		HasMorePages() bool
	}
	c := w.client(caller)
	all := sdk.NewListJournalS3ExportsPaginator(c, &sdk.ListJournalS3ExportsInput{MaxResults: &most})
	some := sdk.NewListJournalS3ExportsForLedgerPaginator(c, &sdk.ListJournalS3ExportsForLedgerInput{Name: &ledger, MaxResults: &most})
	if pages = all; ledger != "" {
		pages = some
	}
	for pages.HasMorePages() {
		var found []types.JournalS3ExportDescription
		if ledger == "" {
			page, err := all.NextPage(t.Context())
			must(t, err)
			found = page.JournalS3Exports
		} else {
			page, err := some.NextPage(t.Context())
			must(t, err)
			found = page.JournalS3Exports
		}
		if len(found) > int(most) {
			t.Errorf("a page of %d", len(found))
		}
		for _, d := range found {
			ids = append(ids, *d.ExportId)
		}
	}
	return ids
}

func TestListsComeInPages(t *testing.T) {
	w := start(t, small("one"), small("two"))
	var all, one []string
	for i := range 7 {
		ledger := []string{"one", "two"}[i%2]
		id := export(t, w, w.request(ledger))
		w.ended(t, ledger, id)
		if all = append(all, id); i%2 == 0 {
			one = append(one, id)
		}
	}
	for _, most := range []int32{1, 2, 3, 7, 100} {
		if got := list(t, w, "", most); !cmp.Equal(got, all) {
			t.Errorf("pages of %d: %v, want %v", most, got, all)
		}
		if got := list(t, w, "one", most); !cmp.Equal(got, one) {
			t.Errorf("pages of %d of one ledger: %v, want %v", most, got, one)
		}
	}
	for _, most := range []int32{0, -1, 101} {
		_, err := w.client(caller).ListJournalS3Exports(t.Context(), &sdk.ListJournalS3ExportsInput{MaxResults: &most})
		refused(t, fmt.Sprint(most), err, "InvalidParameterException", "1 to 100")
	}
}

func TestExportsAreForgottenAfterSevenDays(t *testing.T) {
	w := start(t, small(name))
	release := w.qldb.Hold()
	held := export(t, w, w.request(name))
	w.later(8 * 24 * time.Hour)
	if got := list(t, w, name, 100); !cmp.Equal(got, []string{held}) {
		t.Errorf("an export in progress: %v", got)
	}
	release()
	w.ended(t, name, held)
	w.later(7 * 24 * time.Hour)
	if got := list(t, w, name, 100); len(got) != 1 {
		t.Errorf("after seven days: %v", got)
	}
	w.later(time.Millisecond)
	if got := list(t, w, name, 100); len(got) != 0 {
		t.Errorf("after more: %v", got)
	}
	_, err := w.client(caller).DescribeJournalS3Export(t.Context(), &sdk.DescribeJournalS3ExportInput{Name: aws.String(name), ExportId: &held})
	refused(t, "a forgotten export", err, "ResourceNotFoundException", held)
}

func TestCloseEndsExports(t *testing.T) {
	w := start(t, small(name))
	w.qldb.Hold()
	export(t, w, w.request(name))
	if err := w.qldb.Delete(name); err == nil {
		t.Error("a ledger is deleted under its export")
	}
	done := make(chan error)
	go func() { done <- w.qldb.Close() }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for an export that is held")
	}
}

func TestABodyThatIsNoRequestIsRefused(t *testing.T) {
	w := start(t, small(name))
	for _, body := range []string{"", "[]", `{"More": 1}`, `{"InclusiveStartTime": "2020"}`} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "/ledgers/"+name+"/journal-s3-exports", strings.NewReader(body))
		must(t, err)
		if calls, err := w.qldb.Describe(r, []byte(body)); err != nil || len(calls) != 1 {
			t.Errorf("%q: %v, %v", body, calls, err)
		}
		a := &answer{header: http.Header{}}
		w.qldb.ServeHTTP(a, r)
		if a.status != http.StatusBadRequest || a.header.Get("X-Amzn-Errortype") != "SerializationException" {
			t.Errorf("%q: %d %s", body, a.status, a.header)
		}
	}
}

// An answer keeps what a service answers.
type answer struct {
	bytes.Buffer
	header http.Header
	status int
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
