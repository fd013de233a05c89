package license

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/openesu/openesu/license/jws"
)

// PublicKey is an Ed25519 public key. Its text is base64url without padding, as
// the x of a JWK.
type PublicKey [ed25519.PublicKeySize]byte

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// Ed25519 is the key as the standard library wants it.
func (k PublicKey) Ed25519() ed25519.PublicKey { return k[:] }

func (k PublicKey) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// MarshalText returns what String returns.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String writes, and only that.
func (k *PublicKey) UnmarshalText(text []byte) error {
	b, err := jws.Base64(string(text))
	if err != nil || len(b) != len(k) {
		return errors.New("not a public key: 32 bytes in base64url")
	}
	*k = PublicKey(b)
	return nil
}

// Fingerprint names an installation: it is what seats are counted by, on every
// road. Its text is 20 lower-case hexadecimal digits.
type Fingerprint [10]byte

// FingerprintOf is the first 80 bits of SHA-256 over "ESU-FP-V1", the device's
// public key and the salted hash of the operating system's identity. A new key
// or a new identity is a new installation (rule K7); changed disks and cards are
// not.
func FingerprintOf(key PublicKey, identity [32]byte) Fingerprint {
	message := make([]byte, 0, 9+len(key)+len(identity))
	message = append(message, "ESU-FP-V1"...)
	message = append(message, key[:]...)
	message = append(message, identity[:]...)
	sum := sha256.Sum256(message)
	return Fingerprint(sum[:10])
}

// IsZero reports whether f names nothing.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText returns what String returns.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what String writes, and only that.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	var read Fingerprint
	if len(text) != hex.EncodedLen(len(read)) {
		return errors.New("not a fingerprint: 20 hexadecimal digits")
	}
	if _, err := hex.Decode(read[:], text); err != nil {
		return fmt.Errorf("not a fingerprint: %w", err)
	}
	if read.String() != string(text) {
		return errors.New("not a fingerprint: upper-case digits")
	}
	*f = read
	return nil
}

// Installation is one device key on one installed operating system.
type Installation struct {
	Fingerprint Fingerprint
	PublicKey   PublicKey
}

// InstallationOf is the installation that a key and an identity make.
func InstallationOf(key PublicKey, identity [32]byte) Installation {
	return Installation{FingerprintOf(key, identity), key}
}
