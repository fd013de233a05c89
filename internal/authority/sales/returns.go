package sales

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

// ReturnIn asks to give seats of one year of an order back.
type ReturnIn struct {
	Order    OrderID
	Year     program.Year
	Quantity int
	// AskedBy is the partner that asks, by id or name, where the vendor's staff
	// enters it; a partner's own actor asks for itself.
	AskedBy string
}

// Return is a return that was taken.
type Return struct {
	ID       string       `json:"id"`
	Order    OrderID      `json:"order"`
	Year     program.Year `json:"year"`
	Quantity int          `json:"quantity"`
	Amount   money.Amount `json:"amount"` // that is credited
	Day      civil.Date   `json:"day"`    // in the program's time zone
	At       time.Time    `json:"at"`
	Actor    string       `json:"actor"`
}

// Return takes seats back and lowers the key's limit (rule B14), under the terms of
// the program's version by which they were bought.
func (o *Office) Return(ctx context.Context, actor access.Actor, in ReturnIn) (Return, error) {
	if err := access.May(actor, access.OrderReturn); err != nil {
		return Return{}, err
	}
	var done Return
	err := o.db.Write(ctx, func(tx *db.Tx) error {
		order, err := findOrder(tx, scopeOf(actor), in.Order)
		if err != nil {
			return err
		}
		asker := actor.Partner
		if asker == "" && in.AskedBy != "" {
			p, err := findPartner(tx, in.AskedBy)
			if err != nil {
				return err
			}
			asker = p.ID
		}
		if err := lockCustomer(tx, order.Customer); err != nil {
			return fmt.Errorf("lock %s: %w", order.Customer, err)
		}
		if order, err = findOrder(tx, scopeOf(actor), in.Order); err != nil { // behind the lock
			return err
		}
		p, err := o.Version(tx, order.Program, order.Version)
		if err != nil {
			return err
		}
		loc, err := zone(p)
		if err != nil {
			return err
		}
		key, err := lockKey(tx, order, in.Year)
		if err != nil {
			return err
		}
		line := order.line(in.Year)
		r := purchase.ReturnRequest{
			Channel: order.Channel, Track: order.Track, Year: in.Year, Quantity: in.Quantity, On: civil.Of(tx.Now.In(loc)),
			BySeller: asker != "" && (asker == order.Seller || asker == order.Provider),
			Ordered:  line.Quantity - line.Returned, NotActivated: max(key.Seats-key.Used, 0),
		}
		if r.Held, err = holdings(tx, order.Customer, order.Program); err != nil {
			return err
		}
		if err := purchase.Return(p, r); err != nil {
			return o.refuse(tx, actor, "order.return-refuse", "order/"+string(order.ID), order.Customer, err)
		}
		done, err = o.saveReturn(tx, actor, order, line, in.Quantity, r.On)
		if err != nil {
			return err
		}
		_, err = o.keys.Seats(tx, actor, order.Customer, order.Program, order.Track, []keyring.Change{{Year: in.Year, Seats: -in.Quantity}})
		return err
	})
	if err != nil {
		return Return{}, err
	}
	return done, nil
}

// lockKey locks the key of a year of an order's track; of a year that the order
// does not have there may be none.
func lockKey(tx *db.Tx, order Order, year program.Year) (keyring.Key, error) {
	keys, err := keyring.Of(tx, order.Customer, order.Program, order.Track)
	if err != nil {
		return keyring.Key{}, err
	}
	i := slices.IndexFunc(keys, func(k keyring.Key) bool { return k.Year == year })
	if i < 0 {
		return keyring.Key{}, nil
	}
	return keyring.Lock(tx, keys[i].ID)
}

func (order Order) line(year program.Year) OrderLine {
	i := slices.IndexFunc(order.Lines, func(l OrderLine) bool { return l.Year == year })
	if i < 0 {
		return OrderLine{}
	}
	return order.Lines[i]
}

func (o *Office) saveReturn(tx *db.Tx, actor access.Actor, order Order, line OrderLine, quantity int, day civil.Date) (Return, error) {
	amount, err := line.Unit.Times(int64(quantity))
	if err != nil {
		return Return{}, fmt.Errorf("credit a return of %s: %w", order.ID, err)
	}
	id, err := access.NewID(o.random, "return")
	if err != nil {
		return Return{}, err
	}
	r := Return{ID: id, Order: order.ID, Year: line.Year, Quantity: quantity, Amount: amount, Day: day, At: tx.Now, Actor: actor.String()}
	if err := insertReturn(tx, r); err != nil {
		return Return{}, fmt.Errorf("save return of %s: %w", order.ID, err)
	}
	return r, audit.Append(tx, o.audit, audit.Entry{
		Actor: actor, Act: "order.return", Object: "order/" + string(order.ID), Tenant: order.Customer,
		Detail: map[string]any{"return": id, "year": r.Year, "quantity": quantity, "amount": amount.String(), "day": day},
	})
}

// Returns lists the returns of an order that the actor sees, the oldest first.
func (o *Office) Returns(ctx context.Context, actor access.Actor, id OrderID) ([]Return, error) {
	if err := access.May(actor, access.OrderRead); err != nil {
		return nil, err
	}
	var all []Return
	err := o.db.Read(ctx, func(tx *db.Tx) error {
		order, err := findOrder(tx, scopeOf(actor), id)
		if err == nil {
			all, err = listReturns(tx, order)
		}
		return err
	})
	return all, err
}

// Correct answers a request to correct a key that shows fewer seats than were
// bought, from the orders (rule K18).
func (o *Office) Correct(ctx context.Context, actor access.Actor, id keyring.KeyID, reason string) (keyring.Key, error) {
	if err := access.May(actor, access.KeyRequest); err != nil {
		return keyring.Key{}, err
	}
	var k keyring.Key
	err := o.db.Write(ctx, func(tx *db.Tx) (err error) {
		if k, err = keyring.Find(tx, actor.Tenant, id); err != nil {
			return err
		}
		if err := lockCustomer(tx, k.Customer); err != nil {
			return fmt.Errorf("lock %s: %w", k.Customer, err)
		}
		held, err := holdings(tx, k.Customer, k.Program)
		if err != nil {
			return err
		}
		ordered := 0
		for _, h := range held {
			if h.Track == k.Track && h.Year == k.Year {
				ordered += h.Seats
			}
		}
		k, err = o.keys.Settle(tx, actor, id, ordered, reason)
		return err
	})
	if err != nil {
		return keyring.Key{}, err
	}
	return k, nil
}
