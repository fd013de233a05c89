package db_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
)

func postgres(t *testing.T) (db.Config, *db.DB) {
	t.Helper()
	c := db.Config{URL: dbtest.PostgreSQL(t), Migrations: migrations}
	return c, withKey(t, func() *db.DB { return dbtest.Open(t, c) })
}

func run(t *testing.T, d *db.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		write(t, d, func(tx *db.Tx) error { _, err := tx.Exec(s); return err })
	}
}

// Two transactions lock two keys in opposite order. PostgreSQL ends one, and that
// one is run again.
func TestDeadlockIsRetried(t *testing.T) {
	_, d := postgres(t)
	run(t, d, "INSERT INTO keys (id, version, used) VALUES ('l', 0, 0)")
	var runs atomic.Int32
	var both, all sync.WaitGroup
	both.Add(2)
	for _, order := range [][]string{{"k", "l"}, {"l", "k"}} {
		all.Go(func() {
			var met sync.Once
			if err := d.Write(t.Context(), func(tx *db.Tx) error {
				runs.Add(1)
				if _, err := lock(tx, order[0]); err != nil {
					return err
				}
				met.Do(func() { both.Done(); both.Wait() })
				_, err := lock(tx, order[1])
				if err != nil {
					return errors.New("an act that hides what happened")
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := runs.Load(); n != 3 {
		t.Errorf("the closures ran %d times, want 3", n)
	}
	var sum int
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT SUM(version) FROM keys").Scan(&sum)
	}); err != nil || sum != 4 {
		t.Errorf("%d locks were committed, want 4 (%v)", sum, err)
	}
}

// A real serialization failure, between two real connections.
func TestSerializationFailureIsRetried(t *testing.T) {
	_, d := postgres(t)
	runs := 0
	write(t, d, func(tx *db.Tx) error {
		runs++
		if _, err := tx.Exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
			return err
		}
		var used int
		if err := tx.QueryRow("SELECT used FROM keys").Scan(&used); err != nil {
			return err
		}
		if runs == 1 {
			run(t, d, "UPDATE keys SET used = used + 10")
		}
		_, err := tx.Exec("UPDATE keys SET used = $1", used+1)
		return err
	})
	var used int
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT used FROM keys").Scan(&used)
	}); err != nil || used != 11 || runs != 2 {
		t.Errorf("used %d after %d runs, want 11 after 2 (%v)", used, runs, err)
	}
}

// atCommit makes PostgreSQL run a line of its own language at the commit of each
// transaction that writes an audit row.
func atCommit(t *testing.T, d *db.DB, line string) {
	t.Helper()
	run(t, d, "CREATE SEQUENCE tries",
		"CREATE FUNCTION at_commit() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN "+line+" RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()")
}

func TestCommitFailures(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		runs, rows int
		want       func(error) bool
	}{
		{"a constraint at commit", "RAISE unique_violation;", 1, 0,
			func(err error) bool { return db.UniqueViolation(err) && !errors.Is(err, db.ErrUnknownOutcome) }},
		{"a serialization failure at commit", "IF nextval('tries') < 3 THEN RAISE serialization_failure; END IF;", 3, 1,
			func(err error) bool { return err == nil }},
		{"a serialization failure for ever", "RAISE serialization_failure;", 10, 0,
			func(err error) bool { return err != nil && !errors.Is(err, db.ErrUnknownOutcome) }},
		{"the connection ends", "PERFORM pg_terminate_backend(pg_backend_pid());", 1, 0,
			func(err error) bool { return errors.Is(err, db.ErrUnknownOutcome) }},
		{"a warning", "RAISE WARNING 'standbys';", 1, 1,
			func(err error) bool { return errors.Is(err, db.ErrUnknownOutcome) }},
		{"a notice", "RAISE NOTICE 'hello';", 1, 1,
			func(err error) bool { return err == nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, d := postgres(t)
			atCommit(t, d, tc.line)
			runs := 0
			err := d.Write(t.Context(), func(tx *db.Tx) error {
				runs++
				_, err := tx.Exec("INSERT INTO audit (id) VALUES ('a')")
				return err
			})
			if !tc.want(err) {
				t.Errorf("Write returned %v", err)
			}
			if n := count(t, d, "audit"); n != tc.rows || runs != tc.runs {
				t.Errorf("%d rows after %d runs, want %d after %d", n, runs, tc.rows, tc.runs)
			}
			write(t, d, func(tx *db.Tx) error { return insertSeat(tx, 1) }) // the warning is not remembered
		})
	}
}

// A warning in the middle of a transaction says nothing about its commit.
func TestEarlierWarning(t *testing.T) {
	_, d := postgres(t)
	run(t, d, "DO $$ BEGIN RAISE WARNING 'early'; END $$")
}

// proxy stands between the program and the server, and once told, takes COMMIT to
// the server and the connection away from the program.
type proxy struct {
	net.Listener
	cut atomic.Bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", target)
			if err != nil {
				_ = client.Close()
				return
			}
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
			go p.forward(client, server)
		}
	}()
	return p
}

func (p *proxy) forward(client, server net.Conn) {
	defer server.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		commit := bytes.Contains(bytes.ToUpper(buf[:n]), []byte("COMMIT\x00"))
		if commit && p.cut.Load() {
			_ = client.Close()
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if commit && p.cut.Load() {
			time.Sleep(200 * time.Millisecond) // let the server do it
			return
		}
	}
}

func TestBrokenAtCommit(t *testing.T) {
	c, direct := postgres(t)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
	u.RawQuery = url.Values{"host": {filepath.Dir(p.Addr().String())}}.Encode()
	d, err := db.Open(t.Context(), db.Config{URL: u.String(), Migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write(t, d, func(tx *db.Tx) error { return insertSeat(tx, 1) })
	p.cut.Store(true)
	runs := 0
	if err := d.Write(t.Context(), func(tx *db.Tx) error { runs++; return insertSeat(tx, 2) }); !errors.Is(err, db.ErrUnknownOutcome) || runs != 1 {
		t.Errorf("Write returned %v after %d runs", err, runs)
	}
	// As ErrUnknownOutcome advises: the same id again tells what became of it.
	write(t, direct, func(tx *db.Tx) error {
		n, err := tx.InsertMissing("seats", []string{"id", "key", "body"}, [][]any{{2, "k", []byte{}}})
		if n != 0 {
			t.Error("the commit had not happened: the proxy proves nothing")
		}
		return err
	})
}

// A connection that died while it was idle is replaced without a word, one that
// dies before the commit is a plain failure.
func TestLostConnection(t *testing.T) {
	c, d := postgres(t)
	_, killer := postgres(t)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	endOthers := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + u.Path[1:] + "'"
	run(t, killer, endOthers)
	write(t, d, func(tx *db.Tx) error { return insertSeat(tx, 1) })
	err = d.Write(t.Context(), func(tx *db.Tx) error {
		if err := insertSeat(tx, 2); err != nil {
			return err
		}
		run(t, killer, endOthers)
		return insertSeat(tx, 3)
	})
	if err == nil || errors.Is(err, db.ErrUnknownOutcome) {
		t.Errorf("Write returned %v", err)
	}
	if n := count(t, d, "seats"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// Who no longer waits for a lock does not hold up those behind, and the connection
// is used again.
func TestCancelWhileWaiting(t *testing.T) {
	_, d := postgres(t)
	write(t, d, func(tx *db.Tx) error {
		if _, err := lock(tx, "k"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := d.Write(ctx, func(tx *db.Tx) error { _, err := lock(tx, "k"); return err })
		if err == nil || time.Since(begin) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		var waiting int
		if err := tx.QueryRow("SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = CURRENT_DATABASE()").Scan(&waiting); err != nil || waiting != 0 {
			t.Errorf("%d still wait on the server (%v)", waiting, err)
		}
		return nil
	})
}

// An administrator's synchronous_commit = off would lose acknowledged rows.
func TestSynchronousCommitIsNeverOff(t *testing.T) {
	for _, tc := range []struct{ set, want string }{{"off", "on"}, {"remote_apply", "remote_apply"}} {
		c := db.Config{URL: dbtest.PostgreSQL(t) + "&synchronous_commit=" + tc.set, Migrations: migrations}
		var got string
		if err := dbtest.Open(t, c).Read(t.Context(), func(tx *db.Tx) error {
			return tx.QueryRow("SELECT current_setting('synchronous_commit')").Scan(&got)
		}); err != nil || got != tc.want {
			t.Errorf("%s became %q, want %q (%v)", tc.set, got, tc.want, err)
		}
	}
}
