package authority

import (
	"context"
	"net/http"
	"os/user"
	"slices"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/license"
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
	if err := access.May(actor, access.ProgramWrite); err != nil {
		return api.Imported{}, err
	}
	if err := a.Releases.Fits(ctx, p); err != nil || in.DryRun {
		return out, err
	}
	// The keys come first: a program that is sold has them, whatever happens next.
	if err := a.makeKeys(ctx, p.ID); err != nil {
		return api.Imported{}, err
	}
	if p, out.New, err = a.Sales.Import(ctx, actor, in.Name, in.File); err != nil {
		return api.Imported{}, err
	}
	a.forget()
	out.Draft, err = a.announce(ctx, actor, p, publishers)
	return out, err
}

// makeKeys sees to it that a program has its online keys.
func (a *Authority) makeKeys(ctx context.Context, ids ...program.ID) error {
	return a.DB.Write(ctx, func(tx *db.Tx) error {
		for _, id := range ids {
			if err := a.online.make(tx, licenseKeyName(id, a.identity.Epoch), accessKeyName(id, a.identity.Epoch)); err != nil {
				return err
			}
		}
		return nil
	})
}

// announce drafts the targets that tell devices of a program, when they are not
// told yet: it compares with what is signed or waits for it, so that an import
// that broke off is made good by the next one.
func (a *Authority) announce(ctx context.Context, actor access.Actor, p *program.Program, publishers trust.Signers) (*api.Draft, error) {
	waiting, pending, err := a.Releases.Waiting(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	if len(publishers.Keys) == 0 && len(waiting.Publishers.Keys) == 0 {
		return nil, nil //nolint:nilnil // nobody may publish for it yet
	}
	keys, err := a.keysWith(ctx, waiting.Keys)
	if err != nil {
		return nil, err
	}
	told, err := waiting.Says(p, keys)
	switch {
	case err != nil:
		return nil, err
	case told && len(publishers.Keys) == 0 && !pending:
		return nil, nil //nolint:nilnil // devices know it
	case told && len(publishers.Keys) == 0:
		drafts, err := a.Releases.Drafts(ctx, actor, trust.Targets)
		if err != nil || len(drafts) == 0 {
			return nil, err
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

// keysWith is trust/keys.json with the keys of all programs added: what stands
// there already, of former epochs or closed, stays as it is.
func (a *Authority) keysWith(ctx context.Context, text []byte) ([]byte, error) {
	var all []license.VerificationKey
	if text != nil {
		listed, err := license.ParseKeys(text)
		if err != nil {
			return nil, err
		}
		all = listed.All()
	}
	err := a.DB.Read(ctx, func(tx *db.Tx) error {
		own, err := a.ownKeys(tx)
		for _, k := range own {
			if !slices.ContainsFunc(all, func(have license.VerificationKey) bool { return have.ID == k.ID }) {
				all = append(all, k)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	keys, err := license.NewKeys(a.identity.ID, all...)
	if err != nil {
		return nil, err
	}
	return keys.JSON()
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
