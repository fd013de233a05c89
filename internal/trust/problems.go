package trust

import (
	"time"

	"github.com/openesu/openesu/problem"
)

// What a client refuses.
const (
	// AnchorMalformed: a text is no anchor.
	AnchorMalformed problem.Code = "trust.anchor-malformed"
	// AnchorMismatch: the first root offered is not the one that was named.
	AnchorMismatch problem.Code = "trust.anchor-mismatch"
	// AlreadyEnrolled: the folder holds another trust already.
	AlreadyEnrolled problem.Code = "trust.already-enrolled"
	// NotEnrolled: the folder holds no trust yet.
	NotEnrolled problem.Code = "trust.not-enrolled"
	// NothingVerified: enrolled, but no whole state has been verified yet.
	NothingVerified problem.Code = "trust.nothing-verified"
	// Expired: a role's metadata is past its day; the freeze attack ends here.
	Expired problem.Code = "trust.expired"
	// RolledBack: older metadata than what is held is offered as current.
	RolledBack problem.Code = "trust.rolled-back"
	// Mixed: metadata of different times is put together.
	Mixed problem.Code = "trust.mixed"
	// NotSigned: too few of a role's keys signed its metadata.
	NotSigned problem.Code = "trust.not-signed"
	// WrongHash: a file is not the one that signed metadata lists.
	WrongHash problem.Code = "trust.wrong-hash"
	// WrongLength: a file is shorter or longer than signed metadata lists it.
	WrongLength problem.Code = "trust.wrong-length"
	// Endless: a file of unknown length passes all bounds.
	Endless problem.Code = "trust.endless"
	// TooSlow: a file did not arrive within its time.
	TooSlow problem.Code = "trust.too-slow"
	// Unreachable: the server or folder cannot be read.
	Unreachable problem.Code = "trust.unreachable"
	// Missing: a file that must be there is not.
	Missing problem.Code = "trust.missing"
	// Malformed: a file is no metadata of its kind.
	Malformed problem.Code = "trust.malformed"
	// OutsidePaths: a role lists what it has no say over.
	OutsidePaths problem.Code = "trust.outside-paths"
	// UnknownProgram: the signed metadata knows no such program.
	UnknownProgram problem.Code = "trust.unknown-program"
	// StateDamaged: the state on disk is not what was verified.
	StateDamaged problem.Code = "trust.state-damaged"
	// StateExposed: others than its owner may write to the state folder.
	StateExposed problem.Code = "trust.state-exposed"
)

// What an office refuses.
const (
	// DraftMalformed: a document is no draft, or one of its signatures is false.
	DraftMalformed problem.Code = "trust.draft-malformed"
	// DraftDiffers: signatures are of another draft.
	DraftDiffers problem.Code = "trust.draft-differs"
	// DraftStale: a role has moved on since the draft.
	DraftStale problem.Code = "trust.draft-stale"
	// NotASigner: the key has no say over the role.
	NotASigner problem.Code = "trust.not-a-signer"
	// SignedAlready: the key's signature is there already.
	SignedAlready problem.Code = "trust.signed-already"
	// ProgramID: a text cannot be a program's role.
	ProgramID problem.Code = "trust.program-id"
	// UpdateID: a text cannot be an update's name.
	UpdateID problem.Code = "trust.update-id"
	// UpdateListed: an update would be added a second time.
	UpdateListed problem.Code = "trust.update-listed"
	// UpdateNotListed: an update to withdraw is not there.
	UpdateNotListed problem.Code = "trust.update-not-listed"
	// ThresholdUnreachable: a role has fewer keys than must sign.
	ThresholdUnreachable problem.Code = "trust.threshold-unreachable"
	// KeyTwice: one key stands twice in a role.
	KeyTwice problem.Code = "trust.key-twice"
	// KeyOnline: an online key would be an offline one too.
	KeyOnline problem.Code = "trust.key-online"
	// BelowAdopted: a role would be served below a version seen in public.
	BelowAdopted problem.Code = "trust.below-adopted"
)

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }
