package activations

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/license"
)

// listSizes are how many seats one statement asks about: the smallest that will
// do. Lists are padded, so that there are few statements to prepare, and short
// ones where batches are small.
func listSizes() []int { return []int{1, 4, 16, askedAtOnce} }

const askedAtOnce = 64

// knownAmong are the statements, by the size of their list.
var knownAmong = func() map[int]string {
	all := map[int]string{}
	for _, n := range listSizes() {
		all[n] = `SELECT fingerprint, license FROM activations WHERE key_id = $1 AND fingerprint IN (` + placeholders(2, n) + `)`
	}
	return all
}()

func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(from+i))
	}
	return b.String()
}

// knownLicenses returns the licenses of those seats that are counted already.
func knownLicenses(tx *db.Tx, seats []seat) (map[seat]*license.Token, error) {
	known := make(map[seat]*license.Token, len(seats))
	byKey := map[keyring.KeyID][]license.Fingerprint{}
	for _, s := range seats {
		byKey[s.key] = append(byKey[s.key], s.fingerprint)
	}
	for key, all := range byKey {
		for some := range slices.Chunk(all, askedAtOnce) {
			if err := knownUnder(tx, key, some, known); err != nil {
				return nil, err
			}
		}
	}
	return known, nil
}

func knownUnder(tx *db.Tx, key keyring.KeyID, some []license.Fingerprint, known map[seat]*license.Token) error {
	sizes := listSizes()
	n := sizes[slices.IndexFunc(sizes, func(n int) bool { return len(some) <= n })]
	args := make([]any, 1, 1+n)
	args[0] = string(key)
	for i := range n {
		args = append(args, some[min(i, len(some)-1)][:])
	}
	rows, err := tx.Query(knownAmong[n], args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var fingerprint []byte
		var token license.Token
		if err := rows.Scan(&fingerprint, (*string)(&token)); err != nil {
			return err
		}
		if len(fingerprint) != len(license.Fingerprint{}) {
			return fmt.Errorf("a stored fingerprint has %d bytes", len(fingerprint))
		}
		known[seat{key, license.Fingerprint(fingerprint)}] = &token
	}
	return rows.Err()
}

// Known tells whether an installation was ever activated here, under whichever
// key, and the device key that it did that with. For other rooms' transactions.
func Known(tx *db.Tx, f license.Fingerprint) (key license.PublicKey, known bool, err error) {
	var stored []byte
	err = tx.QueryRow(`SELECT public_key FROM activations WHERE fingerprint = $1 ORDER BY activated_at, key_id LIMIT 1`, f[:]).Scan(&stored)
	switch {
	case errors.Is(err, db.ErrNoRows):
		return key, false, nil
	case err != nil:
		return key, false, err
	case len(stored) != len(key):
		return key, false, fmt.Errorf("the stored device key of installation %s has %d bytes", f, len(stored))
	}
	return license.PublicKey(stored), true, nil
}

func insertActivations(tx *db.Tx, granted []*grant) error {
	rows := make([][]any, len(granted))
	for i, g := range granted {
		c := &g.claims
		rows[i] = []any{
			string(g.key.ID), int64(c.Seat), c.Fingerprint[:], c.PublicKey[:], string(c.ID), string(g.token), string(c.Kind), g.facts[:], tx.Now.Unix(),
		}
	}
	_, err := tx.InsertMany("activations", []string{
		"key_id", "ordinal", "fingerprint", "public_key", "license_id", "license", "kind", "facts", "activated_at",
	}, rows)
	return err
}

func insertFacts(tx *db.Tx, facts map[[32]byte][]byte) error {
	rows := make([][]any, 0, len(facts))
	// In one order, so that processes that store the same do not wait for each other
	// in a circle.
	for _, d := range slices.SortedFunc(maps.Keys(facts), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }) {
		rows = append(rows, []any{d[:], facts[d]})
	}
	_, err := tx.InsertMissing("facts", []string{"digest", "body"}, rows)
	return err
}

// countUnknown adds to the one row of this minute.
func countUnknown(tx *db.Tx, n int64) error {
	_, err := tx.Exec(`INSERT INTO unknown_keys (minute, tries) VALUES ($1, $2)
		ON CONFLICT (minute) DO UPDATE SET tries = unknown_keys.tries + excluded.tries`, tx.Now.Unix()/60, n)
	return err
}

func licenseExists(tx *db.Tx, id license.ID) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT count(*) FROM activations WHERE license_id = $1`, string(id)).Scan(&n)
	return n > 0, err
}
