// Package office has the commands of the vendor's office. Each is a client of
// the office API and knows no more than a program that speaks to it: it asks
// over the socket in the authority's folder when a server runs there, on the same
// handler in its own process when none does, or at a server with a token. What
// people read is made here, from the documents that scripts read.
package office

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
)

// Commands are the office's, for the program's root. Further commands of
// 'authority' (init, serve, …) stand beside its operators.
func Commands(env *cli.Env, open Opener, authority ...*cobra.Command) []*cobra.Command {
	o := &office{env: env, open: open}
	return []*cobra.Command{
		group("authority", "The vendor's server, and who may use it",
			append(authority, o.reach(o.operators()))...),
		o.reach(group("program", "Program files: what is offered, to whom, at what price",
			programCheck(env), o.programShow(), o.programImport())),
		o.reach(o.customers()),
		o.reach(o.partners()),
		o.reach(o.agreements()),
		o.reach(o.orders()),
		o.reach(o.keys()),
		o.reach(o.updates()),
		o.reach(o.audit()),
	}
}

func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short}
	c.AddCommand(commands...)
	return c
}

// query is a query of what is not empty.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// join is a list in one cell.
func join[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, w := range all {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

// typed gives words the type that a document asks for.
func typed[T ~string](words []string) []T {
	var all []T
	for _, w := range words {
		all = append(all, T(w))
	}
	return all
}

// takeName has a command take the name of what it adds as --name, or as its one
// argument.
func takeName(c *cobra.Command, name *string) *cobra.Command {
	c.Flags().StringVar(name, "name", "", "its name")
	c.Args = func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && *name == "":
			*name = args[0]
		case len(args) > 0:
			return cli.WrongUse(c, "Give one name; one with blanks goes into quotation marks.")
		case *name == "":
			return cli.WrongUse(c, "Give a name: --name NAME.")
		}
		return nil
	}
	return c
}
