package activations_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
)

const serverRole = "ESU_TEST_ACTIVATION_SERVER"

// TestServer is the server process of TestKilledInTheMiddle. Run by itself it does nothing.
func TestServer(t *testing.T) {
	role := os.Getenv(serverRole)
	if role == "" {
		t.Skip("only as the server of another test")
	}
	path, url, sealing := cut3(role)
	d, err := db.Open(t.Context(), db.Config{Path: path, URL: url, Migrations: schema.Migrations(), Now: at})
	if err != nil {
		t.Fatal(err)
	}
	o := openSealed(t, d, 8, sealing)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	server := http.Server{Handler: frontdoor.Handler(frontdoor.Config{Backend: counter{o}, Now: at}), ReadHeaderTimeout: time.Minute}
	t.Log(server.Serve(listener)) // until it is killed
}

func cut3(s string) (a, b, c string) {
	a, rest, _ := strings.Cut(s, "|")
	b, c, _ = strings.Cut(rest, "|")
	return a, b, c
}

// A server that is killed in the middle of 64 clients on 50 seats has lost no
// license that it acknowledged, and counts exactly to the limit when it is back.
// rule K5, K7
func TestKilledInTheMiddle(t *testing.T) {
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		const clients, seats = 64, 50
		c.Now = at
		sealing := filepath.Join(t.TempDir(), "sealing")
		if err := keyring.NewSealingKey(sealing, rand.Reader); err != nil {
			t.Fatal(err)
		}
		d := dbtest.Open(t, c)
		o := openSealed(t, d, 0, sealing)
		key, id := o.sell("contoso", seats)
		requests := make([]string, clients)
		for i := range requests {
			requests[i] = o.request(fmt.Sprint("device ", i), key, nil)
		}

		acknowledged := make([]string, clients)
		for kill := range 3 {
			server := start(t, c, sealing)
			var mu sync.Mutex
			got := 0
			var wait sync.WaitGroup
			for i := range clients {
				wait.Go(func() {
					result, err := server.activate(requests[i])
					if err != nil {
						return // the server is gone; nothing was acknowledged
					}
					mu.Lock()
					defer mu.Unlock()
					if acknowledged[i] != "" && result.License != acknowledged[i] {
						t.Errorf("device %d: another license after the crash: %+v", i, result)
					}
					if result.License != "" {
						acknowledged[i] = result.License
					}
					if got++; got == 10*(kill+1) {
						server.kill()
					}
				})
			}
			wait.Wait()
			server.kill()
		}

		server := start(t, c, sealing)
		licenses := map[string]bool{}
		for i := range clients {
			result, err := server.activate(requests[i])
			switch {
			case err != nil:
				t.Fatal(err)
			case result.License == "" && acknowledged[i] != "":
				t.Errorf("device %d: its license is lost: %+v", i, result.Problem)
			case result.License != "":
				licenses[result.License] = true
			case result.Problem.Code != activation.LimitReached:
				t.Errorf("device %d: %+v", i, result.Problem)
			}
		}
		if len(licenses) != seats {
			t.Errorf("%d licenses, want %d", len(licenses), seats)
		}
		if n, highest := o.ledger(id); n != seats || highest != seats {
			t.Errorf("%d rows, the last is seat %d", n, highest)
		}
		if k := o.key(id); k.Used != seats {
			t.Errorf("used %d", k.Used)
		}
		o.intact()
	})
}

type process struct {
	*exec.Cmd
	url  string
	once sync.Once
}

// start runs the test binary as the server and waits until it listens.
func start(t *testing.T, c db.Config, sealing string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], "-test.run=^TestServer$", "-test.v")}
	p.Env = append(os.Environ(), serverRole+"="+c.Path+"|"+c.URL+"|"+sealing)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "listening on "); ok {
			p.url = "http://" + address + "/v1/activations"
			go func() {
				for lines.Scan() { // or it would wait for us
				}
			}()
			return p
		}
	}
	t.Fatal("the server did not start")
	return nil
}

func (p *process) kill() {
	p.once.Do(func() {
		_ = p.Process.Kill() // SIGKILL
		_ = p.Wait()
	})
}

func (p *process) activate(request string) (wire.ActivationResult, error) {
	body, err := json.Marshal(wire.Activations{Requests: []string{request}})
	if err != nil {
		return wire.ActivationResult{}, err
	}
	resp, err := http.Post(p.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return wire.ActivationResult{}, err
	}
	defer resp.Body.Close()
	var r wire.ActivationResults
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return wire.ActivationResult{}, err
	}
	if len(r.Results) != 1 {
		return wire.ActivationResult{}, fmt.Errorf("status %s", resp.Status)
	}
	return r.Results[0], nil
}
