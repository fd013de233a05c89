package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openesu/openesu/internal/agent/agenttest"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/program"
)

// A release that was withdrawn is listed nowhere, and still no older one comes in
// its place.
func TestWithdrawnReleaseIsNotReplacedByAnOlderOne(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", append(history()[:6],
		agenttest.Rel("KB4537820", "monthly-rollup", "2020-02-11"), agenttest.Rel("KB4540688", "monthly-rollup", "2020-03-10", "KB4537820"))...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	m.updated(UpdateIn{})
	stands := func(version string) {
		t.Helper()
		same(t, "product", "version "+version, m.read("opt/windows-7/current/version"))
	}
	stands("KB4540688")
	v.Withdraw("KB4540688")
	v.Intercept(nil)
	refused := func() {
		t.Helper()
		out := mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4537820"}})
		same(t, "older", []string{"KB4537820 refused"}, results(out))
		wantCode(t, out.Updates[0].Err, NewerInstalled)
		stands("KB4540688")
	}
	refused()
	_, err := m.Enroll(ctx, EnrollIn{
		Server: v.URL, Anchor: v.Repo.Anchor(), Edition: "professional", Arch: "x64", Installed: stocked(), Again: true,
	})
	fatal(t, err)
	m.activated(v.Key("windows-7", 1, 5))
	refused() // a new enrollment has forgotten nothing
	same(t, "downloads", 0, v.AskedFor("GET /content"))

	v.Release(gated(1, agenttest.Rel("KB4550964", "monthly-rollup", "2020-04-14")))
	m.updated(UpdateIn{})
	stands("KB4550964") // a later one comes
	v.Withdraw("KB4550964")
	st, err := m.load()
	fatal(t, err)
	delete(st.local.Released, "KB4550964") // a release that nobody knows counts as newer
	fatal(t, m.saveLocal(st))
	v.Release(gated(1, agenttest.Rel("KB4556836", "monthly-rollup", "2020-05-12")))
	out := mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4556836"}})
	wantCode(t, out.Updates[0].Err, NewerInstalled)
	v.Release(gated(1, agenttest.Rel("KB4561643", "monthly-rollup", "2020-06-09", "KB4550964")))
	m.updated(UpdateIn{})
	stands("KB4561643") // this one names it
}

// What is odd in one folder holds back what goes there, and nothing else. rule D15
func TestOddFolders(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	m.write("opt/windows-7/add-ons/README", "somebody's notes")
	m.write("opt/windows-7/add-ons/KB4537813/state.json", "{")
	m.write("var/lib/esu/downloads/odd/file", "")
	out := mustUpdate(t, m, UpdateIn{})
	same(t, "results", []string{"KB4537813 failed", "KB4537829 installed", "KB4598279 installed", "KB4601347 refused"}, results(out))
	wantCode(t, out.Updates[0].Err, install.StateDamaged)
	for _, line := range []string{"add-ons/KB4537813 refused: install.state-damaged", "removal of a download failed: "} {
		if !strings.Contains(m.log(), line) {
			t.Errorf("the log lacks %q:\n%s", line, m.log())
		}
	}
	if strings.Contains(m.log(), "README") {
		t.Errorf("a file was taken for a product's folder:\n%s", m.log())
	}
	other := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	other.activated(v.Key("windows-7", 1, 5))
	other.write("opt/windows-7/add-ons", "no folder at all")
	if got := other.updated(UpdateIn{}); !slices.Contains(got, "KB4598279 installed") {
		t.Error(got)
	}
}

// meanwhile is a context in which something happens at the first look, which is
// after the payload was opened and before it is hashed.
type meanwhile struct {
	context.Context
	act func()
}

func (m *meanwhile) Err() error {
	if m.act != nil {
		m.act()
		m.act = nil
	}
	return m.Context.Err()
}

// installing brings one downloaded update into place while act happens.
func installing(t *testing.T, act func(v *vendor, path string)) *machine {
	t.Helper()
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4598279"}, DownloadOnly: true})
	st, err := m.load()
	fatal(t, err)
	k, _, err := m.know(ctx, st, false)
	fatal(t, err)
	j := m.journal()
	r, err := m.runner(k, j, UpdateIn{})
	fatal(t, err)
	e, _ := k.catalog.Find("KB4598279")
	p, err := r.payload(e)
	fatal(t, err)
	fatal(t, r.install(&meanwhile{ctx, func() { act(v, m.path(downloadsDir, string(p.SHA256))) }}, e, p))
	fatal(t, j.flush())
	return m
}

// Bytes that take the payload's name after it was hashed are not installed.
func TestVerifiedBytesAreInstalled(t *testing.T) {
	m := installing(t, func(v *vendor, path string) {
		other := agenttest.Rel("KB4598279", "monthly-rollup", "2021-01-12")
		v.Pack(other, "version EVIL98279")
		fatal(t, os.WriteFile(path+".new", v.Payloads[other.Payloads[0].SHA256], 0o600))
		fatal(t, os.Rename(path+".new", path))
	})
	same(t, "product", "version KB4598279", m.read("opt/windows-7/current/version"))
}

// A download that cannot be removed does not make an installed update a failed one.
func TestDownloadThatStays(t *testing.T) {
	m := installing(t, func(_ *vendor, path string) {
		fatal(t, os.Rename(path, path+".away"))
		fatal(t, os.MkdirAll(filepath.Join(path, "not empty"), 0o755))
	})
	if log := m.log(); !strings.Contains(log, "KB4598279 installed") || !strings.Contains(log, "removal of a download failed") {
		t.Errorf("log:\n%s", log)
	}
	same(t, "known as installed", 6, m.status().Updates)
}
