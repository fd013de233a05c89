package trust

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/program"
)

func (v *vendor) draftKB2() *Draft {
	v.t.Helper()
	d, err := v.repo.DraftProgram(win, nil, ProgramChange{Add: []Release{{"KB2", []byte("two"), v.now}}}, v.now, Regular)
	fatal(v.t, err)
	return d
}

// travel is the way of a draft to another machine.
func travel(t testing.TB, d *Draft) *Draft {
	t.Helper()
	document, err := d.Document()
	fatal(t, err)
	got, err := ParseDraft(document)
	fatal(t, err)
	again, err := got.Document()
	fatal(t, err)
	same(t, "document", string(document), string(again))
	return got
}

// Approving a release is signing it: two publishers, each on his own machine, one
// after the other or both at once.
func TestDraftTravels(t *testing.T) {
	v := newVendor(t)
	one := travel(t, v.draftKB2())
	same(t, "role", Role(win), one.Role())
	same(t, "version", int64(2), one.Version())
	same(t, "expires", "2021-02-17T18:00:00Z", instant(one.Expires()))
	same(t, "missing", 2, one.Missing())
	same(t, "files", map[string][]byte{"windows-7/KB2.json": []byte("two")}, one.Files())
	two := travel(t, one)
	fatal(t, one.Sign(t.Context(), signer("carol")))
	wantCode(t, one.Sign(t.Context(), signer("carol")), SignedAlready)
	wantCode(t, one.Sign(t.Context(), signer("mallory")), NotASigner)
	same(t, "missing", 1, one.Missing())
	one = travel(t, one)
	fatal(t, two.Sign(t.Context(), signer("alice")))
	fatal(t, one.Merge(travel(t, two)))
	fatal(t, one.Merge(two))
	same(t, "missing", 0, one.Missing())
	one = travel(t, one)
	file, err := one.File()
	fatal(t, err)
	v.repo, err = v.repo.Accept(one.Role(), file, one.Files())
	fatal(t, err)
	v.publish()

	wantCode(t, one.Merge(v.draftKB3(t)), DraftDiffers)
}

func (v *vendor) draftKB3(t *testing.T) *Draft {
	d, err := v.repo.DraftProgram(win, nil, ProgramChange{Add: []Release{{"KB3", []byte("three"), v.now}}}, v.now, Regular)
	fatal(t, err)
	return d
}

// What a signer is shown comes from what he signs, and is compared only with what
// he signed before: a server cannot hide a change behind a past that it made up.
func TestDraftChanges(t *testing.T) {
	v := newVendor(t) // KB1 is signed by alice and bob
	d, err := v.repo.DraftProgram(win, nil, ProgramChange{
		Add: []Release{{"KB2", []byte("two"), v.now}}, Withdraw: []program.UpdateID{"KB1"},
	}, v.now, Regular)
	fatal(t, err)
	paths := func(entries []Entry) (all []string) {
		for _, e := range entries {
			all = append(all, e.Path+" "+instant(e.Released))
		}
		return all
	}
	d = travel(t, d)
	added, gone := d.Changes(signer("alice").Public())
	same(t, "added", []string{"windows-7/KB2.json 2020-01-14T18:00:00Z"}, paths(added))
	same(t, "gone", []string{"windows-7/KB1.json"}, gone)

	keep := travel(t, v.draftKB2())
	added, _ = keep.Changes(signer("bob").Public())
	same(t, "added for bob", 1, len(added))
	added, gone = keep.Changes(signer("carol").Public()) // she did not sign KB1
	same(t, "added for carol", []string{"windows-7/KB1.json 2020-01-14T18:00:00Z", "windows-7/KB2.json 2020-01-14T18:00:00Z"}, paths(added))
	same(t, "gone for carol", 0, len(gone))

	hidden := travel(t, v.draftKB2())
	hidden.previous = roleFile(t, win, 1, listed(t, "windows-7/KB2.json", "two"), "mallory", "trudy")
	added, _ = travel(t, hidden).Changes(signer("alice").Public())
	same(t, "added, with a made-up past", 2, len(added))
	// The past of another instant is not the same entry.
	moved := travel(t, v.draftKB2())
	moved.previous = roleFile(t, win, 1, listed(t, "windows-7/KB2.json", "two"), "alice")
	moved.targets.Signed.Targets["windows-7/KB2.json"], err = listing([]byte("two"), start.AddDate(1, 0, 0))
	fatal(t, err)
	added, _ = moved.Changes(signer("alice").Public())
	same(t, "added, moved", 2, len(added))
}

func TestDraftShowsKeys(t *testing.T) {
	v := newVendor(t)
	d, err := v.repo.DraftTargets(TargetsChange{Publishers: map[program.ID]Signers{"server-2008": {Keys: keys("dora", "emil")}}}, v.now, Regular)
	fatal(t, err)
	same(t, "publishers", map[program.ID]Signers{
		win: {keys("alice", "bob", "carol"), 2}, "server-2008": {keys("dora", "emil"), 2},
	}, travel(t, d).Publishers())
	d, err = v.repo.DraftRoot(topKeys(), v.now.AddDate(1, 0, 0), Regular)
	fatal(t, err)
	d = travel(t, d)
	got, ok := d.RootKeys()
	same(t, "root keys", topKeys(), got)
	if _, other := v.draftKB2().RootKeys(); !ok || other || d.Entries() != nil || d.Publishers() != nil || d.Version() != 2 || d.Expires().Year() != 2024 {
		t.Error("a root is not shown as one")
	}
}

// Whatever is changed in a draft on its way is found out, or breaks the
// signatures that are on it.
func TestDraftTampering(t *testing.T) {
	v := newVendor(t)
	d := v.draftKB2()
	fatal(t, d.Sign(t.Context(), signer("alice")))
	document, err := d.Document()
	fatal(t, err)
	var doc map[string]any
	for name, change := range map[string]func(){
		"another format":         func() { doc["format"] = "esu-draft-2" },
		"another role":           func() { doc["role"] = "server-2008" },
		"a role of the top":      func() { doc["role"] = "timestamp" },
		"an unknown field":       func() { doc["note"] = "hello" },
		"no signers":             func() { doc["signers"] = nil },
		"a bad key":              func() { signersOf(doc)["keys"] = []string{"ed25519:x"} },
		"nobody must sign":       func() { signersOf(doc)["threshold"] = 0 },
		"more than there are":    func() { signersOf(doc)["threshold"] = 4 },
		"one key twice":          func() { signersOf(doc)["keys"] = []string{text("alice"), text("alice")} },
		"another expiry":         func() { doc["signed"].(map[string]any)["expires"] = "2031-01-01T00:00:00Z" },
		"another version":        func() { doc["signed"].(map[string]any)["version"] = 7 },
		"another path":           func() { entriesOf(doc)["x/KB2.json"] = entriesOf(doc)["windows-7/KB2.json"] },
		"a null":                 func() { entriesOf(doc)["windows-7/KB2.json"] = nil },
		"no metadata":            func() { doc["signed"] = "hello" },
		"a false signature":      func() { doc["signatures"] = map[string]any{text("alice"): []byte("x")} },
		"a stranger's signature": func() { doc["signatures"] = map[string]any{text("mallory"): make([]byte, 64)} },
		"another manifest":       func() { doc["files"] = map[string][]byte{"windows-7/KB2.json": []byte("TWO")} },
		"a file beside":          func() { doc["files"] = map[string][]byte{"windows-7/KB9.json": nil} },
	} {
		doc = nil
		fatal(t, json.Unmarshal(document, &doc))
		change()
		bad, err := json.Marshal(doc)
		fatal(t, err)
		_, err = ParseDraft(bad)
		if wantCode(t, err, DraftMalformed); t.Failed() {
			t.Fatal(name)
		}
	}
	_, err = ParseDraft(append(document, '{'))
	wantCode(t, err, DraftMalformed)
}

func text(name string) string                     { return signing.PublicText(signer(name).Public()) }
func signersOf(doc map[string]any) map[string]any { return doc["signers"].([]any)[0].(map[string]any) }
func entriesOf(doc map[string]any) map[string]any {
	return doc["signed"].(map[string]any)["targets"].(map[string]any)
}

// A draft that names its own signers gets nobody in: the office asks what it
// trusts itself.
func TestDraftCannotNameItsSigners(t *testing.T) {
	v := newVendor(t)
	d := v.draftKB2()
	d.groups = []Signers{{keys("mallory"), 1}}
	d = travel(t, d)
	fatal(t, d.Sign(t.Context(), signer("mallory")))
	same(t, "missing, it says", 0, d.Missing())
	file, err := d.File()
	fatal(t, err)
	_, err = v.repo.Accept(d.Role(), file, d.Files())
	wantCode(t, err, NotSigned)
}

// FuzzParseDraft: what is read is written again as the same, its signatures
// verify, and everything that a signer is shown can be shown.
func FuzzParseDraft(f *testing.F) {
	v := newVendor(f)
	root, err := v.repo.DraftRoot(topKeys(), start, Regular)
	fatal(f, err)
	targets, err := v.repo.DraftTargets(TargetsChange{Ended: []byte("ended")}, start, Regular)
	fatal(f, err)
	kb2 := v.draftKB2()
	for name, d := range map[string]*Draft{"root a": root, "targets": targets, "alice": kb2} {
		fatal(f, d.Sign(f.Context(), signer(name)))
		document, err := d.Document()
		fatal(f, err)
		f.Add(document)
		f.Add(bytes.ReplaceAll(document, []byte("windows-7"), []byte("root")))
		f.Add(document[:len(document)/2])
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		d, err := ParseDraft(document)
		if err != nil {
			return
		}
		_ = travel(t, d)
		for _, group := range d.groups {
			for _, key := range group.Keys {
				d.Changes(key)
				if d.signature(key) != nil && d.root == nil && !signedBy(d.targets, key) {
					t.Error("keeps a signature that does not verify")
				}
			}
		}
		for _, e := range d.Entries() {
			if !allowed(d.Role(), e.Path) || strings.Contains(e.name(), "..") {
				t.Errorf("%s lists %s", d.Role(), e.Path)
			}
		}
		d.Publishers()
		if _, ok := d.RootKeys(); ok != (d.Role() == Root) {
			t.Error("a root without keys")
		}
		if _, err := d.File(); err != nil || d.Missing() < 0 {
			t.Errorf("file: %v, missing %d", err, d.Missing())
		}
		if d.Expires().Before(time.Time{}) {
			t.Error("expires before time")
		}
	})
}
