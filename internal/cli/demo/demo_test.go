package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/cli"
)

func run1(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	w := cli.World{Args: args, Getenv: func(string) string { return "" }, In: strings.NewReader(""), Out: &out, Err: &errs, Now: time.Now}
	if code := cli.Run(t.Context(), "esu", "test", w, func(env *cli.Env) []*cobra.Command { return []*cobra.Command{Command(env)} }); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	return out.String(), errs.String()
}

// The whole path, from price list to patched device, over HTTP on loopback with
// real keys, signatures and files. rule B1, D3, D5, D12, K4, P10
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	out, told := run1(t, "demo", "--dir", dir, "-o", "json")
	var doc shown
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Today != "2026-11-10" || !strings.HasPrefix(told, "Today is 2026-11-10, in coverage year 2") {
		t.Errorf("today is %s; the first line is %.60q", doc.Today, told)
	}
	want := map[string][3]string{
		"years-1-and-2":        {"superseded", "installed", "installed"},
		"year-1":               {"installed", "installed", "no: year 2"},
		"year-2-alone":         {"superseded", "no: year 1", "installed"},
		"no-coverage":          {"no: year 1", "no: year 1", "no: year 2"},
		"prerequisite-missing": {"superseded", "no: AB-2025-0703 first", "no: AB-2025-0703 first"},
	}
	got := map[string][3]string{}
	for _, d := range doc.Devices {
		got[d.Device] = [3]string{d.Updates[0].State, d.Updates[1].State, d.Updates[2].State}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for device, version := range map[string]string{
		"years-1-and-2": "Rollup of November 2026\n", "year-1": "Rollup of March 2026\n", "year-2-alone": "Rollup of November 2026\n", "no-coverage": "",
	} {
		text, err := os.ReadFile(filepath.Join(dir, "devices", device, "opt", "appliance-os", "current", "VERSION"))
		if version == "" && os.IsNotExist(err) {
			continue
		}
		if err != nil || string(text) != version {
			t.Errorf("%s runs %q, %v", device, text, err)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "devices", "no-coverage", "var", "lib", "esu", "servicing.log"))
	if err != nil || !bytes.Contains(log, []byte("ESU: ")) {
		t.Errorf("servicing log: %s, %v", log, err)
	}
}

// The verdict table of the shipped history, at the places that matter.
func TestHistoryTable(t *testing.T) {
	table, err := history()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := table.decide()
	if err != nil {
		t.Fatal(err)
	}
	rows := table.rows(lines, true)
	if short := table.rows(lines, false); len(short.Cells) >= len(rows.Cells) {
		t.Errorf("the short table has %d lines of %d", len(short.Cells), len(rows.Cells))
	}
	got := map[string][]string{}
	for _, row := range rows.Cells {
		got[row[1]] = row[2:]
	}
	want := map[string][]string{
		"KB4534310": {"free", "superseded", "superseded", "superseded", "yes", "yes", "superseded", "superseded"},
		"KB4580345": {"1", "superseded", "superseded", "superseded", "no: year 1", "no: edition", "yes", "superseded"},
		"KB4586827": {"1", "superseded", "superseded", "superseded", "no: year 1", "no: edition", "no: year 1", "superseded"},
		"KB4598279": {"1", "superseded", "yes", "superseded", "no: year 1", "no: edition", "no: year 1", "superseded"},
		"KB4601347": {"2", "superseded", "no: year 2", "superseded", "no: year 2", "no: edition", "no: year 1", "superseded"},
		"KB5009610": {"2", "yes", "no: year 2", "yes", "no: year 2", "no: edition", "no: year 2", "no: KB4575903 first"},
		"KB5010404": {"3", "no: year 3", "no: year 3", "no: year 3", "no: year 3", "no: edition", "no: year 2", "no: year 3"},
	}
	for id, cells := range want {
		if diff := cmp.Diff(cells, got[id]); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
}
