// Package sales is the vendor's sales office: customers, partners, agreements, the
// versions of program files, and quotes, orders and returns.
//
// What may be bought and returned, and at what price, package purchase decides. This
// package loads what it asks for, saves what it answers, and has the keyring issue
// keys or change their limits in the same transaction.
//
// Invariants:
//   - who buys or returns holds the customer's lock from before its holdings are
//     read until they are saved, so that two at a time keep rule B1 as one does;
//   - an order keeps the program file's version that priced it; an amendment
//     touches no order (rule P14);
//   - days are those of the program's time zone at tx.Now;
//   - a refused order or return leaves an audit row;
//   - lock order: customer, product keys by id, audit chain.
//
// A customer is found by its id, its exact name (however its letters are written),
// its tenant id or the number of one of its agreements. What an actor may not see
// is unknown to it: a customer's actor sees its own, a partner's those it sold to.
//
// Invoices, notices and the support desk's search are for others.
package sales

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const (
	// NameBad: a name is empty, too long, or has characters that steer a terminal.
	NameBad problem.Code = "sales.name-bad"
	// CustomerExists: another customer has the name.
	CustomerExists problem.Code = "sales.customer-exists"
	// TenantTaken: another customer has the tenant id.
	TenantTaken problem.Code = "sales.tenant-taken"
	// CustomerUnknown: there is no such customer, or not for this actor.
	CustomerUnknown problem.Code = "sales.customer-unknown"
)

// Config is what the office works with.
type Config struct {
	DB     *db.DB
	Audit  *audit.Writer
	Keys   *keyring.Ring
	Random io.Reader // nil means crypto/rand
}

// Office is the sales office, safe for use by many goroutines.
type Office struct {
	db     *db.DB
	audit  *audit.Writer
	keys   *keyring.Ring
	random io.Reader

	mu     sync.Mutex
	parsed map[versionID]*program.Program // what is saved is never changed
}

type versionID struct {
	program program.ID
	version int
}

// New returns the office of a database.
func New(c Config) *Office {
	o := &Office{db: c.DB, audit: c.Audit, keys: c.Keys, random: c.Random, parsed: map[versionID]*program.Program{}}
	if o.random == nil {
		o.random = rand.Reader
	}
	return o
}

// Customer is an organization that buys.
type Customer struct {
	ID             access.Tenant             `json:"id"`
	Name           string                    `json:"name"`
	TenantID       string                    `json:"tenantId,omitempty"` // in the vendor's directory
	Country        string                    `json:"country,omitempty"`
	Language       string                    `json:"language"`
	Contact        string                    `json:"contact,omitempty"`
	Qualifications []program.QualificationID `json:"qualifications,omitempty"`
	Created        time.Time                 `json:"created"`
}

// AddCustomer saves a new customer and gives it an id.
func (o *Office) AddCustomer(ctx context.Context, actor access.Actor, c Customer) (Customer, error) {
	if err := access.May(actor, access.CustomerWrite); err != nil {
		return Customer{}, err
	}
	folded, err := checkName(&c.Name)
	if err != nil {
		return Customer{}, err
	}
	c.TenantID = strings.ToLower(strings.TrimSpace(c.TenantID))
	if c.Language == "" {
		c.Language = "en"
	}
	err = o.db.Write(ctx, func(tx *db.Tx) error {
		id, err := access.NewID(o.random, "customer")
		if err != nil {
			return err
		}
		c.ID, c.Created = access.Tenant(id), tx.Now
		added, err := insertCustomer(tx, c, folded)
		if err != nil {
			return fmt.Errorf("add customer: %w", err)
		}
		if !added {
			if _, taken, err := customerWhere(tx, byFolded, folded); err != nil || taken {
				return orProblem(err, problem.New(problem.Conflict, CustomerExists, "name", c.Name))
			}
			return problem.New(problem.Conflict, TenantTaken, "tenant", c.TenantID)
		}
		return audit.Append(tx, o.audit, audit.Entry{
			Actor: actor, Act: "customer.add", Object: "customer/" + id, Tenant: c.ID,
			Detail: map[string]any{"name": c.Name, "tenantId": c.TenantID, "qualifications": c.Qualifications},
		})
	})
	if err != nil {
		return Customer{}, err
	}
	return c, nil
}

// Customer finds a customer that the actor sees.
func (o *Office) Customer(ctx context.Context, actor access.Actor, ref string) (Customer, error) {
	if err := access.May(actor, access.CustomerRead); err != nil {
		return Customer{}, err
	}
	var c Customer
	err := o.db.Read(ctx, func(tx *db.Tx) (err error) {
		c, _, err = findCustomer(tx, actor, ref, false)
		return err
	})
	return c, err
}

// Customers lists the customers that the actor sees by name, the ones after a
// folded name first (Fold), at most 1,000 of them.
func (o *Office) Customers(ctx context.Context, actor access.Actor, after string, limit int) ([]Customer, error) {
	if err := access.May(actor, access.CustomerRead); err != nil {
		return nil, err
	}
	var all []Customer
	err := o.db.Read(ctx, func(tx *db.Tx) (err error) {
		all, err = listCustomers(tx, scopeOf(actor), Fold(after), page(limit))
		return err
	})
	return all, err
}

// ActFor returns the actor narrowed to one customer, as the keyring's acts take it:
// a partner's must have sold to it.
func (o *Office) ActFor(ctx context.Context, actor access.Actor, ref string) (access.Actor, error) {
	var c Customer
	err := o.db.Read(ctx, func(tx *db.Tx) (err error) {
		c, _, err = findCustomer(tx, actor, ref, false)
		return err
	})
	if err != nil {
		return access.Actor{}, err
	}
	return actor.For(c.ID), nil
}

// findCustomer finds a customer by id, name, tenant id or agreement number, and
// the agreement where it was that. A partner sees those it sold to; to order for
// the first time it names the id or tenant id, which are not guessed.
func findCustomer(tx *db.Tx, actor access.Actor, ref string, toOrder bool) (Customer, *Agreement, error) {
	ref = strings.TrimSpace(ref)
	unknown := problem.New(problem.NotFound, CustomerUnknown, "customer", ref)
	if ref == "" {
		return Customer{}, nil, unknown
	}
	for _, by := range []struct {
		column column
		value  string
	}{{byID, ref}, {byFolded, Fold(ref)}, {byTenantID, strings.ToLower(ref)}} {
		c, ok, err := customerWhere(tx, by.column, by.value)
		if err != nil {
			return Customer{}, nil, err
		}
		if ok {
			if toOrder && actor.Partner != "" && by.column != byFolded {
				return c, nil, nil
			}
			return seen(tx, actor, c, nil, unknown)
		}
	}
	a, ok, err := agreementByNumber(tx, agreementNumber(ref))
	if err != nil || !ok {
		return Customer{}, nil, orProblem(err, unknown)
	}
	c, ok, err := customerWhere(tx, byID, string(a.Customer))
	if err != nil || !ok {
		return Customer{}, nil, orProblem(err, unknown)
	}
	return seen(tx, actor, c, &a, unknown)
}

func seen(tx *db.Tx, actor access.Actor, c Customer, a *Agreement, unknown *problem.Problem) (Customer, *Agreement, error) {
	sees := actor.Tenant.Sees(c.ID)
	if actor.Partner != "" {
		sold, err := soldTo(tx, actor.Partner, c.ID)
		if err != nil {
			return Customer{}, nil, err
		}
		sees = sold
	}
	if !sees {
		return Customer{}, nil, unknown
	}
	return c, a, nil
}

// scope is whose rows a list shows.
type scope struct {
	tenant  access.Tenant
	partner access.PartnerID
}

func scopeOf(a access.Actor) scope {
	if a.Partner != "" {
		return scope{partner: a.Partner}
	}
	return scope{tenant: a.Tenant}
}

func orProblem(err error, p *problem.Problem) error {
	if err != nil {
		return err
	}
	return p
}

// page is how many rows one listing has.
func page(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, 1000)
}

// NameOf returns a customer's name, inside another room's transaction.
func NameOf(tx *db.Tx, customer access.Tenant) (string, error) {
	c, ok, err := customerWhere(tx, byID, string(customer))
	if err == nil && !ok {
		err = problem.New(problem.NotFound, CustomerUnknown, "customer", string(customer))
	}
	return c.Name, err
}
