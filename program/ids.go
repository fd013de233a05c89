package program

import (
	"fmt"
	"regexp"
	"strings"
)

// Identifiers. Each is parsed once, at the border, and has its own type from
// there on.
type (
	// ID names a program: "windows-7". It is also the name of the program's
	// role in the signed metadata, so 'trust' and 'programs' are no ids.
	ID string
	// TrackID names a track: one product, or one embedded edition, with an
	// end-of-support day and coverage years of its own.
	TrackID string
	// EditionID names an edition, exactly, service pack included (rule P3).
	EditionID string
	// Arch names a processor architecture: "x64".
	Arch string
	// ComponentID names a part of the product with a support window of its own.
	ComponentID string
	// UpdateID names an update, as people know it: "KB4537820".
	UpdateID string
	// KindID names a kind of update: "monthly-rollup".
	KindID string
	// Rating is how bad the worst thing is that an update mends: "Critical".
	Rating string
	// PrerequisiteID names a prerequisite.
	PrerequisiteID string
	// DeliveryID names a way on which updates reach devices (rule D4).
	DeliveryID string
	// ChannelID names a sales channel.
	ChannelID string
	// QualificationID names what entitles a customer to another price.
	QualificationID string
	// ListID names a price list.
	ListID string
	// SKUID names what is sold: one coverage year of one track.
	SKUID string
	// ActivationID is the id by which a device activates one coverage year's
	// key. It is the same on every device (rule K19).
	ActivationID string
	// Tag is the 14-bit mark of a track and year inside a product key.
	Tag uint16
	// Year is a coverage year, from 1. Free stands for "needs none".
	Year int8
)

// Free is the year of an update that needs no coverage (rule P1).
const Free Year = 0

// Limits of a program file, wide enough for any real program.
const (
	MaxYear = 15
	MaxTag  = 1<<14 - 1
)

var (
	slug         = regexp.MustCompile(`^[a-z0-9]+([-.][a-z0-9]+)*$`)
	activationID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	updateID     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// ParseID reads a program's id.
func ParseID(s string) (ID, error) {
	if s == "trust" || s == "programs" || len(s) > 64 || !slug.MatchString(s) {
		return "", fmt.Errorf("%q is no program id: lower-case words joined by '-'", s)
	}
	return ID(s), nil
}

// ParseUpdateID reads an update's id.
func ParseUpdateID(s string) (UpdateID, error) {
	if !updateID.MatchString(s) {
		return "", fmt.Errorf("%q is no update id: letters, digits, '.', '_' and '-', 64 at most", s)
	}
	return UpdateID(s), nil
}

// ParseActivationID reads an activation id, with or without braces, in either
// case, and returns it in lower case with hyphens.
func ParseActivationID(s string) (ActivationID, error) {
	id := strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(id, "{"); ok {
		id, ok = strings.CutSuffix(inner, "}")
		if !ok {
			id = ""
		}
	}
	if id = strings.ToLower(id); !activationID.MatchString(id) {
		return "", fmt.Errorf("%q is no activation id: 32 hexadecimal digits in groups of 8-4-4-4-12", s)
	}
	return ActivationID(id), nil
}

// Text is a sentence in one or more languages, by language tag. English is
// always there. In a file it is a plain string (English) or a map.
type Text map[string]string

// In returns the text in lang ("nl"), else in English.
func (t Text) In(lang string) string {
	if s, ok := t[lang]; ok {
		return s
	}
	return t["en"]
}

// String is the English text.
func (t Text) String() string { return t["en"] }

// UnmarshalYAML reads either form.
func (t *Text) UnmarshalYAML(decode func(any) error) error {
	var plain string
	if err := decode(&plain); err == nil {
		*t = Text{"en": plain}
		return nil
	}
	var byLanguage map[string]string
	if err := decode(&byLanguage); err != nil {
		return fmt.Errorf("expected a text, or texts by language")
	}
	if byLanguage["en"] == "" {
		return fmt.Errorf("expected an English text (en) beside the others")
	}
	*t = byLanguage
	return nil
}
