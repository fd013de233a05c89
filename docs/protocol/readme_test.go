package protocol

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
)

const readme = "README.md"

// example is a block in README.md, and by the comment before it where it comes from.
var example = regexp.MustCompile("(?s)<!-- (vectors|file|body): (\\S+) -->\n```json\n(.*?)```\n")

// from finds what a path like "facts.0.canonical" names in a document. A text
// that is found is taken for the document that it holds.
func from(t *testing.T, document []byte, path string) []byte {
	t.Helper()
	for part := range strings.SplitSeq(path, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			var list []json.RawMessage
			fatal(t, json.Unmarshal(document, &list))
			document = list[n]
			continue
		}
		var object map[string]json.RawMessage
		fatal(t, json.Unmarshal(document, &object))
		if object[part] == nil {
			t.Fatalf("%s has no %s", vectorsFile, path)
		}
		document = object[part]
	}
	var text string
	if json.Unmarshal(document, &text) == nil {
		return []byte(text)
	}
	return document
}

// shown is a document as README.md shows it; tokens are cut short.
func shown(t *testing.T, document []byte) string {
	t.Helper()
	var b bytes.Buffer
	fatal(t, json.Indent(&b, document, "", "  "))
	return regexp.MustCompile(`"(eyJ[\w-]{17})[\w.-]+"`).ReplaceAllString(b.String(), `"$1…"`) + "\n"
}

func TestExamplesAreTheVectors(t *testing.T) {
	text, err := os.ReadFile(readme)
	fatal(t, err)
	document := encode(t, written(t))
	bodies := map[string]any{
		"nonce": new(wire.Nonce), "access": new(wire.AccessRequest), "token": new(wire.AccessToken), "activations": new(wire.Activations),
		"results": new(wire.ActivationResults), "report": new(wire.Report), "history": new(wire.History), "problem": new(wire.Problem),
	}
	found := 0
	want := example.ReplaceAllStringFunc(string(text), func(block string) string {
		m := example.FindStringSubmatch(block)
		found++
		made := ""
		switch m[1] {
		case "vectors":
			made = shown(t, from(t, document, m[2]))
		case "file":
			w := newWorld(t)
			set, err := w.repository(w.vectors()).Set()
			fatal(t, err)
			made = shown(t, set[strings.TrimPrefix(m[2], "tuf/")])
		case "body":
			if bodies[m[2]] == nil {
				t.Errorf("no body %q, or it stands twice", m[2])
				return block
			}
			if err := wire.Decode(strings.NewReader(m[3]), wire.MaxBody, bodies[m[2]]); err != nil {
				t.Errorf("body %s: %v", m[2], err)
			}
			delete(bodies, m[2])
			return block
		}
		return strings.Replace(block, "```json\n"+m[3], "```json\n"+made, 1)
	})
	if len(bodies) > 0 || found != strings.Count(string(text), "```json\n") {
		t.Errorf("%d blocks of JSON are examples of something; not shown: %v", found, bodies)
	}
	same(t, readme, []byte(want))
}

func TestTablesAreTheCode(t *testing.T) {
	text, err := os.ReadFile(readme)
	fatal(t, err)
	sentences, err := locales.Entries("en")
	fatal(t, err)
	codes := regexp.MustCompile("(?m)^\\| `([a-z-]+\\.[a-z-]+)` \\|").FindAllStringSubmatch(string(text), -1)
	for _, m := range codes {
		if strings.HasSuffix(m[1], ".json") {
			continue // a file
		}
		if _, ok := sentences[m[1]]; !ok {
			t.Errorf("there is no code %s", m[1])
		}
	}
	statuses := regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `([a-z-]+)` \\|").FindAllStringSubmatch(string(text), -1)
	for _, m := range statuses {
		kind := problem.ParseKind(m[2])
		if kind.String() != m[2] || strconv.Itoa(wire.Status(kind)) != m[1] {
			t.Errorf("%s is not %s", m[2], m[1])
		}
	}
	if len(codes) < 60 || len(statuses) != int(problem.Unavailable)+1 {
		t.Errorf("found %d codes and %d statuses", len(codes), len(statuses))
	}
	v := written(t)
	good := 0
	for _, l := range v.Licenses {
		if l.Code == "" {
			good++
		}
	}
	for what, n := range map[string]int{" that count and": good, " that do not, for": len(v.Licenses) - good, " archives as lists": len(v.Payload.Archives)} {
		if !strings.Contains(string(text), strconv.Itoa(n)+what) {
			t.Errorf("it does not say %d%s", n, what)
		}
	}
}
