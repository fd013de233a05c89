// Package testkit says what a test does when the machine lacks something that
// it needs: a database server, a browser, a package manager.
//
// On a person's machine such a test skips with a loud line. With ESU_TEST_ALL=1,
// which the project's own checks set, a skip would hide a gap, so it fails.
package testkit

import (
	"fmt"
	"io"
	"os"
	"testing"
)

// Need ends the test unless found. What names the thing ("PostgreSQL"), how
// tells where it was looked for or how to get it.
func Need(t testing.TB, what string, found bool, how string) {
	t.Helper()
	need(t, os.Stderr, what, found, how)
}

func need(t testing.TB, loud io.Writer, what string, found bool, how string) {
	t.Helper()
	if found {
		return
	}
	if os.Getenv("ESU_TEST_ALL") == "1" {
		t.Fatalf("%s is missing and ESU_TEST_ALL=1 allows no skip: %s", what, how)
	}
	// Skip alone is only seen with -v.
	fmt.Fprintf(loud, "=== NOT TESTED: %s needs %s: %s\n", t.Name(), what, how)
	t.Skipf("needs %s: %s", what, how)
}
