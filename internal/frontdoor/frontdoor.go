// Package frontdoor is the device protocol over HTTP: one handler, the same at
// an authority and at a site, so that a device never knows which it talks to.
//
// It decodes, asks, and encodes. What an activation comes to and what was
// released is the Backend's; whether bytes may be served is the gate's
// (coverage.Covers), asked on a verified token and with no database in between.
// Payloads of staged updates answer 404 like ones that never were, and no 404 is
// cached (rule D3).
package frontdoor

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// What the front door refuses by itself.
const (
	// NonceWrong is a nonce that this server did not give, or too long ago.
	NonceWrong problem.Code = "frontdoor.nonce-wrong"
	// TokenMissing is a gated payload that was asked for without a token.
	TokenMissing problem.Code = "frontdoor.token-missing"
	// NotCovered is a payload of years that the token does not open.
	NotCovered problem.Code = "frontdoor.not-covered"
	// ProgramUnknown is a program that this server does not run.
	ProgramUnknown problem.Code = "frontdoor.program-unknown"
	// BatchTooLarge is more activation requests at once than are taken.
	BatchTooLarge problem.Code = "frontdoor.batch-too-large"
)

// Backend is what stands behind the door. All errors that a device may see are
// problems.
type Backend interface {
	// Metadata returns one file of signed metadata by its name, or a problem of kind NotFound.
	Metadata(ctx context.Context, name string) ([]byte, error)
	// Activate answers requests in order. When it returns, every license in the
	// answers is on the disk.
	Activate(ctx context.Context, requests []string) ([]Answer, error)
	// Report keeps what a device says of itself.
	Report(ctx context.Context, report string) error
	// Payload opens a released payload and names the updates that it belongs to.
	// One that is not released is a problem of kind NotFound.
	Payload(ctx context.Context, digest update.Digest) (*Payload, error)
	// History is what was released of a program.
	History(ctx context.Context, id program.ID) (*wire.History, error)
}

// Answer is a license, or the refusal.
type Answer struct {
	License license.Token
	Err     error
}

// Payload is an open payload. The front door closes it.
type Payload struct {
	Body    io.ReadSeekCloser
	Updates []*update.Update
}

// Trust is what access requests are held against: the program, the keys that
// the vendor's signed list names, and what was ended or closed.
type Trust interface {
	// Verifier is complete but for the installation; false means that the program is unknown.
	Verifier(id program.ID) (license.Verifier, bool)
}

// Signer makes access tokens.
type Signer struct {
	Authority license.AuthorityID // who signs
	KeyID     func(program.ID) license.KeyID
	Key       func(program.ID) ed25519.PrivateKey
}

// Config is a front door. Every field is needed, but for Log and Lifetime.
type Config struct {
	Backend  Backend
	Trust    Trust
	Signer   Signer
	Audience license.AuthorityID // whom devices address, and whose tokens are taken
	Nonces   *Nonces
	Now      func() time.Time
	Log      *slog.Logger
	Lifetime time.Duration // of access tokens; license.AccessLifetime at most
}

type door struct {
	Config
	log *slog.Logger
}

// Handler serves the device protocol.
func Handler(c Config) http.Handler {
	if c.Lifetime == 0 {
		c.Lifetime = license.AccessLifetime
	}
	d := &door{Config: c, log: c.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /tuf/{name...}", d.answer(d.metadata))
	mux.Handle("GET /content/sha256/{digest}", d.answer(d.content))
	mux.Handle("GET /v1/nonce", d.answer(d.nonce))
	mux.Handle("POST /v1/access", d.answer(d.access))
	mux.Handle("POST /v1/activations", d.answer(d.activations))
	mux.Handle("POST /v1/reports", d.answer(d.reports))
	mux.Handle("GET /v1/updates", d.answer(d.updates))
	return mux
}

// answer turns an error into a problem document in the device's language.
func (d *door) answer(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			wire.WriteProblem(w, d.render(r, err))
		}
	})
}

func (d *door) render(r *http.Request, err error) wire.Problem {
	p, ok := problem.As(err)
	if !ok {
		if !errors.Is(err, context.Canceled) {
			d.log.ErrorContext(r.Context(), "device request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		p = problem.New(problem.Internal, wire.InternalError)
	}
	return wire.Render(p, locales.New(r.Header.Get("Accept-Language")))
}

func (d *door) metadata(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	body, err := d.Backend.Metadata(r.Context(), name)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if name == "timestamp.json" {
		w.Header().Set("Cache-Control", "no-cache")
	} else { // its name has its version or its digest
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(body) // whoever asked is gone if this fails
	return nil
}

func (d *door) content(w http.ResponseWriter, r *http.Request) error {
	digest, err := update.ParseDigest(r.PathValue("digest"))
	if err != nil {
		return problem.New(problem.NotFound, depot.NotFound, "digest", r.PathValue("digest"))
	}
	p, err := d.Backend.Payload(r.Context(), digest)
	if err != nil {
		return err
	}
	defer p.Body.Close()
	if err := d.gate(r, p.Updates); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	w.Header().Set("ETag", `"`+string(digest)+`"`)
	http.ServeContent(w, r, "", time.Time{}, p.Body)
	return nil
}

// gate asks whether what was proven opens any of the updates that a payload
// belongs to.
func (d *door) gate(r *http.Request, updates []*update.Update) error {
	if covers(license.Set{}, updates) { // no token is looked at that is not needed (rule P8)
		return nil
	}
	held, shown := license.Set{}, false
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		shown = true
		_, set, err := license.VerifyAccess(license.AccessVerifier{Keys: d.keys(updates), Audience: d.Audience, Now: d.Now()}, license.Token(text))
		if err != nil {
			return err
		}
		held = set
	}
	if covers(held, updates) {
		return nil
	}
	if !shown {
		return problem.New(problem.Unauthenticated, TokenMissing)
	}
	return problem.New(problem.Forbidden, NotCovered, "update", updates[0].ID)
}

func covers(held license.Set, updates []*update.Update) bool {
	return slices.ContainsFunc(updates, func(u *update.Update) bool { return coverage.Covers(held, u) })
}

func (d *door) keys(updates []*update.Update) license.Keys {
	if len(updates) == 0 {
		return license.Keys{}
	}
	v, _ := d.Trust.Verifier(updates[0].Program)
	return v.Keys
}

func (d *door) nonce(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, http.StatusOK, wire.Nonce{Nonce: d.Nonces.New(d.Now())})
	return nil
}

func (d *door) access(w http.ResponseWriter, r *http.Request) error {
	var in wire.AccessRequest
	if err := wire.Decode(r.Body, wire.MaxBody, &in); err != nil {
		return err
	}
	request, err := license.ParseAccessRequest(in.Request, d.Audience)
	if err != nil {
		return err
	}
	now := d.Now()
	if !d.Nonces.Valid(request.Nonce, now) {
		return problem.New(problem.Unauthenticated, NonceWrong)
	}
	v, ok := d.Trust.Verifier(request.Program)
	if !ok {
		return problem.New(problem.NotFound, ProgramUnknown, "program", request.Program)
	}
	v.Installation, v.Now = request.Installation(), now
	held, rejected := license.Verify(v, request.Licenses)
	if held.Empty() {
		return rejected[0].Problem
	}
	expires := license.At(now.Add(d.Lifetime))
	token, err := license.SignAccess(license.Access{
		Authority: d.Signer.Authority, Audience: d.Audience, Program: request.Program, Device: request.Fingerprint,
		Grants: held.Grants(), IssuedAt: license.At(now), ExpiresAt: expires,
	}, d.Signer.KeyID(request.Program), d.Signer.Key(request.Program))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, http.StatusOK, wire.AccessToken{Token: string(token), Expires: int64(expires)})
	return nil
}

func (d *door) activations(w http.ResponseWriter, r *http.Request) error {
	var in wire.Activations
	if err := wire.Decode(r.Body, wire.MaxBody, &in); err != nil {
		return err
	}
	if len(in.Requests) > wire.MaxBatch {
		return problem.New(problem.TooLarge, BatchTooLarge, "limit", wire.MaxBatch)
	}
	answers, err := d.Backend.Activate(r.Context(), in.Requests)
	if err != nil {
		return err
	}
	out := wire.ActivationResults{Results: make([]wire.ActivationResult, len(answers))}
	for i, a := range answers {
		if a.Err != nil {
			refused := d.render(r, a.Err)
			out.Results[i].Problem = &refused
			continue
		}
		out.Results[i].License = string(a.License)
	}
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, http.StatusOK, out)
	return nil
}

func (d *door) reports(w http.ResponseWriter, r *http.Request) error {
	var in wire.Report
	if err := wire.Decode(r.Body, wire.MaxBody, &in); err != nil {
		return err
	}
	if err := d.Backend.Report(r.Context(), in.Report); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *door) updates(w http.ResponseWriter, r *http.Request) error {
	id, err := program.ParseID(r.URL.Query().Get("program"))
	if err != nil {
		return problem.New(problem.NotFound, ProgramUnknown, "program", r.URL.Query().Get("program"))
	}
	history, err := d.Backend.History(r.Context(), id)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "public, max-age=60")
	wire.WriteJSON(w, http.StatusOK, history)
	return nil
}
