// Package authority is the vendor's side as one whole: it opens the rooms on one
// database, wires them, and serves devices and the office.
//
// The rooms below it do the work; what stands here is what spans them: making an
// authority, importing a program (which the sales office keeps and the
// repository's targets announce), the online keys, and the clockwork that
// releases what is due. One process owns a data folder (durable.Lock); several
// processes, each with a folder of its own, may share one PostgreSQL.
//
// A data folder holds
//
//	authority.db   the SQLite database, where no other is named
//	secrets/       the sealing key, unless it is kept elsewhere
//	offline/       keys of root and targets, to be moved away after Init
//	depot/         payloads
//	esu.sock       the office API while a server runs
package authority

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/activations"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/authority/reports"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/depot"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const (
	// NotInitialized is a data folder or database in which no authority was made.
	NotInitialized problem.Code = "authority.not-initialized"
	// Initialized is one in which an authority was made before.
	Initialized problem.Code = "authority.initialized"
)

// Config names an authority. Dir is needed; everything else has a default.
type Config struct {
	Dir        string
	Database   string // postgres://…; SQLite in Dir when empty
	SealingKey string // a file; DIR/secrets/sealing.key when empty
	Now        func() time.Time
	Random     io.Reader
	Log        *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.SealingKey == "" {
		c.SealingKey = filepath.Join(c.Dir, "secrets", "sealing.key")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) database() db.Config {
	conf := db.Config{URL: c.Database, Now: c.Now, Migrations: schema.Migrations()}
	if c.Database == "" {
		conf.Path = filepath.Join(c.Dir, "authority.db")
	}
	return conf
}

// Authority is an open authority. Close it when done.
type Authority struct {
	Config
	Sales       *sales.Office
	Keys        *keyring.Ring
	Activations *activations.Room
	Releases    *releases.Room
	Reports     *reports.Room
	DB          *db.DB
	Writer      *audit.Writer

	identity identity
	online   *online
	depot    *depot.Folder
	owner    *durable.Owner
	nonces   *frontdoor.Nonces

	known      trusted
	checkpoint atomic.Pointer[string] // the newest, signed
}

// Made is what Init made.
type Made struct {
	Authority license.AuthorityID `json:"authority"`
	// Anchor is what devices are enrolled with: --trust sha256:…
	Anchor  string `json:"anchor"`
	Dir     string `json:"dir"`
	Offline string `json:"offline"` // the folder of keys to be moved away
}

// Init makes an authority in an empty folder or database. It asks nothing.
func Init(ctx context.Context, c Config, name string) (Made, error) {
	c = c.withDefaults()
	if err := durable.MkdirAll(filepath.Join(c.Dir, "secrets"), 0o700); err != nil {
		return Made{}, fmt.Errorf("init authority: %w", err)
	}
	err := keyring.NewSealingKey(c.SealingKey, c.Random)
	if err != nil && problem.CodeOf(err) != keyring.SealingKeyExists { // of an attempt that did not end
		return Made{}, err
	}
	a, err := open(ctx, c, true)
	if err != nil {
		return Made{}, err
	}
	made, err := a.begin(ctx, name)
	return made, errors.Join(err, a.Close())
}

// begin makes the repository and then the identity, so that an attempt that did
// not end can be made again.
func (a *Authority) begin(ctx context.Context, name string) (Made, error) {
	var id identity
	err := a.DB.Read(ctx, func(tx *db.Tx) (err error) {
		id, err = readIdentity(tx)
		return err
	})
	if err == nil {
		return Made{}, problem.New(problem.Conflict, Initialized, "authority", id.ID)
	}
	if problem.CodeOf(err) != NotInitialized {
		return Made{}, err
	}
	if id, err = a.pending(ctx, name); err != nil {
		return Made{}, err
	}
	keys, err := license.NewKeys(id.ID)
	if err != nil {
		return Made{}, err
	}
	first, err := keys.JSON()
	if err != nil {
		return Made{}, err
	}
	me := access.Itself("authority init")
	offline := filepath.Join(a.Dir, "offline")
	id.Anchor, err = a.Releases.Genesis(ctx, me, releases.GenesisIn{Offline: offline, Keys: first})
	if problem.CodeOf(err) == releases.Begun { // by an attempt that did not end
		id.Anchor, err = a.Releases.Anchor(ctx)
	}
	if err != nil {
		return Made{}, err
	}
	err = a.DB.Write(ctx, func(tx *db.Tx) error {
		value, err := json.Marshal(id)
		if err != nil {
			return err
		}
		if err := a.online.make(tx, auditKeyName(id.Epoch)); err != nil {
			return err
		}
		if _, err := keepSetting(tx, identityName, value); err != nil {
			return err
		}
		return audit.Append(tx, a.Writer, audit.Entry{Actor: me, Act: "authority.init", Object: "authority/" + string(id.ID), Detail: id})
	})
	return Made{id.ID, id.Anchor, a.Dir, offline}, err
}

// Migrate brings the database to this program's schema, and tells from which
// version to which.
func Migrate(ctx context.Context, c Config) (from, to int64, err error) {
	return db.Migrate(ctx, c.withDefaults().database())
}

// pending is the identity that an init goes on with: a new one, or that of an
// attempt that did not end, whose id is signed into the metadata already.
func (a *Authority) pending(ctx context.Context, name string) (id identity, err error) {
	text, err := access.NewID(a.Random, "authority")
	if err != nil {
		return identity{}, err
	}
	err = a.DB.Write(ctx, func(tx *db.Tx) error {
		fresh, err := json.Marshal(identity{ID: license.AuthorityID(text), Name: name, Epoch: 1})
		if err != nil {
			return err
		}
		value, err := keepSetting(tx, pendingName, fresh)
		if err != nil {
			return err
		}
		return json.Unmarshal(value, &id)
	})
	return id, err
}

// Open opens the authority of a folder, as its one owner.
func Open(ctx context.Context, c Config) (*Authority, error) {
	c = c.withDefaults()
	if _, err := os.Stat(c.SealingKey); errors.Is(err, os.ErrNotExist) {
		return nil, problem.New(problem.NotFound, NotInitialized, "folder", c.Dir)
	}
	a, err := open(ctx, c, false)
	if err != nil {
		return nil, err
	}
	err = a.DB.Read(ctx, func(tx *db.Tx) (err error) {
		a.identity, err = readIdentity(tx)
		return err
	})
	if problem.CodeOf(err) == NotInitialized {
		err = problem.New(problem.NotFound, NotInitialized, "folder", c.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.Reports = reports.Open(reports.Config{DB: a.DB, Authority: a.identity.ID, Nonces: a.nonces.Valid, Known: activations.Known, Now: a.Now, Log: a.Log})
	a.Activations = activations.Open(activations.Config{
		DB: a.DB, Keys: a.Keys, Writer: a.Writer, Authority: a.identity.ID, Random: a.Random, Log: a.Log,
		Program: a.inForce, Customer: sales.NameOf, Issuer: a.issuer,
	})
	return a, nil
}

// open opens everything but the activations, which need an identity.
func open(ctx context.Context, c Config, migrate bool) (a *Authority, err error) {
	a = &Authority{Config: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.owner, err = durable.Lock(c.Dir); err != nil {
		return a, err
	}
	if migrate {
		if _, _, err = db.Migrate(ctx, c.database()); err != nil {
			return a, err
		}
	}
	if a.DB, err = db.Open(ctx, c.database()); err != nil {
		return a, err
	}
	sealing, err := keyring.SealingKey(c.SealingKey)
	if err != nil {
		return a, err
	}
	vault, err := keyring.OpenVault(ctx, a.DB, sealing)
	if err != nil {
		return a, err
	}
	if a.Writer, err = writer(c); err != nil {
		return a, err
	}
	if a.depot, err = depot.Open(filepath.Join(c.Dir, "depot")); err != nil {
		return a, err
	}
	a.online = &online{vault: vault, random: c.Random}
	keys, err := a.openOnline(ctx)
	if err != nil {
		return a, err
	}
	a.Keys = keyring.New(keyring.Config{DB: a.DB, Audit: a.Writer, Vault: vault, Random: c.Random})
	a.Sales = sales.New(sales.Config{DB: a.DB, Audit: a.Writer, Keys: a.Keys, Random: c.Random})
	a.Releases = releases.New(releases.Config{DB: a.DB, Audit: a.Writer, Vault: vault, Depot: a.depot, Online: keys, Random: c.Random})
	return a, nil
}

// writer is this process's audit chain. A folder has one owner, so its chain has
// one writer; several folders on one database have a chain each.
func writer(c Config) (*audit.Writer, error) {
	if c.Database == "" {
		return audit.NewWriter("authority")
	}
	path := filepath.Join(c.Dir, "audit-writer")
	id, err := durable.ReadFile(path, 64)
	if errors.Is(err, os.ErrNotExist) {
		fresh, err := access.NewID(c.Random, "authority")
		if err != nil {
			return nil, err
		}
		if err := durable.WriteFile(path, []byte(fresh), 0o640); err != nil {
			return nil, fmt.Errorf("name audit chain: %w", err)
		}
		return audit.NewWriter(fresh)
	}
	if err != nil {
		return nil, fmt.Errorf("name audit chain: %w", err)
	}
	return audit.NewWriter(string(id))
}

// nonceLife is how long a device has to answer a nonce.
const nonceLife = 5 * time.Minute

// openOnline opens the keys that the server itself needs, and makes them at first.
func (a *Authority) openOnline(ctx context.Context) (trust.Online, error) {
	var keys trust.Online
	err := a.DB.Write(ctx, func(tx *db.Tx) error {
		return a.online.make(tx, snapshotKeyName, timestampKeyName, nonceKeyName)
	})
	if err != nil {
		return keys, err
	}
	err = a.DB.Read(ctx, func(tx *db.Tx) error {
		snapshot, err := a.online.key(tx, snapshotKeyName)
		if err != nil {
			return err
		}
		timestamp, err := a.online.key(tx, timestampKeyName)
		if err != nil {
			return err
		}
		nonce, err := a.online.secret(tx, nonceKeyName)
		if err != nil {
			return err
		}
		a.nonces = frontdoor.NewNonces([32]byte(nonce), nonceLife)
		keys = trust.Online{Snapshot: signing.New(snapshot), Timestamp: signing.New(timestamp)}
		return nil
	})
	return keys, err
}

// Close ends the authority's use of its folder and database.
func (a *Authority) Close() error {
	var errs []error
	if a.Activations != nil {
		a.Activations.Close()
		a.Reports.Close()
	}
	if a.depot != nil {
		errs = append(errs, a.depot.Close())
	}
	if a.DB != nil {
		errs = append(errs, a.DB.Close())
	}
	if a.owner != nil {
		errs = append(errs, a.owner.Unlock())
	}
	return errors.Join(errs...)
}

// ID is the authority's id, the audience of what devices send.
func (a *Authority) ID() license.AuthorityID { return a.identity.ID }

// Anchor is what devices are enrolled with.
func (a *Authority) Anchor() string { return a.identity.Anchor }

// inForce is the program in force, nil when there is none of the id.
func (a *Authority) inForce(tx *db.Tx, id program.ID) (*program.Program, error) {
	p, _, err := a.Sales.InForce(tx, id)
	switch problem.CodeOf(err) {
	case sales.ProgramUnknown, sales.ProgramNotInForce:
		return nil, nil //nolint:nilnil // no such program
	}
	return p, err
}

// issuer is the key under which a program's licenses are signed.
func (a *Authority) issuer(tx *db.Tx, id program.ID) (license.KeyID, ed25519.PrivateKey, error) {
	key, err := a.online.key(tx, licenseKeyName(id, a.identity.Epoch))
	if err == nil && key == nil {
		err = errors.New("it was not made yet; import the program again")
	}
	return keyID(license.UseLicense, id, a.identity.Epoch), key, err
}
