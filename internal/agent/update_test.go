package agent

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/agent/agenttest"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

func (v *vendor) find(id program.UpdateID) *update.Update {
	i := slices.IndexFunc(v.Updates, func(u *update.Update) bool { return u.ID == id })
	return v.Updates[i]
}

func find(t *testing.T, s *Scan, id program.UpdateID) Finding {
	t.Helper()
	for _, f := range s.Updates {
		if f.Update == id {
			return f
		}
	}
	t.Fatalf("%s is not in the scan", id)
	return Finding{}
}

func TestScan(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	s, err := m.Scan(ctx, ScanIn{}) // rule D16: nothing is held
	fatal(t, err)
	f := find(t, s, "KB4601347")
	same(t, "state", coverage.NotCovered, f.State)
	wantCode(t, f.Problems[0], coverage.YearNotCovered)
	if n := v.AskedFor("GET /content") + v.AskedFor("POST"); n > 0 {
		t.Errorf("a scan asked %d times for more than metadata", n)
	}
	m.activated(v.Key("windows-7", 1, 5))
	s, err = m.Scan(ctx, ScanIn{})
	fatal(t, err)
	// rule D12: the last rollup of year 1 is offered beside that of year 2
	if f := find(t, s, "KB4598279"); !f.Allowed || f.Year != 1 {
		t.Errorf("last rollup of year 1: %+v", f)
	}
	same(t, "year 2", coverage.NotCovered, find(t, s, "KB4601347").State)
	for _, f := range s.Updates {
		if f.State == coverage.Installed || f.State == coverage.NotApplicable {
			t.Errorf("%s %s does not concern the device", f.Update, f.State)
		}
	}
	all, err := m.Scan(ctx, ScanIn{All: true})
	fatal(t, err)
	same(t, "superseded", coverage.NotApplicable, find(t, all, "KB4537820").State)
	early, err := m.Scan(ctx, ScanIn{On: civil.MustParse("2020-12-31")})
	fatal(t, err)
	if f := find(t, early, "KB4537820"); !f.Allowed {
		t.Errorf("on an earlier day: %+v", f)
	}
}

func TestOneRefusedDoesNotHoldBackTheOthers(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	broken := agenttest.Rel("KB5000001", "security-only", "2020-03-10")
	v.Pack(broken, "broken")
	broken.Payloads[0].Unpacked = 1 // it does not unpack to what was signed
	foreign := agenttest.Rel("KB5000002", "security-only", "2020-04-14")
	v.Pack(foreign, "foreign")
	foreign.Payloads[0].Installer = "msi-of-tomorrow"
	v.Release(broken, foreign)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	out := mustUpdate(t, m, UpdateIn{})
	same(t, "results (rule D15)", []string{
		"KB4537813 installed", "KB4537829 installed", "KB5000001 failed", "KB5000002 refused", "KB4598279 installed", "KB4601347 refused",
	}, results(out))
	same(t, "product", "version KB4598279", m.read("opt/windows-7/current/version"))
	same(t, "beside it", "version KB4537813", m.read("opt/windows-7/add-ons/KB4537813/current/version"))
	log := m.log() // rule D11
	for _, line := range []string{
		"ESU: Update = KB4601347, released 2021-02-09", "ESU: Product = professional (x64)", "ESU: checking : year 2 of Windows 7",
		"ESU: Windows 7 is not activated.", "ESU: not eligible HRESULT_FROM_WIN32(1633).", "ESU: eligible, KB4598279 may be installed",
		"2021-03-01 12:00:00, Info                  ESU    00000001 ESU: ",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	same(t, "second run", 0, mustUpdate(t, m, UpdateIn{}).Count(Installed))
}

func TestChannels(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	without := slices.DeleteFunc(stocked(), func(id program.UpdateID) bool { return id == "KB4538483" })
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: without})
	m.activated(v.Key("windows-7", 1, 5))
	out := mustUpdate(t, m, UpdateIn{})
	got := strings.Join(results(out), ", ")
	if !strings.Contains(got, "KB4538483 not-offered") || !strings.Contains(got, "KB4598279 refused") { // rule D2
		t.Error(got)
	}
	for _, p := range m.status().Prerequisites {
		if p.ID == "preparation-package" && len(p.Elsewhere) != 3 {
			t.Errorf("elsewhere: %v", p.Elsewhere)
		}
	}
	file := filepath.Join(t.TempDir(), "package")
	fatal(t, os.WriteFile(file, v.Payloads[v.find("KB4538483").Payloads[0].SHA256], 0o644))
	by, err := m.InstallFile(ctx, file, UpdateIn{})
	fatal(t, err)
	same(t, "from the file", []string{"KB4538483 installed"}, results(by))
	m.write("proc/sys/kernel/random/boot_id", "boot 2\n")
	if got := strings.Join(m.updated(UpdateIn{}), ", "); !strings.Contains(got, "KB4598279 installed") {
		t.Error(got)
	}

	other := v.enrolled(EnrollIn{Edition: "professional", Installed: without, Delivery: "catalog"})
	if got := strings.Join(other.updated(UpdateIn{}), ", "); !strings.Contains(got, "KB4538483 installed") {
		t.Error(got)
	}
}

func TestFileIsNoWayRound(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	dir := t.TempDir()
	carry := func(name string, bytes []byte) string {
		path := filepath.Join(dir, name)
		fatal(t, os.WriteFile(path, bytes, 0o644))
		return path
	}
	year2 := v.Payloads[v.find("KB4601347").Payloads[0].SHA256]
	out, err := m.InstallFile(ctx, carry("year2", year2), UpdateIn{}) // rule D5
	fatal(t, err)
	same(t, "result", []string{"KB4601347 refused"}, results(out))
	wantCode(t, out.Updates[0].Err, coverage.YearNotCovered)

	tampered := slices.Clone(v.Payloads[v.find("KB4598279").Payloads[0].SHA256])
	tampered[len(tampered)/2] ^= 1
	_, err = m.InstallFile(ctx, carry("tampered", tampered), UpdateIn{})
	wantCode(t, err, FileNotListed)
	_, err = m.InstallFile(ctx, "no such file", UpdateIn{})
	wantCode(t, err, UpdateUnknown)
	_, err = m.InstallFile(ctx, "KB1234567", UpdateIn{})
	wantCode(t, err, UpdateUnknown)
	if _, err := os.Stat(filepath.Join(m.root, "opt")); err == nil {
		t.Error("something was installed")
	}
	// bytes that change between download and installation are not installed
	p := v.find("KB4598279").Payloads[0]
	m.write("var/lib/esu/downloads/"+string(p.SHA256), string(tampered))
	st, err := m.load()
	fatal(t, err)
	k, _, err := m.know(ctx, st, false)
	fatal(t, err)
	r, err := m.runner(k, m.journal(), UpdateIn{})
	fatal(t, err)
	e, _ := k.catalog.Find("KB4598279")
	wantCode(t, r.install(ctx, e, &p), PayloadTampered)
	// bytes put where downloads are kept are verified before they are used
	m.write("var/lib/esu/downloads/"+string(p.SHA256), string(tampered))
	same(t, "by id", []string{"KB4598279 installed"}, m.updated(UpdateIn{Only: []program.UpdateID{"KB4598279"}}))
	same(t, "product", "version KB4598279", m.read("opt/windows-7/current/version"))
}

func TestCoverageThatEndsBetweenDownloadAndInstallation(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	same(t, "covered", []string{"KB4537813 installed"}, m.updated(UpdateIn{Only: []program.UpdateID{"KB4537813"}}))
	v.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/content/") { // while the bytes are under way
			fatal(t, os.RemoveAll(m.path(licensesDir)))
		}
		return false
	})
	out := mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4598279"}})
	same(t, "result", []string{"KB4598279 refused"}, results(out)) // rule D5
	wantCode(t, out.Updates[0].Err, coverage.YearNotCovered)
	// rule P10: what is there stays, and goes on working
	same(t, "installed before", "version KB4537813", m.read("opt/windows-7/add-ons/KB4537813/current/version"))
	same(t, "what is free", []string{"KB4537829 installed"}, m.updated(UpdateIn{Only: []program.UpdateID{"KB4537829"}}))
}

func TestOfflineImage(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked(), OfflineImage: true})
	m.activated(v.Key("windows-7", 1, 5))
	file := filepath.Join(t.TempDir(), "package")
	fatal(t, os.WriteFile(file, v.Payloads[v.find("KB4598279").Payloads[0].SHA256], 0o644))
	before := without(m.tree(""), logFile, downloadsDir)
	out, err := m.InstallFile(ctx, file, UpdateIn{}) // rule D6
	fatal(t, err)
	wantCode(t, out.Updates[0].Err, coverage.OfflineImage)
	same(t, "the image", before, without(m.tree(""), logFile, downloadsDir))

	audit := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked(), AuditMode: true})
	audit.activated(v.Key("windows-7", 1, 5))
	if got := strings.Join(audit.updated(UpdateIn{}), ", "); !strings.Contains(got, "KB4598279 installed") {
		t.Error(got)
	}
}

func TestEmbedded(t *testing.T) {
	v := newVendor(t, win, "2020-12-01", append(history()[:8],
		agenttest.Rel("KB4580345", "monthly-rollup", "2020-10-13", "KB4537820"), agenttest.Rel("KB4586827", "monthly-rollup", "2020-11-10", "KB4580345"))...)
	ready := append(stocked(), "KB4537829")
	log := func(m *machine) string { _ = m.updated(UpdateIn{}); return m.log() }

	plain := v.enrolled(EnrollIn{Edition: "embedded-standard", Installed: ready, EmbeddedKeyRange: true})
	got := log(plain)
	same(t, "free through its own end of support (rule D8)", "version KB4580345", plain.read("opt/windows-7/current/version"))
	for _, line := range []string{"ESU: Product is in Range", "ESU: NO ESU KEY FOUND", "ESU: not eligible HRESULT_FROM_WIN32(1633)."} { // rule D9
		if !strings.Contains(got, line) {
			t.Errorf("the log lacks %q:\n%s", line, got)
		}
	}

	key := v.Key("windows-embedded-standard-7", 1, 5)
	half := v.enrolled(EnrollIn{Edition: "embedded-standard", Installed: ready, EmbeddedKeyRange: true})
	half.activated(key)
	got = log(half) // the product's own key is not activated
	if !strings.Contains(got, "ESU: Windows Embedded Standard 7 is not activated.") || strings.Contains(got, "NO ESU KEY FOUND") ||
		!strings.Contains(got, "ESU: not eligible HRESULT_FROM_WIN32(1633).") || strings.Contains(got, "KB4586827 installed") {
		t.Errorf("log:\n%s", got)
	}
	outside := v.enrolled(EnrollIn{Edition: "embedded-standard", Installed: ready}) // out of the range only the add-on counts
	_, err := outside.InstallKey(ctx, v.Key("windows-7", 1, 5).Reveal())
	wantCode(t, err, "activation.key-not-embedded") // rule K22
	outside.activated(key)
	if got := log(outside); !strings.Contains(got, "KB4586827 installed") {
		t.Errorf("log:\n%s", got)
	}
}

func TestCheckPackage(t *testing.T) {
	v := newVendor(t, win, "2020-03-01", append(history()[:8], agenttest.Rel("KB4528069", "check-package", "2020-02-11"))...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	before := without(m.tree(""), logFile)
	c, err := m.CheckPackage(ctx)
	fatal(t, err)
	if c.Passed || len(c.Refused) != 2 {
		t.Errorf("%+v", c)
	}
	wantCode(t, c.Refused[0], CheckTooOld) // rule D10
	same(t, "vendor's code", "80070643, HRESULT_FROM_WIN32(1605)", c.VendorCode(CheckTooOld))
	if !strings.Contains(m.log(), "Not Eligible:80070643, HRESULT_FROM_WIN32(1605)") {
		t.Errorf("log:\n%s", m.log())
	}
	same(t, "the device (rule D14)", before, without(m.tree(""), logFile))

	m = v.enrolled(EnrollIn{Edition: "professional", Installed: append(stocked(), "KB4537829", "KB4537820")})
	c, err = m.CheckPackage(ctx)
	fatal(t, err)
	if !c.Passed || c.Accepted {
		t.Errorf("without coverage: %+v", c)
	}
	m.activated(v.Key("windows-7", 1, 5))
	if c, err = m.CheckPackage(ctx); err != nil || !c.Accepted {
		t.Errorf("with coverage: %+v, %v", c, err)
	}
	out := mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4528069"}})
	same(t, "by its id", []string{"KB4528069 checked"}, results(out))
	m = v.enrolled(EnrollIn{Edition: "ultimate", Installed: append(stocked(), "KB4537829", "KB4537820")})
	c, err = m.CheckPackage(ctx)
	fatal(t, err)
	wantCode(t, c.Refused[0], CheckEdition)
}

func TestDownloadGoesOn(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	big := gated(1, agenttest.Rel("KB5000003", "security-only", "2020-05-12"))
	v.Pack(big, strings.Repeat("a long text that does not repeat itself ", 10)+string(randomText()))
	v.Release(big)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	p := big.Payloads[0]
	body := v.Payloads[p.SHA256]
	var ranges []string
	cut := true
	v.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/content/") {
			return false
		}
		ranges = append(ranges, r.Header.Get("Range"))
		if !cut {
			return false
		}
		cut = false
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(body[:100])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	same(t, "result", []string{"KB5000003 installed"}, m.updated(UpdateIn{Only: []program.UpdateID{"KB5000003"}}))
	same(t, "asked for", []string{"", "bytes=100-"}, ranges)

	// a server that falls silent ends the run, and the next one goes on from there
	ranges = nil
	silent := true
	v.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/content/") {
			return false
		}
		ranges = append(ranges, r.Header.Get("Range"))
		if !silent {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:100])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	})
	waits := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	waits.cfg.Stall = 200 * time.Millisecond
	waits.activated(v.Key("windows-7", 1, 5))
	out := mustUpdate(t, waits, UpdateIn{Only: []program.UpdateID{"KB5000003"}})
	wantCode(t, out.Updates[0].Err, wire.Timeout)
	silent = false
	same(t, "result", []string{"KB5000003 installed"}, waits.updated(UpdateIn{Only: []program.UpdateID{"KB5000003"}}))
	same(t, "asked for", []string{"", "bytes=100-"}, ranges)
	v.Intercept(nil)

	// a part that is worth nothing is begun anew
	other := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	other.activated(v.Key("windows-7", 1, 5))
	other.write("var/lib/esu/downloads/"+string(p.SHA256)+".partial", "rubbish from elsewhere")
	same(t, "result", []string{"KB5000003 installed"}, other.updated(UpdateIn{Only: []program.UpdateID{"KB5000003"}}))
}

func randomText() []byte {
	text := make([]byte, 5000)
	n := uint32(1)
	for i := range text {
		n = n*1664525 + 1013904223
		text[i] = byte(n >> 24)
	}
	return text
}

// What an update once replaced does not come back, even where nobody wrote down
// that it was superseded; and what is not needed any more is not kept.
func TestNothingGoesBack(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", append(history()[:6], agenttest.Rel("KB4537820", "monthly-rollup", "2020-02-11"))...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: slices.DeleteFunc(stocked(), func(id program.UpdateID) bool { return id == "KB4519976" })})
	m.write("var/lib/esu/downloads/"+strings.Repeat("0", 64)+".partial", "of an update that was withdrawn")
	same(t, "stack and licensing update", []string{"KB4519976 installed"}, slices.DeleteFunc(m.updated(UpdateIn{}), func(r string) bool {
		return !strings.HasSuffix(r, "installed")
	}))
	if left := m.tree("var/lib/esu/downloads"); len(left) > 0 {
		t.Errorf("downloads: %v", left)
	}
	m.write("proc/sys/kernel/random/boot_id", "boot 2\n")
	m.activated(v.Key("windows-7", 1, 5))
	m.updated(UpdateIn{})
	same(t, "product", "version KB4537820", m.read("opt/windows-7/current/version"))
	facts, err := m.load()
	fatal(t, err)
	facts.local.Installed = slices.DeleteFunc(facts.local.Installed, func(id program.UpdateID) bool { return id == "KB4519976" })
	fatal(t, m.saveLocal(facts))
	out := mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4519976"}})
	wantCode(t, out.Updates[0].Err, NewerInstalled)
	same(t, "product", "version KB4537820", m.read("opt/windows-7/current/version"))
}

func TestTamperedPayload(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	digest := v.find("KB4598279").Payloads[0].SHA256
	for name, body := range map[string][]byte{
		"changed": bytes.Repeat([]byte{7}, len(v.Payloads[digest])),
		"short":   v.Payloads[digest][:10],
	} {
		v.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/content/") {
				_, _ = w.Write(body)
				return true
			}
			return false
		})
		out := mustUpdate(t, m, UpdateIn{Only: []program.UpdateID{"KB4598279"}})
		if out.Count(Installed) > 0 {
			t.Errorf("%s: installed", name)
		}
		wantCode(t, out.Updates[0].Err, map[string]problem.Code{"changed": PayloadTampered, "short": PayloadIncomplete}[name])
	}
	if _, err := os.Stat(filepath.Join(m.root, "opt")); err == nil {
		t.Error("something was installed")
	}
}

// The server has the same gate: without a license there is no token.
func TestServerAsksToo(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional"})
	server, err := m.client(v.URL)
	fatal(t, err)
	_, err = server.Content(ctx, v.find("KB4598279").Payloads[0].SHA256, "", 0)
	wantCode(t, err, frontdoor.TokenMissing)
}

func TestReports(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	fatal(t, m.Report(ctx))
	fatal(t, m.Report(ctx))
	v.Refuse = func(string) error { // once: it has lost what was left out
		v.Refuse = nil
		return problem.New(problem.NotFound, depot.NotFound, "digest", "")
	}
	fatal(t, m.Report(ctx))
	var counters []int64
	var whole []bool
	for _, r := range v.reports() {
		counters, whole = append(counters, r.Counter), append(whole, r.Facts != nil)
	}
	same(t, "counters", []int64{1, 2, 3, 4}, counters)
	same(t, "bodies", []bool{true, false, false, true}, whole)
	same(t, "device", m.status().Installation, v.reports()[0].Fingerprint.String())
}

func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		fails := 3
		err := loop(ctx, time.Hour, bytes.NewReader(bytes.Repeat([]byte{0x80, 0, 0, 0}, 100)), func(context.Context) error {
			at = append(at, time.Since(start))
			if len(at) == 6 {
				stop()
			}
			if fails--; fails >= 0 {
				return context.DeadlineExceeded
			}
			return nil
		})
		fatal(t, err)
		same(t, "turns", []time.Duration{0, 1 * time.Minute, 3 * time.Minute, 7 * time.Minute, 67 * time.Minute, 127 * time.Minute}, at)
	})
	low, _ := spread(time.Hour, bytes.NewReader([]byte{0, 0, 0, 0}))
	high, _ := spread(time.Hour, bytes.NewReader([]byte{255, 255, 255, 255}))
	if low != 48*time.Minute || high <= 71*time.Minute || high > 72*time.Minute {
		t.Errorf("spread from %s to %s", low, high)
	}
}

func TestRun(t *testing.T) {
	v := newVendor(t, win, "2021-03-01", history()...)
	m := v.enrolled(EnrollIn{Edition: "professional", Installed: stocked()})
	m.activated(v.Key("windows-7", 1, 5))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error)
	go func() {
		done <- m.Run(ctx, RunIn{Told: func(o *Outcome, err error) {
			if err != nil || o.Count(Installed) == 0 {
				t.Errorf("%v, %v", o, err)
			}
			stop()
		}})
	}()
	fatal(t, <-done)
	same(t, "reports", 1, len(v.reports()))
	_, err := v.machine("two").Update(context.Background(), UpdateIn{})
	wantCode(t, err, NotEnrolled)
}
