package license

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Why an access token or a request for one is refused, beside the codes that it
// shares with licenses.
const (
	// AccessExpired is an access token past its end.
	AccessExpired problem.Code = "license.access-expired"
	// OtherAudience is a token or request that was made for somebody else.
	OtherAudience problem.Code = "license.other-audience"
	// RequestMalformed is a text that is no access request.
	RequestMalformed problem.Code = "license.request-malformed"
	// RequestSignature is an access request that its device key did not sign as it stands.
	RequestSignature problem.Code = "license.request-signature"
)

const (
	// AccessType is the typ of an access token.
	AccessType = "esu-access+jwt"
	// AccessRequestType is the typ of the request for one.
	AccessRequestType = "esu-access-request+jwt"

	// AccessLifetime is the longest that an access token lives. One that claims
	// more is malformed.
	AccessLifetime = 24 * time.Hour

	// MaxGrants is how many years one access token opens at most.
	MaxGrants = 64
	// MaxAccessRequest is the most that an access request may be long, in bytes.
	MaxAccessRequest = 256 << 10
	// MaxShown is how many licenses an access request shows at most.
	MaxShown = 24
)

// Access is a pass to gated bytes: what its holder was proven to have when it was
// signed. It is a bearer token, and lives a day at most.
type Access struct {
	Authority AuthorityID `json:"iss"` // who signed it: an authority or a site
	Audience  AuthorityID `json:"aud"` // whose download gates take it
	Program   program.ID  `json:"program"`
	Device    Fingerprint `json:"device,omitzero"` // none on a site's own
	Grants    []Grant     `json:"years"`
	IssuedAt  Instant     `json:"iat"`
	ExpiresAt Instant     `json:"exp"`
}

func (a *Access) check() error {
	if !name.MatchString(string(a.Authority)) || !name.MatchString(string(a.Audience)) {
		return errors.New("no authority or no audience")
	}
	if len(a.Grants) == 0 || len(a.Grants) > MaxGrants {
		return fmt.Errorf("not 1 to %d years", MaxGrants)
	}
	for _, g := range a.Grants {
		if err := checkTrackYear(a.Program, g.Track, g.Year); err != nil {
			return err
		}
	}
	if life := a.ExpiresAt - a.IssuedAt; a.IssuedAt <= 0 || life <= 0 || life > Instant(AccessLifetime/time.Second) {
		return fmt.Errorf("not a life of up to %s", AccessLifetime)
	}
	return nil
}

// SignAccess makes an access token under the key that readers know as kid.
func SignAccess(a Access, kid KeyID, key ed25519.PrivateKey) (Token, error) {
	if err := a.check(); err != nil {
		return "", fmt.Errorf("sign access: %w", err)
	}
	return sign(AccessType, kid, a, key)
}

// AccessVerifier is all that an access token is held against.
type AccessVerifier struct {
	Keys     Keys
	Audience AuthorityID
	Now      time.Time
}

// VerifyAccess reads an access token. The Set covers what the token opens, and
// has no claims to show. Every error is a *problem.Problem.
func VerifyAccess(v AccessVerifier, text Token) (Access, Set, error) {
	var a Access
	token, refusal := openToken(text, AccessType, &a)
	if refusal != nil {
		return Access{}, Set{}, refusal
	}
	if err := a.check(); err != nil {
		return Access{}, Set{}, malformed(err)
	}
	if _, refusal := v.Keys.signed(token, UseAccess, a.Program); refusal != nil {
		return Access{}, Set{}, refusal
	}
	switch {
	case a.Authority != v.Keys.authority:
		return Access{}, Set{}, problem.New(problem.Refused, OtherAuthority, "authority", a.Authority, "want", v.Keys.authority)
	case a.Audience != v.Audience:
		return Access{}, Set{}, problem.New(problem.Refused, OtherAudience, "audience", a.Audience, "want", v.Audience)
	case v.Now.IsZero() || !v.Now.Before(a.ExpiresAt.Time()):
		return Access{}, Set{}, problem.New(problem.Unauthenticated, AccessExpired, "expires", a.ExpiresAt.Time())
	}
	return a, Set{program: a.Program, grants: slices.Clone(a.Grants)}, nil
}

// AccessRequest is how a device asks for an access token: it signs the server's
// nonce and shows its licenses.
type AccessRequest struct {
	Nonce    string      `json:"nonce"`
	Audience AuthorityID `json:"aud"`
	Program  program.ID  `json:"program"`
	// Fingerprint is what the device says; its licenses hold it to that.
	Fingerprint Fingerprint `json:"fingerprint"`
	Licenses    []Token     `json:"licenses"`

	// PublicKey is the key that signed the request.
	PublicKey PublicKey `json:"-"`
}

// Installation is whose licenses the request may show: pass it to Verify.
func (r *AccessRequest) Installation() Installation { return Installation{r.Fingerprint, r.PublicKey} }

func (r *AccessRequest) check() error {
	if !printable(r.Nonce, 200) || !name.MatchString(string(r.Audience)) || r.Fingerprint.IsZero() {
		return errors.New("no nonce, audience or fingerprint")
	}
	if len(r.Licenses) == 0 || len(r.Licenses) > MaxShown {
		return fmt.Errorf("not 1 to %d licenses", MaxShown)
	}
	_, err := program.ParseID(string(r.Program))
	return err
}

// NewAccessRequest signs r with the device's key; PublicKey is taken from there.
func NewAccessRequest(r AccessRequest, key jws.Signer) (string, error) {
	if err := r.check(); err != nil {
		return "", fmt.Errorf("make access request: %w", err)
	}
	return jws.SelfSign(AccessRequestType, r, key)
}

// ParseAccessRequest reads a request and checks that the key it carries signed
// it and that it is meant for audience. Nonce and licenses are for the caller.
// Every error is a *problem.Problem.
func ParseAccessRequest(text string, audience AuthorityID) (*AccessRequest, error) {
	malformed := func(err error) error {
		return problem.New(problem.Invalid, RequestMalformed, "what", clip(err.Error())).Because(err)
	}
	token, err := jws.OpenSelfSigned(text, AccessRequestType, MaxAccessRequest)
	if err != nil {
		return nil, malformed(err)
	}
	payload, ok := token.Verified(token.Key)
	if !ok {
		return nil, problem.New(problem.Unauthenticated, RequestSignature)
	}
	r := new(AccessRequest)
	if err := jws.Decode(payload, r); err != nil {
		return nil, malformed(err)
	}
	if err := r.check(); err != nil {
		return nil, malformed(err)
	}
	if r.Audience != audience {
		return nil, problem.New(problem.Refused, OtherAudience, "audience", r.Audience, "want", audience)
	}
	r.PublicKey = PublicKey(token.Key)
	return r, nil
}
