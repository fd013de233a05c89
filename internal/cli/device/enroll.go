package device

import (
	"github.com/spf13/cobra"

	"github.com/openesu/openesu/internal/agent"
	"github.com/openesu/openesu/internal/cli"
	"github.com/openesu/openesu/internal/term"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/program"
)

func (b *bench) enroll() *cobra.Command {
	var in agent.EnrollIn
	var id, arch, delivery string
	var components, installed []string
	c := &cobra.Command{
		Use:   "enroll --server URL --trust sha256:…|FILE --edition NAME",
		Short: "Say whom this device trusts and what it is",
		Long: "Enroll pins the vendor's root by an anchor that comes from elsewhere than the server: the text that\n" +
			"'esu authority init' printed, or the vendor's keyring file.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if in.Server == "" || in.Anchor == "" {
				return cli.WrongUse(c, "Give --server and --trust.")
			}
			in.Program, in.Arch, in.Delivery = program.ID(id), program.Arch(arch), program.DeliveryID(delivery)
			for _, name := range components {
				in.Components = append(in.Components, program.ComponentID(name))
			}
			for _, name := range installed {
				known, err := program.ParseUpdateID(name)
				if err != nil {
					return cli.WrongUse(c, "%s.", err)
				}
				in.Installed = append(in.Installed, known)
			}
			out, err := b.device().Enroll(c.Context(), in)
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"PROGRAM", "EDITION", "ARCHITECTURE", "AUTHORITY", "CHANNEL", "FOLDER"}}
			rows.Add(out.Name, out.Edition, out.Arch, out.Authority, out.Delivery, out.Folder)
			b.tell(out.Outside)
			if out.Outside != nil {
				b.say(b.env.Lang.Text("text.agent.outside", nil))
			}
			return b.env.Show(struct {
				*agent.Enrolled
				Outside *wire.Problem `json:"outside,omitempty"`
			}{out, b.document(out.Outside)}, rows)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Server, "server", "", "address of the authority or site")
	f.StringVar(&in.Anchor, "trust", "", "sha256:… as the authority printed it, or the vendor's keyring file")
	f.StringVar(&id, "program", "", "program, where the vendor has several")
	f.StringVar(&in.Edition, "edition", "", "the device's edition, by id or name")
	f.StringVar(&arch, "arch", "", "architecture (default: this processor's)")
	f.StringSliceVar(&components, "component", nil, "component that the device has (may be repeated)")
	f.StringSliceVar(&installed, "installed", nil, "update that the device has already (may be repeated)")
	f.StringVar(&in.Folder, "folder", "", "the product's folder, below the root (default: /opt/PROGRAM)")
	f.StringVar(&delivery, "channel", "", "delivery channel (default: the program's)")
	f.BoolVar(&in.OfflineImage, "offline-image", false, "the root is an image that is not running")
	f.BoolVar(&in.AuditMode, "audit-mode", false, "the device runs in audit mode")
	f.BoolVar(&in.ProductActivated, "product-activated", false, "the product's own key is activated")
	f.BoolVar(&in.EmbeddedKeyRange, "embedded-key", false, "the product's own key is in the embedded range")
	f.BoolVar(&in.Again, "again", false, "replace an enrollment")
	return c
}

func (b *bench) generalize() *cobra.Command {
	return &cobra.Command{
		Use:   "generalize",
		Short: "Clear this installation's identity before an image is taken",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := b.device().Generalize(c.Context()); err != nil {
				return err
			}
			b.say(b.env.Lang.Text("text.agent.generalized", nil))
			return nil
		},
	}
}

func (b *bench) restarted() *cobra.Command {
	return &cobra.Command{
		Use:   "restarted",
		Short: "Say that the device has restarted, where it cannot see that itself",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			left, err := b.device().Restarted(c.Context())
			if err != nil {
				return err
			}
			rows := term.Rows{Columns: []string{"RESTARTS STILL DUE"}}
			rows.Add(left)
			return b.env.Show(map[string]int{"restartsDue": left}, rows)
		},
	}
}
