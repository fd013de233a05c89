package install

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// A story is one act, cut short at each of its steps in turn.
type story struct {
	name    string
	scripts bool     // its checks need sh
	prepare []string // releases installed before
	act     func(t testing.TB, p Product, payload func(io.Reader) io.Reader) error
	fails   problem.Code // what the act says when nothing cuts it short
	was     [2]string    // current and previous before the act
	becomes [2]string    // and after it
}

func installing(before, after string) func(testing.TB, Product, func(io.Reader) io.Reader) error {
	return func(t testing.TB, p Product, payload func(io.Reader) io.Reader) error {
		text, opts := release(t, "KB3", before, after)
		return p.Install(context.Background(), "KB3", payload(bytes.NewReader(text)), opts)
	}
}

var stories = []story{
	{
		name: "install", scripts: true, prepare: []string{"KB1", "KB2"}, act: installing("check/good", "check/current"),
		was: [2]string{"KB2", "KB1"}, becomes: [2]string{"KB3", "KB2"},
	},
	{
		name: "first install", act: installing("", ""),
		becomes: [2]string{"KB3", ""},
	},
	{
		name: "install that fails after the switch", scripts: true, prepare: []string{"KB1", "KB2"}, act: installing("", "check/bad"),
		fails: CheckFailed, was: [2]string{"KB2", "KB1"}, becomes: [2]string{"KB2", "KB1"},
	},
	{
		name: "first install that fails after the switch", scripts: true, act: installing("", "check/bad"), fails: CheckFailed,
	},
	{
		name: "rollback", prepare: []string{"KB1", "KB2"},
		act: func(_ testing.TB, p Product, _ func(io.Reader) io.Reader) error {
			return p.Rollback(context.Background())
		},
		was: [2]string{"KB2", "KB1"}, becomes: [2]string{"KB1", ""},
	},
}

// run plays a story in dir and calls stop at its n-th step; it says how many
// steps there were.
func (s story) run(t testing.TB, dir string, n int, stop func()) (steps int, err error) {
	tick := func(string) {
		if steps++; steps == n {
			stop()
		}
	}
	err = s.act(t, Product{Dir: dir, step: tick}, func(r io.Reader) io.Reader { return &cut{r: r, tick: tick} })
	return steps, err
}

// cut reads in small pieces, so that a payload can break anywhere.
type cut struct {
	r    io.Reader
	tick func(string)
}

func (c *cut) Read(p []byte) (int, error) {
	c.tick("read")
	return c.r.Read(p[:min(len(p), 150)])
}

// after fails unless the folder is, once an act has opened it again, in the
// story's old state or its new one, whole and without leftovers.
func (s story) after(t *testing.T, n int, dir string) {
	t.Helper()
	p := Product{Dir: dir}
	used := inUse(t, p) // even before anybody recovers, programs find a whole release
	if used != s.was[0] && used != s.becomes[0] && used != "KB3" {
		t.Errorf("cut at step %d, programs use %q", n, used)
	}
	if err := p.Recover(t.Context()); err != nil {
		t.Errorf("cut at step %d: %v", n, err)
	}
	want := s.was
	if cur, _, err := p.Current(); err == nil && string(cur) == s.becomes[0] {
		want = s.becomes
	}
	stands(t, p, program.UpdateID(want[0]), program.UpdateID(want[1]))
	if want == s.becomes && s.fails == "" {
		return
	}
	if err := s.act(t, p, func(r io.Reader) io.Reader { return r }); problem.CodeOf(err) != s.fails || s.fails == "" && err != nil {
		t.Errorf("cut at step %d, again: %v, want %q", n, err, s.fails)
	}
	stands(t, p, program.UpdateID(s.becomes[0]), program.UpdateID(s.becomes[1]))
	if t.Failed() {
		t.Fatalf("cut at step %d", n)
	}
}

// prepared returns what makes one folder after another with the releases that
// the story needs.
func (s story) prepared(t *testing.T) func() string {
	t.Helper()
	if runtime.GOOS == "windows" && s.scripts {
		t.Skip("the checks of these tests are sh scripts")
	}
	model := t.TempDir()
	for _, id := range s.prepare {
		install(t, Product{Dir: model}, program.UpdateID(id))
	}
	return func() string {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(model)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
}

// Every act but the first, which is for TestKilledAnywhere, is cut short before and after each change that it makes and in the
// midst of unpacking. A panic unwinds past all of the act's own code but its
// closing of files, which is what the end of a process does.
func TestCutShortAnywhere(t *testing.T) {
	cutShort := errors.New("cut short")
	for _, s := range stories[1:] {
		t.Run(s.name, func(t *testing.T) {
			prepared := s.prepared(t)
			steps, err := s.run(t, prepared(), 0, nil)
			if problem.CodeOf(err) != s.fails || steps < 10 {
				t.Fatalf("%d steps, %v", steps, err)
			}
			for n := 1; n <= steps; n++ {
				dir := prepared()
				func() {
					defer func() {
						if stopped, _ := recover().(error); !errors.Is(stopped, cutShort) {
							t.Fatalf("there is no step %d", n)
						}
					}()
					_, _ = s.run(t, dir, n, func() { panic(cutShort) })
				}()
				s.after(t, n, dir)
			}
		})
	}
}

// The same with a real process that is killed: this test's program runs itself.
func TestKilledAnywhere(t *testing.T) {
	const cue = "ESU_TEST_KILL_AT"
	s := stories[0]
	if at := os.Getenv(cue); at != "" {
		n, err := strconv.Atoi(at)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.run(t, os.Getenv(cue+"_IN"), n, func() {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			if err != nil {
				t.Fatal(err)
			}
			select {} // killed
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	prepared := s.prepared(t)
	steps, err := s.run(t, prepared(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= steps; n++ {
		dir := prepared()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledAnywhere$")
		cmd.Env = append(os.Environ(), cue+"="+strconv.Itoa(n), cue+"_IN="+dir)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("at step %d the process ended with %v\n%s", n, err, out)
		}
		s.after(t, n, dir)
	}
}

// A killed process may leave a release half removed.
func TestHalfRemovedReleaseGoes(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	install(t, p, "KB1")
	install(t, p, "KB2")
	stop := errors.New("stop")
	func() {
		defer func() { _ = recover() }()
		install(t, Product{Dir: p.Dir, step: func(step string) {
			if step == "remove release" {
				panic(stop)
			}
		}}, "KB3")
	}()
	if err := os.RemoveAll(filepath.Join(p.Dir, releases, "KB1", "lib")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(p.Dir, stateFile)); err != nil || !strings.Contains(string(text), `"remove":["KB1"]`) {
		t.Fatalf("the state is %s, %v", text, err)
	}
	install(t, p, "KB4")
	stands(t, p, "KB4", "KB3")
}
