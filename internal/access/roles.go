package access

import "slices"

// Role is a set of permissions that people have a name for.
type Role string

// The closed set of roles.
const (
	Sales                 Role = "sales"
	Publisher             Role = "publisher"
	KeyManager            Role = "key-manager"
	Support               Role = "support"
	Auditor               Role = "auditor"
	Owner                 Role = "owner"
	Partner               Role = "partner"                // of one partner
	CustomerAdministrator Role = "customer-administrator" // of one customer
)

// Permission is one thing that can be allowed: a noun and what is done to it.
type Permission string

// The closed set of permissions.
const (
	ProgramRead       Permission = "program.read"
	ProgramWrite      Permission = "program.write"
	CustomerRead      Permission = "customer.read"
	CustomerWrite     Permission = "customer.write" // agreements too
	PartnerRead       Permission = "partner.read"
	PartnerWrite      Permission = "partner.write"
	QuoteMake         Permission = "quote.make"
	OrderRead         Permission = "order.read"
	OrderPlace        Permission = "order.place"
	OrderReturn       Permission = "order.return"
	InvoiceRead       Permission = "invoice.read"
	InvoiceRun        Permission = "invoice.run"
	KeyRead           Permission = "key.read"    // limit, used and remaining (rule K8)
	KeyReveal         Permission = "key.reveal"  // all 25 characters
	KeyRequest        Permission = "key.request" // ask for another limit (rule K6)
	KeyLimit          Permission = "key.limit"   // decide about that
	KeyBlock          Permission = "key.block"
	KeyRecover        Permission = "key.recover"
	ActivationRead    Permission = "activation.read"
	ActivationConfirm Permission = "activation.confirm" // answer a call (rule K10)
	UpdateRead        Permission = "update.read"        // staged ones too
	UpdateStage       Permission = "update.stage"
	UpdateRelease     Permission = "update.release"
	UpdateWithdraw    Permission = "update.withdraw"
	SupportLookup     Permission = "support.lookup"
	AuditRead         Permission = "audit.read"
	OperatorRead      Permission = "operator.read"
	OperatorWrite     Permission = "operator.write"
)

var permissions = []Permission{
	ProgramRead, ProgramWrite, CustomerRead, CustomerWrite, PartnerRead, PartnerWrite,
	QuoteMake, OrderRead, OrderPlace, OrderReturn, InvoiceRead, InvoiceRun,
	KeyRead, KeyReveal, KeyRequest, KeyLimit, KeyBlock, KeyRecover, ActivationRead, ActivationConfirm,
	UpdateRead, UpdateStage, UpdateRelease, UpdateWithdraw, SupportLookup, AuditRead, OperatorRead, OperatorWrite,
}

// allowed is what each role may do.
var allowed = map[Role][]Permission{
	Owner: permissions,
	Sales: {
		ProgramRead, CustomerRead, CustomerWrite, PartnerRead, PartnerWrite, QuoteMake,
		OrderRead, OrderPlace, OrderReturn, InvoiceRead, InvoiceRun, KeyRead, KeyRequest,
	},
	Publisher: {ProgramRead, ProgramWrite, UpdateRead, UpdateStage, UpdateRelease, UpdateWithdraw},
	KeyManager: {
		ProgramRead, CustomerRead, PartnerRead, OrderRead, KeyRead, KeyReveal, KeyRequest, KeyLimit, KeyBlock,
		KeyRecover, ActivationRead, ActivationConfirm,
	},
	Support: {
		ProgramRead, CustomerRead, PartnerRead, OrderRead, KeyRead, KeyRequest, ActivationRead, ActivationConfirm,
		UpdateRead, SupportLookup,
	},
	Auditor: {
		ProgramRead, CustomerRead, PartnerRead, OrderRead, InvoiceRead, KeyRead, ActivationRead, UpdateRead,
		AuditRead, OperatorRead,
	},
	Partner: {
		ProgramRead, CustomerRead, PartnerRead, QuoteMake, OrderRead, OrderPlace, OrderReturn, InvoiceRead,
		KeyRead, KeyReveal, KeyRequest,
	},
	CustomerAdministrator: {
		ProgramRead, CustomerRead, PartnerRead, QuoteMake, OrderRead, InvoiceRead, KeyRead, KeyReveal, KeyRequest,
		ActivationRead,
	},
}

// Roles lists every role, the vendor's first.
func Roles() []Role {
	return []Role{Sales, Publisher, KeyManager, Support, Auditor, Owner, Partner, CustomerAdministrator}
}

// Permissions lists every permission.
func Permissions() []Permission { return slices.Clone(permissions) }

// RolesWith lists the roles that have a permission.
func RolesWith(p Permission) []Role {
	return slices.DeleteFunc(Roles(), func(r Role) bool { return !slices.Contains(allowed[r], p) })
}
