package sales

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

type scanner interface{ Scan(dest ...any) error }

// collect reads all rows of a query.
func collect[T any](rows *db.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// maybe turns 'no row' into false.
func maybe[T any](one T, err error) (T, bool, error) {
	if errors.Is(err, db.ErrNoRows) {
		return one, false, nil
	}
	return one, err == nil, err
}

func instant(unix int64) time.Time { return time.Unix(unix, 0).UTC() }

func join[T ~string](words []T) string {
	text := make([]string, len(words))
	for i, w := range words {
		text[i] = string(w)
	}
	return strings.Join(text, " ")
}

func split[T ~string](text string) []T {
	var words []T
	for _, w := range strings.Fields(text) {
		words = append(words, T(w))
	}
	return words
}

// day reads a stored day; "" is none.
func day(text string) (d civil.Date, err error) {
	err = d.UnmarshalText([]byte(text))
	return d, err
}

// insertVersion reports false when the version is there.
func insertVersion(tx *db.Tx, p *program.Program, text []byte) (bool, error) {
	n, err := tx.Exec(`INSERT INTO programs (program, version, valid_from, file, imported_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (program, version) DO NOTHING`, p.ID, p.Version, p.From.String(), text, tx.Now.Unix())
	return n == 1, err
}

// listVersions lists the versions of one program or ("") of all, the oldest first.
func listVersions(tx *db.Tx, id program.ID) ([]ProgramVersion, error) {
	rows, err := tx.Query(`SELECT program, version, valid_from, imported_at FROM programs
		WHERE $1 = '' OR program = $1 ORDER BY program, version`, id)
	return collect(rows, err, func(row scanner) (v ProgramVersion, err error) {
		var from string
		var imported int64
		if err := row.Scan(&v.Program, &v.Version, &from, &imported); err != nil {
			return v, err
		}
		v.Imported = instant(imported)
		v.From, err = day(from)
		return v, err
	})
}

func versionFile(tx *db.Tx, v versionID) ([]byte, error) {
	var file []byte
	err := tx.QueryRow(`SELECT file FROM programs WHERE program = $1 AND version = $2`, v.program, v.version).Scan(&file)
	if err != nil {
		return nil, fmt.Errorf("program %s version %d: %w", v.program, v.version, err)
	}
	return file, nil
}

const customerColumns = `id, name, tenant_id, country, language, contact, qualifications, created_at`

func scanCustomer(row scanner) (Customer, error) {
	var c Customer
	var qualifications string
	var created int64
	err := row.Scan(&c.ID, &c.Name, &c.TenantID, &c.Country, &c.Language, &c.Contact, &qualifications, &created)
	c.Qualifications, c.Created = split[program.QualificationID](qualifications), instant(created)
	return c, err
}

// insertCustomer reports false when name or tenant id are taken.
func insertCustomer(tx *db.Tx, c Customer, folded string) (bool, error) {
	n, err := tx.Exec(`INSERT INTO customers (id, name, folded, tenant_id, country, language, contact, qualifications, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		c.ID, c.Name, folded, c.TenantID, c.Country, c.Language, c.Contact, join(c.Qualifications), c.Created.Unix())
	return n == 1, err
}

// column is one by which a single customer is found.
type column string

const (
	byID       column = "id"
	byFolded   column = "folded"
	byTenantID column = "tenant_id"
)

// customerWhere looks for a customer of any tenant; whether it may be shown is for
// the caller (findCustomer).
func customerWhere(tx *db.Tx, by column, value string) (Customer, bool, error) {
	return maybe(scanCustomer(tx.QueryRow(`SELECT `+customerColumns+` FROM customers WHERE `+string(by)+` = $1 AND $1 <> ''`, value)))
}

// lockCustomer holds what a customer holds until the transaction ends.
func lockCustomer(tx *db.Tx, id access.Tenant) error {
	var version int64
	return tx.QueryRow(`UPDATE customers SET version = version + 1 WHERE id = $1 RETURNING version`, id).Scan(&version)
}

func listCustomers(tx *db.Tx, s scope, after string, limit int) ([]Customer, error) {
	rows, err := tx.Query(`SELECT `+customerColumns+` FROM customers
		WHERE ($1 = '*' OR id = $1 OR ($2 <> '' AND EXISTS
			(SELECT 1 FROM orders o WHERE o.customer = customers.id AND (o.seller = $2 OR o.provider = $2))))
			AND folded > $3 ORDER BY folded LIMIT $4`, s.tenant, s.partner, after, limit)
	return collect(rows, err, scanCustomer)
}

// soldTo reports whether a partner has sold to a customer.
func soldTo(tx *db.Tx, partner access.PartnerID, customer access.Tenant) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 AS one FROM orders
		WHERE customer = $1 AND (seller = $2 OR provider = $2) LIMIT 1) AS found`, customer, partner).Scan(&n)
	return n > 0, err
}

const partnerColumns = `id, name, kind, provider, country, contact, channels, created_at`

func scanPartner(row scanner) (Partner, error) {
	var p Partner
	var channels string
	var created int64
	err := row.Scan(&p.ID, &p.Name, &p.Kind, &p.Provider, &p.Country, &p.Contact, &channels, &created)
	p.Channels, p.Created = split[program.ChannelID](channels), instant(created)
	return p, err
}

// insertPartner reports false when the name is taken.
func insertPartner(tx *db.Tx, p Partner, folded string) (bool, error) {
	n, err := tx.Exec(`INSERT INTO partners (id, name, folded, kind, provider, country, contact, channels, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (folded) DO NOTHING`,
		p.ID, p.Name, folded, p.Kind, p.Provider, p.Country, p.Contact, join(p.Channels), p.Created.Unix())
	return n == 1, err
}

func setChannels(tx *db.Tx, p Partner) error {
	_, err := tx.Exec(`UPDATE partners SET channels = $2 WHERE id = $1`, p.ID, join(p.Channels))
	return err
}

func partnerByIDOrName(tx *db.Tx, id, folded string) (Partner, bool, error) {
	return maybe(scanPartner(tx.QueryRow(`SELECT `+partnerColumns+` FROM partners WHERE id = $1 OR folded = $2
		ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END`, id, folded)))
}

func listPartners(tx *db.Tx) ([]Partner, error) {
	rows, err := tx.Query(`SELECT ` + partnerColumns + ` FROM partners ORDER BY folded`)
	return collect(rows, err, scanPartner)
}

const agreementColumns = `id, customer, program, channel, number, partner, contract, holder, valid_from, valid_last, created_at`

func scanAgreement(row scanner) (Agreement, error) {
	var a Agreement
	var from, last string
	var created int64
	err := row.Scan(&a.ID, &a.Customer, &a.Program, &a.Channel, &a.Number, &a.Partner, &a.Contract, &a.Holder, &from, &last, &created)
	if err != nil {
		return a, err
	}
	a.Created = instant(created)
	var err2 error
	a.Valid.First, err = day(from)
	a.Valid.Last, err2 = day(last)
	return a, errors.Join(err, err2)
}

// insertAgreement reports false when the number is taken.
func insertAgreement(tx *db.Tx, a Agreement) (bool, error) {
	n, err := tx.Exec(`INSERT INTO agreements (`+agreementColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (number) DO NOTHING`,
		a.ID, a.Customer, a.Program, a.Channel, a.Number, a.Partner, a.Contract, a.Holder,
		a.Valid.First.String(), a.Valid.Last.String(), a.Created.Unix())
	return n == 1, err
}

func agreementByNumber(tx *db.Tx, number string) (Agreement, bool, error) {
	return maybe(scanAgreement(tx.QueryRow(`SELECT `+agreementColumns+` FROM agreements WHERE number = $1`, number)))
}

func listAgreements(tx *db.Tx, tenant access.Tenant) ([]Agreement, error) {
	rows, err := tx.Query(`SELECT `+agreementColumns+` FROM agreements WHERE $1 = '*' OR customer = $1 ORDER BY number`, tenant)
	return collect(rows, err, scanAgreement)
}

// holdings sums a customer's orders of a program, less returns.
func holdings(tx *db.Tx, tenant access.Tenant, p program.ID) ([]purchase.Holding, error) {
	rows, err := tx.Query(`SELECT o.track, l.year, CAST(SUM(l.quantity - l.returned) AS BIGINT)
		FROM orders o JOIN order_lines l ON l.order_id = o.id
		WHERE o.customer = $1 AND o.program = $2 GROUP BY o.track, l.year ORDER BY o.track, l.year`, tenant, p)
	return collect(rows, err, func(row scanner) (h purchase.Holding, err error) {
		err = row.Scan(&h.Track, &h.Year, &h.Seats)
		return h, err
	})
}

func insertOrder(tx *db.Tx, o Order) error {
	_, err := tx.Exec(`INSERT INTO orders (id, customer, program, version, track, channel, seller, provider, agreement,
			contract, holder, currency, total, day, placed_at, actor)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		o.ID, o.Customer, o.Program, o.Version, o.Track, o.Channel, o.Seller, o.Provider, o.Agreement,
		o.Contract, o.Holder, o.Total.Currency, o.Total.Minor, o.Day.String(), o.Placed.Unix(), o.Actor)
	if err != nil {
		return err
	}
	lines := make([][]any, len(o.Lines))
	for i, l := range o.Lines {
		lines[i] = []any{string(o.ID), int64(l.Year), string(l.SKU), int64(l.Quantity), l.Unit.Minor, l.Amount.Minor}
	}
	_, err = tx.InsertMany("order_lines", []string{"order_id", "year", "sku", "quantity", "unit", "amount"}, lines)
	return err
}

func findOrder(tx *db.Tx, s scope, id OrderID) (Order, error) {
	all, err := listOrders(tx, s, id, "", OrderFilter{Limit: 1})
	if err != nil {
		return Order{}, err
	}
	if len(all) == 0 || id == "" {
		return Order{}, problem.New(problem.NotFound, OrderUnknown, "order", id)
	}
	return all[0], nil
}

// listOrders lists orders with their lines, one of them where an id is given.
func listOrders(tx *db.Tx, s scope, id OrderID, customer access.Tenant, f OrderFilter) ([]Order, error) {
	last := f.Days.Last.String()
	if last == "" {
		last = "9999-12-31"
	}
	rows, err := tx.Query(`SELECT o.id, o.customer, o.program, o.version, o.track, o.channel, o.seller, o.provider, o.agreement,
			o.contract, o.holder, o.currency, o.total, o.day, o.placed_at, o.actor, l.year, l.sku, l.quantity, l.returned, l.unit, l.amount
		FROM (SELECT id, customer, program, version, track, channel, seller, provider, agreement,
				contract, holder, currency, total, day, placed_at, actor FROM orders
			WHERE ($1 = '*' OR customer = $1 OR ($2 <> '' AND (seller = $2 OR provider = $2)))
				AND ($3 = '' OR id = $3) AND ($4 = '' OR customer = $4) AND ($5 = '' OR program = $5) AND day >= $6 AND day <= $7
				AND ($8 = '' OR (placed_at, id) > (SELECT placed_at, id FROM orders WHERE id = $8))
			ORDER BY placed_at, id LIMIT $9) o
		JOIN order_lines l ON l.order_id = o.id ORDER BY o.placed_at, o.id, l.year`,
		s.tenant, s.partner, id, customer, f.Program, f.Days.First.String(), last, f.After, page(f.Limit))
	lines, err := collect(rows, err, func(row scanner) (Order, error) {
		var o Order
		var l OrderLine
		var on string
		var placed int64
		err := row.Scan(&o.ID, &o.Customer, &o.Program, &o.Version, &o.Track, &o.Channel, &o.Seller, &o.Provider, &o.Agreement,
			&o.Contract, &o.Holder, &o.Total.Currency, &o.Total.Minor, &on, &placed, &o.Actor,
			&l.Year, &l.SKU, &l.Quantity, &l.Returned, &l.Unit.Minor, &l.Amount.Minor)
		if err != nil {
			return o, err
		}
		l.Unit.Currency, l.Amount.Currency = o.Total.Currency, o.Total.Currency
		o.Placed, o.Lines = instant(placed), []OrderLine{l}
		o.Day, err = day(on)
		return o, err
	})
	if err != nil {
		return nil, err
	}
	orders := []Order{}
	for _, o := range lines {
		if n := len(orders); n > 0 && orders[n-1].ID == o.ID {
			orders[n-1].Lines = append(orders[n-1].Lines, o.Lines...)
			continue
		}
		orders = append(orders, o)
	}
	return orders, nil
}

func insertReturn(tx *db.Tx, r Return) error {
	if _, err := tx.Exec(`UPDATE order_lines SET returned = returned + $3 WHERE order_id = $1 AND year = $2`,
		r.Order, r.Year, r.Quantity); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO order_returns (id, order_id, year, quantity, amount, day, returned_at, actor)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.ID, r.Order, r.Year, r.Quantity, r.Amount.Minor, r.Day.String(), r.At.Unix(), r.Actor)
	return err
}

// listReturns lists the returns of an order that was found for its actor.
func listReturns(tx *db.Tx, order Order) ([]Return, error) {
	rows, err := tx.Query(`SELECT id, order_id, year, quantity, amount, day, returned_at, actor FROM order_returns
		WHERE order_id = $1 ORDER BY returned_at, id`, order.ID)
	return collect(rows, err, func(row scanner) (Return, error) {
		r := Return{Amount: money.Amount{Currency: order.Total.Currency}}
		var on string
		var at int64
		err := row.Scan(&r.ID, &r.Order, &r.Year, &r.Quantity, &r.Amount.Minor, &on, &at, &r.Actor)
		if err != nil {
			return r, err
		}
		r.At = instant(at)
		r.Day, err = day(on)
		return r, err
	})
}
