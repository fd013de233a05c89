package install

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const (
	checkTime = 2 * time.Minute
	// waitDelay is how long a check that has ended may keep its output open
	// through what it started.
	waitDelay = time.Second
	keptBytes = 4 << 10
	keptLines = 10
)

// Check is an executable inside a payload that says by its exit status whether
// a release works. It runs in the release's folder with the agent's rights, no
// input, PATH and ESU_RELEASE (the release's id) as environment, and must not
// change what it checks.
type Check struct {
	Path   string // inside the payload, with slashes; empty for no check
	Args   []string
	Within time.Duration // zero means two minutes
}

// check runs a check of a release that stands unpacked. A release that fails it
// is install.check-failed; so is one whose check does not end in time.
func (f *folder) check(ctx context.Context, id program.UpdateID, c Check) error {
	if c.Path == "" {
		return nil
	}
	if err := checkPath(c.Path); err != nil {
		return err
	}
	info, err := f.root.Lstat(releaseDir(id) + "/" + c.Path)
	if err != nil || !executable(info) {
		return problem.New(problem.Refused, CheckMissing, "release", string(id), "check", c.Path).Because(err)
	}
	within := c.Within
	if within <= 0 {
		within = checkTime
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	dir := filepath.Join(f.dir, filepath.FromSlash(releaseDir(id)))
	cmd := exec.CommandContext(limited, filepath.Join(dir, filepath.FromSlash(c.Path)), c.Args...) //nolint:gosec // the signed payload's own
	cmd.Dir = dir
	cmd.Env = append(checkEnv(), "ESU_RELEASE="+string(id))
	cmd.WaitDelay = waitDelay
	contain(cmd)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	f.at("check")
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("check %s: %w", c.Path, ctx.Err())
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	status := err.Error()
	if limited.Err() != nil {
		status = "no end within " + within.String()
	}
	return problem.New(problem.Refused, CheckFailed, "release", string(id), "check", c.Path,
		"status", status, "output", out.lines()).Because(err)
}

// tail keeps the last bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-keptBytes):]...)
	if extra := len(t.kept) - keptBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

// lines returns the last lines, without what would steer a terminal.
func (t *tail) lines() string {
	text := strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(t.kept), ""))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-keptLines):], "\n")
}
