package license_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

var day = civil.MustParse

// offer is a program with two tracks, whose fourth year is for the cloud only.
func offer(id program.ID) *program.Program {
	years := func(n int, prefix string) []program.CoverageYear {
		var all []program.CoverageYear
		for i := range n {
			first := day("2020-01-15").AddMonths(12 * i)
			all = append(all, program.CoverageYear{
				Year: program.Year(i + 1), First: first, Last: first.AddMonths(12).AddDays(-1),
				ActivationID: program.ActivationID(fmt.Sprintf("%s-0000-4000-8000-00000000000%d", prefix, i+1)),
				Tag:          program.Tag(i + 1),
			})
		}
		return all
	}
	p := &program.Program{Public: program.Public{ID: id, Tracks: []program.Track{
		{ID: "desktop", EndOfSupport: day("2020-01-14"), Years: years(3, "aaaaaaaa")},
		{ID: "server", EndOfSupport: day("2020-01-14"), Years: years(4, "bbbbbbbb")},
	}}}
	p.Tracks[1].Years[3].Only = program.OnlyCloud
	return p
}

type world struct {
	*licensetest.Authority
	device licensetest.Device
}

func newWorld(t testing.TB) world {
	return world{licensetest.NewAuthority(t, "contoso", offer("windows-7")), licensetest.NewDevice("here")}
}

func (w world) verifier() license.Verifier { return w.Verifier(w.device) }

// verdict is the code of the one token given, "" when it counts.
func verdict(v license.Verifier, token license.Token) problem.Code {
	set, rejected := license.Verify(v, []license.Token{token})
	if len(rejected) == 0 {
		if set.Empty() {
			return "neither"
		}
		return ""
	}
	if !set.Empty() {
		return "both"
	}
	p := rejected[0].Problem
	read, hint := locales.New("en").Problem(p)
	if want, told := sentences()[p.Code]; told && (!regexp.MustCompile("^"+want+"$").MatchString(read) || hint == "") {
		return "sentence: " + problem.Code(read)
	}
	return p.Code
}

// sentences are what a person reads of each attack on a license.
func sentences() map[problem.Code]string {
	return map[problem.Code]string{
		license.Signature:      `The signature does not match: this was changed after signing, or the key '\S+' did not sign it\.`,
		license.OtherDevice:    `License \S+ belongs to another installation\.`,
		license.OtherProgram:   `This license is for the program '\S+', and this is '\S+'\.`,
		license.OtherAuthority: `This comes from the authority '\S+', and '\S+' is the one trusted here\.`,
		license.WrongType:      `This is a token of the kind '\S*', not of the kind 'esu-license\+jwt'\.`,
		license.KeyNotTrusted:  `It is signed by the key '\S+', which the vendor's signed key list does not name for this purpose and program\.`,
	}
}

// forge makes a compact token of any header, claims and signature.
func forge(header, claims any, sign func(message []byte) []byte) license.Token {
	part := func(v any) string {
		text, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			text = string(b)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	message := part(header) + "." + part(claims)
	return license.Token(message + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(message))))
}

func by(key ed25519.PrivateKey) func([]byte) []byte {
	return func(message []byte) []byte { return ed25519.Sign(key, message) }
}

type header = map[string]any

func TestVerify(t *testing.T) {
	w := newWorld(t)
	c1 := w.Claims(t, w.device, "desktop", 1)
	c2 := w.Claims(t, w.device, "desktop", 2)
	other := w.Claims(t, licensetest.NewDevice("there"), "desktop", 3)
	one, two := w.Sign(t, c1), w.Sign(t, c2)
	set, rejected := license.Verify(w.verifier(), []license.Token{one, w.Sign(t, other), two, one, "nonsense"})

	if diff := cmp.Diff([]license.Claims{c1, c2}, set.Claims()); diff != "" {
		t.Error(diff)
	}
	var codes []string
	for _, r := range rejected {
		codes = append(codes, fmt.Sprint(r.Index, r.ID, r.Problem.Code))
	}
	want := []string{fmt.Sprint(1, other.ID, license.OtherDevice), fmt.Sprint(4, "", license.Malformed)}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Error(diff)
	}
	if got := set.Years("desktop"); got != 1<<1|1<<2 {
		t.Errorf("years %b", got)
	}
	if set.Program() != "windows-7" || set.Empty() || set.Years("server") != 0 {
		t.Error("the set speaks of something else")
	}
}

func TestCovers(t *testing.T) {
	p := offer("windows-7")
	held := licensetest.Set(t, p,
		license.Grant{Track: "desktop", Year: 2},
		license.Grant{Track: "server", Year: 1, Until: day("2020-06-09")},
		license.Grant{Track: "server", Year: 4})
	for _, tc := range []struct {
		what     string
		set      license.Set
		track    program.TrackID
		year     program.Year
		released string
		want     bool
	}{
		{"its year", held, "desktop", 2, "2021-02-09", true},
		// rule K4: a key opens its own year and no other, before or after.
		{"an earlier year", held, "desktop", 1, "2020-02-11", false},
		{"a later year", held, "desktop", 3, "2022-02-08", false},
		{"another track", held, "server", 2, "2021-02-09", false},
		{"no year", held, "desktop", program.Free, "2020-01-14", false},
		// rule K4: what was covered before the day on which a license ended stays.
		{"released before the end", held, "server", 1, "2020-05-12", true},
		{"released on the last day", held, "server", 1, "2020-06-09", true},
		{"released after the end", held, "server", 1, "2020-06-10", false},
		{"hosted year with a hosted license", held, "server", 4, "2023-02-14", true}, // rule L3
		{"zero set", license.Set{}, "desktop", 2, "2021-02-09", false},
	} {
		if got := tc.set.Covers(tc.track, tc.year, day(tc.released)); got != tc.want {
			t.Errorf("%s: %v", tc.what, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { held.Covers("server", 4, day("2023-02-14")) }); n != 0 {
		t.Errorf("Covers allocates %v times", n)
	}
}

// rule K3: keys of several years stand side by side, whatever the state of each.
func TestYearsSideBySide(t *testing.T) {
	w := newWorld(t)
	one, three := w.Sign(t, w.Claims(t, w.device, "desktop", 1)), w.Sign(t, w.Claims(t, w.device, "desktop", 3))
	for _, tokens := range [][]license.Token{{one, three}, {three, one}, {one, "broken", three}} {
		set, _ := license.Verify(w.verifier(), tokens)
		if !set.Covers("desktop", 1, day("2020-02-11")) || !set.Covers("desktop", 3, day("2022-02-08")) || set.Covers("desktop", 2, day("2021-02-09")) {
			t.Errorf("%d tokens cover %v", len(tokens), set.Grants())
		}
	}
}

func TestHosted(t *testing.T) {
	w := newWorld(t)
	c := w.Claims(t, w.device, "server", 4)
	expires := c.ExpiresAt.Time()
	bought := w.Claims(t, w.device, "server", 3)
	bought.Year, bought.ActivationID = 4, c.ActivationID
	free := w.Claims(t, w.device, "server", 1)
	free.Kind, free.LastFive, free.Seat, free.ExpiresAt = license.Hosted, "", 0, c.ExpiresAt
	for _, tc := range []struct {
		what   string
		claims license.Claims
		now    time.Time
		want   problem.Code
	}{
		{"before its end", c, expires.Add(-time.Second), ""},
		{"at its end", c, expires, license.Expired},
		{"without a clock", c, time.Time{}, license.Expired},
		{"bought, for a year of the cloud", bought, expires, license.HostedOnly}, // rule L3
		{"hosted, for an ordinary year", free, expires.Add(-time.Second), ""},    // rule L3
	} {
		v := w.verifier()
		v.Now = tc.now
		if got := verdict(v, w.Sign(t, tc.claims)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
	// rule K4: a bought license asks no clock.
	v := w.verifier()
	v.Now = time.Time{}
	if got := verdict(v, w.Sign(t, w.Claims(t, w.device, "desktop", 1))); got != "" {
		t.Errorf("bought license without a clock: %q", got)
	}
}

func TestAttackTampered(t *testing.T) {
	w := newWorld(t)
	token := string(w.Sign(t, w.Claims(t, w.device, "desktop", 1)))
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Replace(claims, []byte(`"customer":"Contoso"`), []byte(`"customer":"Fabrikam"`), 1)
	if bytes.Equal(later, claims) {
		t.Fatal("nothing changed")
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(later)
	if got := verdict(w.verifier(), license.Token(strings.Join(parts, "."))); got != license.Signature {
		t.Errorf("changed claims: %q", got)
	}
	// No single changed character of a token makes another token that counts.
	for i := range token {
		for _, c := range []byte("Aq.=-\n") {
			changed := []byte(token)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			if got := verdict(w.verifier(), license.Token(changed)); got == "" || got == "neither" || got == "both" {
				t.Fatalf("byte %d as %q: %q", i, c, got)
			}
		}
	}
}

func TestAttackOtherDevice(t *testing.T) {
	w := newWorld(t)
	there := licensetest.NewDevice("there")
	for what, change := range map[string]func(*license.Claims){
		"both":        func(c *license.Claims) { c.Fingerprint, c.PublicKey = there.Fingerprint, there.PublicKey },
		"key":         func(c *license.Claims) { c.PublicKey = there.PublicKey },
		"fingerprint": func(c *license.Claims) { c.Fingerprint = there.Fingerprint },
	} {
		c := w.Claims(t, w.device, "desktop", 1)
		change(&c)
		if got := verdict(w.verifier(), w.Sign(t, c)); got != license.OtherDevice {
			t.Errorf("other %s: %q", what, got)
		}
	}
}

func TestAttackOtherProgram(t *testing.T) {
	w := newWorld(t)
	// The vendor's other program has the same tracks and ids; its key is in keys.json too.
	other := licensetest.Key("license of the other program")
	keys, err := license.NewKeys("contoso", append(w.Keys.All(), license.VerificationKey{
		ID: "other-1", Use: license.UseLicense, Program: "server-2008", Epoch: 1,
		Public: license.KeyBytes(other.Public().(ed25519.PublicKey)),
	})...)
	if err != nil {
		t.Fatal(err)
	}
	v := w.verifier()
	v.Keys = keys

	c := w.Claims(t, w.device, "desktop", 1)
	crossed, err := license.Sign(c, "other-1", other)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(v, crossed); got != license.KeyNotTrusted {
		t.Errorf("the other program's key on this program's license: %q", got)
	}
	c.Program = "server-2008"
	theirs, err := license.Sign(c, "other-1", other)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(v, theirs); got != license.OtherProgram {
		t.Errorf("the other program's license: %q", got)
	}
	c.Program, c.Authority = "windows-7", "fabrikam"
	if got := verdict(v, w.Sign(t, c)); got != license.OtherAuthority {
		t.Errorf("another authority's license: %q", got)
	}
}

// Whoever runs the server, or stands between, can sign with any key: only keys
// of trust/keys.json count.
func TestAttackKeyNotListed(t *testing.T) {
	w := newWorld(t)
	rogue := licensetest.Key("rogue")
	c := w.Claims(t, w.device, "desktop", 1)
	for kid, want := range map[license.KeyID]problem.Code{
		"rogue-1":   license.KeyNotTrusted,
		"license-1": license.Signature,     // the right name, another key
		"access-1":  license.KeyNotTrusted, // listed, for another use
	} {
		token, err := license.Sign(c, kid, rogue)
		if err != nil {
			t.Fatal(err)
		}
		if got := verdict(w.verifier(), token); got != want {
			t.Errorf("%s: %q, want %q", kid, got, want)
		}
	}
	// The download gate's own key, which is online everywhere, signs no license.
	token, err := license.Sign(c, "access-1", w.Access)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(w.verifier(), token); got != license.KeyNotTrusted {
		t.Errorf("access key: %q", got)
	}
	v := w.verifier()
	v.Keys = license.Keys{}
	if got := verdict(v, w.Sign(t, c)); got == "" {
		t.Error("no keys trust a license")
	}
}

func TestAttackHeader(t *testing.T) {
	w := newWorld(t)
	c := w.Claims(t, w.device, "desktop", 1)
	sign := by(w.License)
	good := header{"alg": "EdDSA", "typ": license.Type, "kid": "license-1"}
	with := func(name string, value any) header {
		h := header{name: value}
		for k, v := range good {
			if _, ok := h[k]; !ok {
				h[k] = v
			}
		}
		return h
	}
	public := w.License.Public().(ed25519.PublicKey)
	rogue := licensetest.Key("rogue")
	jwk := header{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(rogue.Public().(ed25519.PublicKey))}
	hs256 := func(message []byte) []byte {
		h := hmac.New(sha256.New, public)
		h.Write(message)
		return h.Sum(nil)
	}
	hs64 := func(message []byte) []byte { return append(hs256(message), hs256(message)...) }
	for _, tc := range []struct {
		what   string
		header any
		sign   func([]byte) []byte
		want   problem.Code
	}{
		{"as it should be", good, sign, ""},
		{"in another order, with space", `{ "typ":"esu-license+jwt", "kid":"license-1", "alg":"EdDSA" }`, sign, ""},
		{"alg none", with("alg", "none"), func([]byte) []byte { return nil }, license.Malformed},
		{"alg none, signed", with("alg", "none"), sign, license.Malformed},
		{"alg HS256 under the public key", with("alg", "HS256"), hs256, license.Malformed},
		{"alg EdDSA, MAC under the public key", good, hs64, license.Signature},
		{"alg ES256", with("alg", "ES256"), sign, license.Malformed},
		{"alg in lower case", with("alg", "eddsa"), sign, license.Malformed},
		{"alg a list", with("alg", []string{"EdDSA"}), sign, license.Malformed},
		{"no alg", `{"typ":"esu-license+jwt","kid":"license-1"}`, sign, license.Malformed},
		{"alg twice", `{"alg":"EdDSA","alg":"EdDSA","typ":"esu-license+jwt","kid":"license-1"}`, sign, license.Malformed},
		{"ALG", `{"ALG":"EdDSA","typ":"esu-license+jwt","kid":"license-1"}`, sign, license.Malformed},
		{"typ of an access token", with("typ", license.AccessType), sign, license.WrongType},
		{"typ of an activation request", with("typ", "esu-activation+jwt"), sign, license.WrongType},
		{"typ JWT", with("typ", "JWT"), sign, license.WrongType},
		{"typ in upper case", with("typ", "ESU-LICENSE+JWT"), sign, license.WrongType},
		{"typ with application/", with("typ", "application/"+license.Type), sign, license.WrongType},
		{"no typ", `{"alg":"EdDSA","kid":"license-1"}`, sign, license.WrongType},
		{"crit", with("crit", []string{"exp"}), sign, license.Malformed},
		{"crit, empty", with("crit", []string{}), sign, license.Malformed},
		{"b64", with("b64", true), sign, license.Malformed},
		{"b64 false", `{"alg":"EdDSA","typ":"esu-license+jwt","kid":"license-1","b64":false,"crit":["b64"]}`, sign, license.Malformed},
		{"jwk beside kid", with("jwk", jwk), by(rogue), license.Malformed},
		{"jwk for kid", header{"alg": "EdDSA", "typ": license.Type, "jwk": jwk}, by(rogue), license.Malformed},
		{"jku", with("jku", "https://example.net/keys"), sign, license.Malformed},
		{"x5c", with("x5c", []string{}), sign, license.Malformed},
		{"cty", with("cty", "JWT"), sign, license.Malformed},
		{"no kid", header{"alg": "EdDSA", "typ": license.Type}, sign, license.Malformed},
		{"kid null", with("kid", nil), sign, license.Malformed},
		{"kid a path", with("kid", "../license-1"), sign, license.KeyNotTrusted},
		{"header null", "null", sign, license.WrongType},
		{"header a list", "[]", sign, license.Malformed},
	} {
		if got := verdict(w.verifier(), forge(tc.header, c, tc.sign)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}

// An access token that the right license key signed is still no license, and the
// reverse.
func TestAttackTypeConfusion(t *testing.T) {
	w := newWorld(t)
	a := w.pass()
	token, err := license.SignAccess(a, "license-1", w.License)
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(w.verifier(), token); got != license.WrongType {
		t.Errorf("access token as a license: %q", got)
	}
	_, _, err = license.VerifyAccess(w.gate(), w.Sign(t, w.Claims(t, w.device, "desktop", 1)))
	if got := problem.CodeOf(err); got != license.WrongType {
		t.Errorf("license as an access token: %q", got)
	}
}

func TestAttackEncoding(t *testing.T) {
	w := newWorld(t)
	c := w.Claims(t, w.device, "desktop", 1)
	token := string(w.Sign(t, c))
	parts := strings.Split(token, ".")
	// The last symbol of 64 bytes carries two bits; the other four are to be 0.
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", token[len(token)-1])
	stray := token[:len(token)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1])
	for what, bad := range map[string]string{
		"empty":                     "",
		"two parts":                 parts[0] + "." + parts[1],
		"four parts":                token + ".",
		"encrypted":                 token + "..",
		"JSON form":                 `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"stray bits at the end":     stray,
		"padding":                   token + "==",
		"line break":                token[:20] + "\n" + token[20:],
		"line break at the end":     token + "\r\n",
		"space before":              " " + token,
		"standard alphabet":         parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 43),
		"short signature":           token[:len(token)-4],
		"no signature":              parts[0] + "." + parts[1] + ".",
		"detached claims":           parts[0] + ".." + parts[2],
		"more than is ever read":    token + strings.Repeat("A", license.MaxToken),
		"claims no JSON":            string(forge(header{"alg": "EdDSA", "typ": license.Type, "kid": "license-1"}, "{", by(w.License))),
		"claims with data after":    string(forge(header{"alg": "EdDSA", "typ": license.Type, "kid": "license-1"}, "{}{}", by(w.License))),
		"claims with a year of 1.5": string(forge(header{"alg": "EdDSA", "typ": license.Type, "kid": "license-1"}, `{"year":1.5}`, by(w.License))),
	} {
		if got := verdict(w.verifier(), license.Token(bad)); got != license.Malformed {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestClaimsOfAnotherForm(t *testing.T) {
	w := newWorld(t)
	good := func() map[string]any {
		text, err := json.Marshal(w.Claims(t, w.device, "desktop", 1))
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	h := header{"alg": "EdDSA", "typ": license.Type, "kid": "license-1"}
	for _, tc := range []struct {
		member string
		value  any // nil: left out
		want   problem.Code
	}{
		{"later", "a member that this reader does not know", ""},
		{"Year", 3, ""}, // not "year"
		{"jti", nil, license.Malformed},
		{"iss", nil, license.Malformed},
		{"program", "trust", license.Malformed},
		{"track", nil, license.Malformed},
		{"track", "laptop", license.YearUnknown},
		{"year", 0, license.Malformed},
		{"year", -1, license.Malformed},
		{"year", 257, license.Malformed}, // 1 in eight bits
		{"year", 2, license.YearUnknown}, // the activation id is of year 1
		{"activationId", "aaaaaaaa-0000-4000-8000-000000000009", license.YearUnknown},
		{"activationId", "AAAAAAAA-0000-4000-8000-000000000001", license.Malformed},
		{"fingerprint", nil, license.Malformed},
		{"fingerprint", strings.ToUpper(w.device.Fingerprint.String()), license.Malformed},
		{"publicKey", nil, license.Malformed},
		{"publicKey", w.device.PublicKey.String() + "=", license.Malformed},
		{"customer", "Con\x1b[2Jtoso", license.Malformed},
		{"lastFive", "AEIOU", license.Malformed},
		{"seat", 0, license.Malformed},
		{"kind", "telepathy", license.Malformed},
		{"kind", "hosted", license.Malformed},
		{"exp", 4102444800, license.Malformed}, // a bought license has no end
		{"iat", nil, license.Malformed},
	} {
		m := good()
		if m[tc.member] = tc.value; tc.value == nil {
			delete(m, tc.member)
		}
		if got := verdict(w.verifier(), forge(h, m, by(w.License))); got != tc.want {
			t.Errorf("%s = %v: %q, want %q", tc.member, tc.value, got, tc.want)
		}
	}
	twice, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(w.verifier(), forge(h, `{"year":3,`+string(twice[1:]), by(w.License))); got != license.Malformed {
		t.Errorf("year twice: %q", got)
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	w := newWorld(t)
	for what, change := range map[string]func(*license.Claims){
		"no installation": func(c *license.Claims) { c.Fingerprint = license.Fingerprint{} },
		"no seat":         func(c *license.Claims) { c.Seat = 0 },
		"no kind":         func(c *license.Claims) { c.Kind = "" },
		"an end":          func(c *license.Claims) { c.ExpiresAt = c.IssuedAt + 1 },
		"year 16":         func(c *license.Claims) { c.Year = program.MaxYear + 1 },
	} {
		c := w.Claims(t, w.device, "desktop", 1)
		change(&c)
		if token, err := license.Sign(c, "license-1", w.License); err == nil {
			t.Errorf("%s: %s", what, token)
		}
	}
	c := w.Claims(t, w.device, "desktop", 1)
	if _, err := license.Sign(c, "", w.License); err == nil {
		t.Error("signed without a key id")
	}
	if _, err := license.Sign(c, "license-1", nil); err == nil {
		t.Error("signed without a key")
	}
}

func TestFingerprint(t *testing.T) {
	// printf 'ESU-FP-V1' and 32 bytes 0x01 and 32 bytes 0x02 | sha256sum | cut -c1-20
	key, identity := license.PublicKey(bytes.Repeat([]byte{1}, 32)), [32]byte(bytes.Repeat([]byte{2}, 32))
	const want = "530bfc7bc842add52c1c"
	if got := license.FingerprintOf(key, identity).String(); got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
	// rule K7: a new key or a new identity is a new installation.
	key[31]++
	if license.FingerprintOf(key, identity).String() == want {
		t.Error("another key has the same fingerprint")
	}
	key[31]--
	identity[0]++
	if license.FingerprintOf(key, identity).String() == want {
		t.Error("another identity has the same fingerprint")
	}
}
