package office

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	xterm "golang.org/x/term"

	"github.com/openesu/openesu/internal/signing"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/problem"
)

// PublisherMalformed: a text or file names no publisher's public key.
const PublisherMalformed problem.Code = "office.publisher-malformed"

// publicKey reads a public key as people have it: its own text, a line of
// OpenSSH, or a file with either.
func publicKey(text string) (string, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "ed25519:") {
		return text, nil // the authority checks it
	}
	if !strings.HasPrefix(text, ssh.KeyAlgoED25519+" ") {
		file, err := readFile(text, 64<<10)
		if err != nil {
			return "", err
		}
		line := strings.TrimSpace(string(file))
		if strings.HasPrefix(line, "ed25519:") {
			return line, nil
		}
		if !strings.HasPrefix(line, ssh.KeyAlgoED25519+" ") {
			return "", problem.New(problem.Invalid, PublisherMalformed, "key", text)
		}
		text = line
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text)) //nolint:dogsled // comment, options and rest say nothing here
	if err != nil {
		return "", problem.New(problem.Invalid, PublisherMalformed, "key", text).Because(err)
	}
	crypto, ok := parsed.(ssh.CryptoPublicKey)
	if !ok {
		return "", problem.New(problem.Invalid, PublisherMalformed, "key", text)
	}
	key, ok := crypto.CryptoPublicKey().(ed25519.PublicKey)
	if !ok {
		return "", problem.New(problem.Invalid, PublisherMalformed, "key", text)
	}
	return signing.PublicText(key), nil
}

// updateMakeKey makes a publisher's key on the publisher's own machine; it asks
// no authority.
func (o *office) updateMakeKey() *cobra.Command {
	plain := false
	c := &cobra.Command{
		Use: "make-key FILE", Short: "Make a publisher's key, and its public half in FILE.pub", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var passphrase []byte
			if in, ok := o.env.Terminal.In.(*os.File); ok && !plain && xterm.IsTerminal(int(in.Fd())) {
				fmt.Fprint(o.env.Terminal.Err, "Passphrase (empty for none): ")
				text, err := xterm.ReadPassword(int(in.Fd()))
				fmt.Fprintln(o.env.Terminal.Err)
				if err != nil {
					return fmt.Errorf("read passphrase: %w", err)
				}
				passphrase = text
			}
			key, err := signing.Generate(args[0], rand.Reader, passphrase)
			if err != nil {
				return err
			}
			public := signing.PublicText(key.Public())
			if err := os.WriteFile(args[0]+".pub", []byte(public+"\n"), 0o644); err != nil { // it is public
				return fmt.Errorf("write public key: %w", err)
			}
			rows := term.Rows{Columns: []string{"FILE", "PUBLIC KEY"}}
			rows.Add(args[0], public)
			return o.env.Show(map[string]string{"file": args[0], "public": public}, rows)
		},
	}
	c.Flags().BoolVar(&plain, "no-passphrase", false, "do not ask for a passphrase")
	return c
}
