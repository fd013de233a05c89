package authority

import (
	"context"
	"net/http"
	"os/user"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/program"
)

// Office is the office API, for callers who bring a token.
func (a *Authority) Office() http.Handler {
	return api.Handler(api.Config{
		DB: a.DB, Audit: a.Writer, Sales: a.Sales, Keys: a.Keys, Releases: a.Releases, Authority: a, Log: a.Log, Random: a.Random,
	})
}

// Local is the office API for whoever holds the data folder: a user of this
// machine.
func (a *Authority) Local(user string) http.Handler {
	office := a.Office()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		office.ServeHTTP(w, r.WithContext(api.WithActor(r.Context(), access.LocalUser(user))))
	})
}

// Me is the name of the user who runs this process.
func Me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// Import takes in a version of a program file. The sales office sells by it from
// its first day on. Devices learn of it from targets, which the holder of the
// offline key signs; a program that nobody may publish for is not announced yet.
func (a *Authority) Import(ctx context.Context, actor access.Actor, in api.ImportIn) (api.Imported, error) {
	p, err := program.Parse(in.Name, in.File)
	if err != nil {
		return api.Imported{}, err
	}
	publishers, err := signers(in)
	if err != nil {
		return api.Imported{}, err
	}
	out := api.Imported{Program: p.ID, Version: p.Version, DryRun: in.DryRun}
	if in.DryRun {
		return out, access.May(actor, access.ProgramWrite)
	}
	if p, out.New, err = a.Sales.Import(ctx, actor, in.Name, in.File); err != nil {
		return api.Imported{}, err
	}
	keys, err := a.makeKeys(ctx)
	if err != nil {
		return api.Imported{}, err
	}
	a.known.mu.Lock()
	a.known.programs = nil // look again
	a.known.mu.Unlock()
	draft, err := a.announce(ctx, actor, p, publishers, keys, out.New)
	if err != nil {
		return api.Imported{}, err
	}
	out.Draft = draft
	return out, nil
}

// makeKeys sees to it that every program has its online keys, and returns
// trust/keys.json.
func (a *Authority) makeKeys(ctx context.Context) (text []byte, err error) {
	err = a.DB.Write(ctx, func(tx *db.Tx) error {
		ids, err := sales.ProgramIDs(tx)
		if err != nil {
			return err
		}
		keys, err := a.verificationKeys(tx, ids)
		if err != nil {
			return err
		}
		text, err = keys.JSON()
		return err
	})
	return text, err
}

// announce drafts the targets that tell devices of a program, when there is
// anything to tell.
func (a *Authority) announce(ctx context.Context, actor access.Actor, p *program.Program, publishers trust.Signers, keys []byte, changed bool) (*api.Draft, error) {
	drafts, err := a.Releases.Drafts(ctx, actor, trust.Targets)
	if err != nil {
		return nil, err
	}
	known, err := a.Releases.Publishers(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case len(publishers.Keys) == 0 && len(known.Keys) == 0:
		return nil, nil //nolint:nilnil // nobody may publish for it yet
	case len(publishers.Keys) == 0 && !changed:
		if len(drafts) == 0 {
			return nil, nil //nolint:nilnil // devices know it
		}
		d := api.DraftOf(drafts[0])
		return &d, nil
	}
	in := releases.TargetsIn{Keys: keys, Programs: []*program.Program{p}}
	if len(publishers.Keys) > 0 {
		in.Publishers = map[program.ID]trust.Signers{p.ID: publishers}
	}
	signed, err := a.Releases.ChangeTargets(ctx, actor, in)
	if err != nil {
		return nil, err
	}
	d := api.DraftOf(signed.Draft)
	return &d, nil
}

// signers are the publishers that an import names.
func signers(in api.ImportIn) (trust.Signers, error) {
	s := trust.Signers{Threshold: in.Threshold}
	for _, text := range in.Publishers {
		key, err := signing.ParsePublic(text)
		if err != nil {
			return s, err
		}
		s.Keys = append(s.Keys, key)
	}
	return s, nil
}

// Trust is what devices are enrolled with, and how far the metadata has come.
func (a *Authority) Trust(ctx context.Context) (api.Trust, error) {
	versions, err := a.Releases.Versions(ctx)
	if err != nil {
		return api.Trust{}, err
	}
	t := api.Trust{Authority: a.identity.ID, Name: a.identity.Name, Epoch: a.identity.Epoch, Anchor: a.identity.Anchor, Versions: map[string]int64{}}
	for role, version := range versions {
		t.Versions[string(role)] = version
	}
	return t, nil
}
