package keyring

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

const (
	// SealingKeyMissing: there is no sealing key at the path.
	SealingKeyMissing problem.Code = "keyring.sealing-key-missing"
	// SealingKeyExists: a sealing key would be overwritten.
	SealingKeyExists problem.Code = "keyring.sealing-key-exists"
	// SealingKeyExposed: others than its owner may read the sealing key.
	SealingKeyExposed problem.Code = "keyring.sealing-key-exposed"
	// SealingKeyMalformed: a file holds no sealing key.
	SealingKeyMalformed problem.Code = "keyring.sealing-key-malformed"
	// SealingKeyWrong: the sealing key is not the one of this database.
	SealingKeyWrong problem.Code = "keyring.sealing-key-wrong"
)

const (
	sealingPrefix = "esu-sealing-key-v1:"
	sealingSize   = 32      // bytes
	maxSealing    = 1 << 10 // bytes of the file
)

// NewSealingKey writes a new sealing key to a file that only its owner can read.
// It never replaces one: without its sealing key, a database's keys are lost.
func NewSealingKey(path string, random io.Reader) error {
	var key [sealingSize]byte
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return fmt.Errorf("make sealing key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return problem.New(problem.Conflict, SealingKeyExists, "path", path)
	}
	if err != nil {
		return fmt.Errorf("make sealing key: %w", err)
	}
	_, err = f.WriteString(sealingPrefix + base64.RawURLEncoding.EncodeToString(key[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make sealing key: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// SealingKey reads a sealing key from a file that NewSealingKey wrote, wherever it
// lies now: a file, or a credential that the system hands to the service.
func SealingKey(path string) (tink.AEAD, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.NotFound, SealingKeyMissing, "path", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open sealing key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open sealing key: %w", err)
	}
	// Where there are no such mode bits, the folder's rights protect the file.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, problem.New(problem.Refused, SealingKeyExposed, "path", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSealing))
	if err != nil {
		return nil, fmt.Errorf("open sealing key: %w", err)
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), sealingPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || !ok || len(key) != sealingSize {
		return nil, problem.New(problem.Invalid, SealingKeyMalformed, "path", path)
	}
	return subtle.NewXChaCha20Poly1305(key)
}

// Vault seals and opens small secrets for this database. Each is bound to what it
// is for and to the names of its row: at another row it does not open.
type Vault struct{ aead tink.AEAD }

// keysetID is the row of the keyset that product keys are sealed with.
const keysetID = "product-keys"

// OpenVault opens the database's keyset with the sealing key, and makes one at
// first use. Random is drawn from the system by the library.
func OpenVault(ctx context.Context, d *db.DB, sealing tink.AEAD) (*Vault, error) {
	var sealed []byte
	err := d.Write(ctx, func(tx *db.Tx) (err error) {
		sealed, err = findKeyset(tx, keysetID)
		if err != nil || sealed != nil {
			return err
		}
		fresh, err := newKeyset(sealing)
		if err != nil {
			return err
		}
		sealed, err = saveKeyset(tx, keysetID, fresh)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(sealed)), sealing, []byte(keysetID))
	if err != nil {
		return nil, problem.New(problem.Refused, SealingKeyWrong).Because(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	return &Vault{primitive}, nil
}

// newKeyset has nonces that are long enough to be drawn at random for any number
// of keys.
func newKeyset(sealing tink.AEAD) ([]byte, error) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), sealing, []byte(keysetID)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Seal encrypts a secret for one purpose and one row.
func (v *Vault) Seal(secret []byte, purpose string, names ...any) ([]byte, error) {
	bound, err := bind(purpose, names)
	if err != nil {
		return nil, err
	}
	return v.aead.Encrypt(secret, bound)
}

// Open is the reverse of Seal, for the same purpose and names only.
func (v *Vault) Open(sealed []byte, purpose string, names ...any) ([]byte, error) {
	bound, err := bind(purpose, names)
	if err != nil {
		return nil, err
	}
	return v.aead.Decrypt(sealed, bound)
}

// bind is the associated data: a JSON array, in which no two lists of names read
// the same.
func bind(purpose string, names []any) ([]byte, error) {
	return json.Marshal(append([]any{purpose}, names...))
}
