package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
)

// A write that carries an Idempotency-Key takes place once for its principal,
// route and key. The key is taken before the act and its answer is kept after it:
//
//   - the same request again is given the kept answer, with Idempotency-Replayed;
//   - another body under the key is a conflict;
//   - a refusal frees the key, for it changed nothing;
//   - a key whose answer never came, because the process or the database stopped
//     in between, says so: somebody has to look whether the act took place.
//
// Answers that hold a secret are not kept, only that there was one.
const (
	// KeyReused: the Idempotency-Key came with another request before.
	KeyReused problem.Code = "api.key-reused"
	// KeyBusy: the request with this Idempotency-Key is still at work.
	KeyBusy problem.Code = "api.key-busy"
	// OutcomeUnknown: nobody knows how the request with this key ended.
	OutcomeUnknown problem.Code = "api.outcome-unknown"
	// AnswerNotKept: the request was fulfilled; its answer held a secret.
	AnswerNotKept problem.Code = "api.answer-not-kept"
	// KeyTooLong: an Idempotency-Key is too long.
	KeyTooLong problem.Code = "api.key-too-long"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxKey            = 200 // characters
	// keepAnswers is how long a repeat is recognized.
	keepAnswers = 7 * 24 * time.Hour
	// longestAct is after how long a key without an answer is given up.
	longestAct = 5 * time.Minute
)

// kept is an answer that is held back until it is on the disk.
type kept struct {
	status int
	body   bytes.Buffer
}

// claim is one use of a key.
type claim struct {
	principal, route, key string
	digest                []byte // of the body
}

func (s *server) once(x *exchange, op *operation, actor access.Actor, key string, next func(huma.Context)) {
	if len(key) > maxKey {
		s.answer(x, problem.New(problem.Invalid, KeyTooLong, "limit", maxKey))
		return
	}
	limit := x.Operation().MaxBodyBytes
	body, err := io.ReadAll(io.LimitReader(x.inner.BodyReader(), limit+1))
	if err != nil {
		s.answer(x, problem.New(problem.Invalid, Invalid, "what", err.Error()).Because(err))
		return
	}
	if int64(len(body)) > limit {
		s.answer(x, problem.New(problem.TooLarge, wire.BodyTooLarge, "limit", limit))
		return
	}
	url := x.URL()
	sum := sha256.Sum256(body)
	c := claim{principal: string(actor.Kind) + "/" + actor.ID, route: op.method + " " + url.RequestURI(), key: key, digest: sum[:]}
	before, err := s.take(x.ctx, c)
	switch {
	case err != nil:
		s.answer(x, err)
		return
	case before != nil:
		x.SetHeader("Idempotency-Replayed", "true")
		x.SetHeader("Content-Type", "application/json")
		x.inner.SetStatus(before.status)
		_, _ = x.inner.BodyWriter().Write(before.body.Bytes()) // whoever asked is gone if this fails
		return
	}
	x.body, x.keep = bytes.NewReader(body), &kept{status: http.StatusOK}
	next(x)
	// The act is over, whether or not anybody waits for its answer still.
	if err := s.settle(context.WithoutCancel(x.ctx), c, x.keep, op.secret); err != nil {
		s.Log.ErrorContext(x.ctx, "keep an answer", "operation", op.id, "error", err)
	}
	_, w := humago.Unwrap(x.inner)
	w.WriteHeader(x.keep.status)
	_, _ = w.Write(x.keep.body.Bytes()) // whoever asked is gone if this fails
}

// take takes a key, or returns the answer that was kept under it.
func (s *server) take(ctx context.Context, c claim) (*kept, error) {
	var before *kept
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		before = nil
		if err := forget(tx, tx.Now.Add(-keepAnswers)); err != nil {
			return err
		}
		mine, err := insertClaim(tx, c)
		if err != nil || mine {
			return err
		}
		was, at, answer, err := findClaim(tx, c)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(was, c.digest):
			return problem.New(problem.Conflict, KeyReused, "key", c.key)
		case answer.status == 0 && tx.Now.Sub(at) < longestAct:
			return problem.New(problem.Conflict, KeyBusy, "key", c.key)
		case answer.status == 0:
			return problem.New(problem.Conflict, OutcomeUnknown, "key", c.key, "at", at)
		case answer.body.Len() == 0:
			return problem.New(problem.Conflict, AnswerNotKept, "key", c.key, "at", at)
		}
		before = answer
		return nil
	})
	return before, err
}

// settle keeps the answer, or frees the key of a refused request. After an
// internal error the key stays taken: nobody knows what took place.
func (s *server) settle(ctx context.Context, c claim, answer *kept, secret bool) error {
	return s.DB.Write(ctx, func(tx *db.Tx) error {
		switch {
		case answer.status >= http.StatusInternalServerError:
			return nil
		case answer.status >= http.StatusBadRequest:
			return freeClaim(tx, c)
		case secret:
			return keepAnswer(tx, c, answer.status, []byte{})
		}
		return keepAnswer(tx, c, answer.status, answer.body.Bytes())
	})
}
