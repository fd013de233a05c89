// Package demo is 'esu demo': a whole small world in one process, in seconds,
// with nothing but loopback.
package demo

import (
	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
)

// Command is 'esu demo'.
func Command(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "A whole small world on loopback, in seconds",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			env.Say("Who may have which monthly rollup of a program that is over: the real history, seven devices.\n")
			t, err := history()
			if err != nil {
				return err
			}
			if err := t.show(env); err != nil {
				return err
			}
			env.Say("\nTry next:")
			env.Say("  esu program check %s.yaml    what a program file comes to", t.Program)
			return nil
		},
	}
}
