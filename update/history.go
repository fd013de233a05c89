package update

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// MaxHistory is the most that a history file may hold, in bytes.
const MaxHistory = 16 << 20

// What can be wrong with a history file, or with one row of it.
const (
	// HistoryMalformed is a file that is no CSV with the columns of a history.
	HistoryMalformed problem.Code = "update.history-malformed"
	// RowNoDay is a row without a release day.
	RowNoDay problem.Code = "update.row-without-day"
	// RowBad is a row with a value that cannot be read.
	RowBad problem.Code = "update.row-bad-value"
	// RowKind is a row of a kind that the program file does not list.
	RowKind problem.Code = "update.row-unknown-kind"
	// RowYear is a row whose year is not the one that its day gives.
	RowYear problem.Code = "update.row-year-does-not-match"
	// RowTwice is a row of an update that stands in an earlier row.
	RowTwice problem.Code = "update.row-twice"
	// RowOver is a row whose day is after the program's last.
	RowOver problem.Code = "update.row-after-program"
)

// historyColumns are those that a history must have; others are passed over.
func historyColumns() []string { return []string{"date", "kb", "kind", "supersedes", "esu_year"} }

// ParseHistory reads updates that were released before there was this system:
// CSV with a heading of at least date, kb, kind, supersedes and esu_year. What a
// kind comes to is the program's table. Good rows come back as manifests without
// payloads; each bad row comes back as a problem with its line. An empty year
// follows from the day; one that says something else makes the row bad, but for
// kinds that are never gated.
func ParseHistory(p *program.Program, text []byte) ([]Update, []*problem.Problem, error) {
	malformed := func(line int, err error) error {
		return problem.New(problem.Invalid, HistoryMalformed, "line", line, "what", err.Error()).Because(err)
	}
	if len(text) > MaxHistory {
		return nil, nil, malformed(1, fmt.Errorf("more than %d bytes", MaxHistory))
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	head, err := r.Read()
	if err != nil {
		return nil, nil, malformed(1, err)
	}
	at := map[string]int{}
	for i, name := range head {
		at[strings.ToLower(strings.TrimSpace(name))] = i
	}
	for _, name := range historyColumns() {
		if _, ok := at[name]; !ok {
			return nil, nil, malformed(1, fmt.Errorf("no column %q", name))
		}
	}
	h := historian{p: p, seen: map[program.UpdateID]bool{}}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return h.good, h.bad, nil
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, nil, malformed(parse.Line, parse.Err)
		}
		if err != nil {
			return nil, nil, malformed(1, err)
		}
		line, _ := r.FieldPos(0)
		h.row(line, func(column string) string { return strings.TrimSpace(record[at[column]]) })
	}
}

type historian struct {
	p    *program.Program
	seen map[program.UpdateID]bool
	good []Update
	bad  []*problem.Problem
}

func (h *historian) row(line int, get func(column string) string) {
	u, refused := h.read(line, get)
	if refused == nil && h.seen[u.ID] {
		refused = problem.New(problem.Invalid, RowTwice, "line", line, "update", u.ID)
	}
	if refused != nil {
		h.bad = append(h.bad, refused)
		return
	}
	h.seen[u.ID] = true
	h.good = append(h.good, *u)
}

func (h *historian) read(line int, get func(column string) string) (*Update, *problem.Problem) {
	kb := get("kb")
	bad := func(column, expected string) *problem.Problem {
		return problem.New(problem.Invalid, RowBad, "line", line, "update", kb, "column", column, "value", get(column), "expected", expected)
	}
	id, err := program.ParseUpdateID(kb)
	if err != nil {
		return nil, bad("kb", "letters, digits, '.', '_' and '-'")
	}
	if get("date") == "" {
		return nil, problem.New(problem.Invalid, RowNoDay, "line", line, "update", kb)
	}
	day, err := civil.Parse(get("date"))
	if err != nil {
		return nil, bad("date", "a day YYYY-MM-DD")
	}
	kind, ok := h.p.KindNamed(get("kind"))
	if !ok {
		return nil, problem.New(problem.Invalid, RowKind, "line", line, "update", kb, "kind", get("kind"))
	}
	u := &Update{
		ID: id, Program: h.p.ID, Title: kb + " " + get("kind"), Kind: kind.ID, Rating: kind.Rating, Component: kind.Component,
		Released: day, OutOfBand: !h.p.Calendar.Regular(day), Ungated: kind.Ungated, NotOn: kind.NotOn,
		Years: YearsOn(h.p, day, kind.Ungated),
	}
	if len(u.Years) == 0 {
		return nil, problem.New(problem.Invalid, RowOver, "line", line, "update", kb, "released", day, "last", h.p.LastDay())
	}
	for other := range strings.FieldsFuncSeq(get("supersedes"), func(r rune) bool { return r == ' ' || r == ';' || r == ',' }) {
		old, err := program.ParseUpdateID(other)
		if err != nil || old == id {
			return nil, bad("supersedes", "ids of other updates, with blanks between them")
		}
		u.Supersedes = append(u.Supersedes, old)
	}
	if text := get("esu_year"); text != "" && !kind.Ungated {
		stated, err := statedYear(text)
		if err != nil {
			return nil, bad("esu_year", "a year, or 'free'")
		}
		if !slices.Contains(yearsOf(u), stated) {
			return nil, problem.New(problem.Invalid, RowYear, "line", line, "update", kb, "year", int(stated), "released", day)
		}
	}
	return u, nil
}

func yearsOf(u *Update) []program.Year {
	var years []program.Year
	for _, y := range u.Years {
		years = append(years, y)
	}
	return years
}

// statedYear reads a number, or a word that begins with 'free'.
func statedYear(s string) (program.Year, error) {
	if strings.HasPrefix(strings.ToLower(s), "free") {
		return program.Free, nil
	}
	n, err := strconv.ParseUint(s, 10, 4)
	return program.Year(n), err
}
