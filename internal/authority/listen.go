package authority

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/api"
)

// SocketName is the socket in a data folder on which the office API answers
// while a server runs there.
const SocketName = "esu.sock"

func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// listenSocket makes the socket anew: the folder's owner is this process, so one
// that is there was left by a process that is gone.
func (a *Authority) listenSocket(ctx context.Context) (net.Listener, error) {
	path := filepath.Join(a.Dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on socket: %w", err), l.Close())
	}
	return l, nil
}

type peerKey struct{}

// withPeer notes who is at the other end of a socket: the actor of what comes
// over it.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	name, err := peer(c)
	if err != nil {
		name = Me() // who can open the socket is its owner
	}
	return context.WithValue(ctx, peerKey{}, name)
}

// office is the API as it answers on the socket.
func (a *Authority) office() http.Handler {
	office := a.Office()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _ := r.Context().Value(peerKey{}).(string)
		office.ServeHTTP(w, r.WithContext(api.WithActor(r.Context(), access.LocalUser(name))))
	})
}
