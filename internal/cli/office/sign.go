package office

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
)

// NotConfirmed: the person did not say that the draft is to be signed.
const NotConfirmed problem.Code = "office.not-confirmed"

// maxDraft bounds a draft's file, in bytes.
const maxDraft = 48 << 20

// signer is what signing asks of the person.
type signer struct {
	office *office
	keys   []string
	yes    bool
}

// sign shows what a draft changes, read out of the very bytes that are signed,
// and signs it with each key.
func (g *signer) sign(ctx context.Context, d *trust.Draft) error {
	var signers []signing.Signer
	for _, spec := range g.keys {
		s, err := signing.Open(ctx, spec, g.office.passphrase())
		if err != nil {
			return err
		}
		signers = append(signers, s)
	}
	var own ed25519.PublicKey
	if len(signers) > 0 {
		own = signers[0].Public()
	}
	g.office.describe(d, own)
	if err := g.confirm(d); err != nil {
		return err
	}
	for _, s := range signers {
		if err := d.Sign(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// describe tells on standard error what a draft changes.
func (o *office) describe(d *trust.Draft, own ed25519.PublicKey) {
	o.env.Say("Version %d of %s, valid until %s:", d.Version(), d.Role(), d.Expires().UTC().Format(time.DateOnly))
	added, gone := d.Changes(own)
	for _, e := range added {
		line := fmt.Sprintf("  + %s  sha256:%x", e.Path, e.SHA256)
		if !e.Released.IsZero() {
			line += "  released " + e.Released.UTC().Format(time.RFC3339)
		}
		o.env.Say("%s", line)
	}
	for _, path := range gone {
		o.env.Say("  - %s", path)
	}
	if len(added)+len(gone) == 0 {
		o.env.Say("  nothing changes but the day until which it is valid")
	}
	for id, s := range d.Publishers() {
		o.env.Say("  publishers of %s: %d of %d keys", id, s.Threshold, len(s.Keys))
	}
}

// confirm asks a person at a terminal; a script has said what it wants.
func (g *signer) confirm(d *trust.Draft) error {
	in, ok := g.office.env.Terminal.In.(*os.File)
	if g.yes || !ok || !xterm.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprint(g.office.env.Terminal.Err, "Sign it? [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(in, &answer) // an empty line is no
	if answer != "y" && answer != "yes" {
		return problem.New(problem.Refused, NotConfirmed, "role", d.Role(), "version", d.Version())
	}
	return nil
}

// passphrase asks a person at a terminal for a key file's passphrase; nil where
// nobody can be asked.
func (o *office) passphrase() signing.Ask {
	in, ok := o.env.Terminal.In.(*os.File)
	if !ok || !xterm.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func(path string) ([]byte, error) {
		fmt.Fprintf(o.env.Terminal.Err, "Passphrase of %s: ", path)
		text, err := xterm.ReadPassword(int(in.Fd()))
		fmt.Fprintln(o.env.Terminal.Err)
		return text, err
	}
}

// signDraft signs a draft that the authority gave and sends it back.
func (s *session) signDraft(ctx context.Context, path string, d api.Draft, keys []string) (*api.Signed, error) {
	return s.signWith(ctx, &signer{s.office, keys, true}, path, d)
}

func (s *session) signWith(ctx context.Context, g *signer, path string, d api.Draft) (*api.Signed, error) {
	draft, err := trust.ParseDraft([]byte(d.Document))
	if err != nil {
		return nil, err
	}
	if err := g.sign(ctx, draft); err != nil {
		return nil, err
	}
	document, err := draft.Document()
	if err != nil {
		return nil, err
	}
	signed, err := post[api.Signed](ctx, s, path, api.SignedDraft{Document: string(document)})
	if err != nil {
		return nil, err
	}
	return &signed, nil
}

// updateSign signs: drafts that the authority gives, or a file that was carried
// to a machine where the key is.
func (o *office) updateSign() *cobra.Command {
	g := signer{office: o}
	var id, out string
	targets, fetch, post := false, false, false
	online := o.act(func(ctx context.Context, s *session, args []string) error {
		switch {
		case post:
			return s.sendDraft(ctx, args[0])
		case fetch:
			return s.fetchDrafts(ctx, id, targets, out)
		}
		return s.signAll(ctx, &g, id, targets)
	})
	c := &cobra.Command{
		Use:   "sign [DRAFT] --key KEY",
		Short: "Approve a release by signing it; with a file, on a machine without the authority",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case post && (len(args) == 0 || len(g.keys) > 0 || fetch), fetch && (len(args) > 0 || len(g.keys) > 0 || out == ""):
				return cli.WrongUse(c, "Use one of: sign --key KEY; sign --fetch --out DRAFT; sign DRAFT --key KEY; sign DRAFT --send.")
			case post, fetch:
				return online(c, args)
			case len(g.keys) == 0:
				return cli.WrongUse(c, "Name the key that signs: --key KEY.")
			case len(args) == 1:
				return g.signFile(c.Context(), args[0], out)
			}
			return online(c, args)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&g.keys, "key", nil, "the key: a file, ssh-agent:… or command:… (repeat)")
	f.StringVar(&id, "program", "", "the program (default: the only one)")
	f.BoolVar(&targets, "targets", false, "sign the draft of targets, by the offline targets key, instead of a program's")
	f.BoolVar(&fetch, "fetch", false, "only write the first draft that lacks signatures to --out")
	f.BoolVar(&post, "send", false, "only send a signed DRAFT back")
	f.StringVar(&out, "out", "", "where to write the draft (default: DRAFT itself)")
	f.BoolVar(&g.yes, "yes", false, "do not ask")
	return c
}

// waiting are the drafts that lack signatures. Where a program has none at all,
// one is made of what is staged for the earliest instant.
func (s *session) waiting(ctx context.Context, id string, targets bool) (path string, drafts []api.Draft, err error) {
	path = "/trust/targets/draft"
	if !targets {
		if id, err = s.oneProgram(ctx, id); err != nil {
			return "", nil, err
		}
		path = at("/drafts/%s", id)
	}
	all, err := get[api.Drafts](ctx, s, path, nil)
	if err != nil {
		return "", nil, err
	}
	for _, d := range all.Drafts {
		if d.Missing > 0 {
			drafts = append(drafts, d)
		}
	}
	if targets {
		return path, drafts, nil
	}
	sign := path + "/signatures"
	if len(drafts) > 0 {
		return sign, drafts, nil
	}
	made, err := post[api.Drafted](ctx, s, path, api.MakeDraft{})
	if problem.CodeOf(err) == nothingStaged {
		return sign, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	if made.Draft != nil {
		drafts = append(drafts, *made.Draft)
	}
	return sign, append(drafts, made.Again...), nil
}

// signAll signs every waiting draft that lacks signatures, in their order.
func (s *session) signAll(ctx context.Context, g *signer, id string, targets bool) error {
	path, drafts, err := s.waiting(ctx, id, targets)
	if err != nil {
		return err
	}
	if len(drafts) == 0 {
		s.env.Say("Nothing waits for signatures.")
		return term.Exit(term.NothingToDo)
	}
	done := []api.Signed{}
	for _, d := range drafts {
		signed, err := s.signWith(ctx, g, path, d)
		if err != nil {
			return err
		}
		done = append(done, *signed)
	}
	return s.showSigned(done)
}

func (s *session) showSigned(done []api.Signed) error {
	rows := term.Rows{Columns: []string{"ROLE", "VERSION", "INSTANT", "MISSING", "RELEASED", "WITHDRAWN"}}
	for _, d := range done {
		rows.Add(d.Draft.Role, d.Draft.Version, d.Draft.Instant.UTC().Format(time.RFC3339), d.Draft.Missing, join(d.Published.Released), join(d.Published.Withdrawn))
		s.tellHeld(d.Published)
	}
	return s.env.Show(map[string]any{"signed": done}, rows)
}

// tellHeld names versions that are due and wait for something.
func (s *session) tellHeld(p api.Published) {
	for _, h := range p.Held {
		s.env.Say("%s waits: %s (%s)", h.Role, h.Problem.Detail, h.Problem.Code)
	}
}

func (s *session) fetchDrafts(ctx context.Context, id string, targets bool, out string) error {
	_, drafts, err := s.waiting(ctx, id, targets)
	if err != nil {
		return err
	}
	if len(drafts) == 0 {
		s.env.Say("Nothing waits for signatures.")
		return term.Exit(term.NothingToDo)
	}
	if err := durable.WriteFile(out, []byte(drafts[0].Document), 0o600); err != nil {
		return err
	}
	return s.env.Show(drafts[0], draftRows(drafts[0]))
}

// sendDraft takes a carried file back to the authority.
func (s *session) sendDraft(ctx context.Context, file string) error {
	text, err := readFile(file, maxDraft)
	if err != nil {
		return err
	}
	d, err := trust.ParseDraft(text)
	if err != nil {
		return err
	}
	path := at("/drafts/%s/signatures", d.Role())
	if d.Role() == trust.Targets {
		path = "/trust/targets/draft"
	}
	signed, err := post[api.Signed](ctx, s, path, api.SignedDraft{Document: string(text)})
	if err != nil {
		return err
	}
	return s.showSigned([]api.Signed{signed})
}

// signFile signs a draft in a file, with no authority near.
func (g *signer) signFile(ctx context.Context, file, out string) error {
	text, err := readFile(file, maxDraft)
	if err != nil {
		return err
	}
	d, err := trust.ParseDraft(text)
	if err != nil {
		return err
	}
	if err := g.sign(ctx, d); err != nil {
		return err
	}
	document, err := d.Document()
	if err != nil {
		return err
	}
	if out == "" {
		out = file
	}
	if err := durable.WriteFile(out, document, 0o600); err != nil {
		return err
	}
	rows := term.Rows{Columns: []string{"DRAFT", "ROLE", "VERSION", "MISSING"}}
	rows.Add(out, d.Role(), d.Version(), d.Missing())
	return g.office.env.Show(map[string]any{"draft": out, "role": d.Role(), "version": d.Version(), "missing": d.Missing()}, rows)
}

func draftRows(all ...api.Draft) term.Rows {
	rows := term.Rows{Columns: []string{"ROLE", "VERSION", "INSTANT", "ADDS", "WITHDRAWS", "SIGNED BY", "MISSING"}}
	for _, d := range all {
		rows.Add(d.Role, d.Version, d.Instant.UTC().Format(time.RFC3339), join(d.Add), join(d.Withdraw), len(d.SignedBy), d.Missing)
	}
	return rows
}
