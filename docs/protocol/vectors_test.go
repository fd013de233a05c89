// Package protocol holds the description of the device protocol to the code:
// vectors.json and tuf/ are what the program makes from fixed seeds, and the
// examples in README.md are taken from vectors.json.
//
//	go test ./docs/protocol -update
//
// writes all of them anew. A difference without a change of the protocol is a
// mistake: devices in the field do not change with this program.
package protocol

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

var rewrite = flag.Bool("update", false, "write vectors.json, tuf/ and the examples anew")

const (
	vectorsFile = "vectors.json"
	authority   = license.AuthorityID("lantern-works")
	lantern     = program.ID("lantern-2")
	system      = "machine-id 3f2a9d0c4b7e4a51b6c8d9e0f1a2b3c4"
	nonceLife   = 5 * time.Minute
)

// made is when the documents of the vectors are made.
func made() time.Time { return time.Date(2027, time.February, 10, 8, 30, 0, 0, time.UTC) }

// vectors is vectors.json. Byte strings are hexadecimal unless a comment says
// otherwise; texts are exact.
type vectors struct {
	About         []string       `json:"about"`
	ProductKeys   []keyVector    `json:"productKeys"`
	MalformedKeys []badKey       `json:"malformedKeys"`
	Installation  installation   `json:"installation"`
	Facts         []factsVector  `json:"facts"`
	Activation    requestVector  `json:"activation"`
	TrustKeys     string         `json:"trustKeys"` // trust/keys.json
	Ended         string         `json:"ended"`     // trust/ended.json
	ClosedList    documentVector `json:"closedList"`
	License       tokenVector    `json:"license"`
	Hosted        tokenVector    `json:"hostedLicense"`
	Licenses      []judged       `json:"licenses"`
	AccessRequest tokenVector    `json:"accessRequest"`
	AccessToken   tokenVector    `json:"accessToken"`
	Reports       reportVectors  `json:"reports"`
	Manifest      documentVector `json:"manifest"`
	Program       documentVector `json:"program"`
	Payload       payloadVector  `json:"payload"`
	TUF           tufVector      `json:"tuf"`
}

type keyVector struct {
	Tag     productkey.Tag `json:"tag"`
	Random  string         `json:"random"` // 12 bytes, of which the lower 91 bits count
	M       string         `json:"m"`      // 14 bytes
	Key     string         `json:"key"`
	Ref     string         `json:"ref"`
	MAC     string         `json:"mac"`
	Message string         `json:"message"` // text
	Proof   string         `json:"proof"`   // of the message
}

type badKey struct {
	Text string `json:"text"`
	Code string `json:"code"`
}

type installation struct {
	KeySeed     string `json:"keySeed"`
	PublicKey   string `json:"publicKey"` // base64url
	Salt        string `json:"salt"`
	System      string `json:"system"` // text
	Identity    string `json:"identity"`
	Fingerprint string `json:"fingerprint"`
}

type factsVector struct {
	Canonical string `json:"canonical"`
	SHA256    string `json:"sha256"`
}

type tokenVector struct {
	KeySeed   string `json:"keySeed"`
	PublicKey string `json:"publicKey"` // base64url
	Header    string `json:"header"`
	Claims    string `json:"claims"`
	Signature string `json:"signature"`
	Token     string `json:"token"`
}

type requestVector struct {
	ProductKey string `json:"productKey"`
	// Proven is the RFC 8785 form of the claims without proof.
	Proven string `json:"proven"`
	Proof  string `json:"proof"`
	tokenVector
}

// judged is a license and what a device makes of it: "" is that it counts.
type judged struct {
	What  string `json:"what"`
	Token string `json:"token"`
	Code  string `json:"code"`
}

type documentVector struct {
	Text   string `json:"text"`
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"`
	Path   string `json:"path,omitempty"`   // of a target
	Served string `json:"served,omitempty"` // below the server's address
}

type reportVectors struct {
	LicensesText   string      `json:"licensesText"`
	LicensesDigest string      `json:"licensesDigest"`
	NoLicenses     string      `json:"noLicensesDigest"`
	Whole          tokenVector `json:"whole"`
	Short          tokenVector `json:"short"`
}

// world is everything that the vectors are made of.
type world struct {
	t         *testing.T
	program   *program.Program
	authority *licensetest.Authority
	device    licensetest.Device
	salt      [32]byte
	key       productkey.Key
	facts     *device.Facts
	nonces    *frontdoor.Nonces
}

func newWorld(t *testing.T) *world {
	t.Helper()
	text, err := os.ReadFile("testdata/lantern-2.yaml")
	fatal(t, err)
	p, err := program.Parse("lantern-2.yaml", text)
	fatal(t, err)
	w := &world{
		t: t, program: p, authority: licensetest.NewAuthority(t, authority, p), salt: sha256.Sum256([]byte("salt of the vectors")),
		nonces: frontdoor.NewNonces([32]byte{1}, nonceLife),
		facts: &device.Facts{
			Program: lantern, Edition: "office", Arch: "amd64", Components: []program.ComponentID{"scanner"},
			Installed: []program.UpdateID{"LW-2026-07", "LW-2027-01"}, RestartPending: true,
		},
	}
	w.device = licensetest.Device{Key: licensetest.Key("device of the vectors"), Identity: sha256.Sum256(append(w.salt[:], system...))}
	w.device.Installation = license.InstallationOf(license.PublicKey(public(w.device.Key)), w.device.Identity)
	w.key, err = productkey.New(501, random("key of the vectors"))
	fatal(t, err)
	return w
}

func random(name string) [12]byte {
	sum := sha256.Sum256([]byte(name))
	return [12]byte(sum[:12])
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sum(text []byte) string {
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// token takes a token apart that was made with key.
func (w *world) token(text string, key ed25519.PrivateKey) tokenVector {
	w.t.Helper()
	var parts [3]string
	for i, part := range strings.Split(text, ".") {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		fatal(w.t, err)
		parts[i] = string(raw)
	}
	return tokenVector{
		KeySeed: hex.EncodeToString(key.Seed()), PublicKey: base64.RawURLEncoding.EncodeToString(public(key)),
		Header: parts[0], Claims: parts[1], Signature: hex.EncodeToString([]byte(parts[2])), Token: text,
	}
}

func (w *world) vectors() *vectors {
	w.t.Helper()
	v := &vectors{
		About: []string{
			"Test vectors of the OpenESU device protocol; README.md beside this file explains them.",
			"Bytes are lower-case hexadecimal; publicKey is base64url without padding; texts are exact, in UTF-8.",
			"keySeed is the 32-byte seed of an Ed25519 key (RFC 8032). Nothing here is secret; trust none of these keys.",
		},
		ProductKeys: w.productKeys(), MalformedKeys: malformedKeys(w.key), Facts: w.factsVectors(),
		Installation: installation{
			KeySeed: hex.EncodeToString(w.device.Key.Seed()), PublicKey: w.device.PublicKey.String(), Salt: hex.EncodeToString(w.salt[:]),
			System: system, Identity: hex.EncodeToString(w.device.Identity[:]), Fingerprint: w.device.Fingerprint.String(),
		},
	}
	w.activation(v)
	w.licenses(v)
	w.access(v)
	w.reports(v)
	w.documents(v)
	w.payload(v)
	w.tuf(v)
	return v
}

func (w *world) productKeys() []keyVector {
	w.t.Helper()
	ones := [12]byte(bytes.Repeat([]byte{0xff}, 12))
	var all []keyVector
	for _, k := range []struct {
		tag     productkey.Tag
		random  [12]byte
		message string
	}{
		{0, [12]byte{}, ""}, {1, [12]byte{11: 1}, "message"}, {productkey.MaxTag, ones, "message"},
		{0, [12]byte{0xf8}, "the upper five bits of random do not count"},
		{501, random("key of the vectors"), "the key of the activation request below"},
		{502, random("another key"), "Übergröße, in UTF-8"},
	} {
		key, err := productkey.New(k.tag, k.random)
		fatal(w.t, err)
		mac := key.MAC().Reveal()
		m := []byte{byte(k.tag >> 13), byte(k.tag >> 5), byte(k.tag<<3) | k.random[0]&7}
		all = append(all, keyVector{
			Tag: k.tag, Random: hex.EncodeToString(k.random[:]), M: hex.EncodeToString(append(m, k.random[1:]...)), Key: key.Reveal(),
			Ref: key.Ref().String(), MAC: hex.EncodeToString(mac[:]), Message: k.message, Proof: key.Proof([]byte(k.message)).String(),
		})
	}
	return all
}

func malformedKeys(key productkey.Key) []badKey {
	good := key.Reveal()
	swapped := []byte(good)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	return []badKey{
		{"", "key.malformed-short"},
		{good[:28], "key.malformed-short"},
		{good + "-B", "key.malformed-long"},
		{"A" + good[1:], "key.malformed-symbol"},
		{"0" + good[1:], "key.malformed-symbol"},
		{"\u212a" + good[1:], "key.malformed-symbol"}, // the Kelvin sign is no K
		{string(swapped), "key.malformed-check"},
		{good[:28] + next(good[28:]), "key.malformed-check"},
		{"99999-99999-99999-99999-99999", "key.malformed-check"},
	}
}

// next is the symbol after the one given.
func next(symbol string) string {
	i := strings.Index(productkey.Symbols, symbol) + 1
	return productkey.Symbols[i%len(productkey.Symbols):][:1]
}

func (w *world) factsVectors() []factsVector {
	w.t.Helper()
	var all []factsVector
	for _, f := range []*device.Facts{
		w.facts, {Program: lantern, Edition: "office", Arch: "arm64"},
		{Program: lantern, Edition: "<&> \u20ac", Arch: "amd64", AuditMode: true, OfflineImage: true, ProductActivated: true, EmbeddedKeyRange: true},
	} {
		canonical, err := f.Canonical()
		fatal(w.t, err)
		all = append(all, factsVector{string(canonical), sum(canonical)})
	}
	return all
}

func (w *world) activation(v *vectors) {
	w.t.Helper()
	text, err := activation.NewRequest(activation.Params{
		Audience: authority, Program: lantern, ActivationID: w.program.Tracks[0].Years[0].ActivationID,
		Identity: w.device.Identity, Facts: w.facts, IssuedAt: made(),
	}, w.key, jws.InMemory(w.device.Key))
	fatal(w.t, err)
	v.Activation = requestVector{ProductKey: w.key.Reveal(), tokenVector: w.token(text, w.device.Key)}
	var claims map[string]json.RawMessage
	fatal(w.t, json.Unmarshal([]byte(v.Activation.Claims), &claims))
	fatal(w.t, json.Unmarshal(claims["proof"], &v.Activation.Proof))
	delete(claims, "proof")
	open, err := json.Marshal(claims)
	fatal(w.t, err)
	proven, err := jcs.Transform(open)
	fatal(w.t, err)
	v.Activation.Proven = string(proven)
}

// claims are those of the device's license for a year.
func (w *world) claims(id license.ID, year program.Year) license.Claims {
	w.t.Helper()
	c := w.authority.Claims(w.t, w.device, "lantern-2", year)
	c.ID, c.Customer, c.Seat, c.IssuedAt = id, "Harbor Hospital", 7, license.At(made())
	c.LastFive = w.key.LastFive()
	return c
}

// keys are the authority's, with one that is closed.
func (w *world) keys(v *vectors) license.Keys {
	w.t.Helper()
	list, err := license.NewClosedList([]license.ID{"lic-2026-0001", "lic-2026-0002"})
	fatal(w.t, err)
	v.ClosedList = document(list.Text(), "", "")
	keys, err := license.NewKeys(authority, append(w.authority.Keys.All(), license.VerificationKey{
		ID: "license-0", Use: license.UseLicense, Program: lantern, Epoch: 1, Closed: list.Digest(),
		Public: license.KeyBytes(public(licensetest.Key("closed"))),
	})...)
	fatal(w.t, err)
	return keys
}

func (w *world) access(v *vectors) {
	w.t.Helper()
	request, err := license.NewAccessRequest(license.AccessRequest{
		Nonce: w.nonces.New(made()), Audience: authority, Program: lantern, Fingerprint: w.device.Fingerprint,
		Licenses: []license.Token{license.Token(v.License.Token)},
	}, jws.InMemory(w.device.Key))
	fatal(w.t, err)
	v.AccessRequest = w.token(request, w.device.Key)
	token, err := license.SignAccess(license.Access{
		Authority: authority, Audience: authority, Program: lantern, Device: w.device.Fingerprint,
		Grants: []license.Grant{{Track: "lantern-2", Year: 1}}, IssuedAt: license.At(made()), ExpiresAt: license.At(made().Add(license.AccessLifetime)),
	}, "access-1", w.authority.Access)
	fatal(w.t, err)
	v.AccessToken = w.token(string(token), w.authority.Access)
}

func (w *world) reports(v *vectors) {
	w.t.Helper()
	held := []license.Token{license.Token(v.License.Token), license.Token(v.Hosted.Token)}
	v.Reports.LicensesText = wire.JoinLicenses(held)
	v.Reports.LicensesDigest, v.Reports.NoLicenses = string(wire.LicensesDigest(held)), string(wire.LicensesDigest(nil))
	r := wire.DeviceReport{
		Audience: authority, Program: lantern, Fingerprint: w.device.Fingerprint, Counter: 1, Nonce: w.nonces.New(made()),
		IssuedAt: license.At(made()), FactsDigest: update.Digest(v.Facts[0].SHA256), LicensesDigest: wire.LicensesDigest(held),
		Facts: json.RawMessage(v.Facts[0].Canonical), Licenses: held,
	}
	whole, err := wire.SignReport(r, jws.InMemory(w.device.Key))
	fatal(w.t, err)
	r.Counter, r.Facts, r.Licenses = 2, nil, nil
	short, err := wire.SignReport(r, jws.InMemory(w.device.Key))
	fatal(w.t, err)
	v.Reports.Whole, v.Reports.Short = w.token(whole, w.device.Key), w.token(short, w.device.Key)
}

func document(text []byte, path, served string) documentVector {
	return documentVector{string(text), sum(text), len(text), path, served}
}

func (w *world) documents(v *vectors) {
	w.t.Helper()
	payload := w.archive(goodEntries())
	released := civil.MustParse("2027-02-09")
	u := update.Update{
		ID: "LW-2027-02", Program: lantern, Title: "Rollup of February 2027", Kind: "rollup", Rating: "critical", Released: released,
		Years: update.YearsOn(w.program, released, false), Supersedes: []program.UpdateID{"LW-2027-01"}, Fixes: []string{"CVE-2027-0001"},
		Payloads: []update.Payload{{
			Name: "LW-2027-02-amd64.tar.zst", Installer: "files", Architectures: []program.Arch{"amd64"},
			SHA256: update.Digest(sum(payload)), Size: int64(len(payload)), Unpacked: unpacked(goodEntries()), Check: "bin/check",
		}},
	}
	manifest, err := u.Manifest()
	fatal(w.t, err)
	v.Manifest = document(manifest, "lantern-2/LW-2027-02.json", "/tuf/targets/lantern-2/"+sum(manifest)+".LW-2027-02.json")
	text, err := w.program.PublicJSON()
	fatal(w.t, err)
	v.Program = document(text, "programs/lantern-2.json", "/tuf/targets/programs/"+sum(text)+".lantern-2.json")
}

// encode is the document as it stands in the file.
func encode(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	fatal(t, e.Encode(v))
	return b.Bytes()
}

func TestVectors(t *testing.T) {
	same(t, vectorsFile, encode(t, newWorld(t).vectors()))
}

// same holds a file to what is made, or with -update writes it.
func same(t *testing.T, name string, want []byte) {
	t.Helper()
	if *rewrite {
		fatal(t, os.WriteFile(name, want, 0o600))
		fatal(t, os.Chmod(name, 0o644))
		return
	}
	got, err := os.ReadFile(name)
	fatal(t, err)
	if diff := cmp.Diff(string(got), string(want)); diff != "" {
		t.Errorf("%s is not what the program makes (-file +made); if the protocol was meant to change: go test ./docs/protocol -update\n%s", name, diff)
	}
}
