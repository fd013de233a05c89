package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/releases"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

const (
	// PayloadDiffers: the bytes that came are not those of the digest.
	PayloadDiffers problem.Code = "api.payload-differs"
	// DraftOther: the draft is that of another role than the route's.
	DraftOther problem.Code = "api.draft-other"
)

// Draft is a version of a role that waits for signatures or for its instant.
type Draft struct {
	Role     trust.Role         `json:"role"`
	Version  int64              `json:"version"`
	Instant  time.Time          `json:"instant"`
	Add      []program.UpdateID `json:"add"`
	Withdraw []program.UpdateID `json:"withdraw"`
	SignedBy []string           `json:"signedBy"` // public keys
	Missing  int                `json:"missing"`  // signatures that are needed at least
	// Document goes to the machine that holds the key, and comes back signed.
	Document string `json:"document"`
}

// DraftOf is a room's draft as a document.
func DraftOf(d releases.Draft) Draft {
	return Draft{
		Role: d.Role, Version: d.Version, Instant: d.Instant, Add: list(d.Add), Withdraw: list(d.Withdraw),
		SignedBy: list(d.SignedBy), Missing: d.Missing, Document: string(d.Document),
	}
}

// Drafts lists the versions of a role that wait, in their order.
type Drafts struct {
	Drafts []Draft `json:"drafts"`
}

// Drafted is a new draft, and those that must be signed anew because of it.
type Drafted struct {
	Draft *Draft  `json:"draft,omitempty"`
	Again []Draft `json:"again"`
}

// SignedDraft is a draft's document with signatures.
type SignedDraft struct {
	Document string `json:"document"`
}

// Signed is what signatures came to.
type Signed struct {
	Draft     Draft     `json:"draft"`
	Published Published `json:"published"`
}

// Published is what a publication brought.
type Published struct {
	Released  []program.UpdateID `json:"released"`
	Withdrawn []program.UpdateID `json:"withdrawn"`
	Targets   bool               `json:"targets"`
	// Held are versions that are due and cannot be published yet.
	Held []Held `json:"held"`
}

// Held is a version that waits on, and why.
type Held struct {
	Role    trust.Role   `json:"role"`
	Problem wire.Problem `json:"problem"`
}

// Update is one update on its way, or released.
type Update struct {
	*update.Update
	State      releases.State `json:"state"`
	Instant    time.Time      `json:"instant"`
	StagedAt   time.Time      `json:"stagedAt"`
	ReleasedAt time.Time      `json:"releasedAt,omitzero"`
	Imported   bool           `json:"imported,omitempty"`
	Actor      string         `json:"actor"`
}

// Updates lists a program's updates, by release instant.
type Updates struct {
	Updates []Update `json:"updates"`
}

// StageUpdate is a new update. What its kind and the program's calendar say need
// not be given.
type StageUpdate struct {
	Update        program.UpdateID    `json:"update" maxLength:"100"`
	Title         string              `json:"title,omitempty" maxLength:"500"`
	Kind          program.KindID      `json:"kind"`
	Rating        program.Rating      `json:"rating,omitempty"`
	Component     program.ComponentID `json:"component,omitempty"`
	Content       string              `json:"content,omitempty" doc:"Which of the program's ungated contents it is"`
	Free          bool                `json:"free,omitempty" doc:"Free for everybody, whatever its rating"`
	At            time.Time           `json:"at,omitzero" doc:"Empty is the next regular release; out of band: now"`
	OutOfBand     bool                `json:"outOfBand,omitempty"`
	Tracks        []program.TrackID   `json:"tracks,omitempty" maxItems:"100"`
	Editions      []program.EditionID `json:"editions,omitempty" maxItems:"500"`
	Architectures []program.Arch      `json:"architectures,omitempty" maxItems:"20"`
	Supersedes    []program.UpdateID  `json:"supersedes,omitempty" maxItems:"500"`
	Fixes         []string            `json:"fixes,omitempty" maxItems:"1000" doc:"CVE ids"`
	Payloads      []StagePayload      `json:"payloads" maxItems:"64"`
}

// StagePayload is a file that was put before.
type StagePayload struct {
	Name          string         `json:"name" maxLength:"255"`
	Installer     string         `json:"installer" maxLength:"64"`
	Architectures []program.Arch `json:"architectures,omitempty" maxItems:"20"`
	SHA256        update.Digest  `json:"sha256"`
	Unpacked      int64          `json:"unpacked,omitempty"`
	Check         string         `json:"check,omitempty" maxLength:"500"`
}

// Payload is a file in the depot.
type Payload struct {
	SHA256 update.Digest `json:"sha256"`
	Size   int64         `json:"size"`
}

// MakeDraft asks for a draft: of these staged updates, of all of the earliest
// instant when none is named, or of no change at all (anew).
type MakeDraft struct {
	Updates []program.UpdateID `json:"updates,omitempty" maxItems:"5000"`
	Anew    bool               `json:"anew,omitempty" doc:"Only sign anew, so that signatures do not expire"`
}

// ImportHistory is a history of updates that were released before.
type ImportHistory struct {
	CSV    string `json:"csv"`
	DryRun bool   `json:"dryRun,omitempty"`
}

// HistoryImported is what an import of a history came to.
type HistoryImported struct {
	Program program.ID           `json:"program"`
	DryRun  bool                 `json:"dryRun"`
	Updates []wire.HistoryUpdate `json:"updates"`
	Refused []wire.Problem       `json:"refused"` // by row
	Drafted
}

// Month records that a month has nothing in coverage.
type Month struct {
	Month string `json:"month" doc:"YYYY-MM"`
}

// Months are those without a release.
type Months struct {
	Months []string `json:"months"`
}

// UpdatePath names an update of a program.
type UpdatePath struct {
	Program program.ID       `path:"program" maxLength:"64"`
	Update  program.UpdateID `path:"update" maxLength:"100"`
}

// PayloadBody takes the request's bytes as they come.
type PayloadBody struct {
	SHA256 string `path:"sha256" minLength:"64" maxLength:"64"`
	body   io.Reader
}

// Resolve keeps the body for the act to read.
func (p *PayloadBody) Resolve(ctx huma.Context) []error {
	p.body = ctx.BodyReader()
	return nil
}

func (s *server) releases() {
	add(s, operation{id: "put-payload", method: http.MethodPut, path: "/payloads/{sha256}", permission: access.UpdateStage, stream: true, binary: true,
		summary: "Put a payload before it is staged; nobody is served it before its release"}, s.putPayload)
	add(s, operation{id: "list-updates", method: http.MethodGet, path: "/programs/{program}/updates", permission: access.UpdateRead,
		summary: "A program's updates; those that are not released only for publishers"}, // rule D3
		func(ctx context.Context, actor access.Actor, in *struct {
			ProgramPath
			State releases.State `query:"state" maxLength:"20" doc:"staged, queued, released or withdrawn"`
		}) (Updates, error) {
			all, err := s.Releases.List(ctx, actor, in.Program)
			listed := Updates{Updates: []Update{}}
			for _, r := range all {
				if in.State == "" || r.State == in.State {
					listed.Updates = append(listed.Updates, showUpdate(r))
				}
			}
			return listed, err
		})
	add(s, operation{id: "show-update", method: http.MethodGet, path: "/programs/{program}/updates/{update}", permission: access.UpdateRead, summary: "One update"},
		func(ctx context.Context, actor access.Actor, in *UpdatePath) (Update, error) {
			r, err := s.Releases.Show(ctx, actor, in.Program, in.Update)
			return showUpdate(r), err
		})
	add(s, operation{id: "stage-update", method: http.MethodPost, path: "/programs/{program}/updates", permission: access.UpdateStage,
		status: http.StatusCreated, summary: "Stage an update whose payloads were put"},
		func(ctx context.Context, actor access.Actor, in *struct {
			ProgramPath
			Body StageUpdate
		}) (Update, error) {
			r, err := s.Releases.Stage(ctx, actor, in.Body.in(in.Program))
			return showUpdate(r), err
		})
	add(s, operation{id: "withdraw-update", method: http.MethodPost, path: "/programs/{program}/updates/{update}/withdrawal", permission: access.UpdateWithdraw,
		summary: "Take an update back: a released one is in the draft that no longer lists it, another is gone at once"},
		func(ctx context.Context, actor access.Actor, in *UpdatePath) (Drafted, error) {
			d, err := s.Releases.Withdraw(ctx, actor, in.Program, in.Update)
			return drafted(d), err
		})
	add(s, operation{id: "import-history", method: http.MethodPost, path: "/programs/{program}/history", permission: access.UpdateStage, limit: maxFile,
		summary: "Import updates that were released before; bad rows are refused one by one"}, s.importHistory)
	add(s, operation{id: "record-no-release", method: http.MethodPost, path: "/programs/{program}/no-releases", permission: access.UpdateRelease,
		summary: "Record that a month has nothing in coverage"}, // rule D3
		func(ctx context.Context, actor access.Actor, in *struct {
			ProgramPath
			Body Month
		}) (Months, error) {
			if err := s.Releases.NoRelease(ctx, actor, in.Program, in.Body.Month); err != nil {
				return Months{}, err
			}
			return s.months(ctx, in.Program)
		})
	add(s, operation{id: "list-no-releases", method: http.MethodGet, path: "/programs/{program}/no-releases", permission: access.UpdateRead,
		summary: "The months that have nothing in coverage"},
		func(ctx context.Context, _ access.Actor, in *ProgramPath) (Months, error) {
			return s.months(ctx, in.Program)
		})
	s.draftRoutes()
}

func (s *server) draftRoutes() {
	add(s, operation{id: "list-drafts", method: http.MethodGet, path: "/drafts/{program}", permission: access.UpdateStage,
		summary: "The versions of a program's role that wait, in their order"},
		func(ctx context.Context, actor access.Actor, in *ProgramPath) (Drafts, error) {
			return s.drafts(ctx, actor, trust.Role(in.Program))
		})
	add(s, operation{id: "make-draft", method: http.MethodPost, path: "/drafts/{program}", permission: access.UpdateStage, status: http.StatusCreated,
		summary: "Draft the version that releases staged updates"},
		func(ctx context.Context, actor access.Actor, in *struct {
			ProgramPath
			Body MakeDraft
		}) (Drafted, error) {
			if in.Body.Anew {
				d, err := s.Releases.SignAnew(ctx, actor, in.Program)
				return drafted(d), err
			}
			d, err := s.Releases.Draft(ctx, actor, in.Program, in.Body.Updates...)
			return drafted(d), err
		})
	add(s, operation{id: "discard-draft", method: http.MethodDelete, path: "/drafts/{program}/{version}", permission: access.UpdateStage,
		summary: "Throw a waiting version away; what it was to release is staged again"},
		func(ctx context.Context, actor access.Actor, in *struct {
			ProgramPath
			Version int64 `path:"version"`
		}) (Drafted, error) {
			again, err := s.Releases.Discard(ctx, actor, trust.Role(in.Program), in.Version)
			return Drafted{Again: describe(again)}, err
		})
	add(s, operation{id: "sign-draft", method: http.MethodPost, path: "/drafts/{program}/signatures", permission: access.UpdateRelease, limit: maxFile,
		summary: "Take a draft back with its signatures; with the last one needed it is queued, and released if its instant has come"},
		func(ctx context.Context, actor access.Actor, in *struct {
			ProgramPath
			Body SignedDraft
		}) (Signed, error) {
			return s.sign(ctx, actor, trust.Role(in.Program), in.Body)
		})
	add(s, operation{id: "release", method: http.MethodPost, path: "/releases", permission: access.UpdateRelease,
		summary: "Publish everything that is signed and whose instant has come, as the server does by itself"},
		func(ctx context.Context, actor access.Actor, _ *none) (Published, error) {
			p, err := s.Releases.Release(ctx, actor)
			return s.published(ctx, p), err
		})
}

func (s *server) putPayload(ctx context.Context, actor access.Actor, in *PayloadBody) (Payload, error) {
	want, err := update.ParseDigest(in.SHA256)
	if err != nil {
		return Payload{}, problem.New(problem.Invalid, Invalid, "what", err.Error()).Because(err)
	}
	digest, size, err := s.Releases.Receive(ctx, actor, in.body)
	if err != nil {
		return Payload{}, err
	}
	if digest != want {
		return Payload{}, problem.New(problem.Invalid, PayloadDiffers, "wanted", want, "digest", digest)
	}
	return Payload{digest, size}, nil
}

func (s *server) importHistory(ctx context.Context, actor access.Actor, in *struct {
	ProgramPath
	Body ImportHistory
}) (HistoryImported, error) {
	done, err := s.Releases.ImportHistory(ctx, actor, releases.ImportIn{Program: in.Program, Text: []byte(in.Body.CSV), DryRun: in.Body.DryRun})
	if err != nil {
		return HistoryImported{}, err
	}
	out := HistoryImported{Program: in.Program, DryRun: in.Body.DryRun, Updates: []wire.HistoryUpdate{}, Refused: []wire.Problem{}}
	for _, u := range done.Updates {
		out.Updates = append(out.Updates, wire.HistoryUpdate{
			ID: u.ID, Title: u.Title, Kind: u.Kind, Rating: u.Rating, Released: u.Released, OutOfBand: u.OutOfBand,
			Ungated: u.Ungated, Years: u.Years, Supersedes: u.Supersedes,
		})
	}
	for _, p := range done.Refused {
		out.Refused = append(out.Refused, s.refuse(ctx, p).Problem)
	}
	out.Drafted = drafted(done.Drafted)
	return out, nil
}

func (s *server) months(ctx context.Context, id program.ID) (Months, error) {
	all, err := s.Releases.NoReleases(ctx, id)
	return Months{list(all)}, err
}

func (s *server) drafts(ctx context.Context, actor access.Actor, role trust.Role) (Drafts, error) {
	all, err := s.Releases.Drafts(ctx, actor, role)
	return Drafts{describe(all)}, err
}

// sign takes a draft only by the route of its role, so that a token or a log line
// means what it says.
func (s *server) sign(ctx context.Context, actor access.Actor, role trust.Role, in SignedDraft) (Signed, error) {
	d, err := trust.ParseDraft([]byte(in.Document))
	if err != nil {
		return Signed{}, err
	}
	if d.Role() != role {
		return Signed{}, problem.New(problem.Invalid, DraftOther, "role", d.Role(), "wanted", role)
	}
	done, err := s.Releases.Sign(ctx, actor, []byte(in.Document))
	if err != nil {
		return Signed{}, err
	}
	return Signed{DraftOf(done.Draft), s.published(ctx, done.Published)}, nil
}

func (s *server) published(ctx context.Context, p releases.Published) Published {
	out := Published{Released: ids(p.Released), Withdrawn: ids(p.Withdrawn), Targets: p.Targets, Held: []Held{}}
	for _, h := range p.Held {
		out.Held = append(out.Held, Held{h.Role, s.refuse(ctx, h.Err).Problem})
	}
	return out
}

func ids(updates []*update.Update) []program.UpdateID {
	all := make([]program.UpdateID, len(updates))
	for i, u := range updates {
		all[i] = u.ID
	}
	return all
}

func describe(all []releases.Draft) []Draft {
	drafts := make([]Draft, len(all))
	for i, d := range all {
		drafts[i] = DraftOf(d)
	}
	return drafts
}

func drafted(d releases.Drafted) Drafted {
	out := Drafted{Again: describe(d.Again)}
	if len(d.Draft.Document) > 0 {
		draft := DraftOf(d.Draft)
		out.Draft = &draft
	}
	return out
}

func showUpdate(r releases.Release) Update {
	return Update{r.Update, r.State, r.Instant, r.StagedAt, r.ReleasedAt, r.Imported, r.Actor}
}

func (b StageUpdate) in(id program.ID) releases.StageIn {
	in := releases.StageIn{
		Program: id, Update: b.Update, Title: b.Title, Kind: b.Kind, Rating: b.Rating, Component: b.Component, Content: b.Content,
		Free: b.Free, At: b.At, OutOfBand: b.OutOfBand, Tracks: b.Tracks, Editions: b.Editions, Architectures: b.Architectures,
		Supersedes: b.Supersedes, Fixes: b.Fixes,
	}
	for _, p := range b.Payloads {
		in.Payloads = append(in.Payloads, releases.PayloadIn(p))
	}
	return in
}
