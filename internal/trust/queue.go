package trust

import (
	"slices"
	"time"

	"github.com/openesu/openesu/problem"
)

// Queued is a signed version of a program's role that waits for its instant.
type Queued struct {
	At   time.Time
	File []byte
}

// Place says where a change that is to take effect at an instant stands in a
// program's queue. base is the version that it builds on: the last one queued for
// that instant or earlier, else the published one (nil if there is none). again
// are the later ones, in their order. Each is a complete version that was signed
// over another past, so each must be drafted and signed anew, on top of the one
// inserted; until then it would be refused, for its number is taken.
//
// A queue whose versions do not rise with their instants is trust.draft-stale.
func Place(role Role, published []byte, queue []Queued, at time.Time) (base []byte, again []Queued, err error) {
	sorted := slices.SortedStableFunc(slices.Values(queue), func(a, b Queued) int { return a.At.Compare(b.At) })
	base = published
	last, err := version(role, published)
	if err != nil {
		return nil, nil, err
	}
	for _, q := range sorted {
		v, err := version(role, q.File)
		if err != nil {
			return nil, nil, err
		}
		if v <= last {
			return nil, nil, problem.New(problem.Conflict, DraftStale, "role", string(role), "offered", v, "current", last)
		}
		last = v
		if q.At.After(at) {
			again = append(again, q)
		} else {
			base = q.File
		}
	}
	return base, again, nil
}
