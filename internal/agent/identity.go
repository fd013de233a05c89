package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
)

// keyBlock is the PEM type of PKCS #8.
const keyBlock = "PRIVATE KEY"

// installation is the device key on the installed operating system.
type installation struct {
	license.Installation
	key  ed25519.PrivateKey
	hash [32]byte
}

// installation finds the one that is known here; nil when there is none yet.
// One whose operating system is another now is agent.identity-changed (rule K7).
func (d *Device) installation(s *state) (*installation, error) {
	if s.identity.Salt == (digest{}) {
		if s.identity.SetAside != "" {
			return nil, problem.New(problem.Refused, IdentityChanged, "folder", s.identity.SetAside)
		}
		return nil, nil
	}
	hash, err := d.hash(s.identity.Salt)
	if err != nil {
		return nil, err
	}
	if hash != s.identity.Hash {
		return nil, problem.New(problem.Refused, IdentityChanged, "folder", d.path(asideDir))
	}
	key, err := d.readKey()
	if err != nil {
		return nil, err
	}
	return newInstallation(key, hash), nil
}

func newInstallation(key ed25519.PrivateKey, hash [32]byte) *installation {
	public := license.PublicKey(key.Public().(ed25519.PublicKey))
	return &installation{license.InstallationOf(public, hash), key, hash}
}

// hash is the salted hash of the operating system's identity.
func (d *Device) hash(salt digest) (digest, error) {
	name, err := d.system.Identity()
	if err != nil {
		return digest{}, err
	}
	return sha256.Sum256(append(salt[:], name...)), nil
}

func (d *Device) readKey() (ed25519.PrivateKey, error) {
	path := d.path(keyFile)
	text, err := durable.ReadFile(path, maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, hidden(err)
	}
	if block, _ := pem.Decode(text); block != nil && block.Type == keyBlock {
		key, failed := x509.ParsePKCS8PrivateKey(block.Bytes)
		if private, ok := key.(ed25519.PrivateKey); ok {
			return private, nil
		}
		err = failed
	}
	if err == nil {
		err = errors.New("no Ed25519 key")
	}
	return nil, problem.New(problem.Refused, StateDamaged, "file", path, "what", err.Error()).Because(err)
}

// introduce finds the installation or makes a new one, which costs a seat when
// it activates (rule K7). Told is why the one before is no more, if it was.
func (d *Device) introduce(s *state, j *journal) (i *installation, told *problem.Problem, err error) {
	i, err = d.installation(s)
	if p, ok := problem.As(err); ok && p.Code == IdentityChanged {
		if told, err = p, d.setAside(s, j); err != nil {
			return nil, nil, err
		}
		i = nil
	}
	if err != nil || i != nil {
		return i, told, err
	}
	var salt digest
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(d.cfg.Random, salt[:]); err != nil {
		return nil, nil, fmt.Errorf("make device key: %w", err)
	}
	if _, err := io.ReadFull(d.cfg.Random, seed); err != nil {
		return nil, nil, fmt.Errorf("make device key: %w", err)
	}
	hash, err := d.hash(salt)
	if err != nil {
		return nil, nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make device key: %w", err)
	}
	if err := durable.WriteFile(d.path(keyFile), pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), 0o600); err != nil {
		return nil, nil, err
	}
	// Only now does the key count: until identity.json has its salt, another is made.
	s.identity.Salt, s.identity.Hash, s.identity.SetAside = salt, hash, ""
	if err := d.saveIdentity(s); err != nil {
		return nil, nil, err
	}
	i = newInstallation(key, hash)
	j.say("ESU: installation = %s", i.Fingerprint)
	return i, told, nil
}

// setAside puts the state of an installation that is no more out of the way:
// its key and licenses, which are good on no other. Product keys stay.
func (d *Device) setAside(s *state, j *journal) error {
	if s.identity.Salt == (digest{}) {
		return nil
	}
	folder := d.path(asideDir, stamp(d.cfg.Now()))
	if err := makeFolder(folder, 0o700); err != nil {
		return err
	}
	for _, name := range []string{licensesDir, reportFile, keyFile} {
		if err := d.moveAside(folder, name); err != nil {
			return err
		}
	}
	s.identity.Salt, s.identity.Hash, s.identity.SetAside = digest{}, digest{}, folder
	j.say("ESU: the operating system is not the one that was activated; state set aside: %s", folder)
	return d.saveIdentity(s)
}

func (d *Device) moveAside(folder, name string) error {
	if err := os.Rename(d.path(name), filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Generalize clears who this installation is, before an image is taken: each
// device that starts from the image makes a key of its own when it activates.
// Enrollment, product keys and what is installed stay.
func (d *Device) Generalize(ctx context.Context) error {
	return d.act(ctx, func(j *journal) error {
		s, err := d.load()
		if err != nil {
			return err
		}
		s.identity.Salt, s.identity.Hash, s.identity.SetAside = digest{}, digest{}, ""
		if err := d.saveIdentity(s); err != nil {
			return err
		}
		j.say("ESU: generalized")
		return errors.Join(remove(d.path(keyFile)), remove(d.path(reportFile)), os.RemoveAll(d.path(licensesDir)))
	})
}
