package signing

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/crypto/ssh"

	"github.com/openesu/openesu/problem"
)

const (
	pkcs8Block = "PRIVATE KEY"
	sshBlock   = "OPENSSH PRIVATE KEY"
	// maxKeyFile is far above what one key needs.
	maxKeyFile = 64 << 10
)

// Generate makes a key from 32 bytes of random, writes it to a new file that
// only its owner can read (mode 0600), and returns it opened. It never replaces
// a file. With a passphrase the file is sealed, in OpenSSH's format, which
// ssh-add reads too; without one it is PEM, PKCS #8. When Generate returns, the
// file's contents are on the disk.
func Generate(path string, random io.Reader, passphrase []byte) (Signer, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	block, err := encode(key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, problem.New(problem.Conflict, FileExists, "path", path)
	}
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("generate key: %w", errors.Join(err, os.Remove(path)))
	}
	return New(key), nil
}

func encode(key ed25519.PrivateKey, passphrase []byte) (*pem.Block, error) {
	if len(passphrase) > 0 {
		return ssh.MarshalPrivateKeyWithPassphrase(key, "", passphrase)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return &pem.Block{Type: pkcs8Block, Bytes: der}, err
}

func openFile(path string, ask Ask) (Signer, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.NotFound, FileMissing, "path", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	// Windows keeps no such mode bits; there the folder's rights protect the file.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, problem.New(problem.Refused, FileExposed, "path", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	raw, err := decode(text, nil)
	if _, sealed := errors.AsType[*ssh.PassphraseMissingError](err); sealed {
		if ask == nil {
			return nil, problem.New(problem.Refused, PassphraseNeeded, "path", path)
		}
		passphrase, asked := ask(path)
		if asked != nil {
			return nil, fmt.Errorf("passphrase of %s: %w", path, asked)
		}
		if len(passphrase) > 0 {
			raw, err = decode(text, passphrase)
		}
		if len(passphrase) == 0 || errors.Is(err, x509.IncorrectPasswordError) {
			return nil, problem.New(problem.Refused, PassphraseWrong, "path", path)
		}
	}
	if err != nil {
		return nil, problem.New(problem.Invalid, FileMalformed, "path", path).Because(err)
	}
	switch key := raw.(type) {
	case ed25519.PrivateKey: // as PKCS #8 gives it
		return New(key), nil
	case *ed25519.PrivateKey: // as OpenSSH gives it
		return New(*key), nil
	}
	return nil, problem.New(problem.Invalid, FileMalformed, "path", path).Because(fmt.Errorf("a %T", raw))
}

// decode reads the one key of a PEM file, of either kind.
func decode(text, passphrase []byte) (any, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("no PEM block")
	case block.Type == pkcs8Block:
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type != sshBlock:
		return nil, fmt.Errorf("a PEM block of type %q", block.Type)
	case passphrase == nil:
		return ssh.ParseRawPrivateKey(text)
	}
	return ssh.ParseRawPrivateKeyWithPassphrase(text, passphrase)
}
