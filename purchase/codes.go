package purchase

import "github.com/openesu/openesu/problem"

// Why a request cannot be ordered.
const (
	// HomeUser is a home user, who is not served.
	HomeUser problem.Code = "purchase.home-user"
	// ProductMissing is no product named where the program has several.
	ProductMissing problem.Code = "purchase.product-missing"
	// ProductUnknown is a name that the program file does not have.
	ProductUnknown problem.Code = "purchase.product-unknown"
	// ProductNotCovered is a product that the program names as not covered.
	ProductNotCovered problem.Code = "purchase.not-covered"
	// EditionIneligible is an edition outside the program.
	EditionIneligible problem.Code = "purchase.edition-ineligible"
	// EmbeddedOnly is an embedded product on a channel that does not sell it.
	EmbeddedOnly problem.Code = "purchase.embedded-only"

	// ChannelUnknown is a channel that the program file does not have.
	ChannelUnknown problem.Code = "purchase.channel-unknown"
	// ChannelClosed is a channel that does not sell this program.
	ChannelClosed problem.Code = "purchase.channel-closed"
	// ChannelWithout is a channel that does not sell this product.
	ChannelWithout problem.Code = "purchase.channel-without-product"
	// ChannelNotOpen is a day before the channel opens.
	ChannelNotOpen problem.Code = "purchase.channel-not-open"
	// ProgramOver is a day after the last day of the last year that is sold.
	ProgramOver problem.Code = "purchase.program-over"

	// QualificationUnknown is a qualification that the program file does not have.
	QualificationUnknown problem.Code = "purchase.qualification-unknown"
	// QualificationWithoutPrice is one that has no price on the channel.
	QualificationWithoutPrice problem.Code = "purchase.qualification-without-price"
	// QualificationElsewhere is one whose customers buy through another channel.
	QualificationElsewhere problem.Code = "purchase.qualification-elsewhere"
	// ListUnknown is a price list that the program file does not have.
	ListUnknown problem.Code = "purchase.list-unknown"

	// ContractMissing is no contract where the channel asks for one.
	ContractMissing problem.Code = "purchase.contract-missing"
	// ContractNotValid is a contract that is not valid on the day.
	ContractNotValid problem.Code = "purchase.contract-not-valid"
	// ContractHolderMissing is an order that does not say whose the contract is.
	ContractHolderMissing problem.Code = "purchase.contract-holder-missing"
	// SellerMissing is an order without the seller that the channel asks for.
	SellerMissing problem.Code = "purchase.seller-missing"
	// SellerUnregistered is a seller that is not registered for the channel.
	SellerUnregistered problem.Code = "purchase.seller-unregistered"
	// SellerUnneeded is a seller on a channel where the vendor itself sells.
	SellerUnneeded problem.Code = "purchase.seller-unneeded"
	// ProviderMissing is an indirect reseller's order without its provider.
	ProviderMissing problem.Code = "purchase.provider-missing"

	// LinesMissing is a request for no year at all.
	LinesMissing problem.Code = "purchase.lines-missing"
	// QuantityTooSmall is a line of less than one seat.
	QuantityTooSmall problem.Code = "purchase.quantity-too-small"
	// QuantityTooLarge is more seats of one year than MaxSeats.
	QuantityTooLarge problem.Code = "purchase.quantity-too-large"
	// YearUnknown is a coverage year that the product does not have.
	YearUnknown problem.Code = "purchase.year-unknown"
	// YearNotSold is a coverage year that exists and is not for sale.
	YearNotSold problem.Code = "purchase.year-not-sold"

	// CurrencyMissing is no currency named where prices are public.
	CurrencyMissing problem.Code = "purchase.currency-missing"
	// CurrencyNotPriced is a currency without a price where others have one.
	CurrencyNotPriced problem.Code = "purchase.currency-not-priced"
	// PriceNotPublic is a year whose price is to be asked for.
	PriceNotPublic problem.Code = "purchase.price-not-public"
	// PriceNotAnnounced is a year without a price, or with a planned one, where prices are public.
	PriceNotAnnounced problem.Code = "purchase.price-not-announced"
	// PriceNotInForce is a year whose price holds from a later day.
	PriceNotInForce problem.Code = "purchase.price-not-in-force"
	// SellerPriceBad is a seller's price below nought or in another currency.
	SellerPriceBad problem.Code = "purchase.seller-price-bad"
	// AmountTooLarge is a sum that cannot be written exactly.
	AmountTooLarge problem.Code = "purchase.amount-too-large"

	// YearsMissing is an order that lacks seats of earlier years, with their cost.
	YearsMissing problem.Code = "purchase.years-missing"
	// YearsMissingUnpriced is YearsMissing where that cost is not known.
	YearsMissingUnpriced problem.Code = "purchase.years-missing-unpriced"
)

// Why seats cannot be returned.
const (
	// ReturnNotTaken is a return on a channel that takes none.
	ReturnNotTaken problem.Code = "purchase.return-not-taken"
	// ReturnNotBySeller is a return asked for by anyone but the seller.
	ReturnNotBySeller problem.Code = "purchase.return-not-by-seller"
	// ReturnTooEarly is a return before the first day of the year bought.
	ReturnTooEarly problem.Code = "purchase.return-too-early"
	// ReturnTooMany is a return of more seats than were ordered and are left.
	ReturnTooMany problem.Code = "purchase.return-too-many"
	// ReturnActivated is a return of seats that are activated.
	ReturnActivated problem.Code = "purchase.return-activated"
	// ReturnLaterFirst is a return that would leave a later year with more seats.
	ReturnLaterFirst problem.Code = "purchase.return-later-year-first"
)
