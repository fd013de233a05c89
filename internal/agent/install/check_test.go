package install

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/problem"
)

func TestChecksPass(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	install(t, p, "KB1")
	payload, opts := release(t, "KB2", "check/good", "check/current")
	if err := p.Install(t.Context(), "KB2", bytes.NewReader(payload), opts); err != nil {
		t.Fatal(err)
	}
	stands(t, p, "KB2", "KB1")
	// What a check leaves running does not hold the install up.
	payload, opts = release(t, "KB3", "check/daemon", "")
	start := time.Now()
	if err := p.Install(t.Context(), "KB3", bytes.NewReader(payload), opts); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the check held the install up for %v", took)
	}
	stands(t, p, "KB3", "KB2")
}

// A check that fails, before or after the switch, leaves every byte as it was.
func TestChecksFail(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		want                problem.Code
		status, output      string
	}{
		{"before", "check/bad", "", CheckFailed, "exit status 3", "line 4\nline 5\nline 6\nline 7\nline 8\nline 9\nline 10\nline 11\nline 12\nno [31mdriver"},
		{"after", "check/good", "check/bad", CheckFailed, "exit status 3", "line 4\nline 5\nline 6\nline 7\nline 8\nline 9\nline 10\nline 11\nline 12\nno [31mdriver"},
		{"not switched yet", "check/current", "", CheckFailed, "exit status 1", ""},
		{"slow before", "check/slow", "", CheckFailed, "no end within 300ms", "started"},
		{"slow after", "", "check/slow", CheckFailed, "no end within 300ms", "started"},
		{"missing", "check/none", "", CheckMissing, "", ""},
		{"missing after", "", "check/none", CheckMissing, "", ""},
		{"not executable", "version", "", CheckMissing, "", ""},
		{"a folder", "lib", "", CheckMissing, "", ""},
		{"outside", "../../../../bin/true", "", PathEscapes, "", ""},
		{"absolute", "/bin/true", "", PathAbsolute, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Product{Dir: t.TempDir()}
			install(t, p, "KB1")
			install(t, p, "KB2")
			before := listing(t, p.Dir)
			payload, opts := release(t, "KB3", c.before, c.after)
			opts.Check.Within, opts.AfterSwitch.Within = 300*time.Millisecond, 300*time.Millisecond
			if !strings.HasPrefix(c.name, "slow") {
				opts.Check.Within, opts.AfterSwitch.Within = 0, 0
			}
			err := p.Install(t.Context(), "KB3", bytes.NewReader(payload), opts)
			got, _ := problem.As(err)
			if got == nil || got.Code != c.want {
				t.Fatalf("Install says %v, want %s", err, c.want)
			}
			if c.want == CheckFailed && (got.Args["status"] != c.status || got.Args["output"] != c.output) {
				t.Errorf("Install says %v, want status %q and output %q", got.Args, c.status, c.output)
			}
			if diff := cmp.Diff(before, listing(t, p.Dir)); diff != "" {
				t.Error(diff)
			}
			stands(t, p, "KB2", "KB1")
		})
	}
}

func TestCheckGetsLittle(t *testing.T) {
	t.Setenv("ESU_SECRET", "not for checks")
	p := Product{Dir: t.TempDir()}
	payload, opts := release(t, "KB1", "check/env", "")
	opts.Check.Args = []string{"--for", "KB1"}
	err := p.Install(t.Context(), "KB1", bytes.NewReader(payload), opts)
	got, ok := problem.As(err)
	if !ok {
		t.Fatal(err)
	}
	where, err := filepath.EvalSymlinks(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitN(got.Args["output"].(string), "\n", 2)
	for _, name := range strings.Fields(lines[0]) { // PWD and the like are the shell's own
		if !strings.Contains(" PATH LC_ALL ESU_RELEASE PWD OLDPWD SHLVL _ ", " "+name+" ") {
			t.Errorf("the check sees %s", name)
		}
	}
	want := "--for KB1\n" + filepath.Join(where, releases, "KB1")
	if diff := cmp.Diff(want, lines[1]); diff != "" {
		t.Error(diff)
	}
	payload, opts = release(t, "KB1", "check/noisy", "")
	err = p.Install(t.Context(), "KB1", bytes.NewReader(payload), opts)
	if got, ok = problem.As(err); !ok || len(got.Args["output"].(string)) != keptBytes {
		t.Errorf("a noisy check says %v", err)
	}
}

func TestCheckIsStoppedWithWhatItStarted(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	late := filepath.Join(t.TempDir(), "late")
	payload, opts := release(t, "KB1", "check/late", "")
	opts.Check.Args, opts.Check.Within = []string{late}, 100*time.Millisecond
	start := time.Now()
	if err := p.Install(t.Context(), "KB1", bytes.NewReader(payload), opts); problem.CodeOf(err) != CheckFailed {
		t.Errorf("Install says %v, want %s", err, CheckFailed)
	}
	time.Sleep(time.Until(start.Add(time.Second)))
	if _, err := os.Stat(late); err == nil {
		t.Error("what the check started went on after its time")
	}
}
