package trust

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/program"
)

// What is served, to the byte of its names and the second of its expiries.
func TestGenesis(t *testing.T) {
	v := newVendor(t)
	set := v.set()
	for name := range set {
		switch {
		case strings.HasPrefix(name, "targets/trust/") && strings.HasSuffix(name, ".keys.json"),
			strings.HasPrefix(name, "targets/programs/") && strings.HasSuffix(name, ".windows-7.json"),
			strings.HasPrefix(name, "targets/windows-7/") && strings.HasSuffix(name, ".KB1.json"):
		case set[name] != nil && strings.Contains("1.root.json timestamp.json 1.snapshot.json 1.targets.json 1.windows-7.json", name):
		default:
			t.Errorf("serves %s", name)
		}
	}
	same(t, "files", 8, len(set))
	for name, want := range map[string]string{
		"1.root.json": "2023-01-14T18:00:00Z", "1.targets.json": "2022-01-14T18:00:00Z", "1.windows-7.json": "2021-02-17T18:00:00Z",
		"1.snapshot.json": "2020-02-13T18:00:00Z", "timestamp.json": "2020-01-17T18:00:00Z",
	} {
		var m struct {
			Signed struct {
				Expires            string `json:"expires"`
				IssuedAt           string `json:"issued_at"`
				ConsistentSnapshot *bool  `json:"consistent_snapshot"`
			} `json:"signed"`
		}
		fatal(t, json.Unmarshal(set[name], &m))
		same(t, name+" expires", want, m.Signed.Expires)
		if name == "timestamp.json" && m.Signed.IssuedAt != "2020-01-14T18:00:00Z" {
			t.Errorf("issued_at is %q", m.Signed.IssuedAt)
		}
		if name == "1.root.json" && (m.Signed.ConsistentSnapshot == nil || !*m.Signed.ConsistentSnapshot) {
			t.Error("snapshots are not consistent")
		}
	}
	var m metadata.Metadata[metadata.TargetsType]
	fatal(t, json.Unmarshal(set["1.targets.json"], &m))
	role := m.Signed.Delegations.Roles[0]
	if role.Name != "windows-7" || role.Threshold != 2 || !role.Terminating || len(role.Paths) != 1 || role.Paths[0] != "windows-7/*" {
		t.Errorf("delegation %+v", role)
	}
}

func TestAcceptRefusals(t *testing.T) {
	v := newVendor(t)
	add := ProgramChange{Add: []Release{{"KB2", []byte("two"), v.now}}}
	draft := func(names ...string) []byte {
		d, err := v.repo.DraftProgram(win, nil, add, v.now, Regular)
		return signed(t, d, err, names...)
	}
	files := map[string][]byte{"windows-7/KB2.json": []byte("two")}
	_, err := v.repo.Accept(Role(win), draft("alice"), files)
	wantCode(t, err, NotSigned)
	_, err = v.repo.Accept(Role(win), draft("alice", "carol"), nil)
	wantCode(t, err, Missing)
	_, err = v.repo.Accept(Role(win), draft("alice", "carol"), map[string][]byte{"windows-7/KB2.json": []byte("TWO")})
	wantCode(t, err, WrongHash)
	_, err = v.repo.Accept("server-2008", draft("alice", "carol"), files)
	wantCode(t, err, OutsidePaths)
	next, err := v.repo.Accept(Role(win), draft("alice", "carol"), files)
	fatal(t, err)
	_, err = next.Accept(Role(win), draft("alice", "bob"), files) // drafted before, and late
	wantCode(t, err, DraftStale)
	_, err = v.repo.Accept(Root, v.repo.Roots[0], nil)
	wantCode(t, err, DraftStale)
	_, err = v.repo.Accept(Targets, v.repo.Targets, nil)
	wantCode(t, err, DraftStale)
	if len(v.repo.Files) != 3 || len(next.Files) != 4 {
		t.Errorf("%d and %d files; Accept must not touch what it was called on", len(v.repo.Files), len(next.Files))
	}
}

func TestDraftRefusals(t *testing.T) {
	v := newVendor(t)
	publishers := func(s Signers) TargetsChange { return TargetsChange{Publishers: map[program.ID]Signers{win: s}} }
	for _, c := range []struct {
		name   string
		change TargetsChange
		code   string
	}{
		{"one publisher where two must sign", publishers(Signers{Keys: keys("alice")}), "trust.threshold-unreachable"},
		{"a negative threshold", publishers(Signers{keys("alice"), -1}), "trust.threshold-unreachable"},
		{"one publisher twice", publishers(Signers{Keys: keys("alice", "alice")}), "trust.key-twice"},
		{"an online publisher", publishers(Signers{Keys: keys("alice", "snapshot")}), "trust.key-online"},
		{"two of three revoked", TargetsChange{Revoke: keys("alice", "bob")}, "trust.threshold-unreachable"},
		{"a program named trust", TargetsChange{Publishers: map[program.ID]Signers{"trust": {Keys: keys("alice", "bob")}}}, "trust.program-id"},
		{"a program named programs", TargetsChange{Files: map[program.ID][]byte{"programs": {}}}, "trust.program-id"},
		{"a program named root", TargetsChange{Files: map[program.ID][]byte{"root": {}}}, "trust.program-id"},
		{"a program named timestamp", TargetsChange{Files: map[program.ID][]byte{"timestamp": {}}}, "trust.program-id"},
		{"a program with a slash", TargetsChange{Files: map[program.ID][]byte{"a/b": {}}}, "trust.program-id"},
		{"a program with a star", TargetsChange{Files: map[program.ID][]byte{"*": {}}}, "trust.program-id"},
	} {
		if _, err := v.repo.DraftTargets(c.change, v.now, Regular); err == nil || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	d, err := v.repo.DraftTargets(publishers(Signers{keys("alice"), 1}), v.now, Regular)
	fatal(t, err)
	same(t, "threshold as asked", 1, d.Publishers()[win].Threshold)

	online := topKeys()
	online.Timestamp = signer("root a").Public()
	_, err = v.repo.DraftRoot(online, v.now, Regular)
	wantCode(t, err, KeyOnline)
	online.Timestamp = signer("alice").Public()
	_, err = v.repo.DraftRoot(online, v.now, Regular)
	wantCode(t, err, KeyOnline)
	few := topKeys()
	few.Root.Threshold = 3
	_, err = v.repo.DraftRoot(few, v.now, Regular)
	wantCode(t, err, ThresholdUnreachable)

	for _, c := range []struct {
		id     program.ID
		change ProgramChange
		code   string
	}{
		{"server-2008", ProgramChange{}, "trust.unknown-program"},
		{win, ProgramChange{Withdraw: []program.UpdateID{"KB9"}}, "trust.update-not-listed"},
		{win, ProgramChange{Add: []Release{{"KB1", nil, v.now}}}, "trust.update-listed"},
		{win, ProgramChange{Add: []Release{{"a/b", nil, v.now}}}, "trust.update-id"},
		{win, ProgramChange{Add: []Release{{"", nil, v.now}}}, "trust.update-id"},
		{win, ProgramChange{Add: []Release{{"KB2", nil, time.Time{}}}}, "trust.update-id"},
	} {
		if _, err := v.repo.DraftProgram(c.id, nil, c.change, v.now, Regular); err == nil || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s %+v: %v, want %s", c.id, c.change, err, c.code)
		}
	}
}

func TestWithdrawAndReplace(t *testing.T) {
	v := newVendor(t)
	v.release("KB2", "two")
	d, err := v.repo.DraftProgram(win, nil, ProgramChange{
		Withdraw: []program.UpdateID{"KB1", "KB2"}, Add: []Release{{"KB2", []byte("two, mended"), v.now}},
	}, v.now, Regular)
	v.accept(d, err, "alice", "bob")
	v.targets(TargetsChange{Ended: []byte("ended"), Files: map[program.ID][]byte{win: []byte("amended")}})
	v.publish()
	s := serve(t, v.set())
	dev := enrolled(v, s)
	same(t, "held", "keys {\"keys\":[]}\nprogram amended\nwindows-7/KB2.json KB2 2020-01-14T18:00:00Z two, mended\n", dev.holds())
	ended, err := dev.Ended()
	fatal(t, err)
	same(t, "ended", "ended", string(ended))
	same(t, "files kept", 4, len(v.repo.Files))
}

func TestRenew(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	for range 19*24 + 23 {
		v.now = v.now.Add(time.Hour)
		v.renew()
	}
	if v.set()["1.snapshot.json"] == nil {
		t.Error("the snapshot changed before its time")
	}
	for range 30 * 24 {
		v.now = v.now.Add(time.Hour)
		v.renew()
	}
	*d.now = v.now
	s.now(v.set())
	fatal(t, d.refresh(s))
	if st := d.Status(); st.Stale || st.Versions[Snapshot] != 3 || st.Versions[Timestamp] != 1+19*24+23+30*24 {
		t.Errorf("status %+v", st)
	}
	v.online.Timestamp = signer("snapshot")
	_, err := v.repo.Renew(t.Context(), v.online, v.now)
	wantCode(t, err, NotSigned)
}

func TestPublishRefusals(t *testing.T) {
	v := newVendor(t)
	back := v.repo
	v.release("KB2", "two")
	v.publish()
	back.Snapshot, back.Timestamp = v.repo.Snapshot, v.repo.Timestamp
	_, err := back.Publish(t.Context(), v.online, v.now, Regular)
	wantCode(t, err, RolledBack)
	lost := v.repo
	lost.Programs = nil
	_, err = lost.Publish(t.Context(), v.online, v.now, Regular)
	wantCode(t, err, RolledBack)
	lost = v.repo
	lost.Files = maps.Clone(lost.Files)
	delete(lost.Files, KeysPath)
	_, err = lost.Publish(t.Context(), v.online, v.now, Regular)
	wantCode(t, err, Missing)
}

// One program whose publishers went home does not hold back another's release,
// nor the hourly timestamp.
func TestExpiredProgramHoldsNobodyBack(t *testing.T) {
	v := newVendor(t)
	v.targets(TargetsChange{Publishers: map[program.ID]Signers{"server-2008": {Keys: keys("dora", "emil")}}})
	d, err := v.repo.DraftProgram("server-2008", nil, ProgramChange{}, v.now, Regular)
	v.accept(d, err, "dora", "emil")
	v.publish()
	s := serve(t, v.set())
	dev, other := enrolled(v, s), newDevice(t, v.now, "server-2008")
	fatal(t, other.Enroll(t.Context(), v.anchor(), s.fetch))
	fatal(t, other.refresh(s))
	v.now = v.now.AddDate(0, 0, 401)
	*dev.now, *other.now = v.now, v.now
	v.release("KB2", "two")
	v.publish()
	s.now(v.set())
	fatal(t, dev.refresh(s))
	wantCode(t, other.refresh(s), Expired)
	_, err = other.Manifests("server-2008")
	fatal(t, err)
	_, err = other.Manifests(win)
	wantCode(t, err, UnknownProgram)
}

func TestFinalSet(t *testing.T) {
	v := newVendor(t)
	d, err := v.repo.DraftRoot(topKeys(), v.now, Final)
	v.accept(d, err, "root a", "root b")
	d, err = v.repo.DraftTargets(TargetsChange{}, v.now, Final)
	v.accept(d, err, "targets")
	d, err = v.repo.DraftProgram(win, nil, ProgramChange{}, v.now, Final)
	v.accept(d, err, "bob", "carol")
	v.repo, err = v.repo.Publish(t.Context(), v.online, v.now, Final)
	fatal(t, err)
	s := serve(t, v.set())
	v.now = v.now.AddDate(10, 0, -1)
	dev := enrolled(v, s)
	if st := dev.Status(); st.Stale || instant(st.Expires) != "2030-01-14T18:00:00Z" {
		t.Errorf("status %+v", st)
	}
}

func TestRotation(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	k := topKeys()
	k.Root = Signers{keys("root b", "root c", "root d"), 2}
	draft, err := v.repo.DraftRoot(k, v.now, Regular)
	fatal(t, err)
	for _, names := range [][]string{{"root b", "root c"}, {"root a", "root b"}} { // the new threshold only, the old one only
		one, err := v.repo.DraftRoot(k, v.now, Regular)
		_, err = v.repo.Accept(Root, signed(t, one, err, names...), nil)
		wantCode(t, err, NotSigned)
	}
	for _, c := range []struct {
		name    string
		missing int
	}{{"root a", 2}, {"root b", 1}, {"root c", 0}} {
		fatal(t, draft.Sign(t.Context(), signer(c.name)))
		same(t, "missing after "+c.name, c.missing, draft.Missing())
	}
	v.accept(draft, nil)
	k.Targets = Signers{keys("targets 2"), 1}
	v.rotate(k, "root c", "root d")
	v.publishFails(NotSigned) // targets must be signed anew first
	td, err := v.repo.DraftTargets(TargetsChange{}, v.now, Regular)
	v.accept(td, err, "targets 2")
	v.publish()
	s.now(v.set())
	fatal(t, d.refresh(s)) // over two roots in one go
	same(t, "versions", Versions{Root: 3, Timestamp: 2, Snapshot: 2, Targets: 2, Role(win): 1}, d.Status().Versions)
	got, err := v.repo.RootKeys()
	fatal(t, err)
	same(t, "root keys", k, got)
}

// After a restore, everything new is numbered above what was seen in public, and
// what stands below it is not served.
func TestRestoredServerStartsAbove(t *testing.T) {
	v := newVendor(t)
	backup := v.repo
	v.release("KB2", "two")
	v.targets(TargetsChange{Keys: []byte("more keys")})
	v.publish()
	v.renew()
	s := serve(t, v.set())
	d := enrolled(v, s)
	site, err := d.Files()
	fatal(t, err)

	v.repo = backup
	forged := v.steal(site, 99, 99, v.roles())
	forged[timestampName] = site["1.root.json"]
	_, err = v.repo.Observe(forged)
	wantCode(t, err, Malformed)
	seen, err := v.repo.Observe(site)
	fatal(t, err)
	same(t, "seen", Versions{Root: 1, Targets: 2, Snapshot: 2, Timestamp: 3, Role(win): 2}, seen)
	v.repo = v.repo.AdoptVersions(Versions{Timestamp: 1}).AdoptVersions(seen)
	v.publishFails(BelowAdopted)
	_, err = v.repo.Renew(t.Context(), v.online, v.now)
	wantCode(t, err, BelowAdopted)
	v.targets(TargetsChange{Keys: []byte("more keys, once more")})
	v.publishFails(BelowAdopted)
	v.release("KB2", "two, once more")
	v.publish()
	s.now(v.set())
	fatal(t, d.refresh(s))
	same(t, "versions", Versions{Root: 1, Targets: 3, Snapshot: 3, Timestamp: 4, Role(win): 3}, d.Status().Versions)
	v.repo = v.repo.AdoptVersions(Versions{Root: 2})
	v.publishFails(BelowAdopted)
}

func TestPlace(t *testing.T) {
	v := newVendor(t)
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	queue := func(days ...int) (q []Queued) {
		for i, n := range days {
			q = append(q, Queued{day(n), roleFile(t, win, int64(i+2), func(*metadata.TargetsType) {}, "alice")})
		}
		return q
	}
	published := v.repo.Programs[win]
	q := queue(10, 20, 20, 30)
	for _, c := range []struct {
		day   int
		base  []byte
		again int
	}{
		{5, published, 4}, {10, q[0].File, 3}, {15, q[0].File, 3}, {20, q[2].File, 1}, {25, q[2].File, 1}, {30, q[3].File, 0}, {99, q[3].File, 0},
	} {
		base, again, err := Place(Role(win), published, q, day(c.day))
		fatal(t, err)
		same(t, "base", string(c.base), string(base))
		same(t, "again", q[len(q)-c.again:], append([]Queued{}, again...))
	}
	base, again, err := Place(Role(win), nil, nil, day(1))
	if base != nil || again != nil || err != nil {
		t.Errorf("of nothing: %v %v %v", base, again, err)
	}
	_, _, err = Place(Role(win), published, []Queued{q[1], {day(25), q[0].File}}, day(1))
	wantCode(t, err, DraftStale)
	_, _, err = Place(Role(win), q[1].File, q, day(1))
	wantCode(t, err, DraftStale)
	_, _, err = Place(Role(win), published, []Queued{{day(1), []byte("{}")}}, day(1))
	wantCode(t, err, Malformed)
}

// The whole way of a queue: two versions wait, one is put before them, and those
// are drafted and signed anew. Everything is published at its instant.
func TestQueueStory(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	type waiting struct {
		Queued
		release Release
		files   map[string][]byte
	}
	var queue []waiting
	add := func(base []byte, r Release) []byte {
		draft, err := v.repo.DraftProgram(win, base, ProgramChange{Add: []Release{r}}, v.now, Regular)
		file := signed(t, draft, err, "bob", "carol")
		queue = append(queue, waiting{Queued{r.Released, file}, r, draft.Files()})
		return file
	}
	at := func(days int) time.Time { return start.Truncate(time.Second).AddDate(0, 0, days) }
	base := add(nil, Release{"KB10", []byte("ten"), at(10)})
	add(base, Release{"KB20", []byte("twenty"), at(20)})

	urgent := Release{"KB5", []byte("five"), at(5)}
	base, again, err := Place(Role(win), v.repo.Programs[win], []Queued{queue[0].Queued, queue[1].Queued}, urgent.Released)
	fatal(t, err)
	same(t, "to be signed anew", 2, len(again))
	late := queue
	queue = nil
	base = add(base, urgent)
	for _, w := range late {
		base = add(base, w.release)
	}
	for _, w := range queue {
		v.now = w.At
		*d.now = w.At
		v.repo, err = v.repo.Accept(Role(win), w.File, w.files)
		fatal(t, err)
		v.publish()
		s.now(v.set())
		fatal(t, d.refresh(s))
	}
	if _, err = v.repo.Accept(Role(win), late[1].File, late[1].files); err == nil {
		t.Error("a version that was signed over another past is accepted")
	}
	held, err := d.Manifests(win)
	fatal(t, err)
	var order []string
	for _, m := range held {
		order = append(order, string(m.UpdateID)+" "+instant(m.Released))
	}
	same(t, "order", []string{"KB1 2020-01-14T18:00:00Z", "KB5 2020-01-19T18:00:00Z", "KB10 2020-01-24T18:00:00Z", "KB20 2020-02-03T18:00:00Z"}, order)
}

// A signer that fails leaves everything as it was.
func TestOnlineSignerFails(t *testing.T) {
	v := newVendor(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := v.repo
	after, err := v.repo.Publish(ctx, v.online, v.now, Regular)
	if err == nil {
		t.Error("published without signatures")
	}
	same(t, "repository", before, after)
}
