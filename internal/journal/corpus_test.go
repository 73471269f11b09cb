package journal_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit/internal/journal"
)

// between returns the part of text from behind start to before end.
func between(t *testing.T, text, start, end string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, start)
	i := strings.LastIndex(text, end)
	if !ok || i < 0 {
		t.Fatalf("no %q and %q in the real data", start, end)
	}
	return text[:i]
}

// realBlocks returns blocks that the service wrote, as Ion text: one as it is,
// one put together from the stream records of one block, and one around a single
// real revision.
func realBlocks(t *testing.T) map[string]string {
	whole := string(corpus(t, "qldb", "block100", "block100.ion"))
	summary := string(corpus(t, "qldb", "stream-record", "attestation.0.ion"))
	details := string(corpus(t, "qldb", "stream-record", "attestation.1.ion"))
	alone := string(corpus(t, "qldb", "revision429", "revision429.ion"))
	return map[string]string{
		"block100": whole,
		"stream-record": "{" + between(t, summary, "payload: {", "revisionSummaries:") +
			"revisions:[" + between(t, details, "revision: ", "}\n}") + "]}",
		"revision429": `{blockAddress:{strandId:"KLXwBc1ml2A4Yjc8jbFMX3",sequenceNo:429},transactionId:"EVaGjT4dxspC4GUhHi4DDJ",blockTimestamp:2021-06-02T07:03:05.230Z,` +
			`blockHash:` + hashA + `,transactionInfo:{documents:{'5vHoYG5m0OZCsqdYCs8XLH':{tableName:"T",tableId:"I",statements:[0]}}},revisions:[` + alone + `]}`,
	}
}

func TestRealBlocksReadTheSameInEveryFormat(t *testing.T) {
	contains := map[string][]string{
		"block100": {
			`block KmA3ZZca7vAIiJAK9S5Iwl 100 tx FnQeJBAicTX0Ah32ZnVtSX at 2019-09-16T19:37:05.360Z hash 3680a133`, `"PendingPenaltyTicketAmount"#0 decimal flags 0 end 5 0 "90.25"`,
			`record {BFJKdXgzt9oF4wjMbuxy4G VehicleRegistration} JUJgkIcNbhS2goq8RqLuZ4 v3 `, `"2017-08-21"`,
		},
		"stream-record": {`block 0VwGeHD7Q9LL4HSC55gDSp 14 tx 5pxmz8FD9Aj8Cbl5kuvXxP`, `record {Kwo6oxtGUd14vHUepm7OvP attestations} 6WXz9wdajiY7K5u6YwGUN4 v0 `},
		"revision429":   {`5vHoYG5m0OZCsqdYCs8XLH v13 `, `"_key"#0 text flags 0 end 2 0 "myKey1"`},
	}
	for name, text := range realBlocks(t) {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, f := range formats {
				got := plain(readAll(t, encode(t, f, text), journal.Options{Announced: f}))
				if len(got) != 1 || strings.Contains(got[0], "error") {
					t.Fatalf("%s: got %q, want one block without errors", f, got)
				}
				for _, part := range contains[name] {
					if !strings.Contains(got[0], part) {
						t.Errorf("%s: no %s in\n%s", f, part, got[0])
					}
				}
				if want == nil {
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s:\n%s", f, diff)
				}
			}
		})
	}
}
