package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const (
	// ReportType is the typ of a report.
	ReportType = "esu-report+jwt"

	maxNonce = 200 // bytes
)

// Why a report is refused before anybody looks at what it says.
const (
	// ReportMalformed is a text that is no report.
	ReportMalformed problem.Code = "wire.report-malformed"
	// ReportSignature is a report that its device key did not sign as it stands.
	ReportSignature problem.Code = "wire.report-signature"
	// ReportAudience is a report that was made for another server.
	ReportAudience problem.Code = "wire.report-audience"
)

// DeviceReport is what a device says of itself, signed with its key. It names
// facts and licenses by digest; the bodies, both or neither, go along when the
// server has not had them yet. A body that is left out of a report with facts is
// the empty list of licenses.
type DeviceReport struct {
	Audience    license.AuthorityID `json:"aud"`
	Program     program.ID          `json:"program"`
	Fingerprint license.Fingerprint `json:"fingerprint"`
	// Counter grows with each report: two branches of it show a clone.
	Counter        int64           `json:"counter"`
	Nonce          string          `json:"nonce"`
	IssuedAt       license.Instant `json:"iat"` // by the device's clock, which nobody believes
	FactsDigest    update.Digest   `json:"factsDigest"`
	LicensesDigest update.Digest   `json:"licensesDigest"`
	// Facts are in the form of device.Facts.Canonical.
	Facts    json.RawMessage `json:"facts,omitempty"`
	Licenses []license.Token `json:"licenses,omitempty"`

	// PublicKey is the key that signed the report.
	PublicKey license.PublicKey `json:"-"`
}

// LicensesDigest names a list of licenses: SHA-256 over their texts with a line
// feed between.
func LicensesDigest(licenses []license.Token) update.Digest {
	return digestOf([]byte(JoinLicenses(licenses)))
}

// JoinLicenses is the text that LicensesDigest is over.
func JoinLicenses(licenses []license.Token) string {
	lines := make([]string, len(licenses))
	for i, token := range licenses {
		lines[i] = string(token)
	}
	return strings.Join(lines, "\n")
}

func digestOf(text []byte) update.Digest {
	sum := sha256.Sum256(text)
	return update.Digest(hex.EncodeToString(sum[:]))
}

// SignReport makes the report of a device; PublicKey is taken from its key.
func SignReport(r DeviceReport, key jws.Signer) (string, error) {
	if err := r.check(); err != nil {
		return "", fmt.Errorf("make report: %w", err)
	}
	return jws.SelfSign(ReportType, r, key)
}

// ParseReport reads a report for audience: its form, that the key in it signed
// it, and that the bodies in it are those of its digests. Nonce, counter, and
// whether the licenses are any good are for the caller. Every error is a
// *problem.Problem.
func ParseReport(text string, audience license.AuthorityID) (*DeviceReport, error) {
	token, err := jws.OpenSelfSigned(text, ReportType, MaxRequest)
	if err != nil {
		return nil, reportMalformed(err)
	}
	payload, ok := token.Verified(token.Key)
	if !ok {
		return nil, problem.New(problem.Unauthenticated, ReportSignature)
	}
	r := new(DeviceReport)
	if err := jws.Decode(payload, r); err != nil {
		return nil, reportMalformed(err)
	}
	if err := errors.Join(r.whole(payload), r.check()); err != nil {
		return nil, reportMalformed(err)
	}
	if r.Audience != audience {
		return nil, problem.New(problem.Refused, ReportAudience, "audience", r.Audience, "want", audience)
	}
	r.PublicKey = license.PublicKey(token.Key)
	return r, nil
}

func reportMalformed(err error) *problem.Problem {
	what := err.Error()
	if limit := 200; len(what) > limit { // it may repeat what a stranger wrote
		what = strings.ToValidUTF8(what[:limit], "") + "…"
	}
	return problem.New(problem.Invalid, ReportMalformed, "what", what).Because(err)
}

// whole reports whether claims have the members of a report and no other. Each
// that was read stands there once and was read in, and check wants all of them,
// so it is enough to count: a second reading would cost more than the first.
func (r *DeviceReport) whole(claims []byte) error {
	want := 8
	if r.Facts != nil {
		want++
	}
	if r.Licenses != nil {
		want++
	}
	if members(claims) != want {
		return errors.New("members that reports do not have")
	}
	return nil
}

// members counts the members of an object that is known to be JSON.
func members(object []byte) int {
	n, depth, quoted := 0, 0, false
	for i := 0; i < len(object); i++ {
		switch c := object[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		case c == ':' && depth == 1:
			n++
		}
	}
	return n
}

func (r *DeviceReport) check() error {
	if _, err := program.ParseID(string(r.Program)); err != nil {
		return err
	}
	if r.Audience == "" || len(r.Audience) > 64 || r.Fingerprint.IsZero() || r.Counter < 1 || r.IssuedAt <= 0 {
		return errors.New("audience, fingerprint, counter or time of issue")
	}
	if len(r.Nonce) > maxNonce || !visible(r.Nonce) {
		return errors.New("no nonce")
	}
	for _, d := range []update.Digest{r.FactsDigest, r.LicensesDigest} {
		if _, err := update.ParseDigest(string(d)); err != nil {
			return err
		}
	}
	if r.Facts == nil {
		if r.Licenses != nil {
			return errors.New("licenses without facts")
		}
		return nil
	}
	return errors.Join(r.checkFacts(), r.checkLicenses())
}

// checkFacts holds the facts to their digest, and leaves them in canonical form.
func (r *DeviceReport) checkFacts() error {
	facts, err := device.ParseFacts(r.Facts)
	if err != nil {
		return err
	}
	canonical, err := facts.Canonical()
	if err != nil {
		return err
	}
	var escaped bytes.Buffer // as encoders write it that have HTML in mind
	json.HTMLEscape(&escaped, canonical)
	if !bytes.Equal(r.Facts, canonical) && !bytes.Equal(r.Facts, escaped.Bytes()) {
		return errors.New("facts are not in canonical form, or say what is false or empty")
	}
	if facts.Program != r.Program {
		return errors.New("facts of another program")
	}
	if digestOf(canonical) != r.FactsDigest {
		return errors.New("facts of another digest")
	}
	r.Facts = canonical
	return nil
}

func (r *DeviceReport) checkLicenses() error {
	if len(r.Licenses) > license.MaxShown {
		return fmt.Errorf("more than %d licenses", license.MaxShown)
	}
	for _, token := range r.Licenses {
		if len(token) > license.MaxToken || !visible(string(token)) {
			return errors.New("a license that is none")
		}
	}
	if LicensesDigest(r.Licenses) != r.LicensesDigest {
		return errors.New("licenses of another digest")
	}
	return nil
}

// visible reports whether s is a text of visible ASCII, without blanks.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
