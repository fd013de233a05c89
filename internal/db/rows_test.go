package db_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/db"
)

// What TestConformance tells of values and rows.

type keyID string

func values(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	type row struct {
		ID   int64
		Key  keyID
		Body []byte
		Note *string
	}
	text := "zażółć 日本 \U0001F511"
	empty := ""
	want := []row{
		{-1 << 63, "k", []byte{0, 0xff}, nil},
		{1<<63 - 1, "k", []byte{}, &empty},
		{0, "k", bytes.Repeat([]byte{7}, 100_000), &text},
	}
	write(t, d, func(tx *db.Tx) error {
		for _, r := range want {
			if n, err := tx.Exec("INSERT INTO seats (note, id, body, key) VALUES ($4, $1, $3, $2)", r.ID, r.Key, r.Body, r.Note); err != nil || n != 1 {
				return fmt.Errorf("%d rows: %w", n, err)
			}
		}
		// The same placeholder twice, and integers of other types.
		n, err := tx.Exec("UPDATE keys SET used = $1, version = used + $1 + $2 WHERE id = 'k'", uint16(4), 1)
		if n != 1 {
			t.Errorf("%d rows updated", n)
		}
		return err
	})
	var got []row
	var used, version int
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		rows, err := tx.Query("SELECT id, key, body, note FROM seats ORDER BY CASE WHEN id = 0 THEN 1 ELSE 0 END, id")
		if err != nil {
			return err
		}
		got = nil
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.ID, &r.Key, &r.Body, &r.Note); err != nil {
				return err
			}
			got = append(got, r)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return tx.QueryRow("SELECT used, version FROM keys").Scan(&used, &version)
	}); err != nil {
		t.Fatal(err)
	}
	sameBytes := cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) }) // SQLite reads an empty one as nil
	if diff := cmp.Diff(want, got, sameBytes); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if used != 4 || version != 5 {
		t.Errorf("used %d, version %d; want 4, 5", used, version)
	}
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		var id int
		return tx.QueryRow("SELECT id FROM seats WHERE key = $1", keyID("none")).Scan(&id)
	}); !errors.Is(err, db.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
}

func otherValues(t *testing.T, open func() *db.DB) {
	d := open()
	for _, v := range []any{true, 1.5, time.Now(), "a\x00b", "\xff", [2]byte{1, 2}, uint64(1 << 63), keyID("\xff")} {
		if err := d.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec("DELETE FROM audit WHERE id = $1", v)
			if err == nil {
				t.Errorf("%T %v was taken", v, v)
			}
			return nil
		}); err == nil {
			t.Errorf("%T %v: the transaction was committed", v, v)
		}
	}
}

func rowsAreClosed(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	write(t, d, func(tx *db.Tx) error { return errors.Join(insertSeat(tx, 1), insertSeat(tx, 2)) })
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		rows, err := tx.Query("SELECT id FROM seats")
		if err != nil {
			return err
		}
		rows.Next()
		var n int
		return tx.QueryRow("SELECT COUNT(*) FROM keys").Scan(&n)
	})
	if err == nil {
		t.Error("two queries were open at once")
	}
	var kept *db.Tx
	write(t, d, func(tx *db.Tx) error {
		kept = tx
		rows, err := tx.Query("SELECT id FROM seats")
		if err != nil {
			return err
		}
		rows.Next()
		rows.Close()
		if err := insertSeat(tx, 3); err != nil {
			return err
		}
		_, err = tx.Query("SELECT id FROM seats") // left open: the end of the transaction closes it
		return err
	})
	if n := count(t, d, "seats"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	if err := insertSeat(kept, 4); err == nil {
		t.Error("a transaction was used after its end")
	}
}

func manyRows(t *testing.T, open func() *db.DB) {
	d := withKey(t, open)
	columns := []string{"id", "key", "body"}
	rows := func(from, to int) (all [][]any) {
		for id := from; id < to; id++ {
			all = append(all, []any{id, keyID("k"), []byte{byte(id), 0}})
		}
		return all
	}
	for _, step := range []struct {
		rows [][]any
		want int64
	}{
		{nil, 0},
		{rows(0, 1), 1},
		{rows(0, 100), 99}, // one is there
		{append(rows(200, 300), rows(200, 300)...), 100}, // each twice
		{rows(0, 100), 0},
	} {
		write(t, d, func(tx *db.Tx) error {
			n, err := tx.InsertMissing("seats", columns, step.rows)
			if n != step.want {
				t.Errorf("%d of %d rows inserted, want %d", n, len(step.rows), step.want)
			}
			return err
		})
	}
	if n := count(t, d, "seats"); n != 200 {
		t.Errorf("%d rows, want 200", n)
	}
	var body []byte
	if err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT body FROM seats WHERE id = 77 AND key = 'k'").Scan(&body)
	}); err != nil || !bytes.Equal(body, []byte{77, 0}) {
		t.Errorf("row 77 has %v (%v)", body, err)
	}
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.InsertMany("seats", columns, rows(299, 400))
		return err
	})
	if !db.UniqueViolation(err) {
		t.Errorf("InsertMany over a row that is there: %v", err)
	}
	for name, bad := range map[string][][]any{
		"too few": {{1}}, "NULL": {{1000, "k", nil}}, "mixed": {{1000, "k", []byte{1}}, {1001, "k", "x"}}, "bool": {{1000, true, []byte{}}},
	} {
		if err := d.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.InsertMany("seats", columns, bad)
			return err
		}); err == nil {
			t.Errorf("%s: was inserted", name)
		}
	}
	if n := count(t, d, "seats"); n != 200 {
		t.Errorf("%d rows after failures, want 200", n)
	}
}
