// Package activations counts: it answers activation requests with licenses.
//
// One transaction decides, counts, stores and audits; when it has committed,
// people are answered, and not before. Requests that arrive while one is being
// committed share the next (group commit), so that a busy key costs one wait for
// the disk for many devices. What was acknowledged is never lost, and a key
// never counts past its limit, whatever is killed when.
//
// Requests are read and their signatures verified outside, by as many goroutines
// as there are callers. Inside, keys are locked in the order of their ids, then
// the writer's audit chain, and nothing else.
//
// A batch that fails is tried again request by request, so that a bad one harms
// no other. A commit whose outcome nobody knows is looked up by the batch's
// licenses before anybody is answered.
package activations

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/frontdoor"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Closing is a request that came while the server was stopping.
const Closing problem.Code = "activations.closing"

// Config is what the room needs; every field but the last three.
type Config struct {
	DB        *db.DB
	Keys      *keyring.Ring
	Writer    *audit.Writer
	Authority license.AuthorityID
	// Program is the program in force, nil when there is none of the id.
	Program func(*db.Tx, program.ID) (*program.Program, error)
	// Customer is the name that a license shows.
	Customer func(*db.Tx, access.Tenant) (string, error)
	// Issuer is the key under which a program's licenses are signed.
	Issuer func(*db.Tx, program.ID) (license.KeyID, ed25519.PrivateKey, error)
	Random io.Reader

	MaxBatch int // requests in one transaction; 256 when zero
	Patience time.Duration
	Log      *slog.Logger
}

// Room answers activation requests. Close it before its database.
type Room struct {
	Config
	log   *slog.Logger
	queue chan *job
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed when the committer has ended
}

// job is one request on its way through a batch.
type job struct {
	request *activation.Request
	kind    license.Kind
	facts   []byte // canonical
	digest  [32]byte
	answer  frontdoor.Answer
	ready   chan struct{}
}

// newJob does all that can be done outside the transaction.
func newJob(request *activation.Request, kind license.Kind) (*job, error) {
	facts, err := request.Facts.Canonical()
	if err != nil {
		return nil, err
	}
	return &job{request: request, kind: kind, facts: facts, digest: sha256.Sum256(facts), ready: make(chan struct{})}, nil
}

// Open starts the room's committer.
func Open(c Config) *Room {
	if c.MaxBatch == 0 {
		c.MaxBatch = 256
	}
	if c.Patience == 0 {
		c.Patience = time.Minute
	}
	r := &Room{Config: c, log: c.Log, queue: make(chan *job, 4*c.MaxBatch), stop: make(chan struct{}), done: make(chan struct{})}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	go r.commitAll()
	return r
}

// Close lets what is in the queue be answered, and ends. Requests that come
// later are refused.
func (r *Room) Close() {
	close(r.stop)
	<-r.done
}

// Activate answers requests that came on one road, in order. When it returns,
// every license among the answers is on the disk; a refusal changed nothing. An
// error is of the whole: nobody may be told anything.
func (r *Room) Activate(ctx context.Context, kind license.Kind, requests []string) ([]frontdoor.Answer, error) {
	answers := make([]frontdoor.Answer, len(requests))
	jobs := make([]*job, len(requests))
	for i, text := range requests {
		request, err := activation.ParseRequest(text, r.Authority)
		if err != nil {
			answers[i].Err = err
			continue
		}
		if jobs[i], err = newJob(request, kind); err != nil {
			return nil, err
		}
		select {
		case r.queue <- jobs[i]:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.stop:
			return nil, problem.New(problem.Unavailable, Closing)
		}
	}
	for i, j := range jobs {
		if j == nil {
			continue
		}
		select {
		case <-j.ready:
			answers[i] = j.answer
		case <-ctx.Done(): // it may have been counted; the device asks again for nothing
			return nil, ctx.Err()
		case <-r.done:
			select {
			case <-j.ready:
				answers[i] = j.answer
			default:
				return nil, problem.New(problem.Unavailable, Closing)
			}
		}
	}
	return answers, nil
}

// commitAll is the committer: it takes what is there, commits it, answers it.
func (r *Room) commitAll() {
	defer close(r.done)
	for {
		batch := r.take()
		if batch == nil {
			return
		}
		r.settle(batch)
		for _, j := range batch {
			close(j.ready)
		}
	}
}

// take waits for a request and takes with it all that wait already.
func (r *Room) take() []*job {
	var batch []*job
	select {
	case j := <-r.queue:
		batch = append(batch, j)
	case <-r.stop:
		select {
		case j := <-r.queue:
			batch = append(batch, j)
		default:
			return nil
		}
	}
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

// settle fills the answers of a batch. It heeds no caller's cancellation: those
// who share a commit share no context.
func (r *Room) settle(batch []*job) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Patience)
	defer cancel()
	err := r.commit(ctx, batch)
	if err == nil {
		return
	}
	r.log.Error("activation batch failed", "requests", len(batch), "err", err)
	if len(batch) == 1 {
		batch[0].answer = frontdoor.Answer{Err: err}
		return
	}
	for _, j := range batch {
		if err := r.commit(ctx, []*job{j}); err != nil {
			r.log.Error("activation failed", "program", j.request.Program, "err", err)
			j.answer = frontdoor.Answer{Err: err}
		}
	}
}

// commit runs one transaction for a batch, and answers when it is on the disk.
func (r *Room) commit(ctx context.Context, batch []*job) error {
	var b *ledger
	err := r.DB.Write(ctx, func(tx *db.Tx) error {
		var err error
		b, err = r.decide(tx, batch)
		return err
	})
	if errors.Is(err, db.ErrUnknownOutcome) {
		err = r.resolve(ctx, b, err)
	}
	if err != nil {
		return err
	}
	for i, j := range batch {
		j.answer = b.answers[i]
	}
	return nil
}

// resolve finds out whether a commit that nobody answered took place: its
// licenses are there, all of them, or none is. Taking a key's lock first waits
// for a transaction that may still be under way.
func (r *Room) resolve(ctx context.Context, b *ledger, unknown error) error {
	if len(b.granted) == 0 {
		return unknown // nothing was counted: ask again
	}
	first := b.granted[0]
	var there bool
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := r.DB.Write(ctx, func(tx *db.Tx) error {
			if _, err := keyring.Lock(tx, first.key.ID); err != nil {
				return err
			}
			var err error
			there, err = licenseExists(tx, first.claims.ID)
			return err
		})
		if err == nil {
			break
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.Join(unknown, err)
		}
	}
	if !there {
		return fmt.Errorf("the transaction did not commit: %w", unknown)
	}
	return nil
}
