package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/coverage"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/trust"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// maxMetadata bounds one file of metadata, in bytes; trust bounds each kind closer.
const maxMetadata = 16 << 20

// knowledge is all that a decision needs: what was verified, what is held and
// what the device says of itself.
type knowledge struct {
	*state
	metadata trust.Status
	program  *program.Program
	keys     map[program.ActivationID]productkey.Key
	catalog  *update.Catalog
	facts    *device.Facts
	view     *update.View

	installation *installation // nil: none yet, or set aside
	verifier     license.Verifier
	licenses     []kept // on the device
	held         license.Set
	valid        []license.Token // those that held is made of, as many as are shown to servers
	notices      []*problem.Problem
}

func (d *Device) trust(id program.ID) (*trust.Client, error) {
	return trust.Open(trust.Config{Folder: d.path(trustDir), Programs: []program.ID{id}, Now: d.cfg.Now})
}

// fetcher reads metadata from a server, so that what fails on the network is
// named as everywhere else (rule K17).
func fetcher(c *wire.Client) trust.Fetch {
	return func(ctx context.Context, name string) (io.ReadCloser, error) {
		body, err := c.Metadata(ctx, name, maxMetadata)
		if err == nil && body == nil {
			err = fs.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
}

// know reads all that is verified and held. With refresh, it asks the server
// first; what that fails with is only told, in stale, and what was verified
// before goes on being used.
func (d *Device) know(ctx context.Context, s *state, refresh bool) (k *knowledge, stale *problem.Problem, err error) {
	client, err := d.trust(s.identity.Program)
	if err != nil {
		return nil, nil, hidden(err)
	}
	if refresh {
		if stale, err = d.refresh(ctx, s, client); err != nil {
			return nil, nil, err
		}
	}
	k = &knowledge{state: s, metadata: client.Status(), facts: s.facts()}
	if err := k.readTrust(client); err != nil {
		return nil, nil, err
	}
	if k.keys, err = d.installedKeys(); err != nil {
		return nil, nil, hidden(err)
	}
	if err := d.hold(k); err != nil {
		return nil, nil, err
	}
	return k, stale, nil
}

// refresh learns what the server has now. Only an end of the act is an error.
func (d *Device) refresh(ctx context.Context, s *state, client *trust.Client) (*problem.Problem, error) {
	server, err := d.client(s.identity.Server)
	if err == nil {
		err = client.Refresh(ctx, fetcher(server))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if p, ok := problem.As(err); ok {
		return p, nil
	}
	return nil, err
}

func (k *knowledge) readTrust(client *trust.Client) error {
	id := k.identity.Program
	keys, err := client.TrustKeys()
	if err != nil {
		return err
	}
	public, err := client.Program(id)
	if err != nil {
		return err
	}
	if keys == nil || public == nil {
		return problem.New(problem.Unavailable, ProgramUnpublished, "server", k.identity.Server)
	}
	if k.program, err = program.ParsePublic(public); err != nil {
		return err
	}
	k.verifier.Program = k.program
	if k.verifier.Keys, err = license.ParseKeys(keys); err != nil {
		return err
	}
	ended, err := client.Ended()
	if err == nil && ended != nil {
		k.verifier.Ended, err = license.ParseEnded(ended)
	}
	if err != nil {
		return err
	}
	manifests, err := client.Manifests(id)
	if err != nil {
		return err
	}
	return k.readCatalog(manifests)
}

// readCatalog makes the catalog of the manifests that this agent can use. One
// that it cannot must not keep the others from the device (rule D15).
func (k *knowledge) readCatalog(manifests []trust.Manifest) error {
	var all []update.Update
	for _, m := range manifests {
		u, err := update.ParseManifest(m.Bytes)
		if err == nil {
			err = update.Check(k.program, u)
		}
		if err == nil && u.ID != m.UpdateID {
			err = errors.New("it names another update")
		}
		if err != nil {
			k.notices = append(k.notices, problem.New(problem.Refused, ManifestUnreadable, "update", m.UpdateID, "what", err.Error()).Because(err))
			continue
		}
		all = append(all, *u)
	}
	var err error
	k.catalog, err = update.NewCatalog(k.program, all)
	if err == nil {
		k.view = k.catalog.See(k.facts)
	}
	return err
}

// until looks only at updates that were released up to a day.
func (k *knowledge) until(day civil.Date) error {
	var all []update.Update
	for _, e := range k.catalog.All() {
		if !e.Released.After(day) {
			all = append(all, *e.Update)
		}
	}
	var err error
	if k.catalog, err = update.NewCatalog(k.program, all); err == nil {
		k.view = k.catalog.See(k.facts)
	}
	return err
}

// hold verifies the licenses for this installation.
func (d *Device) hold(k *knowledge) error {
	i, err := d.installation(k.state)
	if p, ok := problem.As(err); ok && p.Code != StateDamaged && p.Kind == problem.Refused {
		k.notices = append(k.notices, p) // another system, or none that can be told
	} else if err != nil {
		return err
	}
	k.installation = i
	if k.licenses, err = d.licenses(); err != nil {
		return hidden(err)
	}
	if k.verifier.Closed, err = d.closedLists(); err != nil {
		return err
	}
	k.verifier.Installation, k.verifier.Now = license.Installation{}, d.cfg.Now()
	if i != nil { // without one, every license is another device's
		k.verifier.Installation = i.Installation
	}
	for n := range k.licenses {
		k.judge(&k.licenses[n])
	}
	k.choose()
	return nil
}

// closedLists are the lists of licenses that stay valid under closed keys, as
// somebody put them into the folder; each is named by its digest and believed
// by it.
func (d *Device) closedLists() ([]license.ClosedList, error) {
	entries, err := os.ReadDir(d.path(closedDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, hidden(err)
	}
	var lists []license.ClosedList
	for _, entry := range entries {
		text, err := durable.ReadFile(d.path(closedDir, entry.Name()), license.MaxClosed)
		if err != nil {
			return nil, err
		}
		if list, err := license.ParseClosedList(text); err == nil {
			lists = append(lists, list)
		}
	}
	return lists, nil
}

// decide asks the gate, and then whether the update comes on the device's
// channel (rule D2): what does not come is not offered, and may be installed
// from a file.
func (k *knowledge) decide(e *update.Entry) (coverage.Verdict, bool) {
	return coverage.Decide(k.view, k.held, e), !slices.Contains(k.notOn(e), k.identity.Delivery)
}

// notOn are the channels on which an update does not come.
func (k *knowledge) notOn(e *update.Entry) []program.DeliveryID {
	not := slices.Clone(e.NotOn)
	if kind, ok := k.program.Kind(e.Kind); ok {
		not = append(not, kind.NotOn...)
	}
	return not
}

// others are the channels on which an update does come.
func (k *knowledge) others(e *update.Entry) []string {
	var names []string
	for _, c := range k.program.Delivery {
		if !slices.Contains(k.notOn(e), c.ID) {
			names = append(names, c.Name)
		}
	}
	return names
}

func (k *knowledge) notOffered(e *update.Entry) *problem.Problem {
	return problem.New(problem.Refused, NotOffered, "update", e.ID, "others", k.others(e))
}

// installed notes that an update is there, and the restarts that the
// prerequisites which it meets ask for (rule D1).
func (k *knowledge) installed(id program.UpdateID, boot string) {
	after := *k.facts
	after.Installed = append(slices.Clone(after.Installed), id)
	after.Normalize()
	seen := k.catalog.See(&after)
	restarts := 0
	for _, r := range k.view.Unmet() {
		if seen.Satisfied(r) {
			restarts = max(restarts, r.Restarts)
		}
	}
	k.local.Installed = after.Installed
	if restarts > k.local.Restarts {
		k.local.Restarts, k.local.Boot = restarts, boot
	}
	k.facts = k.state.facts()
	k.view = k.catalog.See(k.facts)
}

// meets is the first unmet prerequisite that an update would meet, by its place
// in the program, or past them all.
func (k *knowledge) meets(e *update.Entry) int {
	after := *k.facts
	after.Installed = append(slices.Clone(after.Installed), e.ID)
	after.Normalize()
	seen := k.catalog.See(&after)
	for i := range k.program.Prerequisites {
		r := &k.program.Prerequisites[i]
		if !k.view.Satisfied(r) && seen.Satisfied(r) {
			return i
		}
	}
	return len(k.program.Prerequisites)
}

func digestOf(sum [sha256.Size]byte) update.Digest { return update.Digest(hex.EncodeToString(sum[:])) }
