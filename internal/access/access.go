// Package access says who acts and what they may do.
//
// An [Actor] comes from an operator's API token, from the local user at the other
// end of the socket in the data folder, or is the process itself. It carries
// roles, and [May] decides by one table from a role to its permissions. A token
// can narrow that with scopes; it never widens it.
//
// Whose data an actor reaches is a second question with a type of its own:
// [Tenant] names one customer, [All] is the vendor's staff, and the zero Tenant
// reaches nobody. A partner has no Tenant of its own; the rooms look up to whom
// it sold, and narrow the actor to that customer ([Actor.For]).
//
// Invariants:
//   - an API token is 32 random bytes, shown once; only its SHA-256 digest is kept;
//   - a token serves while it is neither expired nor revoked and its operator has
//     not ended, and with the roles that the operator has now;
//   - one operator belongs to one side: the vendor, one partner or one customer.
//
// The package writes no audit row (audit stands after it): whoever adds or ends an
// operator or a token does that, in the same transaction.
package access

import (
	"encoding/base32"
	"fmt"
	"io"
	"slices"

	"github.com/openesu/openesu/problem"
)

const (
	// Forbidden: none of the actor's roles may do this.
	Forbidden problem.Code = "access.forbidden"
	// AskAdministrator: the actor's organization has somebody who may do this.
	AskAdministrator problem.Code = "access.ask-administrator"
	// OutOfScope: the actor may do this, but not with this token.
	OutOfScope problem.Code = "access.out-of-scope"
)

// Tenant is the customer whose data is reached. Every store function that reads
// customers' data takes one.
type Tenant string

// All is every customer: the vendor's own staff.
const All Tenant = "*"

// Sees reports whether data of customer may be shown.
func (t Tenant) Sees(customer Tenant) bool {
	return t == All || t == customer && t != ""
}

// PartnerID names a partner.
type PartnerID string

// Kind says what sort of actor acts.
type Kind string

// The closed set of kinds.
const (
	Operator Kind = "operator" // a person or program with an API token
	Local    Kind = "local"    // a user of this machine, over the socket
	Process  Kind = "process"  // the server by itself, on its calendar
	Device   Kind = "device"   // an installation that activates; it has no roles
)

// Actor is who acts. The zero Actor may do nothing.
type Actor struct {
	Kind    Kind
	ID      string
	Name    string // for people
	Roles   []Role
	Tenant  Tenant    // whose data: All, one customer, or nobody
	Partner PartnerID // the partner it acts for, "" for others
	Token   string    // the id of the token that it came with
	// Scopes are the only permissions that the token passes on; none given means all.
	Scopes []Permission
}

// LocalUser is the user of this machine who reached the socket, or runs a command
// on the data folder: whoever can do that owns the authority.
func LocalUser(name string) Actor {
	return Actor{Kind: Local, ID: name, Name: name, Roles: []Role{Owner}, Tenant: All}
}

// Itself is the process acting by itself: "invoice-run".
func Itself(name string) Actor {
	return Actor{Kind: Process, ID: name, Name: name, Roles: []Role{Owner}, Tenant: All}
}

// String names the actor in audit rows and beside what it wrote: "operator/op-…",
// with the token that it used.
func (a Actor) String() string {
	s := string(a.Kind) + "/" + a.ID
	if a.Token != "" {
		s += " with " + a.Token
	}
	return s
}

// For returns the actor narrowed to one customer. A customer's actor stays with
// its own; for a partner the caller has looked up that it sold to the customer.
func (a Actor) For(customer Tenant) Actor {
	switch {
	case customer == All, customer == "":
	case a.Tenant.Sees(customer), a.Tenant == "" && a.Partner != "":
		a.Tenant = customer
		return a
	}
	a.Tenant = ""
	return a
}

// May returns nil when the actor may do what p names.
func May(a Actor, p Permission) error {
	if !slices.ContainsFunc(a.Roles, func(r Role) bool { return slices.Contains(allowed[r], p) }) {
		if a.Tenant != "" && a.Tenant != All && a.Partner == "" && slices.Contains(allowed[CustomerAdministrator], p) {
			return problem.New(problem.Forbidden, AskAdministrator, "permission", p) // rule B19
		}
		return problem.New(problem.Forbidden, Forbidden, "permission", p, "roles", RolesWith(p))
	}
	if len(a.Scopes) > 0 && !slices.Contains(a.Scopes, p) {
		return problem.New(problem.Forbidden, OutOfScope, "permission", p, "token", a.Token)
	}
	return nil
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID draws the id of a new row: its kind and 80 random bits in 16 symbols that
// are told apart when read out, "order-3f9k2m7qxd0v6abc".
func NewID(random io.Reader, kind string) (string, error) {
	var b [10]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	return kind + "-" + idEncoding.EncodeToString(b[:]), nil
}
