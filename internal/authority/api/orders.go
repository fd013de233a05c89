package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

// Wish is what somebody wants to buy, or to know the price of.
type Wish struct {
	Program       program.ID              `json:"program"`
	Customer      string                  `json:"customer,omitempty" doc:"Id, exact name, tenant id or an agreement's number; may be missing from a quote"`
	Product       string                  `json:"product,omitempty" doc:"A track, edition or product; empty is the program's only one that is not embedded"`
	Channel       program.ChannelID       `json:"channel,omitempty" doc:"May be left to the agreement"`
	List          program.ListID          `json:"list,omitempty" doc:"Empty is the default price list"`
	Currency      money.Currency          `json:"currency,omitempty"`
	Qualification program.QualificationID `json:"qualification,omitempty"`
	Lines         []WishLine              `json:"lines" maxItems:"100"`
	Seller        string                  `json:"seller,omitempty" doc:"A partner, by id or name"`
	Provider      string                  `json:"provider,omitempty" doc:"A reseller's provider, by id or name"`
	Agreement     string                  `json:"agreement,omitempty" doc:"A number"`
	SellerPrices  []SellerPrice           `json:"sellerPrices,omitempty" maxItems:"15" doc:"Where the seller sets the price"`
	Home          bool                    `json:"home,omitempty" doc:"The customer is a home user"`
}

// WishLine asks for seats of one coverage year.
type WishLine struct {
	Year     program.Year `json:"year"`
	Quantity int          `json:"quantity"`
}

// SellerPrice is a seller's own unit price of one year.
type SellerPrice struct {
	Year  program.Year `json:"year"`
	Price string       `json:"price" doc:"A currency's code and an amount, as the price list writes them"`
}

// QuoteWish is a Wish on a day.
type QuoteWish struct {
	Wish
	On civil.Date `json:"on,omitzero" doc:"Empty is today"`
}

func (w Wish) in() (sales.OrderIn, error) {
	in := sales.OrderIn{
		Program: w.Program, Customer: w.Customer, Product: w.Product, Channel: w.Channel, List: w.List, Currency: w.Currency,
		Qualification: w.Qualification, Seller: w.Seller, Provider: w.Provider, Agreement: w.Agreement, Home: w.Home,
		SellerPrices: map[program.Year]money.Amount{},
	}
	for _, l := range w.Lines {
		in.Lines = append(in.Lines, purchase.Line(l))
	}
	for _, p := range w.SellerPrices {
		amount, err := money.Parse(p.Price)
		if err != nil {
			return sales.OrderIn{}, problem.New(problem.Invalid, Invalid, "what", err.Error()).Because(err)
		}
		in.SellerPrices[p.Year] = amount
	}
	return in, nil
}

// Quote is the answer to a wish: purchase.Quote with its refusals rendered.
type Quote struct {
	Allowed          bool                 `json:"allowed"`
	Program          program.ID           `json:"program"`
	Track            program.TrackID      `json:"track,omitempty"`
	Lines            []purchase.QuoteLine `json:"lines"`
	Total            *money.Amount        `json:"total,omitempty"`
	Missing          []purchase.Missing   `json:"missing"`
	TotalWithMissing *money.Amount        `json:"totalWithMissing,omitempty"`
	Refusals         []wire.Problem       `json:"refusals"`
}

// Placed is an order with the keys that it issued or raised.
type Placed struct {
	Order sales.Order `json:"order"`
	Keys  []Key       `json:"keys"`
}

// Orders is a page of orders, the oldest first.
type Orders struct {
	Orders []sales.Order `json:"orders"`
}

// OrderShown is an order with what was returned of it.
type OrderShown struct {
	sales.Order
	Returns []sales.Return `json:"returns"`
}

// ReturnSeats asks to give seats of one year back.
type ReturnSeats struct {
	Year     program.Year `json:"year"`
	Quantity int          `json:"quantity"`
	AskedBy  string       `json:"askedBy,omitempty" doc:"The partner that asks, by id or name, where the vendor's staff enters it"`
}

// OrderPath names an order.
type OrderPath struct {
	Order sales.OrderID `path:"order" maxLength:"100"`
}

func (s *server) orders() {
	add(s, operation{id: "make-quote", method: http.MethodPost, path: "/quotes", permission: access.QuoteMake, dry: true,
		summary: "Price a wish, with all that stands against ordering it"},
		func(ctx context.Context, actor access.Actor, in *struct{ Body QuoteWish }) (Quote, error) {
			wish, err := in.Body.in()
			if err != nil {
				return Quote{}, err
			}
			wish.On = in.Body.On
			q, err := s.Sales.Quote(ctx, actor, wish)
			if err != nil {
				return Quote{}, s.underProgram(ctx, wish.Program, err)
			}
			return s.quote(ctx, wish.Program, q), nil
		})
	add(s, operation{id: "place-order", method: http.MethodPost, path: "/orders", permission: access.OrderPlace, status: http.StatusCreated,
		summary: "Order; keys are issued or their limits raised at once"},
		func(ctx context.Context, actor access.Actor, in *struct{ Body Wish }) (Placed, error) {
			wish, err := in.Body.in()
			if err != nil {
				return Placed{}, err
			}
			order, keys, err := s.Sales.Place(ctx, actor, wish)
			if err != nil {
				return Placed{}, s.underProgram(ctx, wish.Program, err)
			}
			shown, err := s.showKeys(ctx, keys)
			return Placed{order, shown}, err
		})
	add(s, operation{id: "list-orders", method: http.MethodGet, path: "/orders", permission: access.OrderRead,
		summary: "The orders that you see, the oldest first"},
		func(ctx context.Context, actor access.Actor, in *struct {
			Customer string        `query:"customer" maxLength:"1000"`
			Program  program.ID    `query:"program" maxLength:"64"`
			From     civil.Date    `query:"from" doc:"The first day"`
			Until    civil.Date    `query:"until" doc:"The last day"`
			After    sales.OrderID `query:"after" maxLength:"100" doc:"The last one of the page before"`
			Limit    int           `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (Orders, error) {
			all, err := s.Sales.Orders(ctx, actor, sales.OrderFilter{
				Customer: in.Customer, Program: in.Program, Days: civil.Range{First: in.From, Last: in.Until}, After: in.After, Limit: in.Limit,
			})
			return Orders{list(all)}, err
		})
	add(s, operation{id: "show-order", method: http.MethodGet, path: "/orders/{order}", permission: access.OrderRead,
		summary: "One order, with its returns"},
		func(ctx context.Context, actor access.Actor, in *OrderPath) (OrderShown, error) {
			order, err := s.Sales.Order(ctx, actor, in.Order)
			if err != nil {
				return OrderShown{}, err
			}
			returns, err := s.Sales.Returns(ctx, actor, in.Order)
			return OrderShown{order, list(returns)}, err
		})
	add(s, operation{id: "return-seats", method: http.MethodPost, path: "/orders/{order}/returns", permission: access.OrderReturn, status: http.StatusCreated,
		summary: "Give seats of one year back"},
		func(ctx context.Context, actor access.Actor, in *struct {
			OrderPath
			Body ReturnSeats
		}) (sales.Return, error) {
			b := in.Body
			done, err := s.Sales.Return(ctx, actor, sales.ReturnIn{Order: in.Order, Year: b.Year, Quantity: b.Quantity, AskedBy: b.AskedBy})
			if err == nil {
				return done, nil
			}
			order, missing := s.Sales.Order(ctx, actor, in.Order)
			if missing != nil {
				return sales.Return{}, err
			}
			return sales.Return{}, s.underProgram(ctx, order.Program, err)
		})
}

func (s *server) quote(ctx context.Context, id program.ID, q purchase.Quote) Quote {
	shown := Quote{
		Allowed: q.Allowed, Program: id, Track: q.Track, Lines: list(q.Lines), Total: known(q.Total), Missing: list(q.Missing),
		TotalWithMissing: known(q.TotalWithMissing), Refusals: []wire.Problem{},
	}
	if len(q.Refusals) == 0 {
		return shown
	}
	refusals := make([]error, len(q.Refusals))
	for i, p := range q.Refusals {
		refusals[i] = p
	}
	d := s.refuse(ctx, s.underProgram(ctx, id, errors.Join(refusals...)))
	shown.Refusals = append([]wire.Problem{d.Problem}, d.Others...)
	return shown
}

// known is nil for an amount that is not known.
func known(a money.Amount) *money.Amount {
	if a.Currency == "" {
		return nil
	}
	return &a
}
