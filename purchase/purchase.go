// Package purchase says what coverage costs, whether an order for it may be
// placed, and whether seats may be returned; and it draws the invoice months.
//
// Every function decides from its arguments alone: the program file, what the
// customer holds already, and a day. Storing, numbering, invoicing and sending
// keys are left to the authority. There are no taxes, discounts or exchange
// rates here, and no parts of a year: a coverage year costs its price on
// whatever day it is bought (rule B5).
//
// Invariants:
//   - an allowed order leaves the customer with seats(k) ≥ seats(N) on its track,
//     for all years k < N that are sold (rule B1); an allowed return keeps that so;
//   - adding Quote.Missing to a request that nothing else refuses makes it
//     allowed, at Quote.TotalWithMissing;
//   - amounts are exact or absent, never rounded, cut or overflowed.
package purchase

import (
	"errors"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// MaxSeats is the most that one customer can hold of one year of one track. It
// lets seats be added without overflow.
const MaxSeats = 1_000_000_000

// Holding is how many seats a customer holds of one year: bought over all its
// orders and channels, less returns. Several holdings of one year are added up.
type Holding struct {
	Track program.TrackID
	Year  program.Year
	Seats int
}

// Line asks for seats of one year. Several lines of one year are added up.
type Line struct {
	Year     program.Year
	Quantity int
}

// Holder says whose a contract is (rule P6).
type Holder string

// The closed set of holders.
const (
	HeldByOEM      Holder = "oem"
	HeldByCustomer Holder = "customer"
)

// Request is what somebody wants to buy, or to know the price of.
type Request struct {
	// Product is a track, edition or product as a person names it, in any case.
	// Empty means the program's only track that is not embedded.
	Product       string
	Channel       program.ChannelID
	List          program.ListID // "": the program's default list
	Currency      money.Currency
	Qualification program.QualificationID // "": none
	Lines         []Line
	On            civil.Date // the order's day, in the program's time zone
	Held          []Holding  // all that the customer holds, on any track
	Home          bool       // the customer is a home user (rule P11)

	Seller           string // who sells: a reseller, partner or OEM; "": nobody named yet
	SellerRegistered bool   // for this channel, on that day
	SellerIndirect   bool   // an indirect reseller, which buys through a provider
	Provider         string

	Contract       string      // the number of the contract that the channel asks for
	ContractHolder Holder      // whose it is; an order records that
	ContractValid  civil.Range // its days; an end that is no day is open
	// SellerPrices are the seller's own unit prices. They are read only on
	// channels that are priced by their sellers (rule P6).
	SellerPrices map[program.Year]money.Amount
}

// Quote is the answer to a request. An amount that is not known is the zero
// Amount, without a currency, and absent in JSON.
type Quote struct {
	Allowed bool `json:"allowed"`
	// Refusals are in the order in which a person deals with them; none when
	// Allowed. The edge renders each.
	Refusals []*problem.Problem `json:"refusals"`
	Track    program.TrackID    `json:"track,omitempty"` // "" when the product is not known or not sold
	Lines    []QuoteLine        `json:"lines"`           // one a year, the earliest first
	Total    money.Amount       `json:"total,omitzero"`  // of Lines
	// Missing are the seats of earlier years that the order would need (rule B1).
	Missing []Missing `json:"missing"`
	// TotalWithMissing is Total and what Missing costs.
	TotalWithMissing money.Amount `json:"totalWithMissing,omitzero"`
}

// QuoteLine is one coverage year of a quote: a SKU of its own (rule B4).
type QuoteLine struct {
	Year     program.Year  `json:"year"`
	SKU      program.SKUID `json:"sku"`
	Quantity int           `json:"quantity"`
	Unit     money.Amount  `json:"unit,omitzero"`
	Amount   money.Amount  `json:"amount,omitzero"`
}

// Missing is what a customer lacks of an earlier year.
type Missing struct {
	Year  program.Year `json:"year"`
	Seats int          `json:"seats"`
	Cost  money.Amount `json:"cost,omitzero"`
}

// Price quotes a request: what it costs, and every reason why it could not be
// ordered like that. Who sells, and whose the contract is, need not be said to
// learn a price; what is said of them is checked all the same.
func Price(p *program.Program, r Request) Quote { return quote(p, r, false) }

// Place is Price for an order, which also names its seller, the seller's
// provider and the contract's holder where the channel asks for them (rules B12,
// P6). The error joins the quote's refusals and is nil when the order is allowed.
func Place(p *program.Program, r Request) (Quote, error) {
	q := quote(p, r, true)
	refusals := make([]error, len(q.Refusals))
	for i, refusal := range q.Refusals {
		refusals[i] = refusal
	}
	return q, errors.Join(refusals...)
}
