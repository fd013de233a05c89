package license

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Verifier is all that a license is held against.
type Verifier struct {
	Program      *program.Program
	Keys         Keys
	Ended        Ended
	Closed       []ClosedList // those of Keys' closed keys
	Installation Installation // whose licenses are asked for
	Now          time.Time    // for hosted licenses, which do not count at the zero Time
}

// Rejected is a token that does not count, and why.
type Rejected struct {
	Index   int // in the tokens given
	ID      ID  // as the token claims, "" when it could not be read
	Problem *problem.Problem
}

// Grant is one thing that is proven: updates of a year on a track, released
// through Until when that is a day (rule K4).
type Grant struct {
	Track program.TrackID `json:"track"`
	Year  program.Year    `json:"year"`
	Until civil.Date      `json:"until,omitzero"`
}

// Set is what one installation was proven to hold of one program. Only Verify
// and VerifyAccess make one; the zero value covers nothing. It is immutable.
type Set struct {
	program program.ID
	grants  []Grant
	claims  []Claims
}

// Verify reads licenses and keeps those that count for the installation. The
// others come back with the reason, in order; each has one of this package's
// codes. A license that stands twice counts once.
func Verify(v Verifier, tokens []Token) (Set, []Rejected) {
	set := Set{program: v.Program.ID}
	var rejected []Rejected
	for i, token := range tokens {
		c, err := v.verify(token)
		if err != nil {
			rejected = append(rejected, Rejected{i, c.ID, err})
			continue
		}
		if slices.ContainsFunc(set.claims, func(have Claims) bool { return have.ID == c.ID }) {
			continue
		}
		set.claims = append(set.claims, c)
		set.grants = append(set.grants, Grant{c.Track, c.Year, v.Ended.Last(c.ID)})
	}
	return set, rejected
}

func (v *Verifier) verify(text Token) (Claims, *problem.Problem) {
	var c Claims
	token, refusal := openToken(text, Type, &c)
	if refusal != nil {
		return Claims{}, refusal
	}
	if err := c.check(); err != nil {
		return Claims{}, malformed(err)
	}
	// Up to here nothing is proven: the claims only choose what to say. They are
	// exactly what the signature is checked over.
	switch {
	case c.Authority != v.Keys.authority:
		return c, problem.New(problem.Refused, OtherAuthority, "authority", c.Authority, "want", v.Keys.authority)
	case c.Program != v.Program.ID:
		return c, problem.New(problem.Refused, OtherProgram, "program", c.Program, "want", v.Program.ID)
	}
	key, refusal := v.Keys.signed(token, UseLicense, v.Program.ID)
	if refusal != nil {
		return c, refusal
	}
	if c.Installation() != v.Installation {
		return c, problem.New(problem.Refused, OtherDevice, "id", c.ID)
	}
	if key.Closed != "" {
		if refusal := v.closed(key, c.ID); refusal != nil {
			return c, refusal
		}
	}
	return c, v.year(&c)
}

// closed lets pass what a closed key's list names.
func (v *Verifier) closed(key *VerificationKey, id ID) *problem.Problem {
	i := slices.IndexFunc(v.Closed, func(l ClosedList) bool { return l.digest == key.Closed })
	switch {
	case i < 0:
		return problem.New(problem.Unavailable, ClosedListMissing, "id", id, "key", key.ID)
	case !v.Closed[i].Has(id):
		return problem.New(problem.Refused, ClosedKey, "id", id, "key", key.ID)
	}
	return nil
}

// year holds the license to the program file.
func (v *Verifier) year(c *Claims) *problem.Problem {
	track, year, ok := v.Program.ByActivationID(c.ActivationID)
	switch {
	case !ok || track.ID != c.Track || year.Year != c.Year:
		return problem.New(problem.Refused, YearUnknown, "id", c.ID, "track", c.Track, "year", c.Year)
	case year.Only == program.OnlyCloud && c.Kind != Hosted:
		return problem.New(problem.Refused, HostedOnly, "id", c.ID, "year", c.Year)
	case c.Kind == Hosted && (v.Now.IsZero() || !v.Now.Before(c.ExpiresAt.Time())):
		return problem.New(problem.Refused, Expired, "id", c.ID, "expires", c.ExpiresAt.Time())
	}
	return nil
}

// openToken takes a token apart and reads its claims, unverified.
func openToken(text Token, typ string, claims any) (*jws.Token, *problem.Problem) {
	token, err := jws.Open(string(text), typ, MaxToken)
	if other := (*jws.TypeError)(nil); errors.As(err, &other) {
		return nil, problem.New(problem.Refused, WrongType, "type", clip(other.Got), "want", typ)
	}
	if err != nil {
		return nil, malformed(err)
	}
	if err := jws.Decode(token.Unverified(), claims); err != nil {
		return nil, malformed(err)
	}
	return token, nil
}

// signed finds the key that a token names and checks its signature.
func (k Keys) signed(token *jws.Token, use Use, p program.ID) (*VerificationKey, *problem.Problem) {
	key, ok := k.Find(KeyID(token.KeyID), use, p)
	if !ok {
		return nil, problem.New(problem.Refused, KeyNotTrusted, "key", clip(token.KeyID))
	}
	if _, ok := token.Verified(key.Public.ed25519()); !ok {
		return nil, problem.New(problem.Refused, Signature, "key", key.ID)
	}
	return key, nil
}

func malformed(err error) *problem.Problem {
	return problem.New(problem.Invalid, Malformed, "what", clip(err.Error())).Because(err)
}

// maxQuoted is how many bytes of a stranger's text a refusal repeats.
const maxQuoted = 100

// clip keeps what a stranger wrote short.
func clip(s string) string {
	if len(s) > maxQuoted {
		return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return s
}

// Covers reports whether a license for the year on the track is held that opens
// an update released on that day. Of updates that need none (program.Free) the
// caller takes care: no license is for that year.
func (s Set) Covers(track program.TrackID, year program.Year, released civil.Date) bool {
	for i := range s.grants {
		g := &s.grants[i]
		if g.Year == year && g.Track == track && (g.Until.IsZero() || !released.After(g.Until)) {
			return true
		}
	}
	return false
}

// Years are the years held on a track, ended ones too, as a bit set: bit n for
// year n.
func (s Set) Years(track program.TrackID) uint32 {
	var years uint32
	for i := range s.grants {
		if s.grants[i].Track == track {
			years |= 1 << s.grants[i].Year
		}
	}
	return years
}

// Program is whose tracks the set speaks of: the same track id in another
// program is another track.
func (s Set) Program() program.ID { return s.program }

// Empty reports whether the set covers nothing.
func (s Set) Empty() bool { return len(s.grants) == 0 }

// Grants are what the set covers, as Covers asks it.
func (s Set) Grants() []Grant { return slices.Clone(s.grants) }

// Claims are the licenses in the set, for display, in the order given; there are
// none in a set that came from an access token.
func (s Set) Claims() []Claims { return slices.Clone(s.claims) }
