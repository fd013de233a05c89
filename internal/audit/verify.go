package audit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

// Broken: the audit rows are not those that were written.
const Broken problem.Code = "audit.broken"

// Kind says what happened to rows.
type Kind string

// The closed set of kinds; text.audit.<kind> in locales says each.
const (
	Changed   Kind = "changed"   // a row reads otherwise than it was written
	Missing   Kind = "missing"   // rows were taken out
	Reordered Kind = "reordered" // rows stand at another place than they were written
	Truncated Kind = "truncated" // the chain ends too early
	Added     Kind = "added"     // rows stand after the chain's end
)

// Finding is one run of rows with something wrong with them.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Writer string `json:"writer"`
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
}

// Report is what Verify found.
type Report struct {
	Rows     int64     `json:"rows"`
	Chains   int       `json:"chains"`
	Findings []Finding `json:"findings"` // by writer; at most maxFindings
	More     bool      `json:"more"`     // there are further findings
}

// Err is nil for rows that are as they were written.
func (r Report) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	return problem.New(problem.Refused, Broken, "findings", len(r.Findings), "chains", r.Chains)
}

const (
	maxFindings = 1000
	// maxMoved bounds for how many broken rows of a chain another place is sought.
	maxMoved = 200
)

// Verify reads all rows and holds them to their own hashes, to the rows before
// them, to the heads, and to the checkpoints, each of which somebody kept.
func Verify(ctx context.Context, d *db.DB, against ...Checkpoint) (Report, error) {
	var report Report
	err := d.Read(ctx, func(tx *db.Tx) error {
		now, err := heads(tx)
		if err != nil {
			return err
		}
		v := verifier{chains: map[string]*chain{}}
		for _, h := range now {
			c := v.chain(h.Writer)
			c.kept, c.head, c.ends = append(c.kept, h), h.Seq, h.Seq
		}
		for _, cp := range against {
			for _, h := range cp.Heads {
				c := v.chain(h.Writer)
				c.kept, c.ends = append(c.kept, h), max(c.ends, h.Seq)
			}
		}
		if err := each(tx, Query{Tenant: access.All}, func(r row) error { v.chain(r.Writer).take(r); v.rows++; return nil }); err != nil {
			return err
		}
		report = v.report()
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify audit: %w", err)
	}
	return report, nil
}

type verifier struct {
	rows   int64
	chains map[string]*chain
}

func (v *verifier) chain(writer string) *chain {
	c := v.chains[writer]
	if c == nil {
		c = &chain{writer: writer, wrong: map[int64]Kind{}}
		v.chains[writer] = c
	}
	return c
}

func (v *verifier) report() Report {
	r := Report{Rows: v.rows, Chains: len(v.chains), Findings: []Finding{}}
	for _, writer := range slices.Sorted(maps.Keys(v.chains)) {
		for _, f := range v.chains[writer].findings() {
			if len(r.Findings) == maxFindings {
				r.More = true
				return r
			}
			r.Findings = append(r.Findings, f)
		}
	}
	return r
}

// chain is one writer's rows while they pass by.
type chain struct {
	writer string
	kept   []Head // the head now, and those of checkpoints
	head   int64  // where the chain ends now
	ends   int64  // where it must reach at least

	last    int64
	before  Hash
	broken  bool // the last row: what follows it cannot be held to it
	missing []Finding
	wrong   map[int64]Kind
	moved   []row // broken rows that may belong elsewhere
}

func (c *chain) take(r row) {
	if r.Seq < 1 {
		c.wrong[r.Seq] = Added
		return
	}
	if r.Seq != c.last+1 {
		c.missing = append(c.missing, Finding{Missing, c.writer, c.last + 1, r.Seq - 1})
		c.broken = true
	}
	intact := r.intact(r.Seq)
	switch {
	case !intact:
		c.wrong[r.Seq] = Changed
		if len(c.moved) < maxMoved {
			c.moved = append(c.moved, r)
		}
	case !c.broken && r.Previous != c.before:
		// The row before was written anew, hash and all; this one still tells.
		c.wrong[max(c.last, 1)] = Changed
	}
	for _, h := range c.kept {
		if h.Seq == r.Seq && h.Hash != r.Hash && intact {
			c.wrong[r.Seq] = Changed
		}
	}
	c.last, c.before, c.broken = r.Seq, r.Hash, !intact
}

func (c *chain) findings() []Finding {
	c.findMoved()
	if c.last > c.head {
		for seq := range c.wrong {
			if seq > c.head {
				delete(c.wrong, seq)
			}
		}
	}
	var all []Finding
	for _, seq := range slices.Sorted(maps.Keys(c.wrong)) {
		kind := c.wrong[seq]
		if n := len(all); n > 0 && all[n-1].Kind == kind && all[n-1].Last == seq-1 {
			all[n-1].Last = seq
			continue
		}
		all = append(all, Finding{kind, c.writer, seq, seq})
	}
	all = append(all, c.missing...)
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.First, b.First) })
	if c.last < c.ends {
		all = append(all, Finding{Truncated, c.writer, c.last + 1, c.ends})
	}
	if c.last > c.head {
		all = append(all, Finding{Added, c.writer, c.head + 1, c.last})
	}
	return all
}

// findMoved seeks for each broken row the place at which it would be whole: that of
// another broken or missing row, or as far away as the one before was.
func (c *chain) findMoved() {
	var places []int64
	for i := range c.moved {
		places = append(places, c.moved[i].Seq)
	}
	for _, gap := range c.missing {
		for seq := gap.First; seq <= gap.Last && len(places) < 2*maxMoved; seq++ {
			places = append(places, seq)
		}
	}
	for seq := c.last + 1; seq <= c.ends && len(places) < 3*maxMoved; seq++ {
		places = append(places, seq)
	}
	var shift int64
	for i := range c.moved {
		r := &c.moved[i]
		for _, place := range append([]int64{r.Seq + shift}, places...) {
			if place != r.Seq && r.intact(place) {
				c.wrong[r.Seq], shift = Reordered, place-r.Seq
				break
			}
		}
	}
}

// line is a row as it is exported: what is hashed, and the hash.
type line struct {
	row
	Sum Hash `json:"hash"`
}

// Export writes the rows as JSON lines, each in canonical form with its hash, by
// writer and number. A line without "hash" is what the hash was made of.
func Export(ctx context.Context, d *db.DB, q Query, w io.Writer) error {
	err := d.Read(ctx, func(tx *db.Tx) error {
		return each(tx, q, func(r row) error {
			text, err := canonical(line{r, r.Hash})
			if err != nil {
				return fmt.Errorf("row %d of %s: %w", r.Seq, r.Writer, err)
			}
			_, err = w.Write(append(text, '\n'))
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("export audit: %w", err)
	}
	return nil
}
