package api

import (
	"context"
	"net/http"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

// AddCustomer is a new customer.
type AddCustomer struct {
	Name           string                    `json:"name" maxLength:"1000"`
	TenantID       string                    `json:"tenantId,omitempty" maxLength:"100" doc:"In the vendor's directory"`
	Country        string                    `json:"country,omitempty" maxLength:"100"`
	Language       string                    `json:"language,omitempty" maxLength:"35" doc:"Of what is sent to it; en when empty"`
	Contact        string                    `json:"contact,omitempty" maxLength:"320" doc:"A mail address"`
	Qualifications []program.QualificationID `json:"qualifications,omitempty" maxItems:"32"`
}

// Customers is a page of customers, by name.
type Customers struct {
	Customers []sales.Customer `json:"customers"`
}

// AddPartner is a new partner.
type AddPartner struct {
	Name     string              `json:"name" maxLength:"1000"`
	Kind     sales.PartnerKind   `json:"kind" doc:"direct, provider, reseller, licensing or oem"`
	Provider string              `json:"provider,omitempty" doc:"A reseller's provider, by id or name"`
	Country  string              `json:"country,omitempty" maxLength:"100"`
	Contact  string              `json:"contact,omitempty" maxLength:"320"`
	Channels []program.ChannelID `json:"channels,omitempty" maxItems:"64" doc:"For which it is registered"`
}

// RegisterPartner sets the channels for which a partner may sell.
type RegisterPartner struct {
	Channels []program.ChannelID `json:"channels" maxItems:"64"`
}

// Partners is the public list of those who may sell.
type Partners struct {
	Partners []sales.Partner `json:"partners"`
}

// AddAgreement is a new agreement of a customer.
type AddAgreement struct {
	Number   string            `json:"number" maxLength:"1000"`
	Program  program.ID        `json:"program"`
	Channel  program.ChannelID `json:"channel"`
	Partner  string            `json:"partner,omitempty" doc:"Who sells, by id or name"`
	Contract string            `json:"contract,omitempty" maxLength:"1000" doc:"The contract that the channel asks for"`
	Holder   purchase.Holder   `json:"holder,omitempty" doc:"Whose the contract is: oem or customer"`
	From     civil.Date        `json:"from,omitzero" doc:"The contract's first day"`
	Last     civil.Date        `json:"last,omitzero" doc:"The contract's last day"`
}

// Agreement is a customer's contract to buy through one channel of one program.
type Agreement struct {
	ID       string            `json:"id"`
	Customer access.Tenant     `json:"customer"`
	Program  program.ID        `json:"program"`
	Channel  program.ChannelID `json:"channel"`
	Number   string            `json:"number"`
	Partner  access.PartnerID  `json:"partner,omitempty"`
	Contract string            `json:"contract,omitempty"`
	Holder   purchase.Holder   `json:"holder,omitempty"`
	From     civil.Date        `json:"from,omitzero"`
	Last     civil.Date        `json:"last,omitzero"`
}

// Agreements lists a customer's agreements, by number.
type Agreements struct {
	Agreements []Agreement `json:"agreements"`
}

func agreement(a sales.Agreement) Agreement {
	return Agreement{
		ID: a.ID, Customer: a.Customer, Program: a.Program, Channel: a.Channel, Number: a.Number, Partner: a.Partner,
		Contract: a.Contract, Holder: a.Holder, From: a.Valid.First, Last: a.Valid.Last,
	}
}

// CustomerPath names a customer.
type CustomerPath struct {
	Customer string `path:"customer" maxLength:"1000" doc:"Id, exact name, tenant id or an agreement's number"`
}

func (s *server) customers() {
	add(s, operation{id: "add-customer", method: http.MethodPost, path: "/customers", permission: access.CustomerWrite, status: http.StatusCreated,
		summary: "Add a customer"},
		func(ctx context.Context, actor access.Actor, in *struct{ Body AddCustomer }) (sales.Customer, error) {
			b := in.Body
			return s.Sales.AddCustomer(ctx, actor, sales.Customer{
				Name: b.Name, TenantID: b.TenantID, Country: b.Country, Language: b.Language, Contact: b.Contact, Qualifications: b.Qualifications,
			})
		})
	add(s, operation{id: "list-customers", method: http.MethodGet, path: "/customers", permission: access.CustomerRead,
		summary: "The customers that you see, by name"},
		func(ctx context.Context, actor access.Actor, in *struct {
			After string `query:"after" maxLength:"1000" doc:"The name of the last one of the page before"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (Customers, error) {
			all, err := s.Sales.Customers(ctx, actor, in.After, in.Limit)
			return Customers{list(all)}, err
		})
	add(s, operation{id: "show-customer", method: http.MethodGet, path: "/customers/{customer}", permission: access.CustomerRead,
		summary: "One customer"},
		func(ctx context.Context, actor access.Actor, in *CustomerPath) (sales.Customer, error) {
			return s.Sales.Customer(ctx, actor, in.Customer)
		})
	add(s, operation{id: "add-agreement", method: http.MethodPost, path: "/customers/{customer}/agreements", permission: access.CustomerWrite,
		status: http.StatusCreated, summary: "Add an agreement of a customer"},
		func(ctx context.Context, actor access.Actor, in *struct {
			CustomerPath
			Body AddAgreement
		}) (Agreement, error) {
			b := in.Body
			a, err := s.Sales.AddAgreement(ctx, actor, in.Customer, sales.Agreement{
				Number: b.Number, Program: b.Program, Channel: b.Channel, Partner: access.PartnerID(b.Partner),
				Contract: b.Contract, Holder: b.Holder, Valid: civil.Range{First: b.From, Last: b.Last},
			})
			return agreement(a), err
		})
	add(s, operation{id: "list-agreements", method: http.MethodGet, path: "/customers/{customer}/agreements", permission: access.CustomerRead,
		summary: "A customer's agreements"},
		func(ctx context.Context, actor access.Actor, in *CustomerPath) (Agreements, error) {
			all, err := s.Sales.Agreements(ctx, actor, in.Customer)
			listed := Agreements{Agreements: []Agreement{}}
			for _, a := range all {
				listed.Agreements = append(listed.Agreements, agreement(a))
			}
			return listed, err
		})
	add(s, operation{id: "add-partner", method: http.MethodPost, path: "/partners", permission: access.PartnerWrite, status: http.StatusCreated,
		summary: "Add a partner"},
		func(ctx context.Context, actor access.Actor, in *struct{ Body AddPartner }) (sales.Partner, error) {
			b := in.Body
			p, err := s.Sales.AddPartner(ctx, actor, sales.Partner{
				Name: b.Name, Kind: b.Kind, Provider: access.PartnerID(b.Provider), Country: b.Country, Contact: b.Contact, Channels: list(b.Channels),
			})
			return p, err
		})
	add(s, operation{id: "register-partner", method: http.MethodPut, path: "/partners/{partner}/channels", permission: access.PartnerWrite,
		summary: "Set the channels for which a partner may sell"},
		func(ctx context.Context, actor access.Actor, in *struct {
			Partner string `path:"partner" maxLength:"1000" doc:"Id or exact name"`
			Body    RegisterPartner
		}) (sales.Partner, error) {
			return s.Sales.Register(ctx, actor, in.Partner, list(in.Body.Channels))
		})
	add(s, operation{id: "list-partners", method: http.MethodGet, path: "/partners",
		summary: "The public list of partners who may sell"}, // rule B18
		func(ctx context.Context, _ access.Actor, in *struct {
			Channel program.ChannelID `query:"channel" maxLength:"64"`
			Country string            `query:"country" maxLength:"100"`
		}) (Partners, error) {
			all, err := s.Sales.Partners(ctx, in.Channel, in.Country)
			return Partners{list(all)}, err
		})
}

// list is never null in JSON.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
