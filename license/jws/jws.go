// Package jws reads and makes the signed tokens of this system: JWS in compact
// form (RFC 7515), Ed25519 only (RFC 8037), one kind of token per "typ".
//
// go-jose takes a token apart and checks the signature. This package refuses
// first what go-jose would let through, so that a token has no second reading:
//
//   - the header holds alg "EdDSA", the one typ that the caller names, and
//     either kid (Open) or jwk (OpenSelfSigned), each once, and nothing else: no
//     crit, b64, jku, x5c, zip, and no key where none belongs;
//   - a jwk is the public half of an Ed25519 key, without further members;
//   - base64url is without padding, line breaks and stray bits at the end, and
//     the signature has 64 bytes;
//   - a token is no longer than the caller says.
//
// Claims are read by Decode: member names match exactly and stand once. Members
// that the reader does not know are passed over; who must not do that checks for
// them. The package trusts nobody: whose key it is that signed is the caller's
// question.
package jws

import (
	"crypto/ed25519"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // exact member names, none twice
)

// TypeError is a token of another kind than the one asked for.
type TypeError struct{ Got, Want string }

func (e *TypeError) Error() string { return fmt.Sprintf("token is a %q, not a %q", e.Got, e.Want) }

// Signer signs with an Ed25519 key, wherever that key is kept.
type Signer struct {
	Public ed25519.PublicKey
	Sign   func(message []byte) ([]byte, error) // 64 bytes, no prehash
}

// InMemory is a signer for a key at hand.
func InMemory(key ed25519.PrivateKey) Signer {
	return Signer{
		Public: key.Public().(ed25519.PublicKey),
		Sign:   func(message []byte) ([]byte, error) { return ed25519.Sign(key, message), nil },
	}
}

// opaque lets go-jose sign with a Signer.
type opaque struct {
	key Signer
	id  string
}

func (o opaque) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: o.key.Public, KeyID: o.id}
}
func (o opaque) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.EdDSA} }
func (o opaque) SignPayload(message []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	return o.key.Sign(message)
}

// Sign makes a token of kind typ over claims, under the key that readers know as
// kid.
func Sign(typ, kid string, claims any, key Signer) (string, error) {
	return sign(new(jose.SignerOptions).WithType(jose.ContentType(typ)), claims, opaque{key, kid})
}

// SelfSign makes a token of kind typ that carries the public key it is signed
// with.
func SelfSign(typ string, claims any, key Signer) (string, error) {
	options := &jose.SignerOptions{EmbedJWK: true}
	return sign(options.WithType(jose.ContentType(typ)), claims, opaque{key: key})
}

func sign(options *jose.SignerOptions, claims any, key opaque) (string, error) {
	if len(key.key.Public) != ed25519.PublicKeySize {
		return "", errors.New("sign token: no Ed25519 key")
	}
	payload, err := stdjson.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	token, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token.CompactSerialize()
}

// Token is a token that is well formed and of the kind asked for. Nothing in it
// is believed yet.
type Token struct {
	KeyID string            // after Open
	Key   ed25519.PublicKey // after OpenSelfSigned

	token *jose.JSONWebSignature
}

// Verified returns the claims' bytes when key signed them.
func (t *Token) Verified(key ed25519.PublicKey) ([]byte, bool) {
	if len(key) != ed25519.PublicKeySize {
		return nil, false
	}
	payload, err := t.token.Verify(key)
	return payload, err == nil
}

// Unverified returns the claims' bytes, fit to explain a refusal and for nothing
// else.
func (t *Token) Unverified() []byte { return t.token.UnsafePayloadWithoutVerification() }

// Open takes apart a token of kind typ whose header names its key. Its error is
// a *TypeError, or says what is malformed.
func Open(text, typ string, limit int) (*Token, error) {
	h, token, err := open(text, typ, "kid", limit)
	if err != nil {
		return nil, err
	}
	t := &Token{token: token}
	if err := json.Unmarshal(h["kid"], &t.KeyID); err != nil || t.KeyID == "" {
		return nil, errors.New("header without a key id")
	}
	return t, nil
}

// OpenSelfSigned takes apart a token of kind typ that carries its key.
func OpenSelfSigned(text, typ string, limit int) (*Token, error) {
	h, token, err := open(text, typ, "jwk", limit)
	if err != nil {
		return nil, err
	}
	var jwk map[string]string
	if err := json.Unmarshal(h["jwk"], &jwk); err != nil {
		return nil, fmt.Errorf("embedded key: %w", err)
	}
	x, err := Base64(jwk["x"])
	if err != nil || len(x) != ed25519.PublicKeySize || len(jwk) != 3 || jwk["kty"] != "OKP" || jwk["crv"] != "Ed25519" {
		return nil, errors.New("embedded key is no Ed25519 public key")
	}
	return &Token{Key: x, token: token}, nil
}

type header map[string]json.RawMessage

func (h header) text(name string) (s string) {
	if json.Unmarshal(h[name], &s) != nil {
		return ""
	}
	return s
}

// open checks all but the key, which the header gives under the name by.
func open(text, typ, by string, limit int) (header, *jose.JSONWebSignature, error) {
	if len(text) > limit {
		return nil, nil, fmt.Errorf("more than %d bytes", limit)
	}
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 3 {
		return nil, nil, errors.New("not three parts with a dot between")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = Base64(part); err != nil {
			return nil, nil, fmt.Errorf("part %d: %w", i+1, err)
		}
	}
	var h header
	if err := json.Unmarshal(decoded[0], &h); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if got := h.text("typ"); got != typ {
		return nil, nil, &TypeError{Got: got, Want: typ}
	}
	if _, ok := h[by]; !ok || len(h) != 3 {
		return nil, nil, fmt.Errorf("header has other members than alg, typ and %s", by)
	}
	if len(decoded[2]) != ed25519.SignatureSize {
		return nil, nil, errors.New("signature is not of 64 bytes")
	}
	token, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, nil, err
	}
	return h, token, nil
}

// Decode reads one JSON document into v. Names match in case, none stands twice,
// and nothing follows the document.
func Decode(text []byte, v any) error { return json.Unmarshal(text, v) }

// Base64 decodes base64url without padding, from its one text.
func Base64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // the decoder skips them
		return nil, errors.New("line break in base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}
