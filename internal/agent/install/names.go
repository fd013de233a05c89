package install

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/openesu/openesu/problem"
)

// Bytes of a path, and of one part of it. 255 is what common file systems hold.
const (
	maxPath = 1024
	maxName = 255
)

// maxPaths bounds the bytes of all paths together, because they are held in
// memory.
const maxPaths = 16 << 20

// Limits bound what a payload may unpack to.
type Limits struct {
	Total   int64 // bytes of all files together, as the signed manifest declares; zero means none
	File    int64 // bytes of one file; zero means Total
	Entries int   // files and folders; zero means 100,000
}

func (l Limits) filled() Limits {
	l.Total = min(l.Total, 1<<50) // sums with it stay far from overflow
	if l.File == 0 {
		l.File = l.Total
	}
	if l.Entries == 0 {
		l.Entries = 100_000
	}
	return l
}

// Summary says what a payload holds.
type Summary struct {
	Files   int
	Folders int
	Bytes   int64 // of all files together; what a manifest declares
}

// tree is the set of entries seen so far. Pack and Unpack ask the same tree, so
// what the one writes the other takes.
type tree struct {
	limits  Limits
	paths   int               // bytes of all paths
	seen    map[string]string // by the form in which twins meet: the path as written
	folders map[string]bool
	sum     Summary
}

func newTree(l Limits) *tree {
	return &tree{limits: l.filled(), seen: map[string]string{}, folders: map[string]bool{".": true}}
}

func (t *tree) add(name string, folder bool, size int64) error {
	if err := checkPath(name); err != nil {
		return err
	}
	t.paths += len(name)
	if t.sum.Files+t.sum.Folders >= t.limits.Entries || t.paths > maxPaths {
		return problem.New(problem.TooLarge, TooManyEntries, "max", t.limits.Entries)
	}
	switch other, ok := t.seen[twinKey(name)]; {
	case ok && other == name:
		return problem.New(problem.Refused, EntryTwice, "name", shown(name))
	case ok:
		return problem.New(problem.Refused, EntryTwin, "name", shown(name), "other", shown(other))
	case !t.folders[path.Dir(name)]:
		return problem.New(problem.Refused, ParentMissing, "name", shown(name))
	case size > t.limits.File:
		return problem.New(problem.TooLarge, EntryTooLarge, "name", shown(name), "max", t.limits.File)
	case size > t.limits.Total-t.sum.Bytes:
		return problem.New(problem.TooLarge, TotalTooLarge, "max", t.limits.Total)
	}
	t.seen[twinKey(name)] = name
	t.sum.Bytes += size
	if folder {
		t.folders[name] = true
		t.sum.Folders++
	} else {
		t.sum.Files++
	}
	return nil
}

// checkPath refuses what is not a plain relative path on every system that a
// device may run, whatever system this is.
func checkPath(name string) error {
	if strings.HasPrefix(name, "/") {
		return problem.New(problem.Refused, PathAbsolute, "name", shown(name))
	}
	if len(name) > maxPath {
		return problem.New(problem.Refused, NameTooLong, "name", shown(name), "max", maxPath)
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return problem.New(problem.Refused, PathEscapes, "name", shown(name))
		case part == "" || part == ".":
			return problem.New(problem.Refused, PathMalformed, "name", shown(name))
		case len(part) > maxName:
			return problem.New(problem.Refused, NameTooLong, "name", shown(name), "max", maxName)
		case !utf8.ValidString(part) || strings.ContainsFunc(part, forbidden):
			return problem.New(problem.Refused, NameCharacter, "name", shown(name))
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, " "):
			return problem.New(problem.Refused, NameEnding, "name", shown(name))
		case reserved(part):
			return problem.New(problem.Refused, NameReserved, "name", shown(name))
		}
	}
	return nil
}

// forbidden are the characters that Windows refuses (a colon opens an alternate
// stream), and the invisible ones: macOS ignores some of them when it compares,
// and people cannot see them.
func forbidden(r rune) bool {
	return strings.ContainsRune(`\:*?"<>|`, r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// reserved says whether a name opens a device on Windows, with or without an
// extension.
func reserved(part string) bool {
	base, _, _ := strings.Cut(part, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, isPort := strings.CutPrefix(base, "COM")
	if !isPort {
		port, isPort = strings.CutPrefix(base, "LPT")
	}
	return isPort && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// twinKey is equal for paths that a file system may take for the same one: the
// canonical caseless match of Unicode (section 3.13, D145).
func twinKey(name string) string {
	return norm.NFD.String(cases.Fold().String(norm.NFD.String(name)))
}

// shown makes a hostile name fit for a terminal and a log.
func shown(name string) string {
	const most = 120
	if len(name) > most {
		name = name[:most] + "…"
	}
	quoted := strconv.QuoteToGraphic(name)
	return quoted[1 : len(quoted)-1]
}
