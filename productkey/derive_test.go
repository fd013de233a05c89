package productkey_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/openesu/openesu/productkey"
)

func TestKnownDerivations(t *testing.T) {
	for _, v := range readVectors(t).Keys {
		k := mustParse(t, v.Key)
		if got := k.Ref(); got != v.Ref {
			t.Errorf("%s: ref %s, want %s", v.Key, got, v.Ref)
		}
		if got := k.MAC().Reveal(); !bytes.Equal(got[:], unhex(t, v.MAC)) {
			t.Errorf("%s: mac %x, want %s", v.Key, got, v.MAC)
		}
		if got := k.Proof([]byte(v.Message)); got != v.Proof {
			t.Errorf("%s: proof %s, want %s", v.Key, got, v.Proof)
		}
	}
}

func TestStoredMACVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, tag, random := anyKey(t)
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		proof := k.Proof(message)

		stored := productkey.NewMAC(k.MAC().Reveal())
		if stored != k.MAC() {
			t.Fatal("a stored MAC differs from the one it was")
		}
		if !stored.Verify(message, proof) {
			t.Fatal("a good proof is refused")
		}
		if stored.Verify(append(message, 0), proof) {
			t.Fatal("the proof of another message is taken")
		}
		bad := proof
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if stored.Verify(message, bad) {
			t.Fatal("a changed proof is taken")
		}
		random[11] ^= 1
		other, err := productkey.New(tag, random)
		if err != nil {
			t.Fatal(err)
		}
		if stored.Verify(message, other.Proof(message)) || other.Ref() == k.Ref() {
			t.Fatal("another key passes for this one")
		}
	})
}

func TestTextForms(t *testing.T) {
	type claims struct {
		Ref   productkey.Ref   `json:"ref"`
		Proof productkey.Proof `json:"proof"`
	}
	v := readVectors(t).Keys[4]
	k := mustParse(t, v.Key)
	want := claims{k.Ref(), k.Proof([]byte("m"))}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), `{"ref":"f0239df0bbd9922b1c8dd3456c62a9ef","proof":"`) {
		t.Errorf("claims are written as %s", text)
	}
	var got claims
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}

	good := k.Ref().String()
	for _, bad := range []string{"", good[:31], good + "0", strings.ToUpper(good), good[:31] + "g", good[:30] + "F0", " " + good} {
		if r, err := productkey.ParseRef(bad); err == nil || r != (productkey.Ref{}) {
			t.Errorf("ParseRef(%q) = %s, %v", bad, r, err)
		}
		p := want.Proof
		if err := p.UnmarshalText([]byte(bad + bad)); err == nil || p != want.Proof {
			t.Errorf("a proof was read from %q", bad+bad)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, v := range readVectors(f).Keys {
		f.Add(v.Ref.String())
	}
	f.Add("890031DF92881cf14e1f36b0854737ec")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := productkey.ParseRef(text); err == nil && r.String() != text {
			t.Fatalf("ParseRef(%q) = %s: a second text for the same reference", text, r)
		}
	})
}

// Whatever prints, logs or marshals a key or a MAC, directly or in a value around
// it, shows at most the last five symbols. The needles are what each verb would
// show of the bytes that are kept secret.
func TestNothingShowsASecret(t *testing.T) {
	type around struct {
		Key  productkey.Key
		MAC  productkey.MAC
		Keys map[productkey.Key]*productkey.Key
		key  productkey.Key // fmt asks no method of these two
		mac  productkey.MAC
	}
	v := readVectors(t).Keys[4]
	k := mustParse(t, v.Key)
	all := around{k, k.MAC(), map[productkey.Key]*productkey.Key{k: &k}, k, k.MAC()}
	m, secret := [14]byte(unhex(t, v.M)), k.MAC().Reveal()
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%U", "% x", "%#x", "%c", "%t", "%e", "%p"}

	var needles []string
	for _, verb := range verbs {
		for _, form := range []string{fmt.Sprintf(verb, m), fmt.Sprintf(verb, secret), fmt.Sprintf(verb, string(m[:])), fmt.Sprintf(verb, string(secret[:]))} {
			if verb != "%p" { // the address of a copy
				needles = append(needles, form)
			}
		}
	}
	needles = append(needles, strings.Split(v.Key, "-")[:4]...)

	outputs := map[string]string{}
	for _, verb := range verbs {
		for name, value := range map[string]any{"key": k, "mac": k.MAC(), "pointer": &k, "slice": []productkey.Key{k}, "struct": all, "pointer to struct": &all} {
			outputs[verb+" of "+name] = fmt.Sprintf(verb, value)
		}
	}
	var log bytes.Buffer
	for name, handler := range map[string]slog.Handler{"slog text": slog.NewTextHandler(&log, nil), "slog json": slog.NewJSONHandler(&log, nil)} {
		log.Reset()
		slog.New(handler).Info("key", "key", k, "mac", k.MAC(), "all", all, slog.Group("in", "key", &k))
		outputs[name] = log.String()
		if !strings.Contains(log.String(), "*****-"+k.LastFive()) {
			t.Errorf("%s does not name the key: %s", name, log.String())
		}
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
		for _, value := range []any{k, k.MAC()} {
			text, err := marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			outputs[fmt.Sprintf("%s of %T", name, value)] = string(text)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	outputs["json of struct"] = string(text)
	outputs["error"] = fmt.Errorf("install %v: %w", k, errors.New("no")).Error()
	outputs["panic"] = func() (text string) {
		defer func() { text = fmt.Sprint(recover()) }()
		panic(k)
	}()

	for name, output := range outputs {
		for _, needle := range needles {
			if strings.Contains(output, needle) {
				t.Errorf("%s shows %q: %s", name, needle, output)
				break
			}
		}
	}
	for verb, want := range map[string]string{
		"%v": "*****-*****-*****-*****-TDQPD", "%#v": "*****-*****-*****-*****-TDQPD", "%x": "*****-*****-*****-*****-TDQPD",
		"%q": `"*****-*****-*****-*****-TDQPD"`, "%-31s|": "*****-*****-*****-*****-TDQPD  |",
	} {
		if got := fmt.Sprintf(verb, k); got != want {
			t.Errorf("%s prints %s, want %s", verb, got, want)
		}
	}
	if got := fmt.Sprint(k.MAC()); got != "(secret)" {
		t.Errorf("a MAC prints as %s", got)
	}
}

func BenchmarkProof(b *testing.B) {
	k := mustParse(b, readVectors(b).Keys[4].Key)
	message := make([]byte, 600) // about one activation request
	b.ReportAllocs()
	for b.Loop() {
		k.Proof(message)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := mustParse(b, readVectors(b).Keys[4].Key)
	message := make([]byte, 600)
	mac, proof := k.MAC(), k.Proof(message)
	b.ReportAllocs()
	for b.Loop() {
		if !mac.Verify(message, proof) {
			b.Fatal("refused")
		}
	}
}
