package sales

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

const (
	// OrderUnknown: there is no such order, or not for this actor.
	OrderUnknown problem.Code = "sales.order-unknown"
	// NotTheSeller: a partner would order or return for another one.
	NotTheSeller problem.Code = "sales.not-the-seller"
	// QualificationNotHeld: the customer does not have the qualification.
	QualificationNotHeld problem.Code = "sales.qualification-not-held"
)

// OrderID names an order.
type OrderID string

// OrderIn is what somebody wants to buy, or to know the price of. Customer and
// partners are named as people name them.
type OrderIn struct {
	Program       program.ID
	Customer      string // may be missing from a quote
	Product       string
	Channel       program.ChannelID // may be left to the agreement
	List          program.ListID
	Currency      money.Currency
	Qualification program.QualificationID // "": what the customer has for the channel
	Lines         []purchase.Line
	Seller        string // may be left to the agreement, or to the partner that acts
	Provider      string // may be left to the seller
	Agreement     string // a number
	SellerPrices  map[program.Year]money.Amount
	Home          bool       // the customer is a home user
	On            civil.Date // of a quote; no day is today. An order is of today
}

// Order is what was bought.
type Order struct {
	ID        OrderID           `json:"id"`
	Customer  access.Tenant     `json:"customer"`
	Program   program.ID        `json:"program"`
	Version   int               `json:"version"` // of the program file that priced it
	Track     program.TrackID   `json:"track"`
	Channel   program.ChannelID `json:"channel"`
	Seller    access.PartnerID  `json:"seller,omitempty"`
	Provider  access.PartnerID  `json:"provider,omitempty"`
	Agreement string            `json:"agreement,omitempty"` // its number
	Contract  string            `json:"contract,omitempty"`
	Holder    purchase.Holder   `json:"holder,omitempty"`
	Total     money.Amount      `json:"total"`
	Day       civil.Date        `json:"day"` // in the program's time zone
	Placed    time.Time         `json:"placed"`
	Actor     string            `json:"actor"`
	Lines     []OrderLine       `json:"lines"` // by year
}

// OrderLine is one coverage year of an order.
type OrderLine struct {
	Year     program.Year  `json:"year"`
	SKU      program.SKUID `json:"sku"`
	Quantity int           `json:"quantity"`
	Returned int           `json:"returned"`
	Unit     money.Amount  `json:"unit"`
	Amount   money.Amount  `json:"amount"` // of the quantity, whatever was returned
}

// Quote prices what somebody wants, and says all that stands against ordering it.
func (o *Office) Quote(ctx context.Context, actor access.Actor, in OrderIn) (purchase.Quote, error) {
	if err := access.May(actor, access.QuoteMake); err != nil {
		return purchase.Quote{}, err
	}
	var q purchase.Quote
	err := o.db.Read(ctx, func(tx *db.Tx) error {
		w, err := o.prepare(tx, actor, in, false)
		if err == nil {
			q = purchase.Price(w.program, w.request)
		}
		return err
	})
	return q, err
}

// Place orders: the order, its keys with their new limits, and the audit rows are
// saved together, or a refusal with all of its reasons is.
func (o *Office) Place(ctx context.Context, actor access.Actor, in OrderIn) (Order, []keyring.Key, error) {
	if err := access.May(actor, access.OrderPlace); err != nil {
		return Order{}, nil, err
	}
	in.On = civil.Date{}
	var order Order
	var keys []keyring.Key
	err := o.db.Write(ctx, func(tx *db.Tx) error {
		w, err := o.prepare(tx, actor, in, true)
		if err != nil {
			return err
		}
		q, err := purchase.Place(w.program, w.request)
		if err != nil {
			return o.refuse(tx, actor, "order.refuse", "program/"+string(in.Program), w.customer.ID, err)
		}
		if order, err = o.save(tx, actor, w, q); err != nil {
			return err
		}
		keys, err = o.keys.Seats(tx, actor, order.Customer, order.Program, order.Track, w.changes(q))
		return err
	})
	if err != nil {
		return Order{}, nil, err
	}
	return order, keys, nil
}

// refuse commits a refusal with an audit row that names its reasons.
func (o *Office) refuse(tx *db.Tx, actor access.Actor, act, object string, customer access.Tenant, refusal error) error {
	var codes []problem.Code
	for _, p := range problem.All(refusal) {
		codes = append(codes, p.Code)
	}
	if err := audit.Append(tx, o.audit, audit.Entry{
		Actor: actor, Act: act, Object: object, Tenant: customer, Detail: map[string]any{"codes": codes},
	}); err != nil {
		return err
	}
	return db.CommitWith(refusal)
}

// wish is a request with all that was looked up for it.
type wish struct {
	customer  Customer
	agreement Agreement
	seller    Partner
	provider  access.PartnerID
	program   *program.Program
	request   purchase.Request
}

// prepare looks up what a request names. To order, it locks the customer before it
// reads what that holds.
func (o *Office) prepare(tx *db.Tx, actor access.Actor, in OrderIn, order bool) (wish, error) {
	w := wish{request: purchase.Request{
		Product: in.Product, Channel: in.Channel, List: in.List, Currency: in.Currency, Qualification: in.Qualification,
		Lines: in.Lines, On: in.On, Home: in.Home, SellerPrices: in.SellerPrices,
	}}
	var err error
	if in.On.IsZero() {
		w.program, w.request.On, err = o.InForce(tx, in.Program)
	} else {
		w.program, err = o.InForceOn(tx, in.Program, in.On)
	}
	if err != nil {
		return wish{}, err
	}
	if in.Customer == "" && actor.Tenant != access.All {
		in.Customer = string(actor.Tenant) // a customer's actor asks for its own
	}
	if order || in.Customer != "" {
		if err := w.takeCustomer(tx, actor, in, order); err != nil {
			return wish{}, err
		}
	}
	return w, w.takeSeller(tx, actor, in, order)
}

func (w *wish) takeCustomer(tx *db.Tx, actor access.Actor, in OrderIn, order bool) error {
	c, named, err := findCustomer(tx, actor, in.Customer, true)
	if err != nil {
		return err
	}
	w.customer = c
	switch {
	case in.Agreement != "":
		a, ok, err := agreementByNumber(tx, agreementNumber(in.Agreement))
		if err != nil || !ok || a.Customer != c.ID {
			return orProblem(err, problem.New(problem.NotFound, AgreementUnknown, "agreement", in.Agreement))
		}
		w.agreement = a
	case named != nil && named.Program == w.program.ID && (in.Channel == "" || in.Channel == named.Channel):
		w.agreement = *named // by which the customer was found
	}
	if a := &w.agreement; a.ID != "" {
		if w.request.Channel == "" {
			w.request.Channel = a.Channel
		}
		if a.Program != w.program.ID || a.Channel != w.request.Channel {
			return problem.New(problem.Refused, AgreementOther, "agreement", a.Number, "program", a.Program, "channel", a.Channel)
		}
		w.request.Contract, w.request.ContractHolder, w.request.ContractValid = a.Contract, a.Holder, a.Valid
	}
	if w.request.Qualification == "" {
		w.request.Qualification = entitled(w.program, w.request.Channel, c.Qualifications)
	} else if !slices.Contains(c.Qualifications, w.request.Qualification) {
		return problem.New(problem.Refused, QualificationNotHeld, "qualification", w.request.Qualification, "customer", c.Name)
	}
	if order {
		if err := lockCustomer(tx, c.ID); err != nil {
			return fmt.Errorf("lock %s: %w", c.ID, err)
		}
	}
	w.request.Held, err = holdings(tx, c.ID, w.program.ID)
	return err
}

// entitled is the qualification that counts on a channel: one with a price of its
// own there, or one whose customers buy elsewhere, so that they are told where
// (rules B7, B8). Sellers who set the price know none.
func entitled(p *program.Program, channel program.ChannelID, has []program.QualificationID) program.QualificationID {
	ch, ok := p.Channel(channel)
	if !ok || ch.PricedBySeller {
		return ""
	}
	for _, id := range has {
		if q, ok := p.Qualification(id); ok && slices.Contains(q.Channels, channel) != q.CommonPrice {
			return id
		}
	}
	return ""
}

func (w *wish) takeSeller(tx *db.Tx, actor access.Actor, in OrderIn, order bool) error {
	ref, provider := in.Seller, in.Provider
	if ch, ok := w.program.Channel(w.request.Channel); ref == "" && ok && ch.Seller != program.SellerNone {
		ref = string(w.agreement.Partner)
		if ref == "" {
			ref = string(actor.Partner)
		}
	}
	if ref != "" {
		p, err := findPartner(tx, ref)
		if err != nil {
			return err
		}
		w.seller = p
		w.request.Seller, w.request.SellerIndirect = p.Name, p.Kind == Reseller
		w.request.SellerRegistered = slices.Contains(p.Channels, w.request.Channel)
		if provider == "" {
			provider = string(p.Provider)
		}
	}
	id, err := providerOf(tx, provider)
	if err != nil {
		return err
	}
	w.provider, w.request.Provider = id, string(id)
	if order && actor.Partner != "" && actor.Partner != w.seller.ID && actor.Partner != id {
		return problem.New(problem.Forbidden, NotTheSeller, "seller", w.request.Seller)
	}
	return nil
}

// changes are what an allowed order does to the keys.
func (w *wish) changes(q purchase.Quote) []keyring.Change {
	ch, _ := w.program.Channel(w.request.Channel)
	t, _ := w.program.Track(q.Track)
	changes := make([]keyring.Change, len(q.Lines))
	for i, l := range q.Lines {
		y, _ := t.Year(l.Year)
		changes[i] = keyring.Change{Year: l.Year, Tag: y.Tag, Seats: l.Quantity, Allow: ch.Allowance}
	}
	return changes
}

func (o *Office) save(tx *db.Tx, actor access.Actor, w wish, q purchase.Quote) (Order, error) {
	id, err := access.NewID(o.random, "order")
	if err != nil {
		return Order{}, err
	}
	order := Order{
		ID: OrderID(id), Customer: w.customer.ID, Program: w.program.ID, Version: w.program.Version, Track: q.Track,
		Channel: w.request.Channel, Seller: w.seller.ID, Provider: w.provider, Agreement: w.agreement.Number,
		Contract: w.request.Contract, Holder: w.request.ContractHolder, Total: q.Total,
		Day: w.request.On, Placed: tx.Now, Actor: actor.String(),
	}
	lines := make([]string, len(q.Lines))
	for i, l := range q.Lines {
		order.Lines = append(order.Lines, OrderLine{Year: l.Year, SKU: l.SKU, Quantity: l.Quantity, Unit: l.Unit, Amount: l.Amount})
		lines[i] = fmt.Sprintf("%d × %s at %s", l.Quantity, l.SKU, l.Unit)
	}
	if err := insertOrder(tx, order); err != nil {
		return Order{}, fmt.Errorf("save order: %w", err)
	}
	return order, audit.Append(tx, o.audit, audit.Entry{
		Actor: actor, Act: "order.place", Object: "order/" + id, Tenant: order.Customer,
		Detail: map[string]any{
			"program": order.Program, "version": order.Version, "track": order.Track, "channel": order.Channel,
			"seller": order.Seller, "provider": order.Provider, "qualification": w.request.Qualification,
			"lines": lines, "total": order.Total.String(), "day": order.Day,
		},
	})
}

// Order returns an order that the actor sees.
func (o *Office) Order(ctx context.Context, actor access.Actor, id OrderID) (Order, error) {
	if err := access.May(actor, access.OrderRead); err != nil {
		return Order{}, err
	}
	var order Order
	err := o.db.Read(ctx, func(tx *db.Tx) (err error) {
		order, err = findOrder(tx, scopeOf(actor), id)
		return err
	})
	return order, err
}

// OrderFilter chooses orders; what is empty chooses all.
type OrderFilter struct {
	Customer string // as people name it
	Program  program.ID
	Days     civil.Range // an end that is no day is open
	After    OrderID     // the last of the page before
	Limit    int         // 0 means 100; at most 1,000
}

// Orders lists the orders that the actor sees, the oldest first.
func (o *Office) Orders(ctx context.Context, actor access.Actor, f OrderFilter) ([]Order, error) {
	if err := access.May(actor, access.OrderRead); err != nil {
		return nil, err
	}
	var all []Order
	err := o.db.Read(ctx, func(tx *db.Tx) error {
		var customer access.Tenant
		if strings.TrimSpace(f.Customer) != "" {
			c, _, err := findCustomer(tx, actor, f.Customer, false)
			if err != nil {
				return err
			}
			customer = c.ID
		}
		var err error
		all, err = listOrders(tx, scopeOf(actor), "", customer, f)
		return err
	})
	return all, err
}
