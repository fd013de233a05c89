package access

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/problem"
)

func TestMay(t *testing.T) {
	administrator := Actor{Kind: Operator, Roles: []Role{CustomerAdministrator}, Tenant: "customer-1"}
	member := Actor{Kind: Operator, Tenant: "customer-1"}
	partner := Actor{Kind: Operator, Roles: []Role{Partner}, Partner: "partner-1"}
	for _, tc := range []struct {
		name  string
		actor Actor
		may   []Permission
		not   map[Permission]problem.Code
	}{
		{name: "nobody", not: map[Permission]problem.Code{KeyRead: Forbidden, ProgramRead: Forbidden}},
		{name: "owner", actor: LocalUser("root"), may: Permissions()},
		{name: "sales", actor: Actor{Roles: []Role{Sales}, Tenant: All}, may: []Permission{OrderPlace, KeyRead},
			not: map[Permission]problem.Code{KeyReveal: Forbidden, KeyLimit: Forbidden, UpdateStage: Forbidden}},
		{name: "auditor changes nothing", actor: Actor{Roles: []Role{Auditor}, Tenant: All}, may: []Permission{AuditRead, OrderRead},
			not: map[Permission]problem.Code{OrderPlace: Forbidden, KeyReveal: Forbidden, OperatorWrite: Forbidden}},
		{name: "two roles", actor: Actor{Roles: []Role{Publisher, Support}, Tenant: All}, may: []Permission{UpdateStage, SupportLookup}},
		// rule K8
		{name: "the customer's administrator", actor: administrator, may: []Permission{KeyRead, KeyReveal, KeyRequest},
			not: map[Permission]problem.Code{KeyLimit: Forbidden, OrderPlace: Forbidden, AuditRead: Forbidden}},
		// rule B19
		{name: "somebody else of the customer", actor: member,
			not: map[Permission]problem.Code{KeyRead: AskAdministrator, CustomerRead: AskAdministrator, KeyLimit: Forbidden}},
		{name: "partner", actor: partner, may: []Permission{OrderPlace, OrderReturn, KeyRequest},
			not: map[Permission]problem.Code{KeyLimit: Forbidden, SupportLookup: Forbidden}},
		{name: "partner for its customer", actor: partner.For("customer-1"), may: []Permission{OrderPlace},
			not: map[Permission]problem.Code{ActivationRead: Forbidden}},
		{name: "token with scopes", actor: Actor{Roles: []Role{Owner}, Tenant: All, Token: "token-1", Scopes: []Permission{KeyRead}},
			may: []Permission{KeyRead}, not: map[Permission]problem.Code{KeyReveal: OutOfScope}},
		{name: "scopes give nothing", actor: Actor{Roles: []Role{Sales}, Tenant: All, Scopes: []Permission{KeyReveal}},
			not: map[Permission]problem.Code{KeyReveal: Forbidden}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, p := range tc.may {
				if err := May(tc.actor, p); err != nil {
					t.Errorf("%s: %v", p, err)
				}
			}
			for p, code := range tc.not {
				err := May(tc.actor, p)
				refused, ok := problem.As(err)
				if !ok || refused.Code != code || refused.Kind != problem.Forbidden {
					t.Errorf("%s: got %v, want %s", p, err, code)
				}
			}
		})
	}
	refused, _ := problem.As(May(member, KeyLimit))
	want := map[string]any{"permission": KeyLimit, "roles": []Role{KeyManager, Owner}}
	if diff := cmp.Diff(want, refused.Args); diff != "" {
		t.Error(diff)
	}
}

// Every permission is somebody's beside the owner's, or on this list; a role that
// names a permission which is not listed would hide it from scopes.
func TestTable(t *testing.T) {
	ownerOnly := []Permission{OperatorWrite}
	for _, p := range Permissions() {
		if roles := RolesWith(p); len(roles) < 2 && !cmp.Equal(ownerOnly, []Permission{p}) {
			t.Errorf("only %v may %s", roles, p)
		}
	}
	for role, list := range allowed {
		seen := map[Permission]bool{}
		for _, p := range list {
			if seen[p] {
				t.Errorf("%s has %s twice", role, p)
			}
			seen[p] = true
			if !cmp.Equal(true, contains(Permissions(), p)) {
				t.Errorf("%s has %s, which is not listed", role, p)
			}
		}
	}
	if len(allowed) != len(Roles()) {
		t.Errorf("%d roles in the table, %d listed", len(allowed), len(Roles()))
	}
}

func contains(all []Permission, p Permission) bool {
	for _, q := range all {
		if q == p {
			return true
		}
	}
	return false
}

func TestTenant(t *testing.T) {
	partner := Actor{Partner: "partner-1"}
	for _, tc := range []struct {
		name     string
		tenant   Tenant
		customer Tenant
		sees     bool
	}{
		{"vendor", All, "customer-1", true},
		{"own", "customer-1", "customer-1", true},
		{"other", "customer-1", "customer-2", false},
		{"nobody's", "", "customer-1", false},
		{"nobody's and none", "", "", false},
		{"vendor narrowed", Actor{Tenant: All}.For("customer-1").Tenant, "customer-1", true},
		{"vendor narrowed to another", Actor{Tenant: All}.For("customer-1").Tenant, "customer-2", false},
		{"a customer's actor cannot go over", Actor{Tenant: "customer-1"}.For("customer-2").Tenant, "customer-2", false},
		{"a customer's actor cannot widen", Actor{Tenant: "customer-1"}.For(All).Tenant, "customer-2", false},
		{"partner", partner.Tenant, "customer-1", false},
		{"partner narrowed", partner.For("customer-1").Tenant, "customer-1", true},
		{"partner cannot widen", partner.For(All).Tenant, "customer-1", false},
		{"a narrowed partner cannot go over", partner.For("customer-1").For("customer-2").Tenant, "customer-2", false},
		{"no actor", Actor{}.For("customer-1").Tenant, "customer-1", false},
	} {
		if got := tc.tenant.Sees(tc.customer); got != tc.sees {
			t.Errorf("%s: %q sees %q: %v", tc.name, tc.tenant, tc.customer, got)
		}
	}
}

func TestSecretIsHidden(t *testing.T) {
	s := ParseSecret("esu_abcdefgh")
	type wrapped struct{ inner Secret }
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%#v %+v %x %q", s, s, s, s), fmt.Sprintf("%+v %#v", wrapped{s}, wrapped{s}), string(text),
	} {
		if strings.Contains(shown, "abcdefgh") || strings.Contains(shown, "6162636465") {
			t.Errorf("shown: %s", shown)
		}
	}
	if s.Reveal() != "esu_abcdefgh" || (Secret{}).Reveal() != "" {
		t.Error("Reveal lies")
	}
}

type dry struct{}

func (dry) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

func TestNewID(t *testing.T) {
	id, err := NewID(strings.NewReader("\x00\x01\x02\x03\x04\x05\x06\x07\x08\xff"), "order")
	if err != nil || id != "order-000g40r40m30e27z" {
		t.Errorf("id %q, %v", id, err)
	}
	if id, err := NewID(dry{}, "order"); err == nil {
		t.Errorf("an id without randomness: %s", id)
	}
}
