package demo

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/update"
)

// example is one device of the table: what it says of itself and which years it
// was licensed for.
type example struct {
	name  string
	facts device.Facts
	years []program.Year
}

// table decides every update of a shipped history for the devices of a story,
// and shows one line a month.
type table struct {
	Program  program.ID         `yaml:"program"`
	Kind     program.KindID     `yaml:"kind"`    // which updates are shown
	Edition  program.EditionID  `yaml:"edition"` // of most devices
	Arch     program.Arch       `yaml:"arch"`
	Ready    []program.UpdateID `yaml:"ready"`   // what a device must have first
	Lacking  program.UpdateID   `yaml:"lacking"` // what one of them lacks
	Outside  program.EditionID  `yaml:"outside"` // an edition outside the program
	Embedded program.EditionID  `yaml:"embedded"`
}

//go:embed history.yaml
var historyFile []byte

// history is the table of the shipped history.
func history() (table, error) {
	var t table
	err := yaml.UnmarshalWithOptions(historyFile, &t, yaml.Strict())
	return t, err
}

// examples are the devices of the table.
func (t table) examples() []example {
	facts := func(change func(*device.Facts)) device.Facts {
		f := device.Facts{Program: t.Program, Edition: t.Edition, Arch: t.Arch}
		f.Installed = append(f.Installed, t.Ready...)
		if change != nil {
			change(&f)
		}
		f.Normalize()
		return f
	}
	return []example{
		{"years 1+2", facts(nil), []program.Year{1, 2}},
		{"year 1", facts(nil), []program.Year{1}},
		{"year 2 alone", facts(nil), []program.Year{2}},
		{"no coverage", facts(nil), nil},
		{"outside the program", facts(func(f *device.Facts) { f.Edition = t.Outside }), nil},
		{"embedded", facts(func(f *device.Facts) { f.Edition = t.Embedded }), nil},
		{"prerequisite missing", facts(func(f *device.Facts) {
			f.Installed = nil
			for _, id := range t.Ready {
				if id != t.Lacking {
					f.Installed = append(f.Installed, id)
				}
			}
		}), []program.Year{1, 2}},
	}
}

// cell is one device's answer about one update.
type cell struct {
	Device  string           `json:"device"`
	Allowed bool             `json:"allowed"`
	Verdict coverage.Verdict `json:"verdict"`
}

type line struct {
	Update   program.UpdateID `json:"update"`
	Released civil.Date       `json:"released"`
	Year     program.Year     `json:"year"`
	Cells    []cell           `json:"devices"`
}

// rows are the table of the lines: all of them, or without those between two that
// say the same.
func (t table) rows(lines []line, whole bool) term.Rows {
	rows := term.Rows{Columns: []string{"RELEASED", "UPDATE", "YEAR"}}
	for _, e := range t.examples() {
		rows.Columns = append(rows.Columns, e.name)
	}
	same := func(i, j int) bool {
		return i >= 0 && j < len(lines) && slices.EqualFunc(lines[i].Cells, lines[j].Cells, func(a, b cell) bool { return word(a.Verdict) == word(b.Verdict) })
	}
	for i, l := range lines {
		if !whole && same(i-1, i) && same(i, i+1) {
			if !same(i-2, i-1) {
				rows.Cells = append(rows.Cells, append([]string{"…"}, make([]string, len(rows.Columns)-1)...))
			}
			continue
		}
		year := fmt.Sprint(l.Year)
		if l.Year == program.Free {
			year = "free"
		}
		row := []any{l.Released, l.Update, year}
		for _, c := range l.Cells {
			row = append(row, word(c.Verdict))
		}
		rows.Add(row...)
	}
	return rows
}

// word is a verdict in a word or two.
func word(v coverage.Verdict) string {
	cause, refused := v.Cause()
	switch {
	case v.Allowed():
		return "yes"
	case !refused:
		return v.State.String()
	case cause.Code == coverage.Superseded:
		return "superseded"
	case cause.Code == coverage.YearNotCovered:
		return fmt.Sprintf("no: year %d", cause.Year)
	case cause.Code == coverage.EditionIneligible:
		return "no: edition"
	case cause.Prerequisite != "":
		return "no: " + string(cause.Update) + " first"
	}
	return "no: " + string(cause.Code)
}

// decide asks the gate about every update and device. With each device goes a
// license for each of its years, really signed and really verified, because the
// gate takes nothing else.
func (t table) decide() ([]line, error) {
	text, err := programs.File(string(t.Program))
	if err != nil {
		return nil, err
	}
	p, err := program.Parse(string(t.Program), text)
	if err != nil {
		return nil, err
	}
	history, _ := programs.History(string(t.Program))
	updates, _, err := update.ParseHistory(p, history)
	if err != nil {
		return nil, err
	}
	c, err := update.NewCatalog(p, updates)
	if err != nil {
		return nil, err
	}
	a, err := newIssuer(p)
	if err != nil {
		return nil, err
	}
	edition, ok := p.Edition(t.Edition)
	if !ok {
		return nil, fmt.Errorf("demo: no edition %s", t.Edition)
	}
	type looked struct {
		example
		view *update.View
		held license.Set
	}
	var devices []looked
	for _, e := range t.examples() {
		held, err := a.license(edition.Track, e.years)
		if err != nil {
			return nil, err
		}
		devices = append(devices, looked{e, c.See(&e.facts), held})
	}
	var lines []line
	for _, u := range c.All() {
		if u.Kind != t.Kind {
			continue
		}
		l := line{Update: u.ID, Released: u.Released, Year: u.Years[edition.Track]}
		for _, d := range devices {
			v := coverage.Decide(d.view, d.held, u)
			l.Cells = append(l.Cells, cell{d.name, v.Allowed(), v})
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// issuer signs the licenses of the table.
type issuer struct {
	p    *program.Program
	key  ed25519.PrivateKey
	keys license.Keys
	who  license.Installation
}

func newIssuer(p *program.Program) (*issuer, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	deviceKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	keys, err := license.NewKeys("demo", license.VerificationKey{
		ID: "license-1", Use: license.UseLicense, Program: p.ID, Epoch: 1, Public: license.KeyBytes(public),
	})
	if err != nil {
		return nil, err
	}
	who := license.InstallationOf(license.PublicKey(deviceKey), sha256.Sum256([]byte("a demo machine")))
	return &issuer{p, private, keys, who}, nil
}

func (a *issuer) license(track program.TrackID, years []program.Year) (license.Set, error) {
	t, ok := a.p.Track(track)
	if !ok {
		return license.Set{}, fmt.Errorf("demo: no track %s", track)
	}
	var tokens []license.Token
	for _, n := range years {
		y, ok := t.Year(n)
		if !ok {
			return license.Set{}, fmt.Errorf("demo: no year %d", n)
		}
		token, err := license.Sign(license.Claims{
			ID: license.ID(fmt.Sprintf("demo-%d", n)), Authority: a.keys.Authority(), Program: a.p.ID, Track: track, Year: n,
			ActivationID: y.ActivationID, Fingerprint: a.who.Fingerprint, PublicKey: a.who.PublicKey, Customer: "Demo",
			LastFive: "WXY22", Seat: 1, Kind: license.Online, IssuedAt: license.Instant(y.First.In(time.UTC).Unix()),
		}, "license-1", a.key)
		if err != nil {
			return license.Set{}, err
		}
		tokens = append(tokens, token)
	}
	held, rejected := license.Verify(license.Verifier{Program: a.p, Keys: a.keys, Installation: a.who}, tokens)
	if len(rejected) > 0 {
		return license.Set{}, rejected[0].Problem
	}
	return held, nil
}
