// Package releases publishes: it keeps the signed repository that devices trust,
// stages updates, collects the publishers' signatures, and lets each update out
// when its instant has come.
//
// # The way of an update
//
//	staged     its manifest is complete and sealed; its payloads are in the depot
//	queued     enough publishers have signed a version of the program's role that
//	           lists it (approving a release is signing it)
//	released   that version is published
//	withdrawn  a later version, signed as well, no longer lists it
//
// The versions that wait for their instant form a chain: each is complete and
// builds on the one before. What is put in between, or taken out, has all later
// ones drafted and signed anew.
//
// # Invariants
//
//   - Of an update that is not released, nothing is served: no metadata, no
//     manifest, no history, and its payloads answer like ones that never were
//     (rule D3). Until then its manifest and the drafts that list it are sealed.
//   - Coverage years follow from the release day in the program's time zone and
//     are fixed by the publishers' signatures (rule K4). So an update comes out
//     on that day or not at all: a signature that comes later is refused, and a
//     version that is due later, because the server was down or an update in it
//     was not signed in time, is held. What missed its day is staged anew.
//   - Every act loads what stands, decides, and saves in one transaction by
//     compare-and-swap on (epoch, version), so two processes never publish two
//     versions with one number. Signing happens in between, under no lock.
//   - A publication is walked through as clients will before it is saved (trust).
//
// The room trusts the signed public half of a program file only, as devices do.
// It holds the keys of snapshot and timestamp, never those of targets, root or
// publishers. Whether a covered device may have a payload is the gate's to say.
package releases

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// Config is what the room works with. Random and Hour have defaults.
type Config struct {
	DB     *db.DB
	Audit  *audit.Writer
	Vault  *keyring.Vault // seals what is not released
	Depot  *depot.Folder
	Online trust.Online
	Random io.Reader // nil means crypto/rand
	// Hour is when regular releases come, in the program's time zone, as hours
	// and minutes of the clock on that day; 0 means ten in the morning.
	Hour time.Duration
}

// Room is the authority's publishing office, safe for use by many goroutines.
type Room struct {
	cfg  Config
	mu   sync.Mutex // held by who makes a new view
	view atomic.Pointer[view]
}

// New opens the room.
func New(c Config) *Room {
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Hour == 0 {
		c.Hour = 10 * time.Hour
	}
	return &Room{cfg: c}
}

// State is how far an update has come.
type State string

// The closed set of states.
const (
	Staged    State = "staged"
	Queued    State = "queued"
	Released  State = "released"
	Withdrawn State = "withdrawn"
)

// Release is one update on its way, or released.
type Release struct {
	Update     *update.Update
	State      State
	Instant    time.Time // of the release
	StagedAt   time.Time
	ReleasedAt time.Time // zero before
	Imported   bool      // released before there was this system
	Actor      string    // who staged it
}

type key struct {
	program program.ID
	update  program.UpdateID
}

// row is a release with the manifest's own bytes, which are what is signed.
type row struct {
	Release
	manifest []byte
}

func (r *row) key() key { return key{r.Update.Program, r.Update.ID} }

// step is one version of a role that waits for signatures or for its instant.
type step struct {
	instant  time.Time
	add      []program.UpdateID
	withdraw []program.UpdateID
	targets  trust.TargetsChange // for the role targets
	draft    *trust.Draft
	signed   bool // enough, as the repository judged when the last one came
}

// signsAnew reports whether the version changes nothing.
func (s *step) signsAnew() bool { return len(s.add) == 0 && len(s.withdraw) == 0 }

// state is everything that an act decides on. An act changes it and notes what
// it changed; save writes that.
type state struct {
	now       time.Time
	epoch     int64
	version   int64
	published int64
	stamped   time.Time // when the timestamp was signed
	repo      trust.Repository
	rows      map[key]*row
	chains    map[trust.Role][]*step
	quiet     map[month]bool // months without a release

	touched  map[key]bool
	redrawn  map[trust.Role]bool
	quieted  map[month]bool // changed ones
	next     *trust.Repository
	floor    trust.Versions // changed, or nil
	newEpoch int64          // 0: as before
}

type month struct {
	program program.ID
	month   string // YYYY-MM
}

// changed reports whether an act has anything to write.
func (s *state) changed() bool {
	return s.next != nil || s.floor != nil || len(s.touched)+len(s.redrawn)+len(s.quieted) > 0
}

// errMoved says that somebody else's act came in between.
var errMoved = errors.New("the repository has moved on")

// act loads, decides and saves, again from the beginning when another act came
// in between. An act that changes nothing writes nothing.
func (r *Room) act(ctx context.Context, actor access.Actor, decide func(*state) ([]audit.Entry, error)) error {
	const attempts = 8
	for attempt := 1; ; attempt++ {
		s, err := r.load(ctx)
		if err != nil {
			return err
		}
		entries, err := decide(s)
		if err != nil || !s.changed() && len(entries) == 0 {
			return err
		}
		for i := range entries {
			entries[i].Actor = actor
		}
		err = r.cfg.DB.Write(ctx, func(tx *db.Tx) error {
			if err := r.save(tx, s, actor); err != nil {
				return err
			}
			return audit.Append(tx, r.cfg.Audit, entries...)
		})
		switch {
		case !errors.Is(err, errMoved):
			return err
		case attempt == attempts:
			return problem.New(problem.Conflict, Busy).Because(err)
		}
	}
}

func (r *Room) load(ctx context.Context) (*state, error) {
	var s *state
	err := r.cfg.DB.Read(ctx, func(tx *db.Tx) (err error) {
		s, err = r.read(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load releases: %w", err)
	}
	return s, nil
}

// programPath is where signed metadata lists a program's public half.
func programPath(id program.ID) string { return "programs/" + string(id) + ".json" }

// program is a program as devices know it.
func (s *state) program(id program.ID) (*program.Program, error) {
	text, ok := s.repo.Files[programPath(id)]
	if !ok {
		return nil, problem.New(problem.NotFound, ProgramUnknown, "program", id)
	}
	p, err := program.ParsePublic(text)
	if err != nil {
		return nil, fmt.Errorf("signed program %s: %w", id, err)
	}
	return p, nil
}

func zone(p *program.Program) (*time.Location, error) {
	loc, err := time.LoadLocation(p.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time zone of program %s: %w", p.ID, err)
	}
	return loc, nil
}

// dayIn is the calendar day of an instant in the program's time zone.
func dayIn(at time.Time, loc *time.Location) civil.Date { return civil.Of(at.In(loc)) }

// clock is an instant of a day by the clock on the wall: ten o'clock stays ten
// o'clock on the days when clocks change.
func clock(day civil.Date, hour time.Duration, loc *time.Location) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, int(hour/time.Second), 0, loc).UTC()
}

// of lists a program's rows by instant, then id.
func (s *state) of(id program.ID) []*row {
	var all []*row
	for k, r := range s.rows {
		if k.program == id {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *row) int {
		if d := a.Instant.Compare(b.Instant); d != 0 {
			return d
		}
		if a.Update.ID < b.Update.ID {
			return -1
		}
		return 1
	})
	return all
}

// List lists a program's updates by release instant. Those that are not released
// are shown only to who may stage them (rule D3).
func (r *Room) List(ctx context.Context, actor access.Actor, id program.ID) ([]Release, error) {
	if err := access.May(actor, access.UpdateRead); err != nil {
		return nil, err
	}
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.program(id); err != nil {
		return nil, err
	}
	publisher := access.May(actor, access.UpdateStage) == nil
	var all []Release
	for _, row := range s.of(id) {
		if publisher || row.State == Released || row.State == Withdrawn {
			all = append(all, row.Release)
		}
	}
	return all, nil
}

// Show is one update of List.
func (r *Room) Show(ctx context.Context, actor access.Actor, id program.ID, u program.UpdateID) (Release, error) {
	all, err := r.List(ctx, actor, id)
	if err != nil {
		return Release{}, err
	}
	i := slices.IndexFunc(all, func(l Release) bool { return l.Update.ID == u })
	if i < 0 {
		return Release{}, problem.New(problem.NotFound, UpdateUnknown, "program", id, "update", u)
	}
	return all[i], nil
}
