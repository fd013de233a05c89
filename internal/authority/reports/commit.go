package reports

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
)

// job is one report on its way through a batch.
type job struct {
	*report
	err   error
	ready chan struct{}
}

// stored is what a transaction comes to for one report: a refusal, or the row.
type stored struct {
	row Installation
	err error
}

// store waits until a report is on the disk.
func (r *Room) store(ctx context.Context, in *report) error {
	j := &job{report: in, ready: make(chan struct{})}
	select {
	case r.queue <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stop:
		return problem.New(problem.Unavailable, Closing)
	}
	select {
	case <-j.ready:
		return j.err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		select {
		case <-j.ready:
			return j.err
		default:
			return problem.New(problem.Unavailable, Closing)
		}
	}
}

// commitAll is the committer: it stores what is there, and now and then writes
// who was seen.
func (r *Room) commitAll() {
	defer close(r.done)
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		select {
		case j := <-r.queue:
			r.settle(r.batch(j))
		case <-tick.C:
			r.flush(false)
		case <-r.stop:
			for {
				select {
				case j := <-r.queue:
					r.settle(r.batch(j))
					continue
				default:
				}
				break
			}
			r.flush(true)
			return
		}
	}
}

// batch takes with a report all that wait already.
func (r *Room) batch(first *job) []*job {
	batch := []*job{first}
	for len(batch) < r.MaxBatch {
		select {
		case j := <-r.queue:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// settle stores a batch, and when that fails each report by itself, so that a bad
// one harms no other. It heeds no caller's cancellation: those who share a commit
// share no context.
func (r *Room) settle(batch []*job) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Patience)
	defer cancel()
	// Rows are locked in one order, here as in every other process.
	slices.SortStableFunc(batch, func(a, b *job) int { return bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]) })
	err := r.commit(ctx, batch)
	// A report whose outcome nobody knows would look like a clone's if it were stored
	// again. The device hears of a failure, and its next report settles it.
	alone := err != nil && len(batch) > 1 && !errors.Is(err, db.ErrUnknownOutcome)
	if err != nil {
		r.log.Error("report batch failed", "reports", len(batch), "err", err)
	}
	for _, j := range batch {
		if alone {
			err = r.commit(ctx, []*job{j})
		}
		if err != nil {
			j.err = err
			r.memory.forget(j.Fingerprint)
		}
		close(j.ready)
	}
}

// commit runs one transaction for a batch.
func (r *Room) commit(ctx context.Context, batch []*job) error {
	var all []stored
	if err := r.DB.Write(ctx, func(tx *db.Tx) (err error) {
		all, err = r.decide(tx, batch)
		return err
	}); err != nil {
		return err
	}
	for i, s := range all {
		if batch[i].err = s.err; s.err != nil {
			continue
		}
		if s.row.Cloned == batch[i].at {
			r.log.Warn("two installations report as one", "fingerprint", s.row.Fingerprint.String())
		}
		r.memory.put(s.row, batch[i].mark)
	}
	return nil
}

// decide takes a batch through its transaction, up to the commit.
func (r *Room) decide(tx *db.Tx, batch []*job) ([]stored, error) {
	all := make([]stored, len(batch))
	facts := map[Digest][]byte{}
	for i, j := range batch {
		s, err := r.decideOne(tx, j.report)
		if err != nil {
			return nil, err
		}
		all[i] = s
		if s.err == nil && j.Facts != nil {
			facts[j.facts] = j.Facts
			if err := keepLicenses(tx, j.Fingerprint, wire.JoinLicenses(j.Licenses)); err != nil {
				return nil, err
			}
		}
	}
	return all, KeepFacts(tx, facts)
}

func (r *Room) decideOne(tx *db.Tx, in *report) (stored, error) {
	have, found, err := lock(tx, in.Fingerprint)
	if err != nil {
		return stored{}, err
	}
	if !found && in.Facts == nil { // the row went away while memory had it
		return stored{err: problem.New(problem.NotFound, BodyWanted)}, nil
	}
	if !found {
		row := introduced(in)
		inserted, err := insert(tx, row)
		if err != nil || inserted {
			return stored{row: row}, err
		}
		if have, found, err = lock(tx, in.Fingerprint); err != nil || !found { // another process was quicker
			return stored{}, errors.Join(err, db.ErrNoRows)
		}
	}
	if have.PublicKey != in.PublicKey {
		return stored{err: refuseKey(in)}, nil
	}
	have.Counter = max(have.Counter, r.memory.counted(in.Fingerprint))
	row := have.after(in)
	return stored{row: row}, save(tx, row)
}

// flush writes who was seen: what is due, or everything.
func (r *Room) flush(all bool) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Patience)
	defer cancel()
	touches := r.memory.take(all)
	for len(touches) > 0 {
		some := touches[:min(len(touches), r.MaxBatch)]
		err := r.DB.Write(ctx, func(tx *db.Tx) error {
			for i, t := range some {
				found, err := see(tx, t)
				if err != nil {
					return err
				}
				some[i].found = found
			}
			return nil
		})
		if err != nil { // what was written may be written again
			r.log.Error("write who was seen", "installations", len(touches), "err", err)
			r.memory.giveBack(touches)
			return
		}
		r.memory.settle(some)
		touches = touches[len(some):]
	}
}
