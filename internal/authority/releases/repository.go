package releases

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// GenesisIn begins a repository.
type GenesisIn struct {
	// Offline is the folder that takes the keys of root and targets, to be moved
	// away afterwards. Keys that are there already are used.
	Offline    string
	Passphrase []byte // seals the key files; none leaves them open
	Keys       []byte // the first trust/keys.json
}

// Names of the key files in the offline folder.
const (
	RootKeyFile    = "root.key"
	TargetsKeyFile = "targets.key"
)

// Genesis makes the offline keys, signs the first root and targets with them,
// and publishes. It returns the anchor that devices are given to trust.
func (r *Room) Genesis(ctx context.Context, actor access.Actor, in GenesisIn) (anchor string, err error) {
	if err := access.May(actor, access.ProgramWrite); err != nil {
		return "", err
	}
	if _, err := r.load(ctx); problem.CodeOf(err) != NotBegun {
		if err == nil {
			err = problem.New(problem.Conflict, Begun)
		}
		return "", err
	}
	if err := durable.MkdirAll(in.Offline, 0o700); err != nil {
		return "", fmt.Errorf("offline keys: %w", err)
	}
	root, err := r.offlineKey(ctx, filepath.Join(in.Offline, RootKeyFile), in.Passphrase)
	if err != nil {
		return "", err
	}
	targets, err := r.offlineKey(ctx, filepath.Join(in.Offline, TargetsKeyFile), in.Passphrase)
	if err != nil {
		return "", err
	}
	err = r.cfg.DB.Write(ctx, func(tx *db.Tx) error {
		one := func(s signing.Signer) trust.Signers {
			return trust.Signers{Keys: []ed25519.PublicKey{s.Public()}, Threshold: 1}
		}
		var repo trust.Repository
		draft, err := repo.DraftRoot(trust.RootKeys{
			Root: one(root), Targets: one(targets),
			Snapshot: r.cfg.Online.Snapshot.Public(), Timestamp: r.cfg.Online.Timestamp.Public(),
		}, tx.Now, trust.Regular)
		if repo, err = acceptSigned(ctx, repo, draft, err, root); err != nil {
			return err
		}
		draft, err = repo.DraftTargets(trust.TargetsChange{Keys: in.Keys}, tx.Now, trust.Regular)
		if repo, err = acceptSigned(ctx, repo, draft, err, targets); err != nil {
			return err
		}
		if repo, err = repo.Publish(ctx, r.cfg.Online, tx.Now, trust.Regular); err != nil {
			return err
		}
		if err := begin(tx); err != nil {
			return err
		}
		anchor = repo.Anchor()
		if err := r.save(tx, &state{epoch: 1, now: tx.Now, next: &repo}, actor); err != nil {
			return err
		}
		return audit.Append(tx, r.cfg.Audit, audit.Entry{Actor: actor, Act: "repository.begin", Object: "repository", Detail: map[string]any{
			"anchor": anchor, "root": signing.PublicText(root.Public()), "targets": signing.PublicText(targets.Public()),
		}})
	})
	return anchor, err
}

func (r *Room) offlineKey(ctx context.Context, path string, passphrase []byte) (signing.Signer, error) {
	s, err := signing.Generate(path, r.cfg.Random, passphrase)
	if problem.CodeOf(err) == signing.FileExists { // of an attempt that did not end
		return signing.Open(ctx, "file:"+path, func(string) ([]byte, error) { return passphrase, nil })
	}
	return s, err
}

func acceptSigned(ctx context.Context, repo trust.Repository, d *trust.Draft, err error, s signing.Signer) (trust.Repository, error) {
	if err != nil {
		return repo, err
	}
	if err := d.Sign(ctx, s); err != nil {
		return repo, err
	}
	file, err := d.File()
	if err != nil {
		return repo, err
	}
	return repo.Accept(d.Role(), file, d.Files())
}

// Anchor is what devices are given to trust.
func (r *Room) Anchor(ctx context.Context) (string, error) {
	s, err := r.load(ctx)
	if err != nil {
		return "", err
	}
	return s.repo.Anchor(), nil
}

// TargetsIn changes what is signed by the offline targets key.
type TargetsIn struct {
	Keys, Ended []byte                       // new trust/keys.json and trust/ended.json; nil: as before
	Programs    []*program.Program           // to add or replace; their public half
	Publishers  map[program.ID]trust.Signers // delegations to add or replace; threshold 0 means two
	Revoke      []ed25519.PublicKey          // taken from every program
	Signers     []signing.Signer             // keys that are on this machine; none: the draft goes to them
}

// ChangeTargets drafts the next version of targets and signs it with the keys at
// hand. When that is enough, it is published; else the draft goes to the machine
// that holds the key, and comes back through Sign. A change that waits already
// and this one become one.
//
// Where publishers change, every draft of their program is drafted anew for the
// new ones, and so is the program's published role if the new ones have not
// signed it; the change is published with that.
func (r *Room) ChangeTargets(ctx context.Context, actor access.Actor, in TargetsIn) (Signed, error) {
	if err := access.May(actor, access.ProgramWrite); err != nil {
		return Signed{}, err
	}
	change := trust.TargetsChange{Keys: in.Keys, Ended: in.Ended, Publishers: in.Publishers, Revoke: in.Revoke, Files: map[program.ID][]byte{}}
	for _, p := range in.Programs {
		text, err := p.PublicJSON()
		if err != nil {
			return Signed{}, fmt.Errorf("public half of program %s: %w", p.ID, err)
		}
		change.Files[p.ID] = text
	}
	var out Signed
	err := r.act(ctx, actor, func(s *state) ([]audit.Entry, error) {
		for _, p := range in.Programs {
			if err := s.fits(p); err != nil {
				return nil, err
			}
		}
		whole := change
		if chain := s.chains[trust.Targets]; len(chain) > 0 {
			whole = merge(chain[0].targets, change)
		}
		draft, err := s.repo.DraftTargets(whole, s.now, trust.Regular)
		if err != nil {
			return nil, err
		}
		for _, signer := range in.Signers {
			if err := draft.Sign(ctx, signer); err != nil {
				return nil, err
			}
		}
		st := &step{instant: s.now, targets: whole, draft: draft}
		if err := s.setTargets(st); err != nil {
			return nil, err
		}
		entries := []audit.Entry{{Act: "targets.draft", Object: draftObject(draft), Detail: describeTargets(whole)}}
		if draft.Missing() == 0 {
			if err := s.complete(st); err != nil {
				return nil, err
			}
			entries = append(entries, audit.Entry{Act: "draft.complete", Object: draftObject(draft)})
		}
		out.Draft, err = describe(st)
		return entries, err
	})
	if err == nil && out.Draft.Missing == 0 {
		out.Published, err = r.release(ctx, actor)
	}
	return out, err
}

// setTargets replaces the targets that wait. Where they were signed, programs
// were drafted for their publishers, and are drafted anew for the present ones.
func (s *state) setTargets(with ...*step) error {
	before := s.chains[trust.Targets]
	s.chains[trust.Targets], s.redrawn[trust.Targets] = with, true
	if len(before) == 0 || !before[0].signed {
		return nil
	}
	for _, role := range slices.Sorted(maps.Keys(s.chains)) {
		if role == trust.Targets {
			continue
		}
		if err := s.redraft(program.ID(role), 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// merge lays a later change over an earlier one.
func merge(old, change trust.TargetsChange) trust.TargetsChange {
	whole := trust.TargetsChange{
		Keys: old.Keys, Ended: old.Ended, Files: map[program.ID][]byte{}, Publishers: map[program.ID]trust.Signers{},
		Revoke: slices.Concat(old.Revoke, change.Revoke),
	}
	if change.Keys != nil {
		whole.Keys = change.Keys
	}
	if change.Ended != nil {
		whole.Ended = change.Ended
	}
	for _, c := range []trust.TargetsChange{old, change} {
		maps.Copy(whole.Files, c.Files)
		maps.Copy(whole.Publishers, c.Publishers)
	}
	return whole
}

// describeTargets tells auditors what of targets changes.
func describeTargets(c trust.TargetsChange) map[string]any {
	publishers := map[string]any{}
	for id, s := range c.Publishers {
		publishers[string(id)] = map[string]any{"keys": publicTexts(s.Keys), "threshold": s.Threshold}
	}
	return map[string]any{
		"keys": c.Keys != nil, "ended": c.Ended != nil, "programs": slices.Sorted(maps.Keys(c.Files)),
		"publishers": publishers, "revoke": publicTexts(c.Revoke),
	}
}

func publicTexts(keys []ed25519.PublicKey) []string {
	texts := []string{}
	for _, k := range keys {
		texts = append(texts, signing.PublicText(k))
	}
	return texts
}

// fits refuses a program file that the program's updates do not fit: devices
// could make no catalog any more.
func (s *state) fits(p *program.Program) error {
	if err := s.catalogs(p, nil); err != nil {
		return problem.New(problem.Refused, ProgramUnfit, "program", p.ID).Because(err)
	}
	return nil
}

// working is the repository with the targets that are signed and wait: what
// drafts are made on and judged by.
func (s *state) working() (trust.Repository, error) {
	chain := s.chains[trust.Targets]
	if len(chain) == 0 || !chain[0].signed {
		return s.repo, nil
	}
	return accept(s.repo, chain[0].draft, nil)
}

func accept(repo trust.Repository, d *trust.Draft, files map[string][]byte) (trust.Repository, error) {
	file, err := d.File()
	if err != nil {
		return repo, err
	}
	if files == nil {
		files = d.Files()
	}
	return repo.Accept(d.Role(), file, files)
}

// republish has the programs signed anew whose publishers the waiting targets
// change.
func (s *state) republish() error {
	repo, err := s.working()
	if err != nil {
		return err
	}
	before, err := s.repo.Publishers()
	if err != nil {
		return err
	}
	after, err := repo.Publishers()
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if sameSigners(before[id], after[id]) {
			continue
		}
		if err := s.redraft(id, 0, nil); err != nil {
			return err
		}
		role := trust.Role(id)
		if s.repo.Programs[id] == nil || slices.ContainsFunc(s.chains[role], (*step).signsAnew) {
			continue
		}
		if _, err := repo.Accept(role, s.repo.Programs[id], nil); problem.CodeOf(err) == trust.NotSigned {
			if _, _, err := s.insert(id, &step{instant: s.now}); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameSigners(a, b trust.Signers) bool {
	return a.Threshold == b.Threshold && slices.EqualFunc(a.Keys, b.Keys, func(x, y ed25519.PublicKey) bool { return bytes.Equal(x, y) })
}
