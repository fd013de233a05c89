package keyring

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

const (
	// RaiseBad: a raise is not at least 1, or it is far too large.
	RaiseBad problem.Code = "keyring.raise-bad"
	// RequestUnknown: there is no such request, or not for this actor.
	RequestUnknown problem.Code = "keyring.request-unknown"
	// RequestDecided: the request has been decided already.
	RequestDecided problem.Code = "keyring.request-decided"
	// NothingToCorrect: the key shows the seats that the orders say.
	NothingToCorrect problem.Code = "keyring.nothing-to-correct"
	// NothingBought: the key has no seats left, so its limit stays at nothing.
	NothingBought problem.Code = "keyring.nothing-bought"
)

// RequestID names a request for another limit.
type RequestID string

// RequestKind says what is wrong with the limit.
type RequestKind string

// The closed set of kinds (rules K6, K18).
const (
	ToRaise   RequestKind = "raise"   // more is needed than was bought: reinstalls, mostly
	ToCorrect RequestKind = "correct" // less is shown than was bought
)

// RequestState is how far a request has come. Only open ones can be decided.
type RequestState string

// The closed set of states.
const (
	IsOpen    RequestState = "open"
	IsGranted RequestState = "granted"
	IsRefused RequestState = "refused"
)

// Request asks for another limit (rule K6).
type Request struct {
	ID      RequestID    `json:"id"`
	Key     KeyID        `json:"key"`
	Kind    RequestKind  `json:"kind"`
	State   RequestState `json:"state"`
	Wanted  int          `json:"wanted"`  // more activations
	Granted int          `json:"granted"` // may differ
	Reason  string       `json:"reason"`
	Region  string       `json:"region,omitempty"`
	Contact string       `json:"contact,omitempty"`

	AskedAt   time.Time `json:"askedAt"`
	AskedBy   string    `json:"askedBy"`
	DecidedAt time.Time `json:"decidedAt,omitzero"`
	DecidedBy string    `json:"decidedBy,omitempty"`
	Decision  string    `json:"decision,omitempty"` // in the words of who decided
}

// AskIn asks for a raise of one key.
type AskIn struct {
	Key     KeyID
	Wanted  int // more activations
	Reason  string
	Region  string
	Contact string
}

// Ask records a request to raise a key's limit, which somebody else decides.
func (r *Ring) Ask(ctx context.Context, actor access.Actor, in AskIn) (Request, error) {
	if err := access.May(actor, access.KeyRequest); err != nil {
		return Request{}, err
	}
	reason, err := checkRaise(in.Wanted, in.Reason)
	if err != nil {
		return Request{}, err
	}
	var q Request
	err = r.db.Write(ctx, func(tx *db.Tx) error {
		k, err := Find(tx, actor.Tenant, in.Key)
		if err != nil {
			return err
		}
		q = Request{Key: k.ID, Kind: ToRaise, State: IsOpen, Wanted: in.Wanted, Reason: reason,
			Region: strings.TrimSpace(in.Region), Contact: strings.TrimSpace(in.Contact)}
		if err := r.record(tx, actor, &q); err != nil {
			return err
		}
		return audit.Append(tx, r.audit, k.entry(actor, "limit.ask", detail{"request": q.ID, "wanted": q.Wanted, "reason": q.Reason}))
	})
	if err != nil {
		return Request{}, err
	}
	return q, nil
}

// Decide grants so many more activations to an open request, or with 0 refuses it.
func (r *Ring) Decide(ctx context.Context, actor access.Actor, id RequestID, grant int, decision string) (Request, Key, error) {
	if err := access.May(actor, access.KeyLimit); err != nil {
		return Request{}, Key{}, err
	}
	if grant < 0 || grant > maxSeats {
		return Request{}, Key{}, problem.New(problem.Invalid, RaiseBad, "by", grant, "limit", maxSeats)
	}
	decision, err := needReason(decision)
	if err != nil {
		return Request{}, Key{}, err
	}
	var q Request
	var k Key
	err = r.db.Write(ctx, func(tx *db.Tx) (err error) {
		if q, err = findRequest(tx, actor.Tenant, id); err != nil {
			return err
		}
		if k, err = Lock(tx, q.Key); err != nil {
			return err
		}
		// Read again behind the lock: somebody may have decided it meanwhile.
		if q, err = findRequest(tx, actor.Tenant, id); err != nil {
			return err
		}
		if q.State != IsOpen {
			return problem.New(problem.Conflict, RequestDecided, "request", id, "state", q.State, "by", q.DecidedBy)
		}
		act := "limit.grant"
		if q.State = IsGranted; grant == 0 {
			q.State, act = IsRefused, "limit.refuse"
		}
		q.Granted, q.Decision, q.DecidedAt, q.DecidedBy = grant, decision, tx.Now, actor.String()
		if k, err = r.raise(tx, k, grant); err != nil {
			return err
		}
		if err := decideRequest(tx, q); err != nil {
			return fmt.Errorf("decide %s: %w", id, err)
		}
		return audit.Append(tx, r.audit, k.entry(actor, act, detail{"request": id, "by": grant, "reason": decision}))
	})
	if err != nil {
		return Request{}, Key{}, err
	}
	return q, k, nil
}

// Raise raises a limit at once, for whoever may decide, and records it as a
// request that was granted.
func (r *Ring) Raise(ctx context.Context, actor access.Actor, id KeyID, by int, reason string) (Key, error) {
	if err := access.May(actor, access.KeyLimit); err != nil {
		return Key{}, err
	}
	reason, err := checkRaise(by, reason)
	if err != nil {
		return Key{}, err
	}
	var k Key
	err = r.db.Write(ctx, func(tx *db.Tx) (err error) {
		if k, err = r.lockFor(tx, actor, id); err != nil {
			return err
		}
		if k, err = r.raise(tx, k, by); err != nil {
			return err
		}
		q := Request{Key: id, Kind: ToRaise, State: IsGranted, Wanted: by, Granted: by, Reason: reason,
			DecidedAt: tx.Now, DecidedBy: actor.String(), Decision: reason}
		if err := r.record(tx, actor, &q); err != nil {
			return err
		}
		return audit.Append(tx, r.audit, k.entry(actor, "limit.grant", detail{"request": q.ID, "by": by, "reason": reason}))
	})
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

// Settle answers a correction request by what the orders say (rule K18): where the
// key shows fewer seats it gets them, else the request is refused, and recorded all
// the same. The caller has summed the orders with the customer locked.
func (r *Ring) Settle(tx *db.Tx, actor access.Actor, id KeyID, ordered int, reason string) (Key, error) {
	if err := access.May(actor, access.KeyRequest); err != nil {
		return Key{}, err
	}
	reason, err := needReason(reason)
	if err != nil {
		return Key{}, err
	}
	k, err := r.lockFor(tx, actor, id)
	if err != nil {
		return Key{}, err
	}
	q := Request{Key: id, Kind: ToCorrect, State: IsRefused, Wanted: max(ordered-k.Seats, 0), Reason: reason,
		DecidedAt: tx.Now, DecidedBy: "orders", Decision: fmt.Sprintf("ordered %d", ordered)}
	act, before := "limit.refuse", k.Seats
	if k.Seats < ordered {
		q.State, q.Granted, act = IsGranted, ordered-k.Seats, "limit.correct"
		if k, err = addSeats(tx, id, q.Granted, k.Allow); err != nil {
			return Key{}, fmt.Errorf("correct %s: %w", id, err)
		}
	}
	if err := r.record(tx, actor, &q); err != nil {
		return Key{}, err
	}
	if err := audit.Append(tx, r.audit, k.entry(actor, act, detail{"request": q.ID, "before": before, "ordered": ordered, "reason": reason})); err != nil {
		return Key{}, err
	}
	if q.State == IsRefused {
		return k, db.CommitWith(problem.New(problem.Refused, NothingToCorrect, "key", id, "seats", k.Seats, "limit", k.Limit()))
	}
	return k, nil
}

// Requests lists the requests of the actor's customers, the newest first; of one
// key, or in one state, where these are given.
func (r *Ring) Requests(ctx context.Context, actor access.Actor, key KeyID, state RequestState) ([]Request, error) {
	if err := access.May(actor, access.KeyRead); err != nil {
		return nil, err
	}
	var all []Request
	err := r.db.Read(ctx, func(tx *db.Tx) (err error) {
		all, err = listRequests(tx, actor.Tenant, key, state)
		return err
	})
	return all, err
}

// raise adds to a locked key's limit.
func (r *Ring) raise(tx *db.Tx, k Key, by int) (Key, error) {
	switch {
	case by == 0:
		return k, nil
	case k.Seats == 0:
		return Key{}, problem.New(problem.Refused, NothingBought, "key", k.ID)
	case by > maxSeats-k.Raised:
		return Key{}, problem.New(problem.Invalid, RaiseBad, "by", by, "limit", maxSeats)
	}
	k, err := addRaised(tx, k.ID, by)
	if err != nil {
		return Key{}, fmt.Errorf("raise limit: %w", err)
	}
	return k, nil
}

// record saves a request as asked by the actor now.
func (r *Ring) record(tx *db.Tx, actor access.Actor, q *Request) error {
	id, err := access.NewID(r.random, "limit")
	if err != nil {
		return err
	}
	q.ID, q.AskedAt, q.AskedBy = RequestID(id), tx.Now, actor.String()
	if err := insertRequest(tx, *q); err != nil {
		return fmt.Errorf("record request for %s: %w", q.Key, err)
	}
	return nil
}

func checkRaise(by int, reason string) (string, error) {
	if by < 1 || by > maxSeats {
		return "", problem.New(problem.Invalid, RaiseBad, "by", by, "limit", maxSeats)
	}
	return needReason(reason)
}
