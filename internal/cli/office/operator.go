package office

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/internal/term"
)

func (o *office) operators() *cobra.Command {
	return group("operator", "Who may use the office API, and with which tokens",
		o.operatorAdd(), o.operatorList(), o.operatorRoles(), o.operatorToken(), o.operatorTokens(), o.operatorEnd())
}

func operatorRows(all ...api.Operator) term.Rows {
	rows := term.Rows{Columns: []string{"ID", "NAME", "ROLES", "CUSTOMER", "PARTNER", "ENDED"}}
	for _, p := range all {
		rows.Add(p.ID, p.Name, join(p.Roles), p.Customer, p.Partner, instant(p.Ended))
	}
	return rows
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (o *office) operatorAdd() *cobra.Command {
	in := api.AddOperator{}
	var roles []string
	c := &cobra.Command{
		Use: "add --name NAME --role ROLE", Short: "Add an operator: of the vendor, of one partner, or of one customer",
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in.Roles = typed[access.Role](roles)
			added, err := post[api.Operator](ctx, s, "/operators", in)
			if err != nil {
				return err
			}
			return o.env.Show(added, operatorRows(added))
		}),
	}
	f := c.Flags()
	f.StringArrayVar(&roles, "role", nil, join(access.Roles())+" (repeat)")
	f.StringVar(&in.Customer, "customer", "", "the customer whose operator it is")
	f.StringVar(&in.Partner, "partner", "", "the partner whose operator it is")
	return takeName(c, &in.Name)
}

func (o *office) operatorList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All operators, ended ones too", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			all, err := get[api.Operators](ctx, s, "/operators", nil)
			if err != nil {
				return err
			}
			return o.env.Show(all, operatorRows(all.Operators...))
		}),
	}
}

func (o *office) operatorRoles() *cobra.Command {
	var roles []string
	c := &cobra.Command{
		Use: "roles OPERATOR --role ROLE", Short: "Give an operator other roles, of the side to which it belongs", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in := api.SetRoles{Roles: append([]access.Role{}, typed[access.Role](roles)...)}
			p, err := send[api.Operator](ctx, s, http.MethodPut, at("/operators/%s/roles", args[0]), in)
			if err != nil {
				return err
			}
			return o.env.Show(p, operatorRows(p))
		}),
	}
	c.Flags().StringArrayVar(&roles, "role", nil, join(access.Roles())+" (repeat)")
	return c
}

// operatorToken makes a token. Its secret goes to a file that only its owner can
// read, or is shown this once.
func (o *office) operatorToken() *cobra.Command {
	var scopes []string
	var days int
	var out string
	c := &cobra.Command{
		Use: "token OPERATOR", Short: "Make an API token; its secret is shown this once", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in := api.IssueToken{Scopes: typed[access.Permission](scopes), Expires: o.env.Now().AddDate(0, 0, days)}
			t, err := post[api.IssuedToken](ctx, s, at("/operators/%s/tokens", args[0]), in)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"TOKEN", "EXPIRES", "SECRET"}}
			if out == "" {
				rows.Add(t.ID, instant(t.Expires), t.Secret)
				return o.env.Show(t, rows)
			}
			if err := durable.WriteFile(out, []byte(t.Secret+"\n"), 0o600); err != nil {
				return err
			}
			rows.Add(t.ID, instant(t.Expires), "in "+out)
			return o.env.Show(t.Token, rows)
		}),
	}
	c.Flags().StringArrayVar(&scopes, "scope", nil, "a permission that it passes on (repeat; none: all that the operator has)")
	c.Flags().IntVar(&days, "days", 90, "for how many days, at most 366")
	c.Flags().StringVar(&out, "out", "", "write the secret to this file instead of showing it")
	return c
}

func (o *office) operatorTokens() *cobra.Command {
	return &cobra.Command{
		Use: "tokens OPERATOR", Short: "An operator's tokens, the newest first", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			all, err := get[api.Tokens](ctx, s, at("/operators/%s/tokens", args[0]), nil)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"TOKEN", "CREATED", "EXPIRES", "ENDED", "SCOPES"}}
			for _, t := range all.Tokens {
				rows.Add(t.ID, instant(t.Created), instant(t.Expires), instant(t.Revoked), join(t.Scopes))
			}
			return o.env.Show(all, rows)
		}),
	}
}

func (o *office) operatorEnd() *cobra.Command {
	var token string
	c := &cobra.Command{
		Use: "end OPERATOR | end --token TOKEN", Short: "End an operator with all of its tokens, or one token, for good", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			args, err := keyArgument(c, args, token)
			if err != nil {
				return err
			}
			return o.act(func(ctx context.Context, s *session, args []string) error {
				if token != "" {
					ended, err := send[api.TokenEnded](ctx, s, http.MethodDelete, at("/tokens/%s", token), nil)
					if err != nil {
						return err
					}
					rows := term.Rows{Columns: []string{"TOKEN"}}
					rows.Add(ended.ID)
					return o.env.Show(ended, rows)
				}
				p, err := send[api.Operator](ctx, s, http.MethodDelete, at("/operators/%s", args[0]), nil)
				if err != nil {
					return err
				}
				return o.env.Show(p, operatorRows(p))
			})(c, args)
		},
	}
	c.Flags().StringVar(&token, "token", "", "the id of one token")
	return c
}
