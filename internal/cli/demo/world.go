package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing/fstest"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/agent/install"
	"github.com/openesu/openesu/internal/authority"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/purchase"
)

// plan is the world's facts, which are data like any vendor's.
type plan struct {
	Program  program.ID         `yaml:"program"`
	Vendor   string             `yaml:"vendor"`
	Customer string             `yaml:"customer"`
	Channel  program.ChannelID  `yaml:"channel"`
	Currency money.Currency     `yaml:"currency"`
	Quantity int                `yaml:"quantity"`
	Edition  string             `yaml:"edition"`
	Arch     program.Arch       `yaml:"arch"`
	Ready    []program.UpdateID `yaml:"ready"`
	Lacking  program.UpdateID   `yaml:"lacking"`
	Begin    time.Time          `yaml:"begin"`
	Today    time.Time          `yaml:"today"`
	Releases []release          `yaml:"releases"`
	Devices  []machine          `yaml:"devices"`
}

type release struct {
	ID         program.UpdateID   `yaml:"id"`
	Title      string             `yaml:"title"`
	Kind       program.KindID     `yaml:"kind"`
	At         time.Time          `yaml:"at"`
	Supersedes []program.UpdateID `yaml:"supersedes"`
}

type machine struct {
	Name  string         `yaml:"name"`
	Years []program.Year `yaml:"years"`
	Lacks bool           `yaml:"lacks"`
}

//go:embed world.yaml
var worldFile []byte

func readPlan() (plan, error) {
	var p plan
	err := yaml.UnmarshalWithOptions(worldFile, &p, yaml.Strict())
	return p, err
}

// clock is the world's time, which the story moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// world is a running authority on loopback and the devices around it.
type world struct {
	plan
	env        *cli.Env
	dir        string
	clock      *clock
	authority  *authority.Authority
	address    string
	publishers []signing.Signer
	keys       map[program.Year]productkey.Key
}

func me() access.Actor { return access.LocalUser("demo") }

// play tells the whole story in a folder.
func play(ctx context.Context, env *cli.Env, dir string) (*world, error) {
	p, err := readPlan()
	if err != nil {
		return nil, err
	}
	w := &world{
		plan: p, env: env, dir: dir, clock: &clock{at: p.Begin}, keys: map[program.Year]productkey.Key{},
	}
	env.Say("Today is %s, in coverage year 2 of the program. Everything runs on 127.0.0.1, in %s.\n", p.Today.Format(time.DateOnly), dir)
	stop, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{w.offer, w.sell, w.publish, w.patch} {
		if err = step(ctx); err != nil {
			break
		}
	}
	return w, errors.Join(err, stop())
}

// open makes an authority and serves it on loopback.
func (w *world) open(ctx context.Context) (stop func() error, err error) {
	c := authority.Config{Dir: filepath.Join(w.dir, "authority"), Now: w.clock.now, Log: slog.New(slog.DiscardHandler)}
	made, err := authority.Init(ctx, c, w.Vendor)
	if err != nil {
		return nil, err
	}
	if w.authority, err = authority.Open(ctx, c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- w.authority.Serve(ctx, "127.0.0.1:0", func(address string) { ready <- address }) }()
	select {
	case w.address = <-ready:
	case err := <-ended:
		cancel()
		return nil, errors.Join(err, w.authority.Close())
	}
	w.env.Say("authority   %s made its keys; devices will be told to trust %.19s…", w.Vendor, made.Anchor)
	return func() error {
		cancel()
		return errors.Join(<-ended, w.authority.Close())
	}, nil
}

// offer imports the programs that are shipped, and names two publishers for the
// world's own. The offline key signs.
func (w *world) offer(ctx context.Context) error {
	folder := filepath.Join(w.dir, "publishers")
	if err := durable.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	var public []string
	for i := range 2 {
		s, err := signing.Generate(filepath.Join(folder, fmt.Sprintf("publisher-%d.key", i+1)), rand.Reader, nil)
		if err != nil {
			return err
		}
		w.publishers = append(w.publishers, s)
		public = append(public, signing.PublicText(s.Public()))
	}
	for _, name := range programs.Names() {
		file, err := programs.File(name)
		if err != nil {
			return err
		}
		in := api.ImportIn{Name: name + ".yaml", File: file}
		if program.ID(name) == w.Program {
			in.Publishers = public
		}
		imported, err := w.authority.Import(ctx, me(), in)
		if err != nil {
			return err
		}
		if imported.Draft != nil {
			if err := w.sign(ctx, []byte(imported.Draft.Document), filepath.Join(w.dir, "authority", "offline", releases.TargetsKeyFile)); err != nil {
				return err
			}
		}
	}
	w.env.Say("programs    %d imported; two publishers must sign each release of %s", len(programs.Names()), w.Program)
	return nil
}

// sign signs a draft with a key file, as its holder does on another machine.
func (w *world) sign(ctx context.Context, document []byte, keyFile string) error {
	draft, err := trust.ParseDraft(document)
	if err != nil {
		return err
	}
	key, err := signing.Open(ctx, "file:"+keyFile, nil)
	if err != nil {
		return err
	}
	if err := draft.Sign(ctx, key); err != nil {
		return err
	}
	signed, err := draft.Document()
	if err != nil {
		return err
	}
	_, err = w.authority.Releases.Sign(ctx, me(), signed)
	return err
}

// sell has the customer buy years 1 and 2, in one order.
func (w *world) sell(ctx context.Context) error {
	if _, err := w.authority.Sales.AddCustomer(ctx, me(), sales.Customer{Name: w.Customer}); err != nil {
		return err
	}
	order, keys, err := w.authority.Sales.Place(ctx, me(), sales.OrderIn{
		Program: w.Program, Customer: w.Customer, Channel: w.Channel, Currency: w.Currency,
		Lines: []purchase.Line{{Year: 1, Quantity: w.Quantity}, {Year: 2, Quantity: w.Quantity}},
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if w.keys[k.Year], err = w.authority.Keys.Reveal(ctx, me(), k.ID); err != nil {
			return err
		}
	}
	w.env.Say("sales       %s bought %d seats of years 1 and 2 for %s; a key for each year was issued", w.Customer, w.Quantity, order.Total)
	return nil
}

// publish stages each release the day before, has two publishers sign it, and
// lets it out at its instant and not before.
func (w *world) publish(ctx context.Context) error {
	for _, r := range w.Releases {
		w.clock.set(r.At.Add(-24 * time.Hour))
		payload, unpacked, err := product(r)
		if err != nil {
			return err
		}
		digest, _, err := w.authority.Releases.Receive(ctx, me(), bytes.NewReader(payload))
		if err != nil {
			return err
		}
		_, err = w.authority.Releases.Stage(ctx, me(), releases.StageIn{
			Program: w.Program, Update: r.ID, Title: r.Title, Kind: r.Kind, At: r.At, Supersedes: r.Supersedes,
			Payloads: []releases.PayloadIn{{Name: string(r.ID) + ".tar.zst", Installer: "files", SHA256: digest, Unpacked: unpacked, Check: checkFile}},
		})
		if err != nil {
			return err
		}
		drafted, err := w.authority.Releases.Draft(ctx, me(), w.Program, r.ID)
		if err != nil {
			return err
		}
		for i := range w.publishers {
			key := filepath.Join(w.dir, "publishers", fmt.Sprintf("publisher-%d.key", i+1))
			if err := w.sign(ctx, drafted.Draft.Document, key); err != nil {
				return err
			}
		}
		if err := w.authority.Tick(ctx, me()); err != nil {
			return err
		}
		early, err := w.authority.Releases.History(ctx, w.Program)
		if err != nil {
			return err
		}
		w.clock.set(r.At)
		if err := w.authority.Tick(ctx, me()); err != nil {
			return err
		}
		now, err := w.authority.Releases.History(ctx, w.Program)
		if err != nil {
			return err
		}
		if len(now.Updates) != len(early.Updates)+1 {
			return fmt.Errorf("demo: %s was to be seen at its instant, and not before", r.ID)
		}
		w.env.Say("releases    %s (%s) staged, signed twice, let out on %s", r.ID, r.Title, r.At.Format(time.DateOnly))
	}
	w.clock.set(w.Today)
	return w.authority.Releases.Renew(ctx, me())
}

const checkFile = "bin/check"

// product is the payload of a release: a small product folder with a check.
func product(r release) (payload []byte, unpacked int64, err error) {
	folder := fstest.MapFS{
		"VERSION":  {Data: []byte(r.Title + "\n"), Mode: 0o644},
		"bin":      {Mode: os.ModeDir | 0o755},
		checkFile:  {Data: []byte("#!/bin/sh\ntest -s VERSION\n"), Mode: 0o755},
		"etc":      {Mode: os.ModeDir | 0o755},
		"etc/conf": {Data: []byte("release = " + string(r.ID) + "\n"), Mode: 0o644},
	}
	var b bytes.Buffer
	summary, err := install.Pack(&b, folder)
	return b.Bytes(), summary.Bytes, err
}

// patch lets every device do all that it can.
func (w *world) patch(ctx context.Context) error {
	for _, m := range w.Devices {
		if err := w.patchOne(ctx, m); err != nil {
			return fmt.Errorf("device %s: %w", m.Name, err)
		}
	}
	return nil
}

// root is a device's root folder.
func (w *world) root(m machine) string { return filepath.Join(w.dir, "devices", m.Name) }

func (w *world) patchOne(ctx context.Context, m machine) error {
	root := w.root(m)
	if err := durable.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		return err
	}
	id := fmt.Sprintf("%032x\n", []byte(fmt.Sprintf("%16.16s", m.Name)))
	if err := os.WriteFile(filepath.Join(root, "etc", "machine-id"), []byte(id), 0o644); err != nil {
		return err
	}
	d := agent.Open(agent.Config{Root: root, Now: w.clock.now})
	in := agent.EnrollIn{
		Server: "http://" + w.address, Anchor: w.authority.Anchor(), Program: w.Program, Edition: w.Edition, Arch: w.Arch,
	}
	for _, u := range w.Ready {
		if !m.Lacks || u != w.Lacking {
			in.Installed = append(in.Installed, u)
		}
	}
	if _, err := d.Enroll(ctx, in); err != nil {
		return err
	}
	for _, y := range m.Years {
		if _, err := d.InstallKey(ctx, w.keys[y].Reveal()); err != nil {
			return err
		}
	}
	if len(m.Years) > 0 {
		activated, err := d.Activate(ctx, agent.ActivateIn{})
		if err != nil {
			return err
		}
		for _, r := range activated.Results {
			if r.Refused != nil {
				return r.Refused
			}
		}
	}
	_, err := d.Update(ctx, agent.UpdateIn{})
	return err
}

// rows are who got what, and why.
func (w *world) rows(ctx context.Context) (term.Rows, []result, error) {
	rows := term.Rows{Columns: []string{"DEVICE"}}
	for _, r := range w.Releases {
		rows.Columns = append(rows.Columns, string(r.ID))
	}
	rows.Columns = append(rows.Columns, "WHY")
	var all []result
	for _, m := range w.Devices {
		d := agent.Open(agent.Config{Root: w.root(m), Now: w.clock.now})
		scan, err := d.Scan(ctx, agent.ScanIn{All: true, Offline: true})
		if err != nil {
			return rows, nil, err
		}
		one := result{Device: m.Name}
		row := []any{m.Name}
		why := ""
		for _, r := range w.Releases {
			answer, reason := found(w.env, scan, r.ID)
			one.Updates = append(one.Updates, got{r.ID, answer, reason})
			row = append(row, answer)
			if reason != "" {
				why = reason
			}
		}
		rows.Add(append(row, why)...)
		all = append(all, one)
	}
	return rows, all, nil
}

// found is what a scan says of an update: a word, and the reason in a sentence
// where something stands in the way that a person could mend.
func found(env *cli.Env, scan *agent.Scan, id program.UpdateID) (state, why string) {
	for _, f := range scan.Updates {
		if f.Update != id {
			continue
		}
		verdict := coverage.Verdict{State: f.State, Reasons: f.Reasons}
		if cause, refused := verdict.Cause(); refused && cause.Code != coverage.Superseded {
			for i, r := range f.Reasons {
				if r == cause && i < len(f.Problems) {
					why, _ = env.Lang.Problem(f.Problems[i])
				}
			}
		}
		if f.Allowed {
			return "may have", ""
		}
		return word(verdict), why
	}
	return "not listed", ""
}

type result struct {
	Device  string `json:"device"`
	Updates []got  `json:"updates"`
}

type got struct {
	Update program.UpdateID `json:"update"`
	State  string           `json:"state"`
	Why    string           `json:"why,omitempty"`
}
