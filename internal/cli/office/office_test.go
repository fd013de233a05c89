package office_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/cli/authority"
	"github.com/openesu/openesu/internal/cli/office"
	"github.com/openesu/openesu/internal/term"
)

// TestMain lets the stories run the office's commands as a program, at the time
// that ESU_TEST_NOW says.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"esu": esu, "wait-for": waitFor})
}

// waitFor waits until a file is there.
func waitFor() {
	for range 500 {
		if _, err := os.Stat(os.Args[1]); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	os.Exit(1)
}

func esu() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	world := cli.World{Args: os.Args[1:], Getenv: os.Getenv, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Now: now}
	code := cli.Run(ctx, "esu", "test", world, func(env *cli.Env) []*cobra.Command {
		return office.Commands(env, authority.Open(env), authority.Commands(env)...)
	})
	stop()
	os.Exit(code)
}

func now() time.Time {
	if at, err := time.Parse(time.RFC3339, os.Getenv("ESU_TEST_NOW")); err == nil {
		return at
	}
	return time.Now()
}

// exits is a story's command that runs a program and wants its exit code.
func exits(code int) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		err := ts.Exec(args[0], args[1:]...)
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != code {
			ts.Fatalf("%v: %v, want exit code %d", args, err, code)
		}
	}
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": exits(term.Failed), "nothing": exits(term.NothingToDo), "refused": exits(term.Refused), "wrong": exits(term.WrongUse),
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("ESU_DATA", env.WorkDir+"/vendor")
			env.Setenv("ESU_TEST_NOW", "2021-01-04T12:00:00Z")
			env.Setenv("LANG", "en_US.UTF-8")
			return nil
		},
	})
}
