package activation_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// raw signs a header and claims as they are.
func raw(header, claims string, key ed25519.PrivateKey) string {
	message := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return message + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(message)))
}

func headerOf(d licensetest.Device) string {
	return `{"alg":"EdDSA","jwk":{"crv":"Ed25519","kty":"OKP","x":"` + d.PublicKey.String() + `"},"typ":"esu-activation+jwt"}`
}

// claimsOf are a token's claims as text.
func claimsOf(t testing.TB, token string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRequest(t *testing.T) {
	d, k := licensetest.NewDevice("here"), key(t, tagDesktop1, 1)
	text := token(t, params(d, desktop1, facts("pro", "x64")), k, d)
	r, err := activation.ParseRequest(text, "contoso")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(facts("pro", "x64"), r.Facts); diff != "" {
		t.Error(diff)
	}
	if r.ActivationID != desktop1 || r.Ref != k.Ref() || r.Audience != "contoso" || r.Program != "windows-7" ||
		r.IssuedAt.Time().Year() != 2020 || r.Installation() != d.Installation || r.Fingerprint() != d.Fingerprint {
		t.Errorf("%+v", r)
	}
	if !r.ProvenBy(k.MAC()) {
		t.Error("not proven by its own key")
	}
	if r.ProvenBy(key(t, tagDesktop1, 2).MAC()) {
		t.Error("proven by another key")
	}
	// The key does not travel, nor do the symbols that people name it by.
	for _, secret := range []string{k.Reveal(), strings.ReplaceAll(k.Reveal(), "-", ""), k.LastFive()} {
		if strings.Contains(claimsOf(t, text), secret) {
			t.Errorf("the claims tell %s", secret)
		}
	}
}

// The proof as another implementation makes it: over the RFC 8785 form of the
// claims without proof, whatever the order and spacing in which they travel.
func TestProofByTheBook(t *testing.T) {
	d, k := licensetest.NewDevice("here"), key(t, tagDesktop1, 1)
	without := `{"ref":"` + k.Ref().String() + `", "program":"windows-7","facts":{"program":"windows-7","edition":"pro","arch":"x64"},
		"iat":1581408000,"identity":"` + hex.EncodeToString(d.Identity[:]) + `","aud":"contoso",
		"publicKey":"` + d.PublicKey.String() + `","activationId":"` + string(desktop1) + `"`
	message, err := jcs.Transform([]byte(without + "}"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := activation.ParseRequest(raw(headerOf(d), without+`,"proof":"`+k.Proof(message).String()+`"}`, d.Key), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	if !r.ProvenBy(k.MAC()) {
		t.Error("not proven")
	}
}

// Who reads a request on its way holds a proof, and cannot use it for an
// installation, a year or an authority of his own.
func TestAttackStolenProof(t *testing.T) {
	victim, thief, k := licensetest.NewDevice("victim"), licensetest.NewDevice("thief"), key(t, tagDesktop1, 1)
	seen := claimsOf(t, token(t, params(victim, desktop1, facts("pro", "x64")), k, victim))

	if _, err := activation.ParseRequest(raw(headerOf(thief), seen, thief.Key), "contoso"); problem.CodeOf(err) != activation.RequestMalformed {
		t.Errorf("the claims of one device under the key of another: %v", err)
	}
	identity := hex.EncodeToString(victim.Identity[:])
	mine := strings.NewReplacer(victim.PublicKey.String(), thief.PublicKey.String())
	for what, change := range map[string]*strings.Replacer{
		"his key":       mine,
		"his identity":  strings.NewReplacer(victim.PublicKey.String(), thief.PublicKey.String(), identity, hex.EncodeToString(thief.Identity[:])),
		"another year":  strings.NewReplacer(victim.PublicKey.String(), thief.PublicKey.String(), string(desktop1), string(desktop2)),
		"other facts":   strings.NewReplacer(victim.PublicKey.String(), thief.PublicKey.String(), `"pro"`, `"till"`),
		"another time":  strings.NewReplacer(victim.PublicKey.String(), thief.PublicKey.String(), `"iat":158`, `"iat":159`),
		"another proof": strings.NewReplacer(victim.PublicKey.String(), thief.PublicKey.String(), `"proof":"`, `"proof":"0`),
	} {
		changed := change.Replace(seen)
		if changed == seen {
			t.Fatalf("%s: nothing changed", what)
		}
		r, err := activation.ParseRequest(raw(headerOf(thief), changed, thief.Key), "contoso")
		if err == nil && r.ProvenBy(k.MAC()) {
			t.Errorf("%s: proven", what)
		}
	}
	// The device's own signature stands in the way of everybody else.
	tampered := token(t, params(victim, desktop1, facts("pro", "x64")), k, victim)
	parts := strings.Split(tampered, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(seen, `"pro"`, `"till"`, 1)))
	if _, err := activation.ParseRequest(strings.Join(parts, "."), "contoso"); problem.CodeOf(err) != activation.RequestSignature {
		t.Errorf("tampered: %v", err)
	}
}

func TestRequestRefused(t *testing.T) {
	d, k := licensetest.NewDevice("here"), key(t, tagDesktop1, 1)
	good := claimsOf(t, token(t, params(d, desktop1, facts("pro", "x64")), k, d))
	replace := func(old, with string) string {
		changed := strings.Replace(good, old, with, 1)
		if changed == good {
			t.Fatalf("no %s in %s", old, good)
		}
		return changed
	}
	header := headerOf(d)
	for _, tc := range []struct {
		what, header, claims string
		want                 problem.Code
	}{
		{"as it should be", header, good, ""},
		{"for another authority", header, replace(`"contoso"`, `"fabrikam"`), activation.WrongAudience},
		{"for nobody", header, replace(`"contoso"`, `""`), activation.WrongAudience},
		{"of the type of a license", strings.Replace(header, activation.RequestType, license.Type, 1), good, activation.RequestMalformed},
		{"alg none", strings.Replace(header, "EdDSA", "none", 1), good, activation.RequestMalformed},
		{"alg HS256", strings.Replace(header, "EdDSA", "HS256", 1), good, activation.RequestMalformed},
		{"crit", strings.Replace(header, `{"alg"`, `{"crit":["b64"],"b64":true,"alg"`, 1), good, activation.RequestMalformed},
		{"a key id for a key", `{"alg":"EdDSA","kid":"license-1","typ":"esu-activation+jwt"}`, good, activation.RequestMalformed},
		{"a member of later", header, replace(`{"aud"`, `{"later":1,"aud"`), activation.RequestMalformed},
		{"a member twice", header, replace(`{"aud"`, `{"aud":"fabrikam","aud"`), activation.RequestMalformed},
		{"a member in capitals", header, replace(`"iat"`, `"IAT"`), activation.RequestMalformed},
		{"a member twice inside facts", header, replace(`"arch"`, `"arch":"x86","arch"`), activation.RequestMalformed},
		{"a false flag in facts", header, replace(`"arch"`, `"auditMode":false,"arch"`), activation.RequestMalformed},
		{"capitals in facts", header, replace(`"arch"`, `"Arch"`), activation.RequestMalformed},
		{"unknown fact", header, replace(`"arch"`, `"color":"red","arch"`), activation.RequestMalformed},
		{"unsorted facts", header, replace(`["KB1","KB2"]`, `["KB2","KB1"]`), activation.RequestMalformed},
		{"facts of another program", header, replace(`"program":"windows-7"}`, `"program":"windows-8"}`), activation.RequestMalformed},
		{"no facts", header, replace(`"facts":{`, `"facts":null,"x":{`), activation.RequestMalformed},
		{"null facts", header, `{"aud":"contoso","facts":null}`, activation.RequestMalformed},
		{"no proof", header, replace(`"proof"`, `"prof"`), activation.RequestMalformed},
		{"null proof", header, good[:strings.Index(good, `"proof"`)] + `"proof":null}`, activation.RequestMalformed},
		{"short proof", header, replace(`"proof":"`, `"proof":"","x":"`), activation.RequestMalformed},
		{"reference in capitals", header, replace(k.Ref().String(), strings.ToUpper(k.Ref().String())), activation.RequestMalformed},
		{"no reference", header, replace(k.Ref().String(), strings.Repeat("0", 32)), activation.RequestMalformed},
		{"no identity", header, replace(hex.EncodeToString(d.Identity[:]), strings.Repeat("0", 64)), activation.RequestMalformed},
		{"activation id in braces", header, replace(string(desktop1), "{"+string(desktop1)+"}"), activation.RequestMalformed},
		{"time with a fraction", header, replace(`"iat":1581408000`, `"iat":1581408000.5`), activation.RequestMalformed},
		{"broken text", header, replace(`"pro"`, "\"p\xffo\""), activation.RequestMalformed},
		{"deep", header, strings.Repeat("[", 100_000), activation.RequestMalformed},
		{"a list", header, "[]", activation.RequestMalformed},
		{"null", header, "null", activation.RequestMalformed},
		{"long", header, good + strings.Repeat(" ", activation.MaxRequest), activation.RequestMalformed},
	} {
		_, err := activation.ParseRequest(raw(tc.header, tc.claims, d.Key), "contoso")
		if got := problem.CodeOf(err); got != tc.want {
			t.Errorf("%s: %v, want %q", tc.what, err, tc.want)
		}
		if p, ok := problem.As(err); ok && len(p.Error()) > 1000 {
			t.Errorf("%s: a refusal of %d bytes", tc.what, len(p.Error()))
		}
	}
}

// The largest facts that a device may have still make a request.
func TestLargestRequest(t *testing.T) {
	d, k, f := licensetest.NewDevice("here"), key(t, tagDesktop1, 1), facts("pro", "x64")
	f.Installed = nil
	for i := range 4096 {
		f.Installed = append(f.Installed, program.UpdateID("KB"+strings.Repeat("0", 50)+string(rune('A'+i/676))+string(rune('A'+i/26%26))+string(rune('A'+i%26))))
	}
	r, err := activation.ParseRequest(token(t, params(d, desktop1, f), k, d), "contoso")
	if err != nil || !r.ProvenBy(k.MAC()) {
		t.Error(err)
	}
}

func FuzzRequest(f *testing.F) {
	d, k := licensetest.NewDevice("here"), key(f, tagDesktop1, 1)
	f.Add(headerOf(d), claimsOf(f, token(f, params(d, desktop1, facts("pro", "x64")), k, d)))
	f.Fuzz(func(t *testing.T, header, claims string) {
		r, err := activation.ParseRequest(raw(header, claims, d.Key), "contoso")
		if err != nil {
			if problem.CodeOf(err) == "" {
				t.Fatalf("no problem: %v", err)
			}
			return
		}
		if r.PublicKey != d.PublicKey || r.Facts.Check() != nil {
			t.Fatalf("taken: %+v", r)
		}
		if !r.ProvenBy(k.MAC()) {
			return
		}
		// A proof covers all that was said: nothing else has the same one.
		var m map[string]any
		if err := json.Unmarshal([]byte(claims), &m); err != nil {
			t.Fatal(err)
		}
		m["iat"] = int64(r.IssuedAt) + 1
		later, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if other, err := activation.ParseRequest(raw(header, string(later), d.Key), "contoso"); err != nil || other.ProvenBy(k.MAC()) {
			t.Fatalf("a proof for two requests (%v)", err)
		}
	})
}

func FuzzRequestToken(f *testing.F) {
	d := licensetest.NewDevice("here")
	f.Add(token(f, params(d, desktop1, facts("pro", "x64")), key(f, tagDesktop1, 1), d))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := activation.ParseRequest(text, "contoso")
		if err == nil && r.Facts.Check() != nil || err != nil && problem.CodeOf(err) == "" {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	d := licensetest.NewDevice("here")
	text := token(b, params(d, desktop1, facts("pro", "x64")), key(b, tagDesktop1, 1), d)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := activation.ParseRequest(text, "contoso"); err != nil {
			b.Fatal(err)
		}
	}
}
