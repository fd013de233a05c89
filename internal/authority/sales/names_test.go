package sales

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/openesu/openesu/problem"
)

func TestFold(t *testing.T) {
	for name, same := range map[string][]string{
		"Contoso Café":  {"contoso cafe", "CONTOSO  CAFÉ ", "Contoso Cafe\u0301", "Ｃontoso Café", "Con\u200btoso\tCafé", "Contoso\u00a0Café"},
		"Straße AG":     {"STRASSE AG", "strasse ag"},
		"Zażółć Gęślą":  {"zazołc gesla", "ZAŻÓŁĆ GĘŚLĄ"},
		"株式会社ハーバー":      {"株式会社ﾊｰﾊﾞｰ"},
		"Ελλάς Α.Ε.":    {"ελλασ α.ε."},
		"Istanbul İnş.": {"istanbul inş."},
	} {
		for _, other := range same {
			if Fold(name) != Fold(other) {
				t.Errorf("%q is %q, and %q is %q", name, Fold(name), other, Fold(other))
			}
		}
	}
	for _, two := range [][2]string{
		{"Harbor Ltd", "Harbor Inc"}, {"ハーバー", "ハーパー"}, {"Harbor", "Har bor"}, {"หมา", "หมี"}, {"कि", "की"},
	} {
		if Fold(two[0]) == Fold(two[1]) {
			t.Errorf("%q and %q are one: %q", two[0], two[1], Fold(two[0]))
		}
	}
}

// A folded name folds to itself, so that whatever was stored is found again.
func TestFoldTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		once := Fold(name)
		if twice := Fold(once); twice != once {
			t.Fatalf("%+q, then %+q", once, twice)
		}
	})
}

func TestCheckName(t *testing.T) {
	name := "  Contoso \n Ltd\xff "
	folded, err := checkName(&name)
	if err != nil || name != "Contoso Ltd" || folded != "contoso ltd" {
		t.Errorf("%q, %q, %v", name, folded, err)
	}
	for _, good := range []string{strings.Repeat("a", maxName), strings.Repeat("é", maxName/2), "نرم\u200cافزار"} {
		if _, err := checkName(&good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", " \t", "\u0301", strings.Repeat("a", maxName+1), strings.Repeat("é", maxName/2) + "a",
		"Con\x00toso", "Con\x1b[2Jtoso", "Con\u009btoso", "Contoso\u202e dtL", "\u2066Contoso", "Contoso\u200f",
	} {
		if _, err := checkName(&bad); problem.CodeOf(err) != NameBad {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
