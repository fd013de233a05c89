package office_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	vendor "github.com/openesu/openesu/internal/authority"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/cli/authority"
	"github.com/openesu/openesu/internal/cli/office"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
)

// shell runs commands in this process against one folder.
type shell struct {
	*testing.T
	env map[string]string
	out string
	err string
}

func (s *shell) run(args ...string) int {
	var out, errs bytes.Buffer
	world := cli.World{
		Args: args, Getenv: func(name string) string { return s.env[name] }, In: strings.NewReader(""), Out: &out, Err: &errs,
		Now: func() time.Time { return time.Date(2021, 1, 4, 12, 0, 0, 0, time.UTC) },
	}
	code := cli.Run(s.Context(), "esu", "test", world, func(env *cli.Env) []*cobra.Command {
		return office.Commands(env, authority.Open(env), authority.Commands(env)...)
	})
	s.out, s.err = out.String(), errs.String()
	return code
}

// ask runs a command that must succeed and decodes its document.
func ask[O any](s *shell, args ...string) O {
	s.Helper()
	var out O
	if code := s.run(append(args, "-o", "json")...); code != term.Done {
		s.Fatalf("%v: exit code %d\n%s", args, code, s.err)
	}
	if err := json.Unmarshal([]byte(s.out), &out); err != nil {
		s.Fatalf("%v: %v\n%s", args, err, s.out)
	}
	return out
}

// refused runs a command that must be refused, and reads the problem.
func (s *shell) refused(code int, args ...string) wire.Problem {
	s.Helper()
	var p wire.Problem
	if got := s.run(append(args, "-o", "json")...); got != code {
		s.Fatalf("%v: exit code %d, want %d\n%s", args, got, code, s.err)
	}
	if err := json.Unmarshal([]byte(s.out), &p); err != nil {
		s.Fatalf("%v: %v\n%s", args, err, s.out)
	}
	return p
}

func newShell(t *testing.T) *shell {
	s := &shell{T: t, env: map[string]string{"ESU_DATA": filepath.Join(t.TempDir(), "vendor")}}
	ask[vendor.Made](s, "authority", "init", "--name", "Test")
	ask[api.Imported](s, "program", "import", "windows-7")
	ask[sales.Customer](s, "customer", "add", "Contoso")
	ask[sales.Partner](s, "partner", "add", "Fabrikam", "--channel", "csp")
	return s
}

func TestKeys(t *testing.T) {
	s := newShell(t)
	placed := ask[api.Placed](s, "order", "place", "--customer", "contoso", "--channel", "csp", "--currency", "usd", "--seller", "Fabrikam",
		"--year", "1", "--quantity", "2")
	five := placed.Keys[0].LastFive
	if shown := ask[api.Key](s, "key", "show", five); shown.ID != placed.Keys[0].ID || shown.Remaining != 2 {
		t.Errorf("shown %+v", shown)
	}
	if whole := ask[api.RevealedKey](s, "key", "show", five, "--reveal"); !strings.HasSuffix(whole.Key, five) || len(whole.Key) != 29 {
		t.Errorf("revealed %+v", whole)
	}
	if raised := ask[api.Key](s, "key", "limit", "raise", "--key", five, "--by", "3", "--reason", "new disks"); raised.Limit != 5 {
		t.Errorf("raised %+v", raised)
	}
	s.refused(term.WrongUse, "key", "limit", "raise", "--by", "3", "--reason", "which?")
	asked := ask[keyring.Request](s, "key", "limit", "ask", five, "--by", "4", "--reason", "more disks")
	if decided := ask[api.Decided](s, "key", "limit", "grant", string(asked.ID), "--by", "1", "--reason", "one will do"); decided.Key.Limit != 6 {
		t.Errorf("decided %+v", decided)
	}
	if p := s.refused(term.Refused, "key", "limit", "refuse", string(asked.ID), "--reason", "again"); p.Code != keyring.RequestDecided {
		t.Errorf("decided twice: %+v", p)
	}
	if all := ask[api.LimitRequests](s, "key", "limit", "list", "--key", five); len(all.Requests) != 2 {
		t.Errorf("requests %+v", all)
	}
	if p := s.refused(term.Refused, "key", "block", five); p.Code != keyring.ReasonMissing {
		t.Errorf("no reason: %+v", p)
	}
	ask[api.Key](s, "key", "block", five, "--reason", "leaked")
	if free := ask[api.Key](s, "key", "block", "--undo", five, "--reason", "was not"); free.Blocked != "" {
		t.Errorf("unblocked %+v", free)
	}
	if p := s.refused(term.Refused, "key", "correct", five, "--reason", "looks low"); p.Code != keyring.NothingToCorrect {
		t.Errorf("corrected: %+v", p)
	}
	if p := s.refused(term.Refused, "key", "show", "BBBBB"); p.Code != keyring.KeyUnknown {
		t.Errorf("no such key: %+v", p)
	}
	if p := s.refused(term.Refused, "order", "return", string(placed.Order.ID), "--year", "1", "--quantity", "1"); p.Code != "purchase.return-not-by-seller" {
		t.Errorf("return: %+v", p)
	}
	back := ask[sales.Return](s, "order", "return", string(placed.Order.ID), "--year", "1", "--quantity", "1", "--asked-by", "fabrikam")
	if shown := ask[api.OrderShown](s, "order", "show", string(placed.Order.ID)); len(shown.Returns) != 1 || shown.Returns[0].ID != back.ID || shown.Lines[0].Returned != 1 {
		t.Errorf("order %+v", shown)
	}
}

// A server elsewhere is asked with a token, and the operator behind it may what
// its roles say and no more.
func TestServerWithToken(t *testing.T) {
	s := newShell(t)
	token := filepath.Join(t.TempDir(), "token")
	ask[api.Operator](s, "authority", "operator", "add", "mia", "--role", "sales")
	ask[api.Token](s, "authority", "operator", "token", "mia", "--out", token)
	if info, err := os.Stat(token); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("token file: %v, %v", info, err)
	}
	a, err := vendor.Open(t.Context(), vendor.Config{Dir: s.env["ESU_DATA"], Now: func() time.Time { return time.Date(2021, 1, 5, 0, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.Office())
	remote := []string{"--server", server.URL, "--token-file", token}
	with := func(args ...string) []string { return append(args, remote...) }
	if all := ask[api.Customers](s, with("customer", "list")...); len(all.Customers) != 1 {
		t.Errorf("customers %+v", all)
	}
	if added := ask[sales.Customer](s, with("customer", "add", "Fab/rikam & Söhne")...); ask[sales.Customer](s, with("customer", "show", added.Name)...).ID != added.ID {
		t.Error("a name with a slash is not found")
	}
	if p := s.refused(term.Refused, with("authority", "operator", "add", "eve", "--role", "owner")...); p.Code != "access.forbidden" {
		t.Errorf("sales adds an operator: %+v", p)
	}
	// The folder is the server's while it runs.
	if p := s.refused(term.Failed, "customer", "list"); p.Code != "storage.in-use" {
		t.Errorf("a second owner: %+v", p)
	}
	server.Close()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if p := s.refused(term.Failed, with("customer", "list")...); p.Code != office.Unreachable {
		t.Errorf("no server: %+v", p)
	}
	if strings.Contains(s.err, "esu_") {
		t.Errorf("the token is shown: %s", s.err)
	}
	html := httptest.NewServer(nil)
	defer html.Close()
	if p := s.refused(term.Failed, "customer", "list", "--server", html.URL, "--token-file", token); p.Code != office.Unexpected {
		t.Errorf("another server: %+v", p)
	}
}
