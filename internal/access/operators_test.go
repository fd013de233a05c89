package access_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/problem"
)

var start = time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)

// desk is a database with a clock that a story moves.
type desk struct {
	*testing.T
	db  *db.DB
	now time.Time
}

func each(t *testing.T, story func(d *desk)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		d := &desk{T: t, now: start}
		c.Now = func() time.Time { return d.now }
		d.db = dbtest.Open(t, c)
		story(d)
	})
}

func (d *desk) write(f func(tx *db.Tx) error) error {
	d.Helper()
	return d.db.Write(d.Context(), f)
}

func (d *desk) must(f func(tx *db.Tx) error) {
	d.Helper()
	if err := d.write(f); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) refused(code problem.Code, f func(tx *db.Tx) error) {
	d.Helper()
	if err := d.write(f); problem.CodeOf(err) != code {
		d.Errorf("got %v, want %s", err, code)
	}
}

func (d *desk) operator(p access.Person) access.Person {
	d.Helper()
	d.must(func(tx *db.Tx) (err error) {
		p, err = access.AddOperator(tx, rand.Reader, p)
		return err
	})
	return p
}

func (d *desk) token(operator string, life time.Duration, scopes ...access.Permission) (t access.Token, s access.Secret) {
	d.Helper()
	d.must(func(tx *db.Tx) (err error) {
		t, s, err = access.IssueToken(tx, rand.Reader, operator, scopes, d.now.Add(life))
		return err
	})
	return t, s
}

func (d *desk) authenticate(s access.Secret) (a access.Actor, err error) {
	d.Helper()
	err = d.db.Read(d.Context(), func(tx *db.Tx) (err error) {
		a, err = access.Authenticate(tx, s)
		return err
	})
	return a, err
}

func TestTokens(t *testing.T) {
	each(t, func(d *desk) {
		t := d.T
		ann := d.operator(access.Person{Name: "Ann", Roles: []access.Role{access.KeyManager, access.Support}})
		token, secret := d.token("Ann", time.Hour, access.KeyRead, access.KeyBlock)
		if text := secret.Reveal(); !strings.HasPrefix(text, "esu_") || len(text) != 4+43 {
			t.Errorf("token reads %s", text)
		}
		got, err := d.authenticate(access.ParseSecret(secret.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		want := access.Actor{
			Kind: access.Operator, ID: ann.ID, Name: "Ann", Roles: []access.Role{access.KeyManager, access.Support},
			Tenant: access.All, Token: token.ID, Scopes: []access.Permission{access.KeyRead, access.KeyBlock},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got.String() != "operator/"+ann.ID+" with "+token.ID {
			t.Errorf("actor reads %s", got)
		}

		for _, wrong := range []string{"", "esu_", secret.Reveal() + "A", strings.ToUpper(secret.Reveal()), secret.Reveal()[4:]} {
			if _, err := d.authenticate(access.ParseSecret(wrong)); problem.CodeOf(err) != access.TokenUnknown {
				t.Errorf("%q: %v", wrong, err)
			}
		}

		// Roles are those of now.
		d.must(func(tx *db.Tx) error {
			_, err := access.SetRoles(tx, "Ann", []access.Role{access.Auditor})
			return err
		})
		if got, err := d.authenticate(secret); err != nil || !cmp.Equal(got.Roles, []access.Role{access.Auditor}) {
			t.Errorf("roles %v, %v", got.Roles, err)
		}

		d.now = start.Add(time.Hour - time.Second)
		if _, err := d.authenticate(secret); err != nil {
			t.Errorf("in its last second: %v", err)
		}
		d.now = start.Add(time.Hour)
		if _, err := d.authenticate(secret); problem.CodeOf(err) != access.TokenExpired {
			t.Errorf("when over: %v", err)
		}

		second, secret := d.token(ann.ID, time.Hour)
		d.must(func(tx *db.Tx) error { return access.RevokeToken(tx, second.ID) })
		d.must(func(tx *db.Tx) error { return access.RevokeToken(tx, second.ID) })
		_, err = d.authenticate(secret)
		if p, ok := problem.As(err); !ok || p.Code != access.TokenRevoked || p.Kind != problem.Unauthenticated {
			t.Errorf("revoked: %v", err)
		}
		d.refused(access.TokenUnknown, func(tx *db.Tx) error { return access.RevokeToken(tx, "token-none") })

		_, secret = d.token(ann.ID, time.Hour)
		d.must(func(tx *db.Tx) error {
			p, err := access.EndOperator(tx, "Ann")
			if err == nil && p.Ended != d.now {
				err = errors.New("not ended now")
			}
			return err
		})
		if _, err := d.authenticate(secret); problem.CodeOf(err) != access.OperatorEnded {
			t.Errorf("of an operator that ended: %v", err)
		}
		d.refused(access.OperatorEnded, func(tx *db.Tx) error { _, err := access.EndOperator(tx, ann.ID); return err })
		d.refused(access.OperatorEnded, func(tx *db.Tx) error {
			_, _, err := access.IssueToken(tx, rand.Reader, "Ann", nil, d.now.Add(time.Hour))
			return err
		})
		d.refused(access.OperatorExists, func(tx *db.Tx) error {
			_, err := access.AddOperator(tx, rand.Reader, access.Person{Name: " Ann ", Roles: []access.Role{access.Sales}})
			return err
		})
		d.must(func(tx *db.Tx) error {
			tokens, err := access.Tokens(tx, ann.ID)
			if len(tokens) != 3 {
				t.Errorf("%d tokens", len(tokens))
			}
			people, err2 := access.Operators(tx)
			if len(people) != 1 || people[0].Ended.IsZero() {
				t.Errorf("operators: %v", people)
			}
			return errors.Join(err, err2)
		})
	})
}

// What is stored does not let anybody in.
func TestOnlyTheDigestIsStored(t *testing.T) {
	each(t, func(d *desk) {
		t := d.T
		d.operator(access.Person{Name: "Ann", Roles: []access.Role{access.Owner}})
		_, secret := d.token("Ann", time.Hour)
		d.must(func(tx *db.Tx) error {
			var digest []byte
			if err := tx.QueryRow(`SELECT digest FROM tokens`).Scan(&digest); err != nil {
				return err
			}
			if len(digest) != 32 || bytes.Contains(digest, []byte(secret.Reveal()[4:])) {
				t.Errorf("stored %q", digest)
			}
			return nil
		})
	})
}

func TestSides(t *testing.T) {
	each(t, func(d *desk) {
		t := d.T
		for name, p := range map[string]access.Person{
			"vendor":   {Roles: []access.Role{access.Sales, access.Auditor}},
			"partner":  {Roles: []access.Role{access.Partner}, Partner: "partner-1"},
			"customer": {Roles: []access.Role{access.CustomerAdministrator}, Tenant: "customer-1"},
			"member":   {Tenant: "customer-1"},
		} {
			p.Name = name
			if got := d.operator(p); (got.Tenant == access.All) != (name == "vendor") {
				t.Errorf("%s has tenant %s", name, got.Tenant)
			}
		}
		for name, tc := range map[string]struct {
			person access.Person
			code   problem.Code
		}{
			"no name":               {access.Person{Roles: []access.Role{access.Sales}}, access.NameMissing},
			"no side":               {access.Person{Name: "x"}, access.SideMixed},
			"two sides":             {access.Person{Name: "x", Roles: []access.Role{access.Sales, access.Partner}, Partner: "p"}, access.SideMixed},
			"staff of one customer": {access.Person{Name: "x", Roles: []access.Role{access.Sales}, Tenant: "c"}, access.SideMixed},
			"staff of a partner":    {access.Person{Name: "x", Roles: []access.Role{access.Sales}, Partner: "p"}, access.SideMixed},
			"no partner":            {access.Person{Name: "x", Roles: []access.Role{access.Partner}}, access.SideMixed},
			"partner of a customer": {access.Person{Name: "x", Roles: []access.Role{access.Partner}, Partner: "p", Tenant: "c"}, access.SideMixed},
			"no customer":           {access.Person{Name: "x", Roles: []access.Role{access.CustomerAdministrator}}, access.SideMixed},
			"every customer":        {access.Person{Name: "x", Roles: []access.Role{access.CustomerAdministrator}, Tenant: access.All}, access.SideMixed},
			"member of everything":  {access.Person{Name: "x", Tenant: access.All}, access.SideMixed},
			"no such role":          {access.Person{Name: "x", Roles: []access.Role{"root"}}, access.RoleUnknown},
		} {
			t.Run(name, func(*testing.T) {
				d.refused(tc.code, func(tx *db.Tx) error { _, err := access.AddOperator(tx, rand.Reader, tc.person); return err })
			})
		}
		d.refused(access.SideMixed, func(tx *db.Tx) error {
			_, err := access.SetRoles(tx, "customer", []access.Role{access.Owner})
			return err
		})
		issue := func(scope access.Permission, expires time.Time) func(tx *db.Tx) error {
			return func(tx *db.Tx) error {
				_, _, err := access.IssueToken(tx, rand.Reader, "vendor", []access.Permission{scope}, expires)
				return err
			}
		}
		d.refused(access.ScopeUnknown, issue("everything", start.Add(time.Hour)))
		d.refused(access.LifetimeBad, issue(access.KeyRead, start))
		d.refused(access.LifetimeBad, issue(access.KeyRead, start.Add(access.MaxLifetime+time.Second)))
		d.refused(access.OperatorUnknown, func(tx *db.Tx) error { _, err := access.FindOperator(tx, "nobody"); return err })
	})
}
