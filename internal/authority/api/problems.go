package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Refusal is what a request is answered with that was not fulfilled: the first
// reason as an RFC 9457 problem, and the further ones.
type Refusal struct {
	wire.Problem
	Others []wire.Problem `json:"others,omitempty"`
}

// Error makes the refusal's document an error, for those who decoded one.
func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Detail) }

// GetStatus is the status with which huma sends it.
func (r *Refusal) GetStatus() int { return r.Status }

// ContentType is that of problems (RFC 9457).
func (r *Refusal) ContentType(string) string { return "application/problem+json" }

// about is what of a request is needed to answer it.
type about struct{ lang, operation string }

// ofProgram marks a refusal as one under a program, whose vendor has codes of
// its own.
type ofProgram struct {
	error
	codes map[problem.Code]string
}

func (e ofProgram) Unwrap() error { return e.error }

func under(p *program.Program, err error) error {
	if err == nil || p == nil {
		return err
	}
	return ofProgram{err, p.Codes}
}

// refuse is the answer to an error.
func (s *server) refuse(ctx context.Context, err error) *Refusal {
	a, _ := ctx.Value(exchangeKey{}).(about)
	return s.render(ctx, a.lang, a.operation, err)
}

func (s *server) render(ctx context.Context, lang, operation string, err error) *Refusal {
	renderer := locales.New(lang)
	problems := problem.All(err)
	if len(problems) == 0 {
		id := s.requestID()
		if !errors.Is(err, context.Canceled) { // nobody waits any more
			s.Log.ErrorContext(ctx, "internal error", "operation", operation, "request", id, "error", err)
		}
		d := wire.Render(problem.New(problem.Internal, wire.InternalError), renderer)
		d.Request = id
		return &Refusal{Problem: d}
	}
	of, _ := errors.AsType[ofProgram](err)
	documents := make([]wire.Problem, len(problems))
	for i, p := range problems {
		documents[i] = wire.Render(p, renderer)
		documents[i].Vendor = of.codes[p.Code]
	}
	return &Refusal{documents[0], documents[1:]}
}

// answer ends an exchange with a refusal before its operation began.
func (s *server) answer(x *exchange, err error) {
	_, w := humago.Unwrap(x.inner)
	s.send(w, s.refuse(x.ctx, err))
}

func (s *server) send(w http.ResponseWriter, d *Refusal) {
	if d.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="OpenESU office"`)
	}
	w.Header().Set("Content-Type", d.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(d.Status)
	_ = json.NewEncoder(w).Encode(d) // whoever asked is gone if this fails
}

// explain turns what huma says of a request that does not fit into a problem.
func (s *server) explain(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	x, ok := ctx.(*exchange)
	if !ok {
		return v, nil
	}
	d := s.refuse(x.ctx, misfit(m, ctx.Operation().MaxBodyBytes))
	x.status = d.Status
	return d, nil
}

func misfit(m *huma.ErrorModel, limit int64) error {
	var all []string
	for _, e := range m.Errors {
		if e == nil {
			continue
		}
		what := e.Message
		if e.Location != "" {
			what = e.Location + ": " + what
		}
		all = append(all, what)
	}
	what := strings.Join(all, "; ")
	if what == "" {
		what = m.Detail
	}
	switch {
	case m.Status == http.StatusRequestEntityTooLarge:
		return problem.New(problem.TooLarge, wire.BodyTooLarge, "limit", limit)
	case m.Status >= http.StatusInternalServerError:
		return errors.New(m.Detail + ": " + what)
	}
	return problem.New(problem.Invalid, Invalid, "what", what)
}
