package reports

import (
	"testing"

	"github.com/openesu/openesu/license"
)

// A row that was read before another was stored does not undo it, and counters
// and times only grow, in whatever order rows come.
func TestMemoryGoesForward(t *testing.T) {
	f := license.Fingerprint{1}
	earlier := Installation{Fingerprint: f, Facts: Digest{1}, Counter: 9, LastSeen: 90, version: 1}
	later := Installation{Fingerprint: f, Facts: Digest{2}, Counter: 8, Cloned: 70, LastSeen: 80, version: 2}
	for _, order := range [][]Installation{{earlier, later}, {later, earlier}, {later, earlier, later}} {
		m := memory{limit: 2, known: map[license.Fingerprint]*remembered{}}
		for _, row := range order {
			m.put(row, mark{})
		}
		k := m.known[f]
		if k.Facts != later.Facts || k.Counter != 9 || k.Cloned != 70 || k.LastSeen != 90 || k.version != 2 {
			t.Errorf("%+v", k)
		}
	}
}

// What could not be written is written the next time, and a row that is not the
// one that is remembered is forgotten.
func TestTouchesComeBack(t *testing.T) {
	m := memory{limit: 2, known: map[license.Fingerprint]*remembered{}}
	f := license.Fingerprint{1}
	m.put(Installation{Fingerprint: f, Counter: 1, version: 3}, mark{})
	m.known[f].Counter, m.known[f].dirty = 5, true
	first := m.take(true)
	if len(first) != 1 || len(m.take(true)) != 0 {
		t.Fatalf("%+v", first)
	}
	m.giveBack(first)
	again := m.take(false)
	if len(again) != 1 || again[0] != first[0] || again[0].counter != 5 {
		t.Fatalf("%+v", again)
	}
	again[0].found = 3
	m.settle(again)
	if m.known[f] == nil {
		t.Error("forgotten though nobody wrote it")
	}
	again[0].found = 4
	m.settle(again)
	if m.known[f] != nil {
		t.Error("remembered though another process wrote it")
	}
}
