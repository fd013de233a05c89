package agent

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const (
	logFile = "servicing.log"
	// maxLog is when the log is begun anew; the one before is kept.
	maxLog = 16 << 20
)

// journal is the servicing log of one act: the reason of each decision, in lines
// that the troubleshooter reads (rule D11).
type journal struct {
	path  string
	now   func() time.Time
	n     int
	lines strings.Builder
}

func (d *Device) journal() *journal { return &journal{path: d.path(logFile), now: d.cfg.Now} }

func (j *journal) say(format string, args ...any) {
	j.n++
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, fmt.Sprintf(format, args...))
	fmt.Fprintf(&j.lines, "%s, Info                  ESU    %08x %s\n", j.now().UTC().Format(time.DateTime), j.n, text)
}

// flush writes what was said, at the end of an act and before each installation.
func (j *journal) flush() error {
	if j.lines.Len() == 0 {
		return nil
	}
	if info, err := os.Stat(j.path); err == nil && info.Size() > maxLog {
		if err := os.Rename(j.path, j.path+".1"); err != nil {
			return fmt.Errorf("servicing log: %w", err)
		}
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("servicing log: %w", err)
	}
	_, err = f.WriteString(j.lines.String())
	j.lines.Reset()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("servicing log: %w", err)
	}
	return nil
}

// refused says what a problem comes to, under the vendor's code where there is one.
func (j *journal) refused(p *program.Program, what string, err error) {
	for _, one := range problem.All(err) {
		code := VendorCode(p, one.Code)
		if code == "" {
			code = string(one.Code)
		}
		j.say("ESU: %s refused: %s (%s)", what, code, one.Code)
	}
}

// failed says why something did not work, whether a rule or the machine is why.
func (j *journal) failed(p *program.Program, what string, err error) {
	j.refused(p, what, err)
	if _, ok := problem.As(err); !ok {
		j.say("ESU: %s failed: %v", what, err)
	}
}

// decision says how the gate came to its answer (rules D9, D11).
func (j *journal) decision(k *knowledge, e *update.Entry, v coverage.Verdict) {
	year, _ := k.view.Year(e)
	j.say("ESU: Update = %s, released %s", e.ID, e.Released)
	j.say("ESU: Product = %s (%s)", k.facts.Edition, k.facts.Arch)
	if year != program.Free && k.view.Track != nil {
		j.check(k, year, e)
	}
	for _, r := range v.Reasons {
		code := VendorCode(k.program, r.Code)
		if code == "" {
			code = string(r.Code)
		}
		if r.Code == coverage.YearNotCovered || r.Code == coverage.ProductNotActivated {
			j.say("ESU: not eligible %s.", code)
		} else {
			j.say("ESU: %s %s: %s (%s)", e.ID, v.State, code, r.Code)
		}
	}
	if v.Allowed() {
		j.say("ESU: eligible, %s may be installed", e.ID)
	}
}

// check says what was looked for: the year's add-on key, and on a device with a
// key in the embedded range the product's own.
func (j *journal) check(k *knowledge, year program.Year, e *update.Entry) {
	track := k.view.Track
	j.say("ESU: checking : year %d of %s", year, track.Name)
	if k.facts.EmbeddedKeyRange {
		j.say("ESU: Product is in Range")
	}
	held := k.held.Covers(track.ID, year, e.Released)
	y, ok := track.Year(year)
	switch {
	case k.facts.EmbeddedKeyRange && ok && !held && k.keys[y.ActivationID].IsZero():
		j.say("ESU: NO ESU KEY FOUND")
	case !held, k.facts.EmbeddedKeyRange && !k.facts.ProductActivated:
		j.say("ESU: %s is not activated.", track.Name)
	}
}

// VendorCode is the vendor's own code for one of ours, "" when the program has none.
func VendorCode(p *program.Program, code problem.Code) string {
	switch {
	case p == nil:
		return ""
	case code == IdentityChanged:
		return p.Codes["activation.identity-changed"] // as program files name it
	}
	return p.Codes[code]
}
