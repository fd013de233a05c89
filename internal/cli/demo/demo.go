// Package demo is 'esu demo': a whole small world in one process, in seconds,
// with nothing but loopback. An authority is made and served, years are sold,
// releases are staged, signed twice and let out, and five real agents with roots
// of their own do what they may.
package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
)

// Command is 'esu demo'.
func Command(env *cli.Env) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "A whole small world on loopback, in seconds",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				made, err := os.MkdirTemp("", "esu-demo-")
				if err != nil {
					return fmt.Errorf("make a folder for the demo: %w", err)
				}
				dir = made
			}
			return run(c.Context(), env, dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "an empty folder for the demo's world (default: a new one, which stays)")
	return c
}

// shown is the demo's document.
type shown struct {
	Today   string   `json:"today"`
	Folder  string   `json:"folder"`
	Devices []result `json:"devices"`
	History []line   `json:"history"`
}

func run(ctx context.Context, env *cli.Env, dir string) error {
	w, err := play(ctx, env, dir)
	if err != nil {
		return err
	}
	rows, devices, err := w.rows(ctx)
	if err != nil {
		return err
	}
	t, err := history()
	if err != nil {
		return err
	}
	lines, err := t.decide()
	if err != nil {
		return err
	}
	if env.Format == "json" {
		return env.JSON(shown{w.Today.Format("2006-01-02"), dir, devices, lines})
	}
	env.Say("\nWho got what, and why:\n")
	if err := env.Show(nil, rows); err != nil {
		return err
	}
	env.Say("\nThe same gate over the real history of a program that is over: who may have which monthly rollup?\n")
	if err := env.Show(nil, t.rows(lines, env.Format == "csv")); err != nil {
		return err
	}
	w.next()
	return nil
}

// next are the commands to try.
func (w *world) next() {
	office, first, second := filepath.Join(w.dir, "authority"), w.root(w.Devices[0]), w.root(w.Devices[1])
	w.env.Say("\nTry next:")
	for _, c := range [][2]string{
		{"esu device status --root " + first, "what one device holds"},
		{"esu device scan --root " + second, "what another may have, and why not"},
		{"esu key list --data " + office, "keys, limits and what is left of them"},
		{"esu order quote --data " + office + " --program " + string(w.Program) + " --channel " + string(w.Channel) + " --currency " + string(w.Currency) + " --year 2 --quantity 10", "a quote, and what is missing"},
		{"esu program check " + string(w.Program) + ".yaml", "what a program file comes to"},
		{"rm -r " + w.dir, "when you are done"},
	} {
		command := c[0]
		if rest, ok := strings.CutPrefix(command, "esu "); ok && w.env.Self != "" {
			command = w.env.Self + " " + rest
		}
		w.env.Say("  %s\n      %s", command, c[1])
	}
}
