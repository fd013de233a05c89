// Package reports keeps what installations say of themselves.
//
// A check-in names the device's facts and licenses by digest. When they are
// those that are known, it costs one signature and no database: the state of
// installations is held in memory, up to a limit, and that one was seen is
// written in batches, at most once an hour for each. When they are not known,
// the device is asked for the bodies (BodyWanted) and sends them along; then
// facts, licenses and counter are stored in one transaction, which the reports
// that arrive meanwhile share (group commit), and then it is answered.
//
// Reports explain and are kept for audit; they are claims and decide nothing.
// So the licenses among them are kept as they came, as a list under its digest,
// bounded by wire.ParseReport and not verified: whoever judges a fleet does that
// with the keys and endings of the day on which it asks.
//
// Reports are taken of installations that were activated here, with the key that
// they activated with, and of no others: else anybody could fill the database
// with fingerprints of his own making. So a device that nobody bought coverage
// for does not report to an authority (to a site it does, where it has enrolled
// with a token). What is refused writes nothing. A row keeps its key: another one
// is refused. The counter of a device grows with each report. One that does not is
// a second branch of the same state, a clone: that is kept with its time and
// blocks nothing, and the very same report that comes twice is none (as long as
// memory knows the first). What is in memory and not yet written (counter, last
// seen) is lost when the process is killed: a clone may then be noticed later,
// but a device whose reports arrive in order is never taken for one.
//
// Several processes on one database may each remember an installation. They
// meet in its row: counters and times there only grow, and the hourly write
// notices, by the row's version, that another process has stored something.
package reports

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// Why a report is not taken.
const (
	// BodyWanted asks for the facts and licenses themselves.
	BodyWanted problem.Code = "reports.body-wanted"
	// UnknownInstallation is one that was never activated here.
	UnknownInstallation problem.Code = "reports.unknown-installation"
	// OtherKey is a known installation that reports with another key.
	OtherKey problem.Code = "reports.other-key"
	// Closing is a report that came while the server was stopping.
	Closing problem.Code = "reports.closing"
)

// Config is what the room needs; every field but the last five.
type Config struct {
	DB        *db.DB
	Authority license.AuthorityID
	// Nonces reports whether this server gave a nonce, not too long ago.
	Nonces func(nonce string, now time.Time) bool
	Now    func() time.Time
	// Known tells whether an installation was ever activated here, and with which
	// key. What it says of a known one never changes.
	Known func(*db.Tx, license.Fingerprint) (license.PublicKey, bool, error)

	Remember int           // installations held in memory, about 300 bytes each; 262144 when zero
	MaxBatch int           // installations in one transaction; 256 when zero
	Every    time.Duration // how often it is looked for what is due to be written; a minute when zero
	Patience time.Duration // with the database; a minute when zero
	Log      *slog.Logger
}

// seenEvery is how often, in seconds, it is written that an installation was seen.
const seenEvery = 3600

// Room keeps reports. Close it before its database.
type Room struct {
	Config
	log   *slog.Logger
	queue chan *job
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed when the committer has ended
	close sync.Once

	memory memory
}

// Digest is a SHA-256.
type Digest [32]byte

// Installation is what is known of one from its reports.
type Installation struct {
	Fingerprint license.Fingerprint
	PublicKey   license.PublicKey
	Program     program.ID
	Facts       Digest // of the body in the facts table
	Licenses    Digest // of the list that it showed
	Counter     int64
	// Cloned is when two branches of its counter were seen last; 0 is never.
	Cloned              license.Instant
	FirstSeen, LastSeen license.Instant

	version int64
}

// report is one report on its way.
type report struct {
	*wire.DeviceReport
	facts, licenses Digest
	at              license.Instant // when it came
	mark            mark
}

// mark tells reports apart: the end of the signature.
type mark [16]byte

// Open starts the room.
func Open(c Config) *Room {
	if c.Remember == 0 {
		c.Remember = 1 << 18
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 256
	}
	if c.Every == 0 {
		c.Every = time.Minute
	}
	if c.Patience == 0 {
		c.Patience = time.Minute
	}
	r := &Room{Config: c, log: c.Log, queue: make(chan *job, 4*c.MaxBatch), stop: make(chan struct{}), done: make(chan struct{})}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.memory.limit = c.Remember
	r.memory.known = map[license.Fingerprint]*remembered{}
	go r.commitAll()
	return r
}

// Close stores what is in the queue, writes who was seen, and ends. Reports that
// come later are refused.
func (r *Room) Close() {
	r.close.Do(func() {
		r.memory.shut()
		close(r.stop)
	})
	<-r.done
}

// Report keeps what a device says of itself. When it returns nil, what the
// report brought that is new is on the disk. BodyWanted, of kind NotFound, asks
// for the same report with facts and licenses.
func (r *Room) Report(ctx context.Context, text string) error {
	now := r.Now()
	in, err := r.read(text, now)
	if err != nil {
		return err
	}
	answer := r.memory.glance(in)
	if answer == unknown || in.Facts == nil && answer == changed { // or another process has had them
		if err := r.recall(ctx, in); err != nil {
			return err
		}
		answer = r.memory.glance(in)
	}
	switch {
	case answer == settled:
		return nil
	case answer == shut:
		return problem.New(problem.Unavailable, Closing)
	case answer == otherKey:
		return refuseKey(in)
	case in.Facts == nil && answer != branched:
		return problem.New(problem.NotFound, BodyWanted)
	}
	return r.store(ctx, in)
}

func refuseKey(in *report) *problem.Problem {
	return problem.New(problem.Refused, OtherKey, "fingerprint", in.Fingerprint)
}

func (r *Room) read(text string, now time.Time) (*report, error) {
	said, err := wire.ParseReport(text, r.Authority)
	if err != nil {
		return nil, err
	}
	if !r.Nonces(said.Nonce, now) {
		return nil, problem.New(problem.Unauthenticated, frontdoor.NonceWrong)
	}
	in := &report{DeviceReport: said, at: license.At(now), mark: mark([]byte(text[len(text)-len(mark{}):]))}
	if in.facts, err = digest(said.FactsDigest); err != nil {
		return nil, err
	}
	in.licenses, err = digest(said.LicensesDigest)
	return in, err
}

func digest(text update.Digest) (d Digest, err error) {
	if n, err := hex.Decode(d[:], []byte(text)); err != nil || n != len(d) {
		return d, fmt.Errorf("digest %q: %w", text, err)
	}
	return d, nil
}

// recall brings an installation from the database into memory. One that has no
// row yet is admitted, or refused.
func (r *Room) recall(ctx context.Context, in *report) error {
	f := in.Fingerprint
	var have Installation
	var found, known bool
	var key license.PublicKey
	err := r.DB.Read(ctx, func(tx *db.Tx) (err error) {
		if have, found, err = Find(tx, f); err == nil && !found {
			key, known, err = r.Known(tx, f)
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("recall installation %s: %w", f, err)
	case found:
		r.memory.put(have, mark{})
		return nil
	}
	r.memory.forget(f)
	switch {
	case !known:
		return problem.New(problem.Refused, UnknownInstallation, "fingerprint", f)
	case key != in.PublicKey:
		return refuseKey(in)
	}
	return nil
}

// after is the installation once a report has come.
func (i Installation) after(in *report) Installation {
	if in.Counter <= i.Counter {
		i.Cloned = max(i.Cloned, in.at)
	}
	i.Counter = max(i.Counter, in.Counter)
	i.LastSeen = max(i.LastSeen, in.at)
	if in.Facts != nil {
		i.Program, i.Facts, i.Licenses = in.Program, in.facts, in.licenses
	}
	return i
}

// introduced is an installation that reports for the first time.
func introduced(in *report) Installation {
	return Installation{
		Fingerprint: in.Fingerprint, PublicKey: in.PublicKey, Program: in.Program, Facts: in.facts, Licenses: in.licenses,
		Counter: in.Counter, FirstSeen: in.at, LastSeen: in.at,
	}
}
