package device

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/program"
)

func (b *bench) status() *cobra.Command {
	var on day
	c := &cobra.Command{
		Use:   "status",
		Short: "Show enrollment, keys and licenses by year, prerequisites and what comes next",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := b.device().Status(c.Context(), on.Date)
			if err != nil {
				return err
			}
			b.env.Vendor = s.VendorCode
			if b.env.Format != term.Table {
				return b.env.Show(b.statusDocument(s), years(s))
			}
			if err := b.env.Show(nil, summary(s)); err != nil {
				return err
			}
			fmt.Fprintln(b.env.World.Out)
			if err := b.env.Show(nil, years(s)); err != nil {
				return err
			}
			b.tell(s.Notices...)
			for _, y := range s.Years {
				b.tell(y.Rejected)
			}
			b.tell(s.Outside)
			if s.Outside != nil {
				b.say(b.env.Lang.Text("text.agent.outside", nil))
			}
			b.freshness(s.Metadata, nil)
			b.sayYears(s.Activated)
			b.next(s)
			return nil
		},
	}
	c.Flags().Var(&on, "on", "tell what updates of that day would need")
	return c
}

type yearDocument struct {
	agent.YearStatus
	Rejected *wire.Problem `json:"rejected,omitempty"`
}

type statusDocument struct {
	*agent.Status
	Years   []yearDocument `json:"years"`
	Outside *wire.Problem  `json:"outside,omitempty"`
	Notices []wire.Problem `json:"notices,omitempty"`
}

func (b *bench) statusDocument(s *agent.Status) statusDocument {
	d := statusDocument{Status: s, Years: []yearDocument{}, Outside: b.document(s.Outside), Notices: b.documents(s.Notices)}
	for _, y := range s.Years {
		d.Years = append(d.Years, yearDocument{y, b.document(y.Rejected)})
	}
	return d
}

func summary(s *agent.Status) term.Rows {
	rows := term.Rows{Columns: []string{"DEVICE", ""}}
	edition := s.EditionName
	if edition == "" {
		edition = string(s.Edition)
	}
	rows.Add("Program", s.Name)
	rows.Add("Edition", edition+" ("+string(s.Arch)+")")
	rows.Add("In the program", yes(s.Eligible, "yes"))
	rows.Add("Server", s.Server)
	rows.Add("Authority", s.Authority)
	rows.Add("Channel", s.Delivery)
	rows.Add("Installation", s.Installation)
	age := fmt.Sprintf("%d days old, good until %s", s.Metadata.Days, instant(s.Metadata.Expires))
	if s.Metadata.Stale {
		age = fmt.Sprintf("STALE, %d days old", s.Metadata.Days)
	}
	rows.Add("List of updates", age)
	rows.Add("Installed updates", s.Updates)
	rows.Add("Restart pending", yes(s.RestartPending, "yes"))
	done := 0
	for _, p := range s.Prerequisites {
		if p.Done {
			done++
		}
	}
	rows.Add("Prerequisites", fmt.Sprintf("%d of %d", done, len(s.Prerequisites)))
	if s.OnYear != nil {
		needs := "no coverage"
		if *s.OnYear != program.Free {
			needs = fmt.Sprintf("year %d, covered: %s", *s.OnYear, yes(s.Covered, "yes"))
		}
		rows.Add("Updates of "+s.On.String(), "need "+needs)
	}
	return rows
}

// years lists the keys of all years side by side (rule K3), under both of their
// names (rule K20).
func years(s *agent.Status) term.Rows {
	rows := term.Rows{Columns: []string{"YEAR", "COVERS", "KEY", "LAST FIVE", "LICENSE STATUS", "ACTIVATION ID", "LICENSE", "NAME", "NAME IN THE PORTAL"}}
	for _, y := range s.Years {
		covers := y.First.String() + " to " + y.Last.String()
		if !y.Until.IsZero() {
			covers += ", ended after " + y.Until.String()
		}
		rows.Add(y.Year, covers, yes(y.KeyInstalled, "installed"), y.LastFive, y.Status, y.ActivationID, y.LicenseID, y.Tool, y.Portal)
	}
	return rows
}

func (b *bench) sayYears(activated []program.Year) {
	if len(activated) == 0 {
		b.say(b.env.Lang.Text("text.agent.no-year-activated", nil))
		return
	}
	names := make([]string, len(activated))
	for i, y := range activated {
		names[i] = fmt.Sprint(y)
	}
	b.say(b.env.Lang.Text("text.agent.activated-years", map[string]any{"years": names}))
}

// next tells the one thing to do now.
func (b *bench) next(s *agent.Status) {
	if s.RestartPending {
		b.say(b.env.Lang.Text("text.agent.restart", nil))
		return
	}
	if b.nextPrerequisite(s.Prerequisites) || !s.Eligible {
		return
	}
	installed, unlicensed := false, false
	for _, y := range s.Years {
		installed = installed || y.KeyInstalled || y.Status == agent.Licensed
		unlicensed = unlicensed || y.Status == agent.Unlicensed || y.Status == agent.Notification
	}
	switch {
	case unlicensed:
		b.say(b.env.Lang.Text("text.agent.next-activate", nil))
	case !installed:
		b.say(b.env.Lang.Text("text.agent.next-install-key", nil))
	default:
		b.say(b.env.Lang.Text("text.agent.next-update", nil))
	}
}

func (b *bench) nextPrerequisite(all []agent.PrerequisiteState) bool {
	for _, p := range all {
		if !p.Next {
			continue
		}
		b.say(b.env.Lang.Text("text.agent.next-prerequisite", map[string]any{"updates": words(p), "name": p.Name}))
		if len(p.Elsewhere) > 0 {
			b.say(b.env.Lang.Text("text.agent.next-elsewhere", map[string]any{"others": p.Elsewhere}))
		}
		return true
	}
	return false
}

// words are the updates of which any one will do.
func words(p agent.PrerequisiteState) string {
	names := make([]string, len(p.Install))
	for i, id := range p.Install {
		names[i] = string(id)
	}
	return strings.Join(names, " / ")
}

func (b *bench) prerequisites() *cobra.Command {
	return &cobra.Command{
		Use:   "prerequisites",
		Short: "List what the device must have before keys and covered updates, in order",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := b.device().Prerequisites(c.Context())
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"STEP", "WHAT", "DONE", "INSTALL ONE OF", "FOR UPDATES FROM", "RESTARTS"}}
			for i, p := range all {
				done, from := "missing", ""
				if p.Done {
					done = "done"
				} else if p.Next {
					done = "next"
				}
				if !p.From.IsZero() {
					from = p.From.String()
				}
				rows.Add(i+1, p.Name, done, words(p), from, p.Restarts)
			}
			if err := b.env.Show(map[string]any{"prerequisites": all}, rows); err != nil {
				return err
			}
			if !b.nextPrerequisite(all) {
				b.say(b.env.Lang.Text("text.agent.prerequisites-met", nil))
			}
			return nil
		},
	}
}
