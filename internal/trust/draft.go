package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Draft is the complete next version of a role that is signed offline, on its
// way from signer to signer. Each signs on a machine of his own; the office
// collects the signatures and judges them by what it trusts (Repository.Accept),
// never by what the draft says of itself.
//
// A draft comes from the office's server, which may be in a thief's hands. So
// everything that a signer should look at is read out of the very bytes that he
// signs, and Changes compares them only with a version that he signed before.
type Draft struct {
	role     Role
	groups   []Signers // each must reach its threshold; a root has the old and the new
	root     *metadata.Metadata[metadata.RootType]
	targets  *metadata.Metadata[metadata.TargetsType] // for every role but root
	previous []byte                                   // the version before, signed
	files    map[string][]byte                        // contents of listed files that are new
}

const draftFormat = "esu-draft-1"

// draftDocument is a draft as a file.
type draftDocument struct {
	Format     string            `json:"format"`
	Role       string            `json:"role"`
	Signers    []draftSigners    `json:"signers"`
	Signed     json.RawMessage   `json:"signed"` // canonical: exactly what is signed
	Signatures map[string][]byte `json:"signatures"`
	Files      map[string][]byte `json:"files,omitempty"`
	Previous   []byte            `json:"previous,omitempty"`
}

type draftSigners struct {
	Keys      []string `json:"keys"`
	Threshold int      `json:"threshold"`
}

// ParseDraft reads a draft document. Each signature in it verifies; that the
// signers are the right ones is for Accept to say.
func ParseDraft(document []byte) (*Draft, error) {
	d, err := parseDraft(document)
	if err != nil {
		return nil, problem.New(problem.Invalid, DraftMalformed).Because(err)
	}
	return d, nil
}

func parseDraft(document []byte) (*Draft, error) {
	var doc draftDocument
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil {
		return nil, err
	}
	if decoder.More() || doc.Format != draftFormat {
		return nil, fmt.Errorf("format %q", doc.Format)
	}
	d := &Draft{role: Role(doc.Role), previous: doc.Previous, files: doc.Files}
	for _, group := range doc.Signers {
		s := Signers{Threshold: group.Threshold}
		for _, text := range group.Keys {
			key, err := signing.ParsePublic(text)
			if err != nil {
				return nil, err
			}
			s.Keys = append(s.Keys, key)
		}
		if err := s.check(d.role); err != nil {
			return nil, err
		}
		d.groups = append(d.groups, s)
	}
	if len(d.groups) == 0 {
		return nil, errors.New("no signers")
	}
	whole, err := json.Marshal(map[string]any{"signed": doc.Signed, "signatures": []any{}})
	if err != nil {
		return nil, err
	}
	if err := d.read(whole); err != nil {
		return nil, err
	}
	payload, err := d.payload()
	if err != nil {
		return nil, err
	}
	for _, text := range sortedKeys(doc.Signatures) {
		key, err := signing.ParsePublic(text)
		if err != nil {
			return nil, err
		}
		if !d.mayBeSignedBy(key) || !ed25519.Verify(key, payload, doc.Signatures[text]) {
			return nil, fmt.Errorf("the signature of %s is not one", text)
		}
		d.add(key, doc.Signatures[text])
	}
	return d, nil
}

// read takes the role's metadata in and checks that it lists what it may, and
// that the files that came along are the listed ones.
func (d *Draft) read(whole []byte) (err error) {
	if d.role == Root {
		if len(d.files) > 0 {
			return errors.New("files with a root")
		}
		d.root, _, err = parseRoot(metaName(Root), whole)
		return err
	}
	if d.role != Targets {
		if err := checkProgramID(program.ID(d.role)); err != nil {
			return err
		}
	}
	if d.targets, err = parse[metadata.TargetsType](metaName(d.role), whole); err != nil {
		return err
	}
	if _, err := delegations(d.targets); err != nil {
		return err
	}
	listed, err := entries(d.role, d.targets)
	if err != nil {
		return err
	}
	known := 0
	for _, e := range listed {
		if data, ok := d.files[e.Path]; ok {
			known++
			if err := fits(e.Path, data, e.Length, e.SHA256[:]); err != nil {
				return err
			}
		}
	}
	if known < len(d.files) {
		return errors.New("files that are not listed")
	}
	return nil
}

// Document is the draft as a file, to be sent to the next signer.
func (d *Draft) Document() ([]byte, error) {
	payload, err := d.payload()
	if err != nil {
		return nil, err
	}
	doc := draftDocument{
		Format: draftFormat, Role: string(d.role), Signed: payload, Signatures: map[string][]byte{},
		Files: d.files, Previous: d.previous,
	}
	for _, group := range d.groups {
		s := draftSigners{Threshold: group.Threshold}
		for _, key := range group.Keys {
			s.Keys = append(s.Keys, signing.PublicText(key))
			if signature := d.signature(key); signature != nil {
				doc.Signatures[signing.PublicText(key)] = signature
			}
		}
		doc.Signers = append(doc.Signers, s)
	}
	return json.MarshalIndent(doc, "", " ")
}

// payload is what signers sign.
func (d *Draft) payload() ([]byte, error) {
	if d.root != nil {
		return cjson.EncodeCanonical(d.root.Signed)
	}
	return cjson.EncodeCanonical(d.targets.Signed)
}

func (d *Draft) signatures() *[]metadata.Signature {
	if d.root != nil {
		return &d.root.Signatures
	}
	return &d.targets.Signatures
}

func (d *Draft) add(key ed25519.PublicKey, signature []byte) {
	all := d.signatures()
	*all = append(*all, metadata.Signature{KeyID: keyID(key), Signature: signature})
}

func (d *Draft) signature(key ed25519.PublicKey) []byte {
	for _, s := range *d.signatures() {
		if s.KeyID == keyID(key) {
			return s.Signature
		}
	}
	return nil
}

func (d *Draft) mayBeSignedBy(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(d.groups, func(s Signers) bool { return contains(s.Keys, key) })
}

func contains(keys []ed25519.PublicKey, key ed25519.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return k.Equal(key) })
}

// Sign adds one signer's signature.
func (d *Draft) Sign(ctx context.Context, s signing.Signer) error {
	key := s.Public()
	switch {
	case !d.mayBeSignedBy(key):
		return problem.New(problem.Refused, NotASigner, "role", string(d.role), "key", signing.PublicText(key))
	case d.signature(key) != nil:
		return problem.New(problem.Conflict, SignedAlready, "role", string(d.role), "key", signing.PublicText(key))
	}
	payload, err := d.payload()
	if err != nil {
		return err
	}
	signature, err := s.Sign(ctx, payload)
	if err != nil {
		return fmt.Errorf("sign %s: %w", d.role, err)
	}
	d.add(key, signature)
	return nil
}

// Merge takes over the signatures of another copy of the same draft, for
// publishers who sign at the same time.
func (d *Draft) Merge(other *Draft) error {
	mine, err := d.payload()
	if err != nil {
		return err
	}
	theirs, err := other.payload()
	if err != nil {
		return err
	}
	if d.role != other.role || !bytes.Equal(mine, theirs) {
		return problem.New(problem.Conflict, DraftDiffers, "role", string(d.role))
	}
	for _, group := range d.groups {
		for _, key := range group.Keys {
			if s := other.signature(key); s != nil && d.signature(key) == nil {
				d.add(key, s)
			}
		}
	}
	return nil
}

// Missing is how many signatures more are needed at least.
func (d *Draft) Missing() int {
	missing := 0
	for _, group := range d.groups {
		need := group.Threshold
		for _, key := range group.Keys {
			if d.signature(key) != nil {
				need--
			}
		}
		missing = max(missing, need)
	}
	return missing
}

// File is the role's metadata file with the signatures collected so far.
func (d *Draft) File() ([]byte, error) {
	if d.root != nil {
		return d.root.ToBytes(false)
	}
	return d.targets.ToBytes(false)
}

// Role is what the draft is the next version of.
func (d *Draft) Role() Role { return d.role }

// Version is the number of the next version.
func (d *Draft) Version() int64 {
	if d.root != nil {
		return d.root.Signed.Version
	}
	return d.targets.Signed.Version
}

// Expires is when the next version expires.
func (d *Draft) Expires() time.Time {
	if d.root != nil {
		return d.root.Signed.Expires
	}
	return d.targets.Signed.Expires
}

// Files are the contents of listed files that are new with this draft, by path.
// They are what is listed.
func (d *Draft) Files() map[string][]byte { return maps.Clone(d.files) }

// Entries is everything that the next version lists, sorted by path; nothing for
// a root.
func (d *Draft) Entries() []Entry {
	if d.root != nil {
		return nil
	}
	listed, _ := entries(d.role, d.targets) // checked when the draft was made
	return listed
}

// Publishers is who may sign for which program from this version of targets on.
func (d *Draft) Publishers() map[program.ID]Signers {
	if d.root != nil {
		return nil
	}
	all, _ := delegations(d.targets) // checked when the draft was made
	return all
}

// RootKeys is who holds which top-level role from this root on; ok is false for
// other roles.
func (d *Draft) RootKeys() (keys RootKeys, ok bool) {
	if d.root == nil {
		return RootKeys{}, false
	}
	keys, err := rootKeys(d.root)
	return keys, err == nil
}

// Changes are the entries that are new or different, and the paths that are gone,
// compared with the version before. That version counts only if own signed it;
// to anybody else everything is new, so that no forged past hides a change.
func (d *Draft) Changes(own ed25519.PublicKey) (added []Entry, gone []string) {
	before := map[string]Entry{}
	if d.root == nil && d.previous != nil {
		m, err := parse[metadata.TargetsType](metaName(d.role), d.previous)
		if err == nil && signedBy(m, own) {
			listed, _ := entries(d.role, m) // a version that lists what it may not counts as none
			for _, e := range listed {
				before[e.Path] = e
			}
		}
	}
	for _, e := range d.Entries() {
		if before[e.Path] != e {
			added = append(added, e)
		}
		delete(before, e.Path)
	}
	return added, sortedKeys(before)
}
