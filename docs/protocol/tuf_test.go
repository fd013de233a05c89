package protocol

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/program"
)

// tufVector is what a client knows of the folder tuf/.
type tufVector struct {
	Anchor string `json:"anchor"`
	// IssuedAt is the instant to judge expiry by.
	IssuedAt string           `json:"issuedAt"`
	Versions map[string]int64 `json:"versions"`
	// KeySeeds by holder; publisher-c did not sign.
	KeySeeds map[string]string `json:"keySeeds"`
	Files    map[string]string `json:"files"` // SHA-256 by name below /tuf/
	// Signed is the canonical form of timestamp.json's signed part: what KeyID's
	// signature is over.
	Signed    string `json:"timestampSigned"`
	KeyID     string `json:"timestampKeyId"`
	Key       string `json:"timestampKey"` // what the key id is the SHA-256 of
	Signature string `json:"timestampSignature"`
}

func holders() []string {
	return []string{"root", "root-2", "targets", "snapshot", "timestamp", "publisher-a", "publisher-b", "publisher-c"}
}

func holder(name string) signing.Signer { return signing.New(licensetest.Key("tuf " + name)) }

func publics(names ...string) (all []ed25519.PublicKey) {
	for _, name := range names {
		all = append(all, holder(name).Public())
	}
	return all
}

// repository has two roots (the second brings another root key in), one
// program, two of whose three publishers signed, and one update.
func (w *world) repository(v *vectors) trust.Repository {
	w.t.Helper()
	ctx := context.Background()
	var r trust.Repository
	accept := func(d *trust.Draft, err error, names ...string) {
		w.t.Helper()
		fatal(w.t, err)
		for _, name := range names {
			fatal(w.t, d.Sign(ctx, holder(name)))
		}
		file, err := d.File()
		fatal(w.t, err)
		r, err = r.Accept(d.Role(), file, d.Files())
		fatal(w.t, err)
	}
	top := trust.RootKeys{
		Root: trust.Signers{Keys: publics("root"), Threshold: 1}, Targets: trust.Signers{Keys: publics("targets"), Threshold: 1},
		Snapshot: holder("snapshot").Public(), Timestamp: holder("timestamp").Public(),
	}
	d, err := r.DraftRoot(top, made().AddDate(-1, 0, 0), trust.Regular)
	accept(d, err, "root")
	top.Root.Keys = publics("root-2")
	d, err = r.DraftRoot(top, made(), trust.Regular)
	accept(d, err, "root", "root-2")
	d, err = r.DraftTargets(trust.TargetsChange{
		Keys: []byte(v.TrustKeys), Ended: []byte(v.Ended), Files: map[program.ID][]byte{lantern: []byte(v.Program.Text)},
		Publishers: map[program.ID]trust.Signers{lantern: {Keys: publics("publisher-a", "publisher-b", "publisher-c")}},
	}, made(), trust.Regular)
	accept(d, err, "targets")
	d, err = r.DraftProgram(lantern, nil, trust.ProgramChange{Add: []trust.Release{{
		Update: "LW-2027-02", Manifest: []byte(v.Manifest.Text), Released: time.Date(2027, time.February, 9, 17, 0, 0, 0, time.UTC),
	}}}, made(), trust.Regular)
	accept(d, err, "publisher-a", "publisher-b")
	r, err = r.Publish(ctx, trust.Online{Snapshot: holder("snapshot"), Timestamp: holder("timestamp")}, made(), trust.Regular)
	fatal(w.t, err)
	return r
}

func (w *world) tuf(v *vectors) {
	w.t.Helper()
	r := w.repository(v)
	set, err := r.Set()
	fatal(w.t, err)
	v.TUF = tufVector{
		Anchor: r.Anchor(), IssuedAt: made().Format(time.RFC3339), KeySeeds: map[string]string{}, Files: map[string]string{},
		Versions: map[string]int64{"root": 2, "targets": 1, "snapshot": 1, "timestamp": 1, string(lantern): 1},
	}
	for _, name := range holders() {
		v.TUF.KeySeeds[name] = hex.EncodeToString(licensetest.Key("tuf " + name).Seed())
	}
	for name, data := range set {
		v.TUF.Files[name] = sum(data)
	}
	var stamp struct {
		Signed     json.RawMessage
		Signatures []struct{ KeyID, Sig string }
	}
	fatal(w.t, json.Unmarshal(set["timestamp.json"], &stamp))
	var signed any
	fatal(w.t, json.Unmarshal(stamp.Signed, &signed))
	canonical, err := cjson.EncodeCanonical(signed)
	fatal(w.t, err)
	key, err := cjson.EncodeCanonical(map[string]any{
		"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": hex.EncodeToString(holder("timestamp").Public())},
	})
	fatal(w.t, err)
	v.TUF.Signed, v.TUF.Key, v.TUF.KeyID, v.TUF.Signature = string(canonical), string(key), sum(key), stamp.Signatures[0].Sig
	signature, err := hex.DecodeString(v.TUF.Signature)
	if err != nil || stamp.Signatures[0].KeyID != v.TUF.KeyID || !ed25519.Verify(holder("timestamp").Public(), canonical, signature) {
		w.t.Errorf("the timestamp's signature is not over its canonical form: %v", err)
	}
}

// folderFiles are the files below a folder, by slashed path.
func folderFiles(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	fatal(t, fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

func TestTUFFolder(t *testing.T) {
	w := newWorld(t)
	set, err := w.repository(w.vectors()).Set()
	fatal(t, err)
	if *rewrite {
		fatal(t, os.RemoveAll("tuf"))
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		path := filepath.Join("tuf", filepath.FromSlash(name))
		if *rewrite {
			fatal(t, os.MkdirAll(filepath.Dir(path), 0o755))
		}
		same(t, path, set[name])
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(set)), folderFiles(t, "tuf")); diff != "" {
		t.Errorf("files in tuf/ (-made +there):\n%s", diff)
	}
}

// A client that knows the anchor learns the folder, from the first root on.
func TestClientLearnsTheFolder(t *testing.T) {
	v := written(t)
	anchor, err := trust.ParseAnchor(v.TUF.Anchor)
	fatal(t, err)
	client, err := trust.Open(trust.Config{Folder: filepath.Join(t.TempDir(), "trust"), Now: made})
	fatal(t, err)
	ctx, folder := context.Background(), os.DirFS("tuf")
	fatal(t, client.Enroll(ctx, anchor, trust.Folder(folder)))
	fatal(t, client.Import(ctx, folder))
	status := client.Status()
	versions := map[string]int64{}
	for role, n := range status.Versions {
		versions[string(role)] = n
	}
	if diff := cmp.Diff(v.TUF.Versions, versions); diff != "" || status.Stale || status.IssuedAt.Format(time.RFC3339) != v.TUF.IssuedAt {
		t.Errorf("%+v\n%s", status, diff)
	}
	keys, err := client.TrustKeys()
	fatal(t, err)
	ended, err := client.Ended()
	fatal(t, err)
	public, err := client.Program(lantern)
	fatal(t, err)
	manifests, err := client.Manifests(lantern)
	fatal(t, err)
	if string(keys) != v.TrustKeys || string(ended) != v.Ended || string(public) != v.Program.Text ||
		len(manifests) != 1 || string(manifests[0].Bytes) != v.Manifest.Text || manifests[0].Path != v.Manifest.Path {
		t.Error("the folder holds something else than vectors.json")
	}
}
