// Package trust says what is genuine. It holds both halves of a TUF repository
// (The Update Framework, specification 1.0): the offices draft, sign and publish
// metadata with a Repository, devices and sites verify it with a Client.
//
// # Roles
//
//	root        offline; names the keys of the four top-level roles
//	targets     offline; lists trust/keys.json, trust/ended.json and
//	            programs/<id>.json, and names each program's publishers
//	<program>   the program's publishers; lists <program>/<update-id>.json, the
//	            update's manifest, with the instant of its release
//	snapshot    online; the version, length and digest of targets and programs
//	timestamp   online; the same of the snapshot, and issued_at
//
// A program's role is terminating, reaches the paths <program>/* only, and needs
// two publishers unless one was asked for. The contents of the listed files are
// opaque here.
//
// # Invariants
//
//   - Who holds the online keys can withhold, freeze until the timestamp expires,
//     and publish early what publishers have signed. He cannot make a client
//     accept a byte that they did not sign, nor go back behind what it holds.
//   - A client begins at an anchor that a person gave it, never at a server's
//     first answer.
//   - A client moves from one whole verified state to the next, as one act. What
//     fails leaves the last state as it was; only verified roots are kept anyway,
//     since forgetting one would bring a withdrawn key back.
//   - Expiry stops learning, not using: an old state opens for good, as of the
//     instant that its timestamp carries, and is called stale.
//   - Versions only grow.
//
// The verification itself is go-tuf's trustedmetadata; this package walks through
// it, names what failed, and keeps the state. It has no database; the repository
// half has no clock either, and its randomness is in the keys.
package trust

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Role names a role: one of the four below, or a program by its id.
type Role string

// The top-level roles.
const (
	Root      Role = "root"
	Timestamp Role = "timestamp"
	Snapshot  Role = "snapshot"
	Targets   Role = "targets"
)

// The paths of the targets that the top level lists.
const (
	KeysPath  = "trust/keys.json"  // all verification keys
	EndedPath = "trust/ended.json" // licenses ended from a day
)

func programPath(id program.ID) string { return "programs/" + string(id) + ".json" }

// programOf is the reverse of programPath.
func programOf(path string) (program.ID, bool) {
	name, ok := strings.CutPrefix(path, "programs/")
	name, isJSON := strings.CutSuffix(name, ".json")
	return program.ID(name), ok && isJSON && checkProgramID(program.ID(name)) == nil
}

// Bounds of what is read, in bytes. The first two are all that a client goes by
// before it knows a length; the others bound even what is listed.
const (
	maxRoot      = 512_000
	maxTimestamp = 16 << 10
	maxSnapshot  = 2 << 20
	maxTargets   = 8 << 20
	maxTarget    = 16 << 20
	// maxRotations bounds the roots read in one go; the next refresh goes on.
	maxRotations = 256
)

// Versions are version numbers by role.
type Versions map[Role]int64

// Term says for how long metadata is signed.
type Term uint8

const (
	// Regular is 3 years for root, 2 for targets, 400 days for programs, 30 for
	// the snapshot and 3 for the timestamp.
	Regular Term = iota
	// Final is ten years for every role: the last set of a program that closes.
	Final
)

// expiry is when metadata signed at an instant expires, to the second, as the
// specification writes it.
func (t Term) expiry(role Role, at time.Time) time.Time {
	at = at.UTC().Truncate(time.Second)
	switch {
	case t == Final:
		return at.AddDate(10, 0, 0)
	case role == Root:
		return at.AddDate(3, 0, 0)
	case role == Targets:
		return at.AddDate(2, 0, 0)
	case role == Snapshot:
		return at.AddDate(0, 0, 30)
	case role == Timestamp:
		return at.AddDate(0, 0, 3)
	}
	return at.AddDate(0, 0, 400)
}

// Signers are the keys that may sign for a role, and how many of them must.
type Signers struct {
	Keys      []ed25519.PublicKey
	Threshold int
}

// Entry is one target as signed metadata lists it.
type Entry struct {
	Path     string
	Length   int64
	SHA256   [32]byte
	Released time.Time // of a manifest; zero for top-level targets
}

// name is the entry's served name, below /tuf/.
func (e Entry) name() string {
	dir, base := path.Split(e.Path)
	return "targets/" + dir + hex.EncodeToString(e.SHA256[:]) + "." + base
}

// Set is what the front door serves below /tuf/, by name. Files of an earlier
// Set stay right for ever, but for timestamp.json; a server keeps them for those
// who are on their way through.
type Set map[string][]byte

const timestampName = "timestamp.json"

// versioned is the served name of a role's metadata; the timestamp has no
// version in its name.
func versioned(role Role, version int64) string {
	return fmt.Sprintf("%d.%s.json", version, role)
}

// metaName is the name by which snapshot and timestamp list a role.
func metaName(role Role) string { return string(role) + ".json" }

func roleOf(metaName string) Role { return Role(strings.TrimSuffix(metaName, ".json")) }

// checkProgramID refuses the ids that would collide with a role or folder of
// the top level.
func checkProgramID(id program.ID) error {
	_, err := program.ParseID(string(id))
	if err != nil || slices.Contains([]Role{Root, Timestamp, Snapshot, Targets}, Role(id)) {
		return problem.New(problem.Refused, ProgramID, "program", string(id)).Because(err)
	}
	return nil
}

// updateOf is the update that a program's path names, and whether it names one.
func updateOf(id program.ID, target string) (program.UpdateID, bool) {
	name, ours := strings.CutPrefix(target, string(id)+"/")
	name, isJSON := strings.CutSuffix(name, ".json")
	update, err := program.ParseUpdateID(name)
	return update, ours && isJSON && err == nil
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
