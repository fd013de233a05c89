package device

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openesu/openesu/internal/agent/agenttest"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/update"
)

// person is somebody at the terminal of one device.
type person struct {
	t    *testing.T
	v    *agenttest.Vendor
	root string
}

func newPerson(t *testing.T, releases ...*update.Update) *person {
	t.Helper()
	p := &person{t, agenttest.New(t, "appliance-os", "2025-09-01", releases...), t.TempDir()}
	p.write("etc/machine-id", "0123456789abcdef\n")
	return p
}

func (p *person) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// types runs a command line on the device and returns both outputs. An input
// follows after "<".
func (p *person) types(code int, line string, input ...string) (out, said string) {
	p.t.Helper()
	var stdout, stderr strings.Builder
	args := append(strings.Fields(line), "--root", p.root)
	got := cli.Run(context.Background(), "esu-device", "test", cli.World{
		Args: args, Getenv: func(string) string { return "" }, In: strings.NewReader(strings.Join(input, "")),
		Out: &stdout, Err: &stderr, Now: p.v.Clock,
	}, Commands)
	if got != code {
		p.t.Errorf("%s: exit code %d, want %d\n%s%s", line, got, code, stdout.String(), stderr.String())
	}
	return stdout.String(), stderr.String()
}

func (p *person) enroll(more string) {
	p.t.Helper()
	p.types(0, "enroll --server "+p.v.URL+" --trust "+p.v.Repo.Anchor()+" --edition standard --arch amd64 "+more)
}

func contains(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q:\n%s", what, want, text)
		}
	}
}

func releases() []*update.Update {
	return []*update.Update{
		agenttest.Rel("AB-2025-0401", "servicing", "2025-04-08"), agenttest.Rel("AB-2025-0601", "rollup", "2025-06-10"),
		agenttest.Rel("AB-2025-0703", "preparation", "2025-07-08"), agenttest.Rel("AB-2025-0801", "rollup", "2025-08-12", "AB-2025-0601"),
	}
}

// A device from nothing to its first covered update, as a person types it.
func TestStory(t *testing.T) {
	p := newPerson(t, releases()...)
	_, said := p.types(3, "status")
	contains(t, "not enrolled", said, "agent.not-enrolled", "hint: Enroll it")
	_, said = p.types(64, "enroll --edition standard")
	contains(t, "wrong use", said, "Give --server and --trust.")
	p.enroll("")

	out, said := p.types(0, "prerequisites")
	contains(t, "prerequisites", out, "Installer 4.9", "next", "missing")
	contains(t, "next step", said, "Next: install AB-2025-0401 (Installer 4.9).")
	key := p.v.Key("box-os-4", 1, 1)
	_, said = p.types(3, "install-key "+key.Reveal())
	contains(t, "too early", said, "refused: ", "activation.licensing-update-missing", "hint: ")

	out, said = p.types(0, "update")
	contains(t, "first run", out, "AB-2025-0401  free", "installed")
	contains(t, "restart", said, "A restart is needed.")
	p.types(0, "restarted")
	p.types(0, "install-key", key.Reveal()+"\n") // from standard input
	out, said = p.types(0, "activate")
	contains(t, "activated", out, "activated")
	contains(t, "which", said, "every installed key was activated")
	out, said = p.types(0, "status")
	contains(t, "status", out, "Aurora Box OS 4 Standard", "Licensed", "18c83f7d-3ff2-42ff-bb4b-dfc8e6d3921e", "Aurora ESU key", "Aurora Box OS 4 ESU Year 1")
	contains(t, "status", said, "Activated years: 1.", "It does not come on this device's channel")

	_, said = p.types(3, "update")
	contains(t, "not on this channel", said, "agent.not-offered", "coverage.prerequisite-preparation, AUR-2022")
	file := p.write("tmp/package", string(p.v.Payloads[p.v.Updates[2].Payloads[0].SHA256]))
	p.types(0, "install "+file)
	out, _ = p.types(0, "scan")
	contains(t, "scan", out, "AB-2025-0801", "needed")
	out, _ = p.types(0, "update -o json")
	var document struct {
		Updates []struct{ Update, Result string }
		Stale   *wire.Problem
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil || len(document.Updates) != 1 || document.Updates[0].Result != "installed" {
		t.Errorf("%v\n%s", err, out)
	}
	_, said = p.types(2, "update")
	contains(t, "nothing to do", said, "Nothing to do")
	p.types(2, "scan")
	text, err := os.ReadFile(filepath.Join(p.root, "opt", "appliance-os", "current", "version"))
	if err != nil || string(text) != "version AB-2025-0801" {
		t.Errorf("%s, %v", text, err)
	}
	_, said = p.types(0, "install --check-package")
	contains(t, "check package", said, "would be accepted")
	p.types(0, "generalize")
	out, _ = p.types(0, "status -o json")
	contains(t, "status as JSON", out, `"licenseStatus": "Unlicensed"`, `"activatedYears": []`)
}

func TestRefusalsShowBothCodes(t *testing.T) {
	p := newPerson(t, releases()...)
	p.enroll("--installed AB-2025-0401,AB-2025-0601,AB-2025-0703")
	file := p.write("tmp/key", p.v.Key("box-os-4", 1, 0).Reveal()+"\n")
	p.types(64, "install-key --key-file "+file+" -")
	p.types(3, "install-key --key-file "+file+".none")
	p.types(0, "install-key --key-file "+file)
	out, said := p.types(3, "activate")
	contains(t, "limit", said, "refused: The product key has reached its limit", "activation.limit-reached, AUR-1020", "hint: ")
	contains(t, "limit", out, "refused")
	_, said = p.types(3, "activate 00000000-0000-0000-0000-000000000000")
	contains(t, "not found", said, "activation.id-not-found, AUR-1014")
	_, said = p.types(1, "activate --proxy http://no-such-host.invalid")
	contains(t, "network", said, "network.name-not-resolved", "Hosts to allow: activate.aurora.example.")
	out, _ = p.types(3, "update AB-0000 -o json")
	contains(t, "refusal as JSON", out, `"code": "agent.update-unknown"`)

	p.types(0, "enroll --again --server "+p.v.URL+" --trust "+p.v.Repo.Anchor()+" --edition community --arch amd64")
	_, said = p.types(0, "status")
	contains(t, "outside", said, "outside the program", "The device runs on as before")
}

func TestActivationByFile(t *testing.T) {
	p := newPerson(t, releases()...)
	p.enroll("--installed AB-2025-0401,AB-2025-0601,AB-2025-0703")
	p.types(0, "install-key -", p.v.Key("box-os-4", 1, 5).Reveal())
	path := filepath.Join(p.root, "request.json")
	p.types(3, "activate f63277bd-1e2c-468e-9fbd-93e766285216 --out "+path) // no key of that year
	if _, err := os.Stat(path); err == nil {
		t.Error("a file without a request")
	}
	p.types(0, "activate --out "+path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var requests wire.Activations
	if err := wire.Decode(f, 1<<20, &requests); err != nil {
		t.Fatal(err)
	}
	token, err := p.v.Answer(requests.Requests[0])
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(wire.ActivationResults{Results: []wire.ActivationResult{{License: string(token)}}})
	if err != nil {
		t.Fatal(err)
	}
	p.types(0, "activate --in "+p.write("answer.json", string(answer)))
	_, said := p.types(0, "status")
	contains(t, "status", said, "Activated years: 1.")
	p.types(64, "activate --in x --out y")
}
