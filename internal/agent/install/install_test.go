package install

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

var checks = map[string]string{
	"check/good":    "test \"$(cat version)\" = \"$ESU_RELEASE\"",
	"check/bad":     "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; done\nprintf 'no \\033[31mdriver\\n' >&2\nexit 3",
	"check/slow":    "echo started\nsleep 60 &\nwait",
	"check/env":     "env | cut -d= -f1 | tr '\\n' ' '; echo; echo \"$@\"; pwd; cat; exit 1",
	"check/current": "test \"$(cat ../../current/version)\" = \"$ESU_RELEASE\"",
	"check/late":    "(sleep 0.7; echo late >\"$1\") &\nwait",
	"check/daemon":  "sleep 5 &",
	"check/noisy":   "i=0; while [ $i -lt 3000 ]; do printf 'a long line of noise'; i=$((i+1)); done; exit 1",
}

// release makes a payload of a small product, and options with these checks
// before and after the switch.
func release(t testing.TB, version, before, after string) ([]byte, Options) {
	t.Helper()
	if before+after != "" && runtime.GOOS == "windows" {
		t.Skip("the checks of these tests are sh scripts")
	}
	files := fstest.MapFS{
		"version":  {Data: []byte(version)},
		"lib/code": {Data: []byte("code of " + version)},
	}
	for _, name := range []string{before, after} {
		if script, ok := checks[name]; ok {
			files[name] = &fstest.MapFile{Data: []byte("#!/bin/sh\n" + script + "\n"), Mode: 0o755}
		}
	}
	payload, sum := pack(t, files)
	return payload, Options{Limits: Limits{Total: sum.Bytes}, Check: Check{Path: before}, AfterSwitch: Check{Path: after}}
}

func install(t testing.TB, p Product, id program.UpdateID) {
	t.Helper()
	payload, opts := release(t, string(id), "", "")
	if err := p.Install(context.Background(), id, bytes.NewReader(payload), opts); err != nil {
		t.Fatal(err)
	}
}

// stands fails unless exactly these releases are there, whole, and current
// names the first.
func stands(t testing.TB, p Product, cur, prev program.UpdateID) {
	t.Helper()
	got, ok, err := p.Current()
	if err != nil || got != cur || ok != (cur != "") {
		t.Errorf("Current is %q, %v, %v, want %q", got, ok, err, cur)
	}
	got, ok, err = p.Previous()
	if err != nil || got != prev || ok != (prev != "") {
		t.Errorf("Previous is %q, %v, %v, want %q", got, ok, err, prev)
	}
	var ids []string
	entries, err := os.ReadDir(filepath.Join(p.Dir, releases))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		ids = append(ids, e.Name())
		dir := filepath.Join(p.Dir, releases, e.Name())
		for name, want := range map[string]string{"version": e.Name(), "lib/code": "code of " + e.Name()} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
				t.Errorf("%s of %s is %q, %v", name, e.Name(), text, err)
			}
		}
	}
	for _, id := range []program.UpdateID{cur, prev} {
		if id != "" && !strings.Contains(" "+strings.Join(ids, " ")+" ", " "+string(id)+" ") {
			t.Errorf("release %s is gone", id)
		}
	}
	if want := len(strings.Fields(string(cur + " " + prev))); len(ids) != want {
		t.Errorf("releases are %v, want %d", ids, want)
	}
	if used := inUse(t, p); used != string(cur) {
		t.Errorf("programs use %q, want %q", used, cur)
	}
	if cur == "" && len(ids) == 0 {
		return
	}
	for name := range listing(t, p.Dir) {
		if strings.HasSuffix(name, fresh) || strings.HasSuffix(name, ".partial") {
			t.Errorf("leftover %s", name)
		}
	}
}

// inUse reads the version as a program would, through current.
func inUse(t testing.TB, p Product) string {
	t.Helper()
	path := filepath.Join(p.Dir, current)
	if runtime.GOOS == "windows" {
		id, err := os.ReadFile(path)
		if err == nil {
			path = filepath.Join(p.Dir, releases, strings.TrimSpace(string(id)))
		}
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(path, "version"))
	if err != nil {
		t.Errorf("current leads nowhere: %v", err)
	}
	return string(text)
}

func TestInstallKeepsOneReleaseBefore(t *testing.T) {
	p := Product{Dir: filepath.Join(t.TempDir(), "opt", "acme")}
	stands(t, p, "", "")
	install(t, p, "KB1")
	stands(t, p, "KB1", "")
	install(t, p, "KB2")
	stands(t, p, "KB2", "KB1")
	install(t, p, "KB3")
	stands(t, p, "KB3", "KB2")
	if err := p.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	stands(t, p, "KB2", "")
	if err := p.Rollback(t.Context()); problem.CodeOf(err) != NothingToRollBack {
		t.Errorf("a second rollback says %v, want %s", err, NothingToRollBack)
	}
	stands(t, p, "KB2", "")
	install(t, p, "KB3")
	stands(t, p, "KB3", "KB2")
}

func TestInstallAgain(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	install(t, p, "KB1")
	install(t, p, "KB2")
	unread := &endless{of: []byte("x")}
	for _, same := range []program.UpdateID{"KB2", "kb2"} { // some file systems hold one of the two
		if err := p.Install(t.Context(), same, unread, Options{}); err != nil || unread.at != 0 {
			t.Errorf("installing %s again says %v and reads %d bytes", same, err, unread.at)
		}
	}
	if err := p.Install(t.Context(), "kb1", unread, Options{}); problem.CodeOf(err) != ReleaseKept {
		t.Errorf("installing the kept release says %v, want %s", err, ReleaseKept)
	}
	stands(t, p, "KB2", "KB1")
}

func TestFirstInstallFails(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	payload, opts := release(t, "KB1", "check/good", "check/bad")
	err := p.Install(t.Context(), "KB1", bytes.NewReader(payload), opts)
	if problem.CodeOf(err) != CheckFailed {
		t.Fatalf("Install says %v, want %s", err, CheckFailed)
	}
	stands(t, p, "", "")
	install(t, p, "KB1")
	stands(t, p, "KB1", "")
}

func TestInstallIsCanceled(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	install(t, p, "KB1")
	before := listing(t, p.Dir)
	payload, opts := release(t, "KB2", "check/good", "check/slow")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := p.Install(ctx, "KB2", bytes.NewReader(payload), opts)
	if !errors.Is(err, context.DeadlineExceeded) || problem.CodeOf(err) != "" {
		t.Errorf("Install says %v, want that it was canceled", err)
	}
	if diff := cmp.Diff(before, listing(t, p.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestInstallRefusesABadPayload(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	install(t, p, "KB1")
	before := listing(t, p.Dir)
	good, opts := release(t, "KB2", "", "")
	more, fewer := opts, opts
	more.Limits.Total++
	fewer.Limits.Total--
	for _, c := range []struct {
		name    string
		payload []byte
		opts    Options
		want    problem.Code
	}{
		{"truncated", good[:len(good)-9], opts, PayloadTruncated},
		{"evil", compress(t, archive(t, file("../../KB1/version"))), opts, PathEscapes},
		{"smaller than declared", good, more, SizeDiffers},
		{"larger than declared", good, fewer, TotalTooLarge},
	} {
		err := p.Install(t.Context(), "KB2", bytes.NewReader(c.payload), c.opts)
		if problem.CodeOf(err) != c.want {
			t.Errorf("%s: Install says %v, want %s", c.name, err, c.want)
		}
		if diff := cmp.Diff(before, listing(t, p.Dir)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestInstallRefusesBadIDs(t *testing.T) {
	p := Product{Dir: filepath.Join(t.TempDir(), "none")}
	for _, id := range []program.UpdateID{"", ".", "..", ".KB1.partial", "../KB1", "a/b", `a\b`, "KB1.", "con", "NUL.1", program.UpdateID(strings.Repeat("K", 65))} {
		if err := p.Install(t.Context(), id, strings.NewReader(""), Options{}); problem.CodeOf(err) != IDInvalid {
			t.Errorf("Install of %q says %v, want %s", id, err, IDInvalid)
		}
	}
	if _, err := os.Stat(p.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

// What somebody else put into the folder is never replaced or removed.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name    string
		ours    bool // KB1 is installed before
		foreign string
	}{
		{"releases without a state", false, "releases/KB9/data"},
		{"current without a state", false, "current/data"},
		{"the release's own name", true, "releases/KB2/data"},
		{"its partial", true, "releases/.KB2.partial/data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Product{Dir: t.TempDir()}
			if c.ours {
				install(t, p, "KB1")
			}
			put(t, p, c.foreign)
			before := listing(t, p.Dir)
			payload, opts := release(t, "KB2", "", "")
			err := p.Install(t.Context(), "KB2", bytes.NewReader(payload), opts)
			if problem.CodeOf(err) != FolderInUse {
				t.Errorf("Install says %v, want %s", err, FolderInUse)
			}
			if err := p.Recover(t.Context()); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, listing(t, p.Dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("beside ours", func(t *testing.T) {
		p := Product{Dir: t.TempDir()}
		put(t, p, "data/mine")
		for _, id := range []program.UpdateID{"KB1", "KB2", "KB3"} {
			install(t, p, id)
			put(t, p, "releases/mine/"+string(id))
		}
		got := listing(t, p.Dir)
		if got["data/mine"] == "" || got["releases/mine/KB1"] == "" || got["releases/KB1"] != "" {
			t.Errorf("there are %v", got)
		}
	})
	t.Run("current made a folder", func(t *testing.T) {
		p := Product{Dir: t.TempDir()}
		install(t, p, "KB1")
		if err := os.Remove(filepath.Join(p.Dir, current)); err != nil {
			t.Fatal(err)
		}
		put(t, p, "current/data")
		before := listing(t, p.Dir)
		payload, opts := release(t, "KB2", "", "")
		for act, err := range map[string]error{
			"Install": p.Install(t.Context(), "KB2", bytes.NewReader(payload), opts),
			"Recover": p.Recover(t.Context()),
		} {
			if problem.CodeOf(err) != FolderInUse {
				t.Errorf("%s says %v, want %s", act, err, FolderInUse)
			}
		}
		if diff := cmp.Diff(before, listing(t, p.Dir)); diff != "" {
			t.Error(diff)
		}
	})
}

func put(t testing.TB, p Product, name string) {
	t.Helper()
	path := filepath.Join(p.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A state file steers what is removed, so one that makes no sense steers nothing.
func TestDamagedStateIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", `{"current":"KB1"} {}`, `{"current":"KB1","color":"red"}`,
		`{"current":"../KB1"}`, `{"remove":[".."]}`, `{"remove":[""]}`, `{"remove":["."]}`,
		`{"current":"KB1","remove":["KB1"]}`, `{"current":"KB1","previous":"KB1"}`, `{"previous":"KB1"}`,
		`{"current":"KB2","previous":"KB1","remove":["KB1"]}`,
	} {
		p := Product{Dir: t.TempDir()}
		install(t, p, "KB1")
		if err := os.WriteFile(filepath.Join(p.Dir, stateFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := listing(t, p.Dir)
		_, _, unknown := p.Current()
		for act, err := range map[string]error{
			"Current": unknown, "Recover": p.Recover(t.Context()), "Rollback": p.Rollback(t.Context()),
			"Install": p.Install(t.Context(), "KB2", strings.NewReader(""), Options{}),
		} {
			if problem.CodeOf(err) != StateDamaged {
				t.Errorf("%s with state %q says %v, want %s", act, text, err, StateDamaged)
			}
		}
		if diff := cmp.Diff(before, listing(t, p.Dir)); diff != "" {
			t.Errorf("state %q: %s", text, diff)
		}
	}
}

// What somebody pointed elsewhere comes back, because state.json decides.
func TestRecoverPointsBack(t *testing.T) {
	p := Product{Dir: t.TempDir()}
	if err := p.Recover(t.Context()); err != nil {
		t.Error(err)
	}
	install(t, p, "KB1")
	install(t, p, "KB2")
	f, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := f.point("KB1"); err != nil {
		t.Fatal(err)
	}
	if err := p.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	stands(t, p, "KB2", "KB1")
}

// A release that cannot be removed yet, because a program still runs from it,
// stays listed and is tried again.
func TestStaleReleaseIsRemovedLater(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("removing is made to fail with a symbolic link")
	}
	dir := t.TempDir()
	home, away := filepath.Join(dir, releases), filepath.Join(dir, "away")
	stuck := Product{Dir: dir, step: func(step string) {
		var err error
		switch step {
		case "remove release": // a folder that leads out of the product's is not followed
			err = errors.Join(os.Rename(home, away), os.Symlink("/", home))
		case "drop leftovers":
			if _, missing := os.Stat(away); missing == nil {
				err = errors.Join(os.Remove(home), os.Rename(away, home))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}}
	p := Product{Dir: dir}
	install(t, p, "KB1")
	install(t, p, "KB2")
	install(t, stuck, "KB3")
	if cur, _, err := p.Current(); err != nil || cur != "KB3" {
		t.Errorf("Current is %s, %v", cur, err)
	}
	if err := stuck.Recover(t.Context()); err == nil {
		t.Error("Recover does not tell that a release could not be removed")
	}
	payload, opts := release(t, "KB1", "", "")
	if err := stuck.Install(t.Context(), "KB1", bytes.NewReader(payload), opts); err == nil {
		t.Error("a release was installed over its own remains")
	}
	if err := p.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	stands(t, p, "KB3", "KB2")
}
