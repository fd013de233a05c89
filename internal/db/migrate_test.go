package db_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/problem"
)

// upTo is the migrations of an older program.
func upTo(n int, m db.Migrations) db.Migrations {
	cut := func(all fstest.MapFS) fstest.MapFS {
		some := fstest.MapFS{}
		for name, file := range all {
			if int(name[4]-'0') <= n {
				some[name] = file
			}
		}
		return some
	}
	return db.Migrations{SQLite: cut(m.SQLite.(fstest.MapFS)), PostgreSQL: cut(m.PostgreSQL.(fstest.MapFS))}
}

func wantProblem(t *testing.T, what string, err error, want *problem.Problem) {
	t.Helper()
	got, ok := problem.As(err)
	if !ok || got.Kind != want.Kind || got.Code != want.Code || problem.New(got.Kind, got.Code, "have", got.Args["have"], "want", got.Args["want"]).Error() != want.Error() {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestMigrateForwardOnly(t *testing.T) {
	dbtest.EachConfig(t, migrations, func(t *testing.T, c db.Config) {
		old := c
		old.Migrations = upTo(1, migrations)
		step := func(c db.Config, from, to int64) {
			t.Helper()
			gotFrom, gotTo, err := db.Migrate(t.Context(), c)
			if err != nil || gotFrom != from || gotTo != to {
				t.Fatalf("Migrate: %d to %d, %v; want %d to %d", gotFrom, gotTo, err, from, to)
			}
		}
		step(old, 0, 1)
		d := withKey(t, func() *db.DB { return dbtest.Open(t, old) })
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}

		if d, err := db.Open(t.Context(), c); c.URL != "" {
			wantProblem(t, "open before migrating", err, problem.New(problem.Refused, db.MigrateFirst, "have", int64(1), "want", int64(2)))
			step(c, 1, 2)
		} else if err != nil { // SQLite is migrated by Open
			t.Fatal(err)
		} else if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		step(c, 2, 2)
		d = dbtest.Open(t, c)
		if n := count(t, d, "keys") + count(t, d, "audit"); n != 1 {
			t.Errorf("%d rows after migrating, want the one key", n)
		}

		newer := problem.New(problem.Refused, db.Newer, "have", int64(2), "want", int64(1))
		_, err := db.Open(t.Context(), old)
		wantProblem(t, "the older program opens", err, newer)
		_, _, err = db.Migrate(t.Context(), old)
		wantProblem(t, "the older program migrates", err, newer)
	})
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	broken := db.Migrations{
		SQLite:     files("CREATE TABLE a (id INTEGER) STRICT;", "CREATE TABLE b (id INTEGER) STRICT; INSERT INTO nothing (id) VALUES (1);"),
		PostgreSQL: files("CREATE TABLE a (id BIGINT);", "CREATE TABLE b (id BIGINT); INSERT INTO nothing (id) VALUES (1);"),
	}
	dbtest.EachConfig(t, broken, func(t *testing.T, c db.Config) {
		for range 2 { // the second time it is tried again
			if _, _, err := db.Migrate(t.Context(), c); err == nil {
				t.Fatal("a broken migration succeeded")
			}
		}
		c.Migrations = upTo(1, broken)
		d := dbtest.Open(t, c) // version 1 is whole, and b is not there to be in the way
		write(t, d, func(tx *db.Tx) error {
			_, err := tx.Exec("CREATE TABLE b (id INTEGER)")
			return err
		})
	})
}

func TestMigrateAtTheSameTime(t *testing.T) {
	c := db.Config{URL: dbtest.PostgreSQL(t), Migrations: migrations}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, to, err := db.Migrate(t.Context(), c); err != nil || to != 2 {
				t.Errorf("to %d: %v", to, err)
			}
		})
	}
	all.Wait()
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]db.Config{"nothing": {}, "both": {Path: "x", URL: "postgres://x"}} {
		if _, err := db.Open(t.Context(), c); err == nil {
			t.Errorf("%s: was opened", name)
		}
	}
	_, err := db.Open(t.Context(), db.Config{URL: "postgres://x:y@[", Migrations: migrations})
	wantCode(t, err, problem.Invalid, db.MalformedURL)
	nobody := t.TempDir()
	_, err = db.Open(t.Context(), db.Config{URL: "postgres:///esu?host=" + nobody, Migrations: migrations})
	wantCode(t, err, problem.Unavailable, db.Unreachable)
	if p, ok := problem.As(err); ok && p.Args["server"] != nobody {
		t.Errorf("the server is %v", p.Args["server"])
	}
	if _, err := db.Open(t.Context(), db.Config{Path: filepath.Join(nobody, "no", "esu.db"), Migrations: migrations}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

func wantCode(t *testing.T, err error, kind problem.Kind, code problem.Code) {
	t.Helper()
	if p, ok := problem.As(err); !ok || p.Kind != kind || p.Code != code {
		t.Errorf("%v, want %s", err, code)
	}
}

// The file is its owner's alone, wherever it is.
func TestSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50% of #1 & more.db")
	d := withKey(t, func() *db.DB { return dbtest.Open(t, db.Config{Path: path, Migrations: migrations}) })
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %v", name, info.Mode())
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log was not folded into the file: %v", err)
	}
}
