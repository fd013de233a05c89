package office

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

// dayFlag is a calendar day as a flag.
type dayFlag struct{ day *civil.Date }

func (f dayFlag) Set(s string) error { return f.day.UnmarshalText([]byte(s)) }
func (f dayFlag) Type() string       { return "YYYY-MM-DD" }
func (f dayFlag) String() string {
	if f.day == nil {
		return ""
	}
	return f.day.String()
}

func holderOf(s string) purchase.Holder { return purchase.Holder(s) }

func (o *office) orders() *cobra.Command {
	return group("order", "Quotes, orders and returns", o.orderQuote(), o.orderPlace(), o.orderShow(), o.orderList(), o.orderReturn())
}

// wish is a quote or order as flags say it.
type wish struct {
	program, channel, list, currency, qualification string
	api.Wish
	years    []int
	quantity int
	lines    []string
	prices   []string
}

func (w *wish) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.program, "program", "", "the program (default: the only one)")
	f.StringVar(&w.Customer, "customer", "", "who buys: id, name, tenant id or an agreement's number")
	f.StringVar(&w.Product, "product", "", "a track, edition or product (default: the program's only one)")
	f.StringVar(&w.Product, "edition", "", "the same as --product")
	f.StringVar(&w.channel, "channel", "", "through which it is bought (default: the agreement's)")
	f.StringVar(&w.list, "list", "", "the price list (default: the program's)")
	f.StringVar(&w.currency, "currency", "", "USD, EUR, …")
	f.StringVar(&w.qualification, "qualification", "", "what entitles to another price (default: what the customer has)")
	f.IntSliceVar(&w.years, "year", nil, "a coverage year (repeat)")
	f.IntVar(&w.quantity, "quantity", 0, "seats of each --year")
	f.StringArrayVar(&w.lines, "line", nil, "YEAR=SEATS, where years differ (repeat)")
	f.StringVar(&w.Seller, "seller", "", "the partner who sells, by id or name")
	f.StringVar(&w.Provider, "provider", "", "a reseller's provider, by id or name (default: its own)")
	f.StringVar(&w.Agreement, "agreement", "", "an agreement's number")
	f.StringArrayVar(&w.prices, "seller-price", nil, "YEAR=PRICE where the seller sets it, a code and an amount as the price list writes them (repeat)")
	f.BoolVar(&w.Home, "home", false, "the customer is a home user")
}

// document is the wish as the API takes it.
func (w *wish) document(ctx context.Context, s *session) (api.Wish, error) {
	id, err := s.oneProgram(ctx, w.program)
	if err != nil {
		return api.Wish{}, err
	}
	d := w.Wish
	d.Program, d.Channel, d.List = program.ID(id), program.ChannelID(w.channel), program.ListID(w.list)
	d.Currency, d.Qualification = money.Currency(strings.ToUpper(w.currency)), program.QualificationID(w.qualification)
	d.Lines = []api.WishLine{}
	if len(w.years) > 0 && !s.command.Flags().Changed("quantity") {
		return api.Wish{}, cli.WrongUse(s.command, "Say how many seats of each year: --quantity N.")
	}
	for _, year := range w.years {
		if year < 0 || year > program.MaxYear {
			return api.Wish{}, cli.WrongUse(s.command, "%d is no coverage year.", year)
		}
		d.Lines = append(d.Lines, api.WishLine{Year: program.Year(year), Quantity: w.quantity})
	}
	for _, line := range w.lines {
		year, value, err := byYear(s, "--line", line)
		if err != nil {
			return api.Wish{}, err
		}
		quantity, err := strconv.Atoi(value)
		if err != nil {
			return api.Wish{}, cli.WrongUse(s.command, "--line is YEAR=SEATS, not '%s'.", line)
		}
		d.Lines = append(d.Lines, api.WishLine{Year: year, Quantity: quantity})
	}
	for _, line := range w.prices {
		year, value, err := byYear(s, "--seller-price", line)
		if err != nil {
			return api.Wish{}, err
		}
		d.SellerPrices = append(d.SellerPrices, api.SellerPrice{Year: year, Price: value})
	}
	return d, nil
}

// byYear reads YEAR=VALUE.
func byYear(s *session, flag, text string) (program.Year, string, error) {
	number, value, found := strings.Cut(text, "=")
	year, err := strconv.ParseInt(number, 10, 8)
	if err != nil || !found {
		return 0, "", cli.WrongUse(s.command, "%s begins with YEAR=, not '%s'.", flag, text)
	}
	return program.Year(year), value, nil
}

func (o *office) orderQuote() *cobra.Command {
	w := wish{}
	var on civil.Date
	c := &cobra.Command{
		Use: "quote", Short: "What it costs, and all that stands against ordering it", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			d, err := w.document(ctx, s)
			if err != nil {
				return err
			}
			q, err := post[api.Quote](ctx, s, "/quotes", api.QuoteWish{Wish: d, On: on})
			if err != nil {
				return err
			}
			if err := o.env.Show(q, o.quoteRows(q)); err != nil {
				return err
			}
			if q.Allowed {
				return nil
			}
			for _, p := range problem.All(s.problems(q.Refusals)) {
				o.env.Problem(p)
			}
			return term.Exit(term.Refused)
		}),
	}
	w.flags(c)
	c.Flags().Var(dayFlag{&on}, "on", "the day of the quote (default: today)")
	return c
}

func (o *office) quoteRows(q api.Quote) term.Rows {
	rows := term.Rows{Columns: []string{"YEAR", "SKU", "QUANTITY", "UNIT", "AMOUNT"}}
	for _, l := range q.Lines {
		rows.Add(l.Year, l.SKU, l.Quantity, amount(&l.Unit), amount(&l.Amount))
	}
	for _, m := range q.Missing {
		rows.Add(m.Year, "(missing)", m.Seats, "", amount(&m.Cost))
	}
	if o.env.Format == term.Table {
		rows.Add("", "total", "", "", amount(q.Total))
		if len(q.Missing) > 0 {
			rows.Add("", "total with missing", "", "", amount(q.TotalWithMissing))
		}
	}
	return rows
}

// amount is empty for one that is not known.
func amount(a *money.Amount) string {
	if a == nil || a.Currency == "" {
		return ""
	}
	return a.String()
}

func (o *office) orderPlace() *cobra.Command {
	w := wish{}
	c := &cobra.Command{
		Use: "place", Short: "Order: keys are issued, or their limits raised, at once", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			d, err := w.document(ctx, s)
			if err != nil {
				return err
			}
			placed, err := post[api.Placed](ctx, s, "/orders", d)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"ORDER", "YEAR", "SKU", "QUANTITY", "AMOUNT", "KEY", "ENDS IN", "LIMIT"}}
			for _, l := range placed.Order.Lines {
				key := api.Key{}
				if i := slices.IndexFunc(placed.Keys, func(k api.Key) bool { return k.Year == l.Year }); i >= 0 {
					key = placed.Keys[i]
				}
				rows.Add(placed.Order.ID, l.Year, l.SKU, l.Quantity, amount(&l.Amount), key.ID, key.LastFive, key.Limit)
			}
			return o.env.Show(placed, rows)
		}),
	}
	w.flags(c)
	return c
}

func (o *office) orderShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ORDER", Short: "One order, with its returns", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			shown, err := get[api.OrderShown](ctx, s, at("/orders/%s", args[0]), nil)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"DAY", "YEAR", "SKU", "QUANTITY", "RETURNED", "UNIT", "AMOUNT"}}
			for _, l := range shown.Lines {
				rows.Add(shown.Day, l.Year, l.SKU, l.Quantity, l.Returned, amount(&l.Unit), amount(&l.Amount))
			}
			return o.env.Show(shown, rows)
		}),
	}
}

func (o *office) orderList() *cobra.Command {
	var customer, id string
	var from, until civil.Date
	c := &cobra.Command{
		Use: "list", Short: "The orders, the oldest first", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			all := api.Orders{Orders: []sales.Order{}}
			for after := ""; ; {
				page, err := get[api.Orders](ctx, s, "/orders", query("limit", pageSize, "after", after,
					"customer", customer, "program", id, "from", from.String(), "until", until.String()))
				if err != nil {
					return err
				}
				all.Orders = append(all.Orders, page.Orders...)
				if len(page.Orders) < 1000 {
					break
				}
				after = string(page.Orders[len(page.Orders)-1].ID)
			}
			rows := term.Rows{Columns: []string{"ORDER", "DAY", "CUSTOMER", "PROGRAM", "TRACK", "CHANNEL", "SEATS", "TOTAL"}}
			for _, one := range all.Orders {
				var seats []string
				for _, l := range one.Lines {
					seats = append(seats, fmt.Sprintf("%d: %d", l.Year, l.Quantity-l.Returned))
				}
				rows.Add(one.ID, one.Day, one.Customer, one.Program, one.Track, one.Channel, strings.Join(seats, ", "), amount(&one.Total))
			}
			return o.env.Show(all, rows)
		}),
	}
	f := c.Flags()
	f.StringVar(&customer, "customer", "", "only this customer's")
	f.StringVar(&id, "program", "", "only this program's")
	f.Var(dayFlag{&from}, "from", "the first day")
	f.Var(dayFlag{&until}, "until", "the last day")
	return c
}

func (o *office) orderReturn() *cobra.Command {
	in := api.ReturnSeats{}
	var year int8
	c := &cobra.Command{
		Use: "return ORDER --year N --quantity N", Short: "Give seats of one year back", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in.Year = program.Year(year)
			done, err := post[sales.Return](ctx, s, at("/orders/%s/returns", args[0]), in)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"RETURN", "ORDER", "YEAR", "QUANTITY", "CREDITED"}}
			rows.Add(done.ID, done.Order, done.Year, done.Quantity, amount(&done.Amount))
			return o.env.Show(done, rows)
		}),
	}
	c.Flags().Int8Var(&year, "year", 0, "the coverage year")
	c.Flags().IntVar(&in.Quantity, "quantity", 0, "how many seats")
	c.Flags().StringVar(&in.AskedBy, "asked-by", "", "the partner that asks, by id or name")
	for _, name := range []string{"year", "quantity"} {
		_ = c.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	return c
}
