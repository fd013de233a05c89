//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is a cluster under the eyes of a shell that waits for the end of its
// standard input. The other end of that pipe is only ours, so the shell stops the
// cluster and removes the folder whichever way this process ends, kill -9 too.
type server struct {
	dir   string
	watch *exec.Cmd
	stdin io.Closer
}

// watchScript runs in the cluster's folder. SIGQUIT is PostgreSQL's immediate
// shutdown. When the server goes by itself, the folder stays for crash.
const watchScript = `
trap '' INT TERM HUP
"$1" -D data -k "$PWD" -c listen_addresses= -c shared_buffers=16MB -c max_connections=100 -c deadlock_timeout=100ms -c fsync="$2" >>log 2>&1 </dev/null &
cat >/dev/null
kill -QUIT $! 2>/dev/null
wait
test -e keep || rm -rf "$PWD"
`

// findPostgres returns the folder of initdb and postgres, or "" and where it looked.
func findPostgres() (bin, where string) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "postgres")); err == nil {
				return filepath.Dir(path), ""
			}
		}
	}
	best := -1
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, dir := range found {
			version, _ := strconv.Atoi(strings.Trim(filepath.Base(filepath.Dir(dir)), "abcdefghijklmnopqrstuvwxyz-@"))
			if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil && version > best {
				bin, best = dir, version
			}
		}
	}
	return bin, "no initdb in PATH or /usr/lib/postgresql/*/bin; install the package postgresql"
}

// dropRoot returns the user that the cluster runs as, nil for this one: the server
// refuses to be root.
func dropRoot() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // documented
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("a user to run PostgreSQL as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (s *server) command(name string, args ...string) (*exec.Cmd, error) {
	as, err := dropRoot()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir, "PWD="+s.dir)
	// A group of its own: Ctrl-C at the terminal must not end the watch before us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	return cmd, nil
}

func startServer() (*server, error) {
	bin, _ := findPostgres()
	// Not below a test's own folder: the path of a socket is short.
	dir, err := os.MkdirTemp("", "esu-pg-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	as, err := dropRoot()
	if err == nil && as != nil {
		err = os.Chown(dir, int(as.Uid), int(as.Gid))
	}
	if err == nil {
		var initdb *exec.Cmd
		if initdb, err = s.command(filepath.Join(bin, "initdb"), "-D", "data", "-U", "esu", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"); err == nil {
			var out []byte
			if out, err = initdb.CombinedOutput(); err != nil {
				err = fmt.Errorf("initdb: %w\n%s", err, out)
			}
		}
	}
	if err == nil {
		err = s.run(bin)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// run starts the cluster under its watch and waits until it answers.
func (s *server) run(bin string) error {
	fsync := "on"
	if os.Getenv("ESU_TEST_FSYNC") == "off" {
		fsync = "off"
	}
	watch, err := s.command("/bin/sh", "-c", watchScript, "watch", filepath.Join(bin, "postgres"), fsync)
	if err != nil {
		return err
	}
	if s.stdin, err = watch.StdinPipe(); err != nil {
		return err
	}
	if err := watch.Start(); err != nil {
		return err
	}
	s.watch = watch
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.url("postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // what there is
			s.stop()
			return fmt.Errorf("start PostgreSQL: %w\n%s", err, log)
		}
	}
}

func (s *server) url(database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("esu"), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}}.Encode()}).String()
}

func (s *server) socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// stop ends the cluster and removes its folder.
func (s *server) stop() {
	_ = s.stdin.Close()
	_ = s.watch.Wait() // its status is that of rm
}

func (s *server) crash() error {
	keep := filepath.Join(s.dir, "keep")
	if err := os.WriteFile(keep, nil, 0o644); err != nil {
		return err
	}
	s.stop()
	if err := os.Remove(keep); err != nil {
		return err
	}
	bin, _ := findPostgres()
	return s.run(bin)
}
