// Package device has the commands of one device: `esu device X`, and the same as
// `esu-device X`. They read flags, call one act of internal/agent, and print
// what it returns; what the rules say stands there.
package device

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
)

// Command is the group 'device'.
func Command(env *cli.Env) *cobra.Command {
	c := &cobra.Command{Use: "device", Short: "One device: enroll it, activate it, update it, and see why or why not"}
	c.AddCommand(Commands(env)...)
	return c
}

// Commands are the group's own, for the root of esu-device.
func Commands(env *cli.Env) []*cobra.Command {
	b := &bench{env: env}
	commands := []*cobra.Command{
		b.enroll(), b.status(), b.prerequisites(), b.installKey(), b.activate(),
		b.scan(), b.update(), b.install(), b.generalize(), b.restarted(), b.run(),
	}
	for _, c := range commands {
		c.Flags().StringVar(&b.root, "root", string(filepath.Separator), "the folder that is the device's root")
	}
	return commands
}

// bench is what the commands share: where they print, and which device it is.
type bench struct {
	env  *cli.Env
	root string
}

func (b *bench) device() *agent.Device {
	d := agent.Open(agent.Config{Root: b.root, Now: b.env.Now, Lang: b.env.Lang.Lang()})
	// What fails before an act has the program still shows the vendor's codes.
	b.env.Vendor = func(code problem.Code) string {
		s, err := d.Status(context.Background(), civil.Date{})
		if err != nil {
			return ""
		}
		return s.VendorCode(code)
	}
	return d
}

// say prints a text for the person.
func (b *bench) say(text string) { b.env.Say("%s", text) }

// tell prints what a person should know beside the result.
func (b *bench) tell(problems ...*problem.Problem) {
	for _, p := range problems {
		if p != nil {
			b.note(p)
		}
	}
}

func (b *bench) note(p *problem.Problem) {
	d := b.env.Render(p)
	codes := string(d.Code)
	if d.Vendor != "" {
		codes += ", " + d.Vendor
	}
	b.env.Say("note: %s (%s)", d.Detail, codes)
	b.env.Say("hint: %s", d.Hint)
}

// freshness tells that the list of updates is old, or could not be renewed.
func (b *bench) freshness(m agent.Metadata, stale *problem.Problem) {
	b.tell(stale)
	switch {
	case m.Stale:
		b.say(b.env.Lang.Text("text.agent.stale", map[string]any{"days": m.Days}))
	case stale != nil:
		b.say(b.env.Lang.Text("text.agent.unrefreshed", map[string]any{"days": m.Days}))
	}
}

// documents renders problems for JSON.
func (b *bench) documents(problems []*problem.Problem) []wire.Problem {
	var all []wire.Problem
	for _, p := range problems {
		all = append(all, b.env.Render(p))
	}
	return all
}

// document renders one problem for JSON; nil stays away.
func (b *bench) document(p *problem.Problem) *wire.Problem {
	if p == nil {
		return nil
	}
	d := b.env.Render(p)
	return &d
}

// day is a flag that takes a calendar day.
type day struct{ civil.Date }

func (d *day) Set(s string) error {
	read, err := civil.Parse(s)
	d.Date = read
	return err
}

func (d *day) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Date.String()
}

// Type is what help calls the value.
func (d *day) Type() string { return "YYYY-MM-DD" }

func yes(b bool, word string) string {
	if b {
		return word
	}
	return "no"
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// nothing ends a command that found nothing to do.
func nothing() error { return term.Exit(term.NothingToDo) }
