package activation

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gowebpki/jcs"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

const (
	// RequestType is the typ of an activation request.
	RequestType = "esu-activation+jwt"
	// MaxRequest is the most that a request may be long, in bytes: the largest
	// facts in base64url, and the rest.
	MaxRequest = 384 << 10
)

// Params are what a request says, beside the key.
type Params struct {
	Audience     license.AuthorityID
	Program      program.ID
	ActivationID program.ActivationID
	Identity     [32]byte // salted hash of the operating system's identity
	Facts        *device.Facts
	IssuedAt     time.Time
}

// Request is an activation request whose device signed it. That its maker holds
// the product key is another question: ProvenBy.
type Request struct {
	Audience     license.AuthorityID
	Program      program.ID
	ActivationID program.ActivationID
	PublicKey    license.PublicKey
	Identity     [32]byte
	Facts        *device.Facts
	Ref          productkey.Ref
	IssuedAt     license.Instant
	Proof        productkey.Proof

	proven []byte // what Proof is over
}

// claims are a request as it travels.
type claims struct {
	Audience     license.AuthorityID  `json:"aud"`
	Program      program.ID           `json:"program"`
	ActivationID program.ActivationID `json:"activationId"`
	PublicKey    license.PublicKey    `json:"publicKey"`
	Identity     digest               `json:"identity"`
	Facts        json.RawMessage      `json:"facts"`
	Ref          productkey.Ref       `json:"ref"`
	IssuedAt     license.Instant      `json:"iat"`
	Proof        *productkey.Proof    `json:"proof,omitempty"`
}

// members are the names in claims.
func members() []string {
	return []string{"aud", "program", "activationId", "publicKey", "identity", "facts", "ref", "iat", "proof"}
}

// digest is 32 bytes as lower-case hexadecimal digits.
type digest [32]byte

func (d digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

func (d *digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) || strings.ToLower(string(text)) != string(text) {
		return errors.New("not 64 hexadecimal digits")
	}
	*d = digest(b)
	return nil
}

// NewRequest makes the request of a device, signed with its key and proven with
// the product key. The facts are normalized.
func NewRequest(p Params, key productkey.Key, signer jws.Signer) (string, error) {
	if err := p.Facts.Check(); err != nil {
		return "", fmt.Errorf("make activation request: %w", err)
	}
	if len(signer.Public) != len(license.PublicKey{}) || p.Identity == [32]byte{} {
		return "", errors.New("make activation request: no device key or no identity")
	}
	facts, err := p.Facts.Canonical()
	if err != nil {
		return "", fmt.Errorf("make activation request: %w", err)
	}
	c := claims{
		Audience: p.Audience, Program: p.Program, ActivationID: p.ActivationID,
		PublicKey: license.PublicKey(signer.Public), Identity: p.Identity, Facts: facts,
		Ref: key.Ref(), IssuedAt: license.At(p.IssuedAt),
	}
	message, err := canonical(c)
	if err != nil {
		return "", fmt.Errorf("make activation request: %w", err)
	}
	proof := key.Proof(message)
	c.Proof = &proof
	return jws.SelfSign(RequestType, c, signer)
}

func canonical(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(text)
}

// ParseRequest reads a request for audience, and checks its form and that the
// device key in it signed it. Every error is a *problem.Problem.
func ParseRequest(text string, audience license.AuthorityID) (*Request, error) {
	token, err := jws.OpenSelfSigned(text, RequestType, MaxRequest)
	if err != nil {
		return nil, malformed(err)
	}
	payload, ok := token.Verified(token.Key)
	if !ok {
		return nil, problem.New(problem.Unauthenticated, RequestSignature)
	}
	r, err := read(payload)
	if err != nil {
		return nil, malformed(err)
	}
	if r.PublicKey != license.PublicKey(token.Key) {
		return nil, malformed(errors.New("signed with another key than it is for"))
	}
	if r.Audience != audience {
		return nil, problem.New(problem.Refused, WrongAudience, "audience", r.Audience, "want", audience)
	}
	return r, nil
}

func malformed(err error) *problem.Problem {
	what := err.Error()
	if limit := 200; len(what) > limit { // it may repeat what a stranger wrote
		what = strings.ToValidUTF8(what[:limit], "") + "…"
	}
	return problem.New(problem.Invalid, RequestMalformed, "what", what).Because(err)
}

// read reads claims that have exactly the members of a request.
func read(payload []byte) (*Request, error) {
	payload, err := jcs.Transform(payload) // at any depth: no name twice, no broken text
	if err != nil {
		return nil, err
	}
	var c claims
	var all map[string]json.RawMessage
	if err := errors.Join(jws.Decode(payload, &all), jws.Decode(payload, &c)); err != nil {
		return nil, err
	}
	for _, name := range members() {
		if _, ok := all[name]; !ok {
			return nil, fmt.Errorf("no %s", name)
		}
	}
	if len(all) != len(members()) {
		return nil, errors.New("members that requests do not have")
	}
	id, err := program.ParseActivationID(string(c.ActivationID))
	if err != nil || id != c.ActivationID {
		return nil, errors.New("no activation id")
	}
	facts, err := device.ParseFacts(c.Facts)
	if err != nil {
		return nil, err
	}
	if again, err := facts.Canonical(); err != nil || !bytes.Equal(again, c.Facts) {
		return nil, errors.New("facts are not in canonical form, or say what is false or empty")
	}
	if facts.Program != c.Program {
		return nil, errors.New("facts of another program")
	}
	if c.Identity == (digest{}) || c.Ref == (productkey.Ref{}) || c.Proof == nil || c.IssuedAt <= 0 || len(c.Audience) > 64 {
		return nil, errors.New("identity, reference, proof, time of issue or audience")
	}
	delete(all, "proof")
	message, err := canonical(all)
	if err != nil {
		return nil, err
	}
	return &Request{
		Audience: c.Audience, Program: c.Program, ActivationID: c.ActivationID, PublicKey: c.PublicKey,
		Identity: c.Identity, Facts: facts, Ref: c.Ref, IssuedAt: c.IssuedAt, Proof: *c.Proof, proven: message,
	}, nil
}

// ProvenBy reports whether whoever made the request holds the product key whose
// MAC key this is.
func (r *Request) ProvenBy(mac productkey.MAC) bool { return mac.Verify(r.proven, r.Proof) }

// Installation is what asks, and what is counted.
func (r *Request) Installation() license.Installation {
	return license.InstallationOf(r.PublicKey, r.Identity)
}

// Fingerprint is the installation's fingerprint.
func (r *Request) Fingerprint() license.Fingerprint { return r.Installation().Fingerprint }
