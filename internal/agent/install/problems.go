package install

import "github.com/openesu/openesu/problem"

// What can be wrong with a payload. Argument name is the entry's path, made
// safe to print.
const (
	// PayloadDamaged means that the bytes are no zstd stream or no tar archive.
	PayloadDamaged problem.Code = "install.payload-damaged"
	// PayloadTruncated means that the payload ends before its end mark.
	PayloadTruncated problem.Code = "install.payload-truncated"
	// TrailingBytes means that something follows the end of the archive.
	TrailingBytes problem.Code = "install.trailing-bytes"
	// WindowTooLarge means that decompressing would take more memory than is given.
	WindowTooLarge problem.Code = "install.window-too-large"
	// PathAbsolute means that an entry's path begins at the file system's root.
	PathAbsolute problem.Code = "install.path-absolute"
	// PathEscapes means that an entry's path has a part "..".
	PathEscapes problem.Code = "install.path-escapes"
	// PathMalformed means that an entry's path has an empty part or a part ".".
	PathMalformed problem.Code = "install.path-malformed"
	// NameTooLong means that a path or one part of it is too long.
	NameTooLong problem.Code = "install.name-too-long"
	// NameCharacter means that a name holds a character that some system refuses or hides.
	NameCharacter problem.Code = "install.name-character"
	// NameEnding means that a name ends with a dot or a space, which Windows drops.
	NameEnding problem.Code = "install.name-ending"
	// NameReserved means that a name stands for a device on Windows.
	NameReserved problem.Code = "install.name-reserved"
	// LinkRefused means that an entry is a symbolic or hard link.
	LinkRefused problem.Code = "install.link-refused"
	// SpecialRefused means that an entry is neither a file nor a folder.
	SpecialRefused problem.Code = "install.special-refused"
	// ModeRefused means that an entry's mode is not one of the two that are allowed.
	ModeRefused problem.Code = "install.mode-refused"
	// HeaderRefused means that an entry uses a tar extension: sparse files, attributes, old formats.
	HeaderRefused problem.Code = "install.header-refused"
	// EntryTwice means that two entries have the same path.
	EntryTwice problem.Code = "install.entry-twice"
	// EntryTwin means that two paths differ only by case or by Unicode form.
	EntryTwin problem.Code = "install.entry-twin"
	// ParentMissing means that an entry comes before the folder that holds it, or inside a file.
	ParentMissing problem.Code = "install.parent-missing"
	// TooManyEntries means that the payload holds more entries than are taken.
	TooManyEntries problem.Code = "install.too-many-entries"
	// EntryTooLarge means that one file is larger than is taken.
	EntryTooLarge problem.Code = "install.entry-too-large"
	// TotalTooLarge means that the payload unpacks to more than was declared.
	TotalTooLarge problem.Code = "install.total-too-large"
	// SizeDiffers means that the payload unpacks to less than was declared.
	SizeDiffers problem.Code = "install.size-differs"
)

// What can be wrong with a product folder, a release or its check.
const (
	// IDInvalid means that a release's id cannot name a folder.
	IDInvalid problem.Code = "install.id-invalid"
	// FolderInUse means that something stands where a release would go, put there by somebody else.
	FolderInUse problem.Code = "install.folder-in-use"
	// StateDamaged means that the state file of a product folder cannot be read.
	StateDamaged problem.Code = "install.state-damaged"
	// ReleaseKept means that the release is in the rollback slot already.
	ReleaseKept problem.Code = "install.release-kept"
	// NothingToRollBack means that the rollback slot is empty.
	NothingToRollBack problem.Code = "install.nothing-to-roll-back"
	// CheckMissing means that the payload does not hold the named check as an executable file.
	CheckMissing problem.Code = "install.check-missing"
	// CheckFailed means that the check ended with an error or did not end in time.
	CheckFailed problem.Code = "install.check-failed"
	// NoSpace means that the disk is full.
	NoSpace problem.Code = "install.no-space"
)
