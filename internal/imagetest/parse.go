package imagetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	maxFile     = 1 << 20 // bytes of a file of tests
	maxValues   = 100_000 // values in it, aliases followed
	maxMistakes = 20      // told at once
)

// Parse reads a file of tests, YAML or JSON. Its error names the file and the line of each mistake.
func Parse(name string, data []byte) (Suite, error) {
	if len(data) > maxFile {
		return Suite{}, fmt.Errorf("%s: more than %d bytes: split it into several files", name, maxFile)
	}
	if strings.HasSuffix(name, ".json") {
		data = jsonEscape.ReplaceAllFunc(data, unescape)
	}
	p := &parser{file: name}
	root, err := p.document(data)
	if err != nil {
		return Suite{}, err
	}
	s := p.suite(root)
	if len(p.mistakes) == 0 && s.empty() {
		p.wrong(root, "it has no tests: container-structure-test calls that a failure, too")
	}
	return s, errors.Join(p.mistakes...)
}

// jsonEscape is an escape of JSON's strings. YAML has all but two: a slash, and the two halves of a character.
var jsonEscape = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)`)

func unescape(escape []byte) []byte {
	var s string
	if len(escape) == 2 && escape[1] != '/' || json.Unmarshal(slices.Concat([]byte{'"'}, escape, []byte{'"'}), &s) != nil {
		return escape
	}
	return []byte(s)
}

func (s *Suite) empty() bool {
	return len(s.Commands)+len(s.Contents)+len(s.Files)+len(s.Licenses)+len(s.Ports) == 0 && s.Metadata == nil
}

type parser struct {
	file     string
	mistakes []error
}

// wrong notes a mistake at n.
func (p *parser) wrong(n *yaml.Node, format string, args ...any) {
	if len(p.mistakes) < maxMistakes {
		p.mistakes = append(p.mistakes, fmt.Errorf("%s:%d: %s", p.file, max(n.Line, 1), fmt.Sprintf(format, args...)))
	}
}

// document is the root of the one document in data.
func (p *parser) document(data []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:1: it is empty", p.file)
	} else if err != nil {
		return nil, p.syntax(err)
	}
	if err := d.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: a second document: write one file for each", p.file, max(second.Line, 1))
	} else if !errors.Is(err, io.EOF) {
		return nil, p.syntax(err)
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("%s:1: it is empty", p.file)
	}
	if budget := maxValues; !within(doc.Content[0], &budget) {
		return nil, fmt.Errorf("%s: more than %d values, those that aliases repeat counted: split it into several files", p.file, maxValues)
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax is the YAML parser's error, in the form of all others.
func (p *parser) syntax(err error) error {
	at := yamlLine.FindStringSubmatch(err.Error())
	if at == nil || at[1] == "" {
		return fmt.Errorf("%s: %s", p.file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return fmt.Errorf("%s:%s: %s", p.file, at[1], err.Error()[len(at[0]):])
}

// within says that n has no more values than are left in the budget, however often aliases repeat them.
func within(n *yaml.Node, budget *int) bool {
	if *budget--; *budget < 0 {
		return false
	}
	if n.Kind == yaml.AliasNode {
		return within(n.Alias, budget)
	}
	for _, c := range n.Content {
		if !within(c, budget) {
			return false
		}
	}
	return true
}

func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// fields are a mapping's keys, each with where its value goes: a pointer, or a function that takes the node.
type fields map[string]any

// object reads a mapping. It returns the keys that are there.
func (p *parser) object(n *yaml.Node, what string, f fields) map[string]bool {
	return p.merged(n, what, f, map[string]bool{})
}

// merged reads a mapping, then those that it is merged with by "<<"; what was seen before stays.
func (p *parser) merged(n *yaml.Node, what string, f fields, seen map[string]bool) map[string]bool {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		p.wrong(n, "%s is written as keys with values", what)
		return seen
	}
	here := map[string]bool{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch into, ok := f[k.Value]; {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merges = append(merges, v)
		case !ok || k.Kind != yaml.ScalarNode:
			p.wrong(k, "%s has no key %q; its keys are: %s", what, brief(k.Value), strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		case here[k.Value]:
			p.wrong(k, "the key %q is here twice", k.Value)
		default:
			if here[k.Value] = true; !seen[k.Value] {
				seen[k.Value] = true
				p.value(v, k.Value, into)
			}
		}
	}
	for _, m := range merges {
		p.merge(m, what, f, seen)
	}
	return seen
}

func (p *parser) merge(n *yaml.Node, what string, f fields, seen map[string]bool) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode {
		p.merged(n, what, f, seen)
		return
	}
	for _, one := range n.Content {
		p.merged(one, what, f, seen)
	}
}

// value reads the value of key. Null leaves things as they are, as if the key were not there.
func (p *parser) value(n *yaml.Node, key string, into any) {
	n = follow(n)
	if isNull(n) {
		return
	}
	switch into := into.(type) {
	case func(*yaml.Node):
		into(n)
	case *string:
		*into = p.text(n, key)
	case *bool:
		p.decode(n, key, into, "true or false")
	case *int:
		p.decode(n, key, into, "a number")
	case *time.Duration:
		*into = p.duration(n, key)
	case *[]string:
		*into = p.texts(n, key)
	case **[]string:
		list := p.texts(n, key)
		*into = &list
	case *[][]string:
		p.each(n, key, func(one *yaml.Node) { *into = append(*into, p.command(one, key)) })
	case *[]*regexp.Regexp:
		p.each(n, key, func(one *yaml.Node) { *into = append(*into, p.pattern(one, p.text(one, key))) })
	}
}

func (p *parser) decode(n *yaml.Node, key string, into any, what string) {
	if n.Kind != yaml.ScalarNode || n.Decode(into) != nil {
		p.wrong(n, "%s is %s", key, what)
	}
}

func (p *parser) text(n *yaml.Node, key string) string {
	n = follow(n)
	switch {
	case n.Kind != yaml.ScalarNode:
		p.wrong(n, "%s is one text", key)
	case isNull(n):
		return ""
	case strings.ContainsRune(n.Value, 0):
		p.wrong(n, "%s holds a zero byte", key)
	}
	return n.Value
}

func (p *parser) texts(n *yaml.Node, key string) []string {
	out := []string{}
	p.each(n, key, func(one *yaml.Node) { out = append(out, p.text(one, key)) })
	return out
}

// command is a command with its arguments, as a list.
func (p *parser) command(n *yaml.Node, key string) []string {
	c := p.texts(n, key)
	if len(c) == 0 || c[0] == "" {
		p.wrong(n, "%s has an empty command", key)
	}
	return c
}

func (p *parser) each(n *yaml.Node, key string, do func(*yaml.Node)) {
	n = follow(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		p.wrong(n, "%s is a list", key)
		return
	}
	for _, one := range n.Content {
		do(follow(one))
	}
}

func (p *parser) pattern(n *yaml.Node, s string) *regexp.Regexp {
	re, err := regexp.Compile(s)
	if err != nil {
		p.wrong(n, "%v", err)
		return nil
	}
	return re
}

func (p *parser) duration(n *yaml.Node, key string) time.Duration {
	d, err := time.ParseDuration(p.text(n, key))
	if err != nil || d <= 0 {
		p.wrong(n, "%s is a time like 30s or 2m", key)
	}
	return d
}

// brief is s when it is short, else its beginning.
func brief(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
