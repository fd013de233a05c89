package wire_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
)

func client(t *testing.T, url string) *wire.Client {
	t.Helper()
	c, err := wire.NewClient(wire.Config{URL: url, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A network that fails is named in terms that an administrator can act on, with
// the host to allow. rule K17
func TestNetworkFailures(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler()) // signed by nobody whom we know
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	tests := []struct {
		name, url string
		want      problem.Code
	}{
		{"no such name", "http://no-such-host.invalid", wire.NameNotResolved},
		{"silence", "http://" + silent.Addr().String(), wire.Timeout},
		{"nobody listens", "http://" + refused.Addr().String(), wire.Unreachable},
		{"unknown certificate", secure.URL, wire.TLSFailed},
		{"no TLS there", strings.Replace(plain.URL, "http:", "https:", 1), wire.TLSFailed},
		{"another protocol", plain.URL, wire.Unexpected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, tt.url)
			_, err := c.Nonce(context.Background())
			p, ok := problem.As(err)
			if !ok || p.Code != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			host := strings.TrimPrefix(strings.TrimPrefix(tt.url, "https://"), "http://")
			if p.Args["host"] != host || p.Kind != problem.Unavailable {
				t.Errorf("%s %v", p.Kind, p.Args)
			}
			if sentence, hint := locales.New("en").Problem(p); !strings.Contains(sentence, host) || hint == "" {
				t.Errorf("%q, %q", sentence, hint)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "localhost:1", "ftp://host", "https://user@host", "https://host?x=1", "://"} {
		if _, err := wire.NewClient(wire.Config{URL: bad}); problem.CodeOf(err) != wire.AddressBad {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A refusal comes out at the other end as it went in.
func TestProblemsTravel(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusal := problem.New(problem.Throttled, "wire.body-too-large", "limit", 7)
		wire.WriteProblem(w, wire.Render(refusal, locales.New(r.Header.Get("Accept-Language"))))
	}))
	defer server.Close()
	_, err := client(t, server.URL).Activate(context.Background(), []string{"x"})
	p, ok := problem.As(err)
	if !ok || p.Kind != problem.Throttled || p.Code != wire.BodyTooLarge || p.Args["limit"] != 7.0 {
		t.Errorf("%v", err)
	}
}

// A device asks the server that it was told to ask, and no other.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the client went elsewhere") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	if _, err := client(t, server.URL).Nonce(context.Background()); problem.CodeOf(err) != wire.Unexpected {
		t.Error(err)
	}
}

// Answers that do not match the requests are no answers.
func TestResultsAreCounted(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		wire.WriteJSON(w, http.StatusOK, wire.ActivationResults{Results: make([]wire.ActivationResult, 2)})
	}))
	defer server.Close()
	if _, err := client(t, server.URL).Activate(context.Background(), []string{"one"}); problem.CodeOf(err) != wire.Unexpected {
		t.Error(err)
	}
}

// A payload goes on where it broke off, with a server that has ranges and with
// one that has none.
func TestContentGoesOn(t *testing.T) {
	const digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	for name, handler := range map[string]http.HandlerFunc{
		"ranges": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("hello"))
		},
		"no ranges": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			body, err := client(t, server.URL).Content(context.Background(), digest, "", 2)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if rest, err := io.ReadAll(body); err != nil || string(rest) != "llo" {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

// A server that falls silent ends a download, wherever that happens, and a slow
// one does not. rule K17
func TestContentStalls(t *testing.T) {
	const digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	const stall = 300 * time.Millisecond
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	begun := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hel")
		_ = http.NewResponseController(w).Flush()
		silent(w, r)
	}
	slow := func(w http.ResponseWriter, _ *http.Request) {
		for _, c := range "hello" {
			_, _ = io.WriteString(w, string(c))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(stall / 3)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		offset  int64
		config  wire.Config
		got     string
		want    problem.Code
	}{
		{"before the answer", silent, 0, wire.Config{Stall: stall}, "", wire.Timeout},
		{"before the answer, by the transport", silent, 0, wire.Config{Timeout: stall}, "", wire.Timeout},
		{"in the middle", begun, 0, wire.Config{Stall: stall}, "hel", wire.Timeout},
		{"in what is skipped", begun, 4, wire.Config{Stall: stall}, "", wire.Timeout},
		{"only slow", slow, 0, wire.Config{Stall: stall}, "hello", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			tt.config.URL = server.URL
			c, err := wire.NewClient(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*stall)
			defer cancel()
			var got []byte
			body, err := c.Content(ctx, digest, "", tt.offset)
			if err == nil {
				defer body.Close()
				got, err = io.ReadAll(body)
			}
			if problem.CodeOf(err) != tt.want || string(got) != tt.got || ctx.Err() != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}

	// Time that the reader takes for itself is nobody's silence.
	server := httptest.NewServer(http.HandlerFunc(slow))
	defer server.Close()
	c, err := wire.NewClient(wire.Config{URL: server.URL, Stall: stall})
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Content(context.Background(), digest, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	time.Sleep(2 * stall)
	first := make([]byte, 1)
	if _, err := io.ReadFull(body, first); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * stall)
	if got, err := io.ReadAll(body); string(first)+string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	tests := []struct {
		body string
		want problem.Code
	}{
		{`{"requests":["a"]}`, ""},
		{`{"requests":["a"],"more":1}`, wire.BodyMalformed},
		{`{"requests":["a"]} x`, wire.BodyMalformed},
		{`["a"]`, wire.BodyMalformed},
		{``, wire.BodyMalformed},
		{`{"requests":["` + strings.Repeat("a", 100) + `"]}`, wire.BodyTooLarge},
	}
	for _, tt := range tests {
		var in wire.Activations
		if err := wire.Decode(strings.NewReader(tt.body), 60, &in); problem.CodeOf(err) != tt.want {
			t.Errorf("%s: %v", tt.body, err)
		}
	}
}

// Every kind has a status, and comes back from its name.
func TestKinds(t *testing.T) {
	for k := problem.Internal; k <= problem.Unavailable; k++ {
		if wire.Status(k) < 400 || problem.ParseKind(k.String()) != k {
			t.Errorf("%s: status %d", k, wire.Status(k))
		}
	}
	if problem.ParseKind("odd") != problem.Internal {
		t.Error("an unknown kind is not internal")
	}
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"code":"a.b","kind":"refused","args":{"x":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var d wire.Problem
		if json.Unmarshal(text, &d) != nil {
			return
		}
		if sentence, hint := locales.New("en").Problem(d.Problem()); sentence == "" || hint == "" {
			t.Errorf("%s renders as %q, %q", text, sentence, hint)
		}
	})
}
