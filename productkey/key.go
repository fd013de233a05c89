// Package productkey makes, reads and checks 25-character product keys, and
// derives from one what may leave the machine in its place.
//
// # Form
//
// A key carries the 105-bit number M = tag ‖ random: 14 bits that name track and
// year (their meaning stands in the program file) and 91 random bits. With
//
//	N = 576·M + c,   c = (−576·M) mod 571,
//
// the key is N in base 24, most significant symbol first, always 25 symbols of
// [Symbols], each worth its place in that text. A key is well formed when
// N ≡ 0 (mod 571), c < 571 and M < 2¹⁰⁵; each M has exactly one text. 571 is
// prime, larger than 24, and no power of 24 below the 25th is 1 modulo 571, so
// every single wrong symbol and every swap of two different symbols is caught,
// wherever it is; of other texts of 25 symbols about one in 790 is well formed.
//
// # Derivations
//
// The key itself never travels. From M, as 14 bytes big-endian, HKDF-SHA-256
// without salt makes two values, told apart by their info text:
//
//	ref   16 bytes   info "esu-key-ref-v1"   names the key in requests and stores
//	mac   32 bytes   info "esu-key-mac-v1"   HMAC-SHA-256 key that proves it is held
//
// testdata/vectors.json fixes form and derivations for other implementations.
//
// # Secrecy
//
// No way of printing, logging or marshaling a [Key] or a [MAC] shows it, not even
// inside another value's unexported field, where fmt asks no method: both hold a
// pointer, made by package unique so that == still compares what it points to, and
// to a string, because fmt follows a pointer to an array. [Key.Reveal] and [MAC.Reveal] are the only ways out. The last five
// symbols may be shown: they fix less than 14 bits of M and leave 77 unknown.
//
// The package decides nothing about a key: whether it exists, is blocked or fits
// a device is for those who hold keys and program files.
package productkey

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
	"unique"

	"github.com/openesu/openesu/problem"
)

// What is wrong with a text that is no well-formed product key. All are
// problem.Invalid, and together they are the malformed key of rule K14.
const (
	MalformedShort  problem.Code = "key.malformed-short"  // fewer than 25 symbols; count
	MalformedLong   problem.Code = "key.malformed-long"   // more than 25 symbols, or than 256 bytes
	MalformedSymbol problem.Code = "key.malformed-symbol" // one that keys do not use; symbol, and its group and place, both from 1
	MalformedCheck  problem.Code = "key.malformed-check"  // 25 symbols that do not belong together
)

// Symbols are the 24 characters of product keys; the value of each is its place.
const Symbols = "BCDFGHJKMPQRTVWXY2346789"

const (
	length   = 25  // symbols of a key
	group    = 5   // symbols between two hyphens
	base     = 24  // len(Symbols)
	factor   = 576 // base², the room for the check
	modulus  = 571 // the largest prime below factor
	highBits = 41  // of the 105 bits of M, those above the lower 64

	// maxText bounds what Parse looks at, in bytes: a key with generous spacing.
	maxText = 256

	// hidden stands for the groups that are not shown.
	hidden = "*****-*****-*****-*****-"
)

// Tag names a track and coverage year of one vendor. Program files give tags
// their meaning.
type Tag uint16

// MaxTag is the largest tag that a key can carry: 14 bits.
const MaxTag Tag = 1<<14 - 1

// Key is one well-formed product key. Keys compare with ==. The zero value is no
// key: it prints as nothing and panics when asked for anything secret.
type Key struct {
	message unique.Handle[string] // M as 14 bytes, big-endian
}

// New makes the key of tag with the lower 91 bits of random, read big-endian: the
// upper five bits of random[0] are ignored. The caller draws random from a
// cryptographic source. A tag above MaxTag is an internal error.
func New(tag Tag, random [12]byte) (Key, error) {
	if tag > MaxTag {
		return Key{}, fmt.Errorf("make product key: tag %d is above %d", tag, MaxTag)
	}
	high := uint64(tag)<<27 | uint64(binary.BigEndian.Uint32(random[:4])&(1<<27-1))
	return fromNumber(high, binary.BigEndian.Uint64(random[4:])), nil
}

// fromNumber holds M = high·2⁶⁴ + low, high below 2⁴¹.
func fromNumber(high, low uint64) Key {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], low)
	return Key{unique.Make(string(b[2:]))}
}

// number returns M as high·2⁶⁴ + low.
func (k Key) number() (high, low uint64) {
	var b [16]byte
	copy(b[2:], k.message.Value())
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// Parse reads a key as people type and paste it: in upper or lower case, with or
// without hyphens and spaces anywhere, white space around it, and nothing else. It
// looks at no more than 256 bytes. Every error is a *problem.Problem with one of
// the Malformed codes, and shows no more of the text than one wrong character.
func Parse(text string) (Key, error) {
	if len(text) > maxText {
		return Key{}, problem.New(problem.Invalid, MalformedLong)
	}
	var high, low uint64 // N so far; 24²⁵ is below 2¹¹⁵
	count := 0
	text = strings.TrimSpace(text)
	for i, r := range text {
		if r == '-' || r == ' ' {
			continue
		}
		if count == length {
			return Key{}, problem.New(problem.Invalid, MalformedLong)
		}
		value := valueOf(r)
		if value < 0 {
			return Key{}, problem.New(problem.Invalid, MalformedSymbol,
				"symbol", printable(text[i:]), "group", count/group+1, "place", count%group+1)
		}
		carry, product := bits.Mul64(low, base)
		sum, over := bits.Add64(product, uint64(value), 0)
		high, low = high*base+carry+over, sum
		count++
	}
	if count < length {
		return Key{}, problem.New(problem.Invalid, MalformedShort, "count", count)
	}
	_, _, remainder := divide(high, low, modulus)
	mHigh, mLow, check := divide(high, low, factor)
	if remainder != 0 || check >= modulus || mHigh>>highBits != 0 {
		return Key{}, problem.New(problem.Invalid, MalformedCheck)
	}
	return fromNumber(mHigh, mLow), nil
}

// valueOf returns what a symbol is worth, or -1. Only ASCII letters have a lower
// case here: the Kelvin sign is no K.
func valueOf(r rune) int {
	if 'a' <= r && r <= 'z' {
		r -= 'a' - 'A'
	}
	return strings.IndexRune(Symbols, r)
}

// printable returns the first character of text, or its number where it would not
// be seen, would alter what stands around it, or is no character.
func printable(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf("0x%02X", text[0])
	case !unicode.IsPrint(r) || unicode.IsMark(r):
		return fmt.Sprintf("%U", r)
	}
	return string(r)
}

// divide returns high·2⁶⁴ + low divided by d, and the remainder.
func divide(high, low, d uint64) (quotientHigh, quotientLow, remainder uint64) {
	quotientHigh, remainder = high/d, high%d
	quotientLow, remainder = bits.Div64(remainder, low, d)
	return quotientHigh, quotientLow, remainder
}

// symbols returns the key's 25 symbols.
func (k Key) symbols() [length]byte {
	high, low := k.number()
	carry, low := bits.Mul64(low, factor)
	high = high*factor + carry
	_, _, remainder := divide(high, low, modulus)
	low, carry = bits.Add64(low, (modulus-remainder)%modulus, 0)
	high += carry

	var text [length]byte
	for i := length - 1; i >= 0; i-- {
		var value uint64
		high, low, value = divide(high, low, base)
		text[i] = Symbols[value]
	}
	return text
}

// Reveal returns the whole key in five groups of five, for the eyes and the store
// it is meant for.
func (k Key) Reveal() string {
	symbols := k.symbols()
	text := make([]byte, 0, length+length/group-1)
	for i, symbol := range symbols {
		if i > 0 && i%group == 0 {
			text = append(text, '-')
		}
		text = append(text, symbol)
	}
	return string(text)
}

// Tag returns the tag of track and year that the key carries.
func (k Key) Tag() Tag {
	high, _ := k.number()
	return Tag(high >> 27) //nolint:gosec // 14 bits by construction
}

// IsZero reports whether k is the zero value, which is no key.
func (k Key) IsZero() bool { return k == Key{} }

// LastFive returns the last five symbols, by which people name a key, and nothing
// for the zero Key.
func (k Key) LastFive() string {
	if k.IsZero() {
		return ""
	}
	symbols := k.symbols()
	return string(symbols[length-group:])
}

// String returns the key with all but its last five symbols hidden, and nothing
// for the zero Key.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return hidden + k.LastFive()
}

// Format prints what String returns, whatever the verb, so that no %x or %#v
// reaches further; width and %q work as for text.
func (k Key) Format(f fmt.State, verb rune) {
	if verb != 'q' {
		verb = 's'
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), k.String())
}

// MarshalText returns what String returns, and encoders of JSON, XML, YAML and
// slog ask it. There is no way back: a document that must carry a key says so with
// Reveal, and is read with Parse.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
