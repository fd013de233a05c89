package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/agent/agenttest"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// history is a part of a real program's history, enough for its rules.
func history() []*update.Update {
	return []*update.Update{
		agenttest.Rel("KB4490628", "servicing-stack", "2019-03-12"),
		agenttest.Rel("KB4474419", "signature-support", "2019-09-23"),
		agenttest.Rel("KB4516655", "servicing-stack", "2019-09-10", "KB4490628"),
		agenttest.Rel("KB4519976", "monthly-rollup", "2019-10-08"),
		agenttest.Rel("KB4538483", "preparation-package", "2020-02-11"),
		agenttest.Rel("KB4537829", "servicing-stack", "2020-02-11", "KB4516655"),
		agenttest.Rel("KB4537820", "monthly-rollup", "2020-02-11", "KB4519976"),
		agenttest.Rel("KB4537813", "security-only", "2020-02-11"),
		gated(1, agenttest.Rel("KB4598279", "monthly-rollup", "2021-01-12", "KB4537820")),
		gated(2, agenttest.Rel("KB4601347", "monthly-rollup", "2021-02-09", "KB4598279")),
	}
}

// gated is for one track only: on another one that still has support, the same
// day's updates are free, and a server asks for no token.
func gated(year program.Year, u *update.Update) *update.Update {
	u.Years = map[program.TrackID]program.Year{"windows-7": year}
	return u
}

// stocked are the updates that meet every prerequisite.
func stocked() []program.UpdateID {
	return []program.UpdateID{"KB4474419", "KB4516655", "KB4490628", "KB4519976", "KB4538483"}
}

var ctx = context.Background()

func TestEnroll(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.machine("one")
	in := EnrollIn{Server: v.URL, Anchor: v.Repo.Anchor(), Edition: "windows 7 pro", Arch: "x64"}

	bad := in
	bad.Anchor = "sha256:" + strings.Repeat("0", 64)
	_, err := m.Enroll(ctx, bad)
	wantCode(t, err, trust.AnchorMismatch)
	_, err = m.Status(ctx, civil.Date{})
	wantCode(t, err, NotEnrolled)

	bad = in
	bad.Edition = ""
	_, err = m.Enroll(ctx, bad)
	wantCode(t, err, EditionUnnamed)

	out, err := m.Enroll(ctx, in) // after two that broke off
	fatal(t, err)
	if out.Authority != "contoso" || out.Program != win || out.Edition != "professional" || out.Delivery != "direct" || out.Outside != nil {
		t.Errorf("enrolled as %+v", out)
	}
	_, err = m.Enroll(ctx, in)
	wantCode(t, err, AlreadyEnrolled)

	keyring := t.TempDir() + "/keyring.json"
	set, err := v.Repo.Set()
	fatal(t, err)
	fatal(t, os.WriteFile(keyring, set["1.root.json"], 0o600))
	in.Again, in.Anchor = true, keyring
	_, err = m.Enroll(ctx, in)
	fatal(t, err)
}

// An edition outside the program is told and not refused: the device runs on,
// and what is free still comes.
func TestOutsideTheProgramRunsOn(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	for edition, code := range map[string]problem.Code{"Windows 7 Ultimate": coverage.EditionIneligible, "Windows 3": coverage.EditionUnknown} {
		m := v.enrolled(EnrollIn{Edition: edition})
		s := m.status()
		if s.Eligible || s.Outside.Code != code {
			t.Errorf("%s: eligible %v, %v", edition, s.Eligible, s.Outside)
		}
		if code == coverage.EditionIneligible {
			got := strings.Join(m.updated(UpdateIn{}), ", ")
			if !strings.Contains(got, "KB4516655 installed") && !strings.Contains(got, "KB4537829 installed") {
				t.Errorf("%s: %s", edition, got)
			}
		}
	}
}

func TestPrerequisitesInOrder(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional"})
	next := func() program.PrerequisiteID {
		all, err := m.Prerequisites(ctx)
		fatal(t, err)
		var found program.PrerequisiteID
		for _, p := range all {
			if p.Next && found != "" {
				t.Errorf("both %s and %s are next", found, p.ID)
			}
			if p.Next {
				found = p.ID
			}
		}
		return found
	}
	key := v.Key("windows-7", 1, 5)
	// rule K14: the licensing update comes before what is wrong with the key.
	_, err := m.InstallKey(ctx, "not a key")
	wantCode(t, err, activation.LicensingUpdateMissing)
	if !strings.Contains(m.log(), "ESU: product key refused: 0xC004F050 (activation.licensing-update-missing)") {
		t.Errorf("log:\n%s", m.log())
	}

	same(t, "first step", program.PrerequisiteID("servicing-stack-sha2"), next()) // rule D1
	got := m.updated(UpdateIn{})
	same(t, "first", "KB4537829 installed", got[0]) // the newest stack, which meets two of them
	if !m.status().RestartPending || !strings.Contains(m.log(), "ESU: restart required") {
		t.Error("no restart is pending")
	}
	for _, r := range got[1:] {
		if strings.HasSuffix(r, "installed") {
			t.Errorf("%s before the restart", r)
		}
	}
	_, err = m.InstallKey(ctx, "not a key") // the licensing update is still the first cause
	wantCode(t, err, activation.LicensingUpdateMissing)

	m.write("proc/sys/kernel/random/boot_id", "boot 2\n")
	same(t, "second step", program.PrerequisiteID("sha2-support"), next())
	same(t, "second", "KB4474419 installed", m.updated(UpdateIn{})[0])
	left, err := m.Restarted(ctx)
	fatal(t, err)
	same(t, "restarts left", 0, left)
	same(t, "third", "KB4519976 installed", m.updated(UpdateIn{})[0])
	_, err = m.InstallKey(ctx, key.Reveal()) // rule K14
	wantCode(t, err, activation.RestartPending)
	m.write("proc/sys/kernel/random/boot_id", "boot 3\n")
	_, err = m.InstallKey(ctx, v.Key("windows-embedded-standard-7", 1, 5).Reveal())
	wantCode(t, err, activation.KeyEmbeddedOnly) // rule K22
	_, err = m.InstallKey(ctx, strings.Replace(key.Reveal(), "-", "-9", 1)[:29])
	if code := problem.CodeOf(err); !strings.HasPrefix(string(code), "key.malformed") {
		t.Errorf("malformed key: %v", err)
	}
	m.activated(key)
	same(t, "last step", program.PrerequisiteID("preparation-package"), next())
}

func TestElevation(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	before := m.tree("var")
	low := Open(Config{Root: m.root, Now: v.Clock, Elevated: func() bool { return false }})
	acts := map[string]func() error{ // rule K15
		"install-key": func() error { _, err := low.InstallKey(ctx, v.Key("windows-7", 1, 5).Reveal()); return err },
		"activate":    func() error { _, err := low.Activate(ctx, ActivateIn{}); return err },
		"update":      func() error { _, err := low.Update(ctx, UpdateIn{}); return err },
		"generalize":  func() error { return low.Generalize(ctx) },
	}
	for name, act := range acts {
		err := act()
		if problem.CodeOf(err) != activation.NotElevated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := low.Scan(ctx, ScanIn{}); err != nil {
		t.Error(err)
	}
	same(t, "state", before, m.tree("var"))
	same(t, "vendor's code", "0xC004F025", m.status().VendorCode(activation.NotElevated))
}

func TestKeysAndActivation(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked(), ProductActivated: true})
	_, err := m.Activate(ctx, ActivateIn{})
	wantCode(t, err, NoKeyInstalled)
	one, two := v.Key("windows-7", 1, 1), v.Key("windows-7", 2, 1)
	m.key(one)
	m.key(two)
	s := m.status()
	same(t, "rule K9: installed is not activated", []LicenseStatus{Unlicensed, Unlicensed, NoKey},
		[]LicenseStatus{s.Years[0].Status, s.Years[1].Status, s.Years[2].Status})
	same(t, "the names of a key (rule K20)", []string{"Windows 7 Ext Security Year 1 MAK", "ESU Add-on MAK"}, []string{s.Years[0].Portal, s.Years[0].Tool})

	a, err := m.Activate(ctx, ActivateIn{IDs: []string{
		"bd3762d7-270d-4760-8fb3-d829ca45278a", "77db037b-95c3-48d7-a3ab-a9c6d41093e0", "4220f546-f522-46df-8202-4d07afd26454",
	}})
	fatal(t, err)
	wantCode(t, a.Results[0].Refused, activation.IDIsProductsOwn)
	wantCode(t, a.Results[2].Refused, activation.KeyNotInstalled)
	if a.Results[1].Refused != nil || a.Results[1].License == "" {
		t.Errorf("year 1: %+v", a.Results[1])
	}
	s = m.status()
	same(t, "rule K3: years stand side by side", []LicenseStatus{Licensed, Unlicensed, NoKey},
		[]LicenseStatus{s.Years[0].Status, s.Years[1].Status, s.Years[2].Status})
	same(t, "activated years", []program.Year{1}, s.Activated)

	// without an id every installed key is activated, and a repeat is free (rules K7, K9)
	a, err = m.Activate(ctx, ActivateIn{})
	fatal(t, err)
	same(t, "results", 2, len(a.Results))
	same(t, "used", 1, v.Keys[one.Ref()].Used)
	same(t, "activated years", []program.Year{1, 2}, m.status().Activated)
	facts, err := m.load()
	fatal(t, err)
	if !facts.local.ProductActivated { // rule K2
		t.Error("the product's own activation was touched")
	}
	if text := m.read("var/lib/esu/servicing.log"); strings.Contains(text, one.Reveal()) {
		t.Error("a product key stands in the log")
	}
}

func TestRefusalsOfTheServer(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	full := v.Key("windows-7", 1, 0)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.key(full)
	a, err := m.Activate(ctx, ActivateIn{})
	fatal(t, err)
	wantCode(t, a.Results[0].Refused, activation.LimitReached)
	if !strings.Contains(m.log(), "activation refused: 0xC004C020") {
		t.Errorf("log:\n%s", m.log())
	}
	same(t, "activated years", []program.Year{}, m.status().Activated)

	outside := v.enrolled(EnrollIn{Edition: "ultimate", Installed: stocked()})
	outside.key(v.Key("windows-7", 2, 5)) // a good key
	a, err = outside.Activate(ctx, ActivateIn{})
	fatal(t, err)
	wantCode(t, a.Results[0].Refused, activation.EditionIneligible) // rule K13
}

func TestNetworkFailuresNameTheHost(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.key(v.Key("windows-7", 1, 5))
	a, err := m.Activate(ctx, ActivateIn{Proxy: "http://no-such-host.invalid"})
	wantCode(t, err, wire.NameNotResolved) // rule K17
	same(t, "hosts", []string{"activation.sls.microsoft.com", "go.microsoft.com"}, a.Hosts)
	same(t, "vendor's code", "0x80072EE7", m.status().VendorCode(wire.NameNotResolved))
	if !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Error(err)
	}
	// another server that passes requests on
	a, err = m.Activate(ctx, ActivateIn{Proxy: v.URL})
	fatal(t, err)
	if a.Results[0].Refused != nil {
		t.Error(a.Results[0].Refused)
	}
}

func TestActivationByFile(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m, other := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()}), v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	key := v.Key("windows-7", 1, 5)
	m.key(key)
	other.activated(key)
	requests, _, err := m.Requests(ctx, nil)
	fatal(t, err)
	if strings.Contains(strings.Join(requests.Requests, ""), key.Reveal()) {
		t.Error("the request carries the key")
	}
	token, err := v.Answer(requests.Requests[0])
	fatal(t, err)
	a, err := m.Accept(ctx, &wire.ActivationResults{Results: []wire.ActivationResult{{License: string(token)}}})
	fatal(t, err)
	if a.Results[0].Refused != nil || a.Results[0].Year != 1 {
		t.Errorf("%+v", a.Results[0])
	}
	// a license of another device
	theirs, err := other.licenses()
	fatal(t, err)
	for _, l := range theirs {
		a, err = m.Accept(ctx, &wire.ActivationResults{Results: []wire.ActivationResult{{License: string(l.token)}}})
		fatal(t, err)
		wantCode(t, a.Results[0].Refused, license.OtherDevice)
		m.write("var/lib/esu/licenses/"+l.file(), string(l.token)) // by hand
	}
	c := v.Authority.Claims(t, licensetest.NewDevice("any"), "windows-7", 1)
	c.Program = "appliance-os"
	a, err = m.Accept(ctx, &wire.ActivationResults{Results: []wire.ActivationResult{{License: string(v.Authority.Sign(t, c))}}})
	fatal(t, err)
	wantCode(t, a.Results[0].Refused, license.OtherProgram)
	sentence, _ := locales.New("en").Problem(a.Results[0].Refused)
	same(t, "sentence", "This license is for the program 'appliance-os', and this is 'windows-7'.", sentence)
	s := m.status()
	same(t, "copied license", Notification, s.Years[0].Status)
	wantCode(t, s.Years[0].Rejected, license.OtherDevice)
	same(t, "activated years", []program.Year{}, s.Activated)
}

func TestIdentity(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	key := v.Key("windows-7", 1, 5)
	m.activated(key)
	first := m.status().Installation
	m.activated(key)
	same(t, "used", 1, v.Keys[key.Ref()].Used) // rule K7
	m.write("etc/machine-id", "cloned\n")
	s := m.status()
	wantCode(t, s.Notices[0], IdentityChanged)
	same(t, "vendor's code", "0xC004F00F", s.VendorCode(IdentityChanged))
	same(t, "activated years", []program.Year{}, s.Activated)
	for range 2 { // it is told until the next activation
		out, err := m.Update(ctx, UpdateIn{})
		fatal(t, err)
		wantCode(t, out.Notices[0], IdentityChanged)
		for _, r := range results(out) {
			if strings.HasPrefix(r, "KB45378") && strings.HasSuffix(r, "installed") && !strings.Contains(r, "KB4537829") {
				t.Errorf("%s with the license of another installation", r)
			}
		}
	}
	a, err := m.Activate(ctx, ActivateIn{})
	fatal(t, err)
	wantCode(t, a.Notices[0], IdentityChanged)
	same(t, "used", 2, v.Keys[key.Ref()].Used) // rule K7: a new installation
	if s := m.status(); s.Installation == first || len(s.Notices) > 0 || len(s.Activated) != 1 {
		t.Errorf("after the new activation: %+v", s)
	}

	fatal(t, m.Generalize(ctx))
	if s := m.status(); s.Installation != "" || len(s.Activated) > 0 || !s.Years[0].KeyInstalled || len(s.Notices) > 0 {
		t.Errorf("after generalize: %+v", s)
	}
	m.activated(key)
	same(t, "used", 3, v.Keys[key.Ref()].Used)
}

func TestStaleMetadataStillInstalls(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	same(t, "downloaded", Downloaded, mustUpdate(t, m, UpdateIn{DownloadOnly: true, Only: []program.UpdateID{"KB4598279"}}).Updates[0].Result)
	v.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { // the authority is down
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		return true
	})
	v.Later(40 * 24 * time.Hour)
	out := mustUpdate(t, m, UpdateIn{})
	if out.Stale == nil || !out.Metadata.Stale || out.Metadata.Days != 40 {
		t.Errorf("stale %v, %+v", out.Stale, out.Metadata)
	}
	got := strings.Join(results(out), ", ")
	if !strings.Contains(got, "KB4598279 installed") || !strings.Contains(got, "KB4537813 failed") {
		t.Error(got)
	}
	if n := v.AskedFor("GET /content") + v.AskedFor("GET /v1/nonce"); n > 2 { // one, and the transport's own second try
		t.Errorf("a server that is down was asked %d times", n)
	}
	same(t, "product", "version KB4598279", m.read("opt/windows-7/current/version"))
}

func mustUpdate(t *testing.T, m *machine, in UpdateIn) *Outcome {
	t.Helper()
	out, err := m.Update(ctx, in)
	fatal(t, err)
	return out
}

func TestLockedDevice(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional"})
	err := m.act(ctx, func(*journal) error { return m.Generalize(ctx) })
	wantCode(t, err, "storage.in-use")
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := m.Update(stopped, UpdateIn{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
