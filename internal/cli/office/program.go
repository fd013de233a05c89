package office

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
)

// FileUnreadable is a file that cannot be opened or read.
const FileUnreadable problem.Code = "file.unreadable"

// readFile reads a file that a person named, or a program file that is shipped.
func readFile(path string, limit int64) ([]byte, error) {
	text, err := durable.ReadFile(path, limit)
	if os.IsNotExist(err) && filepath.Base(path) == path {
		if shipped, err := programs.File(strings.TrimSuffix(path, ".yaml")); err == nil {
			return shipped, nil
		}
	}
	if err != nil {
		return nil, problem.New(problem.NotFound, FileUnreadable, "file", path, "what", cause(err)).Because(err)
	}
	return text, nil
}

// cause is the innermost message of an error, without the path that the sentence names.
func cause(err error) string {
	if path, ok := err.(*os.PathError); ok { //nolint:errorlint // only the outermost is taken off
		return path.Err.Error()
	}
	return err.Error()
}

func programCheck(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Read a program file strictly and say what it comes to",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := parseFile(args[0])
			if err != nil {
				return err
			}
			return env.Show(summary(p), overview(p))
		},
	}
}

func parseFile(path string) (*program.Program, error) {
	text, err := readFile(path, program.MaxFile+1)
	if err != nil {
		return nil, err
	}
	return program.Parse(filepath.Base(path), text)
}

type checked struct {
	ID       program.ID `json:"id"`
	Version  int        `json:"version"`
	Tracks   int        `json:"tracks"`
	Editions int        `json:"editions"`
	Eligible int        `json:"eligibleEditions"`
	Prices   int        `json:"priceLines"`
	LastDay  string     `json:"lastDay"`
}

func summary(p *program.Program) checked {
	c := checked{p.ID, p.Version, len(p.Tracks), len(p.Editions), 0, len(p.Prices), p.LastDay().String()}
	for _, e := range p.Editions {
		if e.Ineligible == nil {
			c.Eligible++
		}
	}
	return c
}

// overview lists every coverage year of every track, as people plan with them.
func overview(p *program.Program) term.Rows {
	rows := term.Rows{Columns: []string{"TRACK", "YEAR", "FIRST DAY", "LAST DAY", "ACTIVATION ID", "SKU", "PRICES"}}
	for _, t := range p.Tracks {
		rows.Add(t.Name, "free", "", t.EndOfSupport, "", "", "")
		for _, y := range t.Years {
			name := "not sold"
			if s, ok := p.SKU(t.ID, y.Year); ok {
				name = s.Name
			}
			rows.Add(t.Name, y.Year, y.First, y.Last, y.ActivationID, name, strings.Join(prices(p, t.ID, y.Year), ", "))
		}
	}
	return rows
}

func prices(p *program.Program, track program.TrackID, year program.Year) []string {
	var all []string
	for _, l := range p.Prices {
		amount, ok := l.Years[year]
		if !ok || l.Track != track {
			continue
		}
		terms := string(l.Channel)
		if l.Qualification != "" {
			terms += ", " + string(l.Qualification)
		}
		if l.Planned {
			terms += ", planned"
		}
		all = append(all, fmt.Sprintf("%s (%s)", amount, terms))
	}
	return all
}
