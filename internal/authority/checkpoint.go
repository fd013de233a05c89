package authority

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/license/jws"
)

// CheckpointPath is where the newest checkpoint of the audit chains is given
// away, so that others keep witnesses of what the chains were.
const CheckpointPath = "/.well-known/esu-checkpoint"

const auditKeyPrefix = "audit-"

func auditKeyName(epoch int) string { return "audit/" + strconv.Itoa(epoch) }

// witness signs a checkpoint over all chains as they stand.
func (a *Authority) witness(ctx context.Context) error {
	var text string
	err := a.DB.Read(ctx, func(tx *db.Tx) error {
		key, err := a.online.key(tx, auditKeyName(a.identity.Epoch))
		if err != nil || key == nil {
			return errors.Join(err, errors.New("no audit key"))
		}
		c, err := audit.TakeCheckpoint(tx, string(a.identity.ID))
		if err != nil {
			return err
		}
		text, err = audit.SignCheckpoint(c, auditKeyPrefix+strconv.Itoa(a.identity.Epoch), jws.InMemory(key))
		return err
	})
	if err != nil {
		return fmt.Errorf("sign checkpoint: %w", err)
	}
	a.checkpoint.Store(&text)
	return nil
}

func (a *Authority) serveCheckpoint(w http.ResponseWriter, _ *http.Request) {
	text := a.checkpoint.Load()
	if text == nil {
		http.Error(w, "no checkpoint yet", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte(*text)) // whoever asked is gone if this fails
}

// Checkpoint opens a signed checkpoint of this authority that somebody kept.
func (a *Authority) Checkpoint(ctx context.Context, text string) (audit.Checkpoint, error) {
	keys := map[string]ed25519.PublicKey{}
	err := a.DB.Read(ctx, func(tx *db.Tx) error {
		for epoch := 1; epoch <= a.identity.Epoch; epoch++ {
			key, err := a.online.key(tx, auditKeyName(epoch))
			if err != nil {
				return err
			}
			if key == nil {
				continue
			}
			keys[auditKeyPrefix+strconv.Itoa(epoch)] = key.Public().(ed25519.PublicKey)
		}
		return nil
	})
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return audit.OpenCheckpoint(strings.TrimSpace(text), func(kid string) ed25519.PublicKey { return keys[kid] })
}
