package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// ReportType is the typ of a report.
const ReportType = "esu-report+jwt"

// Report is what a device says of itself, signed with its key. Facts and
// licenses go along when the server has not had them yet.
type Report struct {
	Audience    license.AuthorityID `json:"aud"`
	Program     program.ID          `json:"program"`
	Fingerprint license.Fingerprint `json:"fingerprint"`
	// Counter grows with each report: two branches of it show a clone.
	Counter        int64           `json:"counter"`
	Nonce          string          `json:"nonce"`
	IssuedAt       license.Instant `json:"iat"`
	FactsDigest    update.Digest   `json:"factsDigest"`
	LicensesDigest update.Digest   `json:"licensesDigest"`
	Facts          json.RawMessage `json:"facts,omitempty"`
	Licenses       []license.Token `json:"licenses,omitempty"`
}

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
	lines := make([]string, len(k.valid))
	for n, token := range k.valid {
		lines[n] = string(token)
	}
	next := reported{
		Format: format, Counter: last.Counter, Facts: digestOf(sha256.Sum256(facts)),
		Licenses: digestOf(sha256.Sum256([]byte(strings.Join(lines, "\n")))),
	}
	send := func(whole bool) error {
		nonce, err := server.Nonce(ctx)
		if err != nil {
			return err
		}
		next.Counter++
		r := Report{
			Audience: k.identity.Authority, Program: k.program.ID, Fingerprint: i.Fingerprint, Counter: next.Counter, Nonce: nonce,
			IssuedAt: license.At(d.cfg.Now()), FactsDigest: next.Facts, LicensesDigest: next.Licenses,
		}
		if whole {
			r.Facts, r.Licenses = facts, k.valid
		}
		text, err := jws.SelfSign(ReportType, r, jws.InMemory(i.key))
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
