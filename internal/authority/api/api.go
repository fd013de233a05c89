// Package api is the office API of an authority: customers, agreements, partners,
// quotes, orders, returns, keys, releases, operators and audit, as JSON over HTTP
// below /api/v1/. The command line is a client of it, and so is any program.
//
// It decodes, calls one act, and encodes. What may be done the acts decide; here
// stands only which permission an operation needs, so that the OpenAPI document
// at /openapi.json can say it.
//
// Who asks is the actor that the serving side put into the context (WithActor: a
// user of the socket, or of this process), or the operator behind the bearer
// token that came with the request. A token counts more: who sends one wants to
// act as what it names.
//
// Invariants:
//   - a body is read strictly and within a limit; an unknown member, parameter or
//     type is refused before anything is done;
//   - every refusal is an RFC 9457 problem with a code, in the language of
//     Accept-Language; what is no refusal is logged whole and shown as an internal
//     error with its request id;
//   - a write with an Idempotency-Key takes place once (see idempotency.go);
//   - members of JSON documents are never renamed; new ones may be added.
package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

const (
	// NotSignedIn: the request says nothing of who asks.
	NotSignedIn problem.Code = "api.not-signed-in"
	// Invalid: a request does not fit the operation's description.
	Invalid problem.Code = "api.invalid"
	// RouteUnknown: there is no such operation.
	RouteUnknown problem.Code = "api.route-unknown"
	// MethodWrong: the operation is not asked for by that method.
	MethodWrong problem.Code = "api.method-wrong"
)

// Config is what the API serves.
type Config struct {
	DB        *db.DB
	Audit     *audit.Writer
	Sales     *sales.Office
	Keys      *keyring.Ring
	Releases  *releases.Room
	Authority Authority // see needs.go
	Log       *slog.Logger
	Random    io.Reader // nil means crypto/rand
}

// MaxBody is how large a request's document may be, in bytes. Program files,
// histories and drafts may be larger (maxFile), payloads as large as updates.
const (
	MaxBody = 1 << 20
	maxFile = 48 << 20
)

type server struct {
	Config
	huma huma.API
}

type actorKey struct{}

// WithActor says who asks, for those who know it from elsewhere: the user at the
// other end of a socket, or the one who runs this process.
func WithActor(ctx context.Context, a access.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// Handler serves the API and its description.
func Handler(c Config) http.Handler {
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{Config: c}
	mux := http.NewServeMux()
	s.huma = humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "OpenESU office API", Version: "1", Description: "Refusals are RFC 9457 problems with a stable code. " +
				"Writes take an Idempotency-Key. x-permission names what an operation needs."},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "An operator's API token"},
				},
			},
		},
		OpenAPIPath: "/openapi", Formats: map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json", RejectUnknownQueryParameters: true,
		Transformers: []huma.Transformer{s.explain},
	})
	s.programs()
	s.customers()
	s.orders()
	s.keys()
	s.releases()
	s.operators()
	s.audit()
	delete(s.huma.OpenAPI().Components.Schemas.Map(), "ErrorModel") // huma's own, which is never sent
	delete(s.huma.OpenAPI().Components.Schemas.Map(), "ErrorDetail")
	return s.unknownRoutes(mux)
}

// operation is one line of the API.
type operation struct {
	id, method, path string
	summary          string
	permission       access.Permission // "" is open to everybody
	status           int               // of success; 0 is 200
	limit            int64             // of the body; 0 is MaxBody
	// secret answers are not kept for repeats, streams have no body that could be
	// compared; dry ones save nothing.
	secret, stream, dry bool
	binary              bool // the body is plain bytes
}

const prefix = "/api/v1"

const metaOperation = "operation"

type reply[O any] struct {
	Body O
}

// add registers an operation. In has path and query parameters and perhaps a Body.
func add[In, Out any](s *server, op operation, act func(ctx context.Context, actor access.Actor, in *In) (Out, error)) {
	h := huma.Operation{
		OperationID: op.id, Method: op.method, Path: prefix + op.path, Summary: op.summary,
		DefaultStatus: op.status, MaxBodyBytes: op.limit, BodyReadTimeout: time.Minute,
		Metadata: map[string]any{metaOperation: &op}, Middlewares: huma.Middlewares{s.receive},
		Responses: map[string]*huma.Response{"default": {Description: "A refusal", Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Refusal](), true, "")},
		}}},
	}
	if op.limit == 0 {
		h.MaxBodyBytes = MaxBody
	}
	if op.permission != "" {
		h.Security = []map[string][]string{{"token": {}}}
		h.Extensions = map[string]any{"x-permission": string(op.permission)}
	}
	if op.repeatable() {
		h.Parameters = append(h.Parameters, &huma.Param{
			Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(maxKey)},
			Description: "Any text of your own. The same request with the same key takes place once.",
		})
	}
	if op.binary {
		h.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	}
	huma.Register(s.huma, h, func(ctx context.Context, in *In) (*reply[Out], error) {
		out, err := act(ctx, actorOf(ctx), in)
		if err != nil {
			return nil, s.refuse(ctx, err)
		}
		return &reply[Out]{out}, nil
	})
}

func (op *operation) repeatable() bool {
	return op.method != http.MethodGet && !op.stream && !op.dry
}

// exchange is one request on its way through an operation.
type exchange struct {
	inner
	ctx    context.Context //nolint:containedctx // lives as long as the request
	body   io.Reader       // nil: the request's own
	status int             // 0: as the handler says
	keep   *kept           // nil: the answer goes straight out
}

type inner huma.Context

func (x *exchange) Context() context.Context { return x.ctx }

func (x *exchange) BodyReader() io.Reader {
	if x.body != nil {
		return x.body
	}
	return x.inner.BodyReader()
}

func (x *exchange) SetStatus(code int) {
	if x.status != 0 {
		code = x.status
	}
	if x.keep != nil {
		x.keep.status = code
		return
	}
	x.inner.SetStatus(code)
}

func (x *exchange) BodyWriter() io.Writer {
	if x.keep != nil {
		return &x.keep.body
	}
	return x.inner.BodyWriter()
}

type exchangeKey struct{}

func actorOf(ctx context.Context) access.Actor {
	a, _ := ctx.Value(actorKey{}).(access.Actor) // the zero Actor may do nothing
	return a
}

// receive finds out who asks and whether they may, before a body is read.
func (s *server) receive(ctx huma.Context, next func(huma.Context)) {
	op, _ := ctx.Operation().Metadata[metaOperation].(*operation)
	ctx.SetHeader("Cache-Control", "no-store")
	x := &exchange{inner: ctx, ctx: ctx.Context()}
	x.ctx = context.WithValue(x.ctx, exchangeKey{}, about{lang: ctx.Header("Accept-Language"), operation: op.id})
	actor, err := s.whoAsks(ctx)
	if err == nil && op.permission != "" {
		if actor.Kind == "" {
			err = problem.New(problem.Unauthenticated, NotSignedIn)
		} else {
			err = access.May(actor, op.permission)
		}
	}
	if err != nil {
		s.answer(x, err)
		return
	}
	x.ctx = WithActor(x.ctx, actor)
	if key := ctx.Header(idempotencyHeader); key != "" && op.repeatable() {
		s.once(x, op, actor, key, next)
		return
	}
	next(x)
}

func (s *server) whoAsks(ctx huma.Context) (access.Actor, error) {
	header := ctx.Header("Authorization")
	if header == "" {
		return actorOf(ctx.Context()), nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return access.Actor{}, problem.New(problem.Unauthenticated, NotSignedIn)
	}
	var actor access.Actor
	err := s.DB.Read(ctx.Context(), func(tx *db.Tx) (err error) {
		actor, err = access.Authenticate(tx, access.ParseSecret(strings.TrimSpace(token)))
		return err
	})
	return actor, err
}

// requestID marks an internal error, in the answer and in the log.
func (s *server) requestID() string {
	var b [8]byte
	if _, err := io.ReadFull(s.Random, b[:]); err != nil {
		return "" // the log has the error all the same
	}
	return hex.EncodeToString(b[:])
}

// unknownRoutes answers what the mux has no operation for.
func (s *server) unknownRoutes(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := problem.New(problem.NotFound, RouteUnknown, "method", r.Method, "path", r.URL.Path)
		if allowed := allowedMethods(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			refusal = problem.New(problem.Invalid, MethodWrong, "method", r.Method, "path", r.URL.Path, "methods", allowed)
		}
		s.send(w, s.render(r.Context(), r.Header.Get("Accept-Language"), "", refusal))
	})
}

func allowedMethods(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// schemaName is huma's name of a schema, with its package's before it where that
// is another one: two packages may have a type of the same name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if from := path.Base(t.PkgPath()); from != "api" && from != "." && t.Name() != "" {
		name = strings.ToUpper(from[:1]) + from[1:] + name
	}
	return name
}
