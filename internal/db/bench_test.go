package db_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
)

// BenchmarkWrite measures durable commits, alone and by 16 writers, batches of the
// kind that a group commit makes (100 requests of one statement each), and many
// rows in one call. One op is one commit.
func BenchmarkWrite(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		benchmark(b, db.Config{Path: filepath.Join(b.TempDir(), "esu.db"), Migrations: migrations})
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		benchmark(b, db.Config{URL: dbtest.PostgreSQL(b), Migrations: migrations})
	})
}

func benchmark(b *testing.B, c db.Config) {
	d := dbtest.Open(b, c)
	if err := d.Write(b.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO keys (id, version, used) VALUES ('k', 0, 0)")
		return err
	}); err != nil {
		b.Fatal(err)
	}
	var id atomic.Int64
	body := make([]byte, 200)
	rows := func(b *testing.B, n int) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			for range n {
				if _, err := tx.Exec("INSERT INTO seats (id, key, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", id.Add(1), "k", body); err != nil {
					return err
				}
			}
			return nil
		}
	}
	repeat := func(f func(*db.Tx) error) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				if err := d.Write(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("one row", repeat(rows(b, 1)))
	b.Run("one row, 16 writers", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := d.Write(b.Context(), rows(b, 1)); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("100 statements", repeat(rows(b, 100)))
	b.Run("100 rows at once", repeat(func(tx *db.Tx) error {
		all := make([][]any, 100)
		for i := range all {
			all[i] = []any{id.Add(1), "k", body}
		}
		_, err := tx.InsertMissing("seats", []string{"id", "key", "body"}, all)
		return err
	}))
	b.Run("read one row", func(b *testing.B) {
		for b.Loop() {
			var n int
			if err := d.Read(b.Context(), func(tx *db.Tx) error {
				return tx.QueryRow("SELECT used FROM keys WHERE id = $1", "k").Scan(&n)
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
