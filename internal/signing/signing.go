// Package signing is the custody of Ed25519 keys: it opens a key where it lives
// and signs with it, and the key itself never leaves that place.
//
// A key is named by a text, its spec:
//
//	PATH, file:PATH       a key file: PEM, PKCS #8 or OpenSSH, the latter also
//	                      with a passphrase
//	ssh-agent:WHICH       a key that an ssh-agent holds, by its SHA256
//	                      fingerprint or its comment
//	command:PUBLIC ARGV   a command that reads the message on its standard input
//	                      and writes the signature, for HSMs and security keys;
//	                      PUBLIC is the key's public text, ARGV words or a JSON
//	                      array of strings
//
// Three invariants hold for each of them: the public key is known before
// anything is signed, every signature is verified under it before it is
// returned, and no call outlasts its context.
//
// The package does not say what is worth signing; trust and the offices do.
package signing

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/openesu/openesu/problem"
)

const (
	// KeyMalformed: a text is no public key.
	KeyMalformed problem.Code = "signing.key-malformed"
	// SpecMalformed: a text names no key in any of the known ways.
	SpecMalformed problem.Code = "signing.spec-malformed"
	// FileMissing: there is no key file at the path.
	FileMissing problem.Code = "signing.file-missing"
	// FileExists: a key file would be overwritten.
	FileExists problem.Code = "signing.file-exists"
	// FileExposed: others than its owner may read a key file.
	FileExposed problem.Code = "signing.file-exposed"
	// FileMalformed: a file holds no Ed25519 private key.
	FileMalformed problem.Code = "signing.file-malformed"
	// PassphraseNeeded: a key file is sealed and nobody can be asked.
	PassphraseNeeded problem.Code = "signing.passphrase-needed"
	// PassphraseWrong: the passphrase does not open the key file.
	PassphraseWrong problem.Code = "signing.passphrase-wrong"
	// AgentUnreachable: no ssh-agent answers.
	AgentUnreachable problem.Code = "signing.agent-unreachable"
	// AgentKeyMissing: the agent holds no such Ed25519 key.
	AgentKeyMissing problem.Code = "signing.agent-key-missing"
	// AgentRefused: the agent has the key and does not sign.
	AgentRefused problem.Code = "signing.agent-refused"
	// CommandFailed: the external command did not run, failed or took too long.
	CommandFailed problem.Code = "signing.command-failed"
	// SignatureBad: what came back is no signature by the named key.
	SignatureBad problem.Code = "signing.signature-bad"
)

// Signer signs with one key.
type Signer interface {
	// Public is the public half; it never changes.
	Public() ed25519.PublicKey
	// Sign returns the 64-byte Ed25519 signature over message (no prehash). When
	// err is nil, the signature verifies under Public.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Ask returns the passphrase of the key file at path, from a person.
type Ask func(path string) ([]byte, error)

// Open finds the key that spec names. A sealed key file asks for its passphrase
// once, here; with a nil ask it is signing.passphrase-needed.
func Open(ctx context.Context, spec string, ask Ask) (Signer, error) {
	kind, rest, found := strings.Cut(spec, ":")
	switch {
	case spec == "":
		return nil, problem.New(problem.Invalid, SpecMalformed, "spec", spec)
	case found && kind == "file":
		return openFile(rest, ask)
	case found && kind == "ssh-agent":
		return openAgent(ctx, rest)
	case found && kind == "command":
		return openCommand(spec, rest)
	}
	return openFile(spec, ask)
}

// New is a signer for a key in memory.
func New(key ed25519.PrivateKey) Signer { return memory{key} }

type memory struct{ key ed25519.PrivateKey }

func (m memory) Public() ed25519.PublicKey { return m.key.Public().(ed25519.PublicKey) }

func (m memory) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return checked(m.Public(), message, ed25519.Sign(m.key, message))
}

// checked lets only a signature out that verifies: a broken device, a swapped
// key or a fault in memory shows here and not at the customers.
func checked(public ed25519.PublicKey, message, signature []byte) ([]byte, error) {
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(public, message, signature) {
		return nil, problem.New(problem.Refused, SignatureBad, "key", PublicText(public))
	}
	return signature, nil
}

const publicPrefix = "ed25519:"

// PublicText is the text form of a public key: "ed25519:" and its 32 bytes in
// base64url without padding.
func PublicText(public ed25519.PublicKey) string {
	return publicPrefix + base64.RawURLEncoding.EncodeToString(public)
}

// ParsePublic reads the text form of a public key; one key has one text.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	encoded, found := strings.CutPrefix(text, publicPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	switch {
	case err != nil:
	case !found || len(raw) != ed25519.PublicKeySize:
		err = fmt.Errorf("%d bytes with prefix %t", len(raw), found)
	case PublicText(raw) != text: // base64 skips line breaks
		err = fmt.Errorf("not in its one form")
	}
	if err != nil {
		return nil, problem.New(problem.Invalid, KeyMalformed, "text", text).Because(err)
	}
	return raw, nil
}
