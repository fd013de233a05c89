package update_test

import (
	"strings"
	"testing"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
	"github.com/openesu/openesu/update"
)

// The shipped history loads but for the four rows that have no day, and the
// years that it states are those that the days give. rule K4, P1, D3
func TestShippedHistory(t *testing.T) {
	text, err := programs.File("windows-7")
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Parse("windows-7.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	history, _ := programs.History("windows-7")
	good, bad, err := update.ParseHistory(p, history)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, b := range bad {
		if b.Code != update.RowNoDay {
			t.Errorf("%v", b)
		}
		named = append(named, b.Args["update"].(string))
	}
	if got := strings.Join(named, " "); got != "KB4557900 KB4566371 KB4578623 KB4601275" {
		t.Errorf("rows refused: %s", got)
	}
	c, err := update.NewCatalog(p, good)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id        program.UpdateID
		year      program.Year
		outOfBand bool
	}{
		{"KB4534310", 0, false}, {"KB4537820", 1, false}, {"KB4598279", 1, false}, {"KB4601347", 2, false},
		{"KB5004953", 2, true}, {"KB5010798", 3, true}, {"KB5022338", 3, false}, {"KB4538483", 0, false}, {"KB4575903", 0, true},
	}
	for _, tt := range tests {
		e, ok := c.Find(tt.id)
		if !ok {
			t.Errorf("no %s", tt.id)
			continue
		}
		if got := e.Years["windows-7"]; got != tt.year || e.OutOfBand != tt.outOfBand {
			t.Errorf("%s: year %d, out of band %t", tt.id, got, e.OutOfBand)
		}
	}
}

func TestHistoryNamesEachBadRow(t *testing.T) {
	p := load(t)
	const file = "\ufeffmonth,date,kb,kind,supersedes,esu_year\r\n" +
		"2020-02,2020-02-11,A,rollup,OLD;OLDER,1\r\n" +
		"2020-02,,B,rollup,,1\r\n" +
		"2020-02,11.2.2020,C,rollup,,1\r\n" +
		"2020-02,2020-02-11,D,odd,,1\r\n" +
		"2020-02,2020-02-11,E,rollup,,2\r\n" +
		"2020-02,2020-02-11,F,rollup,,soon\r\n" +
		"2020-02,2020-02-11,A,rollup,,1\r\n" +
		"2020-02,2020-02-11,\"no id\",rollup,,1\r\n" +
		"2030-02,2030-02-11,G,rollup,,\r\n" +
		"2020-02,2020-02-11,H,rollup,no/id,\r\n" +
		"2020-01,2020-01-14,I,rollup,,free (last)\r\n"
	good, bad, err := update.ParseHistory(p, []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if len(good) != 2 || good[0].ID != "A" || len(good[0].Supersedes) != 2 || good[1].ID != "I" || good[0].Released != civil.MustParse("2020-02-11") {
		t.Errorf("good rows: %+v", good)
	}
	want := []struct {
		line int
		code problem.Code
	}{
		{3, update.RowNoDay}, {4, update.RowBad}, {5, update.RowKind}, {6, update.RowYear}, {7, update.RowBad}, {8, update.RowTwice},
		{9, update.RowBad}, {10, update.RowOver}, {11, update.RowBad},
	}
	if len(bad) != len(want) {
		t.Fatalf("bad rows: %v", bad)
	}
	for i, w := range want {
		if bad[i].Code != w.code || bad[i].Args["line"] != w.line {
			t.Errorf("row %d: %v, want %s in line %d", i, bad[i], w.code, w.line)
		}
	}
	for _, broken := range []string{"", "a,b\n", "date,kb,kind,supersedes,esu_year\n\"x\n"} {
		if _, _, err := update.ParseHistory(p, []byte(broken)); problem.CodeOf(err) != update.HistoryMalformed {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	p := load(f)
	f.Add([]byte("date,kb,kind,supersedes,esu_year\n2020-02-11,A,rollup,B C,1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		good, _, err := update.ParseHistory(p, text)
		if err != nil {
			return
		}
		for i := range good {
			if _, err := good[i].Manifest(); err != nil {
				t.Fatalf("%+v: %v", good[i], err)
			}
		}
	})
}
