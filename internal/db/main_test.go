package db_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"github.com/openesu/openesu/internal/db"
)

// migrations make what the stories need: a key that is locked and counted, rows
// with every kind of constraint and column, an audit row.
var migrations = db.Migrations{
	SQLite: files(
		`CREATE TABLE keys (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, used INTEGER NOT NULL CHECK (used >= 0)) STRICT;
		CREATE TABLE seats (id INTEGER NOT NULL PRIMARY KEY, key TEXT NOT NULL REFERENCES keys (id), body BLOB NOT NULL, note TEXT UNIQUE) STRICT;`,
		`CREATE TABLE audit (id TEXT NOT NULL PRIMARY KEY) STRICT;`),
	PostgreSQL: files(
		`CREATE TABLE keys (id TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, used BIGINT NOT NULL CHECK (used >= 0));
		CREATE TABLE seats (id BIGINT NOT NULL PRIMARY KEY, key TEXT NOT NULL REFERENCES keys (id), body BYTEA NOT NULL, note TEXT UNIQUE);`,
		`CREATE TABLE audit (id TEXT NOT NULL PRIMARY KEY);`),
}

func files(texts ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for i, text := range texts {
		all[fmt.Sprintf("%05d_step.sql", i+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text + "\n")}
	}
	return all
}

// TestMain is also the process that TestAcknowledgedSurvives kills.
func TestMain(m *testing.M) {
	c := db.Config{Path: os.Getenv("ESU_DB_CHILD_PATH"), URL: os.Getenv("ESU_DB_CHILD_URL"), Migrations: migrations}
	if c.Path != "" || c.URL != "" {
		fmt.Println(acknowledge(c))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// acknowledge commits rows for ever and prints the id of each once it is committed.
func acknowledge(c db.Config) error {
	ctx := context.Background()
	d, err := db.Open(ctx, c)
	if err != nil {
		return err
	}
	for id := 1; ; id++ {
		if err := d.Write(ctx, func(tx *db.Tx) error { return insertSeat(tx, id) }); err != nil {
			return err
		}
		fmt.Println(id)
	}
}

func insertSeat(tx *db.Tx, id int) error {
	_, err := tx.Exec("INSERT INTO seats (id, key, body) VALUES ($1, $2, $3)", id, "k", []byte{1, 0, 2})
	return err
}

// lock is the lock of the design: it waits, and what is read behind it is current.
func lock(tx *db.Tx, key string) (used int64, err error) {
	err = tx.QueryRow("UPDATE keys SET version = version + 1 WHERE id = $1 RETURNING used", key).Scan(&used)
	return used, err
}

func write(t *testing.T, d *db.DB, f func(*db.Tx) error) {
	t.Helper()
	if err := d.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// withKey opens the database and puts the key "k" into it.
func withKey(t *testing.T, open func() *db.DB) *db.DB {
	t.Helper()
	d := open()
	write(t, d, func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO keys (id, version, used) VALUES ($1, $2, $3)", "k", 0, 0)
		return err
	})
	return d
}

func count(t *testing.T, d *db.DB, table string) (n int) {
	t.Helper()
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
