package keyring

import (
	"errors"
	"fmt"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

const keyColumns = `id, customer, program, track, year, ref, sealed, last_five,
	seats, allowance, raised, used, blocked, version, created_at`

type scanner interface{ Scan(dest ...any) error }

func scanKey(row scanner) (Key, error) {
	var k Key
	var ref []byte
	var created int64
	err := row.Scan(&k.ID, &k.Customer, &k.Program, &k.Track, &k.Year, &ref, &k.sealed, &k.LastFive,
		&k.Seats, &k.Allow, &k.Raised, &k.Used, &k.Blocked, &k.Version, &created)
	if err != nil {
		return Key{}, err
	}
	if len(ref) != len(k.Ref) {
		return Key{}, fmt.Errorf("the reference of %s has %d bytes", k.ID, len(ref))
	}
	k.Ref, k.Created = productkey.Ref(ref), time.Unix(created, 0).UTC()
	return k, nil
}

func oneKey(row db.Row, id KeyID) (Key, error) {
	k, err := scanKey(row)
	if errors.Is(err, db.ErrNoRows) {
		return Key{}, problem.New(problem.NotFound, KeyUnknown, "key", id)
	}
	return k, err
}

// Find finds a key of a tenant by its id.
func Find(tx *db.Tx, tenant access.Tenant, id KeyID) (Key, error) {
	return oneKey(tx.QueryRow(`SELECT `+keyColumns+` FROM product_keys
		WHERE id = $1 AND ($2 = '*' OR customer = $2)`, id, tenant), id)
}

// FindRef finds a key of a tenant by its reference; false is none.
func FindRef(tx *db.Tx, tenant access.Tenant, ref productkey.Ref) (Key, bool, error) {
	k, err := scanKey(tx.QueryRow(`SELECT `+keyColumns+` FROM product_keys
		WHERE ref = $1 AND ($2 = '*' OR customer = $2)`, ref[:], tenant))
	if errors.Is(err, db.ErrNoRows) {
		return Key{}, false, nil
	}
	return k, err == nil, err
}

// Of returns the keys of one customer's track, unlocked.
func Of(tx *db.Tx, customer access.Tenant, p program.ID, track program.TrackID) ([]Key, error) {
	return listKeys(tx, customer, Filter{Customer: customer, Program: p, Track: track, Limit: maxPage})
}

// Lock holds a key until the transaction ends and returns it as it stands. Whoever
// locks several does so in the order of their ids, before the audit chain.
func Lock(tx *db.Tx, id KeyID) (Key, error) {
	return oneKey(tx.QueryRow(`UPDATE product_keys SET version = version + 1 WHERE id = $1 RETURNING `+keyColumns, id), id)
}

// Count adds n activated installations to a locked key.
func Count(tx *db.Tx, id KeyID, n int) (Key, error) {
	return oneKey(tx.QueryRow(`UPDATE product_keys SET used = used + $2 WHERE id = $1 RETURNING `+keyColumns, id, n), id)
}

// addSeats keeps the largest allowance.
func addSeats(tx *db.Tx, id KeyID, seats, allowance int) (Key, error) {
	return oneKey(tx.QueryRow(`UPDATE product_keys SET seats = seats + $2,
		allowance = CASE WHEN allowance < $3 THEN $3 ELSE allowance END WHERE id = $1 RETURNING `+keyColumns, id, seats, allowance), id)
}

func addRaised(tx *db.Tx, id KeyID, by int) (Key, error) {
	return oneKey(tx.QueryRow(`UPDATE product_keys SET raised = raised + $2 WHERE id = $1 RETURNING `+keyColumns, id, by), id)
}

func saveBlocked(tx *db.Tx, k Key) error {
	_, err := tx.Exec(`UPDATE product_keys SET blocked = $2 WHERE id = $1`, k.ID, k.Blocked)
	return err
}

func insertKey(tx *db.Tx, k Key) error {
	_, err := tx.Exec(`INSERT INTO product_keys (`+keyColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		k.ID, k.Customer, k.Program, k.Track, k.Year, k.Ref[:], k.sealed, k.LastFive,
		k.Seats, k.Allow, k.Raised, k.Used, k.Blocked, k.Version, k.Created.Unix())
	return err
}

// maxPage is how many keys one listing has at most.
const maxPage = 1000

// Filter chooses keys; what is empty chooses all.
type Filter struct {
	Customer access.Tenant
	Program  program.ID
	Track    program.TrackID
	LastFive string
	After    KeyID // the last of the page before
	Limit    int   // 0 means 100
}

func listKeys(tx *db.Tx, tenant access.Tenant, f Filter) ([]Key, error) {
	limit := min(f.Limit, maxPage)
	if limit <= 0 {
		limit = 100
	}
	rows, err := tx.Query(`SELECT `+keyColumns+` FROM product_keys
		WHERE ($1 = '*' OR customer = $1) AND ($2 = '' OR customer = $2) AND ($3 = '' OR program = $3)
			AND ($4 = '' OR track = $4) AND ($5 = '' OR last_five = $5)
			AND ($6 = '' OR (customer, program, track, year) > (SELECT customer, program, track, year FROM product_keys WHERE id = $6))
		ORDER BY customer, program, track, year LIMIT $7`,
		tenant, f.Customer, f.Program, f.Track, f.LastFive, f.After, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := []Key{}
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

const requestColumns = `id, key_id, kind, state, wanted, granted, reason, region, contact,
	asked_at, asked_by, decided_at, decided_by, decision`

func scanRequest(row scanner) (Request, error) {
	var q Request
	var asked, decided int64
	err := row.Scan(&q.ID, &q.Key, &q.Kind, &q.State, &q.Wanted, &q.Granted, &q.Reason, &q.Region, &q.Contact,
		&asked, &q.AskedBy, &decided, &q.DecidedBy, &q.Decision)
	q.AskedAt = time.Unix(asked, 0).UTC()
	if decided != 0 {
		q.DecidedAt = time.Unix(decided, 0).UTC()
	}
	return q, err
}

func insertRequest(tx *db.Tx, q Request) error {
	_, err := tx.Exec(`INSERT INTO limit_requests (`+requestColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		q.ID, q.Key, q.Kind, q.State, q.Wanted, q.Granted, q.Reason, q.Region, q.Contact,
		q.AskedAt.Unix(), q.AskedBy, unix(q.DecidedAt), q.DecidedBy, q.Decision)
	return err
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func decideRequest(tx *db.Tx, q Request) error {
	_, err := tx.Exec(`UPDATE limit_requests SET state = $2, granted = $3, decision = $4, decided_at = $5, decided_by = $6
		WHERE id = $1`, q.ID, q.State, q.Granted, q.Decision, unix(q.DecidedAt), q.DecidedBy)
	return err
}

const requestsOfTenant = ` FROM limit_requests
	WHERE ($1 = '*' OR EXISTS (SELECT 1 FROM product_keys k WHERE k.id = limit_requests.key_id AND k.customer = $1)) `

func findRequest(tx *db.Tx, tenant access.Tenant, id RequestID) (Request, error) {
	q, err := scanRequest(tx.QueryRow(`SELECT `+requestColumns+requestsOfTenant+`AND id = $2`, tenant, id))
	if errors.Is(err, db.ErrNoRows) {
		return Request{}, problem.New(problem.NotFound, RequestUnknown, "request", id)
	}
	return q, err
}

func listRequests(tx *db.Tx, tenant access.Tenant, key KeyID, state RequestState) ([]Request, error) {
	rows, err := tx.Query(`SELECT `+requestColumns+requestsOfTenant+`AND ($2 = '' OR key_id = $2) AND ($3 = '' OR state = $3)
		ORDER BY asked_at DESC, id LIMIT $4`, tenant, key, state, maxPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []Request{}
	for rows.Next() {
		q, err := scanRequest(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, rows.Err()
}

// findKeyset returns nil when there is none.
func findKeyset(tx *db.Tx, id string) ([]byte, error) {
	var sealed []byte
	err := tx.QueryRow(`SELECT sealed FROM keysets WHERE id = $1`, id).Scan(&sealed)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return sealed, err
}

// saveKeyset saves a new keyset unless another process did so first, and returns
// the one that is there then.
func saveKeyset(tx *db.Tx, id string, sealed []byte) ([]byte, error) {
	if _, err := tx.Exec(`INSERT INTO keysets (id, sealed, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`,
		id, sealed, tx.Now.Unix()); err != nil {
		return nil, err
	}
	return findKeyset(tx, id)
}
