// Package activation says whether a product key may be installed on a device,
// and whether an installation may be activated with it.
//
// A device asks CheckInstall and CheckActivationID before it changes anything of
// its own, and then makes one signed document, the activation request, which is
// the same on every road: online, by proxy, as a file (rule K10). The authority
// reads it with ParseRequest and asks Decide.
//
// # Request
//
// A request is a compact JWS of typ "esu-activation+jwt", signed by the device
// key that it carries. Its claims, all of them there and no others:
//
//	aud           who may read it: the authority's id
//	program       program id
//	activationId  the activation id of the year (rule K9)
//	publicKey     the device key, the same as in the header
//	identity      salted hash of the operating system's identity, 64 hex digits
//	facts         what the device says of itself; what is false or empty is left out
//	ref           the product key's reference, 32 hex digits
//	iat           when it was made, in seconds since 1970
//	proof         HMAC-SHA-256 under the product key's MAC key over the RFC 8785
//	              form of the other claims, 64 hex digits
//
// Invariants:
//
//   - the product key never travels, nor any of its symbols;
//   - who reads a request cannot make another with it: the proof covers device
//     key, identity, audience and year;
//   - the same request is the same activation, however often it comes (rule K7);
//   - a request that anything is unclear about is refused. Unlike licenses,
//     requests live for minutes, so an older reader need not understand a newer
//     writer.
//
// The package counts nothing and stores nothing: whoever holds the keys locks
// one, asks Decide with its state, and writes down what was decided.
package activation

import "github.com/openesu/openesu/problem"

// Why a key is not installed, in the order in which it is looked at (rules K15, K14, K22).
const (
	// NotElevated is an act that needs an administrator's rights (rule K15).
	NotElevated problem.Code = "activation.not-elevated"
	// LicensingUpdateMissing is a device that does not know add-on keys yet.
	LicensingUpdateMissing problem.Code = "activation.licensing-update-missing"
	// RestartPending is a device on which an installation is not finished.
	RestartPending problem.Code = "activation.restart-pending"
	// WrongProduct is a good key of another product, or of one that this program file does not know yet (rules K12, K14).
	WrongProduct problem.Code = "activation.wrong-product"
	// KeyEmbeddedOnly is a key for embedded devices on a standard one (rule K22).
	KeyEmbeddedOnly problem.Code = "activation.key-embedded-only"
	// KeyNotEmbedded is a standard key on an embedded device (rule K22).
	KeyNotEmbedded problem.Code = "activation.key-not-embedded"
)

// What is wrong with an activation id (rules K9, K19).
const (
	// IDMissing is an activation without an id, which would leave the add-on unlicensed.
	IDMissing problem.Code = "activation.id-missing"
	// IDMalformed is a text that is no activation id.
	IDMalformed problem.Code = "activation.id-malformed"
	// IDIsProductsOwn is the product's own id in place of the add-on's.
	IDIsProductsOwn problem.Code = "activation.id-is-products-own"
	// IDNotFound is an id of no year of the program.
	IDNotFound problem.Code = "activation.id-not-found"
	// KeyNotInstalled is the id of a year whose key is not on the device.
	KeyNotInstalled problem.Code = "activation.key-not-installed"
)

// Why a request is not read.
const (
	// RequestMalformed is a text that is no activation request.
	RequestMalformed problem.Code = "activation.request-malformed"
	// RequestSignature is a request that its device key did not sign as it stands.
	RequestSignature problem.Code = "activation.request-signature"
	// WrongAudience is a request for another authority.
	WrongAudience problem.Code = "activation.wrong-audience"
)

// Why an installation is not activated.
const (
	// ProgramUnknown is a request for a program that is not run here.
	ProgramUnknown problem.Code = "activation.program-unknown"
	// KeyUnknown is a key that was never issued, or one that the request does not prove.
	KeyUnknown problem.Code = "activation.key-unknown"
	// KeyBlocked is a key that the vendor has blocked.
	KeyBlocked problem.Code = "activation.key-blocked"
	// KeyPinned is a key that activates through its customer's sites only.
	KeyPinned problem.Code = "activation.key-pinned"
	// KeyRecovering is a key whose count is not certain after a restore.
	KeyRecovering problem.Code = "activation.key-recovering"
	// IDMismatch is the activation id of another year than the key's.
	IDMismatch problem.Code = "activation.id-mismatch"
	// CloudOnly is a year that is not activated with keys (rule L3).
	CloudOnly problem.Code = "activation.cloud-only"
	// EditionUnknown is an edition that the program does not list (rule K13).
	EditionUnknown problem.Code = "activation.edition-unknown"
	// EditionIneligible is an edition outside the program (rule K13).
	EditionIneligible problem.Code = "activation.edition-ineligible"
	// ArchitectureIneligible is an architecture outside the program, or not the edition's (rule K13).
	ArchitectureIneligible problem.Code = "activation.architecture-ineligible"
	// LimitReached is a key with no activation left (rule K5).
	LimitReached problem.Code = "activation.limit-reached"
)
