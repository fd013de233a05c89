package office

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/keyring"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/problem"
)

// LastFiveMany: several keys end in the same five characters.
const LastFiveMany problem.Code = "office.last-five-many"

func (o *office) keys() *cobra.Command {
	return group("key", "Product keys and their activation limits",
		o.keyList(), o.keyShow(), o.keyBlock(), o.keyUnblock(), o.keyCorrect(),
		group("limit", "Activation limits, and who asks for other ones", o.limitRaise(), o.limitAsk(), o.limitList(), o.limitDecide("grant"), o.limitDecide("refuse")))
}

func keyRows(all ...api.Key) term.Rows {
	rows := term.Rows{Columns: []string{"KEY", "CUSTOMER", "TRACK", "YEAR", "NAME", "ENDS IN", "LIMIT", "USED", "REMAINING", "BLOCKED"}}
	for _, k := range all {
		rows.Add(k.ID, k.Customer, k.Track, k.Year, k.Portal, k.LastFive, k.Limit, k.Used, k.Remaining, k.Blocked)
	}
	return rows
}

func (o *office) keyList() *cobra.Command {
	var customer, id, track, lastFive string
	c := &cobra.Command{
		Use: "list", Short: "Keys with limit, used and remaining activations", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			all := api.Keys{Keys: []api.Key{}}
			for after := ""; ; {
				page, err := get[api.Keys](ctx, s, "/keys", query("limit", pageSize, "after", after,
					"customer", customer, "program", id, "track", track, "lastFive", lastFive))
				if err != nil {
					return err
				}
				all.Keys = append(all.Keys, page.Keys...)
				if len(page.Keys) < 1000 {
					return o.env.Show(all, keyRows(all.Keys...))
				}
				after = string(page.Keys[len(page.Keys)-1].ID)
			}
		}),
	}
	f := c.Flags()
	f.StringVar(&customer, "customer", "", "only this customer's")
	f.StringVar(&id, "program", "", "only this program's")
	f.StringVar(&track, "track", "", "only this track's")
	f.StringVar(&lastFive, "ends-in", "", "only those with these last five characters")
	return c
}

var fiveSymbols = regexp.MustCompile(`^[BCDFGHJKMPQRTVWXY2346789]{5}$`)

// keyID finds the key that a person names by id or by its last five characters.
func (s *session) keyID(ctx context.Context, named string) (string, error) {
	if !fiveSymbols.MatchString(named) {
		return named, nil
	}
	found, err := get[api.Keys](ctx, s, "/keys", query("lastFive", named))
	switch {
	case err != nil:
		return "", err
	case len(found.Keys) == 0:
		return "", problem.New(problem.NotFound, keyring.KeyUnknown, "key", named)
	case len(found.Keys) > 1:
		return "", problem.New(problem.Conflict, LastFiveMany, "key", named, "count", len(found.Keys))
	}
	return string(found.Keys[0].ID), nil
}

// oneKey is what acts on one key share: how it is named, asked for and shown.
func (o *office) oneKey(method, format string, document func() any) func(*cobra.Command, []string) error {
	return o.act(func(ctx context.Context, s *session, args []string) error {
		id, err := s.keyID(ctx, args[0])
		if err != nil {
			return err
		}
		var body any
		if document != nil {
			body = document()
		}
		k, err := send[api.Key](ctx, s, method, at(format, id), body)
		if err != nil {
			return err
		}
		return o.env.Show(k, keyRows(k))
	})
}

func (o *office) keyShow() *cobra.Command {
	reveal := false
	show := o.oneKey(http.MethodGet, "/keys/%s", nil)
	c := &cobra.Command{
		Use: "show KEY", Short: "One key, by id or its last five characters", Args: cobra.ExactArgs(1),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if !reveal {
			return show(c, args)
		}
		return o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.keyID(ctx, args[0])
			if err != nil {
				return err
			}
			k, err := post[api.RevealedKey](ctx, s, at("/keys/%s/reveal", id), nil)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"KEY", "CHARACTERS"}}
			rows.Add(k.ID, k.Key)
			return o.env.Show(k, rows)
		})(c, args)
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show all 25 characters; that is recorded")
	return c
}

func (o *office) keyBlock() *cobra.Command {
	var why string
	undo := false
	reason := func() any { return api.Reason{Reason: why} }
	block, unblock := o.oneKey(http.MethodPost, "/keys/%s/block", reason), o.oneKey(http.MethodPost, "/keys/%s/unblock", reason)
	c := &cobra.Command{
		Use: "block KEY --reason TEXT", Short: "End activations with a key; what is activated stays so", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if undo {
				return unblock(c, args)
			}
			return block(c, args)
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why; told to whoever tries to activate")
	c.Flags().BoolVar(&undo, "undo", false, "take the block back")
	return c
}

func (o *office) keyUnblock() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "unblock KEY --reason TEXT", Short: "Take a block back", Args: cobra.ExactArgs(1),
		RunE: o.oneKey(http.MethodPost, "/keys/%s/unblock", func() any { return api.Reason{Reason: why} }),
	}
	c.Flags().StringVar(&why, "reason", "", "why")
	return c
}

func (o *office) keyCorrect() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "correct KEY --reason TEXT", Short: "Set a key's seats to what the orders say", Args: cobra.ExactArgs(1),
		RunE: o.oneKey(http.MethodPost, "/keys/%s/correction", func() any { return api.Reason{Reason: why} }),
	}
	c.Flags().StringVar(&why, "reason", "", "why")
	return c
}

func (o *office) limitRaise() *cobra.Command {
	in := api.RaiseLimit{}
	var key string
	raise := o.oneKey(http.MethodPost, "/keys/%s/limit", func() any { return in })
	c := &cobra.Command{
		Use: "raise [KEY] --by N --reason TEXT", Short: "Raise a key's activation limit at once", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			args, err := keyArgument(c, args, key)
			if err != nil {
				return err
			}
			return raise(c, args)
		},
	}
	c.Flags().StringVar(&key, "key", "", "the key, by id or its last five characters")
	c.Flags().IntVar(&in.By, "by", 0, "so many more activations")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

// keyArgument is the key that was named once, as an argument or by its flag.
func keyArgument(c *cobra.Command, args []string, flag string) ([]string, error) {
	if (len(args) == 1) == (flag != "") {
		return nil, cli.WrongUse(c, "Name one, as an argument or by its flag.")
	}
	if flag != "" {
		return []string{flag}, nil
	}
	return args, nil
}

func (o *office) limitAsk() *cobra.Command {
	in := api.AskLimit{}
	c := &cobra.Command{
		Use: "ask KEY --by N --reason TEXT", Short: "Ask for a higher activation limit", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			id, err := s.keyID(ctx, args[0])
			if err != nil {
				return err
			}
			q, err := post[keyring.Request](ctx, s, at("/keys/%s/limit-requests", id), in)
			if err != nil {
				return err
			}
			return o.env.Show(q, requestRows(q))
		}),
	}
	f := c.Flags()
	f.IntVar(&in.Wanted, "by", 0, "so many more activations")
	f.StringVar(&in.Reason, "reason", "", "why")
	f.StringVar(&in.Region, "region", "", "where the devices are")
	f.StringVar(&in.Contact, "contact", "", "whom to tell")
	return c
}

func (o *office) limitList() *cobra.Command {
	var key, state string
	c := &cobra.Command{
		Use: "list", Short: "Requests for other limits, the newest first", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			id, err := s.keyID(ctx, key)
			if err != nil {
				return err
			}
			all, err := get[api.LimitRequests](ctx, s, "/limit-requests", query("key", id, "state", state))
			if err != nil {
				return err
			}
			return o.env.Show(all, requestRows(all.Requests...))
		}),
	}
	c.Flags().StringVar(&key, "key", "", "only this key's")
	c.Flags().StringVar(&state, "state", "", "open, granted or refused")
	return c
}

func requestRows(all ...keyring.Request) term.Rows {
	rows := term.Rows{Columns: []string{"REQUEST", "KEY", "KIND", "STATE", "WANTED", "GRANTED", "ASKED", "REASON", "DECISION"}}
	for _, q := range all {
		rows.Add(q.ID, q.Key, q.Kind, q.State, q.Wanted, q.Granted, q.AskedAt.Format(time.DateOnly), q.Reason, q.Decision)
	}
	return rows
}

func (o *office) limitDecide(verb string) *cobra.Command {
	in := api.DecideLimit{}
	c := &cobra.Command{
		Use: verb + " REQUEST --reason TEXT", Short: "Decide about a request for another limit", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			if verb == "grant" && in.Grant < 1 {
				return cli.WrongUse(s.command, "Say how many more activations: --by N.")
			}
			d, err := post[api.Decided](ctx, s, at("/limit-requests/%s/decision", args[0]), in)
			if err != nil {
				return err
			}
			return o.env.Show(d, requestRows(d.Request))
		}),
	}
	if verb == "grant" {
		c.Flags().IntVar(&in.Grant, "by", 0, "so many more activations; may differ from what was asked")
	}
	c.Flags().StringVar(&in.Decision, "reason", "", "why")
	return c
}
