package program

import (
	"encoding"
	"errors"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/openesu/openesu/problem"
)

// Limits far above what a program file needs: the YAML parser takes quadratic
// time and memory in depth, in the number of keys and over brackets left open.
const (
	maxTokens = 50_000
	maxFlow   = 16  // open brackets and braces
	maxIndent = 100 // columns before a list's dash
)

// plain reports what in the tokens program files do not use: whatever lets one
// line stand for another, makes keys of anything but words, or costs the parser
// more time than it is worth.
func plain(tokens token.Tokens) (what string, line int) {
	if len(tokens) > maxTokens {
		return "more keys and values than a program file may have", tokens[maxTokens].Position.Line
	}
	var open []int // the lines of brackets and braces
	for _, t := range tokens {
		line := t.Position.Line
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return "anchors and aliases are not used in program files", line
		case token.TagType, token.DirectiveType:
			return "tags and directives are not used in program files", line
		case token.MappingKeyType:
			return "a key is a single word", line
		case token.SequenceStartType, token.MappingStartType:
			open = append(open, line)
		case token.SequenceEndType, token.MappingEndType:
			open = open[:max(len(open)-1, 0)] // one too many is the parser's to report
		}
		if len(open) > maxFlow || t.Type == token.SequenceEntryType && t.Position.Column > maxIndent {
			return "lists and braces are nested too deeply", line
		}
	}
	if len(open) > 0 {
		return "a bracket or brace is not closed", open[len(open)-1]
	}
	return "", 0
}

// decode reads a node into v, which starts out zero. It goes on after what is
// wrong, so that a person sees all of it at once, each with its line: a key that
// the type does not have, a value of another shape. And it keeps the line of
// every path for the checks that follow. (The decoder that comes with the parser
// stops at the first, forgets the line where a type reads itself, and takes
// quadratic time there.)
func (c *checker) decode(n ast.Node, v reflect.Value, path string) {
	if n.Type() == ast.NullType {
		return // as if the key were not there
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch own := v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		if text, ok := scalar(n); !ok {
			c.malformed(path, "expected a single value")
		} else if err := own.UnmarshalText([]byte(text)); err != nil {
			c.malformed(path, err.Error())
		}
		return
	case yaml.InterfaceUnmarshaler:
		if err := own.UnmarshalYAML(func(to any) error { return yaml.NodeToValue(n, to) }); err != nil {
			c.malformed(path, said(err))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := fieldsByKey(v)
		c.mapping(n, path, func(pair *ast.MappingValueNode, key, path string) {
			if field, ok := fields[key]; ok {
				c.decode(pair.Value, field, path)
				return
			}
			c.add(path, KeyUnknown)
		})
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		c.mapping(n, path, func(pair *ast.MappingValueNode, _, path string) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			c.decode(pair.Key, key, path)
			c.decode(pair.Value, value, path)
			v.SetMapIndex(key, value)
		})
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			c.malformed(path, "expected a list")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, item := range list.Values {
			path := at(path, i)
			c.lines[path] = firstLine(item)
			c.decode(item, v.Index(i), path)
		}
	default:
		c.scalar(n, v, path)
	}
}

func (c *checker) mapping(n ast.Node, path string, each func(pair *ast.MappingValueNode, key, path string)) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		c.malformed(path, "expected keys with values")
		return
	}
	for _, pair := range pairs {
		key := pair.Key.GetToken().Value
		full := key
		if path != "" {
			full = path + "." + key
		}
		c.lines[full] = pair.Key.GetToken().Position.Line
		each(pair, key, full)
	}
}

func (c *checker) scalar(n ast.Node, v reflect.Value, path string) {
	text, ok := scalar(n)
	switch v.Kind() {
	case reflect.String:
		if !ok {
			c.malformed(path, "expected a text")
			return
		}
		v.SetString(text)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			c.malformed(path, "expected true or false")
			return
		}
		v.SetBool(b.Value)
	default:
		whole, err := strconv.ParseUint(text, 10, v.Type().Bits()-1)
		if n.Type() != ast.IntegerType || err != nil || strconv.FormatUint(whole, 10) != text {
			c.malformed(path, "expected a whole number")
			return
		}
		if v.CanUint() {
			v.SetUint(whole)
		} else {
			v.SetInt(int64(whole)) //nolint:gosec // one bit less than the type has
		}
	}
}

// scalar is the text of a single value as it is written, without quotes.
func scalar(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case ast.ScalarNode:
		return s.GetToken().Value, true
	}
	return "", false
}

// said is an error without the decoder's own decoration.
func said(err error) string {
	var decoder yaml.Error
	if errors.As(err, &decoder) {
		return "expected a single value"
	}
	return err.Error()
}

func (c *checker) malformed(path, what string) {
	if path != "" {
		what = path + ": " + what
	}
	c.problem(problem.New(problem.Invalid, FileSyntax, "file", c.file, "line", c.line(path), "what", what))
}

// fieldsByKey are the fields of a struct, those of its inlined parts included.
func fieldsByKey(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if option == "inline" {
			maps.Copy(fields, fieldsByKey(v.Field(i)))
			continue
		}
		fields[key] = v.Field(i)
	}
	return fields
}

func firstLine(n ast.Node) int {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position.Line
	}
	return n.GetToken().Position.Line
}
