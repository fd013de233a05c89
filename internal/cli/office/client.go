package office

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
)

// Place is where an authority is.
type Place struct {
	Data     string // its folder
	Database string // postgres://…; "" is the SQLite database in the folder
}

// Opener opens an authority in this process and returns its office API, which
// acts as the user who runs the process. A folder that another process owns is a
// problem. The closer is called once, after the last request.
type Opener func(ctx context.Context, at Place) (http.Handler, io.Closer, error)

const (
	// AddressBad is a server address that is no http or https URL.
	AddressBad problem.Code = "office.address-malformed"
	// Unreachable is a server that cannot be asked.
	Unreachable problem.Code = "office.unreachable"
	// Unexpected is an answer that is none of the office API.
	Unexpected problem.Code = "office.unexpected-answer"
	// TokenMissing is a server without a token for it.
	TokenMissing problem.Code = "office.token-missing"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 256 << 20

// socketName is where a server answers in its data folder.
const socketName = "esu.sock"

// inHouse stands for an authority that needs no address.
const inHouse = "http://office"

// office is what all commands share: the person's terminal and where the
// authority is.
type office struct {
	env  *cli.Env
	open Opener
	at   Place

	server, tokenFile, key string
}

// reach adds the flags that say where the authority is.
func (o *office) reach(c *cobra.Command) *cobra.Command {
	f := c.PersistentFlags()
	f.StringVar(&o.at.Data, "data", o.env.Getenv("ESU_DATA"), "the authority's folder (ESU_DATA)")
	f.StringVar(&o.at.Database, "database", o.env.Getenv("ESU_DATABASE"), "postgres://… instead of the folder's own database (ESU_DATABASE)")
	f.StringVar(&o.server, "server", o.env.Getenv("ESU_SERVER"), "the URL of an authority that runs elsewhere (ESU_SERVER)")
	f.StringVar(&o.tokenFile, "token-file", "", "a file with an operator's token (or the token itself in ESU_TOKEN)")
	f.StringVar(&o.key, "idempotency-key", "", "do this once, however often it is asked with the same key")
	return c
}

// session is one command's way to the API.
type session struct {
	*office
	command   *cobra.Command
	base      string
	token     string
	transport http.RoundTripper
	closer    io.Closer
	asked     map[string]int // writes so far, by route
}

// nextKey is the person's key for a command's first write to a route, and one of
// its own for each further one.
func (s *session) nextKey(route string) string {
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[route]++
	if n := s.asked[route]; n > 1 {
		return fmt.Sprintf("%s#%d", s.key, n)
	}
	return s.key
}

// act makes a command's function of one that talks to the API.
func (o *office) act(do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		s, err := o.connect(c)
		if err != nil {
			return err
		}
		err = do(c.Context(), s, args)
		if s.closer != nil {
			err = errors.Join(err, s.closer.Close())
		}
		return err
	}
}

// connect takes the first way that there is: the server that was named, the one
// that runs in the folder, or the folder itself in this process.
func (o *office) connect(c *cobra.Command) (*session, error) {
	s := &session{office: o, command: c, base: inHouse}
	if o.server != "" && (c.Flags().Changed("server") || !c.Flags().Changed("data")) {
		return s, s.dial()
	}
	if o.at.Data == "" {
		return nil, cli.WrongUse(c, "Name the authority: --data FOLDER, or --server URL.")
	}
	socket := filepath.Join(o.at.Data, socketName)
	var d net.Dialer
	if conn, err := d.DialContext(c.Context(), "unix", socket); err == nil {
		_ = conn.Close() // it was only tried
		s.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		}}
		return s, nil
	}
	handler, closer, err := o.open(c.Context(), o.at)
	if err != nil {
		return nil, err
	}
	s.transport, s.closer = inProcess{handler}, closer
	return s, nil
}

func (s *session) dial() error {
	base, err := url.Parse(strings.TrimRight(s.server, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil {
		return problem.New(problem.Invalid, AddressBad, "address", s.server)
	}
	s.base, s.transport = base.String(), http.DefaultTransport
	s.token = s.env.Getenv("ESU_TOKEN")
	if s.tokenFile != "" {
		text, err := durable.ReadFile(s.tokenFile, 1<<10)
		if err != nil {
			return problem.New(problem.NotFound, FileUnreadable, "file", s.tokenFile, "what", cause(err)).Because(err)
		}
		s.token = string(text)
	}
	if s.token = strings.TrimSpace(s.token); s.token == "" {
		return problem.New(problem.Unauthenticated, TokenMissing, "server", s.server)
	}
	if ip := net.ParseIP(base.Hostname()); base.Scheme == "http" && base.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		s.env.Say("warning: the token travels to %s unencrypted; use https", base.Host)
	}
	return nil
}

// inProcess runs a handler as if it were a server.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	w := &answer{header: http.Header{}, status: http.StatusOK}
	r.RequestURI = r.URL.RequestURI()
	t.handler.ServeHTTP(w, r)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type answer struct {
	header  http.Header
	status  int
	written bool
	body    bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.written {
		a.status, a.written = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// get, post, put and remove ask for one operation below /api/v1 and decode its
// answer. A refusal comes back as the problems that it is.
func get[O any](ctx context.Context, s *session, path string, query url.Values) (O, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var out O
	return out, s.call(ctx, http.MethodGet, path, "", nil, 0, &out)
}

func post[O any](ctx context.Context, s *session, path string, document any) (O, error) {
	return send[O](ctx, s, http.MethodPost, path, document)
}

func send[O any](ctx context.Context, s *session, method, path string, document any) (O, error) {
	var out O
	if document == nil {
		return out, s.call(ctx, method, path, "", nil, 0, &out)
	}
	body, err := json.Marshal(document)
	if err != nil {
		return out, fmt.Errorf("encode %s: %w", path, err)
	}
	return out, s.call(ctx, method, path, "application/json", bytes.NewReader(body), int64(len(body)), &out)
}

// at is a path with its parts escaped.
func at(format string, parts ...any) string {
	for i := range parts {
		parts[i] = url.PathEscape(fmt.Sprint(parts[i]))
	}
	return fmt.Sprintf(format, parts...)
}

func (s *session) call(ctx context.Context, method, path, contentType string, body io.Reader, size int64, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, s.base+"/api/v1"+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
		r.ContentLength = size
	}
	r.Header.Set("Accept-Language", s.env.Lang.Lang())
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	if s.key != "" && method != http.MethodGet {
		r.Header.Set("Idempotency-Key", s.nextKey(method+" "+path))
	}
	client := http.Client{Transport: s.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		return problem.New(problem.Unavailable, Unreachable, "server", s.name(), "what", reason(err)).Because(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return problem.New(problem.Unavailable, Unreachable, "server", s.name(), "what", err.Error()).Because(err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return s.refusal(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil { // a newer server may say more
		return s.unexpected(err)
	}
	return nil
}

// name is what people are told of where the API is.
func (s *session) name() string {
	if s.base == inHouse {
		return s.at.Data
	}
	return s.base
}

// reason is an error without the URL that the sentence names.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

func (s *session) unexpected(err error) error {
	return problem.New(problem.Unavailable, Unexpected, "server", s.name(), "what", err.Error()).Because(err)
}

// refusal reads the problems of an answer, and remembers the vendor's codes.
func (s *session) refusal(status int, text []byte) error {
	var r api.Refusal
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&r); err != nil || r.Code == "" {
		return s.unexpected(fmt.Errorf("status %d", status))
	}
	if r.Kind == problem.Internal.String() {
		return fmt.Errorf("%s (request %s)", r.Detail, r.Request)
	}
	return s.problems(append([]wire.Problem{r.Problem}, r.Others...))
}

// problems are documents as errors that the terminal tells.
func (s *session) problems(documents []wire.Problem) error {
	vendor := map[problem.Code]string{}
	all := make([]error, len(documents))
	for i := range documents {
		d := &documents[i]
		if d.Vendor != "" {
			vendor[d.Code] = d.Vendor
		}
		p := d.Problem()
		for name, value := range p.Args {
			p.Args[name] = number(value)
		}
		all[i] = p
	}
	s.env.Vendor = func(code problem.Code) string { return vendor[code] }
	return errors.Join(all...)
}

// number gives numbers back the type that plural forms are chosen by.
func number(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v.String()
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	case []any:
		for i := range v {
			v[i] = number(v[i])
		}
	}
	return value
}

// oneProgram is the program that a flag names, or the only one that there is.
func (s *session) oneProgram(ctx context.Context, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	all, err := get[api.Programs](ctx, s, "/programs", nil)
	if err != nil {
		return "", err
	}
	if len(all.Programs) == 1 {
		return string(all.Programs[0].ID), nil
	}
	return "", cli.WrongUse(s.command, "Name the program: --program ID.")
}

// openFile opens a file that a person named.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, problem.New(problem.NotFound, FileUnreadable, "file", path, "what", cause(err)).Because(err)
	}
	return f, nil
}
