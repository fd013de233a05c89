package program_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func roundTrip(t *testing.T, p *program.Program) {
	t.Helper()
	text, err := p.PublicJSON()
	if err != nil {
		t.Fatal(err)
	}
	back, err := program.ParsePublic(text)
	if err != nil {
		t.Fatal(err)
	}
	same := []cmp.Option{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b civil.Date) bool { return a == b }),
		cmp.Comparer(func(a, b program.End) bool { return a == b })}
	if diff := cmp.Diff(p.Public, back.Public, same...); diff != "" {
		t.Error(diff)
	}
	if !reflect.ValueOf(back.Commercial).IsZero() {
		t.Errorf("a public program has a commercial half: %+v", back.Commercial)
	}
	again, err := back.PublicJSON()
	if err != nil || string(again) != string(text) {
		t.Errorf("the second public form differs from the first: %v", err)
	}
}

func TestPublicRoundTrip(t *testing.T) {
	files, err := filepath.Glob("../programs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no program files", err)
	}
	for _, name := range append(files, "testdata/small.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := program.Parse(name, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		roundTrip(t, p)
	}
}

// Nothing commercial is public: neither a key of that half nor any of its values.
func TestPublicHoldsNothingCommercial(t *testing.T) {
	p := parse(t, small(t))
	text, err := p.PublicJSON()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for i := range reflect.TypeFor[program.Commercial]().NumField() {
		f := reflect.TypeFor[program.Commercial]().Field(i)
		if _, ok := doc[f.Tag.Get("yaml")]; ok || f.Tag.Get("json") != "-" {
			t.Errorf("%s is public", f.Name)
		}
		if _, ok := doc[f.Name]; ok {
			t.Errorf("%s is public", f.Name)
		}
	}
	for _, secret := range []string{"100.50", "10050", "USD", "JPY", "2500", "MAKER", "Ask the desk", "2030-02-01", "Coverage Year", "N-1", "Fleets", "The shop"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is public", secret)
		}
	}
}

func TestParsePublicRefuses(t *testing.T) {
	p := parse(t, small(t))
	text, err := p.PublicJSON()
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(text), `{`, `{"seasons":["winter"],`, 1)
	if _, err := program.ParsePublic([]byte(newer)); err != nil {
		t.Errorf("a member that this version does not know: %v", err)
	}
	for name, broken := range map[string]string{
		"empty":           "",
		"cut":             string(text[:len(text)/2]),
		"more behind it":  string(text) + "{}",
		"another format":  strings.Replace(string(text), `"format":1`, `"format":2`, 1),
		"a gap in years":  strings.Replace(string(text), `"first":"2031-06-11"`, `"first":"2031-06-12"`, 1),
		"a bad day":       strings.Replace(string(text), `2031-06-11`, `2031-06-31`, 1),
		"an unknown role": strings.Replace(string(text), `"role":"servicing-stack"`, `"role":"luck"`, 1),
	} {
		if broken == string(text) {
			t.Errorf("%s: nothing was broken", name)
		}
		if p, err := program.ParsePublic([]byte(broken)); err == nil {
			t.Errorf("%s: read as %s", name, p.ID)
		}
	}
	_, err = program.ParsePublic([]byte(strings.Replace(string(text), `"format":1`, `"format":2`, 1)))
	if problem.CodeOf(err) != program.ValueBad {
		t.Errorf("a newer format gives %v", err)
	}
}

func FuzzParsePublic(f *testing.F) {
	text, err := parse(f, small(f)).PublicJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1,"tracks":[{"years":[{}]}]}`))
	f.Add([]byte(`{"upgrade-advice":null,"calendar":{"weekday":"Tuesday"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := program.ParsePublic(text)
		if (p == nil) == (err == nil) {
			t.Fatalf("program %v and error %v", p, err)
		}
		if p != nil {
			roundTrip(t, p)
		}
	})
}
