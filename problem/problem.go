// Package problem is the one vocabulary for what goes wrong in front of a
// person: a closed set of kinds, a stable code and named arguments.
//
// It holds no text and knows no HTTP. The sentence and the hint of a code stand
// in locales by that code, and the edge renders them in the person's language.
// An error that is no *Problem is internal: it is logged whole and shown to
// people as "internal error".
//
// Two problems with the same code carry the same argument names, whoever raises
// them; the laws test at the repository's root holds every call to that.
package problem

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Code names one problem for good: "activation.limit-reached". The part before
// the first dot is the area, the rest says what is wrong. A code that has been
// released keeps its meaning.
type Code string

// Kind says what sort of answer a problem is; edges map it to a status and an
// exit code.
type Kind uint8

// The closed set of kinds.
const (
	Internal        Kind = iota // not a person's doing; never built on purpose
	Invalid                     // the input is malformed or incomplete
	Refused                     // well formed, but a rule says no
	NotFound                    // what was named does not exist, or not for this person
	Conflict                    // it exists already, or changed meanwhile
	Unauthenticated             // who asks is not known
	Forbidden                   // who asks is known and may not
	TooLarge                    // more bytes or rows than are taken at once
	Throttled                   // too many requests; later is fine
	Unavailable                 // something needed does not answer; later may be fine
)

var kindNames = [...]string{
	Internal: "internal", Invalid: "invalid", Refused: "refused", NotFound: "not-found",
	Conflict: "conflict", Unauthenticated: "unauthenticated", Forbidden: "forbidden",
	TooLarge: "too-large", Throttled: "throttled", Unavailable: "unavailable",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the reverse of String, for problems that come in over the wire.
// A name it does not know is Internal.
func ParseKind(s string) Kind {
	return Kind(max(0, slices.Index(kindNames[:], s))) //nolint:gosec // the index of a ten-element array
}

// Problem is one refusal or failure, ready to be rendered. It is an error, and
// it wraps the technical cause where there is one.
type Problem struct {
	Kind  Kind
	Code  Code
	Args  map[string]any
	cause error
}

// New builds a problem of a kind. Args alternate between a name (a string
// literal) and its value; values are what the edge can print: text, numbers,
// civil days, money, identifiers, or slices of these.
func New(kind Kind, code Code, args ...any) *Problem {
	p := &Problem{Kind: kind, Code: code}
	if len(args) == 0 {
		return p
	}
	p.Args = make(map[string]any, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		p.Args[args[i].(string)] = args[i+1]
	}
	if len(args)%2 != 0 {
		panic("problem: argument without a value for " + string(code))
	}
	return p
}

// Because returns a copy of the problem that wraps err, so that logs keep the
// cause while people read the sentence.
func (p *Problem) Because(err error) *Problem {
	q := *p
	q.cause = err
	return &q
}

// Error is for logs and tests: the code, the arguments by name, the cause.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(string(p.Code))
	names := make([]string, 0, len(p.Args))
	for name := range p.Args {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, " %s=%v", name, p.Args[name])
	}
	if p.cause != nil {
		b.WriteString(": ")
		b.WriteString(p.cause.Error())
	}
	return b.String()
}

// Unwrap returns the technical cause, or nil.
func (p *Problem) Unwrap() error { return p.cause }

// Is makes errors.Is(err, code) useful in the form errors.Is(err, problem.New(k, code)):
// two problems are the same when their codes are.
func (p *Problem) Is(target error) bool {
	q, ok := target.(*Problem)
	return ok && q.Code == p.Code
}

// As finds the problem in err's chain.
func As(err error) (*Problem, bool) {
	var p *Problem
	ok := errors.As(err, &p)
	return p, ok
}

// CodeOf returns the code of the problem in err's chain, or "" for nil and for
// internal errors.
func CodeOf(err error) Code {
	if p, ok := As(err); ok {
		return p.Code
	}
	return ""
}

// All returns every problem in err, through errors.Join as well, in order.
func All(err error) []*Problem {
	if err == nil {
		return nil
	}
	if p, ok := err.(*Problem); ok { //nolint:errorlint // each layer is looked at in turn
		return []*Problem{p}
	}
	switch e := err.(type) { //nolint:errorlint // each layer is looked at in turn
	case interface{ Unwrap() []error }:
		var all []*Problem
		for _, part := range e.Unwrap() {
			all = append(all, All(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		return All(e.Unwrap())
	}
	return nil
}
