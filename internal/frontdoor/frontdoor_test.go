package frontdoor_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/update"
)

const (
	gated   = update.Digest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	ungated = update.Digest("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
	staged  = update.Digest("cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc")
)

// shop has what was released; it answers as an authority or a site does.
type shop struct {
	payloads map[update.Digest]*update.Update
}

func (s shop) Payload(_ context.Context, d update.Digest) (*frontdoor.Payload, error) {
	u, ok := s.payloads[d]
	if !ok {
		return nil, problem.New(problem.NotFound, depot.NotFound, "digest", d)
	}
	return &frontdoor.Payload{Body: file{bytes.NewReader([]byte("the bytes of " + u.ID))}, Updates: []*update.Update{u}}, nil
}

func (shop) Metadata(_ context.Context, name string) ([]byte, error) { return []byte(name), nil }
func (shop) Report(context.Context, string) error                    { return nil }
func (shop) History(_ context.Context, id program.ID) (*wire.History, error) {
	return &wire.History{Program: id}, nil
}

func (shop) Activate(_ context.Context, requests []string) ([]frontdoor.Answer, error) {
	answers := make([]frontdoor.Answer, len(requests))
	for i, r := range requests {
		answers[i] = frontdoor.Answer{License: license.Token(r)}
		if r == "bad" {
			answers[i] = frontdoor.Answer{Err: io.ErrUnexpectedEOF}
		}
	}
	return answers, nil
}

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// world is a front door with a clock that a test moves.
type world struct {
	authority *licensetest.Authority
	program   *program.Program
	now       time.Time
	client    *wire.Client
	url       string
}

// Verifier makes the world the door's trust.
func (w *world) Verifier(id program.ID) (license.Verifier, bool) {
	return license.Verifier{Program: w.program, Keys: w.authority.Keys}, id == w.program.ID
}

func open(t *testing.T) *world {
	t.Helper()
	text, err := programs.File("appliance-os")
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Parse("appliance-os.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{authority: licensetest.NewAuthority(t, "vendor", p), program: p, now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	year2, _ := p.Tracks[0].Year(2)
	backend := shop{payloads: map[update.Digest]*update.Update{
		gated:   {ID: "BOX-2", Program: p.ID, Released: year2.First, Years: update.YearsOn(p, year2.First, false)},
		ungated: {ID: "STACK", Program: p.ID, Released: year2.First, Ungated: true, Years: map[program.TrackID]program.Year{p.Tracks[0].ID: 0}},
	}}
	server := httptest.NewServer(frontdoor.Handler(frontdoor.Config{
		Backend: backend, Trust: w, Audience: "vendor", Nonces: frontdoor.NewNonces([32]byte{1}, time.Minute), Now: func() time.Time { return w.now },
		Signer: frontdoor.Signer{
			Authority: "vendor", KeyID: func(program.ID) license.KeyID { return "access-1" },
			Key: func(program.ID) ed25519.PrivateKey { return w.authority.Access },
		},
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	if w.client, err = wire.NewClient(wire.Config{URL: server.URL}); err != nil {
		t.Fatal(err)
	}
	return w
}

// request is an access request of a device that shows licenses for years.
func (w *world) request(t *testing.T, nonce string, d, shows licensetest.Device, years ...program.Year) string {
	t.Helper()
	r := license.AccessRequest{Nonce: nonce, Audience: "vendor", Program: w.program.ID, Fingerprint: d.Fingerprint}
	for _, y := range years {
		r.Licenses = append(r.Licenses, w.authority.Sign(t, w.authority.Claims(t, shows, w.program.Tracks[0].ID, y)))
	}
	text, err := license.NewAccessRequest(r, jws.InMemory(d.Key))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (w *world) token(t *testing.T, years ...program.Year) string {
	t.Helper()
	nonce, err := w.client.Nonce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := licensetest.NewDevice("one")
	token, err := w.client.Access(t.Context(), w.request(t, nonce, d, d, years...))
	if err != nil {
		t.Fatal(err)
	}
	return token.Token
}

// Gated bytes go to who proves the year, ungated ones to everybody, staged ones
// to nobody. rule D3, D5, P8
func TestWhoGetsBytes(t *testing.T) {
	w := open(t)
	year1, year2 := w.token(t, 1), w.token(t, 2)
	tests := []struct {
		name   string
		digest update.Digest
		token  string
		want   problem.Code
	}{
		{"the year", gated, year2, ""},
		{"another year", gated, year1, frontdoor.NotCovered},
		{"no token", gated, "", frontdoor.TokenMissing},
		{"a token of nobody", gated, "x.y.z", license.Malformed},
		{"ungated", ungated, "", ""},
		{"staged", staged, year2, depot.NotFound},
		{"no digest", "odd", year2, depot.NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, err := w.client.Content(t.Context(), tt.digest, tt.token, 0)
			if problem.CodeOf(err) != tt.want || err != nil && tt.want == "" {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if err == nil {
				defer body.Close()
				if text, err := io.ReadAll(body); err != nil || !bytes.HasPrefix(text, []byte("the bytes of ")) {
					t.Errorf("%q, %v", text, err)
				}
			}
		})
	}
	w.now = w.now.Add(25 * time.Hour)
	if _, err := w.client.Content(t.Context(), gated, year2, 0); problem.CodeOf(err) != license.AccessExpired {
		t.Errorf("a day later: %v", err)
	}
}

func TestWhoGetsATokenAndWhoNot(t *testing.T) {
	w := open(t)
	d, other := licensetest.NewDevice("one"), licensetest.NewDevice("other")
	fresh := func() string {
		n, err := w.client.Nonce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	stale := fresh()
	w.now = w.now.Add(2 * time.Minute)
	forged := frontdoor.NewNonces([32]byte{2}, time.Minute).New(w.now)
	tests := []struct {
		name    string
		request string
		want    problem.Code
	}{
		{"stale nonce", w.request(t, stale, d, d, 1), frontdoor.NonceWrong},
		{"nonce of another server", w.request(t, forged, d, d, 1), frontdoor.NonceWrong},
		{"license of another device", w.request(t, fresh(), d, other, 1), license.OtherDevice},
		{"no request", "x", license.RequestMalformed},
	}
	for _, tt := range tests {
		if _, err := w.client.Access(t.Context(), tt.request); problem.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// What is no refusal is told as an internal error, and nothing more.
func TestInternalErrorsStayInside(t *testing.T) {
	w := open(t)
	results, err := w.client.Activate(t.Context(), []string{"good", "bad"})
	if err != nil || results[0].License != "good" || results[1].Problem == nil || results[1].Problem.Code != wire.InternalError {
		t.Fatalf("%+v, %v", results, err)
	}
	if p := results[1].Problem; p.Status != http.StatusInternalServerError || bytes.Contains([]byte(p.Detail), []byte("EOF")) {
		t.Errorf("%+v", p)
	}
}

// A 404 is kept by nobody, and what never changes by everybody.
func TestCaching(t *testing.T) {
	w := open(t)
	for path, want := range map[string]string{
		"/content/sha256/" + string(staged):  "no-store",
		"/content/sha256/" + string(ungated): "private, max-age=31536000, immutable",
		"/tuf/timestamp.json":                "no-cache",
		"/tuf/3.snapshot.json":               "public, max-age=31536000, immutable",
		"/v1/nonce":                          "no-store",
	} {
		resp, err := http.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestNonces(t *testing.T) {
	n := frontdoor.NewNonces([32]byte{9}, time.Minute)
	at := civil.MustParse("2026-11-21").In(time.UTC)
	nonce := n.New(at)
	for name, tt := range map[string]struct {
		nonce string
		now   time.Time
		want  bool
	}{
		"at once":  {nonce, at, true},
		"in time":  {nonce, at.Add(time.Minute), true},
		"too late": {nonce, at.Add(time.Minute + time.Second), false},
		"from another process, whose clock is a little ahead": {nonce, at.Add(-20 * time.Second), true},
		"from later": {nonce, at.Add(-time.Minute), false},
		"changed":    {"A" + nonce[1:], at, nonce[0] == 'A'},
		"empty":      {"", at, false},
		"short":      {nonce[:10], at, false},
	} {
		if got := n.Valid(tt.nonce, tt.now); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
