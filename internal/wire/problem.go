package wire

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
)

// Problem is a refusal on the wire (RFC 9457), rendered for one person and
// still carrying what a program needs to render it again.
type Problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"` // the sentence
	Code   problem.Code   `json:"code"`
	Kind   string         `json:"kind"`
	Hint   string         `json:"hint,omitempty"`
	Vendor string         `json:"vendorCode,omitempty"` // the vendor's own code
	Args   map[string]any `json:"args,omitempty"`
	// Request is the id under which an internal error was logged.
	Request string `json:"request,omitempty"`
}

// InternalError is all that a person is told of an error that is no refusal.
const InternalError problem.Code = "internal.error"

// statuses is the one table from a kind to an HTTP status.
var statuses = map[problem.Kind]int{
	problem.Internal:        http.StatusInternalServerError,
	problem.Invalid:         http.StatusBadRequest,
	problem.Refused:         http.StatusUnprocessableEntity,
	problem.NotFound:        http.StatusNotFound,
	problem.Conflict:        http.StatusConflict,
	problem.Unauthenticated: http.StatusUnauthorized,
	problem.Forbidden:       http.StatusForbidden,
	problem.TooLarge:        http.StatusRequestEntityTooLarge,
	problem.Throttled:       http.StatusTooManyRequests,
	problem.Unavailable:     http.StatusServiceUnavailable,
}

// Status is the HTTP status of a kind.
func Status(k problem.Kind) int { return statuses[k] }

// Render makes the document of a problem.
func Render(p *problem.Problem, r *locales.Renderer) Problem {
	sentence, hint := r.Problem(p)
	return Problem{
		Type: "urn:openesu:problem:" + string(p.Code), Title: http.StatusText(Status(p.Kind)), Status: Status(p.Kind),
		Detail: sentence, Hint: hint, Code: p.Code, Kind: p.Kind.String(), Args: plain(p.Args),
	}
}

// plain turns arguments into what JSON has, as people read them.
func plain(args map[string]any) map[string]any {
	if len(args) == 0 {
		return nil
	}
	out := make(map[string]any, len(args))
	for name, value := range args {
		switch v := value.(type) {
		case string, bool, int, int64, uint64:
			out[name] = v
		case fmt.Stringer:
			out[name] = v.String()
		default:
			out[name] = v
		}
	}
	return out
}

// Problem is the refusal that a document carries.
func (d *Problem) Problem() *problem.Problem {
	return &problem.Problem{Kind: problem.ParseKind(d.Kind), Code: d.Code, Args: d.Args}
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, d Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(d.Status)
	_ = json.NewEncoder(w).Encode(d) // whoever asked is gone if this fails
}

// WriteJSON answers with a document.
func WriteJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // whoever asked is gone if this fails
}
