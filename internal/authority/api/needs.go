package api

import (
	"context"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/program"
)

// Authority is what the API needs of the authority as a whole: acts that span
// rooms. A refusal is a problem, all else is an internal error.
type Authority interface {
	// Import takes in a version of a program file: the sales office keeps it, and
	// what devices know of it goes into a draft of targets. Where the same bytes are
	// there already, New is false and nothing changes. With DryRun everything is
	// checked and nothing is saved. The actor needs access.ProgramWrite.
	Import(ctx context.Context, actor access.Actor, in ImportIn) (Imported, error)

	// Trust is what devices are enrolled with, and how far the metadata has come.
	// It is public.
	Trust(ctx context.Context) (Trust, error)

	// Checkpoint opens a signed checkpoint of this authority that somebody kept,
	// with the public keys that the authority knows (audit.OpenCheckpoint).
	Checkpoint(ctx context.Context, text string) (audit.Checkpoint, error)
}

// ImportIn is a program file and who may sign its releases.
type ImportIn struct {
	Name string // of the file, for what is said about it
	File []byte
	// Publishers are public keys as signing.PublicText writes them. None leaves
	// those that the program has; a new program needs at least Threshold.
	Publishers []string
	Threshold  int // how many must sign a release; 0 means two
	DryRun     bool
}

// Imported is what an import came to.
type Imported struct {
	Program program.ID `json:"program"`
	Version int        `json:"version"`
	New     bool       `json:"new"`
	DryRun  bool       `json:"dryRun"`
	// Draft is the draft of targets that the holder of the offline key has to sign
	// before devices know the program; nothing when there is no need. It comes back
	// by POST /api/v1/trust/targets/draft.
	Draft *Draft `json:"draft,omitempty"`
}

// Trust is what devices are enrolled with.
type Trust struct {
	Authority license.AuthorityID `json:"authority"`
	Name      string              `json:"name"`
	Epoch     int                 `json:"epoch"`
	Anchor    string              `json:"anchor"` // "sha256:…"
	// Versions are the numbers of the metadata that is served now, by role.
	Versions map[string]int64 `json:"versions"`
}
