package locales

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// show renders one argument on one line: ends of lines and tabs become spaces.
// Other control characters, which can come from outside and would move a
// terminal's cursor or turn text around, become U+FFFD.
func (r *Renderer) show(value any) string {
	return strings.Map(func(c rune) rune {
		switch {
		case strings.ContainsRune("\t\n\v\f\r\u0085\u2028\u2029", c):
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c):
			return unicode.ReplacementChar
		}
		return c
	}, r.plain(value))
}

func (r *Renderer) plain(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case time.Time: // its String is for debugging
		return v.UTC().Format(time.RFC3339)
	case error:
		return v.Error()
	case interface{ In(lang string) string }: // texts of a program file
		base, _ := r.lang.Base()
		return v.In(base.String())
	case fmt.Stringer: // days, amounts, identifiers
		return v.String()
	}
	list := reflect.ValueOf(value)
	if list.Kind() != reflect.Slice && list.Kind() != reflect.Array {
		return fmt.Sprint(value)
	}
	parts := make([]string, list.Len())
	for i := range parts {
		parts[i] = r.plain(list.Index(i).Interface())
	}
	return r.join(parts)
}

// join puts a list together as the language does: "a, b and c".
func (r *Renderer) join(parts []string) string {
	if len(parts) == 0 {
		return r.Text("text.list-none", nil)
	}
	joined := parts[0]
	for i, next := range parts[1:] {
		id := "text.list-middle"
		if i == len(parts)-2 {
			id = "text.list-end"
		}
		joined = r.Text(id, map[string]any{"list": joined, "next": next})
	}
	return joined
}

// count is a number in the form in which go-i18n chooses plurals by it; what is
// no number counts as 0.
func count(value any) string {
	switch v := reflect.ValueOf(value); {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	}
	return "0"
}
