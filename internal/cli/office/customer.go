package office

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

const (
	// CSVMalformed: a file is no CSV with the columns that are asked for.
	CSVMalformed problem.Code = "office.csv-malformed"
	// RowTwice: a name stands in an earlier row of the file.
	RowTwice problem.Code = "office.row-twice"
)

// pageSize is how many rows are asked for at once.
const pageSize = "1000"

func (o *office) customers() *cobra.Command {
	return group("customer", "Organizations that buy", o.customerAdd(), o.customerShow(), o.customerList(), o.customerImport())
}

func (o *office) customerAdd() *cobra.Command {
	in := api.AddCustomer{}
	var qualifications []string
	c := &cobra.Command{
		Use: "add --name NAME", Short: "Add a customer",
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in.Qualifications = typed[program.QualificationID](qualifications)
			added, err := post[sales.Customer](ctx, s, "/customers", in)
			if err != nil {
				return err
			}
			return o.env.Show(added, customerRows(added))
		}),
	}
	f := c.Flags()
	f.StringVar(&in.TenantID, "tenant-id", "", "its id in the vendor's directory")
	f.StringVar(&in.Country, "country", "", "its country")
	f.StringVar(&in.Language, "language", "", "the language of what is sent to it (default en)")
	f.StringVar(&in.Contact, "contact", "", "a mail address")
	f.StringArrayVar(&qualifications, "qualification", nil, "what entitles it to another price (repeat)")
	return takeName(c, &in.Name)
}

func customerRows(all ...sales.Customer) term.Rows {
	rows := term.Rows{Columns: []string{"ID", "NAME", "TENANT ID", "COUNTRY", "LANGUAGE", "QUALIFICATIONS"}}
	for _, c := range all {
		rows.Add(c.ID, c.Name, c.TenantID, c.Country, c.Language, join(c.Qualifications))
	}
	return rows
}

func (o *office) customerShow() *cobra.Command {
	return &cobra.Command{
		Use: "show CUSTOMER", Short: "One customer, by id, name, tenant id or an agreement's number", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			found, err := get[sales.Customer](ctx, s, at("/customers/%s", args[0]), nil)
			if err != nil {
				return err
			}
			return o.env.Show(found, customerRows(found))
		}),
	}
}

func (o *office) customerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The customers, by name", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			all := api.Customers{Customers: []sales.Customer{}}
			for after := ""; ; {
				page, err := get[api.Customers](ctx, s, "/customers", query("limit", pageSize, "after", after))
				if err != nil {
					return err
				}
				all.Customers = append(all.Customers, page.Customers...)
				if len(page.Customers) < 1000 {
					return o.env.Show(all, customerRows(all.Customers...))
				}
				after = page.Customers[len(page.Customers)-1].Name
			}
		}),
	}
}

// customersImported is what an import of customers came to.
type customersImported struct {
	DryRun  bool             `json:"dryRun"`
	Added   []sales.Customer `json:"added"` // with a dry run: what would be, without ids
	Refused []refusedRow     `json:"refused"`
}

type refusedRow struct {
	Line    int          `json:"line"`
	Name    string       `json:"name"`
	Problem wire.Problem `json:"problem"`
}

type customerRow struct {
	line int
	in   api.AddCustomer
}

// customerImport adds customers row by row: a bad row harms no other.
func (o *office) customerImport() *cobra.Command {
	dry := false
	c := &cobra.Command{
		Use: "import FILE", Short: "Add customers from CSV: name, tenant_id, country, language, contact, qualifications", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			text, err := readFile(args[0], 16<<20)
			if err != nil {
				return err
			}
			rows, err := readCustomers(args[0], text)
			if err != nil {
				return err
			}
			done := customersImported{DryRun: dry, Added: []sales.Customer{}, Refused: []refusedRow{}}
			seen := map[string]bool{}
			for _, row := range rows {
				added, err := s.importCustomer(ctx, row, dry, seen)
				refusal, named := problem.As(err)
				switch {
				case err == nil:
					done.Added = append(done.Added, added)
				case named && (refusal.Kind == problem.Invalid || refusal.Kind == problem.Refused || refusal.Kind == problem.Conflict):
					done.Refused = append(done.Refused, refusedRow{row.line, row.in.Name, o.env.Render(refusal)})
				default:
					return err
				}
			}
			return o.showImported(done)
		}),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would happen and change nothing")
	return c
}

// importCustomer adds one row, or with dry finds out whether it could be.
func (s *session) importCustomer(ctx context.Context, row customerRow, dry bool, seen map[string]bool) (sales.Customer, error) {
	folded := sales.Fold(row.in.Name)
	if seen[folded] {
		return sales.Customer{}, problem.New(problem.Conflict, RowTwice, "line", row.line, "name", row.in.Name)
	}
	seen[folded] = true
	if !dry {
		return post[sales.Customer](ctx, s, "/customers", row.in)
	}
	if folded == "" {
		return sales.Customer{}, problem.New(problem.Invalid, sales.NameBad, "name", row.in.Name, "limit", 200)
	}
	for _, name := range []string{row.in.Name, row.in.TenantID} {
		if name == "" {
			continue
		}
		found, err := get[sales.Customer](ctx, s, at("/customers/%s", name), nil)
		switch {
		case problem.CodeOf(err) == sales.CustomerUnknown:
		case err != nil:
			return sales.Customer{}, err
		case sales.Fold(found.Name) == folded:
			return sales.Customer{}, problem.New(problem.Conflict, sales.CustomerExists, "name", row.in.Name)
		case strings.EqualFold(found.TenantID, row.in.TenantID):
			return sales.Customer{}, problem.New(problem.Conflict, sales.TenantTaken, "tenant", row.in.TenantID)
		}
	}
	in := row.in
	return sales.Customer{Name: in.Name, TenantID: in.TenantID, Country: in.Country, Language: in.Language, Contact: in.Contact, Qualifications: in.Qualifications}, nil
}

func (o *office) showImported(done customersImported) error {
	rows := term.Rows{Columns: []string{"LINE", "NAME", "RESULT"}}
	for _, c := range done.Added {
		result := "added " + string(c.ID)
		if done.DryRun {
			result = "would be added"
		}
		rows.Add("", c.Name, result)
	}
	for _, r := range done.Refused {
		rows.Add(r.Line, r.Name, r.Problem.Detail+" ("+string(r.Problem.Code)+")")
	}
	if err := o.env.Show(done, rows); err != nil {
		return err
	}
	switch {
	case len(done.Refused) > 0:
		o.env.Say("%d rows are good, %d are refused.", len(done.Added), len(done.Refused))
		return term.Exit(term.Refused)
	case len(done.Added) == 0:
		return term.Exit(term.NothingToDo)
	}
	return nil
}

// readCustomers reads CSV with a heading; columns may stand in any order, and
// only name is needed. Qualifications are separated by semicolons.
func readCustomers(file string, text []byte) ([]customerRow, error) {
	malformed := func(line int, what string) error {
		return problem.New(problem.Invalid, CSVMalformed, "file", file, "line", line, "what", what)
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	head, err := r.Read()
	if err != nil {
		return nil, malformed(1, err.Error())
	}
	var rows []customerRow
	set := map[string]func(*api.AddCustomer, string){
		"name":      func(c *api.AddCustomer, v string) { c.Name = v },
		"tenant_id": func(c *api.AddCustomer, v string) { c.TenantID = v },
		"country":   func(c *api.AddCustomer, v string) { c.Country = v },
		"language":  func(c *api.AddCustomer, v string) { c.Language = v },
		"contact":   func(c *api.AddCustomer, v string) { c.Contact = v },
		"qualifications": func(c *api.AddCustomer, v string) {
			for part := range strings.SplitSeq(v, ";") {
				if part = strings.TrimSpace(part); part != "" {
					c.Qualifications = append(c.Qualifications, program.QualificationID(part))
				}
			}
		},
	}
	named := false
	for i, column := range head {
		head[i] = strings.ToLower(strings.TrimSpace(column))
		if set[head[i]] == nil {
			return nil, malformed(1, fmt.Sprintf("unknown column %q", column))
		}
		named = named || head[i] == "name"
	}
	if !named {
		return nil, malformed(1, `no column "name"`)
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, malformed(parse.Line, parse.Err.Error())
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		line, _ := r.FieldPos(0)
		row := customerRow{line: line}
		for i, value := range record {
			set[head[i]](&row.in, strings.TrimSpace(value))
		}
		rows = append(rows, row)
	}
}

func (o *office) partners() *cobra.Command {
	return group("partner", "Who sells: partners, providers, resellers and OEMs", o.partnerAdd(), o.partnerRegister(), o.partnerList())
}

func (o *office) partnerAdd() *cobra.Command {
	in := api.AddPartner{}
	var kind string
	var channels []string
	c := &cobra.Command{
		Use: "add --name NAME", Short: "Add a partner",
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in.Kind, in.Channels = sales.PartnerKind(kind), typed[program.ChannelID](channels)
			added, err := post[sales.Partner](ctx, s, "/partners", in)
			if err != nil {
				return err
			}
			return o.env.Show(added, partnerRows(added))
		}),
	}
	f := c.Flags()
	f.StringVar(&kind, "kind", string(sales.Direct), "direct, provider, reseller, licensing or oem")
	f.StringVar(&in.Provider, "provider", "", "a reseller's provider, by id or name")
	f.StringArrayVar(&channels, "channel", nil, "a channel for which it is registered (repeat)")
	f.StringVar(&in.Country, "country", "", "its country")
	f.StringVar(&in.Contact, "contact", "", "a mail address")
	return takeName(c, &in.Name)
}

func (o *office) partnerRegister() *cobra.Command {
	var channels []string
	c := &cobra.Command{
		Use: "register PARTNER", Short: "Set the channels for which a partner may sell", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			in := api.RegisterPartner{Channels: append([]program.ChannelID{}, typed[program.ChannelID](channels)...)}
			p, err := send[sales.Partner](ctx, s, "PUT", at("/partners/%s/channels", args[0]), in)
			if err != nil {
				return err
			}
			return o.env.Show(p, partnerRows(p))
		}),
	}
	c.Flags().StringArrayVar(&channels, "channel", nil, "a channel (repeat; none ends its registration)")
	return c
}

func (o *office) partnerList() *cobra.Command {
	var channel, country string
	c := &cobra.Command{
		Use: "list", Short: "The public list of partners who may sell", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			all, err := get[api.Partners](ctx, s, "/partners", query("channel", channel, "country", country))
			if err != nil {
				return err
			}
			return o.env.Show(all, partnerRows(all.Partners...))
		}),
	}
	c.Flags().StringVar(&channel, "channel", "", "only those registered for it")
	c.Flags().StringVar(&country, "country", "", "only those in it")
	return c
}

func partnerRows(all ...sales.Partner) term.Rows {
	rows := term.Rows{Columns: []string{"ID", "NAME", "KIND", "PROVIDER", "COUNTRY", "CONTACT", "CHANNELS"}}
	for _, p := range all {
		rows.Add(p.ID, p.Name, p.Kind, p.Provider, p.Country, p.Contact, join(p.Channels))
	}
	return rows
}

func (o *office) agreements() *cobra.Command {
	return group("agreement", "Contracts of customers to buy through a channel", o.agreementAdd(), o.agreementShow(), o.agreementList())
}

func (o *office) agreementAdd() *cobra.Command {
	in := api.AddAgreement{}
	var customer string
	var id, channel, holder string
	c := &cobra.Command{
		Use: "add NUMBER", Short: "Add an agreement of a customer", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			if customer == "" || channel == "" {
				return cli.WrongUse(s.command, "An agreement is one of a customer, on a channel: --customer NAME --channel ID.")
			}
			named, err := s.oneProgram(ctx, id)
			if err != nil {
				return err
			}
			in.Number, in.Program, in.Channel, in.Holder = args[0], program.ID(named), program.ChannelID(channel), holderOf(holder)
			added, err := post[api.Agreement](ctx, s, at("/customers/%s/agreements", customer), in)
			if err != nil {
				return err
			}
			return o.env.Show(added, agreementRows(added))
		}),
	}
	f := c.Flags()
	f.StringVar(&customer, "customer", "", "whose it is")
	f.StringVar(&id, "program", "", "for which program (default: the only one)")
	f.StringVar(&channel, "channel", "", "on which channel")
	f.StringVar(&in.Partner, "partner", "", "who sells, by id or name")
	f.StringVar(&in.Contract, "contract", "", "the number of the contract that the channel asks for")
	f.StringVar(&holder, "holder", "", "whose the contract is: oem or customer")
	f.Var(dayFlag{&in.From}, "from", "the contract's first day")
	f.Var(dayFlag{&in.Last}, "last", "the contract's last day")
	return c
}

func (o *office) agreementShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NUMBER", Short: "One agreement", Args: cobra.ExactArgs(1),
		RunE: o.act(func(ctx context.Context, s *session, args []string) error {
			all, err := get[api.Agreements](ctx, s, at("/customers/%s/agreements", args[0]), nil)
			if err != nil {
				return err
			}
			for _, a := range all.Agreements {
				if strings.EqualFold(a.Number, strings.TrimSpace(args[0])) {
					return o.env.Show(a, agreementRows(a))
				}
			}
			return problem.New(problem.NotFound, sales.AgreementUnknown, "agreement", args[0])
		}),
	}
}

func (o *office) agreementList() *cobra.Command {
	var customer string
	c := &cobra.Command{
		Use: "list --customer NAME", Short: "A customer's agreements", Args: cobra.NoArgs,
		RunE: o.act(func(ctx context.Context, s *session, _ []string) error {
			if customer == "" {
				return cli.WrongUse(s.command, "Name the customer: --customer NAME.")
			}
			all, err := get[api.Agreements](ctx, s, at("/customers/%s/agreements", customer), nil)
			if err != nil {
				return err
			}
			return o.env.Show(all, agreementRows(all.Agreements...))
		}),
	}
	c.Flags().StringVar(&customer, "customer", "", "whose")
	return c
}

func agreementRows(all ...api.Agreement) term.Rows {
	rows := term.Rows{Columns: []string{"NUMBER", "CUSTOMER", "PROGRAM", "CHANNEL", "PARTNER", "CONTRACT", "HOLDER", "FROM", "LAST"}}
	for _, a := range all {
		rows.Add(a.Number, a.Customer, a.Program, a.Channel, a.Partner, a.Contract, a.Holder, a.From, a.Last)
	}
	return rows
}
