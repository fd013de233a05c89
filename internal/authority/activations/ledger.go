package activations

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

// ledger is what one transaction comes to.
type ledger struct {
	answers []frontdoor.Answer
	// holds says, for each request, whose license answers it: one that was there,
	// or one that this transaction grants. None where it was refused.
	holds   []*license.Token
	granted []*grant
	unknown int64 // requests with keys that nobody was sold
	facts   map[[32]byte][]byte
	refused []refusal

	programs  map[program.ID]*program.Program // looked up once in a batch
	customers map[access.Tenant]string
}

// refusal is one request that its key's rules refused.
type refusal struct {
	key  *keyring.Key
	code problem.Code
}

// grant is one new installation under a key.
type grant struct {
	key    *keyring.Key
	claims license.Claims
	token  license.Token
	facts  [32]byte
	signer ed25519.PrivateKey
	kid    license.KeyID
}

// decide takes a batch through its transaction, up to the commit.
func (r *Room) decide(tx *db.Tx, batch []*job) (*ledger, error) {
	keys, err := r.lock(tx, batch)
	if err != nil {
		return nil, err
	}
	known, err := knownLicenses(tx, wanted(batch, keys))
	if err != nil {
		return nil, err
	}
	b := &ledger{
		answers: make([]frontdoor.Answer, len(batch)), holds: make([]*license.Token, len(batch)), facts: map[[32]byte][]byte{},
		programs: map[program.ID]*program.Program{}, customers: map[access.Tenant]string{},
	}
	for i, j := range batch {
		if err := r.answer(tx, b, i, j, keys[j.request.Ref], known); err != nil {
			return nil, err
		}
	}
	if err := b.sign(); err != nil {
		return nil, err
	}
	for i, token := range b.holds {
		if token != nil {
			b.answers[i].License = *token
		}
	}
	return b, r.write(tx, b)
}

// sign signs what was granted, on every processor: it is most of the work.
func (b *ledger) sign() error {
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, min(runtime.GOMAXPROCS(0), len(b.granted)))
	for w := range errs {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(b.granted)) && errs[w] == nil; i = next.Add(1) - 1 {
				g := b.granted[i]
				g.token, errs[w] = license.Sign(g.claims, g.kid, g.signer)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// lock finds the keys of a batch and locks them in the order of their ids.
func (r *Room) lock(tx *db.Tx, batch []*job) (map[productkey.Ref]*keyring.Key, error) {
	ids := map[productkey.Ref]keyring.KeyID{}
	var order []keyring.KeyID
	for _, j := range batch {
		if _, asked := ids[j.request.Ref]; asked {
			continue
		}
		k, found, err := keyring.FindRef(tx, access.All, j.request.Ref)
		if err != nil {
			return nil, fmt.Errorf("find key: %w", err)
		}
		ids[j.request.Ref] = k.ID
		if found {
			order = append(order, k.ID)
		}
	}
	slices.Sort(order)
	keys := make(map[productkey.Ref]*keyring.Key, len(order))
	for _, id := range order {
		k, err := keyring.Lock(tx, id)
		if err != nil {
			return nil, fmt.Errorf("lock key %s: %w", id, err)
		}
		keys[k.Ref] = &k
	}
	return keys, nil
}

// seat is an installation under a key: what is counted, once.
type seat struct {
	key         keyring.KeyID
	fingerprint license.Fingerprint
}

func wanted(batch []*job, keys map[productkey.Ref]*keyring.Key) []seat {
	var seats []seat
	for _, j := range batch {
		if k := keys[j.request.Ref]; k != nil {
			seats = append(seats, seat{k.ID, j.request.Fingerprint()})
		}
	}
	return seats
}

// answer decides one request. What it grants, the next in the batch sees: the
// key's count goes up, and the installation is known.
func (r *Room) answer(tx *db.Tx, b *ledger, i int, j *job, key *keyring.Key, known map[seat]*license.Token) error {
	p, err := look(b.programs, j.request.Program, func() (*program.Program, error) { return r.Program(tx, j.request.Program) })
	if err != nil {
		return err
	}
	var state *activation.KeyState
	var at seat
	if key != nil {
		at = seat{key.ID, j.request.Fingerprint()}
		mac, err := r.Keys.MAC(*key)
		if err != nil {
			return err
		}
		state = &activation.KeyState{
			Program: key.Program, Track: key.Track, Year: key.Year, MAC: mac,
			Limit: key.Limit(), Used: key.Used, Blocked: key.Blocked,
		}
	}
	d, err := activation.Decide(p, state, j.request, known[at] != nil)
	if err != nil {
		b.refuse(key, err)
		b.answers[i].Err = err
		return nil
	}
	if d.Outcome == activation.Grant {
		g, err := r.grant(tx, b, j, key, d)
		if err != nil {
			return err
		}
		b.facts[j.digest] = j.facts
		key.Used++
		known[at] = &g.token
		b.granted = append(b.granted, g)
	}
	b.holds[i] = known[at]
	return nil
}

func (b *ledger) refuse(key *keyring.Key, err error) {
	code := problem.CodeOf(err)
	if key == nil || code == activation.KeyUnknown {
		b.unknown++
		return
	}
	b.refused = append(b.refused, refusal{key, code})
}

// grant makes out the license of a new installation, yet to be signed.
func (r *Room) grant(tx *db.Tx, b *ledger, j *job, key *keyring.Key, d activation.Decision) (*grant, error) {
	id, err := newID(r.Random)
	if err != nil {
		return nil, err
	}
	customer, err := look(b.customers, key.Customer, func() (string, error) { return r.Customer(tx, key.Customer) })
	if err != nil {
		return nil, err
	}
	kid, signer, err := r.Issuer(tx, key.Program)
	if err != nil {
		return nil, fmt.Errorf("license key of program %s: %w", key.Program, err)
	}
	return &grant{key: key, facts: j.digest, kid: kid, signer: signer, claims: license.Claims{
		ID: id, Authority: r.Authority, Program: key.Program, Track: d.Track.ID, Year: d.Year.Year, ActivationID: d.Year.ActivationID,
		Fingerprint: j.request.Fingerprint(), PublicKey: j.request.PublicKey, Customer: onLicense(customer),
		LastFive: key.LastFive, Seat: d.Seat, Kind: j.kind, IssuedAt: license.At(tx.Now),
	}}, nil
}

// onLicense is a customer's name as a license takes it: on one line, 200 bytes at
// most. Sales takes no other names, but once did.
func onLicense(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, name)
	return strings.ToValidUTF8(name[:min(len(name), 200)], "") // what is left of a letter that was cut
}

// look looks something up once.
func look[K comparable, V any](have map[K]V, k K, find func() (V, error)) (V, error) {
	if v, ok := have[k]; ok {
		return v, nil
	}
	v, err := find()
	if err == nil {
		have[k] = v
	}
	return v, err
}

func newID(random io.Reader) (license.ID, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("license id: %w", err)
	}
	return license.ID("lic-" + hex.EncodeToString(b[:])), nil
}

// write stores what was decided: licenses, counts, facts, and one audit row for
// each key.
func (r *Room) write(tx *db.Tx, b *ledger) error {
	if b.unknown > 0 {
		if err := countUnknown(tx, b.unknown); err != nil {
			return err
		}
	}
	if err := insertFacts(tx, b.facts); err != nil {
		return err
	}
	if err := insertActivations(tx, b.granted); err != nil {
		return err
	}
	var entries []audit.Entry
	for _, t := range b.tallies() {
		if len(t.Granted) > 0 {
			if _, err := keyring.Count(tx, t.key.ID, len(t.Granted)); err != nil {
				return fmt.Errorf("count %s: %w", t.key.ID, err)
			}
		}
		entries = append(entries, audit.Entry{
			Actor: access.Itself("activations"), Act: "activation.count", Object: "key/" + string(t.key.ID), Tenant: t.key.Customer, Detail: t,
		})
	}
	return audit.Append(tx, r.Writer, entries...)
}

// tally is what a batch comes to under one key, as the audit keeps it.
type tally struct {
	key     *keyring.Key
	Used    int                  `json:"used"` // after it
	Limit   int                  `json:"limit"`
	Granted []tallied            `json:"granted,omitempty"`
	Refused map[problem.Code]int `json:"refused,omitempty"`
}

type tallied struct {
	License     license.ID          `json:"license"`
	Seat        int                 `json:"seat"`
	Fingerprint license.Fingerprint `json:"fingerprint"`
	Kind        license.Kind        `json:"kind"`
	Year        program.Year        `json:"year"`
}

// tallies sums a batch up by key, in the order in which the keys came.
func (b *ledger) tallies() []*tally {
	var all []*tally
	of := map[keyring.KeyID]*tally{}
	at := func(k *keyring.Key) *tally {
		if of[k.ID] == nil {
			of[k.ID] = &tally{key: k, Used: k.Used, Limit: k.Limit()}
			all = append(all, of[k.ID])
		}
		return of[k.ID]
	}
	for _, g := range b.granted {
		t := at(g.key)
		t.Granted = append(t.Granted, tallied{g.claims.ID, g.claims.Seat, g.claims.Fingerprint, g.claims.Kind, g.claims.Year})
	}
	for _, r := range b.refused {
		t := at(r.key)
		if t.Refused == nil {
			t.Refused = map[problem.Code]int{}
		}
		t.Refused[r.code]++
	}
	return all
}
