package reports

import (
	"bytes"
	"slices"
	"sync"

	"github.com/openesu/openesu/license"
)

// memory is what the room knows without asking the database. Everything in it is
// in its row too, but for counters and times of an hour.
type memory struct {
	limit int

	mu     sync.Mutex
	closed bool
	known  map[license.Fingerprint]*remembered
	due    []license.Fingerprint // to be written
	gone   []touch               // forgotten before they were written
}

type remembered struct {
	Installation
	last    mark            // of the report that came last
	written license.Instant // LastSeen in the row
	dirty   bool            // the row has less
	due     bool
}

// touch is what the hourly write brings.
type touch struct {
	fingerprint  license.Fingerprint
	counter      int64
	seen, cloned license.Instant
	version      int64 // of the row that is remembered
	found        int64 // the row's version when this was written; -1 is no row
}

// outcome is what memory says of a report.
type outcome int

const (
	unknown  outcome = iota // the installation is not in memory
	changed                 // its facts or licenses are others, or come along
	branched                // the first sign of a clone, which is worth a transaction
	otherKey
	settled // nothing to store
	shut
)

// glance takes a report as far as memory can.
func (m *memory) glance(in *report) outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.known[in.Fingerprint]
	switch {
	case m.closed:
		return shut
	case k == nil:
		return unknown
	case k.PublicKey != in.PublicKey:
		return otherKey
	case k.last == in.mark: // a proxy that sends twice is no clone
		return settled
	case in.Facts != nil, k.Facts != in.facts, k.Licenses != in.licenses, k.Program != in.Program:
		return changed
	case in.Counter <= k.Counter && k.Cloned == 0:
		return branched
	}
	k.Installation = k.after(in)
	k.last, k.dirty = in.mark, true
	if !k.due && k.LastSeen-k.written >= seenEvery {
		k.due = true
		m.due = append(m.due, in.Fingerprint)
	}
	return settled
}

// put remembers a row as it is in the database, unless memory is further. A row
// that no report changed brings no mark.
func (m *memory) put(row Installation, last mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.known[row.Fingerprint]
	if k == nil {
		m.makeRoom()
		k = &remembered{}
		m.known[row.Fingerprint] = k
	}
	counter, cloned, seen := k.Counter, k.Cloned, k.LastSeen
	if row.version >= k.version {
		k.Installation = row
		if last != (mark{}) {
			k.last = last
		}
	}
	k.written = max(k.written, row.LastSeen)
	k.dirty = counter > row.Counter || cloned > row.Cloned || seen > row.LastSeen
	k.Counter, k.Cloned, k.LastSeen = max(counter, row.Counter), max(cloned, row.Cloned), max(seen, row.LastSeen)
}

// makeRoom forgets any one installation when there is no room for another. Which
// one does not matter: it costs a read when it comes back.
func (m *memory) makeRoom() {
	if len(m.known) < m.limit {
		return
	}
	for f, k := range m.known {
		if k.dirty {
			m.gone = append(m.gone, k.touch())
		}
		delete(m.known, f)
		return
	}
}

func (k *remembered) touch() touch {
	return touch{fingerprint: k.Fingerprint, counter: k.Counter, seen: k.LastSeen, cloned: k.Cloned, version: k.version}
}

// counted is the highest counter that memory knows of an installation.
func (m *memory) counted(f license.Fingerprint) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[f]; k != nil {
		return k.Counter
	}
	return 0
}

func (m *memory) forget(f license.Fingerprint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, f)
}

func (m *memory) shut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}

// take hands out what is due to be written, or with all what is not written yet,
// in the order of the fingerprints. Who cannot write it gives it back.
func (m *memory) take(all bool) []touch {
	m.mu.Lock()
	defer m.mu.Unlock()
	touches := m.gone
	out := func(k *remembered) {
		if k.dirty {
			touches = append(touches, k.touch())
		}
		k.written, k.dirty, k.due = k.LastSeen, false, false
	}
	for _, f := range m.due {
		if k := m.known[f]; k != nil {
			out(k)
		}
	}
	if all {
		for _, k := range m.known {
			out(k)
		}
	}
	m.due, m.gone = nil, nil
	slices.SortStableFunc(touches, func(a, b touch) int { return bytes.Compare(a.fingerprint[:], b.fingerprint[:]) })
	return touches
}

func (m *memory) giveBack(touches []touch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = append(m.gone, touches...)
}

// settle forgets installations whose rows another process has written.
func (m *memory) settle(touches []touch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range touches {
		if k := m.known[t.fingerprint]; k != nil && k.version == t.version && t.found != t.version {
			delete(m.known, t.fingerprint)
		}
	}
}
