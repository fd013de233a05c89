package authority_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/openesu/openesu/internal/agent"
)

// writeMachineID gives a root the identity of a system.
func writeMachineID(t *testing.T, root, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%032x\n", fmt.Appendf(nil, "%16.16s", name))
	if err := os.WriteFile(filepath.Join(root, "etc", "machine-id"), []byte(id), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reopen points a device to the address at which the authority came back.
func reopen(v *vendor, d *agent.Device) *agent.Device {
	v.Helper()
	root := filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(d.LogFile()))))
	return agent.Open(agent.Config{Root: root, Now: v.now, Transport: elsewhere{v.url}})
}

// elsewhere sends every request to one server, as a name that moved would.
type elsewhere struct{ url string }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = e.url[len("http://"):]
	r.Host = r.URL.Host
	return http.DefaultTransport.RoundTrip(r)
}

func unixTransport(path string) http.RoundTripper {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
}
