package agent

import (
	"context"
	"slices"

	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Why the check package fails (rule D10).
const (
	// CheckEdition is an edition that the check package does not know.
	CheckEdition problem.Code = "check-package.edition"
	// CheckTooOld is a device whose servicing stack or rollup is too old.
	CheckTooOld problem.Code = "check-package.too-old"
)

// Check is what the check package tells beforehand (rule D14).
type Check struct {
	// Passed is what the vendor's own package would say: edition, servicing stack
	// and rollup.
	Passed bool `json:"passed"`
	// Accepted says more: whether covered updates would be accepted now.
	Accepted  bool           `json:"accepted"`
	Activated []program.Year `json:"activatedYears"`
	// Refused is why the package fails; Missing, what else stands in the way.
	Refused []*problem.Problem `json:"-"`
	Missing []*problem.Problem `json:"-"`

	program *program.Program
}

// VendorCode is the vendor's own code for one of ours, as the program has it.
func (c *Check) VendorCode(code problem.Code) string { return VendorCode(c.program, code) }

// CheckPackage tells whether updates would be accepted, and changes nothing but
// the servicing log.
func (d *Device) CheckPackage(ctx context.Context) (*Check, error) {
	var out *Check
	err := d.act(ctx, func(j *journal) error {
		s, err := d.load()
		if err != nil {
			return err
		}
		k, _, err := d.know(ctx, s, false)
		if err != nil {
			return err
		}
		out = k.checkPackage()
		j.say("ESU: Product = %s (%s)", k.facts.Edition, k.facts.Arch)
		for _, p := range out.Refused {
			j.say("ESU: Pre-checks failed, Not Eligible:%s", VendorCode(k.program, p.Code))
		}
		if out.Passed {
			j.say("ESU: Pre-checks passed")
		}
		return nil
	})
	return out, err
}

func (k *knowledge) checkPackage() *Check {
	c := &Check{Activated: []program.Year{}, program: k.program}
	if rules := k.program.Check; rules != nil {
		if k.view.Edition == nil || !k.view.Edition.CheckPackage {
			c.Refused = append(c.Refused, problem.New(problem.Refused, CheckEdition, "edition", k.facts.Edition))
		}
		for _, need := range rules.Needs {
			if !k.has(need) {
				c.Refused = append(c.Refused, problem.New(problem.Refused, CheckTooOld, "kinds", need.Kinds, "since", need.Since))
			}
		}
	}
	for _, r := range k.view.Unmet() {
		c.Missing = append(c.Missing, coverage.Lacking(r).Problem(k.view, nil))
	}
	if k.facts.RestartPending {
		c.Missing = append(c.Missing, coverage.Reason{Code: coverage.RestartPending}.Problem(k.view, nil))
	}
	if t := k.view.Track; t != nil {
		for _, y := range t.Years {
			if k.held.Years(t.ID)&(1<<y.Year) != 0 {
				c.Activated = append(c.Activated, y.Year)
			}
		}
	}
	c.Passed = len(c.Refused) == 0
	ownKey := !k.facts.EmbeddedKeyRange || k.facts.ProductActivated
	c.Accepted = c.Passed && len(c.Missing) == 0 && len(c.Activated) > 0 && ownKey && k.outside() == nil
	return c
}

// has reports whether some installed update is of these kinds and that new.
func (k *knowledge) has(need program.Later) bool {
	return slices.ContainsFunc(k.facts.Installed, func(id program.UpdateID) bool {
		e, ok := k.catalog.Find(id)
		return ok && slices.Contains(need.Kinds, e.Kind) && !e.Released.Before(need.Since)
	})
}
