package authority

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// FrontDoor is the device protocol of this authority.
func (a *Authority) FrontDoor() http.Handler {
	return frontdoor.Handler(frontdoor.Config{
		Backend: backend{a}, Trust: a, Audience: a.identity.ID, Nonces: a.nonces, Now: a.Now, Log: a.Log,
		Signer: frontdoor.Signer{
			Authority: a.identity.ID,
			KeyID:     func(id program.ID) license.KeyID { return keyID(license.UseAccess, id, a.identity.Epoch) },
			Key: func(id program.ID) ed25519.PrivateKey {
				t, _ := a.lookUp(id)
				return t.access
			},
		},
	})
}

// backend is what stands behind the front door.
type backend struct{ *Authority }

func (b backend) Metadata(ctx context.Context, name string) ([]byte, error) {
	return b.Releases.Metadata(ctx, name)
}

func (b backend) Activate(ctx context.Context, requests []string) ([]frontdoor.Answer, error) {
	return b.Activations.Activate(ctx, license.Online, requests)
}

func (b backend) Report(ctx context.Context, report string) error {
	return b.Reports.Report(ctx, report)
}

func (b backend) Payload(ctx context.Context, digest update.Digest) (*frontdoor.Payload, error) {
	return b.Releases.Payload(ctx, digest)
}

func (b backend) History(ctx context.Context, id program.ID) (*wire.History, error) {
	return b.Releases.History(ctx, id)
}

// trusted is what access requests are held against, kept for a moment so that
// serving bytes asks no database.
type trusted struct {
	mu       sync.Mutex
	at       time.Time
	programs map[program.ID]trustedProgram
}

type trustedProgram struct {
	verifier license.Verifier
	access   ed25519.PrivateKey
}

const trustedFor = 5 * time.Second

// Verifier is what licenses of a program are held against.
func (a *Authority) Verifier(id program.ID) (license.Verifier, bool) {
	t, ok := a.lookUp(id)
	return t.verifier, ok
}

func (a *Authority) lookUp(id program.ID) (trustedProgram, bool) {
	a.known.mu.Lock()
	defer a.known.mu.Unlock()
	if now := a.Now(); a.known.programs == nil || now.Sub(a.known.at) > trustedFor || now.Before(a.known.at) {
		programs, err := a.readTrusted()
		if err != nil { // what is known stays good for a while longer
			a.Log.Error("read programs", "err", err)
		} else {
			a.known.programs, a.known.at = programs, now
		}
	}
	t, ok := a.known.programs[id]
	return t, ok
}

func (a *Authority) readTrusted() (map[program.ID]trustedProgram, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	programs := map[program.ID]trustedProgram{}
	err := a.DB.Read(ctx, func(tx *db.Tx) error {
		ids, err := sales.ProgramIDs(tx)
		if err != nil {
			return err
		}
		keys, err := a.verificationKeys(tx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			p, err := a.inForce(tx, id)
			if err != nil {
				return err
			}
			if p == nil {
				continue
			}
			key, err := a.online.key(tx, accessKeyName(id, a.identity.Epoch))
			if err != nil {
				return err
			}
			programs[id] = trustedProgram{license.Verifier{Program: p, Keys: keys}, key}
		}
		return nil
	})
	return programs, err
}

// verificationKeys is trust/keys.json for these programs.
func (a *Authority) verificationKeys(tx *db.Tx, ids []program.ID) (license.Keys, error) {
	var all []license.VerificationKey
	for _, id := range ids {
		keys, err := a.online.verificationKeys(tx, id, a.identity.Epoch)
		if err != nil {
			return license.Keys{}, err
		}
		all = append(all, keys...)
	}
	return license.NewKeys(a.identity.ID, all...)
}

// Clockwork releases what is due and keeps the timestamp fresh, until ctx ends.
func (a *Authority) Clockwork(ctx context.Context) {
	const look = 5 * time.Second
	me := access.Itself("clockwork")
	var renewed, witnessed time.Time
	for {
		if err := a.Tick(ctx, me); err != nil && ctx.Err() == nil {
			a.Log.Error("release what is due", "err", err)
		}
		if now := a.Now(); now.Sub(renewed) >= time.Hour || now.Before(renewed) {
			if err := a.Releases.Renew(ctx, me); err != nil && ctx.Err() == nil {
				a.Log.Error("renew timestamp", "err", err)
			} else {
				renewed = now
			}
		}
		if now := a.Now(); now.Sub(witnessed) >= time.Minute || now.Before(witnessed) {
			if err := a.witness(ctx); err != nil && ctx.Err() == nil {
				a.Log.Error("checkpoint", "err", err)
			} else {
				witnessed = now
			}
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
	}
}

// Tick releases what is due now.
func (a *Authority) Tick(ctx context.Context, actor access.Actor) error {
	published, err := a.Releases.Release(ctx, actor)
	if err != nil {
		return err
	}
	for _, u := range published.Released {
		a.Log.Info("released", "program", u.Program, "update", u.ID)
	}
	for _, h := range published.Held {
		a.Log.Warn("held back", "role", h.Role, "err", h.Err)
	}
	return nil
}

// Serve answers devices and the office on a TCP address, and the office on the
// socket in the data folder, until ctx ends; requests under way are finished.
func (a *Authority) Serve(ctx context.Context, address string, ready func(address string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := listen(ctx, address)
	if err != nil {
		return err
	}
	socket, err := a.listenSocket(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	public := &http.Server{Handler: a.public(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	local := &http.Server{Handler: a.office(), ReadHeaderTimeout: 10 * time.Second, ConnContext: withPeer}
	errs := make(chan error, 2)
	go func() { errs <- public.Serve(listener) }()
	go func() { errs <- local.Serve(socket) }()
	go a.Clockwork(ctx)
	if ready != nil {
		ready(listener.Addr().String())
	}
	select {
	case err = <-errs:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		err = nil
	}
	closing, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return errors.Join(err, public.Shutdown(closing), local.Shutdown(closing))
}

// public is what the TCP address answers.
func (a *Authority) public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /.well-known/jwks.json", a.jwks)
	mux.HandleFunc("GET "+CheckpointPath, a.serveCheckpoint)
	mux.Handle("/api/", a.Office())
	mux.Handle("/openapi.json", a.Office())
	mux.Handle("/", a.FrontDoor())
	return mux
}

func (a *Authority) ready(w http.ResponseWriter, r *http.Request) {
	err := a.DB.Read(r.Context(), func(tx *db.Tx) error {
		_, err := readIdentity(tx)
		return err
	})
	if err != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// jwks is a convenience copy of the license keys; devices take them from the
// signed list only.
func (a *Authority) jwks(w http.ResponseWriter, _ *http.Request) {
	type key struct {
		Type  string           `json:"kty"`
		Curve string           `json:"crv"`
		ID    license.KeyID    `json:"kid"`
		X     license.KeyBytes `json:"x"`
		Use   string           `json:"use"`
	}
	set := struct {
		Keys []key `json:"keys"`
	}{Keys: []key{}}
	a.known.mu.Lock()
	for _, p := range a.known.programs {
		for _, k := range p.verifier.Keys.All() {
			if k.Use == license.UseLicense {
				set.Keys = append(set.Keys, key{"OKP", "Ed25519", k.ID, k.Public, "sig"})
			}
		}
		break // every program's verifier has the whole list
	}
	a.known.mu.Unlock()
	wire.WriteJSON(w, http.StatusOK, set)
}
