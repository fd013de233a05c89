package locales

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/goccy/go-yaml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// Forms are the plural forms of one text by CLDR category; a text without
// plurals has "other" alone.
type Forms map[string]string

// Entry is one code or text in one language, as its file has it. A text has no hint.
type Entry struct {
	Sentence Forms  `yaml:"sentence"`
	Hint     Forms  `yaml:"hint"`
	Plural   string `yaml:"plural"` // the argument that is counted
}

// Entries returns the entries of a language by id, and every fault in its files.
// A language that is not there has none.
func Entries(lang string) (map[string]Entry, error) { return entriesIn(files, lang) }

// Placeholders are the names of the arguments that the entry shows or counts, sorted.
func (e Entry) Placeholders() []string {
	var names []string
	for _, forms := range []Forms{e.Sentence, e.Hint} {
		for _, text := range forms {
			found, _ := placeholders(text)
			names = append(names, found...)
		}
	}
	if e.Plural != "" {
		names = append(names, e.Plural)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// UnmarshalYAML takes a plain string as a form without plurals.
func (f *Forms) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*f = Forms{"other": one}
		return nil
	}
	return unmarshal((*map[string]string)(f))
}

// UnmarshalYAML takes a plain string as a text without plurals.
func (e *Entry) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		e.Sentence = Forms{"other": one}
		return nil
	}
	type plain Entry
	return unmarshal((*plain)(e))
}

var (
	idForm   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+$`)
	nameForm = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
)

// check returns what is wrong with an entry of the file area.yaml, all of it.
func (e Entry) check(area, id string) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", id, fmt.Errorf(format, args...)))
	}
	isText := strings.HasPrefix(id, "text.")
	if !idForm.MatchString(id) {
		fault("an id is small letters, digits and hyphens, in parts with a dot between")
	}
	if !strings.HasPrefix(id, area+".") && !strings.HasPrefix(id, "text."+area+".") {
		fault("belongs in the file of its own area, not in %s.yaml", area)
	}
	if len(e.Sentence) == 0 {
		fault("no sentence")
	}
	if isText && len(e.Hint) > 0 {
		fault("a text has no hint; only a problem's code has one")
	}
	if !isText && len(e.Hint) == 0 {
		fault("no hint: say what the person can do now")
	}
	many := false
	for _, forms := range []Forms{e.Sentence, e.Hint} {
		if _, ok := forms["other"]; !ok && len(forms) > 0 {
			fault("plural forms without 'other'")
		}
		many = many || len(forms) > 1
		for form, text := range forms {
			if !slices.Contains([]string{"zero", "one", "two", "few", "many", "other"}, form) {
				fault("%q is no plural form", form)
			}
			if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) || strings.Contains(text, "\n") {
				fault("a text is one line, neither empty nor with space around it")
			}
			if _, err := placeholders(text); err != nil {
				fault("%w", err)
			}
		}
	}
	if many != (e.Plural != "") {
		fault("plural forms and 'plural: NAME' go together")
	}
	if e.Plural != "" && !nameForm.MatchString(e.Plural) {
		fault("%q is no name of an argument", e.Plural)
	}
	return errors.Join(faults...)
}

// placeholders returns the names in a text, in order; anything but text and
// {{.name}} is an error.
func placeholders(text string) ([]string, error) {
	trees, err := parse.Parse("text", text, "", "")
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	var names []string
	tree, ok := trees["text"]
	if !ok || tree.Root == nil { // an empty text has no tree
		return nil, nil
	}
	for _, node := range tree.Root.Nodes {
		if node.Type() == parse.NodeText {
			continue
		}
		name, ok := strings.CutPrefix(strings.Trim(node.String(), "{}"), ".")
		if node.Type() != parse.NodeAction || !ok || !nameForm.MatchString(name) {
			return nil, fmt.Errorf("%q: %s is no placeholder of the form {{.name}}", text, node)
		}
		names = append(names, name)
	}
	return names, nil
}

// entriesIn reads the files of one language; what is at fault is left out and told.
func entriesIn(from fs.FS, lang string) (map[string]Entry, error) {
	names, err := fs.Glob(from, lang+"/*")
	if err != nil {
		return nil, err
	}
	entries := make(map[string]Entry)
	var faults []error
	for _, name := range names {
		area, isYAML := strings.CutSuffix(path.Base(name), ".yaml")
		text, err := fs.ReadFile(from, name)
		if err != nil || !isYAML {
			faults = append(faults, errors.Join(fmt.Errorf("%s is no file of a locale", name), err))
			continue
		}
		var found map[string]Entry
		if err := yaml.UnmarshalWithOptions(text, &found, yaml.Strict()); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			continue
		}
		for id, e := range found {
			if err := e.check(area, id); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
				continue
			}
			if _, twice := entries[id]; twice {
				faults = append(faults, fmt.Errorf("%s: %s stands in another file too", name, id))
			}
			entries[id] = e
		}
	}
	return entries, errors.Join(faults...)
}

// library is all languages, ready to render.
type library struct {
	bundle *i18n.Bundle
	texts  map[string]known
}

// known is what a message takes, over all languages.
type known struct {
	names  []string
	plural string
}

// hintOf is the id of a code's hint in the bundle; no id has a '#'.
func hintOf(code string) string { return code + "#hint" }

// load reads every folder as a language. It returns what could be read, beside
// the faults.
func load(from fs.FS) (*library, error) {
	lib := &library{bundle: i18n.NewBundle(language.English), texts: make(map[string]known)}
	folders, err := fs.ReadDir(from, ".")
	if err != nil {
		return lib, err
	}
	var faults []error
	for _, folder := range folders {
		tag, err := language.Parse(folder.Name())
		if err != nil {
			faults = append(faults, fmt.Errorf("folder %s: %w", folder.Name(), err))
			continue
		}
		entries, err := entriesIn(from, folder.Name())
		faults = append(faults, err)
		for id, e := range entries {
			faults = append(faults, lib.add(tag, id, e, e.Sentence), lib.add(tag, hintOf(id), e, e.Hint))
		}
	}
	return lib, errors.Join(faults...)
}

// add puts one sentence or hint into the bundle; an entry without one adds none.
func (l *library) add(tag language.Tag, id string, e Entry, forms Forms) error {
	if len(forms) == 0 {
		return nil
	}
	all := l.texts[id]
	all.names = append(all.names, e.Placeholders()...)
	if len(forms) > 1 {
		all.plural = e.Plural
	}
	l.texts[id] = all
	return l.bundle.AddMessages(tag, &i18n.Message{
		ID: id, Zero: forms["zero"], One: forms["one"], Two: forms["two"],
		Few: forms["few"], Many: forms["many"], Other: forms["other"],
	})
}
