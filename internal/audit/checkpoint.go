package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
)

const (
	// CheckpointMalformed: a text is no checkpoint.
	CheckpointMalformed problem.Code = "audit.checkpoint-malformed"
	// CheckpointSignature: a checkpoint was not signed by a key that is known here.
	CheckpointSignature problem.Code = "audit.checkpoint-signature"
)

const (
	// CheckpointType is the typ of a signed checkpoint.
	CheckpointType = "esu-checkpoint+jwt"

	maxCheckpoint = 1 << 20 // bytes
)

// Head is where a chain ends.
type Head struct {
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   Hash   `json:"hash"`
}

// Checkpoint is where all chains end, for others to keep.
type Checkpoint struct {
	Authority string `json:"iss"`
	At        int64  `json:"iat"` // unix seconds
	Heads     []Head `json:"heads"`
}

// Time is when the checkpoint was taken.
func (c Checkpoint) Time() time.Time { return time.Unix(c.At, 0).UTC() }

// TakeCheckpoint reads all heads.
func TakeCheckpoint(tx *db.Tx, authority string) (Checkpoint, error) {
	all, err := heads(tx)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("take checkpoint: %w", err)
	}
	// Not in the database's order, which may be that of a language.
	slices.SortFunc(all, func(a, b Head) int { return strings.Compare(a.Writer, b.Writer) })
	return Checkpoint{Authority: authority, At: tx.Now.Unix(), Heads: append([]Head{}, all...)}, nil
}

// SignCheckpoint makes the document that is given away.
func SignCheckpoint(c Checkpoint, kid string, key jws.Signer) (string, error) {
	return jws.Sign(CheckpointType, kid, c, key)
}

// OpenCheckpoint reads a signed checkpoint. The function finds a public key by its
// id, or returns nil. Every error is a *problem.Problem.
func OpenCheckpoint(text string, key func(kid string) ed25519.PublicKey) (Checkpoint, error) {
	token, err := jws.Open(text, CheckpointType, maxCheckpoint)
	if err != nil {
		return Checkpoint{}, problem.New(problem.Invalid, CheckpointMalformed).Because(err)
	}
	payload, ok := token.Verified(key(token.KeyID))
	if !ok {
		return Checkpoint{}, problem.New(problem.Refused, CheckpointSignature, "key", token.KeyID)
	}
	c, err := readCheckpoint(payload)
	if err != nil {
		return Checkpoint{}, problem.New(problem.Invalid, CheckpointMalformed).Because(err)
	}
	return c, nil
}

func readCheckpoint(payload []byte) (Checkpoint, error) {
	var c Checkpoint
	if err := jws.Decode(payload, &c); err != nil {
		return Checkpoint{}, err
	}
	if c.Authority == "" || c.At <= 0 || c.Heads == nil {
		return Checkpoint{}, errors.New("no authority, time or heads")
	}
	for i, h := range c.Heads {
		if !writerID.MatchString(h.Writer) || h.Seq < 0 || i > 0 && c.Heads[i-1].Writer >= h.Writer {
			return Checkpoint{}, fmt.Errorf("head %d is none, or out of order", i+1)
		}
	}
	return c, nil
}
