package activations

import (
	"context"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/license"
)

// Commit takes requests that are read and verified through one transaction, as
// the committer does: what the store alone comes to.
func Commit(ctx context.Context, r *Room, requests []*activation.Request) error {
	batch := make([]*job, len(requests))
	for i, request := range requests {
		var err error
		if batch[i], err = newJob(request, license.Online); err != nil {
			return err
		}
	}
	return r.commit(ctx, batch)
}
