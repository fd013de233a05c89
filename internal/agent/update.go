package agent

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// UpdateIn says what to bring.
type UpdateIn struct {
	// Only names the updates to install; none means all that the device may have.
	Only []program.UpdateID
	// DownloadOnly brings the bytes and installs nothing.
	DownloadOnly bool
	// Offline asks no server: what was downloaded is installed.
	Offline  bool
	Progress Progress
}

// Result is what became of one update.
type Result string

// The results.
const (
	Installed  Result = "installed"
	Downloaded Result = "downloaded"
	Checked    Result = "checked"     // the check package, which changes nothing
	Refused    Result = "refused"     // a rule says no
	Elsewhere  Result = "not-offered" // another channel has it (rule D2)
	Failed     Result = "failed"
)

// Attempt is one update and what became of it.
type Attempt struct {
	Update program.UpdateID `json:"update"`
	Title  string           `json:"title"`
	Year   program.Year     `json:"year"`
	State  coverage.State   `json:"state"` // before
	Result Result           `json:"result"`
	// Err is why it is not installed; for a rule, every reason.
	Err error `json:"-"`
}

// Outcome is what became of a run.
type Outcome struct {
	Metadata       Metadata           `json:"metadata"`
	Updates        []Attempt          `json:"updates"`
	RestartPending bool               `json:"restartPending"`
	Stale          *problem.Problem   `json:"-"` // why nothing newer could be learned
	Notices        []*problem.Problem `json:"-"`

	program *program.Program
}

// VendorCode is the vendor's own code for one of ours, as the program has it.
func (o *Outcome) VendorCode(code problem.Code) string { return VendorCode(o.program, code) }

// Count is how many updates came to a result.
func (o *Outcome) Count(r Result) int {
	n := 0
	for i := range o.Updates {
		if o.Updates[i].Result == r {
			n++
		}
	}
	return n
}

// Update installs what the device may have: first what meets a prerequisite, in
// the order in which the program names them, then by release. Each one is
// decided upon when its turn comes, so what one installation unlocks, the same
// run installs, and what asks for a restart holds up the rest. One that is
// refused or fails does not hold back the others (rule D15).
func (d *Device) Update(ctx context.Context, in UpdateIn) (*Outcome, error) {
	out := &Outcome{Updates: []Attempt{}}
	err := d.act(ctx, func(j *journal) error {
		k, err := d.ready(ctx, j, !in.Offline, out)
		if err != nil {
			return err
		}
		for _, id := range in.Only {
			if _, ok := k.catalog.Find(id); !ok {
				return problem.New(problem.NotFound, UpdateUnknown, "name", id)
			}
		}
		r, err := d.runner(k, j, in)
		if err != nil {
			return err
		}
		if err := r.all(ctx, in, out); err != nil {
			return err
		}
		out.RestartPending = k.facts.RestartPending
		return nil
	})
	return out, err
}

// ready reads all that a run needs, and finishes what a crash left.
func (d *Device) ready(ctx context.Context, j *journal, refresh bool, out *Outcome) (*knowledge, error) {
	s, err := d.load()
	if err != nil {
		return nil, err
	}
	if err := d.saveLocal(s); err != nil { // a restart that was seen is seen once
		return nil, err
	}
	k, stale, err := d.know(ctx, s, refresh)
	if err != nil {
		return nil, err
	}
	out.Metadata, out.Stale, out.Notices, out.program = k.freshness(), stale, k.notices, k.program
	if stale != nil {
		j.refused(k.program, "refresh", stale)
	}
	for _, n := range k.notices {
		j.refused(k.program, "notice", n)
		if n.Code == IdentityChanged {
			if err := d.setAside(s, j); err != nil {
				return nil, err
			}
		}
	}
	return k, d.recover(ctx, k, j)
}

// runner installs updates of one act.
type runner struct {
	*downloader
	j *journal
}

func (d *Device) runner(k *knowledge, j *journal, in UpdateIn) (*runner, error) {
	server, err := d.client(k.identity.Server)
	if err != nil {
		return nil, err
	}
	return &runner{&downloader{d: d, k: k, server: server, progress: in.Progress, offline: in.Offline}, j}, nil
}

func (r *runner) all(ctx context.Context, in UpdateIn, out *Outcome) error {
	wanted := func(e *update.Entry) bool {
		return len(in.Only) == 0 && !r.k.isCheck(e.ID) || slices.Contains(in.Only, e.ID)
	}
	tried := map[program.UpdateID]bool{}
	for {
		e := r.next(func(e *update.Entry) bool { return wanted(e) && !tried[e.ID] })
		if e == nil {
			break
		}
		tried[e.ID] = true
		before := r.k.find(e)
		r.j.decision(r.k, e, coverage.Verdict{State: before.State, Reasons: before.Reasons})
		a := Attempt{Update: e.ID, Title: e.Title, Year: before.Year, State: before.State}
		a.Result, a.Err = r.bring(ctx, e, in.DownloadOnly)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		out.Updates = append(out.Updates, a)
		if err := r.j.flush(); err != nil {
			return err
		}
	}
	for _, e := range r.k.catalog.All() {
		if !wanted(e) || tried[e.ID] {
			continue
		}
		f := r.k.find(e)
		if len(in.Only) == 0 && (f.State == coverage.Installed || f.State == coverage.NotApplicable) {
			continue
		}
		if f.State == coverage.Installed {
			continue
		}
		r.j.decision(r.k, e, coverage.Verdict{State: f.State, Reasons: f.Reasons})
		out.Updates = append(out.Updates, refusal(&f))
	}
	return r.prune()
}

// prune removes downloads that no update which may still come needs.
func (r *runner) prune() error {
	entries, err := os.ReadDir(r.d.path(downloadsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, e := range r.k.catalog.All() {
		if v, _ := r.k.decide(e); v.State == coverage.Installed || v.State == coverage.NotApplicable {
			continue
		}
		for _, p := range e.Payloads {
			needed[string(p.SHA256)] = true
		}
	}
	for _, entry := range entries {
		if !needed[strings.TrimSuffix(entry.Name(), partialEnding)] {
			r.discard(entry.Name())
		}
	}
	return nil
}

func refusal(f *Finding) Attempt {
	a := Attempt{Update: f.Update, Title: f.Title, Year: f.Year, State: f.State, Result: Refused}
	if f.Allowed {
		a.Result = Elsewhere
	}
	a.Err = joined(f.Problems)
	return a
}

func joined(problems []*problem.Problem) error {
	all := make([]error, len(problems))
	for i, p := range problems {
		all[i] = p
	}
	return errors.Join(all...)
}

// next is the update to install first of those that are allowed and offered.
func (r *runner) next(wanted func(*update.Entry) bool) *update.Entry {
	var best *update.Entry
	place := 0
	for _, e := range r.k.catalog.All() { // by release
		if !wanted(e) {
			continue
		}
		if v, offered := r.k.decide(e); !offered || !v.Allowed() {
			continue
		}
		if at := r.k.meets(e); best == nil || cmp.Compare(at, place) < 0 {
			best, place = e, at
		}
	}
	return best
}

// bring downloads and installs one update that the gate has let through.
func (r *runner) bring(ctx context.Context, e *update.Entry, downloadOnly bool) (Result, error) {
	fail := func(err error) (Result, error) {
		r.j.failed(r.k.program, string(e.ID), err)
		if p, ok := problem.As(err); ok && (p.Kind == problem.Refused || p.Kind == problem.Forbidden) {
			return Refused, err
		}
		return Failed, err
	}
	if r.k.isCheck(e.ID) {
		if err := joined(r.k.checkPackage().Refused); err != nil {
			return fail(err)
		}
		return Checked, nil
	}
	p, err := r.payload(e)
	if err != nil {
		return fail(err)
	}
	if err := r.d.goesBack(r.k, e); err != nil {
		return fail(err)
	}
	if err := r.fetch(ctx, e.Update, p); err != nil {
		return fail(err)
	}
	if downloadOnly {
		r.j.say("ESU: %s downloaded", e.ID)
		return Downloaded, nil
	}
	if err := r.install(ctx, e, p); err != nil {
		return fail(err)
	}
	return Installed, nil
}

func (r *runner) payload(e *update.Entry) (*update.Payload, error) {
	p, ok := e.PayloadFor(r.k.facts.Arch)
	switch {
	case !ok:
		return nil, problem.New(problem.Refused, NoPayload, "update", e.ID, "arch", r.k.facts.Arch)
	case p.Installer != installerFiles:
		return nil, problem.New(problem.Refused, InstallerUnknown, "update", e.ID, "installer", p.Installer)
	}
	return p, nil
}

// install asks the gate once more (rule D5), installs, and notes what follows.
func (r *runner) install(ctx context.Context, e *update.Entry, p *update.Payload) error {
	if err := r.held(); err != nil {
		return err
	}
	if v, _ := r.k.decide(e); !v.Allowed() {
		f := r.k.find(e)
		return joined(f.Problems)
	}
	if err := r.putVerified(ctx, e, p); err != nil {
		if problem.CodeOf(err) == PayloadTampered {
			r.discard(string(p.SHA256))
		}
		return err
	}
	r.k.installed(e.ID, r.d.system.Boot())
	if err := r.d.saveLocal(r.k.state); err != nil {
		return err
	}
	r.j.say("ESU: %s installed", e.ID)
	if r.k.facts.RestartPending {
		r.j.say("ESU: restart required")
	}
	r.discard(string(p.SHA256))
	return nil
}

// putVerified hashes the payload and unpacks it through one handle, so that the
// bytes which are installed are those which were verified, whatever happens to
// the file's name in between.
func (r *runner) putVerified(ctx context.Context, e *update.Entry, p *update.Payload) error {
	f, err := os.Open(r.d.path(downloadsDir, string(p.SHA256)))
	if err != nil {
		return err
	}
	defer f.Close() // only read
	same, err := matches(ctx, f, p)
	if err == nil && !same {
		err = problem.New(problem.Refused, PayloadTampered, "update", e.ID, "digest", p.SHA256)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	return r.d.put(ctx, r.k, e, p, f)
}

// discard removes a download. One that cannot be removed costs space, and no update.
func (r *runner) discard(name string) {
	if err := os.Remove(r.d.path(downloadsDir, name)); err != nil {
		r.j.failed(r.k.program, "removal of a download", err)
	}
}

// held reads and verifies the licenses anew: an installation may come long after
// the decision to download.
func (r *runner) held() error {
	fresh := *r.k
	fresh.notices = nil
	if err := r.d.hold(&fresh); err != nil {
		return err
	}
	r.k.installation, r.k.licenses, r.k.held, r.k.valid = fresh.installation, fresh.licenses, fresh.held, fresh.valid
	return nil
}

// Restarted says that the device has restarted, where the system cannot tell; it
// returns how many restarts are still due.
func (d *Device) Restarted(ctx context.Context) (int, error) {
	left := 0
	err := d.act(ctx, func(j *journal) error {
		s, err := d.load()
		if err != nil {
			return err
		}
		s.local.Restarts = max(0, s.local.Restarts-1)
		s.local.Boot = d.system.Boot()
		left = s.local.Restarts
		j.say("ESU: restarted, %d more due", left)
		return d.saveLocal(s)
	})
	return left, err
}

// ensureDownloads makes the folder of payloads.
func (d *Device) ensureDownloads() error { return makeFolder(d.path(downloadsDir), 0o700) }
