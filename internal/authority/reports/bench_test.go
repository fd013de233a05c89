package reports_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/authority/reports"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/frontdoor"
)

// BenchmarkCheckIn is a check-in with nothing new, by 1, 16 and 64 devices at
// once, over HTTP on loopback with reports signed beforehand; and in the same run,
// on as many goroutines, one bare check of the same kind of signature. The
// devices' side, which is one write and one read of a socket, is in the time:
// "x-verify" is how many signature checks a whole check-in takes as long as.
func BenchmarkCheckIn(b *testing.B) {
	o := newOffice(b, db.Config{Path: filepath.Join(b.TempDir(), "esu.db"), Migrations: schema.Migrations()})
	r := o.room(nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{
		Handler:           frontdoor.Handler(frontdoor.Config{Backend: behind{r}, Nonces: o.nonces, Now: o.clock}),
		ReadHeaderTimeout: time.Minute,
	}
	go server.Serve(listener)
	defer server.Close()
	for _, devices := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d-devices", devices), func(b *testing.B) { o.checkIns(b, r, listener.Addr().String(), devices) })
	}
}

const turns = 20

func (o *office) checkIns(b *testing.B, r *reports.Room, address string, devices int) {
	sessions := make([]*session, devices)
	each := (b.N + devices - 1) / devices
	for i := range sessions {
		s := &session{box: o.box(fmt.Sprintf("bench-%d", o.boxes.Add(1))), requests: make([][]byte, each)}
		s.TB = b
		s.reports(r, true, "")
		for n := range s.requests {
			body := `{"report":"` + s.say(false, nil) + `"}`
			s.requests[n] = fmt.Appendf(nil, "POST /v1/reports HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body)
		}
		var err error
		if s.conn, err = net.Dial("tcp", address); err != nil {
			b.Fatal(err)
		}
		defer s.conn.Close()
		s.answers = bufio.NewReader(s.conn)
		sessions[i] = s
	}
	message := bytes.Repeat([]byte("x"), 600) // as long as the signed part of a report
	for _, s := range sessions {
		s.message, s.signature = message, ed25519.Sign(s.Key, message)
	}
	var checkIn, verify time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for turn := range turns { // by turns, so that both meet the same noise
		from, to := each*turn/turns, each*(turn+1)/turns
		checkIn += together(b, sessions, from, to, (*session).checkIn)
		b.StopTimer()
		verify += together(b, sessions, from, to, (*session).verify)
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(checkIn)/float64(verify), "x-verify")
	b.ReportMetric(float64(verify)/float64(each*devices), "verify-ns/op")
	for _, s := range sessions {
		if i, _ := s.row(); i.Counter != 1 || i.Cloned != 0 {
			b.Fatalf("the database was asked: %+v", i)
		}
	}
}

// session is a device with an open connection and what it will send.
type session struct {
	*box
	conn               net.Conn
	answers            *bufio.Reader
	requests           [][]byte
	message, signature []byte
}

func (s *session) checkIn(n int) error {
	if _, err := s.conn.Write(s.requests[n]); err != nil {
		return err
	}
	status, err := s.answers.ReadString('\n')
	if err != nil || !strings.HasPrefix(status, "HTTP/1.1 204 ") {
		return fmt.Errorf("%q: %w", status, err)
	}
	for {
		line, err := s.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 { // the end of the header; there is no body
			return nil
		}
	}
}

func (s *session) verify(int) error {
	if !ed25519.Verify(s.PublicKey.Ed25519(), s.message, s.signature) {
		return fmt.Errorf("%s", s.Fingerprint)
	}
	return nil
}

// together runs all sessions at once, each through a part of its requests, and
// returns how long that took.
func together(b *testing.B, sessions []*session, from, to int, do func(*session, int) error) time.Duration {
	b.Helper()
	begun := time.Now()
	done := make(chan error, len(sessions))
	for _, s := range sessions {
		go func() {
			for n := from; n < to; n++ {
				if err := do(s, n); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range sessions {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begun)
}
