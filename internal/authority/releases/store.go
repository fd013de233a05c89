package releases

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// What is sealed is bound to what it is for and to its row.
const (
	manifestPurpose = "esu-manifest-v1"
	draftPurpose    = "esu-draft-v1"
)

const timestampName = "timestamp.json"

// read loads everything that acts decide on.
func (r *Room) read(tx *db.Tx) (*state, error) {
	s := &state{
		now: tx.Now, rows: map[key]*row{}, chains: map[trust.Role][]*step{}, quiet: map[month]bool{},
		touched: map[key]bool{}, redrawn: map[trust.Role]bool{}, quieted: map[month]bool{},
	}
	var floor []byte
	err := tx.QueryRow(`SELECT epoch, version, published, floor FROM repository WHERE id = 1`).
		Scan(&s.epoch, &s.version, &s.published, &floor)
	if errors.Is(err, db.ErrNoRows) {
		return nil, problem.New(problem.NotFound, NotBegun)
	}
	if err != nil {
		return nil, err
	}
	files, stamped, err := listedFiles(tx)
	if err != nil {
		return nil, err
	}
	s.stamped = stamped
	if s.repo, err = assemble(files); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(floor, &s.repo.Floor); err != nil {
		return nil, err
	}
	if err := r.readRows(tx, s); err != nil {
		return nil, err
	}
	if err := r.readChains(tx, s); err != nil {
		return nil, err
	}
	rows, err := tx.Query(`SELECT program, month FROM no_releases`)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var m month
		if err := rows.Scan(&m.program, &m.month); err != nil {
			return nil, err
		}
		s.quiet[m] = true
	}
	return s, rows.Err()
}

// listedFiles are the files of the last publication, and when its timestamp was
// signed.
func listedFiles(tx *db.Tx) (trust.Set, time.Time, error) {
	rows, err := tx.Query(`SELECT name, body, at FROM metadata WHERE listed = 1`)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer rows.Close()
	files, stamped := trust.Set{}, int64(0)
	for rows.Next() {
		var name string
		var body []byte
		var at int64
		if err := rows.Scan(&name, &body, &at); err != nil {
			return nil, time.Time{}, err
		}
		files[name] = body
		if name == timestampName {
			stamped = at
		}
	}
	return files, time.Unix(stamped, 0).UTC(), rows.Err()
}

// served reads one file that was ever published; nil is none.
func served(tx *db.Tx, name string) (body []byte, err error) {
	err = tx.QueryRow(`SELECT body FROM metadata WHERE name = $1`, name).Scan(&body)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return body, err
}

// edition is the number of the last publication.
func edition(tx *db.Tx) (epoch, published int64, err error) {
	err = tx.QueryRow(`SELECT epoch, published FROM repository WHERE id = 1`).Scan(&epoch, &published)
	if errors.Is(err, db.ErrNoRows) {
		err = problem.New(problem.NotFound, NotBegun)
	}
	return epoch, published, err
}

// dueSteps counts the signed versions whose instant has come, and tells when the
// timestamp was signed.
func dueSteps(tx *db.Tx) (due int64, stamped time.Time, err error) {
	if err := tx.QueryRow(`SELECT COUNT(*) FROM role_drafts WHERE state = 'signed' AND instant <= $1`, tx.Now.Unix()).Scan(&due); err != nil {
		return 0, time.Time{}, err
	}
	var at int64
	err = tx.QueryRow(`SELECT at FROM metadata WHERE name = $1`, timestampName).Scan(&at)
	if errors.Is(err, db.ErrNoRows) {
		err = problem.New(problem.NotFound, NotBegun)
	}
	return due, time.Unix(at, 0).UTC(), err
}

// fileRole tells the role and version that a served metadata file's name says;
// false for listed files and the timestamp.
func fileRole(name string) (trust.Role, int64, bool) {
	number, rest, ok := strings.Cut(name, ".")
	version, err := strconv.ParseInt(number, 10, 64)
	role, isJSON := strings.CutSuffix(rest, ".json")
	return trust.Role(role), version, ok && isJSON && err == nil
}

// assemble makes the repository of its files as they are served.
func assemble(files trust.Set) (trust.Repository, error) {
	repo := trust.Repository{Programs: map[program.ID][]byte{}, Files: map[string][]byte{}}
	roots := map[int64][]byte{}
	for name, body := range files {
		role, version, isRole := fileRole(name)
		switch rest, isFile := strings.CutPrefix(name, "targets/"); {
		case name == timestampName:
			repo.Timestamp = body
		case isFile:
			dir, base := path.Split(rest)
			_, base, _ = strings.Cut(base, ".") // after the digest
			repo.Files[dir+base] = body
		case !isRole:
			return repo, fmt.Errorf("a metadata file is named %q", name)
		case role == trust.Root:
			roots[version] = body
		case role == trust.Targets:
			repo.Targets = body
		case role == trust.Snapshot:
			repo.Snapshot = body
		default:
			repo.Programs[program.ID(role)] = body
		}
	}
	for _, version := range slices.Sorted(maps.Keys(roots)) {
		repo.Roots = append(repo.Roots, roots[version])
	}
	return repo, nil
}

func (r *Room) readRows(tx *db.Tx, s *state) error {
	rows, err := tx.Query(`SELECT program, update_id, state, manifest, instant, staged_at, released_at, history, actor FROM releases`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var one row
		var instant, staged, released, history int64
		if err := rows.Scan(&k.program, &k.update, &one.State, &one.manifest, &instant, &staged, &released, &history, &one.Actor); err != nil {
			return err
		}
		if one.State == Staged || one.State == Queued {
			if one.manifest, err = r.cfg.Vault.Open(one.manifest, manifestPurpose, k.program, k.update); err != nil {
				return fmt.Errorf("open manifest of %s %s: %w", k.program, k.update, err)
			}
		}
		if one.Update, err = update.ParseManifest(one.manifest); err != nil {
			return fmt.Errorf("stored manifest of %s %s: %w", k.program, k.update, err)
		}
		one.Instant, one.StagedAt, one.Imported = time.Unix(instant, 0).UTC(), time.Unix(staged, 0).UTC(), history == 1
		if released != 0 {
			one.ReleasedAt = time.Unix(released, 0).UTC()
		}
		s.rows[k] = &one
	}
	return rows.Err()
}

// stepBody is what of a step is sealed.
type stepBody struct {
	Add      []program.UpdateID  `json:"add,omitempty"`
	Withdraw []program.UpdateID  `json:"withdraw,omitempty"`
	Targets  trust.TargetsChange `json:"targets,omitzero"`
	Document json.RawMessage     `json:"document"`
}

func (r *Room) readChains(tx *db.Tx, s *state) error {
	rows, err := tx.Query(`SELECT program, version, instant, state, body FROM role_drafts ORDER BY version`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var role trust.Role
		var version, instant int64
		var st string
		var sealed []byte
		if err := rows.Scan(&role, &version, &instant, &st, &sealed); err != nil {
			return err
		}
		text, err := r.cfg.Vault.Open(sealed, draftPurpose, role, version)
		if err != nil {
			return fmt.Errorf("open draft %d of %s: %w", version, role, err)
		}
		var body stepBody
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Errorf("stored draft %d of %s: %w", version, role, err)
		}
		draft, err := trust.ParseDraft(body.Document)
		if err != nil {
			return fmt.Errorf("stored draft %d of %s: %w", version, role, err)
		}
		s.chains[role] = append(s.chains[role], &step{
			instant: time.Unix(instant, 0).UTC(), add: body.Add, withdraw: body.Withdraw, targets: body.Targets,
			draft: draft, signed: st == "signed",
		})
	}
	return rows.Err()
}

// begin writes the row that acts compare and swap.
func begin(tx *db.Tx) error {
	n, err := tx.Exec(`INSERT INTO repository (id, epoch, version, published, floor) VALUES (1, 1, 0, 0, $1) ON CONFLICT (id) DO NOTHING`, []byte("{}"))
	if err == nil && n == 0 {
		err = problem.New(problem.Conflict, Begun)
	}
	return err
}

// save swaps the version and writes what an act has changed.
func (r *Room) save(tx *db.Tx, s *state, actor access.Actor) error {
	publications := int64(0)
	if s.next != nil {
		publications = 1
	}
	n, err := tx.Exec(`UPDATE repository SET version = version + 1, published = published + $3 WHERE id = 1 AND epoch = $1 AND version = $2`,
		s.epoch, s.version, publications)
	if err != nil {
		return err
	}
	if n == 0 {
		return errMoved
	}
	if s.floor != nil {
		text, err := json.Marshal(s.floor)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE repository SET epoch = $1, floor = $2, published = published + 1 WHERE id = 1`, max(s.epoch, s.newEpoch), text); err != nil {
			return err
		}
	}
	if s.next != nil {
		if err := savePublication(tx, s); err != nil {
			return err
		}
	}
	for k := range s.touched {
		if err := r.saveRow(tx, k, s.rows[k]); err != nil {
			return err
		}
	}
	for role := range s.redrawn {
		if err := r.saveChain(tx, role, s.chains[role]); err != nil {
			return err
		}
	}
	for m := range s.quieted {
		if err := saveMonth(tx, m, s.quiet[m], actor); err != nil {
			return err
		}
	}
	return nil
}

// savePublication writes the files that are new and takes the mark from those
// that are no longer listed.
func savePublication(tx *db.Tx, s *state) error {
	before := trust.Set{}
	if s.repo.Timestamp != nil {
		var err error
		if before, err = s.repo.Set(); err != nil {
			return err
		}
	}
	after, err := s.next.Set()
	if err != nil {
		return err
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			if _, err := tx.Exec(`UPDATE metadata SET listed = 0 WHERE name = $1`, name); err != nil {
				return err
			}
		}
	}
	for name, body := range after {
		if _, ok := before[name]; ok && name != timestampName {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO metadata (name, epoch, body, at, listed) VALUES ($1, $2, $3, $4, 1)
			ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, body = excluded.body, at = excluded.at, listed = 1`,
			name, max(s.epoch, s.newEpoch), body, tx.Now.Unix()); err != nil {
			return err
		}
	}
	return nil
}

func (r *Room) saveRow(tx *db.Tx, k key, one *row) error {
	if one == nil {
		_, err := tx.Exec(`DELETE FROM releases WHERE program = $1 AND update_id = $2`, k.program, k.update)
		return err
	}
	manifest, released, history := one.manifest, int64(0), int64(0)
	if one.State == Staged || one.State == Queued {
		var err error
		if manifest, err = r.cfg.Vault.Seal(manifest, manifestPurpose, k.program, k.update); err != nil {
			return fmt.Errorf("seal manifest of %s %s: %w", k.program, k.update, err)
		}
	}
	if !one.ReleasedAt.IsZero() {
		released = one.ReleasedAt.Unix()
	}
	if one.Imported {
		history = 1
	}
	_, err := tx.Exec(`INSERT INTO releases (program, update_id, state, manifest, instant, staged_at, released_at, history, actor)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (program, update_id) DO UPDATE SET state = excluded.state, manifest = excluded.manifest, released_at = excluded.released_at`,
		k.program, k.update, one.State, manifest, one.Instant.Unix(), one.StagedAt.Unix(), released, history, one.Actor)
	return err
}

func (r *Room) saveChain(tx *db.Tx, role trust.Role, chain []*step) error {
	if _, err := tx.Exec(`DELETE FROM role_drafts WHERE program = $1`, role); err != nil {
		return err
	}
	for _, st := range chain {
		document, err := st.draft.Document()
		if err != nil {
			return err
		}
		text, err := json.Marshal(stepBody{st.add, st.withdraw, st.targets, document})
		if err != nil {
			return err
		}
		sealed, err := r.cfg.Vault.Seal(text, draftPurpose, role, st.draft.Version())
		if err != nil {
			return fmt.Errorf("seal draft %d of %s: %w", st.draft.Version(), role, err)
		}
		name := "open"
		if st.signed {
			name = "signed"
		}
		if _, err := tx.Exec(`INSERT INTO role_drafts (program, version, instant, state, body) VALUES ($1, $2, $3, $4, $5)`,
			role, st.draft.Version(), st.instant.Unix(), name, sealed); err != nil {
			return err
		}
	}
	return nil
}

func saveMonth(tx *db.Tx, m month, quiet bool, actor access.Actor) error {
	if !quiet {
		_, err := tx.Exec(`DELETE FROM no_releases WHERE program = $1 AND month = $2`, m.program, m.month)
		return err
	}
	_, err := tx.Exec(`INSERT INTO no_releases (program, month, at, actor) VALUES ($1, $2, $3, $4) ON CONFLICT (program, month) DO NOTHING`,
		m.program, m.month, tx.Now.Unix(), actor.String())
	return err
}
