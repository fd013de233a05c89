package authority

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// identity is what an authority is.
type identity struct {
	ID    license.AuthorityID `json:"id"`
	Name  string              `json:"name"`
	Epoch int                 `json:"epoch"` // raised by a restore
	// Anchor is what devices are enrolled with.
	Anchor string `json:"anchor"`
}

const identityName = "authority"

func readIdentity(tx *db.Tx) (identity, error) {
	var id identity
	value, err := setting(tx, identityName)
	if err != nil {
		return identity{}, err
	}
	if value == nil {
		return identity{}, problem.New(problem.NotFound, NotInitialized, "folder", "")
	}
	return id, json.Unmarshal(value, &id)
}

// online are the keys that a running authority needs: sealed at rest, made when
// they are first asked for, the same for every process on one database.
type online struct {
	vault  *keyring.Vault
	random io.Reader

	mu   sync.Mutex
	keys map[string]ed25519.PrivateKey
}

const onlinePurpose = "esu-online-key-v1"

// key returns the key of a name, making it in tx when there is none.
func (o *online) key(tx *db.Tx, name string) (ed25519.PrivateKey, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if key, ok := o.keys[name]; ok {
		return key, nil
	}
	seed, made, err := o.secret(tx, name, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	if made { // by a transaction that may yet roll back
		return key, nil
	}
	if o.keys == nil {
		o.keys = map[string]ed25519.PrivateKey{}
	}
	o.keys[name] = key
	return key, nil
}

// secret returns size random bytes that are kept, sealed, under a name, and
// whether this transaction made them.
func (o *online) secret(tx *db.Tx, name string, size int) (secret []byte, made bool, err error) {
	sealed, err := setting(tx, "online/"+name)
	if err != nil {
		return nil, false, err
	}
	if sealed == nil {
		made = true
		fresh := make([]byte, size)
		if _, err := io.ReadFull(o.random, fresh); err != nil {
			return nil, false, fmt.Errorf("make key %s: %w", name, err)
		}
		if sealed, err = o.vault.Seal(fresh, onlinePurpose, name); err != nil {
			return nil, false, fmt.Errorf("seal key %s: %w", name, err)
		}
		if sealed, err = keepSetting(tx, "online/"+name, sealed); err != nil {
			return nil, false, err
		}
	}
	secret, err = o.vault.Open(sealed, onlinePurpose, name)
	if err != nil || len(secret) != size {
		return nil, false, fmt.Errorf("open key %s: %w", name, err)
	}
	return secret, made, nil
}

// Names of online keys.
func licenseKeyName(p program.ID, epoch int) string { return fmt.Sprintf("license/%s/%d", p, epoch) }
func accessKeyName(p program.ID, epoch int) string  { return fmt.Sprintf("access/%s/%d", p, epoch) }

const (
	snapshotKeyName  = "snapshot"
	timestampKeyName = "timestamp"
	nonceKeyName     = "nonce"
)

// verificationKeys are the public halves that trust/keys.json lists for a program.
func (o *online) verificationKeys(tx *db.Tx, p program.ID, epoch int) ([]license.VerificationKey, error) {
	var keys []license.VerificationKey
	for _, k := range []struct {
		use  license.Use
		name string
	}{{license.UseLicense, licenseKeyName(p, epoch)}, {license.UseAccess, accessKeyName(p, epoch)}} {
		key, err := o.key(tx, k.name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, license.VerificationKey{
			ID: keyID(k.use, p, epoch), Use: k.use, Program: p, Epoch: epoch, Public: license.KeyBytes(key.Public().(ed25519.PublicKey)),
		})
	}
	return keys, nil
}

func keyID(use license.Use, p program.ID, epoch int) license.KeyID {
	return license.KeyID(fmt.Sprintf("%s-%s-%d", use, p, epoch))
}
