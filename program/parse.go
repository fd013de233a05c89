package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"

	"github.com/openesu/openesu/problem"
)

// MaxFile is the most that a program file may hold, in bytes.
const MaxFile = 256 << 10

// What can be wrong with a program file. Every one names the file and, but for
// its size, the line.
const (
	// FileTooLarge is a file over MaxFile.
	FileTooLarge problem.Code = "program.file-too-large"
	// FileSyntax is text that is no YAML, or a value of the wrong shape.
	FileSyntax problem.Code = "program.syntax"
	// KeyUnknown is a key that program files do not have.
	KeyUnknown problem.Code = "program.unknown-key"
	// ValueMissing is a key that must be there.
	ValueMissing problem.Code = "program.missing"
	// ValueBad is a value outside what its key allows.
	ValueBad problem.Code = "program.bad-value"
	// ValueTwice is an id, tag or price line that stands twice.
	ValueTwice problem.Code = "program.duplicate"
	// ReferenceUnknown is a name that the file does not define.
	ReferenceUnknown problem.Code = "program.unknown-reference"
	// YearsGap is a day between two coverage years that belongs to neither.
	YearsGap problem.Code = "program.gap"
	// YearsOverlap is a day in two coverage years.
	YearsOverlap problem.Code = "program.overlap"
	// YearEarly is a first year that starts before the end-of-support day.
	YearEarly problem.Code = "program.starts-before-end-of-support"
	// PriceFalls is a later year that costs less than an earlier one.
	PriceFalls problem.Code = "program.price-falls"
)

// Parse reads a program file strictly. The name is used in errors only. All
// that is wrong is returned at once, joined; nothing of a file with an error
// may be used.
func Parse(name string, text []byte) (*Program, error) {
	if len(text) > MaxFile {
		return nil, problem.New(problem.TooLarge, FileTooLarge, "file", name, "limit", MaxFile)
	}
	tokens := lexer.Tokenize(string(text))
	if what, line := plain(tokens); what != "" {
		return nil, problem.New(problem.Invalid, FileSyntax, "file", name, "line", line, "what", what)
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, syntax(name, err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, problem.New(problem.Invalid, FileSyntax, "file", name, "line", 1, "what", "expected one YAML document")
	}
	p := new(Program)
	c := checker{file: name, lines: make(map[string]int), p: p}
	c.decode(tree.Docs[0].Body, reflect.ValueOf(p).Elem(), "")
	if err := errors.Join(c.problems...); err != nil {
		return nil, err
	}
	c.public()
	c.commercial()
	if err := errors.Join(c.problems...); err != nil {
		return nil, err
	}
	return p, nil
}

func syntax(name string, err error) error {
	line, what := 1, err.Error()
	var located yaml.Error
	if errors.As(err, &located) {
		what = located.GetMessage()
		if t := located.GetToken(); t != nil {
			line = t.Position.Line
		}
	}
	what, _, _ = strings.Cut(what, "\n")
	return problem.New(problem.Invalid, FileSyntax, "file", name, "line", line, "what", what).Because(err)
}

// PublicJSON is the public half, in the form that is signed and sent to devices.
func (p *Program) PublicJSON() ([]byte, error) {
	return json.Marshal(&p.Public)
}

// ParsePublic reads what PublicJSON wrote. Unknown members are passed over, so
// that an older device reads a newer file; the format number says when it may not.
func ParsePublic(text []byte) (*Program, error) {
	if len(text) > MaxFile {
		return nil, problem.New(problem.TooLarge, FileTooLarge, "file", "program", "limit", MaxFile)
	}
	p := new(Program)
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&p.Public); err != nil {
		return nil, fmt.Errorf("read public program: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read public program: data after the document")
	}
	c := checker{file: string(p.ID), p: p}
	c.public()
	if err := errors.Join(c.problems...); err != nil {
		return nil, err
	}
	return p, nil
}

// checker walks a file and collects all that is wrong with it (the first
// maxProblems), each with the line that it stands on.
type checker struct {
	file     string
	lines    map[string]int // by path; nil for JSON, whose problems have no line
	p        *Program
	problems []error
}

const maxProblems = 100

// line finds where a path such as "tracks[0].years[1].first" stands: the
// nearest part of it that is in the file.
func (c *checker) line(path string) int {
	if c.lines == nil {
		return 0
	}
	for path != "" {
		if line, ok := c.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

func (c *checker) add(path string, code problem.Code, args ...any) {
	args = append(args, "file", c.file, "line", c.line(path), "key", path)
	c.problem(problem.New(problem.Invalid, code, args...))
}

func (c *checker) problem(p *problem.Problem) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, p)
	}
}

func (c *checker) missing(path, expected string) { c.add(path, ValueMissing, "expected", expected) }

func (c *checker) bad(path string, value any, expected string) {
	c.add(path, ValueBad, "value", fmt.Sprint(value), "expected", expected)
}

func (c *checker) unknown(path string, value any, expected string) {
	c.add(path, ReferenceUnknown, "value", fmt.Sprint(value), "expected", expected)
}

// unique says that a value stands twice when it is already in seen.
func unique[T comparable](c *checker, seen map[T]bool, path string, value T) {
	if seen[value] {
		c.add(path, ValueTwice, "value", fmt.Sprint(value))
	}
	seen[value] = true
}
