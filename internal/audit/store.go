package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
)

// lockHead returns the number and hash of the chain's last row, and holds the
// chain until the transaction ends. A chain that is not there begins.
func lockHead(tx *db.Tx, writer string) (seq int64, hash Hash, err error) {
	const lock = `UPDATE audit_heads SET version = version + 1 WHERE writer = $1 RETURNING seq, hash`
	seq, hash, err = scanHead(tx.QueryRow(lock, writer))
	if !errors.Is(err, db.ErrNoRows) {
		return seq, hash, err
	}
	if _, err := tx.Exec(`INSERT INTO audit_heads (writer, seq, hash, version) VALUES ($1, 0, $2, 0)
		ON CONFLICT (writer) DO NOTHING`, writer, hash[:]); err != nil {
		return 0, Hash{}, err
	}
	return scanHead(tx.QueryRow(lock, writer))
}

func scanHead(r db.Row) (seq int64, hash Hash, err error) {
	var b []byte
	if err := r.Scan(&seq, &b); err != nil {
		return 0, Hash{}, err
	}
	hash, err = toHash(b)
	return seq, hash, err
}

func toHash(b []byte) (Hash, error) {
	if len(b) != len(Hash{}) {
		return Hash{}, fmt.Errorf("a stored hash has %d bytes", len(b))
	}
	return Hash(b), nil
}

func moveHead(tx *db.Tx, writer string, seq int64, hash Hash) error {
	_, err := tx.Exec(`UPDATE audit_heads SET seq = $2, hash = $3 WHERE writer = $1`, writer, seq, hash[:])
	return err
}

func insertRows(tx *db.Tx, rows []row) error {
	values := make([][]any, len(rows))
	for i := range rows {
		r := &rows[i]
		values[i] = []any{r.Writer, r.Seq, r.Previous[:], r.Hash[:], r.At, r.Actor, r.Act, r.Object, string(r.Tenant), []byte(r.Detail)}
	}
	_, err := tx.InsertMany("audit", []string{
		"writer", "seq", "previous", "hash", "at", "actor", "act", "object", "tenant", "detail",
	}, values)
	return err
}

// heads returns the heads of all chains, by writer. A hash that is none is zero.
func heads(tx *db.Tx) ([]Head, error) {
	rows, err := tx.Query(`SELECT writer, seq, hash FROM audit_heads ORDER BY writer`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Head
	for rows.Next() {
		var h Head
		var b []byte
		if err := rows.Scan(&h.Writer, &h.Seq, &b); err != nil {
			return nil, err
		}
		h.Hash, _ = toHash(b) // Verify compares it
		all = append(all, h)
	}
	return all, rows.Err()
}

// Query chooses rows. The zero Query chooses none: it names no tenant.
type Query struct {
	Tenant access.Tenant // access.All is everything
	Object string        // "": all
	From   time.Time     // the first instant; zero: since ever
	Until  time.Time     // the first instant after; zero: without end
}

// each calls f with the rows, by writer and number. A row whose hashes are none
// comes with zero ones.
func each(tx *db.Tx, q Query, f func(row) error) error {
	from, until := q.From.Unix(), q.Until.Unix()
	if q.From.IsZero() {
		from = -1 << 62
	}
	if q.Until.IsZero() {
		until = 1 << 62
	}
	rows, err := tx.Query(`SELECT writer, seq, previous, hash, at, actor, act, object, tenant, detail FROM audit
		WHERE ($1 = '*' OR ($1 <> '' AND tenant = $1)) AND ($2 = '' OR object = $2) AND at >= $3 AND at < $4
		ORDER BY writer, seq`, string(q.Tenant), q.Object, from, until)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var previous, hash, detail []byte
		if err := rows.Scan(&r.Writer, &r.Seq, &previous, &hash, &r.At, &r.Actor, &r.Act, &r.Object, &r.Tenant, &detail); err != nil {
			return err
		}
		r.Previous, _ = toHash(previous) // a wrong one is for Verify to find
		r.Hash, _ = toHash(hash)
		r.Detail = detail
		if err := f(r); err != nil {
			return err
		}
	}
	return rows.Err()
}
