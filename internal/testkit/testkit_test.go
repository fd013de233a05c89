package testkit

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
)

// verdict records how a test would have ended.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (v *verdict) Helper()      {}
func (v *verdict) Name() string { return "TestOfTestkit" }
func (v *verdict) Skipf(string, ...any) {
	v.skipped = true
	runtime.Goexit()
}

func (v *verdict) Fatalf(string, ...any) {
	v.failed = true
	runtime.Goexit()
}

func TestNeed(t *testing.T) {
	for _, tc := range []struct {
		name            string
		all             string
		found           bool
		skipped, failed bool
	}{
		{name: "there", all: "1", found: true},
		{name: "missing on a person's machine", skipped: true},
		{name: "missing where nothing may be", all: "1", failed: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("ESU_TEST_ALL", tc.all)
			var v verdict
			var loud bytes.Buffer
			done := make(chan struct{})
			go func() {
				defer close(done)
				need(&v, &loud, "a unicorn", tc.found, "look in the forest")
			}()
			<-done
			if v.skipped != tc.skipped || v.failed != tc.failed {
				t.Errorf("skipped %v, failed %v; want %v, %v", v.skipped, v.failed, tc.skipped, tc.failed)
			}
			if told := strings.HasPrefix(loud.String(), "=== NOT TESTED: TestOfTestkit needs a unicorn"); told != tc.skipped {
				t.Errorf("said %q", loud.String())
			}
		})
	}
}
