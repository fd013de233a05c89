package license

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// The documents that say which licenses count. They are targets of the signed
// metadata; whoever parses one has verified it there. Members that a reader does
// not know are passed over, and the format number says when it may not read on.
const (
	MaxKeys   = 1 << 20  // bytes of trust/keys.json
	MaxEnded  = 16 << 20 // bytes of trust/ended.json
	MaxClosed = 64 << 20 // bytes of a closed list

	format = 1
)

// Use is what a key verifies. A key has one.
type Use string

// The uses. A use that a reader does not know verifies nothing.
const (
	UseLicense Use = "license" // Ed25519
	UseAccess  Use = "access"  // Ed25519
	UseVoice   Use = "voice"   // of the voice package; its form is not checked here
)

// KeyBytes are the bytes of a public key, as base64url without padding.
type KeyBytes []byte

func (b KeyBytes) ed25519() ed25519.PublicKey { return ed25519.PublicKey(b) }

// MarshalText writes base64url.
func (b KeyBytes) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

// UnmarshalText reads what MarshalText writes, and only that.
func (b *KeyBytes) UnmarshalText(text []byte) (err error) {
	*b, err = jws.Base64(string(text))
	return err
}

// VerificationKey is one line of trust/keys.json.
type VerificationKey struct {
	ID      KeyID      `json:"kid"`
	Use     Use        `json:"use"`
	Program program.ID `json:"program"`
	Epoch   int        `json:"epoch"` // from 1; a restore raises it
	Public  KeyBytes   `json:"public"`
	// Closed is the digest of the list of licenses that stay valid under a key
	// that is not trusted for any other; "" is a key that is open.
	Closed update.Digest `json:"closed,omitempty"`
}

// Keys is trust/keys.json: every verification key of one authority. The zero
// value trusts nothing.
type Keys struct {
	authority AuthorityID
	keys      []VerificationKey // by id
}

type keysDocument struct {
	Format    int               `json:"format"`
	Authority AuthorityID       `json:"authority"`
	Keys      []VerificationKey `json:"keys"`
}

// NewKeys are the keys of an authority. Ids and public keys are each there once,
// so no key serves two uses or two programs.
func NewKeys(authority AuthorityID, keys ...VerificationKey) (Keys, error) {
	if !name.MatchString(string(authority)) {
		return Keys{}, fmt.Errorf("%q is no authority id", authority)
	}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b VerificationKey) int { return strings.Compare(string(a.ID), string(b.ID)) })
	seen := make(map[string]bool, len(keys))
	for i, k := range keys {
		if err := k.check(); err != nil {
			return Keys{}, fmt.Errorf("key %q: %w", k.ID, err)
		}
		if seen[string(k.Public)] || i > 0 && keys[i-1].ID == k.ID {
			return Keys{}, fmt.Errorf("key %q stands twice", k.ID)
		}
		seen[string(k.Public)] = true
	}
	return Keys{authority, keys}, nil
}

func (k *VerificationKey) check() error {
	if !name.MatchString(string(k.ID)) || k.Use == "" || k.Epoch < 1 || len(k.Public) == 0 || len(k.Public) > 1024 {
		return errors.New("id, use, epoch or public key")
	}
	if _, err := program.ParseID(string(k.Program)); err != nil {
		return err
	}
	if (k.Use == UseLicense || k.Use == UseAccess) && len(k.Public) != ed25519.PublicKeySize {
		return errors.New("not a public key: 32 bytes in base64url")
	}
	if k.Closed != "" {
		_, err := update.ParseDigest(string(k.Closed))
		return err
	}
	return nil
}

// ParseKeys reads trust/keys.json.
func ParseKeys(text []byte) (Keys, error) {
	var doc keysDocument
	if err := readDocument("keys.json", text, MaxKeys, &doc, &doc.Format); err != nil {
		return Keys{}, err
	}
	k, err := NewKeys(doc.Authority, doc.Keys...)
	if err != nil {
		return Keys{}, malformedDocument("keys.json", err)
	}
	return k, nil
}

// JSON is the document that ParseKeys reads; the same keys give the same bytes.
func (k Keys) JSON() ([]byte, error) {
	return json.Marshal(keysDocument{format, k.authority, append([]VerificationKey{}, k.keys...)})
}

// Authority is whose keys these are.
func (k Keys) Authority() AuthorityID { return k.authority }

// All are the keys by id. The caller does not change them.
func (k Keys) All() []VerificationKey { return k.keys }

// Find is the key with this id, when it has this use and program.
func (k Keys) Find(id KeyID, use Use, p program.ID) (*VerificationKey, bool) {
	i, ok := slices.BinarySearchFunc(k.keys, id, func(key VerificationKey, id KeyID) int {
		return strings.Compare(string(key.ID), string(id))
	})
	if !ok || k.keys[i].Use != use || k.keys[i].Program != p {
		return nil, false
	}
	return &k.keys[i], true
}

// Ended is trust/ended.json: the licenses that do not open updates released
// after a day. The zero value ends nothing.
type Ended struct{ last map[ID]civil.Date }

type endedDocument struct {
	Format int               `json:"format"`
	Ended  map[ID]civil.Date `json:"ended"`
}

// NewEnded says for each license the last release day that it opens.
func NewEnded(last map[ID]civil.Date) (Ended, error) {
	for id, day := range last {
		if !name.MatchString(string(id)) || day.IsZero() {
			return Ended{}, fmt.Errorf("license %q: id or day", id)
		}
	}
	return Ended{maps.Clone(last)}, nil
}

// ParseEnded reads trust/ended.json.
func ParseEnded(text []byte) (Ended, error) {
	var doc endedDocument
	if err := readDocument("ended.json", text, MaxEnded, &doc, &doc.Format); err != nil {
		return Ended{}, err
	}
	e, err := NewEnded(doc.Ended)
	if err != nil {
		return Ended{}, malformedDocument("ended.json", err)
	}
	return e, nil
}

// JSON is the document that ParseEnded reads; the same days give the same bytes.
func (e Ended) JSON() ([]byte, error) {
	doc := endedDocument{format, e.last}
	if doc.Ended == nil {
		doc.Ended = map[ID]civil.Date{}
	}
	return json.Marshal(doc)
}

// Last is the last release day that a license opens; the zero Date is no end.
func (e Ended) Last(id ID) civil.Date { return e.last[id] }

// ClosedList is the list of license ids that stay valid under a closed key. A
// key names its list by digest, so the list may come from anywhere.
type ClosedList struct {
	digest update.Digest
	ids    []ID // sorted
}

// NewClosedList is the list of these licenses.
func NewClosedList(ids []ID) (ClosedList, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	l := ClosedList{ids: slices.Compact(ids)}
	for _, id := range l.ids {
		if !name.MatchString(string(id)) {
			return ClosedList{}, fmt.Errorf("%q is no license id", id)
		}
	}
	sum := sha256.Sum256(l.Text())
	l.digest = update.Digest(hex.EncodeToString(sum[:]))
	return l, nil
}

// ParseClosedList reads what Text wrote, and only that: one id a line, sorted,
// each once.
func ParseClosedList(text []byte) (ClosedList, error) {
	const document = "closed list"
	if len(text) > MaxClosed {
		return ClosedList{}, malformedDocument(document, fmt.Errorf("more than %d bytes", MaxClosed))
	}
	ids := make([]ID, 0, bytes.Count(text, []byte{'\n'}))
	for line := range strings.Lines(string(text)) {
		ids = append(ids, ID(strings.TrimSuffix(line, "\n")))
	}
	l, err := NewClosedList(ids)
	if err == nil && !bytes.Equal(l.Text(), text) {
		err = errors.New("not one id a line, sorted")
	}
	if err != nil {
		return ClosedList{}, malformedDocument(document, err)
	}
	return l, nil
}

// Text is the list as a document.
func (l ClosedList) Text() []byte {
	var b bytes.Buffer
	for _, id := range l.ids {
		b.WriteString(string(id))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Digest is what a closed key names the list by: SHA-256 of Text.
func (l ClosedList) Digest() update.Digest { return l.digest }

// Has reports whether the license stays valid.
func (l ClosedList) Has(id ID) bool {
	_, ok := slices.BinarySearch(l.ids, id)
	return ok
}

func readDocument(document string, text []byte, limit int, into any, got *int) error {
	if len(text) > limit {
		return malformedDocument(document, fmt.Errorf("more than %d bytes", limit))
	}
	if err := jws.Decode(text, into); err != nil {
		return malformedDocument(document, err)
	}
	if *got != format {
		return malformedDocument(document, fmt.Errorf("format %d; this program reads %d", *got, format))
	}
	return nil
}

func malformedDocument(document string, err error) error {
	return problem.New(problem.Invalid, DocumentMalformed, "document", document, "what", err.Error()).Because(err)
}
