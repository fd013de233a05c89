package db

import (
	"context"
	"fmt"
	"time"
)

// Lease makes holder the one leader for name, or keeps it so, until ttl has
// passed; it says whether holder leads now. A ttl of 0 gives the lease back.
//
// Time is the database's own clock on PostgreSQL, so that machines need not agree
// on theirs. A leader renews well before ttl is over, counts its ttl from before
// the call, and stops when it is over: a lease spares double work, it does not
// stand in for a lock inside a transaction.
func (d *DB) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	clock := "CAST(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000 AS BIGINT)"
	if _, ok := d.engine.(*sqliteEngine); ok {
		clock = "CAST(UNIXEPOCH('subsec') * 1000 AS INTEGER)"
	}
	held := false
	err := d.Write(ctx, func(tx *Tx) error {
		n, err := tx.Exec(`INSERT INTO db_lease (name, holder, expires) VALUES ($1, $2, `+clock+` + $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
			WHERE db_lease.holder = excluded.holder OR db_lease.expires <= `+clock, name, holder, ttl.Milliseconds())
		held = n == 1 && ttl > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", name, err)
	}
	return held, nil
}
