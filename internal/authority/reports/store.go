package reports

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/license"
)

const columns = `fingerprint, public_key, program, facts, licenses, counter, cloned_at, first_seen, last_seen, version`

// Find returns what is stored of an installation. Counter and LastSeen may lag
// an hour behind.
func Find(tx *db.Tx, f license.Fingerprint) (Installation, bool, error) {
	return one(tx.QueryRow(`SELECT `+columns+` FROM installations WHERE fingerprint = $1`, f[:]))
}

// lock is Find that holds the row to the end of the transaction.
func lock(tx *db.Tx, f license.Fingerprint) (Installation, bool, error) {
	return one(tx.QueryRow(`UPDATE installations SET version = version + 1 WHERE fingerprint = $1 RETURNING `+columns, f[:]))
}

func one(row db.Row) (Installation, bool, error) {
	var i Installation
	var fingerprint, key, facts, licenses []byte
	err := row.Scan(&fingerprint, &key, &i.Program, &facts, &licenses, &i.Counter, &i.Cloned, &i.FirstSeen, &i.LastSeen, &i.version)
	if errors.Is(err, db.ErrNoRows) {
		return Installation{}, false, nil
	}
	if err != nil {
		return Installation{}, false, err
	}
	if len(fingerprint) != len(i.Fingerprint) || len(key) != len(i.PublicKey) || len(facts) != len(i.Facts) || len(licenses) != len(i.Licenses) {
		return Installation{}, false, fmt.Errorf("installation %x is not as it was stored", fingerprint)
	}
	copy(i.Fingerprint[:], fingerprint)
	copy(i.PublicKey[:], key)
	copy(i.Facts[:], facts)
	copy(i.Licenses[:], licenses)
	return i, true, nil
}

// insert stores a new installation, unless there is one.
func insert(tx *db.Tx, i Installation) (bool, error) {
	n, err := tx.Exec(`INSERT INTO installations (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		i.Fingerprint[:], i.PublicKey[:], string(i.Program), i.Facts[:], i.Licenses[:], i.Counter, int64(i.Cloned), int64(i.FirstSeen), int64(i.LastSeen), i.version)
	return n == 1, err
}

// save writes a locked row.
func save(tx *db.Tx, i Installation) error {
	_, err := tx.Exec(`UPDATE installations SET program = $2, facts = $3, licenses = $4, counter = $5, cloned_at = $6, last_seen = $7 WHERE fingerprint = $1`,
		i.Fingerprint[:], string(i.Program), i.Facts[:], i.Licenses[:], i.Counter, int64(i.Cloned), int64(i.LastSeen))
	return err
}

// see raises what only grows, and returns the row's version; -1 is no row.
func see(tx *db.Tx, t touch) (version int64, err error) {
	err = tx.QueryRow(`UPDATE installations SET
		counter = CASE WHEN counter < $2 THEN $2 ELSE counter END,
		last_seen = CASE WHEN last_seen < $3 THEN $3 ELSE last_seen END,
		cloned_at = CASE WHEN cloned_at < $4 THEN $4 ELSE cloned_at END
		WHERE fingerprint = $1 RETURNING version`, t.fingerprint[:], t.counter, int64(t.seen), int64(t.cloned)).Scan(&version)
	if errors.Is(err, db.ErrNoRows) {
		return -1, nil
	}
	return version, err
}

func keepLicenses(tx *db.Tx, f license.Fingerprint, licenses string) error {
	_, err := tx.Exec(`INSERT INTO installation_licenses (fingerprint, licenses) VALUES ($1, $2)
		ON CONFLICT (fingerprint) DO UPDATE SET licenses = excluded.licenses`, f[:], licenses)
	return err
}

// KeepFacts stores canonical facts under their digests, once.
func KeepFacts(tx *db.Tx, facts map[Digest][]byte) error {
	rows := make([][]any, 0, len(facts))
	// In one order, so that processes that store the same do not wait for each other
	// in a circle.
	for _, d := range slices.SortedFunc(maps.Keys(facts), func(a, b Digest) int { return bytes.Compare(a[:], b[:]) }) {
		rows = append(rows, []any{d[:], facts[d]})
	}
	_, err := tx.InsertMissing("facts", []string{"digest", "body"}, rows)
	return err
}
