// Package cli is what every command of the two programs shares: the terminal,
// the global flags, and one place that turns an error into words and an exit
// code. The commands themselves stand in the folders below it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
)

// World is what a command gets from outside: everything that a test replaces.
type World struct {
	Self   string   // how the program was called
	Args   []string // without that
	Getenv func(string) string
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Now    func() time.Time
}

// Env is one run of the program, as its commands see it.
type Env struct {
	World
	*term.Terminal
	// Version is what the program says of itself.
	Version string
}

// Run makes the program's commands, runs the one that is asked for, and returns
// the exit code.
func Run(ctx context.Context, name, version string, w World, commands func(*Env) []*cobra.Command) int {
	env := &Env{World: w, Version: version, Terminal: &term.Terminal{
		Out: w.Out, Err: w.Err, In: w.In, Format: term.Table,
		Lang: locales.New(w.Getenv("ESU_LANG"), w.Getenv("LC_ALL"), w.Getenv("LC_MESSAGES"), w.Getenv("LANG")),
	}}
	root := &cobra.Command{
		Use:           name,
		Short:         "Extended Security Updates, from price list to patched device",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	var lang string
	root.PersistentFlags().VarP(&env.Format, "output", "o", "table, json or csv")
	root.PersistentFlags().StringVar(&lang, "lang", "", "language of messages (default: from LANG)")
	root.PersistentPreRun = func(*cobra.Command, []string) {
		if lang != "" {
			env.Lang = locales.New(lang)
		}
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return WrongUse(c, "%s", capital(err.Error())) })
	root.AddCommand(commands(env)...)
	root.SetArgs(w.Args)
	root.SetIn(w.In)
	root.SetOut(w.Out)
	root.SetErr(w.Err)
	strict(root)
	err := root.ExecuteContext(ctx)
	if err != nil && len(problem.All(err)) == 0 && isUsage(err) {
		err = problem.New(problem.Invalid, term.WrongUsage, "what", capital(err.Error()), "command", name).Because(err)
	}
	return env.Fail(err)
}

// WrongUse is a command line that cannot be understood.
func WrongUse(c *cobra.Command, format string, args ...any) error {
	return problem.New(problem.Invalid, term.WrongUsage, "what", fmt.Sprintf(format, args...), "command", c.CommandPath())
}

// strict makes a group without a verb, or with one that does not exist, an error
// instead of a page of help.
func strict(c *cobra.Command) {
	for _, sub := range c.Commands() {
		strict(sub)
	}
	if c.HasSubCommands() && c.Run == nil && c.RunE == nil && c.HasParent() {
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return WrongUse(c, "There is no command '%s %s'.", c.CommandPath(), args[0])
			}
			if err := c.Help(); err != nil {
				return err
			}
			return term.Exit(term.WrongUse)
		}
	}
}

// isUsage recognizes what cobra itself says of a command line.
func isUsage(err error) bool {
	if _, ok := errors.AsType[term.Exit](err); ok {
		return false
	}
	for _, start := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "required flag", "invalid argument", "flag needs", "if any flags in the group", "at least one of the flags"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}

func capital(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
