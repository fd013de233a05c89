// Package license is what is proven: that one installation may have the updates
// of one coverage year on one track.
//
// A license is a compact JWS of typ "esu-license+jwt", signed by a key that
// trust/keys.json binds to the program. It has no expiry, but for hosted ones,
// and says nothing about money. Verify is the only way from tokens to a Set, and
// a Set is the only thing that the gate believes. Access is a pass of a day, of
// typ "esu-access+jwt", that a device gets for its licenses, so that download
// gates need neither licenses nor a database.
//
// Invariants:
//
//   - only keys of trust/keys.json count, each for its one use and program; what
//     a server says counts for nothing;
//   - a license binds one device key and one fingerprint, and holds on no other
//     device;
//   - coverage that was given is not taken back: a license can only be ended
//     from a day, for updates released after it, by a document that was signed
//     offline (rule K4);
//   - a license is read for decades. Members that a reader does not know are
//     passed over in claims and never in headers. So later members may tell more
//     but restrict nothing: what restricts gets a new typ, which old readers
//     refuse.
//
// The package knows no clock and no place: documents, tokens and the time for
// what expires come in as values.
package license

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

// Why a license, or an access token, does not count.
const (
	// Malformed is a text that is no token of ours, or claims that cannot be.
	Malformed problem.Code = "license.malformed"
	// WrongType is a token of another kind.
	WrongType problem.Code = "license.wrong-type"
	// Signature is a token that the key it names did not sign as it stands.
	Signature problem.Code = "license.signature"
	// KeyNotTrusted is a key that trust/keys.json does not have for this use and program.
	KeyNotTrusted problem.Code = "license.key-not-trusted"
	// ClosedKey is a license outside the list that stays valid under a closed key.
	ClosedKey problem.Code = "license.closed-key"
	// ClosedListMissing is a closed key whose list is not at hand.
	ClosedListMissing problem.Code = "license.closed-list-missing"
	// OtherAuthority is a license of another vendor's authority.
	OtherAuthority problem.Code = "license.other-authority"
	// OtherProgram is a license for another program.
	OtherProgram problem.Code = "license.other-program"
	// OtherDevice is a license of another installation.
	OtherDevice problem.Code = "license.other-device"
	// YearUnknown is a track and year that the program file does not have, or has under another activation id.
	YearUnknown problem.Code = "license.year-unknown"
	// HostedOnly is a bought license for a year that only hosted devices have (rule L3).
	HostedOnly problem.Code = "license.hosted-only"
	// Expired is a hosted license past its end.
	Expired problem.Code = "license.expired"
	// DocumentMalformed is a trust document (keys, ended, closed list) that cannot be read.
	DocumentMalformed problem.Code = "license.document-malformed"
)

// Type is the typ of a license.
const Type = "esu-license+jwt"

// MaxToken is the most that a license or an access token may be long, in bytes.
const MaxToken = 16 << 10

// Identifiers. Each has 1 to 64 letters, digits, '.', '_' and '-', and starts
// with a letter or digit.
type (
	// ID names one license.
	ID string
	// KeyID names one verification key; it is never used again.
	KeyID string
	// AuthorityID names the authority that signs. A site that signs for its own
	// network uses its own id in this place.
	AuthorityID string
)

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Token is a license or an access token in compact form.
type Token string

// Instant is a moment in seconds since 1970-01-01 UTC (NumericDate of RFC 7519).
type Instant int64

// At is the instant of t, cut to the second.
func At(t time.Time) Instant { return Instant(t.Unix()) }

// Time is the instant in UTC.
func (i Instant) Time() time.Time { return time.Unix(int64(i), 0).UTC() }

// Kind says on which road a license was given.
type Kind string

// The closed set of kinds (rule K10; Hosted is rule L3).
const (
	Online Kind = "online"
	Proxy  Kind = "proxy"
	File   Kind = "file"
	Voice  Kind = "voice"
	Hosted Kind = "hosted"
)

// Claims are what a license says.
type Claims struct {
	ID           ID                   `json:"jti"`
	Authority    AuthorityID          `json:"iss"`
	Program      program.ID           `json:"program"`
	Track        program.TrackID      `json:"track"`
	Year         program.Year         `json:"year"`
	ActivationID program.ActivationID `json:"activationId"`
	Fingerprint  Fingerprint          `json:"fingerprint"`
	PublicKey    PublicKey            `json:"publicKey"`
	Customer     string               `json:"customer"`           // to be shown, 1 to 200 bytes
	LastFive     string               `json:"lastFive,omitempty"` // of the product key; hosted licenses have none
	Seat         int                  `json:"seat,omitempty"`     // ordinal under the key, from 1; hosted licenses have none
	Kind         Kind                 `json:"kind"`
	IssuedAt     Instant              `json:"iat"`
	ExpiresAt    Instant              `json:"exp,omitzero"` // hosted licenses only
}

// Installation is whom the license is for.
func (c *Claims) Installation() Installation { return Installation{c.Fingerprint, c.PublicKey} }

// Sign makes the license that c describes, under the key that trust/keys.json
// lists as kid.
func Sign(c Claims, kid KeyID, key ed25519.PrivateKey) (Token, error) {
	if err := c.check(); err != nil {
		return "", fmt.Errorf("sign license %s: %w", c.ID, err)
	}
	return sign(Type, kid, c, key)
}

func sign(typ string, kid KeyID, claims any, key ed25519.PrivateKey) (Token, error) {
	if len(key) != ed25519.PrivateKeySize || !name.MatchString(string(kid)) {
		return "", fmt.Errorf("sign %s: no key, or key id %q", typ, kid)
	}
	token, err := jws.Sign(typ, string(kid), claims, jws.InMemory(key))
	if err != nil {
		return "", err
	}
	if len(token) > MaxToken {
		return "", fmt.Errorf("sign %s: more than %d bytes", typ, MaxToken)
	}
	return Token(token), nil
}

// check reports what is wrong with the claims, whatever program they are for.
func (c *Claims) check() error {
	if !name.MatchString(string(c.ID)) || !name.MatchString(string(c.Authority)) {
		return errors.New("no license id or no authority")
	}
	if err := checkTrackYear(c.Program, c.Track, c.Year); err != nil {
		return err
	}
	if id, err := program.ParseActivationID(string(c.ActivationID)); err != nil || id != c.ActivationID {
		return errors.New("no activation id")
	}
	if c.Fingerprint.IsZero() || c.PublicKey.IsZero() {
		return errors.New("no installation")
	}
	if !printable(c.Customer, 200) || c.IssuedAt <= 0 {
		return errors.New("no customer or no time of issue")
	}
	switch c.Kind {
	case Online, Proxy, File, Voice:
		if c.ExpiresAt != 0 || c.Seat < 1 || len(c.LastFive) != 5 || strings.Trim(c.LastFive, productkey.Symbols) != "" {
			return fmt.Errorf("%s license with an end, or without seat or key", c.Kind)
		}
	case Hosted:
		if c.ExpiresAt <= c.IssuedAt || c.Seat != 0 || c.LastFive != "" {
			return errors.New("hosted license without an end, or with a seat or key")
		}
	default:
		return fmt.Errorf("unknown kind %q", c.Kind)
	}
	return nil
}

func checkTrackYear(p program.ID, track program.TrackID, year program.Year) error {
	if _, err := program.ParseID(string(p)); err != nil {
		return err
	}
	if !name.MatchString(string(track)) || year < 1 || year > program.MaxYear {
		return fmt.Errorf("year %d of track %q", year, track)
	}
	return nil
}

// printable says whether s is 1 to limit bytes of text on one line.
func printable(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) })
}
