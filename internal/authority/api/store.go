package api

import (
	"time"

	"github.com/openesu/openesu/internal/db"
)

// insertClaim takes a key and reports false when it is taken.
func insertClaim(tx *db.Tx, c claim) (bool, error) {
	n, err := tx.Exec(`INSERT INTO idempotency (principal, route, key, request, status, response, at)
		VALUES ($1, $2, $3, $4, 0, $5, $6) ON CONFLICT (principal, route, key) DO NOTHING`,
		c.principal, c.route, c.key, c.digest, []byte{}, tx.Now.Unix())
	return n == 1, err
}

func findClaim(tx *db.Tx, c claim) (digest []byte, at time.Time, answer *kept, err error) {
	answer = new(kept)
	var unix int64
	var body []byte
	err = tx.QueryRow(`SELECT request, at, status, response FROM idempotency WHERE principal = $1 AND route = $2 AND key = $3`,
		c.principal, c.route, c.key).Scan(&digest, &unix, &answer.status, &body)
	answer.body.Write(body)
	return digest, time.Unix(unix, 0).UTC(), answer, err
}

func keepAnswer(tx *db.Tx, c claim, status int, body []byte) error {
	_, err := tx.Exec(`UPDATE idempotency SET status = $4, response = $5 WHERE principal = $1 AND route = $2 AND key = $3`,
		c.principal, c.route, c.key, status, body)
	return err
}

func freeClaim(tx *db.Tx, c claim) error {
	_, err := tx.Exec(`DELETE FROM idempotency WHERE principal = $1 AND route = $2 AND key = $3 AND status = 0`, c.principal, c.route, c.key)
	return err
}

func forget(tx *db.Tx, before time.Time) error {
	_, err := tx.Exec(`DELETE FROM idempotency WHERE at < $1`, before.Unix())
	return err
}
