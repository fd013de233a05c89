package api_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/programs"
)

// world is a whole authority on SQLite, with a clock that a story moves.
type world struct {
	*testing.T
	dir        string
	authority  *authority.Authority
	office     http.Handler
	publishers []signing.Signer

	mu  sync.Mutex
	now time.Time
}

var owner = access.LocalUser("ann")

func newWorld(t *testing.T) *world {
	w := &world{T: t, dir: t.TempDir(), now: time.Date(2021, 1, 4, 12, 0, 0, 0, time.UTC)}
	c := authority.Config{Dir: w.dir, Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }}
	_, err := authority.Init(t.Context(), c, "Test")
	w.must(err)
	w.authority, err = authority.Open(t.Context(), c)
	w.must(err)
	t.Cleanup(func() { w.must(w.authority.Close()) })
	w.office = w.authority.Office()
	for range 2 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		w.must(err)
		w.publishers = append(w.publishers, signing.New(key))
	}
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// ask is one request; who is nil sends it without an actor.
type ask struct {
	method, path, body string
	who                *access.Actor
	header             map[string]string
}

type got struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(a ask) got {
	w.Helper()
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	ctx := w.Context()
	if a.who != nil {
		ctx = api.WithActor(ctx, *a.who)
	}
	r := httptest.NewRequestWithContext(ctx, a.method, "/api/v1"+a.path, body)
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.office.ServeHTTP(rec, r)
	return got{rec.Code, rec.Result().Header, rec.Body.String()}
}

// ok asks as the owner and decodes the answer.
func ok[O any](w *world, method, path string, document any) O {
	w.Helper()
	text := ""
	if document != nil {
		b, err := json.Marshal(document)
		w.must(err)
		text = string(b)
	}
	return read[O](w, w.do(ask{method: method, path: path, body: text, who: &owner}))
}

func read[O any](w *world, g got) O {
	w.Helper()
	var out O
	if g.status >= 300 {
		w.Fatalf("status %d: %s", g.status, g.body)
	}
	w.must(json.Unmarshal([]byte(g.body), &out))
	return out
}

// refused reads a refusal and holds it to its shape.
func (w *world) refused(g got, status int, code problem.Code) api.Refusal {
	w.Helper()
	var r api.Refusal
	if err := json.Unmarshal([]byte(g.body), &r); err != nil || r.Code != code || g.status != status || r.Status != status {
		w.Errorf("status %d, %s; want %d %s", g.status, g.body, status, code)
		return r
	}
	if ct := g.header.Get("Content-Type"); ct != "application/problem+json" {
		w.Errorf("%s: content type %q", code, ct)
	}
	if r.Detail == "" || r.Hint == "" || r.Title == "" || r.Kind == "" || strings.Contains(r.Detail+r.Hint, "<no value>") {
		w.Errorf("%s: not a whole problem: %s", code, g.body)
	}
	return r
}

// program imports windows-7 with two publishers and signs the targets.
func (w *world) program() {
	w.Helper()
	file, err := programs.File("windows-7")
	w.must(err)
	in := api.ImportProgram{Name: "windows-7.yaml", File: string(file), Threshold: 2}
	for _, p := range w.publishers {
		in.Publishers = append(in.Publishers, signing.PublicText(p.Public()))
	}
	done := ok[api.Imported](w, "POST", "/programs", in)
	if done.Draft == nil {
		w.Fatal("no draft of targets")
	}
	key, err := signing.Open(w.Context(), "file:"+w.dir+"/offline/targets.key", nil)
	w.must(err)
	signed := w.sign("/trust/targets/draft", *done.Draft, key)
	if signed.Draft.Missing != 0 || !signed.Published.Targets {
		w.Fatalf("targets: %+v", signed)
	}
}

func (w *world) sign(path string, d api.Draft, keys ...signing.Signer) api.Signed {
	w.Helper()
	draft, err := trust.ParseDraft([]byte(d.Document))
	w.must(err)
	for _, k := range keys {
		w.must(draft.Sign(context.Background(), k))
	}
	text, err := draft.Document()
	w.must(err)
	return ok[api.Signed](w, "POST", path, api.SignedDraft{Document: string(text)})
}

// token adds an operator of the vendor and makes a token for it.
func (w *world) token(name string, roles ...access.Role) string {
	w.Helper()
	ok[api.Operator](w, "POST", "/operators", api.AddOperator{Name: name, Roles: roles})
	t := ok[api.IssuedToken](w, "POST", "/operators/"+name+"/tokens", api.IssueToken{Expires: w.now.Add(24 * time.Hour)})
	return t.Secret
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
