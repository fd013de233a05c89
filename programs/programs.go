// Package programs has the program files that come with the binary, and the
// update histories that belong to some of them.
//
// They are data as any other program file is: the office reads them the way it
// reads a file of yours, and nothing in the code depends on what they say.
package programs

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.yaml *.csv
var files embed.FS

const (
	fileEnding    = ".yaml"
	historyEnding = "-updates.csv"
)

// Names lists the ids of the shipped programs, sorted.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	var names []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), fileEnding); ok {
			names = append(names, id)
		}
	}
	slices.Sort(names)
	return names
}

// File is the text of a shipped program, for program.Parse.
func File(id string) ([]byte, error) {
	text, err := files.ReadFile(id + fileEnding)
	if err != nil {
		return nil, fmt.Errorf("no program %q is shipped; there are %s", id, strings.Join(Names(), ", "))
	}
	return text, nil
}

// History is the update history that is shipped with a program, as CSV with the
// columns month, date, kb, kind, supersedes, esu_year. It is what the vendor
// published: some rows name no day, and servicing stacks stand with the year of
// their day although they are never gated.
func History(id string) ([]byte, bool) {
	text, err := files.ReadFile(id + historyEnding)
	return text, err == nil
}
