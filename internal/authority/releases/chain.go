package releases

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Draft is a version of a role that waits, as publishers see it.
type Draft struct {
	Role     trust.Role
	Version  int64
	Instant  time.Time
	Add      []program.UpdateID
	Withdraw []program.UpdateID
	SignedBy []string // public keys
	Missing  int      // signatures that are needed at least
	Document []byte   // what goes to the publishers' machines and comes back to Sign
}

// Drafted is a new draft, and those that must be signed anew because of it.
type Drafted struct {
	Draft Draft
	Again []Draft
}

// Signed is what a signature came to.
type Signed struct {
	Draft     Draft
	Published Published // when it was the last one needed, and its instant has come
}

func manifestPath(k key) string { return string(k.program) + "/" + string(k.update) + ".json" }

// listedBy are the updates that a version of a program's role lists.
func listedBy(d *trust.Draft) map[program.UpdateID]bool {
	listed := map[program.UpdateID]bool{}
	for _, e := range d.Entries() {
		name := strings.TrimPrefix(e.Path, string(d.Role())+"/")
		listed[program.UpdateID(strings.TrimSuffix(name, ".json"))] = true
	}
	return listed
}

func describe(st *step) (Draft, error) {
	d := Draft{
		Role: st.draft.Role(), Version: st.draft.Version(), Instant: st.instant,
		Add: st.add, Withdraw: st.withdraw, Missing: st.draft.Missing(),
	}
	var err error
	if d.Document, err = st.draft.Document(); err != nil {
		return d, err
	}
	var signed struct {
		Signatures map[string]json.RawMessage `json:"signatures"`
	}
	if err := json.Unmarshal(d.Document, &signed); err != nil {
		return d, err
	}
	d.SignedBy = slices.Sorted(maps.Keys(signed.Signatures))
	return d, nil
}

func describeAll(chain []*step) ([]Draft, error) {
	var all []Draft
	for _, st := range chain {
		d, err := describe(st)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func draftObject(d *trust.Draft) string { return fmt.Sprintf("draft/%s/%d", d.Role(), d.Version()) }

// updateObject names an update in audit rows. One that is not released is named
// by its manifest's digest alone: auditors are no publishers (rule D3).
func updateObject(r *row) string {
	name := string(r.Update.ID)
	if r.State == Staged || r.State == Queued {
		name = manifestDigest(r)
	}
	return "update/" + string(r.Update.Program) + "/" + name
}

func manifestDigest(r *row) string {
	sum := sha256.Sum256(r.manifest)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func manifestDetail(r *row) map[string]any { return map[string]any{"manifest": manifestDigest(r)} }

// insert puts a version where its instant is, and has all later ones drafted
// anew on top of it. It returns the change in the chain from there on.
func (s *state) insert(id program.ID, st *step) (*step, []*step, error) {
	role := trust.Role(id)
	repo, err := s.working()
	if err != nil {
		return nil, nil, err
	}
	var queue []trust.Queued
	for _, q := range s.chains[role] {
		file, err := q.draft.File()
		if err != nil {
			return nil, nil, err
		}
		queue = append(queue, trust.Queued{At: q.instant, File: file})
	}
	base, again, err := trust.Place(role, repo.Programs[id], queue, st.instant)
	if err != nil {
		return nil, nil, err
	}
	if st.draft, err = s.draw(repo, id, base, st); err != nil {
		return nil, nil, err
	}
	at := len(queue) - len(again)
	s.chains[role] = slices.Insert(s.chains[role], at, st)
	if err := s.redraft(id, at+1, nil); err != nil {
		return nil, nil, err
	}
	return st, s.chains[role][at+1:], nil
}

func (s *state) draw(repo trust.Repository, id program.ID, base []byte, st *step) (*trust.Draft, error) {
	change := trust.ProgramChange{Withdraw: st.withdraw}
	for _, u := range st.add {
		r := s.rows[key{id, u}]
		change.Add = append(change.Add, trust.Release{Update: u, Manifest: r.manifest, Released: r.Instant})
	}
	return repo.DraftProgram(id, base, change, s.now, trust.Regular)
}

// redraft draws a chain anew from a place on, without drop, and settles which
// updates are queued.
func (s *state) redraft(id program.ID, from int, drop *program.UpdateID) error {
	role := trust.Role(id)
	repo, err := s.working()
	if err != nil {
		return err
	}
	chain := slices.Clone(s.chains[role][:from])
	for _, st := range s.chains[role][from:] {
		if drop != nil && slices.Contains(st.add, *drop) {
			st.add = slices.DeleteFunc(slices.Clone(st.add), func(u program.UpdateID) bool { return u == *drop })
			if st.signsAnew() {
				continue
			}
		}
		var base []byte // nil stands for what is published
		if len(chain) > 0 {
			if base, err = chain[len(chain)-1].draft.File(); err != nil {
				return err
			}
		}
		if st.draft, err = s.draw(repo, id, base, st); err != nil {
			return err
		}
		st.signed = false
		chain = append(chain, st)
	}
	s.chains[role], s.redrawn[role] = chain, true
	s.settle(id)
	return nil
}

// settle says which updates are queued: those that some signed version lists.
func (s *state) settle(id program.ID) {
	queued := map[program.UpdateID]bool{}
	for _, st := range s.chains[trust.Role(id)] {
		if st.signed {
			queued = listedBy(st.draft)
		}
	}
	for _, r := range s.of(id) {
		is := r.State
		switch {
		case is == Staged && queued[r.Update.ID]:
			r.State = Queued
		case is == Queued && !queued[r.Update.ID]:
			r.State = Staged
		}
		if r.State != is {
			s.touched[r.key()] = true
		}
	}
}

// Draft drafts the version of a program's role in which these staged updates,
// all of one instant, are released; none named means every one of the earliest
// instant that is in no draft yet.
func (r *Room) Draft(ctx context.Context, actor access.Actor, id program.ID, updates ...program.UpdateID) (Drafted, error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return Drafted{}, err
	}
	var out Drafted
	err := r.act(ctx, actor, func(s *state) (entries []audit.Entry, err error) {
		st, err := s.toDraft(id, updates)
		if err != nil {
			return nil, err
		}
		out, entries, err = s.draft(id, st)
		return entries, err
	})
	return out, err
}

// draft inserts a step and describes what that did.
func (s *state) draft(id program.ID, st *step) (Drafted, []audit.Entry, error) {
	st, later, err := s.insert(id, st)
	if err != nil {
		return Drafted{}, nil, err
	}
	var out Drafted
	if out.Draft, err = describe(st); err != nil {
		return out, nil, err
	}
	if out.Again, err = describeAll(later); err != nil {
		return out, nil, err
	}
	again := []string{}
	for _, l := range later {
		again = append(again, draftObject(l.draft))
	}
	return out, []audit.Entry{{Act: "update.draft", Object: draftObject(st.draft), Detail: map[string]any{
		"instant": st.instant.Unix(), "adds": len(st.add), "withdraw": slices.Clone(st.withdraw), "again": again,
	}}}, nil
}

func (s *state) toDraft(id program.ID, updates []program.UpdateID) (*step, error) {
	p, err := s.program(id)
	if err != nil {
		return nil, err
	}
	drafted := map[program.UpdateID]bool{}
	for _, st := range s.chains[trust.Role(id)] {
		for _, u := range st.add {
			drafted[u] = true
		}
	}
	st := new(step)
	if len(updates) == 0 {
		for _, r := range s.of(id) { // by instant
			if r.State != Staged || drafted[r.Update.ID] || len(st.add) > 0 && !r.Instant.Equal(st.instant) {
				continue
			}
			st.add, st.instant = append(st.add, r.Update.ID), r.Instant
		}
		if len(st.add) == 0 {
			return nil, problem.New(problem.NotFound, NothingStaged, "program", id)
		}
	}
	for i, u := range updates {
		r := s.rows[key{id, u}]
		switch {
		case r == nil:
			return nil, problem.New(problem.NotFound, UpdateUnknown, "program", id, "update", u)
		case r.State != Staged || drafted[u] || slices.Contains(st.add, u):
			return nil, problem.New(problem.Conflict, DraftedAlready, "program", id, "update", u)
		case i > 0 && !r.Instant.Equal(st.instant):
			return nil, problem.New(problem.Refused, InstantsDiffer, "update", u, "other", updates[0])
		}
		st.add, st.instant = append(st.add, u), r.Instant
	}
	return st, s.inTime(p, st.add)
}

// waiting are the updates, sorted, that a version would release.
func (s *state) waiting(d *trust.Draft) []program.UpdateID {
	id := program.ID(d.Role())
	var all []program.UpdateID
	for u := range listedBy(d) {
		if r := s.rows[key{id, u}]; r != nil && r.State != Released {
			all = append(all, u)
		}
	}
	slices.Sort(all)
	return all
}

// inTime refuses updates whose release day has passed: they would be released on
// another day than the one that their coverage year follows from (rule K4).
func (s *state) inTime(p *program.Program, updates []program.UpdateID) error {
	loc, err := zone(p)
	if err != nil {
		return err
	}
	today := dayIn(s.now, loc)
	for _, u := range updates {
		r := s.rows[key{p.ID, u}]
		if !r.Imported && r.Update.Released.Before(today) {
			return problem.New(problem.Refused, DayPast, "program", p.ID, "update", u, "released", r.Update.Released)
		}
	}
	return nil
}

// Drafts are the versions of a role that wait, in their order. The role is a
// program, or targets.
func (r *Room) Drafts(ctx context.Context, actor access.Actor, role trust.Role) ([]Draft, error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return nil, err
	}
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	return describeAll(s.chains[role])
}

// Withdraw takes an update back. For a released one it drafts the version of the
// program's role that no longer lists it, which takes effect when publishers have
// signed it. One that is not released is gone at once: it leaves the drafts that
// list it, and those that must be signed anew for it are returned.
func (r *Room) Withdraw(ctx context.Context, actor access.Actor, id program.ID, u program.UpdateID) (Drafted, error) {
	if err := access.May(actor, access.UpdateWithdraw); err != nil {
		return Drafted{}, err
	}
	var out Drafted
	err := r.act(ctx, actor, func(s *state) (entries []audit.Entry, err error) {
		out = Drafted{}
		row := s.rows[key{id, u}]
		switch {
		case row == nil:
			return nil, problem.New(problem.NotFound, UpdateUnknown, "program", id, "update", u)
		case row.State == Withdrawn:
			return nil, problem.New(problem.Conflict, WithdrawnAlready, "program", id, "update", u)
		case row.State == Released:
			out, entries, err = s.draft(id, &step{instant: s.now, withdraw: []program.UpdateID{u}})
			return entries, err
		}
		out.Again, err = s.drop(row)
		return []audit.Entry{{Act: "update.drop", Object: updateObject(row)}}, err
	})
	return out, err
}

// drop forgets an update that is not released, and returns what is drafted anew.
func (s *state) drop(r *row) ([]Draft, error) {
	k, u := r.key(), r.Update.ID
	role := trust.Role(k.program)
	from := slices.IndexFunc(s.chains[role], func(st *step) bool { return slices.Contains(st.add, u) })
	delete(s.rows, k)
	s.touched[k] = true
	if from < 0 {
		return nil, nil
	}
	if err := s.redraft(k.program, from, &u); err != nil {
		return nil, err
	}
	return describeAll(s.chains[role][from:])
}

// SignAnew drafts a version that changes nothing, so that the publishers'
// signatures do not expire in a year without releases.
func (r *Room) SignAnew(ctx context.Context, actor access.Actor, id program.ID) (Drafted, error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return Drafted{}, err
	}
	var out Drafted
	err := r.act(ctx, actor, func(s *state) (entries []audit.Entry, err error) {
		if _, err := s.program(id); err != nil {
			return nil, err
		}
		out, entries, err = s.draft(id, &step{instant: s.now})
		return entries, err
	})
	return out, err
}

// Discard throws a waiting version away. What it was to release is staged again
// and in no draft; those that must be signed anew for it are returned.
func (r *Room) Discard(ctx context.Context, actor access.Actor, role trust.Role, version int64) (again []Draft, err error) {
	if err := access.May(actor, access.UpdateStage); err != nil {
		return nil, err
	}
	err = r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		again = nil
		chain := s.chains[role]
		i := slices.IndexFunc(chain, func(st *step) bool { return st.draft.Version() == version })
		if i < 0 {
			return nil, problem.New(problem.NotFound, DraftUnknown, "role", string(role), "version", version)
		}
		entries := []audit.Entry{{Act: "draft.discard", Object: draftObject(chain[i].draft)}}
		if role == trust.Targets {
			return entries, s.setTargets()
		}
		s.chains[role] = slices.Delete(chain, i, i+1)
		if err := s.redraft(program.ID(role), i, nil); err != nil {
			return nil, err
		}
		again, err = describeAll(s.chains[role][i:])
		return entries, err
	})
	return again, err
}
