// Package term is how the programs speak to the person at the terminal, and to
// the script in the person's place: tables, JSON and CSV on standard output,
// everything else on standard error, refusals with code, sentence and hint, and
// the exit codes.
//
// JSON is stable and is what scripts read; tables may change.
package term

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
)

// Exit codes.
const (
	Done        = 0
	Failed      = 1
	NothingToDo = 2
	Refused     = 3
	WrongUse    = 64
)

// WrongUsage is a command line that cannot be understood.
const WrongUsage problem.Code = "term.wrong-use"

// Format is how results are written.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	CSV   Format = "csv"
)

// Set reads a format; it makes Format a flag value.
func (f *Format) Set(s string) error {
	if !slices.Contains([]Format{Table, JSON, CSV}, Format(s)) {
		return fmt.Errorf("%q is no output format: table, json or csv", s)
	}
	*f = Format(s)
	return nil
}

// String is the format's name.
func (f *Format) String() string { return string(*f) }

// Type is what help calls the value.
func (f *Format) Type() string { return "format" }

// Terminal is where one command speaks.
type Terminal struct {
	Out, Err io.Writer
	In       io.Reader
	Format   Format
	Lang     *locales.Renderer
	// Vendor names the vendor's own code for one of ours, where a program is known.
	Vendor func(problem.Code) string
}

// Rows are a table: every row has as many cells as there are columns.
type Rows struct {
	Columns []string
	Cells   [][]string
}

// Add adds a row; cells are shown with fmt.Sprint.
func (r *Rows) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	r.Cells = append(r.Cells, row)
}

// Show writes a result: the document as JSON, or the rows as a table or CSV.
func (t *Terminal) Show(document any, rows Rows) error {
	switch t.Format {
	case JSON:
		return t.JSON(document)
	case CSV:
		w := csv.NewWriter(t.Out)
		if err := w.Write(rows.Columns); err != nil {
			return err
		}
		return w.WriteAll(rows.Cells)
	default:
		return writeTable(t.Out, rows)
	}
}

// JSON writes a document, indented.
func (t *Terminal) JSON(document any) error {
	e := json.NewEncoder(t.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

// Say writes a line for the person on standard error.
func (t *Terminal) Say(format string, args ...any) {
	fmt.Fprintf(t.Err, format+"\n", args...)
}

// Fail tells what went wrong and returns the exit code. With JSON, the first
// refusal is a problem document on standard output.
func (t *Terminal) Fail(err error) int {
	if err == nil {
		return Done
	}
	var exit Exit
	if errors.As(err, &exit) {
		return int(exit)
	}
	problems := problem.All(err)
	if len(problems) == 0 {
		t.Say("error: %v", err)
		return Failed
	}
	if t.Format == JSON {
		_ = t.JSON(t.Render(problems[0])) // the exit code tells, whoever reads
	}
	for i, p := range problems {
		if i > 0 {
			t.Say("")
		}
		t.Problem(p)
	}
	return ExitCode(problems[0].Kind, problems[0].Code)
}

// Render makes a problem's document in the person's language.
func (t *Terminal) Render(p *problem.Problem) wire.Problem {
	d := wire.Render(p, t.Lang)
	if t.Vendor != nil {
		d.Vendor = t.Vendor(p.Code)
	}
	return d
}

// Problem tells one refusal on standard error.
func (t *Terminal) Problem(p *problem.Problem) {
	d := t.Render(p)
	codes := string(d.Code)
	if d.Vendor != "" {
		codes += ", " + d.Vendor
	}
	word := "refused"
	if ExitCode(p.Kind, p.Code) != Refused {
		word = "error"
	}
	t.Say("%s: %s (%s)", word, d.Detail, codes)
	t.Say("hint: %s", d.Hint)
}

// ExitCode is the exit code for a problem: refused by a rule, wrong use, or failed.
func ExitCode(k problem.Kind, code problem.Code) int {
	switch {
	case code == WrongUsage:
		return WrongUse
	case k == problem.Internal || k == problem.Unavailable || k == problem.Throttled || k == problem.Unauthenticated:
		return Failed
	}
	return Refused
}

// Exit ends a command with an exit code when everything was said already.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// writeTable aligns columns by what a terminal shows, wide characters included.
func writeTable(w io.Writer, rows Rows) error {
	if len(rows.Cells) == 0 {
		return nil
	}
	widths := make([]int, len(rows.Columns))
	all := append([][]string{rows.Columns}, rows.Cells...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell)))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
