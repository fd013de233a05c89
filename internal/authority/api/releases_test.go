package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// packed is a payload that devices can install.
func packed(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	if _, err := install.Pack(&b, fstest.MapFS{"VERSION": {Data: []byte("one"), Mode: 0o644}}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFromPayloadToRelease(t *testing.T) {
	w := newWorld(t)
	w.program()
	bytes := packed(t)
	sum := sha256.Sum256([]byte(bytes))
	digest := update.Digest(hex.EncodeToString(sum[:]))
	w.refused(w.do(ask{method: "PUT", path: "/payloads/" + string(digest), body: "other bytes", who: &owner}), 400, api.PayloadDiffers)
	if put := read[api.Payload](w, w.do(ask{method: "PUT", path: "/payloads/" + string(digest), body: bytes, who: &owner})); put != (api.Payload{SHA256: digest, Size: int64(len(bytes))}) {
		t.Errorf("put %+v", put)
	}
	stage := api.StageUpdate{Update: "KB4598279", Kind: "monthly-rollup", Payloads: []api.StagePayload{{Name: "a.tar.zst", Installer: "files", SHA256: digest}}}
	staged := ok[api.Update](w, "POST", "/programs/windows-7/updates", stage)
	if staged.State != releases.Staged || staged.Released.String() != "2021-01-12" || staged.Years["windows-7"] != 1 {
		t.Fatalf("staged %+v %+v", staged, staged.Update)
	}
	// rule D3: nobody but publishers sees it.
	auditor := w.token("ada", access.Auditor)
	seen := func() []program.UpdateID {
		list := read[api.Updates](w, w.do(ask{method: "GET", path: "/programs/windows-7/updates", header: bearer(auditor)}))
		ids := []program.UpdateID{}
		for _, u := range list.Updates {
			ids = append(ids, u.ID)
		}
		return ids
	}
	if diff := cmp.Diff([]program.UpdateID{}, seen()); diff != "" {
		t.Error(diff)
	}
	w.refused(w.do(ask{method: "GET", path: "/programs/windows-7/updates/KB4598279", header: bearer(auditor)}), 404, releases.UpdateUnknown)

	made := ok[api.Drafted](w, "POST", "/drafts/windows-7", api.MakeDraft{})
	if made.Draft == nil || made.Draft.Missing != 2 || len(made.Again) != 0 {
		t.Fatalf("draft %+v", made)
	}
	half := w.sign("/drafts/windows-7/signatures", *made.Draft, w.publishers[0])
	if half.Draft.Missing != 1 {
		t.Errorf("after one of two: %+v", half.Draft)
	}
	w.refused(w.do(ask{method: "POST", path: "/trust/targets/draft", body: `{"document":` + quoted(half.Draft.Document) + `}`, who: &owner}), 400, api.DraftOther)
	full := w.sign("/drafts/windows-7/signatures", half.Draft, w.publishers[1])
	if full.Draft.Missing != 0 || len(full.Published.Released) != 0 {
		t.Errorf("before its instant: %+v", full)
	}
	if none := ok[api.Published](w, "POST", "/releases", nil); len(none.Released) != 0 {
		t.Errorf("released early: %+v", none)
	}
	w.advance(staged.Instant.Add(time.Hour).Sub(w.now)) // an hour after its instant
	done := ok[api.Published](w, "POST", "/releases", nil)
	if diff := cmp.Diff([]program.UpdateID{"KB4598279"}, done.Released); diff != "" {
		t.Error(diff)
	}
	auditor = ok[api.IssuedToken](w, "POST", "/operators/ada/tokens", api.IssueToken{Expires: w.now.Add(1e12)}).Secret
	if diff := cmp.Diff([]program.UpdateID{"KB4598279"}, seen()); diff != "" {
		t.Error(diff)
	}
	gone := ok[api.Drafted](w, "POST", "/programs/windows-7/updates/KB4598279/withdrawal", nil)
	if gone.Draft == nil || !cmp.Equal(gone.Draft.Withdraw, []program.UpdateID{"KB4598279"}) {
		t.Fatalf("withdrawal: %+v", gone)
	}
	ok[api.Drafted](w, "DELETE", "/drafts/windows-7/"+number(gone.Draft.Version), nil)
	if left := ok[api.Drafts](w, "GET", "/drafts/windows-7", nil); len(left.Drafts) != 0 {
		t.Errorf("left: %+v", left)
	}
	months := ok[api.Months](w, "POST", "/programs/windows-7/no-releases", api.Month{Month: "2021-02"})
	if diff := cmp.Diff([]string{"2021-02"}, months.Months); diff != "" {
		t.Error(diff)
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.program()
	csv := "date,kb,kind,supersedes,esu_year\n2020-02-11,KB4537820,Monthly Rollup,,1\n,KB4537821,Monthly Rollup,,1\n2020-03-10,KB4540688,Nonsense,,1\n"
	in := api.ImportHistory{CSV: csv, DryRun: true}
	dry := ok[api.HistoryImported](w, "POST", "/programs/windows-7/history", in)
	if len(dry.Updates) != 1 || len(dry.Refused) != 2 || dry.Draft != nil {
		t.Fatalf("dry run: %+v", dry)
	}
	if left := ok[api.Drafts](w, "GET", "/drafts/windows-7", nil); len(left.Drafts) != 0 {
		t.Errorf("a dry run drafted %+v", left)
	}
	in.DryRun = false
	done := ok[api.HistoryImported](w, "POST", "/programs/windows-7/history", in)
	if len(done.Updates) != 1 || done.Draft == nil || done.Refused[0].Detail == "" || done.Refused[0].Code != update.RowNoDay {
		t.Fatalf("import: %+v", done)
	}
	signed := w.sign("/drafts/windows-7/signatures", *done.Draft, w.publishers...)
	if diff := cmp.Diff([]program.UpdateID{"KB4537820"}, signed.Published.Released); diff != "" {
		t.Error(diff)
	}
}
