package activation_test

import (
	"testing"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

// rule K14: the causes are told apart in this order; each is mended in turn.
// rule K15: elevation comes before them.
func TestCheckInstallOrder(t *testing.T) {
	p := offer()
	f := facts("pro", "x64")
	f.RestartPending = true
	unmet := []*program.Prerequisite{&p.Prerequisites[0], &p.Prerequisites[1], &p.Prerequisites[2]}
	elevated := false
	text := "BBBBB"
	for _, step := range []struct {
		want problem.Code
		mend func()
	}{
		{activation.NotElevated, func() { elevated = true }},
		{activation.LicensingUpdateMissing, func() { unmet = unmet[:1] }}, // what only updates need is not asked
		{activation.RestartPending, func() { f.RestartPending = false }},
		{productkey.MalformedShort, func() { text = key(t, tagElsewhere, 1).Reveal() }},
		{activation.WrongProduct, func() { text = key(t, tagDesktop1, 1).Reveal() }},
		{"", func() {}},
	} {
		_, _, _, err := activation.CheckInstall(p, f, unmet, text, elevated)
		if got := problem.CodeOf(err); got != step.want {
			t.Fatalf("%q, want %q", got, step.want)
		}
		if got, _ := problem.As(err); step.want == activation.LicensingUpdateMissing &&
			(got.Args["update"] != "KB3" || got.Args["name"].(program.Text).String() != "Licensing update") {
			t.Errorf("names %v", got.Args)
		}
		step.mend()
	}
}

func TestCheckInstall(t *testing.T) {
	p := offer()
	for _, tc := range []struct {
		what    string
		edition program.EditionID
		arch    program.Arch
		tag     productkey.Tag
		want    problem.Code
		opens   program.ActivationID
	}{
		{"year 1", "pro", "x64", tagDesktop1, "", desktop1},
		{"year 2 without year 1", "pro", "x64", tagDesktop2, "", desktop2}, // rule K3
		{"another vendor's key", "pro", "x64", tagElsewhere, activation.WrongProduct, ""},
		{"another standard product's key", "pro", "x64", tagServer4, activation.WrongProduct, ""},
		{"embedded key on a standard device", "pro", "x64", tagEmbedded1, activation.KeyEmbeddedOnly, ""}, // rule K22
		{"standard key on an embedded device", "till", "x86", tagDesktop1, activation.KeyNotEmbedded, ""}, // rule K22
		{"embedded key on an embedded device", "till", "x86", tagEmbedded1, "", embedded1},                // rule K22
		// rule K13: an edition or architecture outside the program is refused at activation, not here.
		{"ineligible edition", "ultimate", "x64", tagDesktop1, "", desktop1},
		{"unknown edition", "datacenter", "x64", tagDesktop1, "", desktop1},
		{"unknown architecture", "pro", "ia64", tagDesktop1, "", desktop1},
	} {
		for _, own := range []bool{false, true} { // rule K2: the product's own key plays no part
			f := facts(tc.edition, tc.arch)
			f.ProductActivated = own
			given := key(t, tc.tag, 7)
			got, _, year, err := activation.CheckInstall(p, f, nil, given.Reveal(), true)
			if problem.CodeOf(err) != tc.want {
				t.Errorf("%s: %v, want %q", tc.what, err, tc.want)
			}
			if tc.want == "" && (got != given || year.ActivationID != tc.opens) {
				t.Errorf("%s: key %v opens %v", tc.what, got, year)
			}
			if tc.want != "" && (!got.IsZero() || year != nil) {
				t.Errorf("%s: refused, and a key all the same", tc.what)
			}
		}
	}
}

func TestCheckActivationID(t *testing.T) {
	p := offer()
	installed := []program.ActivationID{desktop1}
	for _, tc := range []struct {
		text string
		want problem.Code
	}{
		{string(desktop1), ""},
		{"{AAAAAAAA-0000-4000-8000-000000000001}", ""},
		{"\ufeff aaaaaaaa-0000-4000-8000-\n000000000001 ", ""},
		{"aaaaaaaa–0000‑4000—8000−000000000001", ""}, // as word processors print it
		{"", activation.IDMissing},                   // rule K9: no id would leave the add-on unlicensed
		{" {} ", activation.IDMissing},
		{"bd3762d7-270d-4760-8fb3-d829ca45278a", activation.IDIsProductsOwn}, // rule K19
		{"BD3762D7…", activation.IDIsProductsOwn},                            // rule K19
		{"aaaaaaaa-0000-4000-8000-00000000000", activation.IDMalformed},
		{"aaaaaaaa000040008000000000000001", activation.IDMalformed},
		{"desktop", activation.IDMalformed},
		{"aaaaaaaa-0000-4000-8000-000000000009", activation.IDNotFound},
		{string(desktop2), activation.KeyNotInstalled}, // rule K9: the key first, then its id
	} {
		track, year, err := activation.CheckActivationID(p, tc.text, installed)
		if got := problem.CodeOf(err); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.text, got, tc.want)
		}
		if tc.want == "" && (track == nil || track.ID != "desktop" || year.Year != 1) {
			t.Errorf("%q: %v %v", tc.text, track, year)
		}
	}
	// rule K3: with two years installed, each id activates its own.
	_, year, err := activation.CheckActivationID(p, string(desktop2), []program.ActivationID{desktop1, desktop2})
	if err != nil || year.Year != 2 {
		t.Errorf("%v %v", year, err)
	}
}

func FuzzActivationID(f *testing.F) {
	p := offer()
	f.Add("{AAAAAAAA-0000-4000-8000-000000000001}")
	f.Fuzz(func(t *testing.T, text string) {
		_, year, err := activation.CheckActivationID(p, text, []program.ActivationID{desktop1})
		if err == nil && year.ActivationID != desktop1 {
			t.Fatalf("%q activates %s", text, year.ActivationID)
		}
		if err != nil && problem.CodeOf(err) == "" {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
