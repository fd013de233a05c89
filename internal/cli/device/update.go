package device

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func coverage(year program.Year) string {
	if year == program.Free {
		return "free"
	}
	return fmt.Sprintf("year %d", year)
}

func (b *bench) scan() *cobra.Command {
	var in agent.ScanIn
	var on day
	c := &cobra.Command{
		Use:   "scan",
		Short: "Show which updates this device needs, and what stands in the way of each",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			in.On = on.Date
			s, err := b.device().Scan(c.Context(), in)
			if err != nil {
				return err
			}
			b.env.Vendor = s.VendorCode
			b.freshness(s.Metadata, s.Stale)
			b.tell(s.Notices...)
			if err := b.env.Show(b.scanDocument(s), b.findings(s)); err != nil {
				return err
			}
			if len(s.Updates) == 0 {
				b.say(b.env.Lang.Text("text.agent.up-to-date", nil))
				return nothing()
			}
			return nil
		},
	}
	f := c.Flags()
	f.Var(&on, "on", "only updates released up to that day")
	f.BoolVar(&in.All, "all", false, "updates that do not concern this device, too")
	f.BoolVar(&in.Offline, "offline", false, "ask no server")
	return c
}

type findingDocument struct {
	agent.Finding
	Problems []wire.Problem `json:"problems,omitempty"`
}

type scanDocument struct {
	*agent.Scan
	Updates []findingDocument `json:"updates"`
	Stale   *wire.Problem     `json:"stale,omitempty"`
	Notices []wire.Problem    `json:"notices,omitempty"`
}

func (b *bench) scanDocument(s *agent.Scan) scanDocument {
	d := scanDocument{Scan: s, Updates: []findingDocument{}, Stale: b.document(s.Stale), Notices: b.documents(s.Notices)}
	for _, f := range s.Updates {
		d.Updates = append(d.Updates, findingDocument{f, b.documents(f.Problems)})
	}
	return d
}

func (b *bench) findings(s *agent.Scan) term.Rows {
	rows := term.Rows{Columns: []string{"UPDATE", "RELEASED", "KIND", "RATING", "COVERAGE", "STATE", "WHY NOT"}}
	for _, f := range s.Updates {
		var why []string
		for _, p := range f.Problems {
			why = append(why, b.env.Render(p).Detail)
		}
		rows.Add(f.Update, f.Released, f.Kind, f.Rating, coverage(f.Year), f.State, strings.Join(why, " "))
	}
	return rows
}

func (b *bench) update() *cobra.Command {
	var in agent.UpdateIn
	c := &cobra.Command{
		Use:   "update [UPDATE …]",
		Short: "Install every update that this device may have",
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				id, err := program.ParseUpdateID(name)
				if err != nil {
					return cli.WrongUse(c, "%s.", err)
				}
				in.Only = append(in.Only, id)
			}
			out, err := b.device().Update(c.Context(), in)
			if err != nil {
				return err
			}
			return b.outcome(out)
		},
	}
	f := c.Flags()
	f.BoolVar(&in.DownloadOnly, "download-only", false, "bring the files and install nothing")
	f.BoolVar(&in.Offline, "offline", false, "ask no server: install what is downloaded")
	return c
}

func (b *bench) install() *cobra.Command {
	var in agent.UpdateIn
	var check bool
	c := &cobra.Command{
		Use:   "install FILE|UPDATE",
		Short: "Install one update from its file, or by its id",
		Long: "The file is one that the vendor published. Who brings it does not matter: it is installed where the device\n" +
			"may have it, and nowhere else. --check-package installs nothing and tells whether updates would be accepted.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d := b.device()
			if check {
				if len(args) > 0 {
					return cli.WrongUse(c, "--check-package takes no file.")
				}
				result, err := d.CheckPackage(c.Context())
				if err != nil {
					return err
				}
				return b.checked(result)
			}
			if len(args) == 0 {
				return cli.WrongUse(c, "Give a file, the id of an update, or --check-package.")
			}
			out, err := d.InstallFile(c.Context(), args[0], in)
			if err != nil {
				return err
			}
			return b.outcome(out)
		},
	}
	f := c.Flags()
	f.BoolVar(&check, "check-package", false, "tell whether updates would be accepted, and change nothing")
	f.BoolVar(&in.Offline, "offline", false, "ask no server")
	return c
}

type attemptDocument struct {
	agent.Attempt
	Problems []wire.Problem `json:"problems,omitempty"`
	Error    string         `json:"error,omitempty"` // of what is no refusal
}

type outcomeDocument struct {
	*agent.Outcome
	Updates []attemptDocument `json:"updates"`
	Stale   *wire.Problem     `json:"stale,omitempty"`
	Notices []wire.Problem    `json:"notices,omitempty"`
}

// outcome shows what became of a run: 0 when something was installed and nothing
// failed, 2 when there was nothing to do, 3 when rules refused all there was.
func (b *bench) outcome(o *agent.Outcome) error {
	b.env.Vendor = o.VendorCode
	b.freshness(o.Metadata, o.Stale)
	b.tell(o.Notices...)
	d := outcomeDocument{Outcome: o, Updates: []attemptDocument{}, Stale: b.document(o.Stale), Notices: b.documents(o.Notices)}
	rows := term.Rows{Columns: []string{"UPDATE", "COVERAGE", "RESULT", "TITLE"}}
	for _, a := range o.Updates {
		rows.Add(a.Update, coverage(a.Year), a.Result, a.Title)
		doc := attemptDocument{Attempt: a, Problems: b.documents(problem.All(a.Err))}
		if a.Err != nil && len(doc.Problems) == 0 {
			doc.Error = a.Err.Error()
		}
		d.Updates = append(d.Updates, doc)
	}
	if err := b.env.Show(d, rows); err != nil {
		return err
	}
	for _, a := range o.Updates {
		switch problems := problem.All(a.Err); {
		case a.Err == nil:
		case len(problems) == 0:
			b.env.Say("error: %s: %v", a.Update, a.Err)
		default:
			for _, p := range problems {
				b.env.Problem(p)
			}
		}
	}
	if o.RestartPending {
		b.say(b.env.Lang.Text("text.agent.restart", nil))
	}
	switch {
	case o.Count(agent.Failed) > 0:
		return term.Exit(term.Failed)
	case o.Count(agent.Installed)+o.Count(agent.Downloaded)+o.Count(agent.Checked) > 0:
		return nil
	case o.Count(agent.Refused)+o.Count(agent.Elsewhere) > 0:
		return term.Exit(term.Refused)
	}
	b.say(b.env.Lang.Text("text.agent.up-to-date", nil))
	return nothing()
}

func (b *bench) checked(c *agent.Check) error {
	b.env.Vendor = c.VendorCode
	rows := term.Rows{Columns: []string{"CHECK PACKAGE", "UPDATES ACCEPTED", "ACTIVATED YEARS"}}
	years := make([]string, len(c.Activated))
	for i, y := range c.Activated {
		years[i] = fmt.Sprint(y)
	}
	rows.Add(yes(c.Passed, "passes"), yes(c.Accepted, "yes"), strings.Join(years, ", "))
	document := struct {
		*agent.Check
		Refused []wire.Problem `json:"refused,omitempty"`
		Missing []wire.Problem `json:"missing,omitempty"`
	}{c, b.documents(c.Refused), b.documents(c.Missing)}
	if err := b.env.Show(document, rows); err != nil {
		return err
	}
	b.tell(c.Missing...)
	if c.Accepted {
		b.say(b.env.Lang.Text("text.agent.check-accepted", nil))
	} else {
		b.say(b.env.Lang.Text("text.agent.check-not-accepted", nil))
	}
	if c.Passed {
		b.say(b.env.Lang.Text("text.agent.check-passed", nil))
		return nil
	}
	var refused []error
	for _, p := range c.Refused {
		refused = append(refused, p)
	}
	return b.refused(refused)
}

func (b *bench) run() *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use:   "run",
		Short: "Update and report again and again, as a service",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return b.device().Run(c.Context(), agent.RunIn{Interval: every, Told: func(o *agent.Outcome, err error) {
				if o != nil {
					b.env.Say("installed %d, refused %d, failed %d", o.Count(agent.Installed), o.Count(agent.Refused), o.Count(agent.Failed))
				}
				for _, p := range problem.All(err) {
					b.note(p)
				}
				if err != nil && len(problem.All(err)) == 0 {
					b.env.Say("error: %v", err)
				}
			}})
		},
	}
	c.Flags().DurationVar(&every, "every", 0, "how often (default 6h)")
	return c
}
