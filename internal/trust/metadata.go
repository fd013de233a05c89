package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// issuedAt is the field that the timestamp carries beside TUF's own: the instant
// at which it was signed, RFC 3339, to the second. It is what an offline client
// judges expiry by.
const issuedAt = "issued_at"

// parse reads one metadata file; what it says is not verified yet. TUF knows no
// null, and go-tuf falls over one in some places, before any signature is looked
// at; so null is refused here.
func parse[T metadata.Roles](name string, data []byte) (*metadata.Metadata[T], error) {
	err := refuseNull(data)
	if err == nil {
		var m *metadata.Metadata[T]
		if m, err = new(metadata.Metadata[T]).FromBytes(data); err == nil {
			return m, nil
		}
	}
	return nil, problem.New(problem.Invalid, Malformed, "name", name).Because(err)
}

// parseRoot reads a root whose keys are all of the one kind that is used here.
// go-tuf falls over an Ed25519 key of another length.
func parseRoot(name string, data []byte) (*metadata.Metadata[metadata.RootType], RootKeys, error) {
	root, err := parse[metadata.RootType](name, data)
	if err != nil {
		return nil, RootKeys{}, err
	}
	keys, err := rootKeys(root)
	return root, keys, err
}

func refuseNull(data []byte) error {
	tokens := json.NewDecoder(bytes.NewReader(data))
	tokens.UseNumber()
	for {
		switch token, err := tokens.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case token == nil:
			return errors.New("a null")
		}
	}
}

// issued is the signed instant of a timestamp.
func issued(ts *metadata.Metadata[metadata.TimestampType]) (time.Time, error) {
	text, _ := ts.Signed.UnrecognizedFields[issuedAt].(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, problem.New(problem.Invalid, Malformed, "name", timestampName).Because(err)
	}
	return at.UTC(), nil
}

// sign adds the signature of s to metadata that it is a signer of.
func sign[T metadata.Roles](ctx context.Context, m *metadata.Metadata[T], s signing.Signer) error {
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return fmt.Errorf("canonical form: %w", err)
	}
	signature, err := s.Sign(ctx, payload)
	if err != nil {
		return err
	}
	m.Signatures = append(m.Signatures, metadata.Signature{KeyID: keyID(s.Public()), Signature: signature})
	return nil
}

// signedBy tells whether key's signature is on m, and verifies.
func signedBy[T metadata.Roles](m *metadata.Metadata[T], key ed25519.PublicKey) bool {
	payload, err := cjson.EncodeCanonical(m.Signed)
	return err == nil && slices.ContainsFunc(m.Signatures, func(s metadata.Signature) bool {
		return s.KeyID == keyID(key) && ed25519.Verify(key, payload, s.Signature)
	})
}

func tufKey(key ed25519.PublicKey) *metadata.Key {
	return &metadata.Key{
		Type: metadata.KeyTypeEd25519, Scheme: metadata.KeySchemeEd25519,
		Value: metadata.KeyVal{PublicKey: hex.EncodeToString(key)},
	}
}

func keyID(key ed25519.PublicKey) string {
	id, err := tufKey(key).ID()
	if err != nil {
		panic("trust: an Ed25519 key has a canonical form: " + err.Error())
	}
	return id
}

// ids lists the key ids of s and enters the keys into known.
func (s Signers) ids(known map[string]*metadata.Key) []string {
	ids := make([]string, 0, len(s.Keys))
	for _, key := range s.Keys {
		ids = append(ids, keyID(key))
		known[keyID(key)] = tufKey(key)
	}
	return ids
}

// check refuses signers that could not sign, or with whom one person counts twice.
func (s Signers) check(role Role) error {
	seen := map[string]bool{}
	for _, key := range s.Keys {
		if seen[string(key)] {
			return problem.New(problem.Refused, KeyTwice, "role", string(role), "key", signing.PublicText(key))
		}
		seen[string(key)] = true
	}
	if s.Threshold < 1 || len(s.Keys) < s.Threshold {
		return problem.New(problem.Refused, ThresholdUnreachable, "role", string(role), "keys", len(s.Keys), "threshold", s.Threshold)
	}
	return nil
}

// signers is the reverse of ids.
func signers(ids []string, known map[string]*metadata.Key, threshold int) (Signers, error) {
	s := Signers{Threshold: threshold}
	for _, id := range ids {
		key := known[id]
		if key == nil {
			return Signers{}, fmt.Errorf("no key %s", id)
		}
		public, err := key.ToPublicKey()
		if err != nil {
			return Signers{}, err
		}
		ed, ok := public.(ed25519.PublicKey)
		if !ok || len(ed) != ed25519.PublicKeySize {
			return Signers{}, fmt.Errorf("key %s is no Ed25519 key", id)
		}
		s.Keys = append(s.Keys, ed)
	}
	return s, nil
}

// delegations reads who may sign for which program, and refuses a delegation
// that reaches further than a program's does.
func delegations(m *metadata.Metadata[metadata.TargetsType]) (map[program.ID]Signers, error) {
	all := map[program.ID]Signers{}
	if m.Signed.Delegations == nil {
		return all, nil
	}
	for _, d := range m.Signed.Delegations.Roles {
		id := program.ID(d.Name)
		if _, twice := all[id]; twice || checkProgramID(id) != nil || !d.Terminating || !slices.Equal(d.Paths, []string{d.Name + "/*"}) {
			return nil, problem.New(problem.Refused, OutsidePaths, "role", d.Name, "path", fmt.Sprint(d.Paths))
		}
		s, err := signers(d.KeyIDs, m.Signed.Delegations.Keys, d.Threshold)
		if err != nil {
			return nil, problem.New(problem.Invalid, Malformed, "name", metaName(Targets)).Because(err)
		}
		all[id] = s
	}
	return all, nil
}

// entries reads what a role lists, sorted by path. The top level lists only
// trust/… and programs/…, a program only manifests of its own, and delegates to
// nobody; everything else is refused.
func entries(role Role, m *metadata.Metadata[metadata.TargetsType]) ([]Entry, error) {
	all := make([]Entry, 0, len(m.Signed.Targets))
	for _, path := range sortedKeys(m.Signed.Targets) {
		file := m.Signed.Targets[path]
		e := Entry{Path: path, Length: file.Length}
		malformed := problem.New(problem.Invalid, Malformed, "name", path)
		digest := file.Hashes["sha256"]
		if len(file.Hashes) != 1 || len(digest) != sha256.Size || file.Length < 0 || file.Length > maxTarget {
			return nil, malformed.Because(errors.New("no digest or length that is taken here"))
		}
		copy(e.SHA256[:], digest)
		if !allowed(role, path) {
			return nil, problem.New(problem.Refused, OutsidePaths, "role", string(role), "path", path)
		}
		if role != Targets {
			var err error
			if e.Released, err = released(file); err != nil {
				return nil, malformed.Because(err)
			}
		}
		all = append(all, e)
	}
	if role != Targets && m.Signed.Delegations != nil {
		return nil, problem.New(problem.Refused, OutsidePaths, "role", string(role), "path", "delegations")
	}
	return all, nil
}

// allowed tells whether a role may list a path.
func allowed(role Role, path string) bool {
	if role != Targets {
		_, ok := updateOf(program.ID(role), path)
		return ok
	}
	if path == KeysPath || path == EndedPath {
		return true
	}
	_, ok := programOf(path)
	return ok
}

// custom is what a program role says of a manifest beside length and digest.
type custom struct {
	Released string `json:"released"` // RFC 3339, UTC
}

func released(file *metadata.TargetFiles) (time.Time, error) {
	var c custom
	if file.Custom == nil {
		return time.Time{}, errors.New("no release instant")
	}
	if err := json.Unmarshal(*file.Custom, &c); err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, c.Released)
	return at.UTC(), err
}

// listing makes the entry of a file in a targets role; at is zero for none.
func listing(data []byte, at time.Time) (*metadata.TargetFiles, error) {
	digest := sha256.Sum256(data)
	file := &metadata.TargetFiles{Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": digest[:]}}
	if !at.IsZero() {
		text, err := json.Marshal(custom{Released: instant(at)})
		if err != nil {
			return nil, err
		}
		file.Custom = (*json.RawMessage)(&text)
	}
	return file, nil
}

// metaFile is how snapshot and timestamp list a metadata file.
func metaFile(data []byte, version int64) *metadata.MetaFiles {
	digest := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": digest[:]}}
}

// fits tells whether data is what was listed. TUF leaves both open for metadata:
// a negative length and no digest are not compared.
func fits(name string, data []byte, length int64, digest []byte) error {
	if length >= 0 && int64(len(data)) != length {
		return problem.New(problem.Refused, WrongLength, "name", name, "length", length)
	}
	if sum := sha256.Sum256(data); digest != nil && !bytes.Equal(sum[:], digest) {
		return problem.New(problem.Refused, WrongHash, "name", name)
	}
	return nil
}
