package term

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/locales"
	"github.com/openesu/openesu/problem"
)

func TestTableAlignsWideCharacters(t *testing.T) {
	var out bytes.Buffer
	term := Terminal{Out: &out, Format: Table}
	rows := Rows{Columns: []string{"NAME", "YEAR"}}
	rows.Add("更新", 1)
	rows.Add("abc", 12)
	if err := term.Show(nil, rows); err != nil {
		t.Fatal(err)
	}
	want := "NAME  YEAR\n更新  1\nabc   12\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestFailTellsCodeSentenceAndHint(t *testing.T) {
	refusal := problem.New(problem.TooLarge, "depot.payload-too-large", "limit", 5)
	var out, errs bytes.Buffer
	term := Terminal{Out: &out, Err: &errs, Format: JSON, Lang: locales.New("en"), Vendor: func(problem.Code) string { return "0x1" }}
	if code := term.Fail(errors.Join(refusal, refusal)); code != Refused {
		t.Errorf("exit code %d", code)
	}
	one := "refused: The payload is larger than 5 bytes. (depot.payload-too-large, 0x1)\n" +
		"hint: Check that it is the right file. Nothing was kept.\n"
	if diff := cmp.Diff(one+"\n"+one, errs.String()); diff != "" {
		t.Error(diff)
	}
	var d wire.Problem
	if err := json.Unmarshal(out.Bytes(), &d); err != nil || d.Code != refusal.Code || d.Status != 413 || d.Vendor != "0x1" {
		t.Errorf("document %s: %v", out.Bytes(), err)
	}
}

func TestExitCodes(t *testing.T) {
	tests := map[int]error{
		Done:        nil,
		Failed:      errors.New("disk on fire"),
		Refused:     problem.New(problem.Refused, "a.b"),
		WrongUse:    problem.New(problem.Invalid, WrongUsage, "what", "no such flag", "command", "esu"),
		NothingToDo: Exit(NothingToDo),
	}
	for want, err := range tests {
		term := Terminal{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Lang: locales.New("en")}
		if got := term.Fail(err); got != want {
			t.Errorf("Fail(%v) = %d, want %d", err, got, want)
		}
	}
	term := Terminal{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Lang: locales.New("en")}
	if got := term.Fail(problem.New(problem.Unavailable, "network.timeout", "host", "h")); got != Failed {
		t.Errorf("unavailable is %d", got)
	}
}
