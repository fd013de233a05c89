package device_test

import (
	"strings"
	"testing"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func facts() *device.Facts {
	f := &device.Facts{
		Program: "box", Edition: "pro", Arch: "x64",
		Components: []program.ComponentID{"runtime", "browser", "runtime"}, Installed: []program.UpdateID{"B", "A", "B"},
	}
	f.Normalize()
	return f
}

func TestNormalizeMakesEqualDevicesEqual(t *testing.T) {
	f := facts()
	if len(f.Installed) != 2 || !f.Has("A") || !f.Has("B") || f.Has("C") || !f.HasComponent("browser") || f.HasComponent("x") {
		t.Errorf("%+v", f)
	}
	other := facts()
	other.RestartPending = true
	one, err := f.Digest()
	if err != nil {
		t.Fatal(err)
	}
	two, err := facts().Digest()
	if err != nil || one != two {
		t.Errorf("equal facts have digests %x and %x, %v", one, two, err)
	}
	if three, err := other.Digest(); err != nil || three == one {
		t.Errorf("other facts have the same digest, %v", err)
	}
}

func TestParseFactsIsStrict(t *testing.T) {
	text, err := facts().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if _, err := device.ParseFacts(text); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing":             "",
		"unknown member":      strings.Replace(good, "{", `{"x":1,`, 1),
		"data after it":       good + "{}",
		"not sorted":          strings.Replace(good, `["A","B"]`, `["B","A"]`, 1),
		"twice":               strings.Replace(good, `["A","B"]`, `["A","A"]`, 1),
		"odd update id":       strings.Replace(good, `"A"`, `"../A"`, 1),
		"components unsorted": strings.Replace(good, `["browser","runtime"]`, `["runtime","browser"]`, 1),
		"no edition":          strings.Replace(good, `"pro"`, `""`, 1),
		"odd program":         strings.Replace(good, `"box"`, `"trust"`, 1),
		"too large":           good + strings.Repeat(" ", device.MaxFacts),
	} {
		if bad == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if _, err := device.ParseFacts([]byte(bad)); problem.CodeOf(err) != device.FactsMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseFacts(f *testing.F) {
	text, err := facts().Canonical()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := device.ParseFacts(text)
		if err != nil {
			return
		}
		canonical, err := read.Canonical()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := device.ParseFacts(canonical); err != nil {
			t.Fatalf("%s: %v", canonical, err)
		}
	})
}
