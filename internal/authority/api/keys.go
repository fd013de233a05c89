package api

import (
	"context"
	"net/http"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Key is what is known of a product key without opening it.
type Key struct {
	ID       keyring.KeyID   `json:"id"`
	Customer access.Tenant   `json:"customer"`
	Program  program.ID      `json:"program"`
	Track    program.TrackID `json:"track"`
	Year     program.Year    `json:"year"`
	LastFive string          `json:"lastFive"`
	// Portal and Tool are the key's two names.
	Portal    string    `json:"portalName,omitempty"`
	Tool      string    `json:"toolName,omitempty"`
	Seats     int       `json:"seats"`
	Limit     int       `json:"limit"`
	Used      int       `json:"used"`
	Remaining int       `json:"remaining"`
	Blocked   string    `json:"blocked,omitempty" doc:"The reason"`
	Created   time.Time `json:"created"`
}

// Keys is a page of keys, by customer, program, track and year.
type Keys struct {
	Keys []Key `json:"keys"`
}

// RevealedKey is a whole product key, for the eyes that it is meant for.
type RevealedKey struct {
	ID  keyring.KeyID `json:"id"`
	Key string        `json:"key"`
}

// Reason says why something is done to a key.
type Reason struct {
	Reason string `json:"reason" maxLength:"1000"`
}

// RaiseLimit raises a key's activation limit.
type RaiseLimit struct {
	By     int    `json:"by" doc:"So many more activations"`
	Reason string `json:"reason" maxLength:"1000"`
}

// AskLimit asks for a higher activation limit.
type AskLimit struct {
	Wanted  int    `json:"wanted" doc:"So many more activations"`
	Reason  string `json:"reason" maxLength:"1000"`
	Region  string `json:"region,omitempty" maxLength:"100"`
	Contact string `json:"contact,omitempty" maxLength:"320"`
}

// DecideLimit grants so many more activations, or with 0 refuses.
type DecideLimit struct {
	Grant    int    `json:"grant"`
	Decision string `json:"decision" maxLength:"1000"`
}

// LimitRequests lists requests for other limits, the newest first.
type LimitRequests struct {
	Requests []keyring.Request `json:"requests"`
}

// Decided is a request with the key that it is about.
type Decided struct {
	Request keyring.Request `json:"request"`
	Key     Key             `json:"key"`
}

// KeyPath names a key.
type KeyPath struct {
	Key keyring.KeyID `path:"key" maxLength:"100"`
}

func (s *server) keys() {
	add(s, operation{id: "list-keys", method: http.MethodGet, path: "/keys", permission: access.KeyRead,
		summary: "Product keys with limit, used and remaining activations"}, // rule K8
		func(ctx context.Context, actor access.Actor, in *struct {
			Customer string          `query:"customer" maxLength:"1000"`
			Program  program.ID      `query:"program" maxLength:"64"`
			Track    program.TrackID `query:"track" maxLength:"64"`
			LastFive string          `query:"lastFive" maxLength:"5"`
			After    keyring.KeyID   `query:"after" maxLength:"100" doc:"The last one of the page before"`
			Limit    int             `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (Keys, error) {
			f := keyring.Filter{Program: in.Program, Track: in.Track, LastFive: in.LastFive, After: in.After, Limit: in.Limit}
			if in.Customer != "" {
				narrowed, err := s.Sales.ActFor(ctx, actor, in.Customer)
				if err != nil {
					return Keys{}, err
				}
				actor, f.Customer = narrowed, narrowed.Tenant
			}
			keys, err := s.Keys.List(ctx, actor, f)
			if err != nil {
				return Keys{}, err
			}
			shown, err := s.showKeys(ctx, keys)
			return Keys{shown}, err
		})
	add(s, operation{id: "show-key", method: http.MethodGet, path: "/keys/{key}", permission: access.KeyRead, summary: "One product key"},
		func(ctx context.Context, actor access.Actor, in *KeyPath) (Key, error) {
			actor, err := s.holder(ctx, actor, in.Key)
			if err != nil {
				return Key{}, err
			}
			var k keyring.Key
			err = s.DB.Read(ctx, func(tx *db.Tx) (err error) {
				k, err = keyring.Find(tx, actor.Tenant, in.Key)
				return err
			})
			return s.showKey(ctx, k, err)
		})
	add(s, operation{id: "reveal-key", method: http.MethodPost, path: "/keys/{key}/reveal", permission: access.KeyReveal, secret: true,
		summary: "All 25 characters; who asked is recorded"},
		func(ctx context.Context, actor access.Actor, in *KeyPath) (RevealedKey, error) {
			actor, err := s.holder(ctx, actor, in.Key)
			if err != nil {
				return RevealedKey{}, err
			}
			secret, err := s.Keys.Reveal(ctx, actor, in.Key)
			if err != nil {
				return RevealedKey{}, err
			}
			return RevealedKey{in.Key, secret.Reveal()}, nil
		})
	for _, act := range []struct {
		id, path, summary string
		do                func(context.Context, access.Actor, keyring.KeyID, string) (keyring.Key, error)
	}{
		{"block-key", "/keys/{key}/block", "End activations with a key until it is unblocked", s.Keys.Block},
		{"unblock-key", "/keys/{key}/unblock", "Take a block back", s.Keys.Unblock},
	} {
		add(s, operation{id: act.id, method: http.MethodPost, path: act.path, permission: access.KeyBlock, summary: act.summary},
			func(ctx context.Context, actor access.Actor, in *struct {
				KeyPath
				Body Reason
			}) (Key, error) {
				k, err := act.do(ctx, actor, in.Key, in.Body.Reason)
				return s.showKey(ctx, k, err)
			})
	}
	s.limits()
}

func (s *server) limits() {
	add(s, operation{id: "raise-limit", method: http.MethodPost, path: "/keys/{key}/limit", permission: access.KeyLimit,
		summary: "Raise a key's activation limit"}, // rule K6
		func(ctx context.Context, actor access.Actor, in *struct {
			KeyPath
			Body RaiseLimit
		}) (Key, error) {
			k, err := s.Keys.Raise(ctx, actor, in.Key, in.Body.By, in.Body.Reason)
			return s.showKey(ctx, k, err)
		})
	add(s, operation{id: "correct-limit", method: http.MethodPost, path: "/keys/{key}/correction", permission: access.KeyRequest,
		summary: "Set a key's seats to what the orders say"}, // rule K18
		func(ctx context.Context, actor access.Actor, in *struct {
			KeyPath
			Body Reason
		}) (Key, error) {
			actor, err := s.holder(ctx, actor, in.Key)
			if err != nil {
				return Key{}, err
			}
			k, err := s.Sales.Correct(ctx, actor, in.Key, in.Body.Reason)
			return s.showKey(ctx, k, err)
		})
	add(s, operation{id: "ask-limit", method: http.MethodPost, path: "/keys/{key}/limit-requests", permission: access.KeyRequest,
		status: http.StatusCreated, summary: "Ask for a higher activation limit"},
		func(ctx context.Context, actor access.Actor, in *struct {
			KeyPath
			Body AskLimit
		}) (keyring.Request, error) {
			actor, err := s.holder(ctx, actor, in.Key)
			if err != nil {
				return keyring.Request{}, err
			}
			b := in.Body
			return s.Keys.Ask(ctx, actor, keyring.AskIn{Key: in.Key, Wanted: b.Wanted, Reason: b.Reason, Region: b.Region, Contact: b.Contact})
		})
	add(s, operation{id: "list-limit-requests", method: http.MethodGet, path: "/limit-requests", permission: access.KeyRead,
		summary: "Requests for other limits, the newest first"},
		func(ctx context.Context, actor access.Actor, in *struct {
			Key   keyring.KeyID        `query:"key" maxLength:"100"`
			State keyring.RequestState `query:"state" maxLength:"20" doc:"open, granted or refused"`
		}) (LimitRequests, error) {
			if in.Key != "" {
				narrowed, err := s.holder(ctx, actor, in.Key)
				if err != nil {
					return LimitRequests{}, err
				}
				actor = narrowed
			}
			all, err := s.Keys.Requests(ctx, actor, in.Key, in.State)
			return LimitRequests{list(all)}, err
		})
	add(s, operation{id: "decide-limit", method: http.MethodPost, path: "/limit-requests/{request}/decision", permission: access.KeyLimit,
		summary: "Grant or refuse a higher activation limit"},
		func(ctx context.Context, actor access.Actor, in *struct {
			Request keyring.RequestID `path:"request" maxLength:"100"`
			Body    DecideLimit
		}) (Decided, error) {
			q, k, err := s.Keys.Decide(ctx, actor, in.Request, in.Body.Grant, in.Body.Decision)
			if err != nil {
				return Decided{}, err
			}
			shown, err := s.showKey(ctx, k, nil)
			return Decided{q, shown}, err
		})
}

// holder narrows a partner's actor to the customer that holds a key, where it sold
// to that customer; for all others the key is unknown. Other actors stay as they are.
func (s *server) holder(ctx context.Context, actor access.Actor, id keyring.KeyID) (access.Actor, error) {
	if actor.Partner == "" {
		return actor, nil
	}
	var k keyring.Key
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		k, err = keyring.Find(tx, access.All, id)
		return err
	})
	if err != nil {
		return access.Actor{}, err
	}
	narrowed, err := s.Sales.ActFor(ctx, actor, string(k.Customer))
	if problem.CodeOf(err) == sales.CustomerUnknown {
		return actor, nil // it sees nobody's keys, so this one is unknown to it
	}
	return narrowed, err
}

func (s *server) showKey(ctx context.Context, k keyring.Key, err error) (Key, error) {
	if err != nil {
		return Key{}, err
	}
	shown, err := s.showKeys(ctx, []keyring.Key{k})
	if err != nil {
		return Key{}, err
	}
	return shown[0], nil
}

// showKeys adds the names under which people meet keys.
func (s *server) showKeys(ctx context.Context, keys []keyring.Key) ([]Key, error) {
	known := map[program.ID]*program.Program{}
	shown := make([]Key, len(keys))
	for i, k := range keys {
		p, ok := known[k.Program]
		if !ok {
			var err error
			if p, err = s.inForce(ctx, k.Program); err != nil {
				return nil, err
			}
			known[k.Program] = p
		}
		names := k.Names(p) // rule K20
		shown[i] = Key{
			ID: k.ID, Customer: k.Customer, Program: k.Program, Track: k.Track, Year: k.Year, LastFive: k.LastFive,
			Portal: names.Portal, Tool: names.Tool, Seats: k.Seats, Limit: k.Limit(), Used: k.Used, Remaining: k.Remaining(),
			Blocked: k.Blocked, Created: k.Created,
		}
	}
	return shown, nil
}
