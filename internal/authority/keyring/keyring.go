// Package keyring keeps the product keys of an authority: one for each customer,
// track and coverage year, over all agreements and channels (rule K1).
//
// A key is made when its first seats are bought, and more seats raise its limit:
//
//	limit = seats + allowance + raised        (rule K5; nothing without seats)
//
// where seats follow the orders, the allowance is that of the channel's terms (the
// largest of those it was bought through), and raised is what was granted on
// request (rule K6). Used counts installations and never goes down.
//
// At rest a key is sealed by a keyset (package tink), which is sealed by a key
// from outside the data folder. The seal names tenant, program, track, year and key
// id, so that a row's key opens at no other row. Found is a key by its reference,
// which is no secret.
//
// Invariants:
//   - whoever reads limits or counts to decide on them holds the key's lock (Lock),
//     and locks several keys in the order of their ids, before the audit chain;
//   - no key leaves but by Reveal, which leaves an audit row;
//   - every function that reads a customer's keys takes an access.Tenant or an
//     actor, and another customer's key is unknown to it.
//
// Counting activations is for the room beside this one; selling seats too.
package keyring

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

const (
	// KeyUnknown: there is no such key, or not for this actor.
	KeyUnknown problem.Code = "keyring.key-unknown"
	// KeyDamaged: a sealed key does not open at its row.
	KeyDamaged problem.Code = "keyring.key-damaged"
	// ReasonMissing: what was done to a key needs a reason.
	ReasonMissing problem.Code = "keyring.reason-missing"
	// BlockedAlready: the key is blocked already.
	BlockedAlready problem.Code = "keyring.blocked-already"
	// NotBlocked: the key is not blocked.
	NotBlocked problem.Code = "keyring.not-blocked"
)

// KeyID names a product key in the office; it is no secret.
type KeyID string

// Key is what is known of a product key without opening it.
type Key struct {
	ID       KeyID           `json:"id"`
	Customer access.Tenant   `json:"customer"`
	Program  program.ID      `json:"program"`
	Track    program.TrackID `json:"track"`
	Year     program.Year    `json:"year"`
	Ref      productkey.Ref  `json:"ref"`
	LastFive string          `json:"lastFive"`
	Seats    int             `json:"seats"`             // bought, less returned
	Allow    int             `json:"allowance"`         // of the terms
	Raised   int             `json:"raised"`            // granted on request
	Used     int             `json:"used"`              // installations that were activated
	Blocked  string          `json:"blocked,omitempty"` // the reason
	Version  int64           `json:"-"`                 // grows with every lock
	Created  time.Time       `json:"created"`

	sealed []byte
}

// Limit is how many installations the key may activate (rule K5).
func (k Key) Limit() int { return purchase.Limit(k.Seats, k.Allow+k.Raised) }

// Remaining is how many more may be activated (rule K8).
func (k Key) Remaining() int { return max(k.Limit()-k.Used, 0) }

// Names are the key's names for people (rule K20).
func (k Key) Names(p *program.Program) program.KeyNames {
	if t, ok := p.Track(k.Track); ok {
		if y, ok := t.Year(k.Year); ok {
			return y.Key
		}
	}
	return program.KeyNames{}
}

func (k Key) object() string { return "key/" + string(k.ID) }

// Config is what a keyring works with.
type Config struct {
	DB     *db.DB
	Audit  *audit.Writer
	Vault  *Vault
	Random io.Reader // nil means crypto/rand
	// Cache is how many opened keys are kept in memory for counting; 0 means 10,000.
	Cache int
}

// Ring is the authority's keyring, safe for use by many goroutines.
type Ring struct {
	db     *db.DB
	audit  *audit.Writer
	vault  *Vault
	random io.Reader
	macs   macs
}

// New returns the keyring of a database.
func New(c Config) *Ring {
	r := &Ring{db: c.DB, audit: c.Audit, vault: c.Vault, random: c.Random}
	if r.random == nil {
		r.random = rand.Reader
	}
	r.macs.limit = c.Cache
	if c.Cache <= 0 {
		r.macs.limit = 10_000
	}
	return r
}

// Change is what an order or a return does to the key of one year.
type Change struct {
	Year  program.Year
	Tag   program.Tag // of the track's year, from the program file
	Seats int         // bought; negative for returned
	Allow int         // of the channel's terms
}

// Seats makes or changes the keys of one customer's track as an order or a return
// says, and returns them in the order of the changes, which name each year once.
// The caller has decided, and has the customer locked.
func (r *Ring) Seats(tx *db.Tx, actor access.Actor, customer access.Tenant, p program.ID, track program.TrackID, changes []Change) ([]Key, error) {
	have, err := Of(tx, customer, p, track)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", customer, err)
	}
	// Lock order is that of the ids; keys that are new are nobody else's yet.
	ids := make([]KeyID, len(changes))
	for i, c := range changes {
		if j := slices.IndexFunc(have, func(k Key) bool { return k.Year == c.Year }); j >= 0 {
			ids[i] = have[j].ID
		}
	}
	locked := slices.Clone(ids)
	slices.Sort(locked)
	for _, id := range locked {
		if id != "" {
			if _, err := Lock(tx, id); err != nil {
				return nil, err
			}
		}
	}
	keys := make([]Key, len(changes))
	entries := make([]audit.Entry, len(changes))
	for i, c := range changes {
		act := "key.seats"
		if ids[i] != "" {
			keys[i], err = addSeats(tx, ids[i], c.Seats, c.Allow)
		} else {
			act = "key.issue"
			keys[i], err = r.issue(tx, customer, p, track, c)
		}
		if err != nil {
			return nil, fmt.Errorf("seats of %s, %s year %d: %w", customer, track, c.Year, err)
		}
		entries[i] = keys[i].entry(actor, act, detail{"program": p, "track": track, "year": c.Year, "by": c.Seats})
	}
	return keys, audit.Append(tx, r.audit, entries...)
}

// issue makes a key with fresh random bits.
func (r *Ring) issue(tx *db.Tx, customer access.Tenant, p program.ID, track program.TrackID, c Change) (Key, error) {
	var random [12]byte
	if _, err := io.ReadFull(r.random, random[:]); err != nil {
		return Key{}, fmt.Errorf("draw a key: %w", err)
	}
	secret, err := productkey.New(productkey.Tag(c.Tag), random)
	if err != nil {
		return Key{}, err
	}
	id, err := access.NewID(r.random, "key")
	if err != nil {
		return Key{}, err
	}
	k := Key{
		ID: KeyID(id), Customer: customer, Program: p, Track: track, Year: c.Year, Ref: secret.Ref(), LastFive: secret.LastFive(),
		Seats: c.Seats, Allow: c.Allow, Created: tx.Now,
	}
	if k.sealed, err = r.vault.Seal([]byte(secret.Reveal()), sealPurpose, k.sealNames()...); err != nil {
		return Key{}, err
	}
	return k, insertKey(tx, k)
}

const sealPurpose = "esu-product-key-v1"

func (k Key) sealNames() []any { return []any{k.Customer, k.Program, k.Track, k.Year, k.ID} }

// open opens a key and makes sure that it is the one of its row.
func (r *Ring) open(k Key) (productkey.Key, error) {
	text, err := r.vault.Open(k.sealed, sealPurpose, k.sealNames()...)
	if err != nil {
		return productkey.Key{}, problem.New(problem.Refused, KeyDamaged, "key", k.ID).Because(err)
	}
	secret, err := productkey.Parse(string(text))
	if err != nil || secret.Ref() != k.Ref {
		return productkey.Key{}, problem.New(problem.Refused, KeyDamaged, "key", k.ID).Because(err)
	}
	return secret, nil
}

// MAC returns the secret that checks a key's proofs; opened ones are remembered.
func (r *Ring) MAC(k Key) (productkey.MAC, error) {
	if mac, ok := r.macs.get(k.ID); ok {
		return mac, nil
	}
	secret, err := r.open(k)
	if err != nil {
		return productkey.MAC{}, err
	}
	mac := secret.MAC()
	r.macs.put(k.ID, mac)
	return mac, nil
}

// Reveal opens a key of one of the actor's customers, for its eyes.
func (r *Ring) Reveal(ctx context.Context, actor access.Actor, id KeyID) (productkey.Key, error) {
	if err := access.May(actor, access.KeyReveal); err != nil {
		return productkey.Key{}, err
	}
	var secret productkey.Key
	err := r.db.Write(ctx, func(tx *db.Tx) error {
		k, err := Find(tx, actor.Tenant, id)
		if err != nil {
			return err
		}
		if secret, err = r.open(k); err != nil {
			return err
		}
		return audit.Append(tx, r.audit, k.entry(actor, "key.reveal", nil))
	})
	if err != nil {
		return productkey.Key{}, err
	}
	return secret, nil
}

// List lists the keys of the actor's customers, by customer, program, track and
// year (rule K8).
func (r *Ring) List(ctx context.Context, actor access.Actor, f Filter) ([]Key, error) {
	if err := access.May(actor, access.KeyRead); err != nil {
		return nil, err
	}
	var keys []Key
	err := r.db.Read(ctx, func(tx *db.Tx) (err error) {
		keys, err = listKeys(tx, actor.Tenant, f)
		return err
	})
	return keys, err
}

// Block ends activations with a key until Unblock; what is activated stays so.
// The reason is told to whoever tries to activate with all of the key.
func (r *Ring) Block(ctx context.Context, actor access.Actor, id KeyID, reason string) (Key, error) {
	return r.setBlocked(ctx, actor, id, "key.block", reason, func(k *Key, reason string) error {
		if k.Blocked != "" {
			return problem.New(problem.Conflict, BlockedAlready, "key", k.ID, "reason", k.Blocked)
		}
		k.Blocked = reason
		return nil
	})
}

// Unblock takes a block back.
func (r *Ring) Unblock(ctx context.Context, actor access.Actor, id KeyID, reason string) (Key, error) {
	return r.setBlocked(ctx, actor, id, "key.unblock", reason, func(k *Key, _ string) error {
		if k.Blocked == "" {
			return problem.New(problem.Conflict, NotBlocked, "key", k.ID)
		}
		k.Blocked = ""
		return nil
	})
}

func (r *Ring) setBlocked(ctx context.Context, actor access.Actor, id KeyID, act, reason string, decide func(*Key, string) error) (Key, error) {
	if err := access.May(actor, access.KeyBlock); err != nil {
		return Key{}, err
	}
	reason, err := needReason(reason)
	if err != nil {
		return Key{}, err
	}
	var k Key
	err = r.db.Write(ctx, func(tx *db.Tx) (err error) {
		if k, err = r.lockFor(tx, actor, id); err != nil {
			return err
		}
		if err := decide(&k, reason); err != nil {
			return err
		}
		if err := saveBlocked(tx, k); err != nil {
			return fmt.Errorf("%s %s: %w", act, id, err)
		}
		return audit.Append(tx, r.audit, k.entry(actor, act, detail{"reason": reason}))
	})
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

// lockFor is Lock for a key of one of the actor's customers.
func (r *Ring) lockFor(tx *db.Tx, actor access.Actor, id KeyID) (Key, error) {
	if _, err := Find(tx, actor.Tenant, id); err != nil {
		return Key{}, err
	}
	return Lock(tx, id)
}

func needReason(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" {
		return "", problem.New(problem.Invalid, ReasonMissing)
	}
	return reason, nil
}

// detail is what an audit row tells beside the key's state.
type detail map[string]any

// entry tells what was done to a key and how it stands then.
func (k Key) entry(actor access.Actor, act string, d detail) audit.Entry {
	all := detail{"lastFive": k.LastFive, "seats": k.Seats, "limit": k.Limit(), "used": k.Used}
	for name, value := range d {
		all[name] = value
	}
	return audit.Entry{Actor: actor, Act: act, Object: k.object(), Tenant: k.Customer, Detail: all}
}

// maxSeats is what seats and raises stay below, so that limits do not overflow.
const maxSeats = purchase.MaxSeats
