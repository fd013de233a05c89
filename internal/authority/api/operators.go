package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

// AddOperator is a new operator: of the vendor, of one partner, or of one customer.
type AddOperator struct {
	Name     string        `json:"name" maxLength:"200"`
	Roles    []access.Role `json:"roles,omitempty" maxItems:"16" doc:"None: an ordinary member of a customer's organization"`
	Customer string        `json:"customer,omitempty" maxLength:"1000" doc:"As people name it"`
	Partner  string        `json:"partner,omitempty" maxLength:"1000" doc:"Id or exact name of a registered partner"`
}

// SetRoles gives an operator other roles, of the side to which it belongs.
type SetRoles struct {
	Roles []access.Role `json:"roles" maxItems:"16"`
}

// Operator is a person or program that acts.
type Operator struct {
	ID       string           `json:"id"`
	Name     string           `json:"name"`
	Roles    []access.Role    `json:"roles"`
	Customer access.Tenant    `json:"customer,omitempty"`
	Partner  access.PartnerID `json:"partner,omitempty"`
	Created  time.Time        `json:"created"`
	Ended    time.Time        `json:"ended,omitzero"`
}

// Operators lists all operators by name, ended ones too.
type Operators struct {
	Operators []Operator `json:"operators"`
}

// IssueToken asks for an API token.
type IssueToken struct {
	Scopes  []access.Permission `json:"scopes,omitempty" maxItems:"64" doc:"None: all that the operator may"`
	Expires time.Time           `json:"expires" doc:"At most a year from now"`
}

// Token is what is kept of an API token.
type Token struct {
	ID       string              `json:"id"`
	Operator string              `json:"operator"`
	Scopes   []access.Permission `json:"scopes"`
	Created  time.Time           `json:"created"`
	Expires  time.Time           `json:"expires"`
	Revoked  time.Time           `json:"revoked,omitzero"`
}

// IssuedToken is a token with its secret, which is shown this once.
type IssuedToken struct {
	Token
	Secret string `json:"secret"`
}

// Tokens lists the tokens of an operator, the newest first.
type Tokens struct {
	Tokens []Token `json:"tokens"`
}

// TokenEnded names a token that was taken back.
type TokenEnded struct {
	ID string `json:"id"`
}

// OperatorPath names an operator.
type OperatorPath struct {
	Operator string `path:"operator" maxLength:"200" doc:"Id or exact name"`
}

func (s *server) operators() {
	add(s, operation{id: "add-operator", method: http.MethodPost, path: "/operators", permission: access.OperatorWrite, status: http.StatusCreated,
		summary: "Add an operator"}, s.addOperator)
	add(s, operation{id: "list-operators", method: http.MethodGet, path: "/operators", permission: access.OperatorRead,
		summary: "All operators, ended ones too"},
		func(ctx context.Context, _ access.Actor, _ *none) (Operators, error) {
			listed := Operators{Operators: []Operator{}}
			err := s.DB.Read(ctx, func(tx *db.Tx) error {
				all, err := access.Operators(tx)
				for _, p := range all {
					listed.Operators = append(listed.Operators, operator(p))
				}
				return err
			})
			return listed, err
		})
	add(s, operation{id: "set-roles", method: http.MethodPut, path: "/operators/{operator}/roles", permission: access.OperatorWrite,
		summary: "Give an operator other roles"},
		func(ctx context.Context, actor access.Actor, in *struct {
			OperatorPath
			Body SetRoles
		}) (Operator, error) {
			return s.changeOperator(ctx, actor, "operator.roles", func(tx *db.Tx) (access.Person, error) {
				return access.SetRoles(tx, in.Operator, in.Body.Roles)
			})
		})
	add(s, operation{id: "end-operator", method: http.MethodDelete, path: "/operators/{operator}", permission: access.OperatorWrite,
		summary: "End an operator and all of its tokens, for good"},
		func(ctx context.Context, actor access.Actor, in *OperatorPath) (Operator, error) {
			return s.changeOperator(ctx, actor, "operator.end", func(tx *db.Tx) (access.Person, error) {
				return access.EndOperator(tx, in.Operator)
			})
		})
	add(s, operation{id: "issue-token", method: http.MethodPost, path: "/operators/{operator}/tokens", permission: access.OperatorWrite,
		status: http.StatusCreated, secret: true, summary: "Make an API token; its secret is shown this once"}, s.issueToken)
	add(s, operation{id: "list-tokens", method: http.MethodGet, path: "/operators/{operator}/tokens", permission: access.OperatorRead,
		summary: "An operator's tokens, the newest first"},
		func(ctx context.Context, _ access.Actor, in *OperatorPath) (Tokens, error) {
			listed := Tokens{Tokens: []Token{}}
			err := s.DB.Read(ctx, func(tx *db.Tx) error {
				p, err := access.FindOperator(tx, in.Operator)
				if err != nil {
					return err
				}
				all, err := access.Tokens(tx, p.ID)
				for _, t := range all {
					listed.Tokens = append(listed.Tokens, token(t))
				}
				return err
			})
			return listed, err
		})
	add(s, operation{id: "end-token", method: http.MethodDelete, path: "/tokens/{token}", permission: access.OperatorWrite, summary: "Take a token back"},
		func(ctx context.Context, actor access.Actor, in *struct {
			Token string `path:"token" maxLength:"100"`
		}) (TokenEnded, error) {
			err := s.DB.Write(ctx, func(tx *db.Tx) error {
				if err := access.RevokeToken(tx, in.Token); err != nil {
					return err
				}
				return audit.Append(tx, s.Audit, audit.Entry{Actor: actor, Act: "token.end", Object: "token/" + in.Token})
			})
			return TokenEnded{in.Token}, err
		})
}

func (s *server) addOperator(ctx context.Context, actor access.Actor, in *struct{ Body AddOperator }) (Operator, error) {
	p := access.Person{Name: in.Body.Name, Roles: in.Body.Roles}
	if in.Body.Customer != "" {
		c, err := s.Sales.Customer(ctx, actor, in.Body.Customer)
		if err != nil {
			return Operator{}, err
		}
		p.Tenant = c.ID
	}
	if in.Body.Partner != "" {
		all, err := s.Sales.Partners(ctx, "", "")
		if err != nil {
			return Operator{}, err
		}
		i := slices.IndexFunc(all, func(one sales.Partner) bool {
			return string(one.ID) == in.Body.Partner || sales.Fold(one.Name) == sales.Fold(in.Body.Partner)
		})
		if i < 0 {
			return Operator{}, problem.New(problem.NotFound, sales.PartnerUnknown, "partner", in.Body.Partner)
		}
		p.Partner = all[i].ID
	}
	return s.changeOperator(ctx, actor, "operator.add", func(tx *db.Tx) (access.Person, error) {
		return access.AddOperator(tx, s.Random, p)
	})
}

// changeOperator changes an operator and records that, in one transaction.
func (s *server) changeOperator(ctx context.Context, actor access.Actor, act string, change func(*db.Tx) (access.Person, error)) (Operator, error) {
	var p access.Person
	err := s.DB.Write(ctx, func(tx *db.Tx) (err error) {
		if p, err = change(tx); err != nil {
			return err
		}
		return audit.Append(tx, s.Audit, audit.Entry{Actor: actor, Act: act, Object: "operator/" + p.ID, Tenant: ofCustomer(p.Tenant), Detail: map[string]any{
			"name": p.Name, "roles": list(p.Roles), "partner": p.Partner,
		}})
	})
	return operator(p), err
}

func (s *server) issueToken(ctx context.Context, actor access.Actor, in *struct {
	OperatorPath
	Body IssueToken
}) (IssuedToken, error) {
	var t access.Token
	var secret access.Secret
	err := s.DB.Write(ctx, func(tx *db.Tx) (err error) {
		if t, secret, err = access.IssueToken(tx, s.Random, in.Operator, in.Body.Scopes, in.Body.Expires); err != nil {
			return err
		}
		return audit.Append(tx, s.Audit, audit.Entry{Actor: actor, Act: "token.issue", Object: "token/" + t.ID, Detail: map[string]any{
			"operator": t.Operator, "scopes": list(t.Scopes), "expires": t.Expires.Unix(),
		}})
	})
	if err != nil {
		return IssuedToken{}, err
	}
	return IssuedToken{token(t), secret.Reveal()}, nil
}

// ofCustomer is the customer of an operator, or nobody.
func ofCustomer(t access.Tenant) access.Tenant {
	if t == access.All {
		return ""
	}
	return t
}

func operator(p access.Person) Operator {
	return Operator{ID: p.ID, Name: p.Name, Roles: list(p.Roles), Customer: ofCustomer(p.Tenant), Partner: p.Partner, Created: p.Created, Ended: p.Ended}
}

func token(t access.Token) Token {
	return Token{ID: t.ID, Operator: t.Operator, Scopes: list(t.Scopes), Created: t.Created, Expires: t.Expires, Revoked: t.Revoked}
}
