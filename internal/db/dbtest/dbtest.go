// Package dbtest runs a test on the real databases: on an SQLite file always, and
// on PostgreSQL wherever its server programs are on the machine. It has no
// doubles.
//
// A test process starts at most one PostgreSQL cluster, on a Unix socket in a
// folder of its own, when the first test asks; each test has a database of its
// own there. The cluster ends and its folder goes when the test process does,
// however that ends (see server). Commits are flushed to the disk, as in earnest;
// ESU_TEST_FSYNC=off runs the cluster without, for speed.
package dbtest

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/testkit"
)

// Each runs a story as one subtest per engine. Open opens the story's database,
// the same one each time, and closes it at the end of the story.
func Each(t *testing.T, m db.Migrations, story func(t *testing.T, open func() *db.DB)) {
	t.Helper()
	EachConfig(t, m, func(t *testing.T, c db.Config) {
		story(t, func() *db.DB { return Open(t, c) })
	})
}

// EachConfig is Each for stories that set a clock or open the database themselves.
// The database is there and empty: not migrated.
func EachConfig(t *testing.T, m db.Migrations, story func(t *testing.T, c db.Config)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		story(t, db.Config{Path: filepath.Join(t.TempDir(), "esu.db"), Migrations: m})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		story(t, db.Config{URL: PostgreSQL(t), Migrations: m})
	})
}

// Open migrates and opens a database and closes it at the end of the test.
func Open(t testing.TB, c db.Config) *db.DB {
	t.Helper()
	if _, _, err := db.Migrate(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return d
}

// shared is assigned here and never again: one cluster for the life of the process,
// which is its owner.
var shared = sync.OnceValues(startServer)

// PostgreSQL returns the URL of an empty database for this test. It is not dropped,
// which would cost a checkpoint each time: it goes with the cluster. Without
// PostgreSQL on the machine the test skips, or fails (testkit).
func PostgreSQL(t testing.TB) string {
	t.Helper()
	needPostgres(t)
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	name := "esu_" + strings.ToLower(rand.Text())
	s.do(t, "CREATE DATABASE "+name)
	return s.url(name)
}

// Server is a PostgreSQL cluster that one test has for itself, to crash it.
type Server struct{ s *server }

// NewServer starts a cluster that ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	needPostgres(t)
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return &Server{s}
}

// URL is that of the cluster's first database.
func (s *Server) URL() string { return s.s.url("postgres") }

// Socket is the path of the Unix socket.
func (s *Server) Socket() string { return s.s.socket() }

// Crash ends all server processes at once, without a checkpoint and without
// answering anybody, and starts the cluster again, which recovers from its log.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	if err := s.s.crash(); err != nil {
		t.Fatal(err)
	}
}

func needPostgres(t testing.TB) {
	t.Helper()
	bin, where := findPostgres()
	testkit.Need(t, "PostgreSQL", bin != "", where)
}

func (s *server) do(t testing.TB, statement string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}
