package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

// reported is report.json: what the server has had.
type reported struct {
	Format   int           `json:"format"`
	Counter  int64         `json:"counter"`
	Facts    update.Digest `json:"facts,omitempty"`
	Licenses update.Digest `json:"licenses,omitempty"`
}

// Report tells the server how this device stands.
func (d *Device) Report(ctx context.Context) error {
	return d.act(ctx, func(j *journal) error {
		s, err := d.load()
		if err != nil {
			return err
		}
		i, _, err := d.introduce(s, j)
		if err != nil {
			return err
		}
		k, _, err := d.know(ctx, s, false)
		if err != nil {
			return err
		}
		var last reported
		if err := d.readJSON(reportFile, &last, &last.Format); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return d.report(ctx, k, i, last)
	})
}

func (d *Device) report(ctx context.Context, k *knowledge, i *installation, last reported) error {
	server, err := d.client(k.identity.Server)
	if err != nil {
		return err
	}
	facts, err := k.facts.Canonical()
	if err != nil {
		return err
	}
	next := reported{
		Format: format, Counter: last.Counter, Facts: digestOf(sha256.Sum256(facts)),
		Licenses: wire.LicensesDigest(k.valid),
	}
	send := func(whole bool) error {
		nonce, err := server.Nonce(ctx)
		if err != nil {
			return err
		}
		next.Counter++
		r := wire.DeviceReport{
			Audience: k.identity.Authority, Program: k.program.ID, Fingerprint: i.Fingerprint, Counter: next.Counter, Nonce: nonce,
			IssuedAt: license.At(d.cfg.Now()), FactsDigest: next.Facts, LicensesDigest: next.Licenses,
		}
		if whole {
			r.Facts, r.Licenses = facts, k.valid
		}
		text, err := wire.SignReport(r, jws.InMemory(i.key))
		if err != nil {
			return fmt.Errorf("make report: %w", err)
		}
		// The counter is used up before anybody has seen it.
		if err := d.writeJSON(reportFile, reported{format, next.Counter, last.Facts, last.Licenses}); err != nil {
			return err
		}
		return server.Report(ctx, text)
	}
	known := last.Facts == next.Facts && last.Licenses == next.Licenses
	err = send(!known)
	if p, ok := problem.As(err); ok && known && (p.Kind == problem.NotFound || p.Kind == problem.Conflict) {
		err = send(true) // it has lost them
	}
	if err != nil {
		return err
	}
	return d.writeJSON(reportFile, next)
}
