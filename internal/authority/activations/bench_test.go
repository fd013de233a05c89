package activations_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/authority/activations"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// counter is the part of an authority that the benchmark needs: the real room
// behind the real front door, and nothing that was released.
type counter struct{ o *office }

func (c counter) Activate(ctx context.Context, requests []string) ([]frontdoor.Answer, error) {
	return c.o.room.Activate(ctx, license.Online, requests)
}
func (counter) Metadata(context.Context, string) ([]byte, error) { return nil, notHere() }
func (counter) Report(context.Context, string) error             { return notHere() }
func (counter) Payload(context.Context, update.Digest) (*frontdoor.Payload, error) {
	return nil, notHere()
}
func (counter) History(context.Context, program.ID) (*wire.History, error) { return nil, notHere() }

func notHere() error { return problem.New(problem.NotFound, frontdoor.ProgramUnknown, "program", "") }

// BenchmarkActivate is activations over HTTP on loopback, durable, by 16 and 64
// clients with requests signed beforehand, beside the same engine's commits of
// one row in the same run.
func BenchmarkActivate(b *testing.B) {
	for _, engine := range []struct {
		name   string
		config func(b *testing.B) db.Config
	}{
		{"SQLite", func(b *testing.B) db.Config { return db.Config{Path: filepath.Join(b.TempDir(), "esu.db")} }},
		{"PostgreSQL", func(b *testing.B) db.Config { return db.Config{URL: dbtest.PostgreSQL(b)} }},
	} {
		c := engine.config(b)
		c.Migrations = schema.Migrations()
		d := dbtest.Open(b, c)
		o := open(b, d, 0)
		b.Run(engine.name+"/one-row-commits", func(b *testing.B) { oneRowCommits(b, d, 1) })
		b.Run(engine.name+"/hot-row-commits-16", func(b *testing.B) { oneRowCommits(b, d, 16) })
		b.Run(engine.name+"/store", func(b *testing.B) { o.store(b) })
		for _, clients := range []int{16, 64} {
			b.Run(fmt.Sprintf("%s/%d-clients", engine.name, clients), func(b *testing.B) { o.load(b, clients) })
		}
	}
}

// oneRowCommits adds to one and the same row, a commit each.
func oneRowCommits(b *testing.B, d *db.DB, clients int) {
	each := func() error {
		return d.Write(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO unknown_keys (minute, tries) VALUES (1, 1)
				ON CONFLICT (minute) DO UPDATE SET tries = unknown_keys.tries + 1`)
			return err
		})
	}
	spread(b, clients, func(int) error { return each() })
}

// store is batches of 256 verified requests, one transaction each, from one
// goroutine: what is left when HTTP and the devices' signatures are taken away.
func (o *office) store(b *testing.B) {
	const size = 256
	inner := &office{TB: b, db: o.db, program: o.program, authority: o.authority, ring: o.ring, room: o.room, writer: o.writer}
	key, _ := inner.sell("bench", b.N)
	requests := make([]*activation.Request, b.N)
	for i := range requests {
		var err error
		if requests[i], err = activation.ParseRequest(inner.request(fmt.Sprint(b.Name(), b.N, i), key, nil), "vendor"); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	start := time.Now()
	for batch := range slices.Chunk(requests, size) {
		if err := activations.Commit(context.Background(), inner.room, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "per-second")
}

func (o *office) load(b *testing.B, clients int) {
	inner := &office{TB: b, db: o.db, program: o.program, authority: o.authority, ring: o.ring, room: o.room, writer: o.writer}
	key, _ := inner.sell("bench", b.N)
	bodies := make([][]byte, b.N)
	for i := range bodies {
		text, err := json.Marshal(wire.Activations{Requests: []string{inner.request(fmt.Sprint(b.Name(), b.N, i), key, nil)}})
		if err != nil {
			b.Fatal(err)
		}
		bodies[i] = text
	}
	handler := frontdoor.Handler(frontdoor.Config{Backend: counter{inner}, Now: time.Now})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	url := "http://" + listener.Addr().String() + "/v1/activations"
	spread(b, clients, func(i int) error {
		resp, err := client.Post(url, "application/json", bytes.NewReader(bodies[i]))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"license"`)) {
			return fmt.Errorf("%s: %s, %w", resp.Status, text, err)
		}
		return nil
	})
}

// spread runs b.N calls over so many goroutines.
func spread(b *testing.B, clients int, call func(i int) error) {
	var next atomic.Int64
	done := make(chan error, clients)
	b.ResetTimer()
	start := time.Now()
	for range clients {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					done <- nil
					return
				}
				if err := call(i); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "per-second")
}
