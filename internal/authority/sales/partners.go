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
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/purchase"
)

const (
	// PartnerExists: another partner has the name.
	PartnerExists problem.Code = "sales.partner-exists"
	// PartnerUnknown: there is no such partner.
	PartnerUnknown problem.Code = "sales.partner-unknown"
	// PartnerKindBad: there is no such kind of partner.
	PartnerKindBad problem.Code = "sales.partner-kind-bad"
	// ProviderBad: a partner that is named as provider is none.
	ProviderBad problem.Code = "sales.provider-bad"
	// AgreementExists: the agreement's number is taken.
	AgreementExists problem.Code = "sales.agreement-exists"
	// AgreementUnknown: the customer has no such agreement.
	AgreementUnknown problem.Code = "sales.agreement-unknown"
	// AgreementOther: the agreement is for another program or channel.
	AgreementOther problem.Code = "sales.agreement-other"
	// AgreementBad: an agreement lacks something.
	AgreementBad problem.Code = "sales.agreement-bad"
)

// PartnerKind says how a partner sells.
type PartnerKind string

// The closed set of kinds.
const (
	Direct    PartnerKind = "direct"    // buys from the vendor
	Provider  PartnerKind = "provider"  // buys from the vendor and sells to resellers
	Reseller  PartnerKind = "reseller"  // buys from its provider
	Licensing PartnerKind = "licensing" // stands on an agreement's orders
	OEM       PartnerKind = "oem"       // sells its own devices
)

var partnerKinds = []PartnerKind{Direct, Provider, Reseller, Licensing, OEM}

// Partner is who sells for the vendor.
type Partner struct {
	ID       access.PartnerID    `json:"id"`
	Name     string              `json:"name"`
	Kind     PartnerKind         `json:"kind"`
	Provider access.PartnerID    `json:"provider,omitempty"` // a reseller's
	Country  string              `json:"country,omitempty"`
	Contact  string              `json:"contact,omitempty"`
	Channels []program.ChannelID `json:"channels"` // for which it is registered (rule B12)
	Created  time.Time           `json:"created"`
}

// AddPartner saves a new partner and gives it an id. A reseller names its provider
// by id or name.
func (o *Office) AddPartner(ctx context.Context, actor access.Actor, p Partner) (Partner, error) {
	if err := access.May(actor, access.PartnerWrite); err != nil {
		return Partner{}, err
	}
	folded, err := checkName(&p.Name)
	if err != nil {
		return Partner{}, err
	}
	if !slices.Contains(partnerKinds, p.Kind) {
		return Partner{}, problem.New(problem.Invalid, PartnerKindBad, "kind", p.Kind, "kinds", partnerKinds)
	}
	err = o.db.Write(ctx, func(tx *db.Tx) error {
		provider, err := providerOf(tx, string(p.Provider))
		if err != nil {
			return err
		}
		if (provider != "") != (p.Kind == Reseller) {
			return problem.New(problem.Invalid, ProviderBad, "provider", p.Provider)
		}
		id, err := access.NewID(o.random, "partner")
		if err != nil {
			return err
		}
		p.ID, p.Provider, p.Created = access.PartnerID(id), provider, tx.Now
		added, err := insertPartner(tx, p, folded)
		if err != nil {
			return fmt.Errorf("add partner: %w", err)
		}
		if !added {
			return problem.New(problem.Conflict, PartnerExists, "name", p.Name)
		}
		return audit.Append(tx, o.audit, audit.Entry{
			Actor: actor, Act: "partner.add", Object: "partner/" + id,
			Detail: map[string]any{"name": p.Name, "kind": p.Kind, "provider": p.Provider, "channels": p.Channels},
		})
	})
	if err != nil {
		return Partner{}, err
	}
	return p, nil
}

// Register sets the channels for which a partner, by id or name, may sell.
func (o *Office) Register(ctx context.Context, actor access.Actor, ref string, channels []program.ChannelID) (Partner, error) {
	if err := access.May(actor, access.PartnerWrite); err != nil {
		return Partner{}, err
	}
	var p Partner
	err := o.db.Write(ctx, func(tx *db.Tx) (err error) {
		if p, err = findPartner(tx, ref); err != nil {
			return err
		}
		p.Channels = channels
		if err := setChannels(tx, p); err != nil {
			return fmt.Errorf("register %s: %w", p.ID, err)
		}
		return audit.Append(tx, o.audit, audit.Entry{
			Actor: actor, Act: "partner.register", Object: "partner/" + string(p.ID), Detail: map[string]any{"channels": channels},
		})
	})
	if err != nil {
		return Partner{}, err
	}
	return p, nil
}

// Partners is the public list of those who may sell, by name: on a channel and in a
// country where these are given (rule B18). It asks for no permission.
func (o *Office) Partners(ctx context.Context, channel program.ChannelID, country string) ([]Partner, error) {
	var registered []Partner
	err := o.db.Read(ctx, func(tx *db.Tx) error {
		all, err := listPartners(tx)
		registered = slices.DeleteFunc(all, func(p Partner) bool {
			return len(p.Channels) == 0 || channel != "" && !slices.Contains(p.Channels, channel) ||
				country != "" && !strings.EqualFold(p.Country, country)
		})
		return err
	})
	return registered, err
}

func findPartner(tx *db.Tx, ref string) (Partner, error) {
	p, ok, err := partnerByIDOrName(tx, strings.TrimSpace(ref), Fold(ref))
	if err == nil && !ok {
		err = problem.New(problem.NotFound, PartnerUnknown, "partner", ref)
	}
	return p, err
}

// providerOf finds a provider; none is asked for by "".
func providerOf(tx *db.Tx, ref string) (access.PartnerID, error) {
	if ref == "" {
		return "", nil
	}
	p, err := findPartner(tx, ref)
	if err == nil && p.Kind != Provider {
		err = problem.New(problem.Invalid, ProviderBad, "provider", p.Name)
	}
	return p.ID, err
}

// Agreement is a customer's contract to buy through one channel of one program.
type Agreement struct {
	ID       string            `json:"id"`
	Customer access.Tenant     `json:"customer"`
	Program  program.ID        `json:"program"`
	Channel  program.ChannelID `json:"channel"`
	Number   string            `json:"number"` // in capitals
	Partner  access.PartnerID  `json:"partner,omitempty"`
	// Contract is the number of the contract that the channel asks for (rule P6).
	Contract string          `json:"contract,omitempty"`
	Holder   purchase.Holder `json:"holder,omitempty"`
	Valid    civil.Range     `json:"valid,omitzero"` // of the contract; an end that is no day is open
	Created  time.Time       `json:"created"`
}

func agreementNumber(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }

// AddAgreement saves an agreement of a customer; customer and partner are named as
// everywhere.
func (o *Office) AddAgreement(ctx context.Context, actor access.Actor, customer string, a Agreement) (Agreement, error) {
	if err := access.May(actor, access.CustomerWrite); err != nil {
		return Agreement{}, err
	}
	a.Number, a.Contract = agreementNumber(a.Number), strings.TrimSpace(a.Contract)
	for _, need := range []struct {
		missing bool
		what    string
	}{
		{a.Number == "" || len(a.Number) > maxName, "number"},
		{a.Contract != "" && a.Holder != purchase.HeldByOEM && a.Holder != purchase.HeldByCustomer, "holder"},
		{a.Contract == "" && (a.Holder != "" || a.Valid != civil.Range{}), "contract"},
		{!a.Valid.Last.IsZero() && a.Valid.Last.Before(a.Valid.First), "days"},
	} {
		if need.missing {
			return Agreement{}, problem.New(problem.Invalid, AgreementBad, "what", need.what)
		}
	}
	err := o.db.Write(ctx, func(tx *db.Tx) error {
		c, _, err := findCustomer(tx, actor, customer, false)
		if err != nil {
			return err
		}
		p, err := o.newest(tx, a.Program)
		if err != nil {
			return err
		}
		if _, ok := p.Channel(a.Channel); !ok {
			return problem.New(problem.Invalid, AgreementBad, "what", "channel")
		}
		if a.Partner != "" {
			partner, err := findPartner(tx, string(a.Partner))
			if err != nil {
				return err
			}
			a.Partner = partner.ID
		}
		if a.ID, err = access.NewID(o.random, "agreement"); err != nil {
			return err
		}
		a.Customer, a.Created = c.ID, tx.Now
		added, err := insertAgreement(tx, a)
		if err != nil {
			return fmt.Errorf("add agreement: %w", err)
		}
		if !added {
			return problem.New(problem.Conflict, AgreementExists, "number", a.Number)
		}
		return audit.Append(tx, o.audit, audit.Entry{
			Actor: actor, Act: "agreement.add", Object: "agreement/" + a.ID, Tenant: c.ID,
			Detail: map[string]any{
				"number": a.Number, "program": a.Program, "channel": a.Channel, "partner": a.Partner,
				"contract": a.Contract, "holder": a.Holder, "from": a.Valid.First, "last": a.Valid.Last,
			},
		})
	})
	if err != nil {
		return Agreement{}, err
	}
	return a, nil
}

// Agreements lists a customer's agreements by number (rule B19).
func (o *Office) Agreements(ctx context.Context, actor access.Actor, customer string) ([]Agreement, error) {
	if err := access.May(actor, access.CustomerRead); err != nil {
		return nil, err
	}
	var all []Agreement
	err := o.db.Read(ctx, func(tx *db.Tx) error {
		c, _, err := findCustomer(tx, actor, customer, false)
		if err == nil {
			all, err = listAgreements(tx, c.ID)
		}
		return err
	})
	return all, err
}
