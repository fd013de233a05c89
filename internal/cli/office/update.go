package office

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const nothingStaged = releases.NothingStaged

// filesInstaller unpacks a .tar.zst; the command can make one of a folder.
const filesInstaller = "files"

func (o *office) updates() *cobra.Command {
	return group("update", "Updates on their way to devices",
		o.updateStage(), o.updateSign(), o.updateRelease(), o.updateWithdraw(), o.updateList(), o.updateShow(),
		o.updateHistory(), o.updateNoRelease(), o.updateDiscard(), o.updateMakeKey())
}

type staging struct {
	program                                       string
	in                                            api.StageUpdate
	kind, rating, component                       string
	at                                            string
	day                                           civil.Date
	tracks, editions, architectures, super, files []string
	installer, check                              string
	unpacked                                      int64
}

func (o *office) updateStage() *cobra.Command {
	g := staging{}
	c := &cobra.Command{
		Use: "stage UPDATE --kind KIND --payload FILE", Short: "Stage an update: nobody but publishers sees it until its instant", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.oneProgram(ctx, g.program)
			if err != nil {
				return err
			}
			in, err := g.document(ctx, s, id, args[0])
			if err != nil {
				return err
			}
			if in.Payloads, err = g.payloads(ctx, s); err != nil {
				return err
			}
			staged, err := post[api.Update](ctx, s, at("/programs/%s/updates", id), in)
			if err != nil {
				return err
			}
			return o.env.Show(staged, updateRows(staged))
		}),
	}
	f := c.Flags()
	f.StringVar(&g.program, "program", "", "the program (default: the only one)")
	f.StringVar(&g.in.Title, "title", "", "as people know it")
	f.StringVar(&g.kind, "kind", "", "a kind of the program file")
	f.StringVar(&g.rating, "rating", "", "how bad the worst thing is that it mends (default: the kind's)")
	f.StringVar(&g.component, "component", "", "(default: the kind's)")
	f.StringVar(&g.in.Content, "content", "", "which of the program's ungated contents it is")
	f.BoolVar(&g.in.Free, "free", false, "free for everybody")
	f.StringVar(&g.at, "at", "", "the instant of its release, 2020-02-11T18:00:00Z (default: the next regular one)")
	f.Var(dayFlag{&g.day}, "day", "the day of its release, at ten in the morning of the program's time zone")
	f.BoolVar(&g.in.OutOfBand, "out-of-band", false, "on another day than the regular one (default: now)")
	f.StringArrayVar(&g.tracks, "track", nil, "only for this track (repeat)")
	f.StringArrayVar(&g.editions, "edition", nil, "only for this edition (repeat)")
	f.StringArrayVar(&g.architectures, "arch", nil, "only for this architecture (repeat)")
	f.StringArrayVar(&g.super, "supersedes", nil, "an update that it replaces (repeat)")
	f.StringArrayVar(&g.in.Fixes, "fixes", nil, "a CVE id (repeat)")
	f.StringArrayVar(&g.files, "payload", nil, "a file, or a folder to be packed; ARCH=FILE for one architecture (repeat)")
	f.StringVar(&g.installer, "installer", "", "what installs it (default: by the file's name)")
	f.StringVar(&g.check, "check", "", "a program inside the payload that says whether the product works")
	f.Int64Var(&g.unpacked, "unpacked", 0, "bytes when unpacked (default: measured for folders and .tar.zst)")
	return c
}

func (g *staging) document(ctx context.Context, s *session, id, name string) (api.StageUpdate, error) {
	in := g.in
	in.Update, in.Kind, in.Rating, in.Component = program.UpdateID(name), program.KindID(g.kind), program.Rating(g.rating), program.ComponentID(g.component)
	in.Tracks, in.Editions = typed[program.TrackID](g.tracks), typed[program.EditionID](g.editions)
	in.Architectures, in.Supersedes = typed[program.Arch](g.architectures), typed[program.UpdateID](g.super)
	switch {
	case g.at != "" && !g.day.IsZero():
		return in, cli.WrongUse(s.command, "Give --at or --day, not both.")
	case g.at != "":
		instant, err := time.Parse(time.RFC3339, g.at)
		if err != nil {
			return in, cli.WrongUse(s.command, "--at is an instant such as 2020-02-11T18:00:00Z, not '%s'.", g.at)
		}
		in.At = instant
	case !g.day.IsZero():
		offer, err := get[api.ProgramOffer](ctx, s, at("/programs/%s", id), nil)
		if err != nil {
			return in, err
		}
		zone, err := time.LoadLocation(offer.TimeZone)
		if err != nil {
			return in, fmt.Errorf("time zone of %s: %w", id, err)
		}
		in.At = time.Date(g.day.Year(), g.day.Month(), g.day.Day(), 10, 0, 0, 0, zone)
	}
	return in, nil
}

// payloads puts every file that was named.
func (g *staging) payloads(ctx context.Context, s *session) ([]api.StagePayload, error) {
	all := []api.StagePayload{}
	for _, named := range g.files {
		p, path := api.StagePayload{Installer: g.installer, Check: g.check, Unpacked: g.unpacked}, named
		if arch, file, found := strings.Cut(named, "="); found {
			if _, err := os.Stat(named); err != nil { // a name with = in it stays one
				p.Architectures, path = []program.Arch{program.Arch(arch)}, file
			}
		}
		if err := g.put(ctx, s, &p, path); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (g *staging) put(ctx context.Context, s *session, p *api.StagePayload, path string) error {
	p.Name = filepath.Base(path)
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }() // of whichever file is read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("payload %s: %w", path, err)
	}
	if info.IsDir() {
		packed, summary, err := pack(path)
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(packed.Name()) }() // a temporary file
		f.Close()
		f, p.Name, p.Unpacked = packed, p.Name+".tar.zst", summary.Bytes
		if p.Installer == "" {
			p.Installer = filesInstaller
		}
	}
	if p.Installer == "" {
		p.Installer = installerOf(p.Name)
	}
	if p.Installer == filesInstaller && p.Unpacked == 0 {
		if p.Unpacked, err = measure(ctx, f); err != nil {
			return err
		}
	}
	digest, size, err := digestOf(f)
	if err != nil {
		return err
	}
	p.SHA256 = digest
	var put api.Payload
	return s.call(ctx, http.MethodPut, at("/payloads/%s", digest), "application/octet-stream", io.NopCloser(f), size, &put)
}

// installerOf tells the installer by a file's name.
func installerOf(name string) string {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".deb", ".rpm", ".msi", ".msu":
		return ext[1:]
	}
	return filesInstaller
}

// pack makes a payload of a folder, in a temporary file that stands at its start.
func pack(folder string) (*os.File, install.Summary, error) {
	f, err := os.CreateTemp("", "esu-payload-*.tar.zst")
	if err != nil {
		return nil, install.Summary{}, fmt.Errorf("pack %s: %w", folder, err)
	}
	summary, err := install.Pack(f, os.DirFS(folder))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		_ = os.Remove(f.Name())
		return nil, summary, fmt.Errorf("pack %s: %w", folder, err)
	}
	return f, summary, nil
}

// measure unpacks a payload as devices will, so that one which they would refuse
// is refused here.
func measure(ctx context.Context, f *os.File) (int64, error) {
	dir, err := os.MkdirTemp("", "esu-measure-")
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", f.Name(), err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", f.Name(), err)
	}
	defer root.Close()
	summary, err := install.Unpack(ctx, f, root, install.Limits{Total: update.MaxPayload})
	if err != nil {
		return 0, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return summary.Bytes, err
}

func digestOf(f *os.File) (update.Digest, int64, error) {
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return "", 0, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return update.Digest(hex.EncodeToString(sum.Sum(nil))), size, nil
}

func updateRows(all ...api.Update) term.Rows {
	rows := term.Rows{Columns: []string{"UPDATE", "KIND", "RATING", "RELEASED", "YEARS", "STATE", "INSTANT", "TITLE"}}
	for _, u := range all {
		rows.Add(u.ID, u.Kind, u.Rating, u.Released, years(u.Update), u.State, u.Instant.UTC().Format(time.RFC3339), u.Title)
	}
	return rows
}

// years are an update's coverage years: "1", or by track where they differ.
func years(u *update.Update) string {
	byYear := map[string][]string{}
	for track, year := range u.Years {
		name := fmt.Sprint(year)
		if year == program.Free {
			name = "free"
		}
		byYear[name] = append(byYear[name], string(track))
	}
	var all []string
	for name, tracks := range byYear {
		if len(byYear) == 1 {
			return name
		}
		slices.Sort(tracks)
		all = append(all, name+" ("+strings.Join(tracks, ", ")+")")
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// updateRelease publishes what is due, as a server does by itself, and lists what
// waits.
func (o *office) updateRelease() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "release", Short: "Publish what is signed and due, and list what waits (a server does this by itself)", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			done, err := post[api.Published](ctx, s, "/releases", nil)
			if err != nil {
				return err
			}
			waiting, err := get[api.Drafts](ctx, s, at("/drafts/%s", id), nil)
			if err != nil {
				return err
			}
			for _, u := range done.Released {
				o.env.Say("released %s", u)
			}
			for _, u := range done.Withdrawn {
				o.env.Say("withdrawn %s", u)
			}
			s.tellHeld(done)
			return o.env.Show(map[string]any{"published": done, "waiting": waiting.Drafts}, draftRows(waiting.Drafts...))
		}),
	}
	c.Flags().StringVar(&id, "program", "", "whose queue is listed (default: the only one)")
	return c
}

func (o *office) updateWithdraw() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "withdraw UPDATE", Short: "Take an update back; for a released one publishers sign", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			d, err := post[api.Drafted](ctx, s, at("/programs/%s/updates/%s/withdrawal", id, args[0]), nil)
			if err != nil {
				return err
			}
			return o.showDrafted(d)
		}),
	}
	c.Flags().StringVar(&id, "program", "", "the program (default: the only one)")
	return c
}

func (o *office) showDrafted(d api.Drafted) error {
	var all []api.Draft
	if d.Draft != nil {
		all = append(all, *d.Draft)
	}
	all = append(all, d.Again...)
	if len(all) > 0 {
		o.env.Say("Publishers sign it with: esu update sign --key KEY")
	}
	return o.env.Show(d, draftRows(all...))
}

func (o *office) updateDiscard() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "discard VERSION", Short: "Throw away a draft; what it was to release is staged again", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			d, err := send[api.Drafted](ctx, s, http.MethodDelete, at("/drafts/%s/%s", id, args[0]), nil)
			if err != nil {
				return err
			}
			return o.showDrafted(d)
		}),
	}
	c.Flags().StringVar(&id, "program", "", "the program (default: the only one)")
	return c
}

func (o *office) updateList() *cobra.Command {
	var id, state string
	c := &cobra.Command{
		Use: "list", Short: "A program's updates, by release", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			all, err := get[api.Updates](ctx, s, at("/programs/%s/updates", id), query("state", state))
			if err != nil {
				return err
			}
			return o.env.Show(all, updateRows(all.Updates...))
		}),
	}
	c.Flags().StringVar(&id, "program", "", "the program (default: the only one)")
	c.Flags().StringVar(&state, "state", "", "staged, queued, released or withdrawn")
	return c
}

func (o *office) updateShow() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "show UPDATE", Short: "One update", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			u, err := get[api.Update](ctx, s, at("/programs/%s/updates/%s", id, args[0]), nil)
			if err != nil {
				return err
			}
			return o.env.Show(u, updateRows(u))
		}),
	}
	c.Flags().StringVar(&id, "program", "", "the program (default: the only one)")
	return c
}

func (o *office) updateHistory() *cobra.Command {
	var id string
	in := api.ImportHistory{}
	c := &cobra.Command{
		Use: "import-history FILE", Short: "Import updates that were released before; bad rows are named and harm no others", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			text, err := readFile(args[0], update.MaxHistory+1)
			if err != nil {
				return err
			}
			in.CSV = string(text)
			done, err := post[api.HistoryImported](ctx, s, at("/programs/%s/history", id), in)
			if err != nil {
				return err
			}
			return o.showHistory(done)
		}),
	}
	c.Flags().StringVar(&id, "program", "", "the program (default: the only one)")
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "say what would happen and change nothing")
	return c
}

func (o *office) showHistory(done api.HistoryImported) error {
	rows := term.Rows{Columns: []string{"UPDATE", "KIND", "RATING", "RELEASED", "YEARS"}}
	for _, u := range done.Updates {
		rows.Add(u.ID, u.Kind, u.Rating, u.Released, years(&update.Update{Years: u.Years}))
	}
	if err := o.env.Show(done, rows); err != nil {
		return err
	}
	for _, p := range done.Refused {
		o.env.Say("refused: %s (%s)", p.Detail, p.Code)
	}
	o.env.Say("%d updates taken, %d rows refused.", len(done.Updates), len(done.Refused))
	switch {
	case len(done.Refused) > 0:
		return term.Exit(term.Refused)
	case len(done.Updates) == 0:
		return term.Exit(term.NothingToDo)
	}
	return nil
}

func (o *office) updateNoRelease() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use: "no-release [YYYY-MM]", Short: "Record that a month has nothing in coverage, or list such months", Args: cobra.MaximumNArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			var months api.Months
			if path := at("/programs/%s/no-releases", id); len(args) == 1 {
				months, err = post[api.Months](ctx, s, path, api.Month{Month: args[0]})
			} else {
				months, err = get[api.Months](ctx, s, path, nil)
			}
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"MONTH"}}
			for _, m := range months.Months {
				rows.Add(m)
			}
			return o.env.Show(months, rows)
		}),
	}
	c.Flags().StringVar(&id, "program", "", "the program (default: the only one)")
	return c
}
