package program_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func small(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t testing.TB, text string) *program.Program {
	t.Helper()
	p, err := program.Parse("small.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each case breaks the small file once. The problem must name the line that
// holds at, in the broken file, and the key.
func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new string
		code     problem.Code
		at       string
		key      string // of FileSyntax: how the text begins
		expected string // a part of what is said to be expected
	}{
		// shape
		{name: "unknown key", old: "vendor: Small Works", new: "vendro: Small Works", code: program.KeyUnknown, at: "vendro:", key: "vendro"},
		{name: "unknown key inside", old: "        tag: 22", new: "        tga: 22", code: program.KeyUnknown, at: "tga:", key: "tracks[0].years[1].tga"},
		{name: "unknown key in braces", old: "version: \"1.10\"", new: "vresion: \"1.10\"", code: program.KeyUnknown, at: "vresion", key: "ungated[0].vresion"},
		{name: "key twice", old: "vendor: Small Works", new: "vendor: Small Works\nvendor: Another", code: program.FileSyntax, at: "vendor: Another", key: `mapping key "vendor"`},
		{name: "year twice in a line of prices", old: "      2: USD 100.50", new: "      \"1\": USD 100.50", code: program.FileSyntax, at: "\"1\": USD 100.50", key: `mapping key "1" already defined`},
		{name: "year twice in another form", old: "      2: USD 100.50", new: "      01: USD 100.50", code: program.FileSyntax, at: "01: USD", key: "prices[0].years.01: ", expected: "a whole number"},
		{name: "year twice in braces", old: "      1: JPY 2500", new: "      {1: JPY 2500, 1: JPY 2600}", code: program.FileSyntax, at: "JPY 2600", key: `mapping key "1" already defined`},
		{name: "two documents", old: "invoice-day: 6", new: "invoice-day: 6\n---\nformat: 1", code: program.FileSyntax, at: "format: 1", key: "expected one YAML document"},
		{name: "anchor", old: "Small Works", new: "&v Small Works", code: program.FileSyntax, at: "&v", key: "anchors and aliases"},
		{name: "alias", old: "Small Works", new: "*v", code: program.FileSyntax, at: "*v", key: "anchors and aliases"},
		{name: "merge", old: "activation:\n", new: "activation:\n  <<: {hosts: [x]}\n", code: program.FileSyntax, at: "<<", key: "anchors and aliases"},
		{name: "tag", old: "Small Works", new: "!!str Small Works", code: program.FileSyntax, at: "!!str", key: "tags and directives"},
		{name: "key of several words", old: "vendor: Small Works", new: "? [vendor]\n: Small Works", code: program.FileSyntax, at: "? [", key: "a key is a single word"},
		{name: "deep braces", old: "[Small Pro]", new: strings.Repeat("[", 20) + strings.Repeat("]", 20), code: program.FileSyntax, at: "[[[[", key: "lists and braces"},
		{name: "bracket left open", old: "[Small Pro]", new: "[Small Pro", code: program.FileSyntax, at: "[Small Pro", key: "a bracket or brace is not closed"},
		{name: "brace closed twice", old: "Not for homes., nl: Niet voor thuis.}", new: "Not for homes.}}", code: program.FileSyntax, at: "}}", key: "value is not allowed"},
		{name: "tab", old: "  week: 2", new: "\tweek: 2", code: program.FileSyntax, at: "\tweek", key: "found character"},
		{name: "quote left open", old: "invoice-day: 6", new: "invoice-day: \"6", code: program.FileSyntax, at: "invoice-day", key: "could not find end"},
		{name: "bad day", old: "last: 2032-06-08", new: "last: 2032-6-8", code: program.FileSyntax, at: "2032-6-8", key: "tracks[0].years[1].last: ", expected: "YYYY-MM-DD"},
		{name: "day that is none", old: "last: 2032-06-08", new: "last: 2032-06-31", code: program.FileSyntax, at: "2032-06-31", key: "tracks[0].years[1].last: "},
		{name: "bad end", old: "ends: 2031-02,", new: "ends: February,", code: program.FileSyntax, at: "February", key: "components[0].ends: ", expected: "a month YYYY-MM"},
		{name: "bad weekday", old: "weekday: Tuesday", new: "weekday: tue", code: program.FileSyntax, at: "tue", key: "calendar.weekday: ", expected: "Sunday … Saturday"},
		{name: "bad amount", old: "2: USD 100.50", new: "2: USD 100.5", code: program.FileSyntax, at: "USD 100.5", key: "prices[0].years.2: ", expected: "2 digits"},
		{name: "amount without currency", old: "2: USD 100.50", new: "2: 100", code: program.FileSyntax, at: "2: 100", key: "prices[0].years.2: ", expected: "USD 50.00"},
		{name: "number that is none", old: "version: 3", new: "version: three", code: program.FileSyntax, at: "version: three", key: "version: ", expected: "a whole number"},
		{name: "number in quotes", old: "version: 3", new: "version: \"3\"", code: program.FileSyntax, at: "version: \"3", key: "version: ", expected: "a whole number"},
		{name: "number with a point", old: "version: 3", new: "version: 3.0", code: program.FileSyntax, at: "version: 3.0", key: "version: ", expected: "a whole number"},
		{name: "number below zero", old: "allowance: 5", new: "allowance: -5", code: program.FileSyntax, at: "allowance: -5", key: "channels[0].allowance: ", expected: "a whole number"},
		{name: "number too large", old: "tag: 22", new: "tag: 70000", code: program.FileSyntax, at: "70000", key: "tracks[0].years[1].tag: ", expected: "a whole number"},
		{name: "year that is no number", old: "      2: USD 100.50", new: "      two: USD 100.50", code: program.FileSyntax, at: "two:", key: "prices[0].years.two: ", expected: "a whole number"},
		{name: "flag in words", old: "embedded: true", new: "embedded: \"yes\"", code: program.FileSyntax, at: "embedded: \"yes", key: "tracks[1].embedded: ", expected: "true or false"},
		{name: "list that is none", old: "any-of: [SM-1, SM-2]", new: "any-of: SM-1", code: program.FileSyntax, at: "any-of: SM-1", key: "prerequisites[0].any-of: ", expected: "a list"},
		{name: "keys that are none", old: "ineligible:\n      home: true\n      reason: {en: Not for homes., nl: Niet voor thuis.}", new: "ineligible: because", code: program.FileSyntax, at: "because", key: "editions[1].ineligible: ", expected: "keys with values"},
		{name: "list for a text", old: "name: Small 1 Pro\n", new: "name: [Small, Pro]\n", code: program.FileSyntax, at: "[Small, Pro]", key: "editions[0].name: ", expected: "a text"},
		{name: "list for a day", old: "from: 2030-01-01", new: "from: [2030-01-01]", code: program.FileSyntax, at: "from: [2030", key: "from: ", expected: "a single value"},
		{name: "text without English", old: "upgrade-advice: Take Small 2.", new: "upgrade-advice: {nl: Neem Small 2.}", code: program.FileSyntax, at: "Neem", key: "upgrade-advice: ", expected: "English"},

		// the program as a whole
		{name: "other format", old: "format: 1", new: "format: 2", code: program.ValueBad, at: "format: 2", key: "format", expected: "1"},
		{name: "id of the trust root", old: "id: small-1\nname", new: "id: trust\nname", code: program.ValueBad, at: "id: trust", key: "id", expected: "but not 'trust'"},
		{name: "id in capitals", old: "id: small-1\nname", new: "id: Small\nname", code: program.ValueBad, at: "id: Small", key: "id", expected: "lower-case"},
		{name: "no vendor", old: "vendor: Small Works\n", new: "", code: program.ValueMissing, at: "format: 1", key: "vendor", expected: "a text"},
		{name: "version 0", old: "version: 3", new: "version: 0", code: program.ValueBad, at: "version: 0", key: "version", expected: "from 1"},
		{name: "no day to hold from", old: "from: 2030-01-01\n", new: "", code: program.ValueMissing, at: "format: 1", key: "from", expected: "the day"},
		{name: "fifth week", old: "week: 2", new: "week: 5", code: program.ValueBad, at: "week: 5", key: "calendar.week", expected: "1 to 4"},
		{name: "rating not in the order", old: "covered: [high,", new: "covered: [severe,", code: program.ReferenceUnknown, at: "severe", key: "ratings.covered[0]", expected: "ratings.order"},
		{name: "nothing covered", old: "covered: [high, critical]", new: "covered: []", code: program.ValueMissing, at: "covered", key: "ratings.covered", expected: "in coverage"},

		// tracks and years
		{name: "gap before year 1", old: "first: 2030-06-11", new: "first: 2030-06-13", code: program.YearsGap, at: "2030-06-13", key: "tracks[0].years[0].first"},
		{name: "year 1 while still supported", old: "first: 2030-06-11", new: "first: 2030-06-10", code: program.YearEarly, at: "2030-06-10", key: "tracks[0].years[0].first"},
		{name: "gap between years", old: "first: 2031-06-11", new: "first: 2031-06-12", code: program.YearsGap, at: "2031-06-12", key: "tracks[0].years[1].first"},
		{name: "overlap", old: "first: 2031-06-11", new: "first: 2031-06-10", code: program.YearsOverlap, at: "first: 2031-06-10", key: "tracks[0].years[1].first"},
		{name: "year that ends before it starts", old: "last: 2032-06-08", new: "last: 2031-06-10", code: program.ValueBad, at: "- year: 2", key: "tracks[0].years[1]", expected: "in this order"},
		{name: "years out of order", old: "- year: 2", new: "- year: 3", code: program.ValueBad, at: "- year: 3", key: "tracks[0].years[1].year", expected: "2, because"},
		{name: "no end of support", old: "    end-of-support: 2030-10-08\n", new: "", code: program.ValueMissing, at: "- id: small-kiosk", key: "tracks[1].end-of-support", expected: "YYYY-MM-DD"},
		{name: "track twice", old: "- id: small-kiosk", new: "- id: small-1", code: program.ValueTwice, at: "- id: small-1\n    name: Small Kiosk", key: "tracks[1].id"},
		{name: "tag twice", old: "tag: 23", new: "tag: 21", code: program.ValueTwice, at: "tag: 21\n        key: {portal: Kiosk", key: "tracks[1].years[0].tag"},
		{name: "tag of too many bits", old: "tag: 22", new: "tag: 16384", code: program.ValueBad, at: "16384", key: "tracks[0].years[1].tag", expected: "1 to 16383"},
		{name: "activation id twice", old: "2d6d42a0f5ab", new: "2d6d42a0f5aa", code: program.ValueTwice, at: "2d6d42a0f5aa\n        tag: 22", key: "tracks[0].years[1].activation-id"},
		{name: "activation id in capitals", old: "2d6d42a0f5ab", new: "2D6D42A0F5AB", code: program.ValueBad, at: "2D6D", key: "tracks[0].years[1].activation-id", expected: "lower-case"},
		{name: "key without a name", old: "portal: Small Year 2 key, ", new: "", code: program.ValueMissing, at: "Small device year 2", key: "tracks[0].years[1].key", expected: "portal, tool and device"},
		{name: "limited to something else", old: "only: cloud", new: "only: moon", code: program.ValueBad, at: "moon", key: "tracks[1].years[0].only", expected: "cloud"},

		// editions, components, kinds
		{name: "edition on no track", old: "    track: small-kiosk\n    arch", new: "    arch", code: program.ReferenceUnknown, at: "- id: kiosk", key: "editions[2].track", expected: "one of tracks"},
		{name: "ineligible on no such track", old: "    ineligible:", new: "    track: small-9\n    ineligible:", code: program.ReferenceUnknown, at: "small-9", key: "editions[1].track", expected: "one of tracks"},
		{name: "ineligible without a reason", old: "\n      reason: {en: Not for homes., nl: Niet voor thuis.}", new: "", code: program.ValueMissing, at: "ineligible:", key: "editions[1].ineligible.reason", expected: "why"},
		{name: "alias of two editions", old: "name: Small 1 Home", new: "name: Small 1 Home\n    aliases: [small pro]", code: program.ValueTwice, at: "[small pro]", key: "editions[1].aliases[0]"},
		{name: "unknown architecture", old: "architectures: [arm64]", new: "architectures: [mips]", code: program.ReferenceUnknown, at: "mips", key: "editions[2].architectures[0]", expected: "one of architectures"},
		{name: "component on no such track", old: "absent-on: [small-kiosk]", new: "absent-on: [small-2]", code: program.ReferenceUnknown, at: "small-2", key: "components[0].absent-on[0]", expected: "one of tracks"},
		{name: "kind of an uncovered rating", old: "rating: critical", new: "rating: low", code: program.ValueBad, at: "rating: low", key: "kinds[0].rating", expected: "ungated: true"},
		{name: "name of two kinds", old: "names: [Servicing]", new: "names: [Rollup]", code: program.ValueTwice, at: "names: [Rollup]\n    ungated", key: "kinds[1].names[0]"},
		{name: "kind of no component", old: "cumulative: true", new: "component: clock", code: program.ReferenceUnknown, at: "clock", key: "kinds[0].component", expected: "one of components"},
		{name: "kind not on no delivery", old: "not-on: [direct]", new: "not-on: [mail]", code: program.ReferenceUnknown, at: "mail", key: "kinds[1].not-on[0]", expected: "one of delivery"},
		{name: "no default delivery", old: "name: Direct, default: true", new: "name: Direct", code: program.ValueBad, at: "delivery:", key: "delivery", expected: "one of them the default"},

		// prerequisites and content
		{name: "unknown role", old: "role: servicing-stack", new: "role: luck", code: program.ValueBad, at: "luck", key: "prerequisites[0].role", expected: "preparation"},
		{name: "three restarts", old: "restarts: 2", new: "restarts: 3", code: program.ValueBad, at: "restarts: 3", key: "prerequisites[0].restarts", expected: "0, 1 or 2"},
		{name: "later of no kind", old: "kinds: [servicing], since", new: "kinds: [magic], since", code: program.ReferenceUnknown, at: "magic", key: "prerequisites[0].or-later[0].kinds[0]", expected: "one of kinds"},
		{name: "update id with a blank", old: "any-of: [SM-1, SM-2]", new: "any-of: [SM-1, SM 2]", code: program.ValueBad, at: "SM 2", key: "prerequisites[0].any-of[1]", expected: "letters, digits"},
		{name: "check package without an update", old: "updates: [SM-3]", new: "updates: []", code: program.ValueMissing, at: "updates: []", key: "check-package.updates", expected: "the updates"},
		{name: "gated content", old: "kind: servicing, version", new: "kind: rollup, version", code: program.ReferenceUnknown, at: "kind: rollup", key: "ungated[0].kind", expected: "ungated: true"},
		{name: "not covered without a reason", old: "    reason: It is over.\n", new: "", code: program.ValueMissing, at: "- names: [Small 0]", key: "not-covered[0]", expected: "a reason"},
		{name: "every id foreign", old: "prefix: 99f1", new: "prefix: \"\"", code: program.ValueMissing, at: "prefix", key: "foreign-activation-ids[0]", expected: "a prefix"},
		{name: "half a right", old: "after: kept", new: "after: maybe", code: program.ValueBad, at: "maybe", key: "rights[0].after", expected: "kept or with-coverage"},
		{name: "code of nothing", old: "SM-E20", new: "\"\"", code: program.ValueMissing, at: "activation.limit-reached", key: "codes.activation.limit-reached", expected: "code"},

		// selling
		{name: "channel that opens on no day", old: "    opens: 2030-02-01\n", new: "", code: program.ValueMissing, at: "- id: direct\n    name", key: "channels[0].opens", expected: "opens"},
		{name: "channel of an unknown track", old: "tracks: [small-1]\n    ask", new: "tracks: [small-3]\n    ask", code: program.ReferenceUnknown, at: "small-3", key: "channels[0].tracks[0]", expected: "one of tracks"},
		{name: "seller by chance", old: "seller: optional", new: "seller: sometimes", code: program.ValueBad, at: "sometimes", key: "channels[0].seller", expected: "none, optional or required"},
		{name: "closed and open", old: "{id: shop,", new: "{id: maker,", code: program.ValueTwice, at: "{id: maker", key: "closed-channels[0].id"},
		{name: "year without a SKU", old: "  - id: s2\n    track: small-1\n    year: 2\n    name: Small 1 Coverage Year 2\n    place: [Software, Security]\n", new: "", code: program.ValueMissing, at: "- year: 2", key: "tracks[0].years[1]", expected: "rule B4"},
		{name: "SKU of no year", old: "    year: 2\n", new: "    year: 7\n", code: program.ReferenceUnknown, at: "- id: s2", key: "skus[1]", expected: "a coverage year"},
		{name: "two SKUs of a year", old: "    year: 2\n", new: "    year: 1\n", code: program.ValueTwice, at: "- id: s2", key: "skus[1]"},
		{name: "SKU at no place", old: "place: [Software, Security]\nprices", new: "place: []\nprices", code: program.ValueMissing, at: "- id: s2", key: "skus[1]", expected: "its place"},
		{name: "falling price", old: "2: USD 100.50", new: "2: USD 49.99", code: program.PriceFalls, at: "USD 49.99", key: "prices[0].years.2"},
		{name: "two currencies", old: "2: USD 100.50", new: "2: EUR 100.50", code: program.ValueBad, at: "EUR", key: "prices[0].years.2", expected: "USD"},
		{name: "price of no year", old: "2: USD 100.50", new: "5: USD 100.50", code: program.ReferenceUnknown, at: "5: USD", key: "prices[0].years.5", expected: "a coverage year"},
		{name: "price twice", old: "    qualification: fleet\n    from: 2030-02-01\n    planned: true\n    years:\n      1: JPY 2500", new: "    from: 2030-02-01\n    years:\n      1: USD 60", code: program.ValueTwice, at: "USD 60", key: "prices[1].years.1"},
		{name: "price on no list", old: "- list: vendor\n    channel: direct\n    track: small-1\n    from", new: "- list: secret\n    channel: direct\n    track: small-1\n    from", code: program.ReferenceUnknown, at: "secret", key: "prices[0].list", expected: "one of price-lists"},
		{name: "price where the seller sets it", old: "channel: direct\n    track: small-1\n    from", new: "channel: maker\n    track: small-1\n    from", code: program.ValueBad, at: "channel: maker", key: "prices[0].channel", expected: "priced-by-seller"},
		{name: "price for a track not sold there", old: "track: small-1\n    from", new: "track: small-kiosk\n    from", code: program.ValueBad, at: "track: small-kiosk\n    from", key: "prices[0].track", expected: "sells"},
		{name: "price for a common-price qualification", old: "qualification: fleet", new: "qualification: school", code: program.ReferenceUnknown, at: "qualification: school", key: "prices[1].qualification", expected: "a price of its own"},
		{name: "price for a qualification of another channel", old: "name: Fleets, channels: [direct]", new: "name: Fleets, channels: [maker]", code: program.ValueBad, at: "qualification: fleet", key: "prices[1].qualification", expected: "channel direct"},
		{name: "two default lists", old: "name: Price list, default: true}", new: "name: Price list, default: true}\n  - {id: other, name: Other, default: true}", code: program.ValueBad, at: "price-lists:", key: "price-lists", expected: "one of them the default"},
		{name: "invoice on the 31st", old: "invoice-day: 6", new: "invoice-day: 31", code: program.ValueBad, at: "invoice-day: 31", key: "invoice-day", expected: "1 to 28"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := small(t)
			if !strings.Contains(whole, tt.old) {
				t.Fatalf("the small file has no %q", tt.old)
			}
			broken := strings.Replace(whole, tt.old, tt.new, 1)
			before, _, ok := strings.Cut(broken, tt.at)
			if !ok {
				t.Fatalf("the broken file has no %q", tt.at)
			}
			line := 1 + strings.Count(before, "\n")
			p, err := program.Parse("small.yaml", []byte(broken))
			if p != nil {
				t.Error("a broken program was returned")
			}
			var said []string
			for _, got := range problem.All(err) {
				said = append(said, got.Error())
				key, text := fmt.Sprint(got.Args["key"]), fmt.Sprint(got.Args["expected"])
				if got.Code == program.FileSyntax {
					text = fmt.Sprint(got.Args["what"])
					key = text[:min(len(tt.key), len(text))]
				}
				if got.Code == tt.code && got.Kind == problem.Invalid && got.Args["file"] == "small.yaml" &&
					got.Args["line"] == line && key == tt.key && (tt.expected == "" || strings.Contains(text, tt.expected)) {
					return
				}
			}
			t.Errorf("got\n%s\nwant %s, line %d, key %s, expected …%s…", strings.Join(said, "\n"), tt.code, line, tt.key, tt.expected)
		})
	}
}

func TestParseSaysAllAtOnce(t *testing.T) {
	text := strings.NewReplacer("week: 2", "week: 9", "tag: 22", "tag: 0", "invoice-day: 6", "invoice-day: 0").Replace(small(t))
	_, err := program.Parse("small.yaml", []byte(text))
	var keys []string
	for _, p := range problem.All(err) {
		keys = append(keys, fmt.Sprint(p.Args["key"]))
	}
	if diff := cmp.Diff([]string{"calendar.week", "tracks[0].years[1].tag", "invoice-day"}, keys); diff != "" {
		t.Error(diff)
	}
	// Shape comes first, because what follows would only repeat it.
	text = strings.NewReplacer("version: 3", "version: x", "invoice-day: 6", "invoice: 6").Replace(small(t))
	if _, err = program.Parse("small.yaml", []byte(text)); len(problem.All(err)) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestParseIsBounded(t *testing.T) {
	const n = program.MaxFile / 2
	for name, text := range map[string]string{
		"open brackets":  "format: " + strings.Repeat("[", n),
		"open braces":    "format: " + strings.Repeat("{a: ", n/4),
		"open list":      "architectures: [" + strings.Repeat("a,", n/2),
		"closed list":    "architectures: [" + strings.Repeat("a,", n/4) + "]",
		"dashes":         strings.Repeat("- ", n/2),
		"question marks": strings.Repeat("? ", n/2),
		"many editions":  "editions:\n" + strings.Repeat("  - {id: a, from: 1}\n", n/64),
		"many days":      "prerequisites:\n" + strings.Repeat("  - from: 1\n", n/32),
	} {
		start := time.Now()
		_, err := program.Parse("hostile.yaml", []byte(text))
		if err == nil || len(problem.All(err)) == 0 || len(problem.All(err)) > 100 {
			t.Errorf("%s: %d problems, %v", name, len(problem.All(err)), errors.Unwrap(err))
		}
		if took := time.Since(start); took > 5*time.Second { // unbounded, each takes far longer or all memory
			t.Errorf("%s: took %v", name, took)
		}
	}
	_, err := program.Parse("hostile.yaml", make([]byte, program.MaxFile+1))
	if problem.CodeOf(err) != program.FileTooLarge {
		t.Errorf("got %v", err)
	}
	if _, err := program.ParsePublic(make([]byte, program.MaxFile+1)); problem.CodeOf(err) != program.FileTooLarge {
		t.Errorf("got %v", err)
	}
}

// Values are read as they are written: a version number is a text, not a fraction.
func TestParseValues(t *testing.T) {
	p := parse(t, small(t))
	if got := p.Ungated[0].Version; got != "1.10" {
		t.Errorf("the version is %q", got)
	}
	if got := p.Ungated[0].Ends.String(); got != "2033-01-31" { // rule P8
		t.Errorf("January 2033 ends on %s", got)
	}
	if got := p.Editions[1].Ineligible.Reason; got.In("nl") != "Niet voor thuis." || got.In("ja") != "Not for homes." || got.String() != "Not for homes." {
		t.Errorf("the reason is %v", got)
	}
	if got := p.Prices[0].Years[2].String(); got != "USD 100.50" {
		t.Errorf("year 2 costs %s", got)
	}
	unquoted := parse(t, strings.Replace(small(t), `"1.10"`, "1.10", 1))
	if got := unquoted.Ungated[0].Version; got != "1.10" {
		t.Errorf("the version without quotes is %q", got)
	}
	absent := parse(t, strings.Replace(small(t), "    aliases: [Small Pro]", "    aliases:", 1))
	if got := absent.Editions[0].Aliases; got != nil {
		t.Errorf("a key without a value gave %q", got)
	}
}

func FuzzParse(f *testing.F) {
	whole := small(f)
	f.Add([]byte(whole))
	for _, part := range strings.Split(whole, "\n  - ") {
		f.Add([]byte("tracks:\n  - " + part))
	}
	for _, s := range []string{"", "a: &a [*a]", "? {a: b}\n: c", "- - - a", "a: |\n b", "a: {b: c", "%YAML 1.2\n---\na: b", "<<: {a: b}", "a: >-\n\n\n", "!!binary a", "\"\": 1", ": 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := program.Parse("fuzz", text)
		if (p == nil) == (err == nil) {
			t.Fatalf("program %v and error %v", p, err)
		}
		if err != nil && len(problem.All(err)) == 0 {
			t.Fatalf("an error that no person can read: %v", err)
		}
		if p != nil {
			roundTrip(t, p)
		}
	})
}
