package device

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	terminal "golang.org/x/term"

	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
)

// maxKey bounds what is read as a product key, in bytes.
const maxKey = 4 << 10

// Unreadable is a file that cannot be opened or read.
const Unreadable problem.Code = "agent.file-unreadable"

func unreadable(path string, err error) error {
	what := err.Error()
	var named *os.PathError
	if errors.As(err, &named) {
		what = named.Err.Error()
	}
	return problem.New(problem.NotFound, Unreadable, "file", path, "what", what).Because(err)
}

func (b *bench) installKey() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "install-key [KEY | -]",
		Short: "Install a coverage year's product key",
		Long: "The key is asked for when none is given, so that it stays out of the shell's history; '-' reads it\n" +
			"from standard input. It is installed beside the keys of other years and leaves the product's own alone.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := b.key(c, file, args)
			if err != nil {
				return err
			}
			out, err := b.device().InstallKey(c.Context(), text)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"YEAR", "PRODUCT", "LAST FIVE", "ACTIVATION ID", "NAME", "NAME IN THE PORTAL"}}
			rows.Add(out.Year, out.Product, out.LastFive, out.ActivationID, out.Tool, out.Portal)
			if err := b.env.Show(out, rows); err != nil {
				return err
			}
			b.say(b.env.Lang.Text("text.agent.next-activate", nil))
			return nil
		},
	}
	c.Flags().StringVar(&file, "key-file", "", "read the key from a file")
	return c
}

// key reads a product key from a file, standard input, an argument or a prompt.
func (b *bench) key(c *cobra.Command, file string, args []string) (string, error) {
	switch {
	case file != "" && len(args) > 0:
		return "", cli.WrongUse(c, "Give the key or --key-file, not both.")
	case file != "":
		text, err := durable.ReadFile(file, maxKey)
		if err != nil {
			return "", unreadable(file, err)
		}
		return string(text), nil
	case len(args) > 0 && args[0] != "-":
		return args[0], nil
	}
	if in, ok := b.env.World.In.(*os.File); ok && len(args) == 0 && terminal.IsTerminal(int(in.Fd())) {
		b.env.Say("Product key (it is not shown):")
		text, err := terminal.ReadPassword(int(in.Fd()))
		return string(text), err
	}
	line, err := bufio.NewReader(io.LimitReader(b.env.World.In, maxKey)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return line, nil
}

func (b *bench) activate() *cobra.Command {
	var in agent.ActivateIn
	var out, answer string
	c := &cobra.Command{
		Use:   "activate [ACTIVATION-ID …]",
		Short: "Activate installed keys; without an id, every one",
		Long: "Without a network, --out writes the request to a file, which holds no product key; whoever has a network\n" +
			"sends it, and --in takes in the answer. --proxy asks another server to pass the request on.",
		RunE: func(c *cobra.Command, args []string) error {
			in.IDs = args
			d := b.device()
			switch {
			case out != "":
				return b.writeRequest(c, d, args, out)
			case answer != "":
				return b.readAnswer(c, d, answer)
			}
			result, err := d.Activate(c.Context(), in)
			if err != nil {
				if len(result.Hosts) > 0 {
					b.say(b.env.Lang.Text("text.agent.hosts", map[string]any{"hosts": result.Hosts}))
				}
				return err
			}
			if len(args) == 0 {
				b.say(b.env.Lang.Text("text.agent.ids-given", nil))
			}
			return b.activated(result)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Proxy, "proxy", "", "address of a server that passes the request on")
	f.StringVar(&out, "out", "", "write the request to a file instead of sending it")
	f.StringVar(&answer, "in", "", "take in the answer to a request from a file")
	c.MarkFlagsMutuallyExclusive("proxy", "out", "in")
	return c
}

func (b *bench) activated(a *agent.Activation) error {
	type document struct {
		agent.Activated
		Refused *wire.Problem `json:"refused,omitempty"`
	}
	all := []document{}
	rows := term.Rows{Columns: []string{"YEAR", "PRODUCT", "LAST FIVE", "ACTIVATION ID", "RESULT", "LICENSE"}}
	var refused []error
	for _, r := range a.Results {
		result := "activated"
		if r.Refused != nil {
			result = "refused"
			refused = append(refused, r.Refused)
		}
		year := ""
		if r.Year != 0 {
			year = fmt.Sprint(r.Year)
		}
		rows.Add(year, r.Product, r.LastFive, r.ActivationID, result, r.License)
		all = append(all, document{r, b.document(r.Refused)})
	}
	if err := b.env.Show(map[string]any{"results": all, "notices": b.documents(a.Notices)}, rows); err != nil {
		return err
	}
	b.tell(a.Notices...)
	return b.refused(refused)
}

// refused ends a command some of whose parts were refused: the refusals are told
// on standard error, since the result is on standard output already.
func (b *bench) refused(refused []error) error {
	problems := problem.All(errors.Join(refused...))
	if len(problems) == 0 {
		return nil
	}
	for _, p := range problems {
		b.env.Problem(p)
	}
	return term.Exit(term.ExitCode(problems[0].Kind, problems[0].Code))
}

func (b *bench) writeRequest(c *cobra.Command, d *agent.Device, ids []string, path string) error {
	requests, told, err := d.Requests(c.Context(), ids)
	if err != nil {
		return err
	}
	if len(requests.Requests) == 0 {
		refused := make([]error, len(told))
		for i, p := range told {
			refused[i] = p
		}
		return b.refused(refused)
	}
	text, err := json.MarshalIndent(requests, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return unreadable(path, err)
	}
	b.tell(told...)
	rows := term.Rows{Columns: []string{"FILE", "REQUESTS"}}
	rows.Add(path, len(requests.Requests))
	return b.env.Show(map[string]any{"file": path, "requests": len(requests.Requests)}, rows)
}

func (b *bench) readAnswer(c *cobra.Command, d *agent.Device, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer f.Close() // only read
	var answers wire.ActivationResults
	if err := wire.Decode(f, wire.MaxDocument, &answers); err != nil {
		return err
	}
	result, err := d.Accept(c.Context(), &answers)
	if err != nil {
		return err
	}
	return b.activated(result)
}
