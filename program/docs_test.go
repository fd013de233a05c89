package program_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/openesu/openesu/program"
)

func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/program-files.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```yaml\n")
	example, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("the page has no yaml block")
	}
	if _, err := program.Parse("example", []byte(example)); err != nil {
		t.Error(err)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/program-files.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || !strings.HasSuffix(typ.PkgPath(), "/program") {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			key, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key != "" && !strings.Contains(string(doc), "`"+key+"`") && !strings.Contains(string(doc), "`"+key+":") {
				t.Errorf("docs/program-files.md says nothing of %s.%s, key %s", typ.Name(), f.Name, key)
			}
			if key != "" || option == "inline" {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[program.Program]())
	if len(seen) < 20 {
		t.Errorf("only %d types of keys were looked at", len(seen))
	}
}
