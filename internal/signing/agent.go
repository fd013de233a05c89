package signing

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/openesu/openesu/problem"
)

// windowsAgent is where the agent listens that comes with Windows.
const windowsAgent = `\\.\pipe\openssh-ssh-agent`

// agentSigner signs with a key inside an ssh-agent. An agent signs the bytes as
// they are with an Ed25519 key, which is just what is needed here; a connection
// lives for one call, since the agent may wait for a person's touch.
type agentSigner struct {
	public ed25519.PublicKey
	key    ssh.PublicKey
}

// openAgent looks for the one Ed25519 key whose fingerprint or comment is which.
func openAgent(ctx context.Context, which string) (Signer, error) {
	if which == "" {
		return nil, problem.New(problem.Invalid, SpecMalformed, "spec", "ssh-agent:")
	}
	var found []agentSigner
	err := withAgent(ctx, func(a agent.Agent) error {
		keys, err := a.List()
		for _, k := range keys {
			parsed, err := ssh.ParsePublicKey(k.Blob)
			if err != nil || parsed.Type() != ssh.KeyAlgoED25519 || (ssh.FingerprintSHA256(parsed) != which && k.Comment != which) {
				continue
			}
			public := parsed.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
			found = append(found, agentSigner{public: public, key: parsed})
		}
		return err
	})
	if err != nil {
		return nil, problem.New(problem.Unavailable, AgentUnreachable).Because(err)
	}
	// Two keys with one comment: guessing between keys is no way to sign.
	if len(found) != 1 {
		return nil, problem.New(problem.NotFound, AgentKeyMissing, "which", which, "count", len(found))
	}
	return found[0], nil
}

func (s agentSigner) Public() ed25519.PublicKey { return s.public }

func (s agentSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	var signature *ssh.Signature
	err := withAgent(ctx, func(a agent.Agent) (err error) {
		signature, err = a.Sign(s.key, message)
		return err
	})
	if err != nil {
		return nil, problem.New(problem.Refused, AgentRefused, "key", PublicText(s.public)).Because(err)
	}
	return checked(s.public, message, signature.Blob)
}

// withAgent calls the agent over a connection of its own, which ends with ctx.
func withAgent(ctx context.Context, call func(agent.Agent) error) error {
	conn, err := dialAgent(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// A pipe knows no deadlines, so closing is what ends a call that waits.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := call(agent.NewClient(conn)); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return nil
}

func dialAgent(ctx context.Context) (io.ReadWriteCloser, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	switch {
	case socket != "":
		dialer := net.Dialer{Timeout: 10 * time.Second}
		return dialer.DialContext(ctx, "unix", socket)
	case runtime.GOOS == "windows":
		return os.OpenFile(windowsAgent, os.O_RDWR, 0)
	}
	return nil, errors.New("SSH_AUTH_SOCK is not set")
}
