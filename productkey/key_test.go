package productkey_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
)

// vectors is testdata/vectors.json. Another program wrote it, from the formulas
// alone, so that it proves more than that this package agrees with itself.
type vectors struct {
	Keys []struct {
		Tag     productkey.Tag
		Random  string // 12 bytes in hexadecimal, as the others
		M       string
		Key     string
		Ref     productkey.Ref
		MAC     string
		Message string
		Proof   productkey.Proof
	}
	Malformed []struct {
		Why, Text string
		Code      problem.Code
		Args      map[string]any
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) < 8 || len(v.Malformed) < 11 {
		t.Fatalf("have %d keys and %d malformed texts: some were lost", len(v.Keys), len(v.Malformed))
	}
	return v
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustParse(t testing.TB, text string) productkey.Key {
	t.Helper()
	k, err := productkey.Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return k
}

// anyKey draws a tag and 12 random bytes, and makes their key.
func anyKey(t *rapid.T) (productkey.Key, productkey.Tag, [12]byte) {
	tag := productkey.Tag(rapid.Uint16Max(uint16(productkey.MaxTag)).Draw(t, "tag"))
	random := [12]byte(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "random"))
	k, err := productkey.New(tag, random)
	if err != nil {
		t.Fatal(err)
	}
	return k, tag, random
}

func TestKnownKeys(t *testing.T) {
	for _, v := range readVectors(t).Keys {
		made, err := productkey.New(v.Tag, [12]byte(unhex(t, v.Random)))
		if err != nil {
			t.Fatalf("%s: %v", v.Key, err)
		}
		if got := made.Reveal(); got != v.Key {
			t.Errorf("New(%d, %s) = %s, want %s", v.Tag, v.Random, got, v.Key)
		}
		if read := mustParse(t, v.Key); read != made {
			t.Errorf("Parse(%s) = %s, want %s", v.Key, read.Reveal(), made.Reveal())
		}
		if made.Tag() != v.Tag {
			t.Errorf("%s: tag %d, want %d", v.Key, made.Tag(), v.Tag)
		}
		if got, want := made.LastFive(), v.Key[len(v.Key)-5:]; got != want {
			t.Errorf("%s: last five %s, want %s", v.Key, got, want)
		}
	}
}

// rule K14: a malformed key is told apart from a well-formed one of another
// product, and the person reads what is wrong with it.
func TestMalformed(t *testing.T) {
	all := readVectors(t).Malformed
	for _, more := range []struct {
		why, text string
		code      problem.Code
		args      map[string]any
	}{
		{"too much to look at", strings.Repeat(" ", 300), productkey.MalformedLong, nil},
		{"a megabyte", strings.Repeat("B", 1<<20), productkey.MalformedLong, nil},
		{"hyphens alone", "----", productkey.MalformedShort, map[string]any{"count": 0.0}},
		{"a byte that is no UTF-8", "BC\xff", productkey.MalformedSymbol, map[string]any{"symbol": "0xFF", "group": 1.0, "place": 3.0}},
		{"a mark that would sit on what stands before it", "BCDFG-\u0301", productkey.MalformedSymbol, map[string]any{"symbol": "U+0301", "group": 2.0, "place": 1.0}},
		{"a character that turns the line around", "\u202eB", productkey.MalformedSymbol, map[string]any{"symbol": "U+202E", "group": 1.0, "place": 1.0}},
		{"a lower-case letter that is not used", "bcdfg-hjkmi", productkey.MalformedSymbol, map[string]any{"symbol": "i", "group": 2.0, "place": 5.0}},
		{"a key and a word", strings.Repeat("B", 25) + " key", productkey.MalformedLong, nil},
	} {
		if more.args == nil {
			more.args = map[string]any{}
		}
		all = append(all, struct {
			Why, Text string
			Code      problem.Code
			Args      map[string]any
		}{more.why, more.text, more.code, more.args})
	}
	for _, v := range all {
		t.Run(v.Why, func(t *testing.T) {
			k, err := productkey.Parse(v.Text)
			p, ok := problem.As(err)
			if !ok {
				t.Fatalf("got %v, want a problem", err)
			}
			if p.Kind != problem.Invalid || p.Code != v.Code {
				t.Errorf("got %v %v, want %v %v", p.Kind, p.Code, problem.Invalid, v.Code)
			}
			args := map[string]any{}
			for name, value := range p.Args {
				if n, ok := value.(int); ok {
					value = float64(n) // as JSON has it
				}
				args[name] = value
			}
			if diff := cmp.Diff(v.Args, args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if !k.IsZero() {
				t.Errorf("got a key beside the error")
			}
		})
	}
}

func TestParseTolerates(t *testing.T) {
	want := readVectors(t).Keys[4].Key
	plain := strings.ReplaceAll(want, "-", "")
	for _, text := range []string{
		plain,
		strings.ToLower(want),
		strings.ReplaceAll(want, "-", " "),
		strings.ReplaceAll(want, "-", " - "),
		"\t\r\n" + want + "\u00a0\n",
		"-" + want + "-",
		strings.Join(strings.Split(plain, ""), " "),
	} {
		if got := mustParse(t, text).Reveal(); got != want {
			t.Errorf("Parse(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestNewUsesTheLowerBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, tag, random := anyKey(t)
		bit := rapid.IntRange(0, 95).Draw(t, "bit") // from the top
		random[bit/8] ^= 0x80 >> (bit % 8)
		other, err := productkey.New(tag, random)
		if err != nil {
			t.Fatal(err)
		}
		if used := bit >= 5; (other != k) != used {
			t.Fatalf("bit %d from the top: other key %v, want %v", bit, other != k, used)
		}
	})
}

func TestNewRefusesATagThatDoesNotFit(t *testing.T) {
	for _, tag := range []productkey.Tag{productkey.MaxTag + 1, 1<<16 - 1} {
		if k, err := productkey.New(tag, [12]byte{}); err == nil || !k.IsZero() {
			t.Errorf("New(%d) made a key", tag)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, tag, _ := anyKey(t)
		text := k.Reveal()
		for i, c := range text {
			if hyphen := i%6 == 5; len(text) != 29 || hyphen != (c == '-') || !hyphen && !strings.ContainsRune(productkey.Symbols, c) {
				t.Fatalf("%s is not five groups of five symbols", text)
			}
		}
		back, err := productkey.Parse(text)
		if err != nil || back != k || back.Tag() != tag {
			t.Fatalf("Parse(%s) = %s, %v", text, back.Reveal(), err)
		}
	})
}

// rule K14: whatever single symbol was mistyped, the key is known as malformed.
func TestEverySingleWrongSymbolIsCaught(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, _, _ := anyKey(t)
		text := []byte(strings.ReplaceAll(k.Reveal(), "-", ""))
		for i, right := range text {
			for _, wrong := range []byte(productkey.Symbols) {
				if wrong == right {
					continue
				}
				text[i] = wrong
				if _, err := productkey.Parse(string(text)); problem.CodeOf(err) != productkey.MalformedCheck {
					t.Fatalf("%s for %s: %v", text, k.Reveal(), err)
				}
			}
			text[i] = right
		}
	})
}

// rule K14: whatever two symbols were exchanged, the key is known as malformed.
func TestEverySwapOfTwoSymbolsIsCaught(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, _, _ := anyKey(t)
		text := []byte(strings.ReplaceAll(k.Reveal(), "-", ""))
		for i := range text {
			for j := range i {
				if text[i] == text[j] {
					continue
				}
				text[i], text[j] = text[j], text[i]
				if _, err := productkey.Parse(string(text)); problem.CodeOf(err) != productkey.MalformedCheck {
					t.Fatalf("%s for %s: %v", text, k.Reveal(), err)
				}
				text[i], text[j] = text[j], text[i]
			}
		}
	})
}

func TestZeroKey(t *testing.T) {
	var k productkey.Key
	if got := fmt.Sprintf("%v|%s|%#v", k, k.LastFive(), k); got != "||" {
		t.Errorf("the zero key prints as %q", got)
	}
	for name, ask := range map[string]func(){
		"Reveal": func() { k.Reveal() },
		"Tag":    func() { k.Tag() },
		"Ref":    func() { k.Ref() },
		"MAC":    func() { k.MAC() },
		"Proof":  func() { k.Proof(nil) },
		"Sum":    func() { productkey.MAC{}.Sum(nil) },
		"Verify": func() { productkey.MAC{}.Verify(nil, productkey.Proof{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a zero value did not panic", name)
				}
			}()
			ask()
		}()
	}
}

func FuzzParse(f *testing.F) {
	v := readVectors(f)
	for _, k := range v.Keys {
		f.Add(k.Key)
		f.Add(" " + strings.ToLower(k.Key) + "\r\n")
	}
	for _, m := range v.Malformed {
		f.Add(m.Text)
	}
	f.Add("BC\xff")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := productkey.Parse(text)
		if err == nil {
			bare := strings.NewReplacer("-", "", " ", "")
			if got, want := bare.Replace(k.Reveal()), strings.ToUpper(bare.Replace(strings.TrimSpace(text))); got != want {
				t.Fatalf("Parse(%q) = %s", text, k.Reveal())
			}
			if mustParse(t, k.Reveal()) != k {
				t.Fatalf("%s reads as another key", k.Reveal())
			}
			return
		}
		p, ok := problem.As(err)
		if !ok || p.Kind != problem.Invalid || !k.IsZero() {
			t.Fatalf("Parse(%q): %v", text, err)
		}
		switch p.Code {
		case productkey.MalformedLong, productkey.MalformedCheck:
		case productkey.MalformedShort:
			if n := p.Args["count"].(int); n < 0 || n > 24 {
				t.Fatalf("Parse(%q): count %d", text, n)
			}
		case productkey.MalformedSymbol:
			g, place, symbol := p.Args["group"].(int), p.Args["place"].(int), p.Args["symbol"].(string)
			if g < 1 || g > 5 || place < 1 || place > 5 || symbol == "" || len(symbol) > 8 {
				t.Fatalf("Parse(%q): %v", text, err)
			}
		default:
			t.Fatalf("Parse(%q): unknown code %v", text, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := readVectors(b).Keys[4].Key
	b.ReportAllocs()
	for b.Loop() {
		if _, err := productkey.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
