package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

const (
	// RoleUnknown: there is no such role.
	RoleUnknown problem.Code = "access.role-unknown"
	// ScopeUnknown: there is no such permission.
	ScopeUnknown problem.Code = "access.scope-unknown"
	// SideMixed: an operator would belong to more than one side, or to none.
	SideMixed problem.Code = "access.side-mixed"
	// NameMissing: an operator has no name.
	NameMissing problem.Code = "access.name-missing"
	// OperatorExists: another operator has the name.
	OperatorExists problem.Code = "access.operator-exists"
	// OperatorUnknown: there is no such operator.
	OperatorUnknown problem.Code = "access.operator-unknown"
	// OperatorEnded: the operator may act no more.
	OperatorEnded problem.Code = "access.operator-ended"
	// LifetimeBad: a token would be over already or live too long.
	LifetimeBad problem.Code = "access.lifetime-bad"
	// TokenUnknown: a text is no token of this authority.
	TokenUnknown problem.Code = "access.token-unknown"
	// TokenExpired: the token's time is over.
	TokenExpired problem.Code = "access.token-expired"
	// TokenRevoked: the token was taken back.
	TokenRevoked problem.Code = "access.token-revoked"
)

// MaxLifetime is the longest that a token lives.
const MaxLifetime = 366 * 24 * time.Hour

// tokenPrefix lets people, and programs that look for leaked secrets, know a token
// when they see one.
const tokenPrefix = "esu_"

// Person is an operator: a person, or a program that acts for one.
type Person struct {
	ID      string
	Name    string // unique
	Roles   []Role // none: an ordinary member of a customer's organization
	Tenant  Tenant // All for the vendor's staff
	Partner PartnerID
	Created time.Time
	Ended   time.Time // zero while it may act
}

// Token is what is kept of an API token.
type Token struct {
	ID       string
	Operator string
	Scopes   []Permission // none: all that the operator may
	Created  time.Time
	Expires  time.Time
	Revoked  time.Time // zero while it serves
}

// Secret is an API token's text. No way of printing it shows it; Reveal does.
type Secret struct{ text unique.Handle[string] }

// ParseSecret takes a text that may be a token; Authenticate says whether it is.
func ParseSecret(text string) Secret { return Secret{unique.Make(text)} }

// Reveal returns the token, for the eyes it is meant for.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

func (s Secret) String() string { return "(secret)" }

// MarshalText hides the token from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Secret) digest() []byte {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return sum[:]
}

// AddOperator saves a new operator and gives it an id.
func AddOperator(tx *db.Tx, random io.Reader, p Person) (Person, error) {
	p.Name = strings.TrimSpace(p.Name)
	if p.Name == "" {
		return Person{}, problem.New(problem.Invalid, NameMissing)
	}
	if err := checkSide(&p); err != nil {
		return Person{}, err
	}
	id, err := NewID(random, "op")
	if err != nil {
		return Person{}, err
	}
	p.ID, p.Created, p.Ended = id, tx.Now, time.Time{}
	added, err := insertOperator(tx, p)
	if err != nil {
		return Person{}, fmt.Errorf("add operator %s: %w", p.Name, err)
	}
	if !added {
		return Person{}, problem.New(problem.Conflict, OperatorExists, "name", p.Name)
	}
	return p, nil
}

// SetRoles gives an operator other roles, of the side to which it belongs.
func SetRoles(tx *db.Tx, idOrName string, roles []Role) (Person, error) {
	p, err := findLive(tx, idOrName)
	if err != nil {
		return Person{}, err
	}
	p.Roles = roles
	if err := checkSide(&p); err != nil {
		return Person{}, err
	}
	return p, updateRoles(tx, p)
}

// EndOperator ends an operator and with it all of its tokens, for good.
func EndOperator(tx *db.Tx, idOrName string) (Person, error) {
	p, err := findLive(tx, idOrName)
	if err != nil {
		return Person{}, err
	}
	p.Ended = tx.Now
	return p, endOperator(tx, p.ID)
}

func findLive(tx *db.Tx, idOrName string) (Person, error) {
	p, err := FindOperator(tx, idOrName)
	if err == nil && !p.Ended.IsZero() {
		err = problem.New(problem.Refused, OperatorEnded, "name", p.Name)
	}
	return p, err
}

// checkSide holds the roles to one side, and the vendor's staff to All.
func checkSide(p *Person) error {
	vendor := false
	for _, r := range p.Roles {
		if !slices.Contains(Roles(), r) {
			return problem.New(problem.Invalid, RoleUnknown, "role", r, "roles", Roles())
		}
		vendor = vendor || r != Partner && r != CustomerAdministrator
	}
	partner := slices.Contains(p.Roles, Partner)
	customer := slices.Contains(p.Roles, CustomerAdministrator) || len(p.Roles) == 0
	if vendor && p.Tenant == "" {
		p.Tenant = All
	}
	ofCustomer := p.Tenant != "" && p.Tenant != All
	ok := false
	switch {
	case vendor:
		ok = !partner && !customer && p.Tenant == All && p.Partner == ""
	case partner:
		ok = !customer && p.Tenant == "" && p.Partner != ""
	case customer:
		ok = ofCustomer && p.Partner == ""
	}
	if !ok {
		return problem.New(problem.Invalid, SideMixed, "name", p.Name)
	}
	return nil
}

// IssueToken makes an API token for an operator, by its id or name. The secret is
// shown here and never again.
func IssueToken(tx *db.Tx, random io.Reader, operator string, scopes []Permission, expires time.Time) (Token, Secret, error) {
	p, err := findLive(tx, operator)
	if err != nil {
		return Token{}, Secret{}, err
	}
	for _, s := range scopes {
		if !slices.Contains(permissions, s) {
			return Token{}, Secret{}, problem.New(problem.Invalid, ScopeUnknown, "scope", s, "scopes", Permissions())
		}
	}
	expires = expires.UTC().Truncate(time.Second)
	if !expires.After(tx.Now) || expires.After(tx.Now.Add(MaxLifetime)) {
		return Token{}, Secret{}, problem.New(problem.Invalid, LifetimeBad, "expires", expires, "latest", tx.Now.Add(MaxLifetime))
	}
	id, err := NewID(random, "token")
	if err != nil {
		return Token{}, Secret{}, err
	}
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Token{}, Secret{}, fmt.Errorf("draw a token: %w", err)
	}
	secret := ParseSecret(tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
	t := Token{ID: id, Operator: p.ID, Scopes: scopes, Created: tx.Now, Expires: expires}
	if err := insertToken(tx, t, secret.digest()); err != nil {
		return Token{}, Secret{}, fmt.Errorf("save token %s: %w", id, err)
	}
	return t, secret, nil
}

// RevokeToken takes a token back. One that was taken back already stays so.
func RevokeToken(tx *db.Tx, id string) error {
	known, err := revokeToken(tx, id)
	if err == nil && !known {
		err = problem.New(problem.NotFound, TokenUnknown)
	}
	return err
}

// Authenticate returns the actor behind a token, with the roles that its operator
// has at tx.Now. Every refusal is Unauthenticated.
func Authenticate(tx *db.Tx, secret Secret) (Actor, error) {
	digest := secret.digest()
	t, kept, known, err := tokenByDigest(tx, digest)
	switch {
	case err != nil:
		return Actor{}, err
	case !known || subtle.ConstantTimeCompare(kept, digest) != 1:
		return Actor{}, problem.New(problem.Unauthenticated, TokenUnknown)
	}
	p, err := FindOperator(tx, t.Operator)
	switch {
	case err != nil:
		return Actor{}, fmt.Errorf("operator of token %s: %w", t.ID, err)
	case !t.Revoked.IsZero():
		return Actor{}, problem.New(problem.Unauthenticated, TokenRevoked, "token", t.ID)
	case !tx.Now.Before(t.Expires):
		return Actor{}, problem.New(problem.Unauthenticated, TokenExpired, "token", t.ID, "expires", t.Expires)
	case !p.Ended.IsZero():
		return Actor{}, problem.New(problem.Unauthenticated, OperatorEnded, "name", p.Name)
	}
	return Actor{
		Kind: Operator, ID: p.ID, Name: p.Name, Roles: p.Roles, Tenant: p.Tenant, Partner: p.Partner,
		Token: t.ID, Scopes: t.Scopes,
	}, nil
}
