package authority_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/purchase"
)

const box program.ID = "appliance-os"

func me() access.Actor { return access.LocalUser("ann") }

// vendor is an authority in a folder of the test's, with a clock that the test moves.
type vendor struct {
	*testing.T
	config authority.Config
	mu     sync.Mutex
	at     time.Time
	*authority.Authority
	url    string
	stop   func()
	anchor string
}

func (v *vendor) now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at
}

func (v *vendor) set(at string) {
	v.Helper()
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		v.Fatal(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = t
}

// newVendor makes an authority with the shipped appliance program, whose
// releases one publisher signs.
func newVendor(t *testing.T, c db.Config) *vendor {
	t.Helper()
	v := &vendor{T: t}
	v.set("2026-11-09T09:00:00+01:00")
	v.config = authority.Config{Dir: filepath.Join(t.TempDir(), "authority"), Database: c.URL, Now: v.now}
	made, err := authority.Init(t.Context(), v.config, "Aurora")
	if err != nil {
		t.Fatal(err)
	}
	v.anchor = made.Anchor
	v.open()
	t.Cleanup(func() { v.stop() })

	publisher, err := signing.Generate(v.publisher(), rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := programs.File(string(box))
	if err != nil {
		t.Fatal(err)
	}
	imported, err := v.Import(t.Context(), me(), api.ImportIn{Name: "box.yaml", File: file, Publishers: []string{signing.PublicText(publisher.Public())}, Threshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	v.sign([]byte(imported.Draft.Document), filepath.Join(made.Offline, releases.TargetsKeyFile))
	return v
}

func (v *vendor) publisher() string {
	return filepath.Join(filepath.Dir(v.config.Dir), "publisher.key")
}

// open serves the authority on loopback.
func (v *vendor) open() {
	v.Helper()
	a, err := authority.Open(context.Background(), v.config)
	if err != nil {
		v.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, "127.0.0.1:0", func(address string) { ready <- address }) }()
	select {
	case address := <-ready:
		v.Authority, v.url = a, "http://"+address
	case err := <-ended:
		v.Fatal(err)
	}
	var once sync.Once
	v.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				v.Error(err)
			}
			if err := a.Close(); err != nil {
				v.Error(err)
			}
		})
	}
}

func (v *vendor) sign(document []byte, keyFile string) {
	v.Helper()
	d, err := trust.ParseDraft(document)
	if err != nil {
		v.Fatal(err)
	}
	key, err := signing.Open(v.Context(), "file:"+keyFile, nil)
	if err != nil {
		v.Fatal(err)
	}
	if err := d.Sign(v.Context(), key); err != nil {
		v.Fatal(err)
	}
	signed, err := d.Document()
	if err != nil {
		v.Fatal(err)
	}
	if _, err := v.Releases.Sign(v.Context(), me(), signed); err != nil {
		v.Fatal(err)
	}
}

// sell has a customer buy years and returns the keys' texts.
func (v *vendor) sell(customer string, quantity int, years ...program.Year) []string {
	v.Helper()
	if _, err := v.Sales.AddCustomer(v.Context(), me(), sales.Customer{Name: customer}); err != nil && problem.CodeOf(err) != sales.CustomerExists {
		v.Fatal(err)
	}
	in := sales.OrderIn{Program: box, Customer: customer, Channel: "direct", Currency: "EUR"}
	for _, y := range years {
		in.Lines = append(in.Lines, purchase.Line{Year: y, Quantity: quantity})
	}
	_, keys, err := v.Sales.Place(v.Context(), me(), in)
	if err != nil {
		v.Fatal(err)
	}
	var texts []string
	for _, k := range keys {
		key, err := v.Keys.Reveal(v.Context(), me(), k.ID)
		if err != nil {
			v.Fatal(err)
		}
		texts = append(texts, key.Reveal())
	}
	return texts
}

func (v *vendor) device(name string) *agent.Device {
	v.Helper()
	root := filepath.Join(v.TempDir(), name)
	writeMachineID(v.T, root, name)
	d := agent.Open(agent.Config{Root: root, Now: v.now})
	_, err := d.Enroll(v.Context(), agent.EnrollIn{
		Server: v.url, Anchor: v.anchor, Program: box, Edition: "standard", Arch: "amd64",
		Installed: []program.UpdateID{"AB-2025-0401", "AB-2025-0601", "AB-2025-0703"},
	})
	if err != nil {
		v.Fatal(err)
	}
	return d
}

func each(t *testing.T, story func(v *vendor)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) { story(newVendor(t, c)) })
}

// From an order to a license, over the front door, on both engines; the key is
// one for all of a customer's orders of a year, and what is left of it is told.
// rule K1, K3, P12
func TestFromOrderToLicense(t *testing.T) {
	each(t, func(v *vendor) {
		keys := v.sell("Harbor Hospital", 1, 1, 2)
		d := v.device("one")
		for _, k := range keys {
			if _, err := d.InstallKey(v.Context(), k); err != nil {
				v.Fatal(err)
			}
		}
		done, err := d.Activate(v.Context(), agent.ActivateIn{})
		if err != nil || len(done.Results) != 2 {
			v.Fatalf("%+v, %v", done, err)
		}
		for _, r := range done.Results {
			if r.Refused != nil || r.License == "" {
				v.Errorf("year %d: %v", r.Year, r.Refused)
			}
		}
		second := v.device("two")
		if _, err := second.InstallKey(v.Context(), keys[0]); err != nil {
			v.Fatal(err)
		}
		refused, err := second.Activate(v.Context(), agent.ActivateIn{})
		if err != nil || refused.Results[0].Refused == nil || refused.Results[0].Refused.Code != "activation.limit-reached" {
			v.Fatalf("a second device on one seat: %+v, %v", refused, err)
		}
		if again := v.sell("Harbor Hospital", 1, 1); again[0] != keys[0] {
			v.Error("more seats made another key")
		}
		if got, err := second.Activate(v.Context(), agent.ActivateIn{}); err != nil || got.Results[0].Refused != nil {
			v.Errorf("after one more seat: %+v, %v", got, err)
		}
		if err := d.Report(v.Context()); err != nil {
			v.Errorf("report: %v", err)
		}
		report, err := audit.Verify(v.Context(), v.DB)
		if err != nil || report.Err() != nil {
			v.Errorf("audit: %v, %v", err, report.Err())
		}
	})
}

// A restart changes nothing: identity, keys, counts and metadata are as they
// were, and a device that was told to trust this authority goes on doing so.
func TestRestart(t *testing.T) {
	each(t, func(v *vendor) {
		keys := v.sell("Harbor Hospital", 2, 1)
		d := v.device("one")
		if _, err := d.InstallKey(v.Context(), keys[0]); err != nil {
			v.Fatal(err)
		}
		first, err := d.Activate(v.Context(), agent.ActivateIn{})
		if err != nil {
			v.Fatal(err)
		}
		id, anchor := v.ID(), v.Anchor()
		v.stop()
		v.open()
		if v.ID() != id || v.Anchor() != anchor {
			v.Error("another authority came back")
		}
		d = reopen(v, d)
		again, err := d.Activate(v.Context(), agent.ActivateIn{})
		if err != nil || again.Results[0].License != first.Results[0].License {
			v.Errorf("again: %+v, %v; first %+v", again, err, first)
		}
	})
}

// The folder has one owner, and what is no authority says so.
func TestOneOwner(t *testing.T) {
	v := newVendor(t, db.Config{})
	if _, err := authority.Open(t.Context(), v.config); problem.CodeOf(err) != "storage.in-use" {
		t.Errorf("a second owner: %v", err)
	}
	if _, err := authority.Open(t.Context(), authority.Config{Dir: t.TempDir()}); problem.CodeOf(err) != authority.NotInitialized {
		t.Errorf("an empty folder: %v", err)
	}
	v.stop()
	if _, err := authority.Init(t.Context(), v.config, "again"); problem.CodeOf(err) != authority.Initialized {
		t.Errorf("init again: %v", err)
	}
}

// The socket in the folder is the office; the TCP address asks for a token.
func TestWhoReachesTheOffice(t *testing.T) {
	v := newVendor(t, db.Config{})
	get := func(url string) (int, string) {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.String()
	}
	if status, body := get(v.url + "/api/v1/customers"); status != http.StatusUnauthorized {
		t.Errorf("customers for nobody: %d %s", status, body)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/openapi.json": `"openapi":"3.1.0"`} {
		if status, body := get(v.url + path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
	client := http.Client{Transport: unixTransport(filepath.Join(v.config.Dir, authority.SocketName))}
	resp, err := client.Get("http://office/api/v1/customers")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("over the socket: %s, %v, %v", resp.Status, list, err)
	}
}

// A checkpoint that somebody kept is this authority's, and finds nothing wrong.
func TestCheckpoint(t *testing.T) {
	v := newVendor(t, db.Config{})
	var text string
	for range 100 {
		resp, err := http.Get(v.url + authority.CheckpointPath)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK {
			text = b.String()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	c, err := v.Checkpoint(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(t.Context(), v.DB, c)
	if err != nil || report.Err() != nil {
		t.Errorf("%v, %v", err, report.Err())
	}
	if _, err := v.Checkpoint(t.Context(), text[:len(text)-4]+"AAAA"); err == nil {
		t.Error("a changed checkpoint was taken")
	}
}

// Importing again changes nothing, and a program without publishers is sold and
// not announced.
func TestImport(t *testing.T) {
	v := newVendor(t, db.Config{})
	file, err := programs.File(string(box))
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Import(t.Context(), me(), api.ImportIn{Name: "box.yaml", File: file})
	if err != nil || again.New || again.Draft != nil {
		t.Errorf("again: %+v, %v", again, err)
	}
	for i, name := range programs.Names() {
		if program.ID(name) == box {
			continue
		}
		other, err := programs.File(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Import(t.Context(), me(), api.ImportIn{Name: name, File: other, DryRun: i%2 == 0})
		if err != nil || got.Draft != nil || got.New == got.DryRun {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	trusted, err := v.Trust(t.Context())
	if err != nil || trusted.Anchor != v.anchor || trusted.Versions["targets"] < 2 {
		t.Errorf("%+v, %v", trusted, err)
	}
	if _, ok := v.Verifier("windows-7x"); ok {
		t.Error("a program that is not there is verified")
	}
}

// An import that broke off after the sale of the program was opened harms no
// other program, and the next import makes it good.
func TestImportThatBrokeOff(t *testing.T) {
	v := newVendor(t, db.Config{})
	other, err := programs.File("windows-10")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Sales.Import(t.Context(), me(), "w.yaml", other); err != nil { // and nothing after it
		t.Fatal(err)
	}
	v.stop()
	v.open()
	if _, ok := v.Verifier(box); !ok {
		t.Error("the other program is unknown now")
	}
	if _, ok := v.Verifier("windows-10"); ok {
		t.Error("a program without keys is served")
	}
	publisher, err := signing.Open(t.Context(), "file:"+v.publisher(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Import(t.Context(), me(), api.ImportIn{Name: "w.yaml", File: other, Publishers: []string{signing.PublicText(publisher.Public())}, Threshold: 1})
	if err != nil || got.New || got.Draft == nil {
		t.Fatalf("again: %+v, %v", got, err)
	}
	waiting, err := v.Import(t.Context(), me(), api.ImportIn{Name: "w.yaml", File: other})
	if err != nil || waiting.Draft == nil || waiting.Draft.Version != got.Draft.Version {
		t.Errorf("while its draft waits: %+v, %v", waiting, err)
	}
	v.sign([]byte(got.Draft.Document), filepath.Join(v.config.Dir, "offline", releases.TargetsKeyFile))
	if _, ok := v.Verifier("windows-10"); !ok {
		t.Error("the program is not served after its import")
	}
	after, err := v.Import(t.Context(), me(), api.ImportIn{Name: "w.yaml", File: other})
	if err != nil || after.Draft != nil {
		t.Errorf("when devices know it: %+v, %v", after, err)
	}
}

// An init that broke off before the identity was written goes on where it was.
func TestInitThatBrokeOff(t *testing.T) {
	v := newVendor(t, db.Config{})
	id, anchor := v.ID(), v.Anchor()
	if err := v.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM settings WHERE name = 'authority'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	v.stop()
	made, err := authority.Init(t.Context(), v.config, "Aurora")
	if err != nil || made.Authority != id || made.Anchor != anchor {
		t.Errorf("%+v, %v; it was %s with %s", made, err, id, anchor)
	}
}

// The convenience copy of the license keys is there from the start.
func TestJWKS(t *testing.T) {
	v := newVendor(t, db.Config{})
	resp, err := http.Get(v.url + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []map[string]string }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) != 1 || set.Keys[0]["kid"] != "license-appliance-os-1" {
		t.Errorf("%+v, %v", set, err)
	}
}
