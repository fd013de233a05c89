package office

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
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
			return env.Show(summary(p), overview(api.Offer(p)))
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
	api.ProgramOffer
	Editions   int `json:"editions"` // ineligible ones too
	PriceLines int `json:"priceLines"`
}

func summary(p *program.Program) checked {
	return checked{api.Offer(p), len(p.Editions), len(p.Prices)}
}

// overview lists every coverage year of every track, as people plan with them.
func overview(offer api.ProgramOffer) term.Rows {
	rows := term.Rows{Columns: []string{"TRACK", "YEAR", "FIRST DAY", "LAST DAY", "ACTIVATION ID", "SKU", "PRICES"}}
	for _, t := range offer.Tracks {
		rows.Add(t.Name, "free", "", t.EndOfSupport, "", "", "")
		for _, y := range t.Years {
			name := y.Name
			if y.SKU == "" {
				name = "not sold"
			}
			rows.Add(t.Name, y.Year, y.First, y.Last, y.ActivationID, name, prices(y.Prices))
		}
	}
	return rows
}

func prices(offers []api.PriceOffer) string {
	var all []string
	for _, o := range offers {
		terms := string(o.Channel)
		if o.Qualification != "" {
			terms += ", " + string(o.Qualification)
		}
		if o.Planned {
			terms += ", planned"
		}
		all = append(all, fmt.Sprintf("%s (%s)", o.Price, terms))
	}
	return strings.Join(all, ", ")
}

func (o *office) programShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [PROGRAM]", Aliases: []string{"list"}, Short: "What is offered, and the versions of its file",
		Args: cobra.MaximumNArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				p, err := get[api.ProgramOffer](ctx, s, at("/programs/%s", args[0]), nil)
				if err != nil {
					return err
				}
				return o.env.Show(p, overview(p))
			}
			all, err := get[api.Programs](ctx, s, "/programs", nil)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"PROGRAM", "NAME", "VERSION", "FROM", "LAST DAY", "TRACKS"}}
			for _, p := range all.Programs {
				rows.Add(p.ID, p.Name, p.Version, p.From, p.LastDay, len(p.Tracks))
			}
			return o.env.Show(all, rows)
		}),
	}
}

// programImport imports a file and, where the offline targets key is at hand,
// signs what devices are to know of it.
func (o *office) programImport() *cobra.Command {
	in := api.ImportProgram{}
	var keys, publishers []string
	c := &cobra.Command{
		Use: "import FILE", Short: "Import a version of a program file, and sign what devices know of it",
		Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			text, err := readFile(args[0], program.MaxFile+1)
			if err != nil {
				return err
			}
			in.Name, in.File, in.Publishers = filepath.Base(args[0]), string(text), nil
			for _, p := range publishers {
				key, err := publicKey(p)
				if err != nil {
					return err
				}
				in.Publishers = append(in.Publishers, key)
			}
			done, err := post[api.Imported](ctx, s, "/programs", in)
			if err != nil {
				return err
			}
			var signed *api.Signed
			if done.New && done.Draft == nil && len(in.Publishers) == 0 {
				o.env.Say("Nobody may publish for %s yet, so devices do not know of it: import it again with --publisher KEY.", done.Program)
			}
			unannounced := done.New && done.Draft == nil && !done.DryRun
			if done.Draft != nil {
				if signed, err = s.signTargets(ctx, *done.Draft, keys); err != nil {
					return err
				}
			}
			if signed != nil {
				done.Draft = nil
				if signed.Draft.Missing > 0 {
					done.Draft = &signed.Draft
				}
			}
			if err := o.showImport(done); err != nil {
				return err
			}
			if unannounced {
				o.env.Say("It can be sold. Devices are told of it once its publishers are named: esu program import %s --publisher KEY --publisher KEY", args[0])
			}
			return nil
		}),
	}
	c.Flags().StringArrayVar(&publishers, "publisher", nil, "who may sign releases: ed25519:…, a line of ssh-ed25519, or a file with either (repeat)")
	c.Flags().IntVar(&in.Threshold, "threshold", 0, "how many publishers sign a release (default 2)")
	c.Flags().StringArrayVar(&keys, "targets-key", nil, "the offline targets key: a file, ssh-agent:… or command:… (default: offline/targets.key in the folder, when it is there)")
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "check everything and change nothing")
	return c
}

func (o *office) showImport(done api.Imported) error {
	rows := term.Rows{Columns: []string{"PROGRAM", "VERSION", "NEW", "WAITS FOR"}}
	waits := ""
	if done.Draft != nil {
		waits = fmt.Sprintf("%d signatures missing", done.Draft.Missing)
	}
	rows.Add(done.Program, done.Version, yes(done.New), waits)
	if err := o.env.Show(done, rows); err != nil {
		return err
	}
	if done.Draft != nil {
		o.env.Say("Devices learn of it when the targets key has signed: esu update sign --targets --key KEY")
	}
	return nil
}

// signTargets signs a targets draft with the keys that were named, else with the
// one in the folder; nil when there is none.
func (s *session) signTargets(ctx context.Context, d api.Draft, keys []string) (*api.Signed, error) {
	if len(keys) == 0 {
		path := filepath.Join(s.at.Data, "offline", releases.TargetsKeyFile)
		if _, err := os.Stat(path); s.at.Data == "" || err != nil {
			return nil, nil //nolint:nilnil,nilerr // the key was moved away, as it should be
		}
		keys = []string{"file:" + path}
	}
	return s.signDraft(ctx, "/trust/targets/draft", d, keys)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
