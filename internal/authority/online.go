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

const (
	identityName = "authority"
	// pendingName is the identity of an init that has not ended.
	pendingName = "authority/pending"
)

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

// online are the keys that a running authority needs: sealed at rest, the same
// for every process on one database. They are made by make, in a transaction of
// its own, and read by the others.
type online struct {
	vault  *keyring.Vault
	random io.Reader

	mu     sync.Mutex // of the map, never held over a query
	opened map[string][]byte
}

const (
	onlinePurpose = "esu-online-key-v1"
	secretSize    = 32 // bytes of every one, seeds of Ed25519 among them
)

// make makes those that are not there yet.
func (o *online) make(tx *db.Tx, names ...string) error {
	for _, name := range names {
		have, err := setting(tx, settingOf(name))
		if err != nil {
			return err
		}
		if have != nil {
			continue
		}
		fresh := make([]byte, secretSize)
		if _, err := io.ReadFull(o.random, fresh); err != nil {
			return fmt.Errorf("make key %s: %w", name, err)
		}
		sealed, err := o.vault.Seal(fresh, onlinePurpose, name)
		if err != nil {
			return fmt.Errorf("seal key %s: %w", name, err)
		}
		if _, err := keepSetting(tx, settingOf(name), sealed); err != nil {
			return err
		}
	}
	return nil
}

func settingOf(name string) string { return "online/" + name }

// secret returns the bytes that are kept under a name; nil is none.
func (o *online) secret(tx *db.Tx, name string) ([]byte, error) {
	o.mu.Lock()
	secret, ok := o.opened[name]
	o.mu.Unlock()
	if ok {
		return secret, nil
	}
	sealed, err := setting(tx, settingOf(name))
	if err != nil || sealed == nil {
		return nil, err
	}
	secret, err = o.vault.Open(sealed, onlinePurpose, name)
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("open key %s: %w", name, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened == nil {
		o.opened = map[string][]byte{}
	}
	o.opened[name] = secret
	return secret, nil
}

// key is the Ed25519 key of a name; nil is none.
func (o *online) key(tx *db.Tx, name string) (ed25519.PrivateKey, error) {
	seed, err := o.secret(tx, name)
	if err != nil || seed == nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Names of online keys.
func licenseKeyName(p program.ID, epoch int) string { return fmt.Sprintf("license/%s/%d", p, epoch) }
func accessKeyName(p program.ID, epoch int) string  { return fmt.Sprintf("access/%s/%d", p, epoch) }

const (
	snapshotKeyName  = "snapshot"
	timestampKeyName = "timestamp"
	nonceKeyName     = "nonce"
)

// verificationKeys are the public halves that trust/keys.json lists for a
// program; none where its keys were not made yet.
func (o *online) verificationKeys(tx *db.Tx, p program.ID, epoch int) ([]license.VerificationKey, error) {
	var keys []license.VerificationKey
	for _, k := range []struct {
		use  license.Use
		name string
	}{{license.UseLicense, licenseKeyName(p, epoch)}, {license.UseAccess, accessKeyName(p, epoch)}} {
		key, err := o.key(tx, k.name)
		if err != nil || key == nil {
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
