package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/openesu/openesu/problem"
)

// The test binary is the external command as well: TestMain plays the HSM when
// the variable says how.
const playVariable = "SIGNING_TEST_PLAY"

func TestMain(m *testing.M) {
	if how := os.Getenv(playVariable); how != "" {
		play(how)
		return
	}
	os.Exit(m.Run())
}

func play(how string) {
	message, err := io.ReadAll(os.Stdin)
	if err != nil {
		os.Exit(1)
	}
	signature := ed25519.Sign(seeded(1), message)
	switch how {
	case "raw":
		os.Stdout.Write(signature)
	case "hex":
		fmt.Println(strings.ToUpper(hex.EncodeToString(signature)))
	case "base64":
		fmt.Println(base64.StdEncoding.EncodeToString(signature))
	case "base64url":
		fmt.Print(base64.RawURLEncoding.EncodeToString(signature))
	case "args":
		if strings.Join(os.Args[1:], "|") != "with a space|--slot|9c" {
			os.Exit(3)
		}
		os.Stdout.Write(signature)
	case "other key":
		os.Stdout.Write(ed25519.Sign(seeded(2), message))
	case "other message":
		os.Stdout.Write(ed25519.Sign(seeded(1), append(message, '\n')))
	case "fail":
		os.Stdout.Write(signature)
		fmt.Fprintln(os.Stderr, "the slot is locked")
		os.Exit(1)
	case "endless":
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				os.Exit(0)
			}
		}
	case "sleep":
		time.Sleep(time.Minute)
	}
}

func seeded(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(n byte) ed25519.PublicKey { return seeded(n).Public().(ed25519.PublicKey) }

// signs fails the test unless s signs as key n.
func signs(t *testing.T, s Signer, n byte) {
	t.Helper()
	if !s.Public().Equal(public(n)) {
		t.Errorf("public key is %s, want key %d", PublicText(s.Public()), n)
	}
	message := []byte("a message\x00\xff")
	signature, err := s.Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public(n), message, signature) {
		t.Errorf("the signature does not verify under key %d", n)
	}
}

func wantCode(t *testing.T, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Errorf("got error %v, want %s", err, code)
	}
}

func TestPublicText(t *testing.T) {
	text := PublicText(public(1))
	if want := "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"; text != want {
		t.Errorf("PublicText = %s, want %s", text, want)
	}
	if got, err := ParsePublic(text); err != nil || !got.Equal(public(1)) {
		t.Errorf("ParsePublic(%s) = %x, %v", text, got, err)
	}
	for _, bad := range []string{
		"", "ed25519:", strings.TrimPrefix(text, publicPrefix), text + "=", text + "A", text[:len(text)-1], text + "\n",
		text[:20] + "\n" + text[20:], strings.ToUpper(text), "ed25519:" + strings.Repeat("!", 43),
		text[:len(text)-1] + "x", // unused low bits set
	} {
		_, err := ParsePublic(bad)
		wantCode(t, err, KeyMalformed)
	}
}

func FuzzParsePublic(f *testing.F) {
	f.Add(PublicText(public(1)))
	f.Add("ed25519:")
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := ParsePublic(text); err == nil && PublicText(key) != text {
			t.Errorf("%q has a second form %q", text, PublicText(key))
		}
	})
}

func TestKeyFile(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		path := filepath.Join(t.TempDir(), "publisher.pem")
		made, err := Generate(path, bytes.NewReader(bytes.Repeat([]byte{1}, 32)), []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		signs(t, made, 1)
		if info, err := os.Stat(path); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
			t.Errorf("the file is %v, %v; want mode 0600", info.Mode(), err)
		}
		asked := 0
		ask := func(string) ([]byte, error) { asked++; return []byte(passphrase), nil }
		for _, spec := range []string{path, "file:" + path} {
			opened, err := Open(t.Context(), spec, ask)
			if err != nil {
				t.Fatal(err)
			}
			signs(t, opened, 1)
		}
		if want := 2 * min(1, len(passphrase)); asked != want {
			t.Errorf("asked %d times, want %d", asked, want)
		}
		before, _ := os.ReadFile(path)
		_, err = Generate(path, bytes.NewReader(bytes.Repeat([]byte{2}, 32)), nil)
		wantCode(t, err, FileExists)
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Error("a refused Generate changed the file")
		}
	}
}

func TestSealedKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealed")
	if _, err := Generate(path, rand.Reader, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, nil)
	wantCode(t, err, PassphraseNeeded)
	for _, wrong := range [][]byte{nil, {}, []byte("Secret")} {
		_, err = Open(t.Context(), path, func(string) ([]byte, error) { return wrong, nil })
		wantCode(t, err, PassphraseWrong)
	}
	gone := errors.New("terminal gone")
	if _, err = Open(t.Context(), path, func(string) ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("got %v, want what ask said", err)
	}
}

func TestKeyFileRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	block, err := encode(seeded(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	good := pem.EncodeToMemory(block)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), filepath.Join(dir, "none"), nil)
	wantCode(t, err, FileMissing)
	if runtime.GOOS != "windows" {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o644} {
			_, err = Open(t.Context(), file("exposed", good, mode), nil)
			wantCode(t, err, FileExposed)
		}
	}
	for name, text := range map[string][]byte{
		"empty":  nil,
		"text":   []byte("hello"),
		"rsa":    pem.EncodeToMemory(&pem.Block{Type: pkcs8Block, Bytes: der}),
		"public": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes}),
		"cut":    pem.EncodeToMemory(&pem.Block{Type: pkcs8Block, Bytes: block.Bytes[:20]}),
		"ssh":    pem.EncodeToMemory(&pem.Block{Type: sshBlock, Bytes: block.Bytes}),
	} {
		_, err = Open(t.Context(), file(name, text, 0o600), nil)
		wantCode(t, err, FileMalformed)
	}
	if _, err = Generate(filepath.Join(dir, "short"), bytes.NewReader(make([]byte, 31)), nil); err == nil {
		t.Error("31 bytes of randomness made a key")
	}
}

// serveAgent runs an agent on a socket of its own for this test.
func serveAgent(t *testing.T, keys ...agent.AddedKey) {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	listen(t, func(conn net.Conn) { _ = agent.ServeAgent(ring, conn) })
}

func listen(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); serve(conn) }()
		}
	}()
}

func TestAgent(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	one, two := seeded(1), seeded(2)
	serveAgent(t,
		agent.AddedKey{PrivateKey: &one, Comment: "publisher"},
		agent.AddedKey{PrivateKey: &two, Comment: "twin"},
		agent.AddedKey{PrivateKey: ptr(seeded(3)), Comment: "twin"},
		agent.AddedKey{PrivateKey: other, Comment: "rsa"})
	key, err := ssh.NewPublicKey(public(2))
	if err != nil {
		t.Fatal(err)
	}
	for which, n := range map[string]byte{"publisher": 1, ssh.FingerprintSHA256(key): 2} {
		s, err := Open(t.Context(), "ssh-agent:"+which, nil)
		if err != nil {
			t.Fatal(err)
		}
		signs(t, s, n)
	}
	for _, which := range []string{"nobody", "twin", "rsa"} {
		_, err := Open(t.Context(), "ssh-agent:"+which, nil)
		wantCode(t, err, AgentKeyMissing)
	}
	_, err = Open(t.Context(), "ssh-agent:", nil)
	wantCode(t, err, SpecMalformed)
}

func ptr[T any](v T) *T { return &v }

func TestAgentTroubles(t *testing.T) {
	one := seeded(1)
	serveAgent(t, agent.AddedKey{PrivateKey: &one, Comment: "publisher"})
	s, err := Open(t.Context(), "ssh-agent:publisher", nil)
	if err != nil {
		t.Fatal(err)
	}
	serveAgent(t) // the key was taken out meanwhile
	_, err = s.Sign(t.Context(), []byte("m"))
	wantCode(t, err, AgentRefused)

	listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }) // takes and never answers
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Sign(ctx, []byte("m"))
	wantCode(t, err, AgentRefused)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline in it", err)
	}

	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "none"))
	_, err = Open(t.Context(), "ssh-agent:publisher", nil)
	wantCode(t, err, AgentUnreachable)
	if runtime.GOOS != "windows" {
		t.Setenv("SSH_AUTH_SOCK", "")
		_, err = Open(t.Context(), "ssh-agent:publisher", nil)
		wantCode(t, err, AgentUnreachable)
	}
}

// commandSpec names this test binary as the command, playing how.
func commandSpec(t *testing.T, how string, args ...string) string {
	t.Helper()
	t.Setenv(playVariable, how)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv, err := json.Marshal(append([]string{self}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return "command:" + PublicText(public(1)) + " " + string(argv)
}

func TestCommand(t *testing.T) {
	for _, how := range []string{"raw", "hex", "base64", "base64url"} {
		s, err := Open(t.Context(), commandSpec(t, how), nil)
		if err != nil {
			t.Fatal(err)
		}
		signs(t, s, 1)
	}
	s, err := Open(t.Context(), commandSpec(t, "args", "with a space", "--slot", "9c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	signs(t, s, 1)
	for how, code := range map[string]problem.Code{
		"other key": SignatureBad, "other message": SignatureBad, "nothing": SignatureBad, "fail": CommandFailed,
	} {
		s, err := Open(t.Context(), commandSpec(t, how), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Sign(t.Context(), []byte("m"))
		wantCode(t, err, code)
		if how == "fail" && !strings.Contains(err.Error(), "the slot is locked") {
			t.Errorf("%v does not carry what the command said", err)
		}
	}
}

// A command that never ends, or never stops writing, is ended by its time.
func TestCommandIsBounded(t *testing.T) {
	for _, how := range []string{"sleep", "endless"} {
		s, err := Open(t.Context(), commandSpec(t, how), nil)
		if err != nil {
			t.Fatal(err)
		}
		impatient := s.(commandSigner)
		impatient.patience = 100 * time.Millisecond
		start := time.Now()
		_, err = impatient.Sign(t.Context(), []byte("m"))
		wantCode(t, err, CommandFailed)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %s", how, took)
		}
	}
}

func TestSpecMalformed(t *testing.T) {
	key := PublicText(public(1))
	for _, spec := range []string{"", "command:", "command:true", "command:" + key, "command:" + key + " ", "command:" + key + " [", "command:" + key + ` [""]`, "command:" + key + " []"} {
		_, err := Open(t.Context(), spec, nil)
		wantCode(t, err, SpecMalformed)
	}
}

func TestMemoryRespectsContext(t *testing.T) {
	signs(t, New(seeded(1)), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(seeded(1)).Sign(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
