package jws_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/openesu/openesu/license/jws"
)

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
}

type note struct {
	Text string `json:"text"`
}

func TestSignAndOpen(t *testing.T) {
	text, err := jws.Sign("note+jwt", "key-1", note{"a < b"}, jws.InMemory(key(1)))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.Open(text, "note+jwt", 1000)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := token.Verified(key(1).Public().(ed25519.PublicKey))
	var got note
	if err := jws.Decode(payload, &got); err != nil || !ok || token.KeyID != "key-1" || got.Text != "a < b" {
		t.Errorf("%v %v %+v %s", ok, err, token, payload)
	}
	for what, public := range map[string]ed25519.PublicKey{
		"another key": key(2).Public().(ed25519.PublicKey), "half a key": make([]byte, 16), "no key": nil,
	} {
		if payload, ok := token.Verified(public); ok || payload != nil {
			t.Errorf("%s: verified", what)
		}
	}
	var other *jws.TypeError
	if _, err := jws.Open(text, "letter+jwt", 1000); !errors.As(err, &other) || other.Got != "note+jwt" || other.Want != "letter+jwt" {
		t.Errorf("another kind: %v", err)
	}
	if _, err := jws.OpenSelfSigned(text, "note+jwt", 1000); err == nil {
		t.Error("a key id passes for a key")
	}
	if _, err := jws.Open(text, "note+jwt", len(text)-1); err == nil {
		t.Error("longer than allowed")
	}
}

func TestSelfSign(t *testing.T) {
	text, err := jws.SelfSign("note+jwt", note{"x"}, jws.InMemory(key(1)))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.OpenSelfSigned(text, "note+jwt", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !token.Key.Equal(key(1).Public()) {
		t.Errorf("carries %x", token.Key)
	}
	if _, ok := token.Verified(token.Key); !ok {
		t.Error("not signed by the key that it carries")
	}
	if _, err := jws.Open(text, "note+jwt", 1000); err == nil {
		t.Error("a key passes for a key id")
	}
}

func TestSignerFails(t *testing.T) {
	locked := errors.New("the security key is locked")
	signer := jws.Signer{Public: key(1).Public().(ed25519.PublicKey), Sign: func([]byte) ([]byte, error) { return nil, locked }}
	if _, err := jws.Sign("note+jwt", "key-1", note{}, signer); !errors.Is(err, locked) {
		t.Errorf("%v", err)
	}
	if _, err := jws.SelfSign("note+jwt", note{}, jws.Signer{}); err == nil {
		t.Error("signed without a key")
	}
}

// What Decode takes means the same to the standard library, which is laxer.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"text":"x","n":[1,{"a":null}]}`))
	f.Add([]byte(`{"text":"x","text":"y"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var ours map[string]note
		if jws.Decode(text, &ours) != nil {
			return
		}
		var theirs map[string]note
		if err := json.Unmarshal(text, &theirs); err != nil {
			t.Fatalf("only here: %v", err)
		}
		for name, n := range ours {
			if n.Text != "" && !reflect.DeepEqual(theirs[name], n) {
				t.Fatalf("%q: %v and %v", name, n, theirs[name])
			}
		}
	})
}
