package frontdoor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Nonces gives nonces and knows its own again, without keeping any: each is the
// second in which it was given and a MAC over that. One may be used again while
// it lives, which gains nobody anything: what it answers is signed by the
// device, and the token that it buys could be asked for again anyway.
type Nonces struct {
	key  [32]byte
	life time.Duration
}

// NewNonces makes nonces under a secret key that live that long.
func NewNonces(key [32]byte, life time.Duration) *Nonces { return &Nonces{key, life} }

const nonceSize = 8 + sha256.Size

// New is a nonce for this moment.
func (n *Nonces) New(now time.Time) string {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(now.Unix())) //nolint:gosec // after 1970
	return base64.RawURLEncoding.EncodeToString(append(at[:], n.mac(at[:])...))
}

// Valid reports whether the nonce was given here, and not too long ago.
func (n *Nonces) Valid(nonce string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != nonceSize || !hmac.Equal(raw[8:], n.mac(raw[:8])) {
		return false
	}
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0)) //nolint:gosec // ours, by the MAC
	return age >= -30*time.Second && age <= n.life
}

func (n *Nonces) mac(at []byte) []byte {
	m := hmac.New(sha256.New, n.key[:])
	m.Write([]byte("esu-nonce-v1"))
	m.Write(at)
	return m.Sum(nil)
}
