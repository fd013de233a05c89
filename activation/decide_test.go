package activation_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func TestDecide(t *testing.T) {
	p := offer()
	d := licensetest.NewDevice("here")
	k := key(t, tagDesktop1, 1)
	free := activation.KeyState{Program: "windows-7", Track: "desktop", Year: 1, MAC: k.MAC(), Limit: 10, Used: 3}
	state := func(change func(*activation.KeyState)) *activation.KeyState {
		s := free
		if change != nil {
			change(&s)
		}
		return &s
	}
	full := state(func(s *activation.KeyState) { s.Used = 10 })
	over := state(func(s *activation.KeyState) { s.Used = 12 }) // seats were returned
	blocked := state(func(s *activation.KeyState) { s.Blocked = "Reported stolen." })
	recovering := state(func(s *activation.KeyState) { s.Recovering = true })
	elsewhere := state(func(s *activation.KeyState) { s.Elsewhere = true })
	notThis := state(func(s *activation.KeyState) { s.MAC = key(t, tagDesktop1, 2).MAC() })
	notThisBlocked := state(func(s *activation.KeyState) { s.MAC, s.Blocked = notThis.MAC, "Reported stolen." })
	second := state(func(s *activation.KeyState) { s.Year = 2 })
	embedded := state(func(s *activation.KeyState) { s.Track = "pos" })
	cloud := state(func(s *activation.KeyState) { s.Track, s.Year = "server", 4 })
	foreign := state(func(s *activation.KeyState) { s.Program = "windows-8" })
	gone := state(func(s *activation.KeyState) { s.Year = 9 })

	pro := facts("pro", "x64")
	own := facts("pro", "x64")
	own.ProductActivated = true
	for _, tc := range []struct {
		what  string
		key   *activation.KeyState
		id    program.ActivationID
		facts *device.Facts
		known bool
		seat  int
		want  problem.Code
	}{
		{"new", state(nil), desktop1, pro, false, 4, ""},                                                   // rule K5: counts one
		{"new, the product itself activated", state(nil), desktop1, own, false, 4, ""},                     // rule K2
		{"again", state(nil), desktop1, pro, true, 0, ""},                                                  // rule K7
		{"the last one", state(func(s *activation.KeyState) { s.Limit = 4 }), desktop1, pro, false, 4, ""}, // rule K5
		{"one too many", full, desktop1, pro, false, 0, activation.LimitReached},                           // rule K5
		{"over the limit", over, desktop1, pro, false, 0, activation.LimitReached},                         // rule K5
		{"again at the limit", full, desktop1, pro, true, 0, ""},                                           // rule K7
		{"no such key", nil, desktop1, pro, false, 0, activation.KeyUnknown},
		{"not proven", notThis, desktop1, pro, true, 0, activation.KeyUnknown},
		{"blocked", blocked, desktop1, pro, false, 0, activation.KeyBlocked},
		{"blocked, again", blocked, desktop1, pro, true, 0, activation.KeyBlocked},
		{"blocked, not proven", notThisBlocked, desktop1, pro, false, 0, activation.KeyUnknown}, // the reason is for holders
		{"recovering", recovering, desktop1, pro, false, 0, activation.KeyRecovering},
		{"recovering, again", recovering, desktop1, pro, true, 0, ""}, // rule K7
		{"pinned to sites", elsewhere, desktop1, pro, false, 0, activation.KeyPinned},
		{"pinned to sites, again", elsewhere, desktop1, pro, true, 0, ""},                                                          // rule K7
		{"the id of another year", state(nil), desktop2, pro, false, 0, activation.IDMismatch},                                     // rule K9
		{"year 2 without year 1", second, desktop2, pro, false, 4, ""},                                                             // rule K3
		{"year 2 under the id of year 1", second, desktop1, pro, false, 0, activation.IDMismatch},                                  // rule K9
		{"the product's own id", state(nil), "bd3762d7-270d-4760-8fb3-d829ca45278a", pro, false, 0, activation.IDIsProductsOwn},    // rule K19
		{"ineligible edition", state(nil), desktop1, facts("ultimate", "x64"), false, 0, activation.EditionIneligible},             // rule K13
		{"home edition", state(nil), desktop1, facts("home", "x64"), false, 0, activation.EditionIneligible},                       // rule K13
		{"unknown edition", state(nil), desktop1, facts("datacenter", "x64"), false, 0, activation.EditionUnknown},                 // rule K13
		{"unknown architecture", state(nil), desktop1, facts("pro", "ia64"), false, 0, activation.ArchitectureIneligible},          // rule K13
		{"not the edition's architecture", embedded, embedded1, facts("till", "x64"), false, 0, activation.ArchitectureIneligible}, // rule K13
		{"embedded", embedded, embedded1, facts("till", "x86"), false, 4, ""},                                                      // rule K22
		{"embedded key, standard device", embedded, embedded1, pro, false, 0, activation.KeyEmbeddedOnly},                          // rule K22
		{"standard key, embedded device", state(nil), desktop1, facts("till", "x86"), false, 0, activation.KeyNotEmbedded},         // rule K22
		{"another product", state(nil), desktop1, facts("standard", "x64"), false, 0, activation.WrongProduct},
		{"a year without keys", cloud, server4, facts("standard", "x64"), false, 0, activation.CloudOnly}, // rule L3
		{"another program's key", foreign, desktop1, pro, false, 0, activation.WrongProduct},
		{"a year that is gone", gone, desktop1, pro, false, 0, activation.WrongProduct},
	} {
		got, err := activation.Decide(p, tc.key, ask(t, d, k, tc.id, tc.facts), tc.known)
		if problem.CodeOf(err) != tc.want || (err == nil) != (tc.want == "") {
			t.Errorf("%s: %v, want %q", tc.what, err, tc.want)
			continue
		}
		want := activation.Grant
		switch {
		case tc.want != "":
			want = 0
		case tc.known:
			want = activation.Repeat
		}
		if got.Outcome != want || got.Seat != tc.seat {
			t.Errorf("%s: %+v, want %v and seat %d", tc.what, got, want, tc.seat)
		}
		if want != 0 && got.Year.ActivationID != tc.id {
			t.Errorf("%s: the license would be for %v", tc.what, got.Year)
		}
	}
	if _, err := activation.Decide(nil, &free, ask(t, d, k, desktop1, pro), false); problem.CodeOf(err) != activation.ProgramUnknown {
		t.Errorf("no program: %v", err)
	}
}

func TestRefusalsSay(t *testing.T) {
	p := offer()
	d, k := licensetest.NewDevice("here"), key(t, tagDesktop1, 1)
	r := ask(t, d, k, desktop1, facts("pro", "x64"))
	state := activation.KeyState{Program: "windows-7", Track: "desktop", Year: 1, MAC: k.MAC(), Limit: 5, Used: 5}
	args := func(s activation.KeyState, r *activation.Request) map[string]any {
		t.Helper()
		_, err := activation.Decide(p, &s, r, false)
		found, ok := problem.As(err)
		if !ok {
			t.Fatal(err)
		}
		return found.Args
	}
	text := func(v any) string { return v.(program.Text).String() }
	if a := args(state, r); a["limit"] != 5 || a["used"] != 5 || text(a["raise"]) != "Contoso" {
		t.Errorf("limit: %v", a)
	}
	state.Raise = program.Text{"en": "your partner"} // rule K6: who raises it
	if a := args(state, r); text(a["raise"]) != "your partner" {
		t.Errorf("limit: %v", a)
	}
	if a := args(state, ask(t, d, k, desktop1, facts("home", "x64"))); text(a["why"]) != "Support has ended." || text(a["advice"]) != "Upgrade." { // rule P11
		t.Errorf("home: %v", a)
	}
	if a := args(state, ask(t, d, k, desktop1, facts("ultimate", "x64"))); text(a["why"]) != "It was never covered." {
		t.Errorf("ultimate: %v", a)
	}
	state.Blocked = "Reported stolen."
	if a := args(state, r); a["reason"] != "Reported stolen." {
		t.Errorf("blocked: %v", a)
	}
	// Nobody learns from the answer that a key exists; the log does.
	state.MAC = key(t, tagDesktop1, 2).MAC()
	_, wrong := activation.Decide(p, &state, r, false)
	_, none := activation.Decide(p, nil, r, false)
	a, _ := problem.As(wrong)
	b, _ := problem.As(none)
	if a.Code != b.Code || a.Kind != b.Kind || len(a.Args)+len(b.Args) != 0 {
		t.Errorf("%v and %v differ", wrong, none)
	}
	if cause := errors.Unwrap(wrong); cause == nil || !strings.Contains(cause.Error(), "does not prove") {
		t.Errorf("the log does not tell: %v", cause)
	}
}

// Whatever comes in whatever order, the count is the number of installations and
// never above the limit.
func TestCounting(t *testing.T) {
	p, k := offer(), key(t, tagDesktop1, 1)
	requests := map[string]*activation.Request{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		requests[name] = ask(t, licensetest.NewDevice(name), k, desktop1, facts("pro", "x64"))
	}
	rapid.Check(t, func(t *rapid.T) {
		state := activation.KeyState{Program: "windows-7", Track: "desktop", Year: 1, MAC: k.MAC(), Limit: rapid.IntRange(0, 6).Draw(t, "limit")}
		counted := map[license.Fingerprint]bool{}
		for _, name := range rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})).Draw(t, "devices") {
			r := requests[name]
			decision, err := activation.Decide(p, &state, r, counted[r.Fingerprint()])
			switch decision.Outcome {
			case activation.Grant:
				state.Used++
				counted[r.Fingerprint()] = true
				if decision.Seat != len(counted) {
					t.Fatalf("seat %d of %d", decision.Seat, len(counted))
				}
			case activation.Repeat:
				if !counted[r.Fingerprint()] {
					t.Fatal("repeats what never was")
				}
			default:
				if problem.CodeOf(err) != activation.LimitReached || len(counted) < state.Limit {
					t.Fatalf("%d of %d: %v", len(counted), state.Limit, err)
				}
			}
		}
		// rule K5: each installation counts one, up to the limit; rule K7: and only once.
		if state.Used != len(counted) || state.Used > state.Limit {
			t.Fatalf("used %d, installations %d, limit %d", state.Used, len(counted), state.Limit)
		}
	})
}

// A reinstalled device has a new key and a new identity; a device that changed
// its disks has not.
func TestReinstalled(t *testing.T) {
	k := key(t, tagDesktop1, 1)
	before := licensetest.NewDevice("here")
	again := ask(t, before, k, desktop1, facts("pro", "x64"))
	reimaged := before
	reimaged.Identity[0]++
	rekeyed := before
	rekeyed.Key = licensetest.Key("new")
	// rule K7: the same installation is known again, whatever its facts; a reimaged or rekeyed one is new.
	if got := ask(t, before, k, desktop1, facts("pro", "x86")).Fingerprint(); got != again.Fingerprint() {
		t.Error("other facts, another installation")
	}
	for what, d := range map[string]licensetest.Device{"reimaged": reimaged, "rekeyed": rekeyed} {
		if ask(t, d, k, desktop1, facts("pro", "x64")).Fingerprint() == again.Fingerprint() {
			t.Errorf("%s, and the same installation", what)
		}
	}
}
