package authority

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
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
	refresh sync.Mutex // held by the one that reads it anew
	now     atomic.Pointer[snapshot]
}

type snapshot struct {
	at       time.Time
	keys     license.Keys
	programs map[program.ID]trustedProgram
}

type trustedProgram struct {
	verifier license.Verifier
	access   ed25519.PrivateKey
}

const trustedFor = 5 * time.Second

// forget has the next question read it anew.
func (a *Authority) forget() { a.known.now.Store(nil) }

// Verifier is what licenses of a program are held against.
func (a *Authority) Verifier(id program.ID) (license.Verifier, bool) {
	t, ok := a.lookUp(id)
	return t.verifier, ok
}

func (a *Authority) lookUp(id program.ID) (trustedProgram, bool) {
	s := a.trusts()
	t, ok := s.programs[id]
	return t, ok
}

// trusts is the snapshot at hand. One caller reads it anew when it is old, and
// the others go on with the old one meanwhile; only the first ever has to wait.
func (a *Authority) trusts() *snapshot {
	s, now := a.known.now.Load(), a.Now()
	if s != nil && !now.Before(s.at) && now.Sub(s.at) <= trustedFor {
		return s
	}
	if s == nil {
		a.known.refresh.Lock()
	} else if !a.known.refresh.TryLock() {
		return s
	}
	defer a.known.refresh.Unlock()
	if newer := a.known.now.Load(); newer != nil && newer != s {
		return newer
	}
	read, err := a.readTrusted()
	if err != nil { // what is known stays good for a while longer
		a.Log.Error("read programs", "err", err)
		read = &snapshot{}
		if s != nil {
			read.keys, read.programs = s.keys, s.programs
		}
	}
	read.at = now
	a.known.now.Store(read)
	return read
}

func (a *Authority) readTrusted() (*snapshot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	published, err := a.Releases.Published(ctx, "")
	if err != nil {
		return nil, err
	}
	s := &snapshot{programs: map[program.ID]trustedProgram{}}
	if s.keys, err = license.ParseKeys(published.Keys); err != nil {
		return nil, err
	}
	var ended license.Ended
	if published.Ended != nil {
		if ended, err = license.ParseEnded(published.Ended); err != nil {
			return nil, err
		}
	}
	err = a.DB.Read(ctx, func(tx *db.Tx) error {
		ids, err := sales.ProgramIDs(tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			p, err := a.inForce(tx, id)
			if err != nil {
				return err
			}
			key, err := a.online.key(tx, accessKeyName(id, a.identity.Epoch))
			if err != nil {
				return err
			}
			if p != nil && key != nil {
				s.programs[id] = trustedProgram{license.Verifier{Program: p, Keys: s.keys, Ended: ended}, key}
			}
		}
		return nil
	})
	return s, err
}

// ownKeys are the public halves of the online keys of every program.
func (a *Authority) ownKeys(tx *db.Tx) ([]license.VerificationKey, error) {
	ids, err := sales.ProgramIDs(tx)
	if err != nil {
		return nil, err
	}
	var all []license.VerificationKey
	for _, id := range ids {
		keys, err := a.online.verificationKeys(tx, id, a.identity.Epoch)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// Clockwork releases what is due and keeps the timestamp fresh, until ctx ends.
func (a *Authority) Clockwork(ctx context.Context) {
	const look = 5 * time.Second
	me := access.Itself("clockwork")
	var witnessed time.Time
	for {
		if err := a.Tick(ctx, me); err != nil && ctx.Err() == nil {
			a.Log.Error("release what is due", "err", err)
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

// Tick releases what is due now, and keeps the timestamp young.
func (a *Authority) Tick(ctx context.Context, actor access.Actor) error {
	published, err := a.Releases.Tick(ctx, actor)
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
	public := &http.Server{Handler: a.public(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	local := &http.Server{Handler: a.office(), ReadHeaderTimeout: 10 * time.Second, ConnContext: withPeer}
	errs := make(chan error, 2)
	go func() { errs <- public.Serve(listener) }()
	go func() { errs <- local.Serve(socket) }()
	var clockwork sync.WaitGroup
	clockwork.Go(func() { a.Clockwork(ctx) })
	if ready != nil {
		ready(listener.Addr().String())
	}
	select {
	case err = <-errs:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		err = nil
	}
	cancel()
	clockwork.Wait()
	closing, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer stop()
	return errors.Join(err, end(closing, public), end(closing, local))
}

// patience is how long requests under way are waited for when a server stops.
const patience = 10 * time.Second

// end lets a server finish what it does; what takes too long, a download say, is
// cut off, and its device goes on later.
func end(ctx context.Context, s *http.Server) error {
	err := s.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Close()
	}
	return err
}

// public is what the TCP address answers.
func (a *Authority) public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /.well-known/jwks.json", a.jwks)
	mux.HandleFunc("GET "+CheckpointPath, a.serveCheckpoint)
	office := a.Office()
	mux.Handle("/api/", unhurried(office))
	mux.Handle("/openapi.json", office)
	mux.Handle("/", a.FrontDoor())
	return mux
}

// unhurried takes the limit of time off a request's body: publishers send
// payloads. Who has no token is refused before any of it is read.
func unhurried(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // where there is one
		h.ServeHTTP(w, r)
	})
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
	for _, k := range a.trusts().keys.All() {
		if k.Use == license.UseLicense {
			set.Keys = append(set.Keys, key{"OKP", "Ed25519", k.ID, k.Public, "sig"})
		}
	}
	wire.WriteJSON(w, http.StatusOK, set)
}
