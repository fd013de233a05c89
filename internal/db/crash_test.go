package db_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
)

// TestAcknowledgedSurvives kills a process in the middle of its commits (and the
// PostgreSQL server with it); every row that it had acknowledged is there.
func TestAcknowledgedSurvives(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		c := db.Config{Path: filepath.Join(t.TempDir(), "esu.db"), Migrations: migrations}
		acknowledgedSurvive(t, c, func() {})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		s := dbtest.NewServer(t)
		acknowledgedSurvive(t, db.Config{URL: s.URL(), Migrations: migrations}, func() { s.Crash(t) })
	})
}

func acknowledgedSurvive(t *testing.T, c db.Config, crash func()) {
	d := withKey(t, func() *db.DB { return dbtest.Open(t, c) })
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	last := killInTheMiddle(t, c)
	crash()

	// Reopened without Migrate: what was committed includes the schema.
	d, err := db.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var n, highest int
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM seats").Scan(&n, &highest)
	}); err != nil {
		t.Fatal(err)
	}
	if last < 20 || n < last || n != highest {
		t.Errorf("%d rows up to %d after %d were acknowledged", n, highest, last)
	}
	write(t, d, func(tx *db.Tx) error { return insertSeat(tx, highest+1) })
}

// killInTheMiddle returns the last row that a process acknowledged before it was
// killed.
func killInTheMiddle(t *testing.T, c db.Config) (last int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), "ESU_DB_CHILD_PATH="+c.Path, "ESU_DB_CHILD_URL="+c.URL)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	kill := func() {
		if err := child.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
	var timer *time.Timer
	for lines.Scan() { // also what was printed before the kill and is still in the pipe
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the child: %s", lines.Text())
		}
		if last = id; id == 20 {
			timer = time.AfterFunc(20*time.Millisecond, kill)
		}
	}
	if timer == nil {
		t.Fatal("the child ended by itself")
	}
	exit, killed := errors.AsType[*exec.ExitError](child.Wait())
	if !killed || !strings.Contains(exit.Error(), "killed") {
		t.Fatalf("the child was not killed: %v", exit)
	}
	return last
}
