package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/openesu/openesu/problem"
)

const (
	// commandPatience leaves a person time to find the security key and touch it.
	commandPatience = 2 * time.Minute
	// maxCommandOutput is far above the longest form of a signature.
	maxCommandOutput = 4 << 10
)

// commandSigner signs with a command that is started for each message.
type commandSigner struct {
	public   ed25519.PublicKey
	argv     []string
	patience time.Duration
}

func openCommand(spec, rest string) (Signer, error) {
	malformed := problem.New(problem.Invalid, SpecMalformed, "spec", spec)
	key, command, _ := strings.Cut(strings.TrimSpace(rest), " ")
	public, err := ParsePublic(key)
	if err != nil {
		return nil, malformed.Because(err)
	}
	argv := strings.Fields(command)
	if strings.HasPrefix(strings.TrimSpace(command), "[") {
		argv = nil
		if err := json.Unmarshal([]byte(command), &argv); err != nil {
			return nil, malformed.Because(err)
		}
	}
	if len(argv) == 0 || argv[0] == "" {
		return nil, malformed.Because(errors.New("no command"))
	}
	return commandSigner{public, argv, commandPatience}, nil
}

func (s commandSigner) Public() ed25519.PublicKey { return s.public }

func (s commandSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...) //nolint:gosec // the person who signs chose the command
	cmd.WaitDelay = time.Second                               // children that keep the pipes open do not hold us
	cmd.Stdin = bytes.NewReader(message)
	stdout, stderr := &head{}, &head{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		err = fmt.Errorf("%w: %s", errors.Join(ctx.Err(), err), bytes.TrimSpace(stderr.kept))
		return nil, problem.New(problem.Unavailable, CommandFailed, "command", s.argv[0]).Because(err)
	}
	return checked(s.public, message, readSignature(stdout.kept))
}

// readSignature understands raw bytes, hexadecimal and the four kinds of base64,
// the latter two with space around them. What it cannot read it returns as it is.
func readSignature(out []byte) []byte {
	if len(out) == ed25519.SignatureSize {
		return out
	}
	text := string(bytes.TrimSpace(out))
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == ed25519.SignatureSize {
		return raw
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	if raw, err := base64.RawStdEncoding.DecodeString(text); err == nil {
		return raw
	}
	return out
}

// head keeps the beginning of what is written to it and lets the rest go by.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), maxCommandOutput-len(h.kept))]...)
	return len(p), nil
}
