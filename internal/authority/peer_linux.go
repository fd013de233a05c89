package authority

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// peer is the user at the other end of a socket, as the kernel says.
func peer(c net.Conn) (string, error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return "", errors.New("not a Unix socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return "", fmt.Errorf("peer of socket: %w", err)
	}
	var credentials *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return "", fmt.Errorf("peer of socket: %w", err)
	}
	if failed != nil {
		return "", fmt.Errorf("peer of socket: %w", failed)
	}
	uid := strconv.FormatUint(uint64(credentials.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username, nil
	}
	return "uid " + uid, nil
}
