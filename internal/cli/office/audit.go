package office

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/term"
)

func (o *office) audit() *cobra.Command {
	return group("audit", "Who did what, to what and when", o.auditVerify(), o.auditExport())
}

func (o *office) auditVerify() *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use: "verify", Short: "Find rows that are changed, missing, reordered, truncated or added", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			in := api.VerifyAudit{}
			for _, file := range files {
				text, err := readFile(file, 2<<20)
				if err != nil {
					return err
				}
				in.Checkpoints = append(in.Checkpoints, strings.TrimSpace(string(text)))
			}
			report, err := post[api.AuditReport](ctx, s, "/audit/verification", in)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"FOUND"}}
			for _, f := range report.Findings {
				rows.Add(o.env.Lang.Text("text.audit."+string(f.Kind), map[string]any{"writer": f.Writer, "first": f.First, "last": f.Last}))
			}
			if err := o.env.Show(report, rows); err != nil {
				return err
			}
			o.env.Say("Rows: %d. Chains: %d.", report.Rows, report.Chains)
			if report.Intact {
				o.env.Say("Nothing is wrong.")
				return nil
			}
			if p := report.Err(); p != nil && o.env.Format != term.JSON { // the report is the document
				return p
			}
			return term.Exit(term.Refused)
		}),
	}
	c.Flags().StringArrayVar(&files, "against", nil, "a file with a signed checkpoint that somebody kept (repeat)")
	return c
}

// auditExport writes rows as JSON lines, whatever the output format: that is what
// other systems read.
func (o *office) auditExport() *cobra.Command {
	var object, customer string
	c := &cobra.Command{
		Use: "export", Short: "The rows as JSON lines, by chain and number", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			for after := ""; ; {
				page, err := get[api.AuditRows](ctx, s, "/audit", query("limit", pageSize, "after", after, "object", object, "customer", customer))
				if err != nil {
					return err
				}
				for _, row := range page.Rows {
					line, err := json.Marshal(row)
					if err != nil {
						return fmt.Errorf("audit row %d of %s: %w", row.Seq, row.Writer, err)
					}
					if _, err := fmt.Fprintf(o.env.Terminal.Out, "%s\n", line); err != nil {
						return err
					}
				}
				if after = page.Next; after == "" {
					return nil
				}
			}
		}),
	}
	c.Flags().StringVar(&object, "object", "", "only what was done to this: order/order-…")
	c.Flags().StringVar(&customer, "customer", "", "only what concerns this customer")
	return c
}
