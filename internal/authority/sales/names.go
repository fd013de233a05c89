package sales

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/openesu/openesu/problem"
)

// maxName is the most bytes of a name: what a license has room for.
const maxName = 200

// Fold is a name as it is compared: without case, accents, width and needless
// space, so that "CAFÉ  Ａ" and "Cafe a" are one. Only Latin, Greek and Cyrillic
// letters lose marks: in other scripts a mark makes another letter. Legal forms
// stay, for "Harbor Ltd" and "Harbor Inc" are two.
func Fold(name string) string {
	bare := strings.Map(func(r rune) rune {
		switch {
		case 0x0300 <= r && r <= 0x036F: // combining accents
			return -1
		case unicode.Is(unicode.Cf, r): // not seen
			return -1
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		}
		return r
	}, norm.NFKD.String(name))
	// Cherokee folds to capitals, and its capitals to small letters; ToLower settles it.
	folded := norm.NFKC.String(strings.ToLower(cases.Fold().String(bare)))
	return strings.Join(strings.Fields(folded), " ")
}

// checkName trims a name and returns it folded. Every name that it takes can
// stand on a license. Characters that steer a terminal or turn the direction of
// writing are refused, not dropped: with them a name reads as another.
func checkName(name *string) (string, error) {
	*name = strings.Join(strings.Fields(strings.ToValidUTF8(*name, "")), " ")
	folded := Fold(*name)
	steers := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
	if folded == "" || len(*name) > maxName || strings.ContainsFunc(*name, steers) {
		return "", problem.New(problem.Invalid, NameBad, "name", *name, "limit", maxName)
	}
	return folded, nil
}
