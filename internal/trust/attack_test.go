package trust

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// An attack begins when a device has learned KB1 and the vendor has published
// KB2. It changes what the server answers, or the device's clock; the device must
// name it, and hold exactly what it held, now and after a restart. When the
// attack is over, the device learns KB2.
type attack struct {
	name string
	code problem.Code
	args map[string]any // those that are looked at
	do   func(t *testing.T, v *vendor, s *server, old Set)
}

// replace changes one served file.
func replace(s *server, name string, data []byte) {
	s.set = maps.Clone(s.set)
	if s.set[name] == nil {
		panic("the attack misses: no " + name)
	}
	s.set[name] = data
}

// nameOf finds the served name that contains part.
func nameOf(set Set, part string) string {
	for name := range set {
		if strings.Contains(name, part) {
			return name
		}
	}
	panic("no " + part)
}

// roleFile is a program role as a forger would write it: everything is possible.
func roleFile(t testing.TB, id program.ID, version int64, change func(*metadata.TargetsType), names ...string) []byte {
	t.Helper()
	m := metadata.Targets(Regular.expiry(Role(id), start))
	m.Signed.Version = version
	change(&m.Signed)
	for _, name := range names {
		fatal(t, sign(t.Context(), m, signer(name)))
	}
	file, err := m.ToBytes(false)
	fatal(t, err)
	return file
}

func listed(t testing.TB, path, text string) func(*metadata.TargetsType) {
	return func(m *metadata.TargetsType) {
		file, err := listing([]byte(text), start)
		fatal(t, err)
		m.Targets[path] = file
	}
}

var attacks = []attack{
	{"arbitrary manifest", WrongHash, nil, func(_ *testing.T, _ *vendor, s *server, _ Set) {
		name := nameOf(s.set, ".KB2.json")
		replace(s, name, bytes.Repeat([]byte("x"), len(s.set[name])))
	}},
	{"arbitrary role file", NotSigned, map[string]any{"role": "windows-7"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "windows-7/KB3.json", "evil"), "mallory", "trudy")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"arbitrary timestamp", NotSigned, map[string]any{"role": "timestamp"}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		v.online = Online{signer("mallory"), signer("mallory")}
		s.set = v.steal(s.set, 9, 9, v.roles())
	}},
	{"arbitrary snapshot", NotSigned, map[string]any{"role": "snapshot"}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		v.online.Snapshot = signer("mallory")
		s.set = v.steal(s.set, 9, 9, v.roles())
	}},
	{"wrong hash of a snapshot", WrongHash, map[string]any{"name": "2.snapshot.json"}, func(_ *testing.T, _ *vendor, s *server, _ Set) {
		replace(s, "2.snapshot.json", bytes.Replace(s.set["2.snapshot.json"], []byte("version\":2"), []byte("version\":1"), 1))
	}},
	{"wrong length, short", WrongLength, map[string]any{"name": "2.windows-7.json"}, func(_ *testing.T, _ *vendor, s *server, _ Set) {
		replace(s, "2.windows-7.json", s.set["2.windows-7.json"][:100])
	}},
	{"wrong length, long", WrongLength, nil, func(_ *testing.T, _ *vendor, s *server, _ Set) {
		name := nameOf(s.set, ".KB2.json")
		replace(s, name, append(slices.Clone(s.set[name]), '\n'))
	}},
	{"rollback of root", RolledBack, map[string]any{"role": "root", "offered": int64(1), "held": int64(1)}, func(_ *testing.T, _ *vendor, s *server, old Set) {
		s.set = maps.Clone(s.set)
		s.set["2.root.json"] = old["1.root.json"]
	}},
	{"rollback of timestamp", RolledBack, map[string]any{"role": "timestamp", "offered": int64(1), "held": int64(2)}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		s.set = v.steal(s.set, 9, 1, v.roles())
	}},
	{"rollback of snapshot", RolledBack, map[string]any{"role": "snapshot", "offered": int64(0), "held": int64(1)}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		s.set = v.steal(s.set, 0, 9, v.roles())
	}},
	{"rollback of targets", RolledBack, map[string]any{"role": "targets", "offered": int64(0), "held": int64(1)}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Targets] = forged{version: 0, file: v.repo.Targets}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"rollback of a program", RolledBack, map[string]any{"role": "windows-7", "offered": int64(0), "held": int64(1)}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 0, file: roles[Role(win)].file}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"a program is made to vanish", RolledBack, map[string]any{"role": "windows-7", "offered": int64(0)}, func(_ *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		delete(roles, Role(win))
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"mix: an old snapshot as the new one", WrongHash, map[string]any{"name": "2.snapshot.json"}, func(_ *testing.T, _ *vendor, s *server, old Set) {
		replace(s, "2.snapshot.json", old["1.snapshot.json"])
	}},
	{"mix: a thief's timestamp over an old snapshot", Mixed, map[string]any{"role": "snapshot", "offered": int64(1), "listed": int64(2)}, func(t *testing.T, v *vendor, s *server, old Set) {
		ts, err := parse[metadata.TimestampType](timestampName, s.set[timestampName])
		fatal(t, err)
		ts.Signed.Version, ts.Signatures = 9, nil
		ts.Signed.Meta[metaName(Snapshot)] = &metadata.MetaFiles{Version: 2}
		fatal(t, sign(t.Context(), ts, v.online.Timestamp))
		file, err := ts.ToBytes(false)
		fatal(t, err)
		replace(s, timestampName, file)
		replace(s, "2.snapshot.json", old["1.snapshot.json"])
	}},
	{"mix: a thief's snapshot over an old role", Mixed, map[string]any{"role": "windows-7", "offered": int64(1), "listed": int64(2)}, func(_ *testing.T, v *vendor, s *server, old Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 2, file: old["1.windows-7.json"], bare: true}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"threshold not met", NotSigned, map[string]any{"role": "windows-7"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "windows-7/KB3.json", "evil"), "alice", "mallory")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"one publisher signs twice", Malformed, nil, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "windows-7/KB3.json", "evil"), "alice", "alice")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"the server's keys sign as publishers", NotSigned, map[string]any{"role": "windows-7"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "windows-7/KB3.json", "evil"), "snapshot", "timestamp")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"the server names publishers", NotSigned, map[string]any{"role": "targets"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		d, err := v.repo.DraftTargets(TargetsChange{Publishers: map[program.ID]Signers{win: {keys("mallory"), 1}}}, v.now, Regular)
		fatal(t, err)
		fatal(t, sign(t.Context(), d.targets, signer("snapshot")))
		roles := v.roles()
		roles[Targets] = forged{version: 2, file: signed(t, d, nil)}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"the server makes a root", NotSigned, map[string]any{"role": "root"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		evil := topKeys()
		evil.Root = Signers{keys("mallory"), 1}
		d, err := v.repo.DraftRoot(evil, v.now, Regular)
		s.set = maps.Clone(s.set)
		s.set["2.root.json"] = signed(t, d, err, "mallory")
	}},
	{"a root signed by one of two", NotSigned, map[string]any{"role": "root"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		evil := topKeys()
		evil.Root = Signers{keys("root a"), 1}
		d, err := v.repo.DraftRoot(evil, v.now, Regular)
		s.set = maps.Clone(s.set)
		s.set["2.root.json"] = signed(t, d, err, "root a")
	}},
	{"publishers list another program's path", OutsidePaths, map[string]any{"role": "windows-7", "path": "server-2008/KB3.json"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "server-2008/KB3.json", "evil"), "alice", "bob")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"publishers list the trust keys", OutsidePaths, map[string]any{"path": "trust/keys.json"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "trust/keys.json", "evil"), "alice", "bob")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"publishers list a path below their own", OutsidePaths, nil, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, listed(t, "windows-7/../trust/keys.json", "evil"), "alice", "bob")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"publishers delegate", OutsidePaths, map[string]any{"path": "delegations"}, func(t *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: roleFile(t, win, 3, func(m *metadata.TargetsType) {
			m.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
		}, "alice", "bob")}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"a null where go-tuf falls", Malformed, nil, func(_ *testing.T, v *vendor, s *server, _ Set) {
		roles := v.roles()
		roles[Role(win)] = forged{version: 3, file: []byte(`{"signed":{"_type":"targets","version":3,"targets":{"windows-7/KB3.json":null}},"signatures":[]}`)}
		s.set = v.steal(s.set, 9, 9, roles)
	}},
	{"a timestamp that lists nothing", Malformed, nil, func(t *testing.T, v *vendor, s *server, _ Set) {
		ts, err := parse[metadata.TimestampType](timestampName, s.set[timestampName])
		fatal(t, err)
		ts.Signed.Version, ts.Signatures, ts.Signed.Meta = 9, nil, map[string]*metadata.MetaFiles{}
		fatal(t, sign(t.Context(), ts, v.online.Timestamp))
		file, err := ts.ToBytes(false)
		fatal(t, err)
		replace(s, timestampName, file)
	}},
	{"a file is withheld", Missing, nil, func(_ *testing.T, _ *vendor, s *server, _ Set) {
		s.set = maps.Clone(s.set)
		delete(s.set, nameOf(s.set, ".KB2.json"))
	}},
	{"the server fails", Unreachable, map[string]any{"name": "timestamp.json"}, func(_ *testing.T, _ *vendor, s *server, _ Set) {
		s.hooks["timestamp.json"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	}},
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			v := newVendor(t)
			v.now = v.now.Add(time.Hour)
			v.renew() // so that timestamps have a past to go back to
			old := v.set()
			s := serve(t, old)
			d := enrolled(v, s)
			held, status := d.holds(), d.Status()
			v.now = v.now.Add(time.Hour)
			*d.now = v.now
			v.release("KB2", "the second manifest")
			v.publish()
			honest := v.set()
			s.now(honest)
			stolen := *v // a thief has the online keys, and nothing else
			a.do(t, &stolen, s, old)

			err := d.refresh(s)
			wantCode(t, err, a.code)
			if p, ok := problem.As(err); ok {
				for name, want := range a.args {
					same(t, "argument "+name, want, p.Args[name])
				}
			}
			same(t, "held after the attack", held, d.holds())
			same(t, "versions after the attack", status.Versions, d.Status().Versions)
			d.reopen()
			same(t, "held after a restart", held, d.holds())

			s.now(honest)
			fatal(t, d.refresh(s))
			if !strings.Contains(d.holds(), "the second manifest") {
				t.Errorf("did not learn KB2 when the attack was over:\n%s", d.holds())
			}
		})
	}
}

// A device asks for the roots, timestamp and what is listed from the thief's
// endless answers, and stops at the bound of each.
func TestAttackEndlessData(t *testing.T) {
	for name, c := range map[string]struct {
		code  problem.Code
		bound int64
	}{
		"2.root.json":      {Endless, maxRoot},
		"timestamp.json":   {Endless, maxTimestamp},
		"2.snapshot.json":  {WrongLength, 1 << 10},
		"2.windows-7.json": {WrongLength, 2 << 10},
		"KB2":              {WrongLength, 100},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			s := serve(t, v.set())
			d := enrolled(v, s)
			held := d.holds()
			v.release("KB2", "the second manifest")
			v.publish()
			s.now(v.set())
			if name == "KB2" {
				name = nameOf(s.set, ".KB2.json")
			}
			s.hooks[name] = func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 1<<15)); err != nil {
						return
					}
				}
			}
			var read atomic.Int64
			counted := func(ctx context.Context, n string) (io.ReadCloser, error) {
				body, err := s.fetch(ctx, n)
				if err == nil && n == name {
					body = countedBody{body, &read}
				}
				return body, err
			}
			err := d.Refresh(t.Context(), counted)
			wantCode(t, err, c.code)
			if n := read.Load(); n > c.bound+1 {
				t.Errorf("read %d bytes, the bound is %d", n, c.bound)
			}
			same(t, "held", held, d.holds())
		})
	}
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// A server that sends one byte now and then is left, by the client's own patience
// or by the caller's deadline, whichever comes first.
func TestAttackSlowRetrieval(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	for _, name := range []string{"2.root.json", "timestamp.json"} {
		s.now(v.set())
		s.hooks[name] = func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("{"))
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		wantCode(t, d.Refresh(ctx, s.fetch), TooSlow)
		cancel()
		d.cfg.Patience = 60 * time.Millisecond
		d.reopen()
		wantCode(t, d.refresh(s), TooSlow)
		d.cfg.Patience = 10 * time.Second
		d.reopen()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Refresh(ctx, s.fetch); problem.CodeOf(err) != "" || err == nil {
		t.Errorf("a canceled refresh is %v; want an error that blames nobody", err)
	}
	same(t, "held", held, d.holds())
}

// Freeze: the server stands still. The device notices when the timestamp expires,
// and goes on with what it has, called stale.
func TestAttackFreeze(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	*d.now = v.now.Truncate(time.Second).Add(72 * time.Hour)
	fatal(t, d.refresh(s))
	if d.Status().Stale {
		t.Error("stale at the last second")
	}
	*d.now = d.now.Add(time.Second)
	err := d.refresh(s)
	wantCode(t, err, Expired)
	if p, _ := problem.As(err); p != nil {
		same(t, "what expired", map[string]any{"role": "timestamp", "expired": "2020-01-17T18:00:00Z"}, p.Args)
	}
	if st := d.Status(); !st.Stale || st.Age != 72*time.Hour+time.Second {
		t.Errorf("status %+v", st)
	}
	same(t, "held", held, d.holds())

	fresh := newDevice(t, *d.now, win)
	fatal(t, fresh.Enroll(t.Context(), v.anchor(), s.fetch))
	wantCode(t, fresh.refresh(s), Expired)
	_, err = fresh.Manifests(win)
	wantCode(t, err, NothingVerified)
}

// Each role's own expiry is noticed, though the server renews all that it can.
func TestAttackFreezeOfEachRole(t *testing.T) {
	for role, days := range map[Role]int{Role(win): 401, Targets: 732, Root: 1097} {
		t.Run(string(role), func(t *testing.T) {
			v := newVendor(t)
			s := serve(t, v.set())
			d := enrolled(v, s)
			held := d.holds()
			v.now = v.now.AddDate(0, 0, days)
			if role != Role(win) { // the publishers go on
				d, err := v.repo.DraftProgram(win, nil, ProgramChange{}, v.now, Regular)
				v.accept(d, err, "bob", "carol")
			}
			if role == Root {
				v.targets(TargetsChange{})
			}
			*d.now = v.now
			s.now(v.steal(v.set(), 9, 9, v.roles()))
			err := d.refresh(s)
			wantCode(t, err, Expired)
			if p, _ := problem.As(err); p != nil {
				same(t, "what expired", string(role), p.Args["role"])
			}
			same(t, "held", held, d.holds())
		})
	}
}

func TestAttackWrongFirstRoot(t *testing.T) {
	v, evil := newVendor(t), newVendor(t)
	evil.repo.Roots = nil
	k := topKeys()
	k.Root = Signers{keys("mallory"), 1}
	d, err := evil.repo.DraftRoot(k, start, Regular)
	evil.accept(d, err, "mallory")
	s := serve(t, evil.set())
	dev := newDevice(t, start)
	err = dev.Enroll(t.Context(), v.anchor(), s.fetch)
	wantCode(t, err, AnchorMismatch)
	if st := dev.Status(); st.Enrolled {
		t.Error("enrolled all the same")
	}
	wantCode(t, dev.refresh(s), NotEnrolled)

	// A keyring file that nobody's keys signed.
	wantCode(t, dev.Enroll(t.Context(), KeyringAnchor(signed(t, d, nil)), s.fetch), "")
	other := newDevice(t, start)
	unsigned, err := v.repo.DraftRoot(topKeys(), start, Regular)
	wantCode(t, other.Enroll(t.Context(), KeyringAnchor(signed(t, unsigned, err)), s.fetch), NotSigned)
}

// After a publisher's key is revoked, it counts for nothing, whoever publishes.
func TestAttackRevokedPublisher(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	before := v.roles()[Targets]
	v.targets(TargetsChange{Revoke: keys("alice")})

	_, err := v.repo.Publish(t.Context(), v.online, v.now, Regular)
	wantCode(t, err, NotSigned) // alice's old signature still carries KB1
	change := ProgramChange{Add: []Release{{"KB2", []byte("evil"), v.now}}}
	draft, err := v.repo.DraftProgram(win, nil, change, v.now, Regular)
	fatal(t, err)
	wantCode(t, draft.Sign(t.Context(), signer("alice")), NotASigner)

	resigned, err := v.repo.DraftProgram(win, nil, ProgramChange{}, v.now, Regular)
	v.accept(resigned, err, "bob", "carol")
	v.publish()
	s.now(v.set())
	fatal(t, d.refresh(s))
	held := d.holds()

	evil := roleFile(t, win, 3, listed(t, "windows-7/KB3.json", "evil"), "alice", "bob")
	_, err = v.repo.Accept(Role(win), evil, map[string][]byte{"windows-7/KB3.json": []byte("evil")})
	wantCode(t, err, NotSigned)
	roles := v.roles()
	roles[Role(win)] = forged{version: 3, file: evil}
	s.now(v.steal(v.set(), 9, 9, roles))
	wantCode(t, d.refresh(s), NotSigned)
	roles[Targets] = before // the old delegation cannot come back
	s.now(v.steal(v.set(), 9, 9, roles))
	wantCode(t, d.refresh(s), RolledBack)
	same(t, "held", held, d.holds())
}

// One key under two ids is one publisher: even a delegation that was signed so
// lets nobody count twice.
func TestAttackOneKeyUnderTwoIDs(t *testing.T) {
	v := newVendor(t)
	d, err := v.repo.DraftTargets(TargetsChange{Publishers: map[program.ID]Signers{win: {Keys: keys("alice", "bob")}}}, v.now, Regular)
	fatal(t, err)
	alias := tufKey(signer("alice").Public())
	alias.UnrecognizedFields = map[string]any{"comment": "another me"}
	id, err := alias.ID()
	fatal(t, err)
	delegated := d.targets.Signed.Delegations
	delegated.Keys[id] = alias
	delegated.Roles[0].KeyIDs = append(delegated.Roles[0].KeyIDs, id)
	v.repo, err = v.repo.Accept(Targets, signed(t, d, nil, "targets"), nil)
	fatal(t, err)

	evil := roleFile(t, win, 2, listed(t, "windows-7/KB3.json", "evil"), "alice")
	m, err := parse[metadata.TargetsType]("", evil)
	fatal(t, err)
	m.Signatures = append(m.Signatures, metadata.Signature{KeyID: id, Signature: m.Signatures[0].Signature})
	evil, err = m.ToBytes(false)
	fatal(t, err)
	_, err = v.repo.Accept(Role(win), evil, map[string][]byte{"windows-7/KB3.json": []byte("evil")})
	wantCode(t, err, NotSigned)
	roles := v.roles()
	roles[Role(win)] = forged{version: 2, file: evil}
	s := serve(t, v.steal(v.set(), 9, 9, roles))
	dev := newDevice(t, v.now, win)
	fatal(t, dev.Enroll(t.Context(), v.anchor(), s.fetch))
	wantCode(t, dev.refresh(s), NotSigned)

	_, err = v.repo.DraftTargets(TargetsChange{Publishers: map[program.ID]Signers{win: {Keys: keys("alice", "alice")}}}, v.now, Regular)
	wantCode(t, err, KeyTwice)
}

// The offline key itself may not reach further than the design lets it: such a
// set is refused by the office and by devices alike.
func TestAttackTargetsOutsidePaths(t *testing.T) {
	for name, change := range map[string]func(*metadata.TargetsType){
		"a manifest on the top level": listed(t, "windows-7/KB9.json", "evil"),
		"a delegation of everything":  func(m *metadata.TargetsType) { m.Delegations.Roles[0].Paths = []string{"*", "*/*"} },
		"a delegation that goes on":   func(m *metadata.TargetsType) { m.Delegations.Roles[0].Terminating = false },
		"a role named as the root":    func(m *metadata.TargetsType) { m.Delegations.Roles[0].Name = "root" },
		"a role named as a folder": func(m *metadata.TargetsType) {
			m.Delegations.Roles[0].Name = "trust"
			m.Delegations.Roles[0].Paths = []string{"trust/*"}
		},
		"a role by hash prefixes": func(m *metadata.TargetsType) {
			m.Delegations.Roles[0].Paths = nil
			m.Delegations.Roles[0].PathHashPrefixes = []string{""}
		},
		"a role twice": func(m *metadata.TargetsType) {
			m.Delegations.Roles = append(m.Delegations.Roles, m.Delegations.Roles[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			s := serve(t, v.set())
			d := enrolled(v, s)
			held := d.holds()
			draft, err := v.repo.DraftTargets(TargetsChange{}, v.now, Regular)
			fatal(t, err)
			change(&draft.targets.Signed)
			file := signed(t, draft, nil, "targets")
			_, err = v.repo.Accept(Targets, file, map[string][]byte{"windows-7/KB9.json": []byte("evil")})
			wantCode(t, err, OutsidePaths)
			roles := v.roles()
			roles[Targets] = forged{version: 2, file: file}
			s.now(v.steal(v.set(), 9, 9, roles))
			wantCode(t, d.refresh(s), OutsidePaths)
			same(t, "held", held, d.holds())
		})
	}
}

// A thief with the online keys signs huge version numbers. The vendor takes new
// online keys, and devices come back, though not behind what publishers signed.
func TestFastForwardIsSurvived(t *testing.T) {
	v := newVendor(t)
	old := v.roles()[Role(win)]
	v.release("KB2", "the second manifest")
	v.publish()
	s := serve(t, v.set())
	d := enrolled(v, s)
	s.now(v.steal(v.set(), 1<<60, 1<<60, v.roles()))
	fatal(t, d.refresh(s)) // freezing is within his power
	v.renew()
	s.now(v.set())
	wantCode(t, d.refresh(s), RolledBack)

	k := topKeys()
	k.Snapshot, k.Timestamp = signer("snapshot 2").Public(), signer("timestamp 2").Public()
	v.rotate(k, "root a", "root b")
	v.publishFails(NotSigned) // the old online keys are worth nothing now
	v.online = Online{signer("snapshot 2"), signer("timestamp 2")}
	v.publish()

	roles := v.roles()
	roles[Role(win)] = old
	s.now(v.steal(v.set(), 3, 9, roles))
	wantCode(t, d.refresh(s), RolledBack)
	delete(roles, Role(win))
	s.now(v.steal(v.set(), 3, 9, roles))
	wantCode(t, d.refresh(s), RolledBack)
	s.now(v.set())
	fatal(t, d.refresh(s))
	same(t, "versions", Versions{Root: 2, Timestamp: 4, Snapshot: 3, Targets: 1, Role(win): 2}, d.Status().Versions)
}

func (v *vendor) publishFails(code problem.Code) {
	v.t.Helper()
	_, err := v.repo.Publish(context.Background(), v.online, v.now, Regular)
	wantCode(v.t, err, code)
}

// A withdrawn online key stays withdrawn, even when the server hides the new root
// again from a device that has seen it.
func TestWithdrawnKeyStaysWithdrawn(t *testing.T) {
	v := newVendor(t)
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	thief := *v
	k := topKeys()
	k.Snapshot, k.Timestamp = signer("snapshot 2").Public(), signer("timestamp 2").Public()
	v.rotate(k, "root a", "root b")
	withRoot := maps.Clone(thief.set())
	withRoot["2.root.json"] = v.repo.Roots[1]
	s.now(withRoot)
	wantCode(t, d.refresh(s), NotSigned) // root 2 is there, the rest is the thief's
	same(t, "held", held, d.holds())
	d.reopen()
	same(t, "held after a restart", held, d.holds())

	s.now(thief.steal(thief.set(), 9, 9, thief.roles()))
	wantCode(t, d.refresh(s), NotSigned)
	if files, err := d.Files(); err != nil || files["2.root.json"] != nil {
		t.Errorf("a site would serve a root that its timestamp does not fit: %v", err)
	}
	v.online = Online{signer("snapshot 2"), signer("timestamp 2")}
	v.publish()
	s.now(v.set())
	fatal(t, d.refresh(s))
}

// The sentence of the design, acted: with both online keys and the whole server,
// whatever is tried, no device takes in a byte that the publishers did not sign.
func TestStolenServerCannotInventOrChange(t *testing.T) {
	v := newVendor(t)
	v.release("KB2", `{"id":"KB2","year":2}`)
	v.publish()
	s := serve(t, v.set())
	d := enrolled(v, s)
	held := d.holds()
	manifest := nameOf(v.set(), ".KB2.json")
	one := `{"id":"KB2","year":1}` // one year earlier: what a thief would like

	number := int64(9)
	tries := map[string]func(roles map[Role]forged) Set{
		"the bytes": func(roles map[Role]forged) Set {
			set := v.steal(v.set(), number, number, roles)
			set[manifest] = []byte(one)
			return set
		},
		"the bytes and the listing": func(roles map[Role]forged) Set {
			m, err := parse[metadata.TargetsType]("", roles[Role(win)].file)
			fatal(t, err)
			m.Signed.Version = 9
			file, err := listing([]byte(one), start)
			fatal(t, err)
			m.Signed.Targets["windows-7/KB2.json"] = file
			raw, err := m.ToBytes(false)
			fatal(t, err)
			roles[Role(win)] = forged{version: 9, file: raw}
			set := v.steal(v.set(), number, number, roles)
			set[(Entry{Path: "windows-7/KB2.json", SHA256: [32]byte(file.Hashes["sha256"])}).name()] = []byte(one)
			return set
		},
		"the release instant": func(roles map[Role]forged) Set {
			raw := bytes.ReplaceAll(roles[Role(win)].file, []byte("2020-01-14T18"), []byte("2019-01-14T18"))
			roles[Role(win)] = forged{version: 2, file: raw}
			return v.steal(v.set(), number, number, roles)
		},
		"the expiry": func(roles map[Role]forged) Set {
			raw := bytes.Replace(roles[Role(win)].file, []byte(`"expires":"2021`), []byte(`"expires":"2031`), 1)
			roles[Role(win)] = forged{version: 2, file: raw}
			return v.steal(v.set(), number, number, roles)
		},
		"the trust keys": func(roles map[Role]forged) Set {
			set := v.steal(v.set(), number, number, roles)
			set[nameOf(set, ".keys.json")] = []byte(`{"keys":[1]}`)
			return set
		},
		"one version under two contents": func(roles map[Role]forged) Set {
			raw := roleFile(t, win, 2, listed(t, "windows-7/KB2.json", one), "mallory", "trudy")
			roles[Role(win)] = forged{version: 2, file: raw}
			return v.steal(v.set(), number, number, roles)
		},
	}
	for name, try := range tries {
		number++
		set := try(v.roles())
		s.now(set)
		if err := d.refresh(s); err == nil && name != "the bytes" && name != "the trust keys" {
			t.Errorf("%s: accepted", name) // those two are held already and not asked for
		}
		same(t, name+": held", held, d.holds())
		fresh := newDevice(t, v.now, win)
		fatal(t, fresh.Enroll(t.Context(), v.anchor(), s.fetch))
		if err := fresh.refresh(s); err == nil {
			t.Errorf("%s: accepted by a new device: %s", name, fresh.holds())
		}
		if _, err := fresh.Manifests(win); err == nil {
			t.Errorf("%s: a new device holds something", name)
		}
	}
	number++
	s.now(v.steal(v.set(), number, number, v.roles()))
	fatal(t, d.refresh(s))
	same(t, "held in the end", held, d.holds())
}
