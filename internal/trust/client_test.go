package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Expiry stops learning, not using: years later, with no server, a device opens
// what it verified, says how old it is, and still has every manifest.
func TestExpiryStopsLearningNotUsing(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	fatal(t, d.refresh(s))
	for _, years := range []int{0, 1, 5, 20} {
		*d.now = v.now.AddDate(years, 0, 0)
		d.reopen()
		same(t, "held", held, d.holds())
		st := d.Status()
		if st.Stale != (years > 0) || st.Age != d.now.Sub(v.now.Truncate(time.Second)) || !st.IssuedAt.Equal(v.now.Truncate(time.Second)) {
			t.Errorf("after %d years: %+v", years, st)
		}
	}
	if st := d.Status(); instant(st.Expires) != "2020-01-17T18:00:00Z" {
		t.Errorf("expires %s", st.Expires)
	}
}

// A clock that went back to 1970 freezes nobody: the vendor's signed instant is
// the earliest that is judged by.
func TestClockBehind(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	*d.now = time.Unix(0, 0)
	if st := d.Status(); st.Stale || st.Age != 0 {
		t.Errorf("status %+v", st)
	}
	v.now = v.now.AddDate(0, 0, 401) // the publishers have not signed anew
	s.now(v.steal(v.set(), 9, 9, v.roles()))
	wantCode(t, d.refresh(s), Expired)
}

func TestImport(t *testing.T) {
	v := newVendor(t)
	first := v.set()
	v.now = v.now.AddDate(0, 1, 0)
	v.release("KB2", "the second manifest")
	k := topKeys()
	k.Snapshot, k.Timestamp = signer("snapshot 2").Public(), signer("timestamp 2").Public()
	v.rotate(k, "root a", "root b")
	v.online = Online{signer("snapshot 2"), signer("timestamp 2")}
	v.publish()
	second := v.set()

	// A year later, on a device that never had a network.
	d := newDevice(t, v.now.AddDate(1, 0, 0), win)
	wantCode(t, d.Import(t.Context(), bundle(first)), NotEnrolled)
	fatal(t, d.Enroll(t.Context(), v.anchor(), Folder(bundle(first))))
	fatal(t, d.Import(t.Context(), bundle(first)))
	if st := d.Status(); !st.Stale || st.Versions[Role(win)] != 1 || st.Age < 365*24*time.Hour {
		t.Errorf("status %+v", st)
	}
	held := d.holds()

	broken := maps.Clone(second)
	delete(broken, "2.root.json")
	wantCode(t, d.Import(t.Context(), bundle(broken)), NotSigned)
	partial := maps.Clone(second)
	delete(partial, nameOf(second, ".KB2.json"))
	wantCode(t, d.Import(t.Context(), bundle(partial)), Missing)
	same(t, "held", held, d.holds())

	fatal(t, d.Import(t.Context(), bundle(second)))
	held = d.holds()
	fatal(t, d.Import(t.Context(), bundle(second))) // once more is no harm
	older := v.steal(second, 1, 2, v.roles())
	delete(older, timestampName)
	wantCode(t, d.Import(t.Context(), bundle(older)), Missing)
	older[timestampName] = first[timestampName]
	wantCode(t, d.Import(t.Context(), bundle(older)), NotSigned)
	d.reopen()
	same(t, "held", held, d.holds())
	// The same bundle over the network is a freeze.
	wantCode(t, d.refresh(serve(t, second)), Expired)
}

func TestImportNeverGoesBack(t *testing.T) {
	v := newVendor(t)
	first := v.set()
	v.release("KB2", "two")
	v.publish()
	d := enrolled(v, serve(t, v.set()))
	held := d.holds()
	wantCode(t, d.Import(t.Context(), bundle(first)), RolledBack)
	d.reopen()
	wantCode(t, d.Import(t.Context(), bundle(first)), RolledBack)
	same(t, "held", held, d.holds())
}

// A site serves what it holds, and a device that asks it learns the same.
func TestSiteServesWhatItHolds(t *testing.T) {
	v := newVendor(t)
	v.rotate(topKeys(), "root a", "root b")
	v.publish()
	site := newDevice(t, v.now)
	s := serve(t, v.set())
	fatal(t, site.Enroll(t.Context(), v.anchor(), s.fetch))
	fatal(t, site.refresh(s))
	files, err := site.Files()
	fatal(t, err)
	same(t, "files", v.set(), files)
	d := enrolled(v, serve(t, files))
	same(t, "held", site.holds(), d.holds())
}

// A refresh that finds nothing new asks for two files and writes none.
func TestRefreshIsSmall(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	path := filepath.Join(d.cfg.Folder, stateFile)
	before, err := os.Stat(path)
	fatal(t, err)
	s.now(v.set())
	fatal(t, d.refresh(s))
	same(t, "asked", []string{"2.root.json", "timestamp.json"}, s.asked)
	after, err := os.Stat(path)
	fatal(t, err)
	if !os.SameFile(before, after) {
		t.Error("the state was written again")
	}
	v.renew()
	s.now(v.set())
	fatal(t, d.refresh(s))
	same(t, "asked after a renewal", []string{"2.root.json", "timestamp.json"}, s.asked)
	v.release("KB2", "two")
	v.publish()
	s.now(v.set())
	fatal(t, d.refresh(s))
	same(t, "asked after a release", []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.windows-7.json", nameOf(v.set(), ".KB2.json")}, s.asked)
}

func TestFolderIsPruned(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	fatal(t, os.WriteFile(filepath.Join(d.cfg.Folder, filesDir, ".x.tmp-1"), nil, 0o600))
	for range 3 {
		v.renew()
		s.now(v.set())
		fatal(t, d.refresh(s))
	}
	there, err := os.ReadDir(filepath.Join(d.cfg.Folder, filesDir))
	fatal(t, err)
	same(t, "files on the disk", len(v.set()), len(there))
}

func TestEnrollTwice(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	fatal(t, d.Enroll(t.Context(), v.anchor(), s.fetch))
	same(t, "held", held, d.holds())
	fatal(t, d.Enroll(t.Context(), KeyringAnchor(v.repo.Roots[0]), nil))
	v.rotate(topKeys(), "root a", "root b")
	wantCode(t, d.Enroll(t.Context(), KeyringAnchor(v.repo.Roots[1]), nil), AlreadyEnrolled)
	same(t, "held", held, d.holds())
}

func TestKeyringFile(t *testing.T) {
	v := newVendor(t)
	v.rotate(topKeys(), "root a", "root b")
	v.publish()
	d := newDevice(t, v.now, win)
	fatal(t, d.Enroll(t.Context(), KeyringAnchor(v.repo.Roots[1]), nil))
	_, err := d.TrustKeys()
	wantCode(t, err, NothingVerified)
	_, err = d.Files()
	wantCode(t, err, NothingVerified)
	fatal(t, d.refresh(serve(t, v.set())))
	if !strings.Contains(d.holds(), "the first manifest") {
		t.Error(d.holds())
	}
	for _, bad := range []string{"null", "{}", `{"signed":null}`, `{"signed":{"_type":"root","roles":{"root":null}},"signatures":[]}`, "hello", ""} {
		wantCode(t, newDevice(t, v.now).Enroll(t.Context(), KeyringAnchor([]byte(bad)), nil), Malformed)
	}
}

func TestParseAnchor(t *testing.T) {
	v := newVendor(t)
	for _, bad := range []string{"", "sha256:", v.repo.Anchor()[1:], v.repo.Anchor() + "00", v.repo.Anchor()[:70], strings.Replace(v.repo.Anchor(), "sha256", "sha512", 1), "http://example.org"} {
		_, err := ParseAnchor(bad)
		wantCode(t, err, AnchorMalformed)
	}
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(v.repo.Anchor()) {
		t.Error(v.repo.Anchor())
	}
}

func TestProgramsOfAClient(t *testing.T) {
	v := newVendor(t)
	v.targets(TargetsChange{Publishers: map[program.ID]Signers{"server-2008": {Keys: keys("dora", "emil")}}})
	v.publish()
	s := serve(t, v.set())
	d := newDevice(t, v.now, "server-2008") // has publishers, and no release yet
	fatal(t, d.Enroll(t.Context(), v.anchor(), s.fetch))
	fatal(t, d.refresh(s))
	if m, err := d.Manifests("server-2008"); len(m) != 0 || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	if text, err := d.Program("server-2008"); text != nil || err != nil {
		t.Errorf("%s, %v", text, err)
	}
	_, err := d.Program(win)
	wantCode(t, err, UnknownProgram)
	d.cfg.Programs = []program.ID{"server-2008", "windows-xp"}
	d.reopen()
	wantCode(t, d.refresh(s), UnknownProgram)
	d.cfg.Programs = nil
	d.reopen()
	fatal(t, d.refresh(s))
	if m, err := d.Manifests(win); len(m) != 1 || err != nil {
		t.Errorf("%v, %v", m, err)
	}
}

// A program that this device does not follow is kept from going back too.
func TestUnfollowedProgramDoesNotGoBack(t *testing.T) {
	v := newVendor(t)
	v.release("KB2", "two")
	v.publish()
	s := serve(t, v.set())
	v.targets(TargetsChange{Publishers: map[program.ID]Signers{"server-2008": {Keys: keys("dora", "emil")}}})
	v.publish()
	d := newDevice(t, v.now, "server-2008")
	fatal(t, d.Enroll(t.Context(), v.anchor(), s.fetch))
	s.now(v.set())
	fatal(t, d.refresh(s))
	roles := v.roles()
	roles[Role(win)] = forged{version: 1, file: roles[Role(win)].file}
	s.now(v.steal(v.set(), 9, 9, roles))
	wantCode(t, d.refresh(s), RolledBack)
}

// TUF lets a snapshot list versions alone; then the versions decide.
func TestListingWithoutDigests(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	v.release("KB2", "the second manifest")
	roles := v.roles()
	for role, f := range roles {
		f.bare = true
		roles[role] = f
	}
	set := v.steal(s.set, 2, 2, roles)
	file, err := listing([]byte("the second manifest"), start)
	fatal(t, err)
	set[(Entry{Path: "windows-7/KB2.json", SHA256: [32]byte(file.Hashes["sha256"])}).name()] = []byte("the second manifest")
	s.now(set)
	fatal(t, d.refresh(s))
	if !strings.Contains(d.holds(), "the second manifest") {
		t.Error(d.holds())
	}
}

// What was changed on the disk is found out, whichever file it is.
func TestDamagedState(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	files, err := os.ReadDir(filepath.Join(d.cfg.Folder, filesDir))
	fatal(t, err)
	paths := []string{filepath.Join(d.cfg.Folder, stateFile)}
	for _, f := range files {
		paths = append(paths, filepath.Join(d.cfg.Folder, filesDir, f.Name()))
	}
	for _, path := range paths {
		good, err := os.ReadFile(path)
		fatal(t, err)
		for what, damage := range map[string]func() error{
			"changed": func() error { return os.WriteFile(path, append([]byte(" "), good[1:]...), 0o644) },
			"gone":    func() error { return os.Remove(path) },
		} {
			if what == "gone" && strings.HasSuffix(path, stateFile) {
				continue // that is a device that is not enrolled
			}
			fatal(t, damage())
			c, err := Open(d.cfg)
			if err == nil {
				_, e1 := c.Manifests(win)
				_, e2 := c.TrustKeys()
				_, e3 := c.Program(win)
				err = errors.Join(e1, e2, e3)
			}
			wantCode(t, err, StateDamaged)
			fatal(t, durable.WriteFile(path, good, 0o644))
		}
	}
	d.reopen()
	held := d.holds()
	// A cached manifest that went bad is fetched again by the next refresh.
	manifest := paths[1]
	for _, e := range d.view.entries() {
		if strings.HasSuffix(e.Path, "KB1.json") {
			manifest = d.state.path(d.state.Files[e.name()])
		}
	}
	fatal(t, os.Truncate(manifest, 3))
	fatal(t, d.refresh(s))
	same(t, "held", held, d.holds())
}

// The pinned root is the pinned root, even when another well-made one is put in
// its place on the disk.
func TestSwappedRoot(t *testing.T) {
	v, evil := newVendor(t), newVendor(t)
	d := newDevice(t, v.now, win)
	fatal(t, d.Enroll(t.Context(), KeyringAnchor(v.repo.Roots[0]), nil))
	k := topKeys()
	k.Root = Signers{keys("mallory"), 1}
	evil.repo.Roots = nil
	draft, err := evil.repo.DraftRoot(k, start, Regular)
	evil.accept(draft, err, "mallory")
	fatal(t, os.WriteFile(d.state.path(d.state.Files["1.root.json"]), evil.repo.Roots[0], 0o644))
	wantCode(t, d.refresh(serve(t, evil.set())), StateDamaged)
}

func TestExposedState(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps no mode bits")
	}
	v := newVendor(t)
	d := enrolled(v, serve(t, v.set()))
	if info, err := os.Stat(d.cfg.Folder); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("folder mode %v, %v", info.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o775, 0o757, 0o777} {
		fatal(t, os.Chmod(d.cfg.Folder, mode))
		_, err := Open(d.cfg)
		wantCode(t, err, StateExposed)
	}
}

// Several processes and goroutines share a folder; nobody sees half a state, and
// nobody goes back.
func TestSharedFolder(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	other, err := Open(d.cfg)
	fatal(t, err)
	v.release("KB2", "two")
	v.publish()
	second := v.set()
	v.publish()
	s.now(v.set())
	fatal(t, d.refresh(s))
	// The other process holds version 1 in memory. Version 2 would be news to it,
	// but the folder is past that.
	wantCode(t, other.Refresh(t.Context(), Folder(bundle(second))), RolledBack)
	same(t, "version of the other", int64(3), other.Status().Versions[Snapshot])

	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			switch err := other.Refresh(context.Background(), s.fetch); {
			case err != nil && problem.CodeOf(err) != durable.InUse:
				t.Error(err)
			}
			if m, err := other.Manifests(win); err != nil || len(m) != 2 {
				t.Error(i, m, err)
			}
		})
	}
	group.Wait()

	owner, err := durable.Lock(d.cfg.Folder)
	fatal(t, err)
	wantCode(t, d.refresh(s), durable.InUse)
	fatal(t, owner.Unlock())
}

// Who only reads is not told that the state is damaged because another process
// has learned and removed what it needs no more.
func TestReadingWhileAnotherLearns(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	learn := func(n int) {
		v.targets(TargetsChange{Keys: fmt.Appendf(nil, "keys %d", n), Files: map[program.ID][]byte{win: fmt.Appendf(nil, "program %d", n)}})
		v.release(program.UpdateID(fmt.Sprintf("KB10%d", n)), "more")
		v.publish()
		s.now(v.set())
	}
	for n, read := range map[int]func(*Client) (string, error){
		1: func(c *Client) (string, error) { b, err := c.TrustKeys(); return string(b), err },
		2: func(c *Client) (string, error) { b, err := c.Program(win); return string(b), err },
		3: func(c *Client) (string, error) { f, err := c.Files(); return fmt.Sprint(len(f) > 0), err },
	} {
		reader, err := Open(d.cfg)
		fatal(t, err)
		learn(n)
		fatal(t, d.refresh(s))
		want, err := read(d.Client)
		fatal(t, err)
		got, err := read(reader)
		fatal(t, err)
		same(t, "read", want, got)
		same(t, "state", d.Status().Versions, reader.Status().Versions)
	}

	// The same while a folder is being opened.
	var news []Set
	for n := range 20 {
		learn(10 + n)
		news = append(news, v.set())
	}
	var learned atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		defer learned.Store(true)
		for _, set := range news {
			s.now(set)
			if err := d.refresh(s); err != nil {
				t.Error(err)
			}
		}
	})
	for !learned.Load() && !t.Failed() {
		if _, err := Open(d.cfg); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}

// A crash at any write leaves the old state or the new one: here, every file of
// the new state is there but the index.
func TestCrashBeforeTheIndex(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	index, err := os.ReadFile(filepath.Join(d.cfg.Folder, stateFile))
	fatal(t, err)
	v.release("KB2", "two")
	v.publish()
	s.now(v.set())
	files := map[string][]byte{}
	for name := range d.state.Files {
		data, err := d.state.source(name, maxTarget)
		fatal(t, err)
		files[d.state.path(d.state.Files[name])] = data
	}
	fatal(t, d.refresh(s))
	for path, data := range files { // what the prune took away comes after the index
		fatal(t, os.WriteFile(path, data, 0o644))
	}
	fatal(t, os.WriteFile(filepath.Join(d.cfg.Folder, stateFile), index, 0o644))
	d.reopen()
	same(t, "held", held, d.holds())
	fatal(t, d.refresh(s))
}

// A problem that the fetch names itself goes through to the person.
func TestFetchNamesItsOwnProblem(t *testing.T) {
	v := newVendor(t)
	d := enrolled(v, serve(t, v.set()))
	named := problem.New(problem.Unavailable, "wire.no-name-resolution", "host", "x")
	err := d.Refresh(t.Context(), func(context.Context, string) (io.ReadCloser, error) { return nil, named })
	wantCode(t, err, "wire.no-name-resolution")
}

// A thief at random: with both online keys he mixes, drops, cuts and flips what
// the vendor ever signed, and lists it properly. Whatever a device accepts is a
// set of manifests that publishers signed, and never an older one.
func TestRandomThief(t *testing.T) {
	v := newVendor(t)
	var history []Set
	var honest []string // what a device would hold at each step
	roles := map[Role][]forged{}
	remember := func() {
		history = append(history, v.set())
		honest = append(honest, enrolled(v, serve(t, v.set())).holds())
		for role, f := range v.roles() {
			if known := roles[role]; len(known) == 0 || known[len(known)-1].version < f.version {
				roles[role] = append(known, f)
			}
		}
	}
	remember()
	v.release("KB2", "two")
	v.publish()
	remember()
	v.release("KB3", "three", "bob", "carol")
	v.targets(TargetsChange{Keys: []byte("more keys")})
	v.publish()
	remember()
	all := Set{}
	for _, set := range history {
		maps.Copy(all, set)
	}
	s := serve(t, history[1])
	d := enrolled(v, s)
	number := int64(100)
	rapid.Check(t, func(rt *rapid.T) {
		number++
		offer := map[Role]forged{}
		for _, role := range []Role{Targets, Role(win)} {
			f := rapid.SampledFrom(roles[role]).Draw(rt, string(role))
			f.bare = rapid.Bool().Draw(rt, "bare")
			if rapid.IntRange(0, 9).Draw(rt, "lie") == 0 {
				f.version = rapid.Int64Range(0, 5).Draw(rt, "version")
			}
			if rapid.IntRange(0, 3).Draw(rt, "flip") == 0 {
				f.file = append([]byte{}, f.file...)
				f.file[rapid.IntRange(0, len(f.file)-1).Draw(rt, "at")] ^= byte(1 << rapid.IntRange(0, 6).Draw(rt, "bit"))
			}
			offer[role] = f
		}
		set := v.steal(all, number, number, offer)
		if rapid.Bool().Draw(rt, "touch") {
			name := rapid.SampledFrom(sortedKeys(set)).Draw(rt, "file")
			other := rapid.SampledFrom(sortedKeys(set)).Draw(rt, "other")
			if rapid.Bool().Draw(rt, "drop") {
				delete(set, name)
			} else {
				set[name] = set[other]
			}
		}
		before := d.holds()
		beforeVersions := d.Status().Versions
		s.now(set)
		err := d.refresh(s)
		after := d.holds()
		if err != nil && after != before {
			rt.Fatalf("refused with %v, and changed:\n%s", err, after)
		}
		for role, version := range beforeVersions {
			if d.Status().Versions[role] < version {
				rt.Fatalf("%s went back", role)
			}
		}
		for _, m := range strings.Split(strings.TrimSpace(after), "\n") {
			if !strings.Contains(strings.Join(honest, ""), m+"\n") {
				rt.Fatalf("holds what nobody signed: %s", m)
			}
		}
	})
}

// The instant of judgment is chosen in one file.
func TestOneFileChoosesTheInstant(t *testing.T) {
	files, err := filepath.Glob("*.go")
	fatal(t, err)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		fatal(t, err)
		sets := regexp.MustCompile(`\.RefTime = |UnsafeSetRefTime\(`).Match(text)
		if sets && file != "asof.go" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s chooses it too", file)
		}
		if sets && file == "asof.go" {
			found++
		}
	}
	same(t, "files that choose", 1, found)
}
