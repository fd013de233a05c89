package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/agent/agenttest"
)

// machine is the built program and an enrolled, licensed root for it.
type machine struct {
	testing.TB
	binary, root string
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{TB: t, binary: filepath.Join(t.TempDir(), "esu-device"), root: t.TempDir()}
	if runtime.GOOS == "windows" {
		m.binary += ".exe"
	}
	build := exec.Command("go", "build", "-trimpath", "-o", m.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	if err := os.MkdirAll(filepath.Join(m.root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.root, "etc", "machine-id"), []byte(strings.Repeat("ab", 16)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vendor := agenttest.New(t, "appliance-os", time.Now().UTC().Format(time.DateOnly))
	key := vendor.Key("box-os-4", 1, 1)
	m.run("enroll", "--server", vendor.URL, "--trust", vendor.Repo.Anchor(), "--program", "appliance-os", "--edition", "standard", "--arch", "amd64",
		"--installed", "AB-2025-0401", "--installed", "AB-2025-0601", "--installed", "AB-2025-0703")
	m.run("install-key", key.Reveal())
	m.run("activate")
	return m
}

func (m *machine) run(args ...string) string {
	m.Helper()
	c := exec.Command(m.binary, append(args, "--root", m.root)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		m.Fatalf("%s: %v: %s%s", args[0], err, out.String(), errs.String())
	}
	return out.String()
}

// The small program is a device by itself.
func TestStatus(t *testing.T) {
	if out := newMachine(t).run("status"); !strings.Contains(out, "Licensed") {
		t.Errorf("status: %s", out)
	}
}

// BenchmarkStatus is 'esu-device status' from start to end, process and all.
func BenchmarkStatus(b *testing.B) {
	m := newMachine(b)
	for b.Loop() {
		m.run("status", "-o", "json")
	}
}

// BenchmarkRunMemory is what 'esu-device run' holds in memory after its first turn.
func BenchmarkRunMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	m := newMachine(b)
	for b.Loop() {
		c := exec.Command(m.binary, "run", "--root", m.root)
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, err := strconv.Atoi(strings.Fields(kb)[0])
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n)/1024, "MiB-resident")
			}
			if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, err := strconv.Atoi(strings.Fields(kb)[0])
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n)/1024, "MiB-peak")
			}
		}
		if err := c.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		_ = c.Wait() // it was killed
	}
}
