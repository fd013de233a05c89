package sales

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
)

// rule P14
func TestAmend(t *testing.T) {
	each(t, func(d *desk) {
		importing := func(text []byte) (bool, error) {
			_, fresh, err := d.office.Import(d.Context(), owner, "windows-7.yaml", text)
			return fresh, err
		}
		if fresh, err := importing(windows7(d.T)); err != nil || fresh {
			d.Errorf("the same again: %v, %v", fresh, err)
		}
		_, err := importing(amended(d.T, "USD 50,", "USD 60,"))
		d.refused(err, VersionChanged)

		before, _ := d.place(volume("contoso ltd", 1))
		second := amended(d.T, "version: 1\n", "version: 3\n", "from: 2019-04-01\ntime", "from: 2021-01-13\ntime", "{1: USD 50, 2", "{1: USD 60, 2")
		if fresh, err := importing(second); err != nil || !fresh {
			d.Fatalf("%v, %v", fresh, err)
		}
		// It holds from its day on, in its own time zone: not yet.
		now, _ := d.place(volume("contoso ltd", 1))
		d.mu.Lock()
		d.now = start.Add(1e9)
		d.mu.Unlock()
		after, _ := d.place(volume("contoso ltd", 1))
		if now.Version != 1 || after.Version != 3 || after.Total.Minor != 6000 {
			d.Errorf("version %d at %s, then %d at %s", now.Version, now.Total, after.Version, after.Total)
		}
		stored, err := d.office.Order(d.Context(), staff, before.ID)
		d.ok(err)
		if stored.Version != 1 || stored.Total.Minor != 5000 {
			d.Errorf("an old order reads %+v", stored)
		}

		for name, tc := range map[string]struct {
			text []byte
			code problem.Code
		}{
			"older":                    {amended(d.T, "version: 1\n", "version: 2\n", "from: 2019-04-01\ntime", "from: 2022-01-01\ntime"), VersionOlder},
			"same day":                 {amended(d.T, "version: 1\n", "version: 4\n", "from: 2019-04-01\ntime", "from: 2021-01-13\ntime"), FromNotLater},
			"earlier":                  {amended(d.T, "version: 1\n", "version: 4\n"), FromNotLater},
			"another tag":              {amended(d.T, "version: 1\n", "version: 4\n", "from: 2019-04-01\ntime", "from: 2022-01-01\ntime", "tag: 7002", "tag: 7992"), YearBroken},
			"unknown zone":             {amended(d.T, "America/Los_Angeles", "America/Nowhere"), ZoneUnknown},
			"this zone":                {amended(d.T, "America/Los_Angeles", "Local"), ZoneUnknown},
			"not well formed":          {amended(d.T, "version: 1\n", "version: 0\n"), program.ValueBad},
			"a tag of another program": {amended(d.T, "id: windows-7\nname", "id: windows-7b\nname"), TagTaken},
		} {
			if _, err := importing(tc.text); problem.CodeOf(err) != tc.code {
				d.Errorf("%s: %v", name, err)
			}
		}
		_, _, err = d.office.Import(d.Context(), staff, "f", second)
		d.refused(err, access.Forbidden)

		versions, err := d.office.Versions(d.Context(), staff, "windows-7")
		d.ok(err)
		var numbers []int
		for _, v := range versions {
			numbers = append(numbers, v.Version)
		}
		if diff := cmp.Diff([]int{1, 3}, numbers); diff != "" {
			d.Error(diff)
		}
		d.ok(d.db.Read(d.Context(), func(tx *db.Tx) error {
			for day, want := range map[string]int{"2019-04-01": 1, "2021-01-12": 1, "2021-01-13": 3, "2030-01-01": 3} {
				p, err := d.office.InForceOn(tx, "windows-7", civil.MustParse(day))
				if err != nil || p.Version != want {
					d.Errorf("on %s: version %d, %v", day, p.Version, err)
				}
			}
			_, err := d.office.InForceOn(tx, "windows-7", civil.MustParse("2019-03-31"))
			d.refused(err, ProgramNotInForce)
			_, _, err = d.office.InForce(tx, "")
			d.refused(err, ProgramUnknown)
			return nil
		}))
		if diff := cmp.Diff([]string{"program.import", "program.import"}, d.acts("program/")); diff != "" {
			d.Error(diff)
		}
	})
}

// The programs that are shipped stand side by side: no tag is used twice.
func TestShippedPrograms(t *testing.T) {
	each(t, func(d *desk) {
		for _, name := range programs.Names() {
			text, err := programs.File(name)
			d.ok(err)
			_, _, err = d.office.Import(d.Context(), owner, name, text)
			d.ok(err)
		}
		all, err := d.office.Versions(d.Context(), staff, "")
		d.ok(err)
		if len(all) != len(programs.Names()) {
			d.Errorf("%d programs", len(all))
		}
	})
}
