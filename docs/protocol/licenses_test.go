package protocol

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// Licenses that a device looks at in the world of the vectors: its clock says
// made, its installation is the one of the vectors.
func (w *world) licenses(v *vectors) {
	w.t.Helper()
	keys := w.keys(v)
	text, err := keys.JSON()
	fatal(w.t, err)
	v.TrustKeys = string(text)
	ended, err := license.NewEnded(map[license.ID]civil.Date{"lic-2027-0009": civil.MustParse("2027-06-08")})
	fatal(w.t, err)
	text, err = ended.JSON()
	fatal(w.t, err)
	v.Ended = string(text)

	good := w.claims("lic-2027-0001", 1)
	hosted := w.claims("lic-2027-0002", 2)
	hosted.Kind, hosted.LastFive, hosted.Seat, hosted.ExpiresAt = license.Hosted, "", 0, license.At(made().AddDate(0, 0, 90))
	v.License = w.token(w.sign(good, "license-1", w.authority.License), w.authority.License)
	v.Hosted = w.token(w.sign(hosted, "license-1", w.authority.License), w.authority.License)

	over := hosted
	over.IssuedAt, over.ExpiresAt = license.At(made().AddDate(0, 0, -90)), license.At(made())
	kept, lost := good, good
	kept.ID, lost.ID = "lic-2026-0001", "lic-2026-0003"
	finished := good
	finished.ID = "lic-2027-0009"
	wrongYear := good
	wrongYear.Year = 2
	stranger := good
	stranger.Authority = "fabrikam"
	other := licensetest.NewDevice("somebody else's")
	copied := good
	copied.Fingerprint, copied.PublicKey = other.Fingerprint, other.PublicKey
	closed := licensetest.Key("closed")
	v.Licenses = []judged{
		{"good", v.License.Token, ""},
		{"good, hosted, before its end", v.Hosted.Token, ""},
		{"good, with a claim that nobody knows yet", w.forge(nil, func(c map[string]any) { c["color"] = "green" }), ""},
		{"good, signed by a closed key, on its list", w.sign(kept, "license-0", closed), ""},
		{"good, ended from a day: covers updates released up to that day", w.sign(finished, "license-1", w.authority.License), ""},
		{"signed by a closed key, not on its list", w.sign(lost, "license-0", closed), string(license.ClosedKey)},
		{"hosted, at its end", w.sign(over, "license-1", w.authority.License), string(license.Expired)},
		{"of another device", w.sign(copied, "license-1", w.authority.License), string(license.OtherDevice)},
		{"of another authority", w.sign(stranger, "license-1", w.authority.License), string(license.OtherAuthority)},
		{"a year that is not its activation id's", w.sign(wrongYear, "license-1", w.authority.License), string(license.YearUnknown)},
		{"signed by a key of another use", w.sign(good, "access-1", w.authority.Access), string(license.KeyNotTrusted)},
		{"signed by another key than it names", w.sign(good, "license-1", closed), string(license.Signature)},
		{"header changed after signing", retitled(v.License.Token), string(license.WrongType)},
		{"an activation request", v.Activation.Token, string(license.WrongType)},
		{"alg none", w.forge(map[string]any{"alg": "none"}, nil), string(license.Malformed)},
		{"crit in the header", w.forge(map[string]any{"crit": []string{"exp"}}, nil), string(license.Malformed)},
		{"base64url with padding", v.License.Token + "==", string(license.Malformed)},
		{"stray bits after the signature", stray(v.License.Token), string(license.Malformed)},
		{"a claim twice", w.forgeText(strings.Replace(v.License.Claims, `"year":1`, `"year":2,"year":1`, 1)), string(license.Malformed)},
		{"a claim in capitals", w.forgeText(strings.Replace(v.License.Claims, `"year":1`, `"YEAR":1`, 1)), string(license.Malformed)},
		{"an end on a license that is bought", w.forge(nil, func(c map[string]any) { c["exp"] = 4102444800 }), string(license.Malformed)},
	}
}

func (w *world) sign(c license.Claims, kid license.KeyID, key ed25519.PrivateKey) string {
	w.t.Helper()
	token, err := license.Sign(c, kid, key)
	fatal(w.t, err)
	return string(token)
}

// forge is the good license with another header or other claims, and a true
// signature over that.
func (w *world) forge(header map[string]any, change func(map[string]any)) string {
	w.t.Helper()
	text, err := json.Marshal(w.claims("lic-2027-0001", 1))
	fatal(w.t, err)
	var claims map[string]any
	fatal(w.t, json.Unmarshal(text, &claims))
	if change != nil {
		change(claims)
	}
	text, err = json.Marshal(claims)
	fatal(w.t, err)
	all := map[string]any{"alg": "EdDSA", "kid": "license-1", "typ": license.Type}
	maps.Copy(all, header)
	head, err := json.Marshal(all)
	fatal(w.t, err)
	return w.compact(string(head), string(text))
}

func (w *world) forgeText(claims string) string {
	return w.compact(`{"alg":"EdDSA","kid":"license-1","typ":"esu-license+jwt"}`, claims)
}

func (w *world) compact(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	message := encode([]byte(header)) + "." + encode([]byte(claims))
	return message + "." + encode(ed25519.Sign(w.authority.License, []byte(message)))
}

func retitled(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"license-1","typ":"esu-access+jwt"}`)) + "." + rest
}

// stray sets a bit at the end that belongs to no byte.
func stray(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last|1:][:1]
}

// written is vectors.json as others read it.
func written(t *testing.T) *vectors {
	t.Helper()
	text, err := os.ReadFile(vectorsFile)
	if *rewrite { // whichever test comes first
		text, err = encode(t, newWorld(t).vectors()), nil
	}
	fatal(t, err)
	v := new(vectors)
	fatal(t, wire.Decode(strings.NewReader(string(text)), wire.MaxBody, v))
	return v
}

// verifier is a device's, out of the documents of the vectors alone.
func verifier(t *testing.T, v *vectors) license.Verifier {
	t.Helper()
	p, err := program.ParsePublic([]byte(v.Program.Text))
	fatal(t, err)
	keys, err := license.ParseKeys([]byte(v.TrustKeys))
	fatal(t, err)
	ended, err := license.ParseEnded([]byte(v.Ended))
	fatal(t, err)
	list, err := license.ParseClosedList([]byte(v.ClosedList.Text))
	fatal(t, err)
	i := license.Installation{}
	fatal(t, i.PublicKey.UnmarshalText([]byte(v.Installation.PublicKey)))
	fatal(t, i.Fingerprint.UnmarshalText([]byte(v.Installation.Fingerprint)))
	return license.Verifier{Program: p, Keys: keys, Ended: ended, Closed: []license.ClosedList{list}, Installation: i, Now: made()}
}

func TestLicensesAreJudged(t *testing.T) {
	v := written(t)
	for _, l := range v.Licenses {
		set, rejected := license.Verify(verifier(t, v), []license.Token{license.Token(l.Token)})
		code := ""
		if len(rejected) > 0 {
			code = string(rejected[0].Problem.Code)
		}
		if code != l.Code || set.Empty() != (l.Code != "") {
			t.Errorf("%s: %q, want %q", l.What, code, l.Code)
		}
		if l.What == "good, ended from a day: covers updates released up to that day" &&
			(!set.Covers("lantern-2", 1, civil.MustParse("2027-06-08")) || set.Covers("lantern-2", 1, civil.MustParse("2027-06-09"))) {
			t.Error("the license does not end on its day")
		}
	}
}

func TestKeysFactsAndManifestAreRead(t *testing.T) {
	v := written(t)
	for _, k := range v.ProductKeys {
		key, err := productkey.Parse(k.Key)
		if err != nil || key.Tag() != k.Tag || key.Ref().String() != k.Ref {
			t.Errorf("%s: %v", k.Key, err)
		}
	}
	for _, k := range v.MalformedKeys {
		if _, err := productkey.Parse(k.Text); string(problem.CodeOf(err)) != k.Code {
			t.Errorf("%q: %v, want %s", k.Text, err, k.Code)
		}
	}
	for _, f := range v.Facts {
		if _, err := device.ParseFacts([]byte(f.Canonical)); err != nil {
			t.Error(err)
		}
	}
	u, err := update.ParseManifest([]byte(v.Manifest.Text))
	fatal(t, err)
	p, err := program.ParsePublic([]byte(v.Program.Text))
	fatal(t, err)
	fatal(t, update.Check(p, u))
}

// The server that is shipped takes the vectors, and answers with the same token.
func TestServerTakesTheVectors(t *testing.T) {
	v, w := written(t), newWorld(t)
	key, err := productkey.Parse(v.Activation.ProductKey)
	fatal(t, err)
	server := httptest.NewServer(frontdoor.Handler(frontdoor.Config{
		Backend: shelf{mac: key.MAC(), license: license.Token(v.License.Token)}, Trust: trusted{verifier(t, v)}, Audience: authority,
		Nonces: w.nonces, Now: made,
		Signer: frontdoor.Signer{
			Authority: authority, KeyID: func(program.ID) license.KeyID { return "access-1" },
			Key: func(program.ID) ed25519.PrivateKey { return w.authority.Access },
		},
	}))
	defer server.Close()
	client, err := wire.NewClient(wire.Config{URL: server.URL, Timeout: 10 * time.Second})
	fatal(t, err)
	ctx := context.Background()

	results, err := client.Activate(ctx, []string{v.Activation.Token})
	if err != nil || len(results) != 1 || results[0].License != v.License.Token {
		t.Errorf("activation: %v %+v", err, results)
	}
	token, err := client.Access(ctx, v.AccessRequest.Token)
	if err != nil || token.Token != v.AccessToken.Token || token.Expires != made().Add(24*time.Hour).Unix() {
		t.Errorf("access: %v %+v", err, token)
	}
	for _, report := range []string{v.Reports.Whole.Token, v.Reports.Short.Token} {
		if err := client.Report(ctx, report); err != nil {
			t.Errorf("report: %v", err)
		}
	}
	if err := client.Report(ctx, v.Activation.Token); problem.CodeOf(err) != wire.ReportMalformed {
		t.Errorf("an activation request as a report: %v", err)
	}
}

// shelf reads what devices send, and has one license to give.
type shelf struct {
	frontdoor.Backend
	mac     productkey.MAC
	license license.Token
}

func (s shelf) Activate(_ context.Context, requests []string) ([]frontdoor.Answer, error) {
	answers := make([]frontdoor.Answer, len(requests))
	for i, text := range requests {
		r, err := activation.ParseRequest(text, authority)
		switch {
		case err != nil:
			answers[i].Err = err
		case !r.ProvenBy(s.mac):
			answers[i].Err = problem.New(problem.NotFound, activation.KeyUnknown)
		default:
			answers[i].License = s.license
		}
	}
	return answers, nil
}

func (s shelf) Report(_ context.Context, text string) error {
	_, err := wire.ParseReport(text, authority)
	return err
}

type trusted struct{ verifier license.Verifier }

func (t trusted) Verifier(id program.ID) (license.Verifier, bool) {
	return t.verifier, id == t.verifier.Program.ID
}
