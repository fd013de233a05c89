package releases

import "github.com/openesu/openesu/problem"

// What the room refuses.
const (
	// Busy: other acts came in between, again and again.
	Busy problem.Code = "releases.busy"
	// Begun: the repository has been begun already.
	Begun problem.Code = "releases.begun"
	// NotBegun: there is no repository yet.
	NotBegun problem.Code = "releases.not-begun"
	// ProgramUnknown: the signed metadata lists no such program.
	ProgramUnknown problem.Code = "releases.program-unknown"
	// ProgramUnfit: released updates do not fit a program's new file.
	ProgramUnfit problem.Code = "releases.program-unfit"
	// UpdateUnknown: the program has no such update.
	UpdateUnknown problem.Code = "releases.update-unknown"
	// UpdateExists: the program has an update of that id, in whatever state.
	UpdateExists problem.Code = "releases.update-exists"
	// KindUnknown: the program file does not list the kind.
	KindUnknown problem.Code = "releases.kind-unknown"
	// RatingUnknown: the program file does not list the rating.
	RatingUnknown problem.Code = "releases.rating-unknown"
	// RatingNotCovered: updates of that rating are not in coverage.
	RatingNotCovered problem.Code = "releases.rating-not-covered"
	// ComponentUnknown: the program file does not list the component.
	ComponentUnknown problem.Code = "releases.component-unknown"
	// ComponentEnded: the component's support has ended by the release day.
	ComponentEnded problem.Code = "releases.component-ended"
	// ContentUnnamed: several contents are of this kind, and none was named.
	ContentUnnamed problem.Code = "releases.content-unnamed"
	// ContentUnknown: the program file has no such ungated content of the kind.
	ContentUnknown problem.Code = "releases.content-unknown"
	// ContentEnded: the ungated content has ended by the release day.
	ContentEnded problem.Code = "releases.content-ended"
	// ProgramOver: the release day is in no coverage year of any track asked for.
	ProgramOver problem.Code = "releases.program-over"
	// TrackUnserved: the release day is in no coverage year of a named track.
	TrackUnserved problem.Code = "releases.track-unserved"
	// TracksFree: tracks are named for an update that everybody gets.
	TracksFree problem.Code = "releases.tracks-free"
	// DayIrregular: the day is no regular release day, and nobody said out of band.
	DayIrregular problem.Code = "releases.day-irregular"
	// InstantPast: the instant has passed already.
	InstantPast problem.Code = "releases.instant-past"
	// DayPast: the release day has passed before the update could come out.
	DayPast problem.Code = "releases.day-past"
	// PayloadNone: an update would have nothing to install.
	PayloadNone problem.Code = "releases.payload-none"
	// PayloadMissing: the depot does not hold a payload.
	PayloadMissing problem.Code = "releases.payload-missing"
	// InstallerUnknown: devices have no such installer.
	InstallerUnknown problem.Code = "releases.installer-unknown"
	// PayloadUnfit: no device could unpack a payload.
	PayloadUnfit problem.Code = "releases.payload-unfit"
	// UnpackedDiffers: a payload unpacks to another size than was said.
	UnpackedDiffers problem.Code = "releases.unpacked-differs"
	// CheckMissing: a payload does not hold the check as a program.
	CheckMissing problem.Code = "releases.check-missing"
	// SupersedesUnknown: a superseded update is not known.
	SupersedesUnknown problem.Code = "releases.supersedes-unknown"
	// SupersedesWithdrawn: a superseded update was withdrawn.
	SupersedesWithdrawn problem.Code = "releases.supersedes-withdrawn"
	// SupersedesLater: a superseded update is released later.
	SupersedesLater problem.Code = "releases.supersedes-later"
	// NothingStaged: there is nothing to draft.
	NothingStaged problem.Code = "releases.nothing-staged"
	// InstantsDiffer: updates of different instants cannot share a draft.
	InstantsDiffer problem.Code = "releases.instants-differ"
	// DraftedAlready: the update is in a draft already, or further.
	DraftedAlready problem.Code = "releases.drafted-already"
	// DraftUnknown: no draft of that role and version waits.
	DraftUnknown problem.Code = "releases.draft-unknown"
	// NothingSigned: a document carries no signature that is new.
	NothingSigned problem.Code = "releases.nothing-signed"
	// WithdrawnAlready: the update was withdrawn before.
	WithdrawnAlready problem.Code = "releases.withdrawn-already"
	// MonthMalformed: a text is no month.
	MonthMalformed problem.Code = "releases.month-malformed"
	// MonthOutside: the program has no coverage in a month.
	MonthOutside problem.Code = "releases.month-outside"
	// MonthHasRelease: something covered is staged or released in the month.
	MonthHasRelease problem.Code = "releases.month-has-release"
	// MonthRecorded: the month is recorded already.
	MonthRecorded problem.Code = "releases.month-recorded"
	// RowInFuture: a history row's day is yet to come.
	RowInFuture problem.Code = "releases.row-in-future"
	// MetadataUnknown: no signed file has that name.
	MetadataUnknown problem.Code = "releases.metadata-unknown"
	// BelowPublic: a restored repository stands below what was seen in public.
	BelowPublic problem.Code = "releases.below-public"
)
