package releases

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/program"
)

// Known is what devices know of a program, and what they will know once the
// waiting targets are signed.
type Known struct {
	// Keys and Ended are trust/keys.json and trust/ended.json; nil is none.
	Keys, Ended []byte
	// Publishers are those who may sign the program's releases; without any, it
	// is not announced.
	Publishers trust.Signers
	// Program is the public half of the program's file; nil is none.
	Program []byte
}

// Says reports whether the program is announced as p, with these keys.
func (k Known) Says(p *program.Program, keys []byte) (bool, error) {
	public, err := p.PublicJSON()
	if err != nil {
		return false, fmt.Errorf("public half of program %s: %w", p.ID, err)
	}
	return bytes.Equal(k.Program, public) && bytes.Equal(k.Keys, keys), nil
}

// Published is what devices know of a program now.
func (r *Room) Published(ctx context.Context, id program.ID) (Known, error) {
	s, err := r.load(ctx)
	if err != nil {
		return Known{}, err
	}
	return s.known(id)
}

// Waiting is what they will know, and whether anything waits for a signature.
func (r *Room) Waiting(ctx context.Context, id program.ID) (Known, bool, error) {
	s, err := r.load(ctx)
	if err != nil {
		return Known{}, false, err
	}
	k, err := s.known(id)
	if err != nil {
		return Known{}, false, err
	}
	chain := s.chains[trust.Targets]
	if len(chain) == 0 {
		return k, false, nil
	}
	change := chain[0].targets
	if change.Keys != nil {
		k.Keys = change.Keys
	}
	if change.Ended != nil {
		k.Ended = change.Ended
	}
	if text, ok := change.Files[id]; ok {
		k.Program = text
	}
	if signers, ok := change.Publishers[id]; ok {
		k.Publishers = signers
	}
	k.Publishers.Keys = slices.DeleteFunc(slices.Clone(k.Publishers.Keys), func(key ed25519.PublicKey) bool {
		return slices.ContainsFunc(change.Revoke, func(gone ed25519.PublicKey) bool { return gone.Equal(key) })
	})
	return k, true, nil
}

func (s *state) known(id program.ID) (Known, error) {
	all, err := s.repo.Publishers()
	return Known{
		Keys: s.repo.Files[trust.KeysPath], Ended: s.repo.Files[trust.EndedPath],
		Program: s.repo.Files["programs/"+string(id)+".json"], Publishers: all[id],
	}, err
}

// Fits refuses a program file that the program's updates do not fit.
func (r *Room) Fits(ctx context.Context, p *program.Program) error {
	s, err := r.load(ctx)
	if err != nil {
		return err
	}
	return s.fits(p)
}

// Versions are the version numbers of what is served now, by role.
func (r *Room) Versions(ctx context.Context) (trust.Versions, error) {
	s, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.repo.Set()
	if err != nil {
		return nil, err
	}
	return s.repo.Observe(set)
}
