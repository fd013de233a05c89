package money_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/openesu/openesu/money"
)

var currencies = rapid.SampledFrom([]money.Currency{"USD", "EUR", "PLN", "JPY", "KRW", "KWD", "CLF"})

func amounts(least int64) *rapid.Generator[money.Amount] {
	return rapid.Custom(func(t *rapid.T) money.Amount {
		return money.Amount{Currency: currencies.Draw(t, "currency"), Minor: rapid.Int64Min(least).Draw(t, "minor")}
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := amounts(0).Draw(t, "amount")
		if got, err := money.Parse(a.String()); err != nil || got != a {
			t.Fatalf("Parse(%s) = %s, %v", a, got, err)
		}
	})
}

func TestForms(t *testing.T) {
	for in, want := range map[string]string{
		"USD 50": "USD 50.00", "USD 50.05": "USD 50.05", "USD 0": "USD 0.00", "USD 0.07": "USD 0.07",
		"JPY 7259": "JPY 7259", "KWD 1.005": "KWD 1.005", "USD 92233720368547758.07": "USD 92233720368547758.07",
	} {
		if a, err := money.Parse(in); err != nil || a.String() != want {
			t.Errorf("Parse(%q) = %s, %v, want %s", in, a, err, want)
		}
	}
	if got := (money.Amount{Currency: "USD", Minor: 5}).Negative().String(); got != "USD -0.05" {
		t.Errorf("five cents back are %q", got)
	}
	for _, s := range []string{"", "50", "USD", "USD ", "USD .50", "USD 5.", "USD 5.5", "USD 5.555", "USD 1,000", "USD -5", "USD +5", "USD 5 ",
		"USD  5", "usd 5", "ZZZ 5", "US 5", "JPY 72.59", "JPY 72.", "USD 1_0", "USD 92233720368547758.08", "USD 5.0x"} {
		if a, err := money.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %s", s, a)
		}
	}
}

func TestDecimals(t *testing.T) {
	for c, want := range map[money.Currency]int{"USD": 2, "EUR": 2, "JPY": 0, "KRW": 0, "KWD": 3} {
		if got := c.Decimals(); got != want {
			t.Errorf("%s has %d decimals, want %d", c, got, want)
		}
	}
}

// Sums and products are exact or an error, never wrong.
func TestArithmetic(t *testing.T) {
	exact := func(t *rapid.T, op string, want *big.Int, got money.Amount, err error) {
		if want.IsInt64() != (err == nil) || err == nil && got.Minor != want.Int64() {
			t.Fatalf("%s = %d, %v, want %s", op, got.Minor, err, want)
		}
	}
	edges := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, -1, 0, 1}))
	rapid.Check(t, func(t *rapid.T) {
		x, y := edges.Draw(t, "x"), edges.Draw(t, "y")
		a, b := money.Amount{Currency: "EUR", Minor: x}, money.Amount{Currency: "EUR", Minor: y}
		sum, err := a.Add(b)
		exact(t, "sum", new(big.Int).Add(big.NewInt(x), big.NewInt(y)), sum, err)
		product, err := a.Times(y)
		exact(t, "product", new(big.Int).Mul(big.NewInt(x), big.NewInt(y)), product, err)
	})
}

func TestCurrenciesNeverMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts(math.MinInt64).Draw(t, "a"), amounts(math.MinInt64).Draw(t, "b")
		if sum, err := a.Add(b); a.Currency != b.Currency && err == nil {
			t.Fatalf("%s + %s = %s", a, b, sum)
		}
	})
}

func TestYAML(t *testing.T) {
	var got struct {
		Price money.Amount `yaml:"price"`
	}
	if err := yaml.Unmarshal([]byte("price: USD 61\n"), &got); err != nil || got.Price != (money.Amount{Currency: "USD", Minor: 6100}) {
		t.Errorf("%s, %v", got.Price, err)
	}
	if err := yaml.Unmarshal([]byte("price: 61\n"), &got); err == nil {
		t.Error("an amount without a currency was read")
	}
	if got.Price.IsZero() || !(money.Amount{Currency: "USD"}).IsZero() {
		t.Error("zero is mistaken")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"USD 50", "USD 50.00", "JPY 7259", "USD", "XXX 1", "KWD 1.005"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := money.Parse(s)
		if err != nil {
			return
		}
		if again, err := money.Parse(a.String()); err != nil || again != a || a.Minor < 0 {
			t.Errorf("%q is %s, which is %s, %v", s, a, again, err)
		}
	})
}
