// Command esu is all of OpenESU in one program: the vendor's authority, a
// customer's site, and a device.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/cli/authority"
	"github.com/openesu/openesu/internal/cli/demo"
	"github.com/openesu/openesu/internal/cli/device"
	"github.com/openesu/openesu/internal/cli/office"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	world := cli.World{Self: os.Args[0], Args: args, Getenv: getenv, In: stdin, Out: stdout, Err: stderr, Now: time.Now}
	return cli.Run(ctx, "esu", version, world, func(env *cli.Env) []*cobra.Command {
		commands := office.Commands(env, authority.Open(env), authority.Commands(env)...)
		return append(commands, device.Command(env), demo.Command(env))
	})
}
