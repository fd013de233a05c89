package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/problem"
)

var errStop = errors.New("stop")

// TestConformance is what both engines do alike.
func TestConformance(t *testing.T) {
	for _, story := range []struct {
		name string
		tell func(t *testing.T, open func() *db.DB)
	}{
		{"an error rolls back", rollsBack},
		{"a panic rolls back", panicRollsBack},
		{"a refusal commits its audit row", refusalCommits},
		{"a failed statement dooms the transaction", failureDooms},
		{"a canceled transaction leaves nothing", canceled},
		{"violations are known by code", violations},
		{"now is fixed", nowIsFixed},
		{"read cannot write", readOnly},
		{"read sees one snapshot", snapshot},
		{"values come back", values},
		{"other values are refused", otherValues},
		{"rows are used one query at a time", rowsAreClosed},
		{"concurrent writers lose no update", noLostUpdate},
		{"many rows", manyRows},
		{"a lease changes hands by time", lease},
		{"closed means closed", closed},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, migrations, story.tell)
		})
	}
}

func rollsBack(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		if err := insertSeat(tx, 1); err != nil {
			return err
		}
		return fmt.Errorf("in the middle: %w", errStop)
	})
	if !errors.Is(err, errStop) {
		t.Errorf("Write returned %v", err)
	}
	if n := count(t, d, "seats"); n != 0 {
		t.Errorf("%d rows were kept", n)
	}
}

func panicRollsBack(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	func() {
		defer func() {
			if recover() != errStop { //nolint:errorlint // the very value
				t.Error("the panic was swallowed")
			}
		}()
		_ = d.Write(t.Context(), func(tx *db.Tx) error {
			if err := insertSeat(tx, 1); err != nil {
				return err
			}
			panic(errStop)
		})
	}()
	write(t, d, func(tx *db.Tx) error { return insertSeat(tx, 2) }) // the writer is free
	if n := count(t, d, "seats"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func refusalCommits(t *testing.T, open func() *db.DB) {
	d := open()
	refusal := problem.New(problem.Refused, "activation.limit-reached", "limit", 3)
	for i, wrap := range []func(error) error{
		func(err error) error { return err },
		func(err error) error { return fmt.Errorf("activate: %w", err) },
	} {
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			if _, err := tx.Exec("INSERT INTO audit (id) VALUES ($1)", fmt.Sprint(i)); err != nil {
				return err
			}
			return wrap(db.CommitWith(refusal))
		})
		if problem.CodeOf(err) != refusal.Code {
			t.Errorf("Write returned %v", err)
		}
		if i == 0 && err != error(refusal) { //nolint:errorlint // unwrapped, so that an outer Write cannot see it
			t.Errorf("Write returned %#v, not the refusal itself", err)
		}
	}
	if n := count(t, d, "audit"); n != 2 {
		t.Errorf("%d audit rows, want 2", n)
	}
	if err := db.CommitWith(nil); err != nil {
		t.Errorf("CommitWith(nil) = %v", err)
	}
}

func failureDooms(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	for name, answer := range map[string]error{"swallowed": nil, "turned into a refusal": db.CommitWith(errStop)} {
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			if err := insertSeat(tx, 1); err != nil {
				return err
			}
			if err := insertSeat(tx, 1); !db.UniqueViolation(err) {
				t.Errorf("%s: the second row: %v", name, err)
			}
			if err := insertSeat(tx, 2); !db.UniqueViolation(err) {
				t.Errorf("%s: a statement after the failure: %v", name, err)
			}
			return answer
		})
		if !db.UniqueViolation(err) {
			t.Errorf("%s: Write returned %v", name, err)
		}
	}
	if n := count(t, d, "seats"); n != 0 {
		t.Errorf("%d rows were kept", n)
	}
}

func canceled(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	err := d.Write(ctx, func(tx *db.Tx) error {
		if err := insertSeat(tx, 1); err != nil {
			return err
		}
		cancel()
		return insertSeat(tx, 2)
	})
	if err == nil || errors.Is(err, db.ErrUnknownOutcome) {
		t.Errorf("Write returned %v", err)
	}
	if n := count(t, d, "seats"); n != 0 {
		t.Errorf("%d rows were kept", n)
	}
	// Once the closure has decided, the commit does not heed the request's end.
	ctx, cancel = context.WithCancel(t.Context())
	if err := d.Write(ctx, func(tx *db.Tx) error {
		err := insertSeat(tx, 3)
		cancel()
		return err
	}); err != nil {
		t.Errorf("canceled after the last statement: %v", err)
	}
	if n := count(t, d, "seats"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	if err := d.Write(ctx, func(*db.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before it began: %v", err)
	}
}

func violations(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	write(t, d, func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO seats (id, key, body, note) VALUES (1, 'k', $1, 'n')", []byte{1})
		return err
	})
	type verdict struct{ Unique, ForeignKey, Check bool }
	for _, tc := range []struct {
		name, query string
		want        verdict
	}{
		{"primary key", "INSERT INTO keys (id, version, used) VALUES ('k', 0, 0)", verdict{Unique: true}},
		{"row id", "INSERT INTO seats (id, key, body) SELECT id, key, body FROM seats", verdict{Unique: true}},
		{"unique column", "INSERT INTO seats (id, key, body, note) SELECT 2, key, body, note FROM seats", verdict{Unique: true}},
		{"foreign key", "INSERT INTO seats (id, key, body) SELECT 2, 'other', body FROM seats", verdict{ForeignKey: true}},
		{"still pointed to", "DELETE FROM keys WHERE id = 'k'", verdict{ForeignKey: true}},
		{"check", "UPDATE keys SET used = -1", verdict{Check: true}},
		{"not null", "INSERT INTO seats (id, key, body) VALUES (2, 'k', NULL)", verdict{}},
		{"no such table", "DELETE FROM nothing", verdict{}},
	} {
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(tc.query)
			return fmt.Errorf("wrapped: %w", err)
		})
		got := verdict{db.UniqueViolation(err), db.ForeignKeyViolation(err), db.CheckViolation(err)}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tc.name, err, diff)
		}
	}
}

func nowIsFixed(t *testing.T, open func() *db.DB) {
	d := open()
	for _, run := range []func(context.Context, func(*db.Tx) error) error{d.Read, d.Write} {
		before := time.Now().Truncate(time.Second)
		if err := run(t.Context(), func(tx *db.Tx) error {
			first := tx.Now
			if tx.Now.Location() != time.UTC || tx.Now.Nanosecond() != 0 || tx.Now.Before(before) || tx.Now.After(time.Now()) {
				t.Errorf("now is %v", tx.Now)
			}
			time.Sleep(2 * time.Millisecond)
			if tx.Now != first {
				t.Errorf("now moved from %v to %v", first, tx.Now)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func readOnly(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	err := d.Read(t.Context(), func(tx *db.Tx) error { return insertSeat(tx, 1) })
	if err == nil {
		t.Error("Read wrote")
	}
	if err := d.Read(t.Context(), func(tx *db.Tx) error { _ = insertSeat(tx, 2); return nil }); err == nil {
		t.Error("Read swallowed a failed statement")
	}
	if n := count(t, d, "seats"); n != 0 {
		t.Errorf("%d rows were kept", n)
	}
}

func snapshot(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		for i := range 3 {
			var n int
			if err := tx.QueryRow("SELECT COUNT(*) FROM seats").Scan(&n); err != nil {
				return err
			}
			if n != 0 {
				t.Errorf("after %d commits by others: %d rows", i, n)
			}
			write(t, d, func(tx *db.Tx) error { return insertSeat(tx, i) })
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d, "seats"); n != 3 {
		t.Errorf("the next Read sees %d rows, want 3", n)
	}
}

func noLostUpdate(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	other := open() // a second process, as far as the database can tell
	const writers, times = 8, 25
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			on := d
			if i%2 == 1 {
				on = other
			}
			for range times {
				if err := on.Write(t.Context(), func(tx *db.Tx) error {
					used, err := lock(tx, "k")
					if err != nil {
						return err
					}
					_, err = tx.Exec("UPDATE keys SET used = $1 WHERE id = $2", used+1, "k")
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	var used int
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT used FROM keys").Scan(&used)
	}); err != nil || used != writers*times {
		t.Errorf("%d counted, want %d (%v)", used, writers*times, err)
	}
}

func lease(t *testing.T, open func() *db.DB) {
	d := open()
	ask := func(holder string, ttl time.Duration, want bool) {
		t.Helper()
		got, err := d.Lease(t.Context(), "mail", holder, ttl)
		if err != nil || got != want {
			t.Fatalf("%s holds the lease: %v, want %v (%v)", holder, got, want, err)
		}
	}
	const short = 300 * time.Millisecond
	ask("a", time.Minute, true)
	ask("b", time.Minute, false)
	ask("b", 0, false) // who does not hold it cannot give it back
	ask("b", time.Minute, false)
	ask("a", short, true) // renewed, for a shorter time
	ask("b", time.Minute, false)
	time.Sleep(short + 50*time.Millisecond)
	ask("b", time.Minute, true)
	ask("a", time.Minute, false)
	ask("b", 0, false)
	ask("a", time.Minute, true)
	if got, err := d.Lease(t.Context(), "checkpoints", "b", time.Minute); err != nil || !got {
		t.Errorf("another lease: %v, %v", got, err)
	}
}

func closed(t *testing.T, open func() *db.DB) {
	d := open()
	release := make(chan struct{})
	began := make(chan struct{})
	written := make(chan error)
	go func() {
		written <- d.Write(context.Background(), func(tx *db.Tx) error {
			close(began)
			<-release
			_, err := tx.Exec("INSERT INTO audit (id) VALUES ('late')")
			return err
		})
	}()
	<-began
	done := make(chan error)
	go func() { done <- d.Close() }()
	time.Sleep(20 * time.Millisecond)
	close(release)
	if err := <-written; err != nil {
		t.Errorf("a transaction that was under way: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := d.Write(t.Context(), func(*db.Tx) error { return nil }); err == nil {
		t.Error("Write after Close")
	}
	if err := d.Read(t.Context(), func(*db.Tx) error { return nil }); err == nil {
		t.Error("Read after Close")
	}
}
