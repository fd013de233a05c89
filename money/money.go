// Package money has exact amounts: integer minor units of one currency.
//
// There is no rounding and no conversion here: prices are stated in whole minor
// units, quantities are integers, and amounts of different currencies never
// meet in one sum. Arithmetic that would overflow is an error.
package money

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
)

// Currency is an ISO 4217 code in capitals. Only ParseCurrency makes one.
type Currency string

// ParseCurrency accepts the three capital letters of a currency in use.
func ParseCurrency(s string) (Currency, error) {
	unit, err := currency.ParseISO(s)
	if err != nil || unit.String() != s {
		return "", fmt.Errorf("%q is not an ISO 4217 currency code", s)
	}
	return Currency(s), nil
}

// Decimals is how many digits of a stated amount stand after the point: 2 for
// USD, 0 for JPY.
func (c Currency) Decimals() int {
	unit, err := currency.ParseISO(string(c))
	if err != nil {
		return 2
	}
	scale, _ := currency.Standard.Rounding(unit)
	return scale
}

// Amount is a sum in minor units (cents, yen).
type Amount struct {
	Currency Currency `json:"currency"`
	Minor    int64    `json:"minor"`
}

// Parse reads "USD 50", "USD 50.00" or "JPY 7259": the code, one space, the
// amount without grouping.
func Parse(s string) (Amount, error) {
	code, digits, ok := strings.Cut(s, " ")
	if !ok {
		return Amount{}, fmt.Errorf("%q is not an amount of the form 'USD 50.00'", s)
	}
	c, err := ParseCurrency(code)
	if err != nil {
		return Amount{}, err
	}
	whole, part, pointed := strings.Cut(digits, ".")
	decimals := c.Decimals()
	if pointed && len(part) != decimals || pointed && decimals == 0 {
		return Amount{}, fmt.Errorf("%q: %s has %d digits after the point", s, c, decimals)
	}
	if !pointed {
		part = strings.Repeat("0", decimals)
	}
	minor, err := strconv.ParseUint(whole+part, 10, 63)
	if err != nil || whole == "" {
		return Amount{}, fmt.Errorf("%q is not an amount of the form 'USD 50.00'", s)
	}
	return Amount{Currency: c, Minor: int64(minor)}, nil
}

// IsZero reports whether the sum is nought, in whatever currency.
func (a Amount) IsZero() bool { return a.Minor == 0 }

// Add returns a + b. Currencies must be the same.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("cannot add %s to %s", b.Currency, a.Currency)
	}
	if b.Minor > 0 && a.Minor > math.MaxInt64-b.Minor || b.Minor < 0 && a.Minor < math.MinInt64-b.Minor {
		return Amount{}, fmt.Errorf("%s plus %s is too large", a, b)
	}
	return Amount{Currency: a.Currency, Minor: a.Minor + b.Minor}, nil
}

// Times returns n of a.
func (a Amount) Times(n int64) (Amount, error) {
	product := a.Minor * n
	if n != 0 && (product/n != a.Minor || a.Minor == math.MinInt64 && n == -1) {
		return Amount{}, fmt.Errorf("%d times %s is too large", n, a)
	}
	return Amount{Currency: a.Currency, Minor: product}, nil
}

// Negative returns -a, as a credit note states it.
func (a Amount) Negative() Amount { return Amount{Currency: a.Currency, Minor: -a.Minor} }

// String is "USD 1500.00": for logs, files and the plain command line.
func (a Amount) String() string {
	decimals := a.Currency.Decimals()
	digits := strconv.FormatInt(a.Minor, 10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if decimals > 0 {
		digits = strings.Repeat("0", max(0, decimals+1-len(digits))) + digits
		digits = digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
	}
	return string(a.Currency) + " " + sign + digits
}

// UnmarshalYAML reads the form of Parse.
func (a *Amount) UnmarshalYAML(decode func(any) error) error {
	var s string
	if err := decode(&s); err != nil {
		return err
	}
	parsed, err := Parse(s)
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
