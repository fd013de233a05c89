// Package audit keeps who did what, to what and when, in chains of hashes, so that
// a row cannot be changed, dropped, moved or added afterwards unseen.
//
// Each writing process has a chain of its own, named by its writer id; rows count
// up from 1. A row's hash is SHA-256 over the RFC 8785 form of
//
//	{"act", "actor", "at", "detail", "object", "previous", "seq", "tenant", "writer"}
//
// where at is in unix seconds and previous, in lower-case hexadecimal, is the hash
// of the row before (64 zeros in the first). The head of each chain stands in a
// table of its own. It is read and locked in the transaction that does what the
// rows tell, so a row is there exactly when what it tells has happened.
//
// Whoever owns the database can rewrite a whole chain with its head. Against that
// stands the checkpoint: all heads, signed, given away every minute. [Verify] finds
// what does not fit the rows, the heads, or a checkpoint that somebody kept.
//
// Invariants:
//   - lock order: Append comes after every lock of a product key, and takes one
//     chain, the writer's own;
//   - no secret stands in a detail; amounts stand there as text, because numbers in
//     RFC 8785 are exact only to 2⁵³.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/gowebpki/jcs"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
)

// Entry is one thing that was done.
type Entry struct {
	Actor  access.Actor
	Act    string        // "order.place": a noun and what was done to it
	Object string        // "order/order-…": what it was done to
	Tenant access.Tenant // whose data that is; "" for the vendor's own
	Detail any           // as JSON; nil for none. Never a secret
}

// Writer is one chain. A process writes to one, and no two processes at the same
// time to the same.
type Writer struct{ id string }

var writerID = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)

// NewWriter names the chain of this process: small letters, digits, dots and hyphens.
func NewWriter(id string) (*Writer, error) {
	if !writerID.MatchString(id) {
		return nil, fmt.Errorf("%q is no id of an audit writer", id)
	}
	return &Writer{id}, nil
}

// Append adds entries to the writer's chain, in order, at tx.Now. The chain is
// locked until the transaction ends.
func Append(tx *db.Tx, w *Writer, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	seq, previous, err := lockHead(tx, w.id)
	if err != nil {
		return fmt.Errorf("lock audit chain %s: %w", w.id, err)
	}
	rows := make([]row, len(entries))
	for i, e := range entries {
		detail, err := canonical(e.Detail)
		if err != nil {
			return fmt.Errorf("audit %s of %s: %w", e.Act, e.Object, err)
		}
		seq++
		r := row{
			Writer: w.id, Seq: seq, Previous: previous, At: tx.Now.Unix(),
			Actor: e.Actor.String(), Act: e.Act, Object: e.Object, Tenant: e.Tenant, Detail: detail,
		}
		if r.Hash, err = r.sum(); err != nil {
			return fmt.Errorf("audit %s of %s: %w", e.Act, e.Object, err)
		}
		previous, rows[i] = r.Hash, r
	}
	if err := insertRows(tx, rows); err != nil {
		return fmt.Errorf("append to audit chain %s: %w", w.id, err)
	}
	if err := moveHead(tx, w.id, seq, previous); err != nil {
		return fmt.Errorf("move head of audit chain %s: %w", w.id, err)
	}
	return nil
}

// Hash is a row's SHA-256. Its text is 64 lower-case hexadecimal digits.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns what String returns.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what String writes, and only that.
func (h *Hash) UnmarshalText(text []byte) error {
	var read Hash
	n, err := hex.Decode(read[:], text[:min(len(text), 2*len(read))])
	if err != nil || n != len(read) || read.String() != string(text) {
		return fmt.Errorf("%q is no hash: 64 lower-case hexadecimal digits", text)
	}
	*h = read
	return nil
}

// row is one row as it is stored. Its JSON, in canonical form, is what is hashed.
type row struct {
	Writer   string          `json:"writer"`
	Seq      int64           `json:"seq"`
	Previous Hash            `json:"previous"`
	At       int64           `json:"at"`
	Actor    string          `json:"actor"`
	Act      string          `json:"act"`
	Object   string          `json:"object"`
	Tenant   access.Tenant   `json:"tenant"`
	Detail   json.RawMessage `json:"detail"`

	Hash Hash `json:"-"`
}

func (r *row) sum() (Hash, error) {
	text, err := canonical(r)
	return sha256.Sum256(text), err
}

// intact reports whether the row, were it number seq, is the one that was hashed.
// Its detail must stand in the canonical form too, or space could be put into it.
func (r *row) intact(seq int64) bool {
	at := *r
	at.Seq = seq
	if detail, err := jcs.Transform(r.Detail); err != nil || !bytes.Equal(detail, r.Detail) {
		return false
	}
	sum, err := at.sum()
	return err == nil && sum == r.Hash
}

// canonical is the RFC 8785 form of a value's JSON; nothing is {}.
func canonical(v any) ([]byte, error) {
	if v == nil {
		return []byte("{}"), nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(text)
}
