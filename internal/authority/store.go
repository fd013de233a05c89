package authority

import (
	"errors"

	"github.com/openesu/openesu/internal/db"
)

// setting reads one of the authority's own values; nil is none.
func setting(tx *db.Tx, name string) ([]byte, error) {
	var value []byte
	err := tx.QueryRow(`SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

// keepSetting writes a value that is not there yet, and returns the one that is.
func keepSetting(tx *db.Tx, name string, value []byte) ([]byte, error) {
	if _, err := tx.Exec(`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value); err != nil {
		return nil, err
	}
	return setting(tx, name)
}
