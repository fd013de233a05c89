// Package office has the commands of the vendor's office. Each is a client of
// the office API and knows no more than a program that speaks to it.
package office

import (
	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
)

// Commands are the office's, for the program's root.
func Commands(env *cli.Env) []*cobra.Command {
	return []*cobra.Command{
		group("program", "Program files: what is offered, to whom, at what price", programCheck(env)),
	}
}

func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short}
	c.AddCommand(commands...)
	return c
}
