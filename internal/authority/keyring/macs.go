package keyring

import (
	"sync"

	"github.com/openesu/openesu/productkey"
)

// macs remembers what was opened, up to a limit. A key's secret never changes, so
// nothing in it grows old; when it is full, whichever comes first makes room.
type macs struct {
	mu    sync.Mutex
	byID  map[KeyID]productkey.MAC
	limit int
}

func (m *macs) get(id KeyID) (productkey.MAC, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mac, ok := m.byID[id]
	return mac, ok
}

func (m *macs) put(id KeyID, mac productkey.MAC) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = make(map[KeyID]productkey.MAC)
	}
	for other := range m.byID {
		if len(m.byID) < m.limit {
			break
		}
		delete(m.byID, other)
	}
	m.byID[id] = mac
}
