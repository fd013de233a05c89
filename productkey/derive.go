package productkey

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unique"
)

// The info texts of the derivations. Changing one makes every key unknown.
const (
	refInfo = "esu-key-ref-v1"
	macInfo = "esu-key-mac-v1"
)

// Ref names a key without telling it: requests carry it and stores find keys by
// it. It is no secret. Its text is 32 lower-case hexadecimal digits.
type Ref [16]byte

// Ref derives the key's reference.
func (k Key) Ref() Ref { return Ref(k.derive(refInfo, len(Ref{}))) }

// ParseRef reads what String writes, and only that. Its error is for the decoder
// of the document that carries the reference.
func ParseRef(text string) (Ref, error) {
	var r Ref
	err := r.UnmarshalText([]byte(text))
	return r, err
}

func (r Ref) String() string { return hex.EncodeToString(r[:]) }

// MarshalText returns what String returns.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads as ParseRef does, and leaves r as it was on an error.
func (r *Ref) UnmarshalText(text []byte) error {
	if err := decodeHex(r[:], text); err != nil {
		return fmt.Errorf("read key reference: %w", err)
	}
	return nil
}

// MAC is the secret derived from a key that makes and checks proofs. Who stores it
// can do both without the key. MACs compare with ==; the zero value is no MAC and
// panics when used.
type MAC struct {
	secret unique.Handle[string] // 32 bytes
}

// MAC derives the key's secret for proofs.
func (k Key) MAC() MAC {
	return NewMAC([32]byte(k.derive(macInfo, 32)))
}

// NewMAC returns the MAC that Reveal gave, from where it was stored.
func NewMAC(secret [32]byte) MAC { return MAC{unique.Make(string(secret[:]))} }

// Reveal returns the secret, for the sealed store it is meant for.
func (m MAC) Reveal() [32]byte { return [32]byte([]byte(m.secret.Value())) }

// Sum returns HMAC-SHA-256 of message.
func (m MAC) Sum(message []byte) Proof {
	h := hmac.New(sha256.New, []byte(m.secret.Value()))
	h.Write(message)
	return Proof(h.Sum(nil))
}

// Verify reports whether proof is Sum of message. It takes the same time wherever
// they differ.
func (m MAC) Verify(message []byte, proof Proof) bool {
	want := m.Sum(message)
	return hmac.Equal(want[:], proof[:])
}

// String returns a fixed text: no part of the secret is shown.
func (m MAC) String() string { return "(secret)" }

// Proof shows for one message that its maker holds the key. It is no secret. Its
// text is 64 lower-case hexadecimal digits.
type Proof [32]byte

// Proof returns HMAC-SHA-256 of message under the key's MAC.
func (k Key) Proof(message []byte) Proof { return k.MAC().Sum(message) }

func (p Proof) String() string { return hex.EncodeToString(p[:]) }

// MarshalText returns what String returns.
func (p Proof) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String writes, and only that; on an error it leaves p
// as it was.
func (p *Proof) UnmarshalText(text []byte) error {
	if err := decodeHex(p[:], text); err != nil {
		return fmt.Errorf("read proof: %w", err)
	}
	return nil
}

// derive is HKDF-SHA-256 over M without salt.
func (k Key) derive(info string, size int) []byte {
	out, err := hkdf.Key(sha256.New, []byte(k.message.Value()), nil, info, size)
	if err != nil {
		panic("productkey: " + err.Error()) // only for sizes past 8,160 bytes
	}
	return out
}

// decodeHex fills dst from its one text: lower case, exact length. A second text
// for the same bytes would make equal documents look different.
func decodeHex(dst, text []byte) error {
	b := make([]byte, len(dst))
	if len(text) != 2*len(dst) {
		return fmt.Errorf("want %d hexadecimal digits, have %d bytes", 2*len(dst), len(text))
	}
	for i, c := range text {
		if 'A' <= c && c <= 'F' {
			return fmt.Errorf("upper-case digit at byte %d", i)
		}
	}
	if _, err := hex.Decode(b, text); err != nil {
		return err
	}
	copy(dst, b)
	return nil
}
