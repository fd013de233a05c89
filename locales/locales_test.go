package locales

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/problem"
)

// Every file that is shipped can be read, in every language: what fails here
// would be missing in front of a person.
func TestShippedFilesAreSound(t *testing.T) {
	if _, err := load(files); err != nil {
		t.Errorf("files under locales/ are at fault:\n%v", err)
	}
}

// A translation says the same as the English entry: the same ids, the same
// arguments (rule I1).
func TestTranslationsMatchEnglish(t *testing.T) {
	english, _ := Entries("en")
	for _, lang := range Languages()[1:] {
		entries, _ := Entries(lang)
		for id, e := range english {
			translated, ok := entries[id]
			if !ok {
				t.Errorf("%s lacks %s", lang, id)
				continue
			}
			if diff := cmp.Diff(e.Placeholders(), translated.Placeholders()); diff != "" {
				t.Errorf("%s: %s has other arguments (-en +%s):\n%s", lang, id, lang, diff)
			}
		}
		for id := range entries {
			if _, ok := english[id]; !ok {
				t.Errorf("%s has %s, English has not", lang, id)
			}
		}
	}
}

// world is a small set of locales with what English alone would not show.
var world = fstest.MapFS{
	"en/text.yaml": {Data: []byte(`
text.list-none: none
text.list-middle: "{{.list}}, {{.next}}"
text.list-end: "{{.list}} and {{.next}}"
text.unknown-code: "The answer was '{{.answer}}'."
text.unknown-code-hint: "Ask about {{.code}}."
text.only-english: "Only in English"
`)},
	"en/seat.yaml": {Data: []byte(`
seat.taken:
  sentence: {one: "{{.seats}} seat of {{.key}} is taken.", other: "{{.seats}} seats of {{.key}} are taken."}
  hint: "Free one of {{.devices}}."
  plural: seats
`)},
	"pl/text.yaml": {Data: []byte(`
text.list-none: brak
text.list-middle: "{{.list}}, {{.next}}"
text.list-end: "{{.list}} i {{.next}}"
`)},
	"pl/seat.yaml": {Data: []byte(`
seat.taken:
  sentence: {one: "{{.seats}} miejsce", few: "{{.seats}} miejsca", many: "{{.seats}} miejsc", other: "{{.seats}} miejsca"}
  hint: "{{.devices}}, {{.key}}"
  plural: seats
`)},
}

func smallWorld(t *testing.T) *library {
	t.Helper()
	lib, err := load(world)
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

func TestLanguageIsTheFirstThatCanBeMet(t *testing.T) {
	lib := smallWorld(t)
	for _, test := range []struct {
		wishes []string
		want   string
	}{
		{nil, "en"},
		{[]string{""}, "en"},
		{[]string{"pl"}, "pl"},
		{[]string{"pl_PL.UTF-8"}, "pl"},
		{[]string{"pl_PL@euro"}, "pl"},
		{[]string{"", "pl_PL.UTF-8"}, "pl"},
		{[]string{"C.UTF-8", "pl_PL.UTF-8"}, "en"},
		{[]string{"POSIX", "pl"}, "en"},
		{[]string{"fr:pl:en"}, "pl"},
		{[]string{"fr-CH, pl;q=0.9, en;q=0.8, *;q=0.5"}, "pl"},
		{[]string{"en;q=0.8,pl;q=0.9"}, "pl"},
		{[]string{"ja"}, "en"},
		{[]string{"!!", "pl"}, "pl"},
	} {
		if got := newRenderer(lib, test.wishes).Lang(); got != test.want {
			t.Errorf("New(%q) speaks %s, want %s", test.wishes, got, test.want)
		}
	}
}

// A header comes from anyone: whatever it is, somebody is spoken to.
func FuzzLanguage(f *testing.F) {
	for _, wish := range []string{"", "pl_PL.UTF-8@euro", "fr:pl", "fr-CH, pl;q=0.9, *;q=0.5", "x-private", ";q=", "-_-"} {
		f.Add(wish)
	}
	lib, err := load(world)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wish string) {
		r := newRenderer(lib, []string{wish})
		if lang := r.Lang(); lang != "en" && lang != "pl" {
			t.Errorf("%q is answered in %q", wish, lang)
		}
		if r.Text("text.list-none", nil) == "text.list-none" {
			t.Errorf("%q is answered with nothing", wish)
		}
	})
}

type edition string // an identifier, as packages have them

func TestArgumentsAreShownAsCommandsTakeThem(t *testing.T) {
	r := newRenderer(smallWorld(t), nil)
	for _, test := range []struct {
		value any
		want  string
	}{
		{"plain", "plain"},
		{"", ""},
		{1234567, "1234567"},
		{uint8(3), "3"},
		{true, "true"},
		{edition("enterprise"), "enterprise"},
		{civil.New(2020, 1, 14), "2020-01-14"},
		{money.Amount{Currency: "USD", Minor: 150000}, "USD 1500.00"},
		{90 * time.Minute, "1h30m0s"},
		{time.Date(2020, 1, 14, 18, 0, 0, 0, time.FixedZone("", -8*3600)), "2020-01-15T02:00:00Z"},
		{errors.New("broken"), "broken"},
		{[]string{}, "none"},
		{[]string{"a"}, "a"},
		{[]string{"a", "b"}, "a and b"},
		{[]edition{"a", "b", "c"}, "a, b and c"},
		{[]civil.Date{civil.New(2020, 1, 1), civil.New(2020, 1, 2)}, "2020-01-01 and 2020-01-02"},
		{[2]int{1, 2}, "1 and 2"},
		{"{{.key}}", "{{.key}}"},
		{"two\nlines\u2028or\tthree", "two lines or three"},
		{"a\x1b[2Jb\u202ec", "a\uFFFD[2Jb\uFFFDc"},
	} {
		if got := r.show(test.value); got != test.want {
			t.Errorf("%T %v shows as %q, want %q", test.value, test.value, got, test.want)
		}
	}
}

func TestProblem(t *testing.T) {
	type rendered struct{ Sentence, Hint string }
	taken := func(args ...any) *problem.Problem { return problem.New(problem.Refused, "seat.taken", args...) }
	for _, test := range []struct {
		name, lang string
		p          *problem.Problem
		want       rendered
	}{
		{"one", "en", taken("seats", 1, "key", "K", "devices", []string{"a", "b"}), rendered{"1 seat of K is taken.", "Free one of a and b."}},
		{"many", "en", taken("seats", int64(2), "key", "K", "devices", "a"), rendered{"2 seats of K are taken.", "Free one of a."}},
		{"few in Polish", "pl", taken("seats", 3, "key", "K", "devices", []string{"a", "b"}), rendered{"3 miejsca", "a i b, K"}},
		{"many in Polish", "pl", taken("seats", uint16(5), "key", "K", "devices", []string{}), rendered{"5 miejsc", "brak, K"}},
		{"missing arguments show as their names", "en", taken("seats", nil), rendered{"seats seats of key are taken.", "Free one of devices."}},
		{
			"a code that only a newer version knows", "pl", problem.New(problem.Refused, "seat.new", "b", 2, "a", "x"),
			rendered{"The answer was 'seat.new a=x b=2'.", "Ask about seat.new."},
		},
		{"a cause is for logs", "en", problem.New(problem.Refused, "x.y").Because(errors.New("secret")), rendered{"The answer was 'x.y'.", "Ask about x.y."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got rendered
			got.Sentence, got.Hint = newRenderer(smallWorld(t), []string{test.lang}).Problem(test.p)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestText(t *testing.T) {
	polish := newRenderer(smallWorld(t), []string{"pl"})
	if got := polish.Text("text.only-english", nil); got != "Only in English" {
		t.Errorf("a text that Polish lacks shows as %q", got)
	}
	if got := polish.Text("text.nowhere", nil); got != "text.nowhere" {
		t.Errorf("a text that no language has shows as %q", got)
	}
	if got := New("en").Text("text.list-end", map[string]any{"list": "a", "next": "b"}); got != "a and b" {
		t.Errorf("the shipped English gives %q", got)
	}
}

func TestPlaceholders(t *testing.T) {
	entries, err := entriesIn(world, "en")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"devices", "key", "seats"}, entries["seat.taken"].Placeholders()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each kind of fault is told, with its file, and costs no more than itself.
func TestFaultsAreTold(t *testing.T) {
	for _, test := range []struct{ name, file, text, want string }{
		{"not YAML", "a", "a.b: {", "en/a.yaml"},
		{"unknown field", "a", "a.b: {sentence: s, hint: h, tip: t}", "tip"},
		{"twice in a file", "a", "a.b: {sentence: s, hint: h}\na.b: {sentence: s, hint: h}", "a.b"},
		{"another area", "a", "b.c: {sentence: s, hint: h}", "its own area"},
		{"no hint", "a", "a.b: {sentence: s}", "no hint"},
		{"a string is no problem", "a", "a.b: s", "no hint"},
		{"no sentence", "a", "a.b: {hint: h}", "no sentence"},
		{"hint for a text", "a", "text.a.b: {sentence: s, hint: h}", "a text has no hint"},
		{"capital", "a", "a.B: {sentence: s, hint: h}", "small letters"},
		{"two lines", "a", `a.b: {sentence: "s\nt", hint: h}`, "one line"},
		{"blank", "a", `a.b: {sentence: "", hint: h}`, "one line"},
		{"condition", "a", `a.b: {sentence: "{{if .x}}s{{end}}", hint: h}`, "no placeholder"},
		{"function", "a", `a.b: {sentence: "{{.x | printf}}", hint: h}`, "{{.x | printf}}"},
		{"method", "a", `a.b: {sentence: "{{.x.Year}}", hint: h}`, "no placeholder"},
		{"variable", "a", `a.b: {sentence: "{{$}}", hint: h}`, "no placeholder"},
		{"unclosed", "a", `a.b: {sentence: "{{.x", hint: h}`, "{{.x"},
		{"plural of nothing", "a", `a.b: {sentence: {one: s, other: t}, hint: h}`, "go together"},
		{"plural without forms", "a", `a.b: {sentence: s, hint: h, plural: x}`, "go together"},
		{"plural without other", "a", `a.b: {sentence: {one: s, few: t}, hint: h, plural: x}`, "without 'other'"},
		{"no such form", "a", `a.b: {sentence: {uno: s, other: t}, hint: h, plural: x}`, "no plural form"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lib, err := load(fstest.MapFS{
				"en/" + test.file + ".yaml": {Data: []byte(test.text)},
				"en/z.yaml":                 {Data: []byte("z.ok: {sentence: s, hint: h}")},
			})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "en/a.yaml") {
				t.Errorf("told %v, want it to name en/a.yaml and %q", err, test.want)
			}
			if _, ok := lib.texts["z.ok"]; !ok {
				t.Error("a sound file beside the faulty one is lost")
			}
		})
	}
	if _, err := load(fstest.MapFS{"en/a.yml": {Data: []byte("a.b: {sentence: s, hint: h}")}}); err == nil {
		t.Error("a file of another kind is passed over in silence")
	}
	if _, err := load(fstest.MapFS{"notalanguage/a.yaml": {}}); err == nil {
		t.Error("a folder that is no language is passed over in silence")
	}
	twice := fstest.MapFS{"en/text.yaml": {Data: []byte("text.a.b: s")}, "en/a.yaml": {Data: []byte("text.a.b: s")}}
	if _, err := load(twice); err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("an id in two files: %v", err)
	}
}
