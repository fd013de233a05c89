// Command esu-device is a device alone, for machines that need no more of
// OpenESU: `esu-device X` is `esu device X`.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/cli/device"
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
	return cli.Run(ctx, "esu-device", version, world, device.Commands)
}
