// Package authority has the commands that make and run the vendor's server, and
// opens an authority in this process for the commands of the office.
package authority

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/authority"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/cli/office"
	"github.com/openesu/openesu/internal/term"
)

// Address is where an authority listens until told otherwise.
const Address = "127.0.0.1:8470"

// place is where an authority is, as flags say.
type place struct {
	env                     *cli.Env
	data, database, sealing string
}

func (p *place) flags(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&p.data, "data", p.env.Getenv("ESU_DATA"), "the authority's folder (ESU_DATA)")
	f.StringVar(&p.database, "database", p.env.Getenv("ESU_DATABASE"), "postgres://… instead of the folder's own database (ESU_DATABASE)")
	f.StringVar(&p.sealing, "sealing-key", p.env.Getenv("ESU_SEALING_KEY"), "the file of the sealing key (ESU_SEALING_KEY; default: secrets/sealing.key in the folder)")
	return c
}

func (p *place) config(c *cobra.Command) (authority.Config, error) {
	if p.data == "" {
		return authority.Config{}, cli.WrongUse(c, "Name the authority's folder: --data FOLDER.")
	}
	return authority.Config{Dir: p.data, Database: p.database, SealingKey: p.sealing, Now: p.env.Now}, nil
}

// Commands are init, serve and migrate, for the group 'authority'.
func Commands(env *cli.Env) []*cobra.Command {
	p := &place{env: env}
	return []*cobra.Command{p.flags(p.init()), p.flags(p.serve()), p.flags(p.migrate())}
}

// Open opens an authority in this process for the office's commands.
func Open(env *cli.Env) office.Opener {
	return func(ctx context.Context, at office.Place) (http.Handler, io.Closer, error) {
		a, err := authority.Open(ctx, authority.Config{
			Dir: at.Data, Database: at.Database, SealingKey: env.Getenv("ESU_SEALING_KEY"), Now: env.Now, Log: quiet(env),
		})
		if err != nil {
			return nil, nil, err
		}
		return a.Local(authority.Me()), a, nil
	}
}

// quiet logs what went wrong and nothing else.
func quiet(env *cli.Env) *slog.Logger {
	return slog.New(slog.NewTextHandler(env.Terminal.Err, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (p *place) init() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make an authority: its keys, its database, its first signed metadata",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := p.config(c)
			if err != nil {
				return err
			}
			made, err := authority.Init(c.Context(), config, name)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"AUTHORITY", "DEVICES TRUST", "FOLDER"}}
			rows.Add(made.Authority, made.Anchor, made.Dir)
			if err := p.env.Show(made, rows); err != nil {
				return err
			}
			p.env.Say("\nDevices are enrolled with: esu device enroll --server URL --trust %s", made.Anchor)
			p.env.Say("Move %s to a machine without network: whoever has these keys can say who signs.", made.Offline)
			p.env.Say("Next: esu program import FILE --data %s", made.Dir)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "the vendor's name")
	return c
}

func (p *place) serve() *cobra.Command {
	var listen, logs string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve devices and the office",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := p.config(c)
			if err != nil {
				return err
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(logs)); err != nil {
				return cli.WrongUse(c, "'%s' is no log level: debug, info, warn or error.", logs)
			}
			config.Log = slog.New(slog.NewTextHandler(p.env.Terminal.Err, &slog.HandlerOptions{Level: level}))
			a, err := authority.Open(c.Context(), config)
			if err != nil {
				return err
			}
			err = a.Serve(c.Context(), listen, func(address string) {
				p.env.Say("Serving on http://%s, and the office on %s in %s", address, authority.SocketName, p.data)
			})
			if closed := a.Close(); err == nil {
				err = closed
			}
			return err
		},
	}
	c.Flags().StringVar(&listen, "listen", Address, "the address on which devices and API clients are served")
	c.Flags().StringVar(&logs, "log-level", "info", "debug, info, warn or error")
	return c
}

func (p *place) migrate() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to this program's schema",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := p.config(c)
			if err != nil {
				return err
			}
			from, to, err := authority.Migrate(c.Context(), config)
			if err != nil {
				return err
			}
			if from == to {
				p.env.Say("The schema is version %d already.", to)
				return term.Exit(term.NothingToDo)
			}
			rows := term.Rows{Columns: []string{"FROM", "TO"}}
			rows.Add(from, to)
			return p.env.Show(map[string]int64{"from": from, "to": to}, rows)
		},
	}
}
