package license_test

import (
	"crypto/ed25519"
	"reflect"
	"strings"
	"testing"

	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
)

// Whatever claims are under a good signature, what is taken is what Sign would
// sign, and is for this installation.
func FuzzLicense(f *testing.F) {
	w := newWorld(f)
	token := w.Sign(f, w.Claims(f, w.device, "desktop", 1))
	parts := strings.Split(string(token), ".")
	for i := range 2 {
		b, err := jws.Base64(parts[i])
		if err != nil {
			f.Fatal(err)
		}
		parts[i] = string(b)
	}
	f.Add(parts[0], parts[1])
	f.Add(`{"alg":"none","typ":"esu-license+jwt","kid":"license-1"}`, parts[1])
	f.Fuzz(func(t *testing.T, header, claims string) {
		v := w.verifier()
		set, rejected := license.Verify(v, []license.Token{forge(header, claims, by(w.License))})
		if set.Empty() == (len(rejected) == 0) {
			t.Fatal("neither taken nor rejected")
		}
		for _, c := range set.Claims() {
			if c.Installation() != v.Installation || c.Program != w.Program.ID {
				t.Fatalf("taken: %+v", c)
			}
			again, _ := license.Verify(v, []license.Token{w.Sign(t, c)})
			if !reflect.DeepEqual(again.Claims(), set.Claims()) {
				t.Fatalf("%+v is signed as %+v", c, again.Claims())
			}
		}
	})
}

func FuzzToken(f *testing.F) {
	w := newWorld(f)
	token := w.Sign(f, w.Claims(f, w.device, "desktop", 1))
	f.Add(string(token))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		got := verdict(w.verifier(), license.Token(text))
		if got == "neither" || got == "both" || got == "" && text != string(token) {
			t.Fatalf("%q", got) // nobody else has the key
		}
	})
}

func FuzzAccessRequest(f *testing.F) {
	w := newWorld(f)
	const header = `{"alg":"EdDSA","typ":"esu-access-request+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":"KEY"}}`
	withKey := strings.Replace(header, "KEY", w.device.PublicKey.String(), 1)
	f.Add(withKey, `{"nonce":"n","aud":"contoso","program":"windows-7","fingerprint":"00000000000000000001","licenses":["a.b.c"]}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		r, err := license.ParseAccessRequest(string(forge(header, claims, by(w.device.Key))), "contoso")
		if err != nil {
			return
		}
		if r.PublicKey != w.device.PublicKey || r.Audience != "contoso" {
			t.Fatalf("taken: %+v", r)
		}
		if _, err := license.NewAccessRequest(*r, jws.InMemory(w.device.Key)); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

func BenchmarkVerifyOne(b *testing.B) {
	w := newWorld(b)
	v, tokens := w.verifier(), []license.Token{w.Sign(b, w.Claims(b, w.device, "desktop", 1))}
	b.ReportAllocs()
	for b.Loop() {
		if set, _ := license.Verify(v, tokens); set.Empty() {
			b.Fatal("refused")
		}
	}
}

func BenchmarkBareEd25519(b *testing.B) {
	w := newWorld(b)
	token := string(w.Sign(b, w.Claims(b, w.device, "desktop", 1)))
	dot := strings.LastIndexByte(token, '.')
	message := []byte(token[:dot])
	signature, err := jws.Base64(token[dot+1:])
	if err != nil {
		b.Fatal(err)
	}
	public := w.License.Public().(ed25519.PublicKey)
	b.ReportAllocs()
	for b.Loop() {
		if !ed25519.Verify(public, message, signature) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCovers(b *testing.B) {
	w := newWorld(b)
	set, _ := license.Verify(w.verifier(), []license.Token{
		w.Sign(b, w.Claims(b, w.device, "desktop", 1)), w.Sign(b, w.Claims(b, w.device, "desktop", 2))})
	released := day("2021-02-09")
	for b.Loop() {
		if !set.Covers("desktop", 2, released) {
			b.Fatal("refused")
		}
	}
}
