// Package locales holds what people read: a sentence and a hint for every
// problem's code, and other short texts, by language.
//
// It renders; it decides nothing, and it knows neither terminals nor HTML. The
// texts stand in files beside this one, a folder for each language and a file
// for each area: en/activation.yaml has the codes that begin with "activation."
// and the texts that begin with "text.activation.".
//
//	activation.limit-reached:
//	  sentence: "The key has used all {{.limit}} of its activations."
//	  hint: "Ask the vendor for more: esu key limit raise --key {{.key}}"
//	text.activation.seats-left:
//	  sentence: {one: "{{.seats}} seat is left.", other: "{{.seats}} seats are left."}
//	  plural: seats
//	text.activation.title: "Activations"
//
// A placeholder is the bare name of an argument; there are no conditions and no
// functions, so that a translator needs to know nothing else. Where a sentence
// or hint has plural forms (CLDR's: one, few, many, other), plural names the
// argument that is counted.
//
// Arguments look the same in every language, in the form in which a command
// takes them (days as YYYY-MM-DD, amounts as "USD 50.00"), because hints are
// commands (rule I1). Lists are joined as the language does. A language that
// lacks a text borrows the English one, and the tests see to it that English
// lacks none.
package locales

import (
	"embed"
	"strings"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"github.com/openesu/openesu/problem"
)

//go:embed en
var files embed.FS

// shipped reads the files once, at first use. What cannot be read is left out,
// and the tests of this package fail on it.
var shipped = sync.OnceValue(func() *library {
	lib, _ := load(files)
	return lib
})

// Renderer renders in one person's language. It is immutable.
type Renderer struct {
	lib  *library
	i18n *i18n.Localizer
	lang language.Tag
}

// New returns the renderer for the first of the wishes that can be met, or else
// English. A wish is an Accept-Language header or a value of LANG ("nl_NL.UTF-8")
// or LANGUAGE ("nl:en"); empty and malformed ones are passed over.
func New(wishes ...string) *Renderer { return newRenderer(shipped(), wishes) }

func newRenderer(lib *library, wishes []string) *Renderer {
	var tags []language.Tag
	for _, wish := range wishes {
		parsed, _, err := language.ParseAcceptLanguage(acceptLanguage(wish))
		if err == nil {
			tags = append(tags, parsed...)
		}
	}
	offered := lib.bundle.LanguageTags()
	_, i, _ := language.NewMatcher(offered).Match(tags...)
	return &Renderer{lib: lib, lang: offered[i], i18n: i18n.NewLocalizer(lib.bundle, offered[i].String())}
}

// acceptLanguage turns a value of LANG or LANGUAGE into an Accept-Language
// header; what is one already comes back as it was.
func acceptLanguage(wish string) string {
	if strings.ContainsAny(wish, ",;*") {
		return wish
	}
	var names []string
	for name := range strings.SplitSeq(wish, ":") {
		name, _, _ = strings.Cut(name, "@")
		name, _, _ = strings.Cut(name, ".")
		if name == "C" || name == "POSIX" {
			name = "en"
		}
		if name != "" {
			names = append(names, strings.ReplaceAll(name, "_", "-"))
		}
	}
	return strings.Join(names, ",")
}

// Lang is the BCP 47 tag of the language in use, as an HTML page states it.
func (r *Renderer) Lang() string { return r.lang.String() }

// Languages are the BCP 47 tags of the languages shipped, English first.
func Languages() []string {
	var tags []string
	for _, tag := range shipped().bundle.LanguageTags() {
		tags = append(tags, tag.String())
	}
	return tags
}

// Problem renders a refusal as one sentence and the hint that mends it. A code
// that is not known here (from a newer server) is told as it is; neither part
// is ever empty.
func (r *Renderer) Problem(p *problem.Problem) (sentence, hint string) {
	code := string(p.Code)
	unknown := map[string]any{"code": code, "answer": (&problem.Problem{Code: p.Code, Args: p.Args}).Error()}
	sentence, ok := r.render(code, p.Args)
	if !ok {
		sentence = r.Text("text.unknown-code", unknown)
	}
	hint, ok = r.render(hintOf(code), p.Args)
	if !ok {
		hint = r.Text("text.unknown-code-hint", unknown)
	}
	return sentence, hint
}

// Text renders a text by its id ("text.…"). One that does not exist shows as its id.
func (r *Renderer) Text(id string, args map[string]any) string {
	text, ok := r.render(id, args)
	if !ok {
		return id
	}
	return text
}

// render reports false where no language has such a text.
func (r *Renderer) render(id string, args map[string]any) (string, bool) {
	known, ok := r.lib.texts[id]
	if !ok {
		return "", false
	}
	shown := make(map[string]string, len(known.names))
	for _, name := range known.names {
		shown[name] = name
		if value, ok := args[name]; ok && value != nil {
			shown[name] = r.show(value)
		}
	}
	config := &i18n.LocalizeConfig{MessageID: id, TemplateData: shown}
	if known.plural != "" {
		config.PluralCount = count(args[known.plural])
	}
	text, err := r.i18n.Localize(config)
	if text == "" && err != nil {
		return "", false
	}
	return text, true
}
