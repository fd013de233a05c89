package sales

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const (
	// ProgramUnknown: no such program was imported.
	ProgramUnknown problem.Code = "sales.program-unknown"
	// ProgramNotInForce: no version of the program holds yet.
	ProgramNotInForce problem.Code = "sales.program-not-in-force"
	// VersionOlder: a newer version of the file was imported.
	VersionOlder problem.Code = "sales.version-older"
	// VersionChanged: this version was imported and reads otherwise.
	VersionChanged problem.Code = "sales.version-changed"
	// FromNotLater: a new version does not hold from a later day than the one before.
	FromNotLater problem.Code = "sales.from-not-later"
	// TagTaken: the tag of a track's year is in use for another.
	TagTaken problem.Code = "sales.tag-taken"
	// YearBroken: an amendment would make keys of a year unknown.
	YearBroken problem.Code = "sales.year-broken"
	// ZoneUnknown: there is no such time zone.
	ZoneUnknown problem.Code = "sales.zone-unknown"
)

// ProgramVersion is one version of a program file that was imported.
type ProgramVersion struct {
	Program  program.ID `json:"program"`
	Version  int        `json:"version"`
	From     civil.Date `json:"from"` // the first day on which it holds
	Imported time.Time  `json:"imported"`
}

// Import saves a version of a program file, and reports whether it is new: the same
// bytes again change nothing. A new version has a higher number and a later first
// day, and keeps what keys and devices know of each year (rule P14). The name is
// for errors.
func (o *Office) Import(ctx context.Context, actor access.Actor, name string, text []byte) (*program.Program, bool, error) {
	if err := access.May(actor, access.ProgramWrite); err != nil {
		return nil, false, err
	}
	p, err := program.Parse(name, text)
	if err != nil {
		return nil, false, err
	}
	if _, err := zone(p); err != nil {
		return nil, false, err
	}
	imported := false
	err = o.db.Write(ctx, func(tx *db.Tx) error {
		imported = false
		all, err := listVersions(tx, "")
		if err != nil {
			return err
		}
		if again, err := o.checkVersion(tx, p, text, all); err != nil || again {
			return err
		}
		if imported, err = insertVersion(tx, p, text); err != nil {
			return fmt.Errorf("import %s version %d: %w", p.ID, p.Version, err)
		}
		if !imported { // by another process, this moment
			return problem.New(problem.Conflict, VersionChanged, "program", p.ID, "version", p.Version)
		}
		return audit.Append(tx, o.audit, audit.Entry{
			Actor: actor, Act: "program.import", Object: "program/" + string(p.ID),
			Detail: map[string]any{"version": p.Version, "from": p.From},
		})
	})
	if err != nil {
		return nil, false, err
	}
	return p, imported, nil
}

// checkVersion holds a file to the newest version of the same program and to the
// tags of all others; again is true for bytes that are there.
func (o *Office) checkVersion(tx *db.Tx, p *program.Program, text []byte, all []ProgramVersion) (again bool, err error) {
	newest := map[program.ID]int{}
	for _, v := range all {
		newest[v.Program] = max(newest[v.Program], v.Version)
	}
	for id, version := range newest {
		before, err := o.load(tx, versionID{id, version})
		if err != nil {
			return false, err
		}
		if id != p.ID {
			if err := checkTags(p, before); err != nil {
				return false, err
			}
			continue
		}
		switch {
		case p.Version < version:
			return false, problem.New(problem.Refused, VersionOlder, "program", p.ID, "version", p.Version, "have", version)
		case p.Version == version:
			file, err := versionFile(tx, versionID{id, version})
			if err != nil || !bytes.Equal(text, file) {
				return false, orProblem(err, problem.New(problem.Conflict, VersionChanged, "program", p.ID, "version", version))
			}
			return true, nil
		case !p.From.After(before.From):
			return false, problem.New(problem.Refused, FromNotLater, "program", p.ID, "from", p.From, "have", before.From)
		}
		if err := checkYears(p, before); err != nil {
			return false, err
		}
	}
	return false, nil
}

// checkTags keeps tags unique over all programs: a key's tag says what it is for.
func checkTags(p, other *program.Program) error {
	for i := range p.Tracks {
		for _, y := range p.Tracks[i].Years {
			if t, taken, ok := other.ByTag(y.Tag); ok {
				return problem.New(problem.Refused, TagTaken, "tag", y.Tag, "program", other.ID, "track", t.ID, "year", taken.Year)
			}
		}
	}
	return nil
}

// checkYears lets no amendment drop a year or change what its keys carry.
func checkYears(p, before *program.Program) error {
	for i := range before.Tracks {
		t := &before.Tracks[i]
		now, ok := p.Track(t.ID)
		for _, y := range t.Years {
			var same bool
			if ok {
				n, found := now.Year(y.Year)
				same = found && n.Tag == y.Tag && n.ActivationID == y.ActivationID
			}
			if !same {
				return problem.New(problem.Refused, YearBroken, "program", p.ID, "track", t.ID, "year", y.Year)
			}
		}
	}
	return nil
}

// Versions lists what was imported, of one program or ("") of all, the oldest first.
func (o *Office) Versions(ctx context.Context, actor access.Actor, id program.ID) ([]ProgramVersion, error) {
	if err := access.May(actor, access.ProgramRead); err != nil {
		return nil, err
	}
	var all []ProgramVersion
	err := o.db.Read(ctx, func(tx *db.Tx) (err error) {
		all, err = listVersions(tx, id)
		return err
	})
	return all, err
}

// InForce returns the version of a program that holds at tx.Now, and the day that
// it is then in its time zone.
func (o *Office) InForce(tx *db.Tx, id program.ID) (*program.Program, civil.Date, error) {
	return o.inForce(tx, id, func(p *program.Program) (civil.Date, error) {
		loc, err := zone(p)
		if err != nil {
			return civil.Date{}, err
		}
		return civil.Of(tx.Now.In(loc)), nil
	})
}

// InForceOn returns the version of a program that holds on a day.
func (o *Office) InForceOn(tx *db.Tx, id program.ID, day civil.Date) (*program.Program, error) {
	p, _, err := o.inForce(tx, id, func(*program.Program) (civil.Date, error) { return day, nil })
	return p, err
}

func (o *Office) inForce(tx *db.Tx, id program.ID, dayIn func(*program.Program) (civil.Date, error)) (*program.Program, civil.Date, error) {
	versions, err := listVersions(tx, id)
	if err != nil {
		return nil, civil.Date{}, err
	}
	if len(versions) == 0 || id == "" {
		return nil, civil.Date{}, problem.New(problem.NotFound, ProgramUnknown, "program", id)
	}
	for i := len(versions) - 1; i >= 0; i-- {
		p, err := o.load(tx, versionID{id, versions[i].Version})
		if err != nil {
			return nil, civil.Date{}, err
		}
		day, err := dayIn(p)
		if err != nil {
			return nil, civil.Date{}, err
		}
		if !day.Before(p.From) {
			return p, day, nil
		}
	}
	return nil, civil.Date{}, problem.New(problem.Refused, ProgramNotInForce, "program", id, "from", versions[0].From)
}

// newest returns the last version, in force or not yet.
func (o *Office) newest(tx *db.Tx, id program.ID) (*program.Program, error) {
	versions, err := listVersions(tx, id)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 || id == "" {
		return nil, problem.New(problem.NotFound, ProgramUnknown, "program", id)
	}
	return o.load(tx, versionID{id, versions[len(versions)-1].Version})
}

// Version returns one version of a program, as orders name it.
func (o *Office) Version(tx *db.Tx, id program.ID, version int) (*program.Program, error) {
	return o.load(tx, versionID{id, version})
}

// load returns a version, which is read and parsed once.
func (o *Office) load(tx *db.Tx, v versionID) (*program.Program, error) {
	o.mu.Lock()
	p := o.parsed[v]
	o.mu.Unlock()
	if p != nil {
		return p, nil
	}
	text, err := versionFile(tx, v)
	if err != nil {
		return nil, err
	}
	if p, err = program.Parse(string(v.program), text); err != nil {
		// It was whole when it was imported: this binary is older than the file.
		return nil, fmt.Errorf("read program %s version %d: %w", v.program, v.version, err)
	}
	o.mu.Lock()
	o.parsed[v] = p
	o.mu.Unlock()
	return p, nil
}

// zone is the one place where a program's time zone is looked up.
func zone(p *program.Program) (*time.Location, error) {
	loc, err := time.LoadLocation(p.TimeZone)
	if err != nil || p.TimeZone == "Local" {
		return nil, problem.New(problem.Invalid, ZoneUnknown, "program", p.ID, "zone", p.TimeZone).Because(err)
	}
	return loc, nil
}

// ProgramIDs lists the programs that were imported.
func ProgramIDs(tx *db.Tx) ([]program.ID, error) {
	versions, err := listVersions(tx, "")
	if err != nil {
		return nil, err
	}
	var ids []program.ID
	for _, v := range versions {
		if !slices.Contains(ids, v.Program) {
			ids = append(ids, v.Program)
		}
	}
	return ids, nil
}
