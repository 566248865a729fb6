package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// maxSize bounds what is read: a catalog of 20,000 applications is about 4 MB.
const maxSize = 8 << 20

// maxDepth bounds how deep values may be nested, so that a hostile file cannot exhaust the stack.
const maxDepth = 64

// Load reads and checks a catalog. What is wrong in the file comes back as Errors; any other error means that the
// file could not be read.
func Load(file string) (*Catalog, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read catalog: %w (rebuilder init writes a commented one)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return Parse(file, src, time.Now())
}

// Parse checks a catalog that was read from file. The contexts and Dockerfiles it names are looked up relative to the
// directory of file, which need not exist itself; nothing else is read, and nothing is asked over a network. Only the
// time for which an exception may be given is counted from now: what was right stays right.
func Parse(file string, src []byte, now time.Time) (*Catalog, error) {
	c, _, err := parse(file, src, now)
	return c, err
}

// parse also returns the keys that it asked for, as in "base.context".
func parse(file string, src []byte, now time.Time) (*Catalog, map[string]bool, error) {
	n := &notes{file: file}
	if len(src) > maxSize {
		n.add(span{}, "split it by team, one daemon each", "the catalog is larger than %d MiB", maxSize>>20)
		return nil, nil, n.err()
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read catalog %s: %w", file, err)
	}
	n.lines = splitLines(string(src))
	n.findSecrets()
	doc, ok := n.decode(string(src))
	if !ok {
		return nil, nil, n.err()
	}
	sum := sha256.Sum256(src)
	c := &Catalog{File: file, SHA256: hex.EncodeToString(sum[:]), Dir: filepath.Dir(abs)}
	root := &table{notes: n, name: "the catalog", data: doc, at: walk(string(src)), accepted: map[string]bool{}}
	r := reader{catalog: c, root: root, now: now, names: claims{}, refs: claims{}}
	r.read()
	if err := n.err(); err != nil {
		return nil, root.accepted, err
	}
	return c, root.accepted, nil
}

// decode leaves the syntax to the toml package, which stops at the first mistake.
func (n *notes) decode(src string) (map[string]any, bool) {
	if line := tooDeep(src); line > 0 {
		n.add(span{line: line}, "no key of a catalog is a list of lists", "brackets are nested too deep")
		return nil, false
	}
	doc := map[string]any{}
	_, err := toml.Decode(src, &doc)
	if err == nil {
		return doc, true
	}
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		n.add(span{}, "", "%s", err)
		return nil, false
	}
	at := span{line: pe.Position.Line, col: max(0, pe.Position.Col-1), width: pe.Position.Len}
	if strings.Contains(pe.Message, `but got '\n'`) && at.line > 1 {
		at = span{line: at.line - 1} // the line ended too early; the position is behind it
	}
	n.add(at, syntaxHint(pe.Message), "this is not TOML: %s", strings.TrimPrefix(pe.Message, "toml: "))
	return nil, false
}

// syntaxHint is the way out of the mistakes that people make most.
func syntaxHint(message string) string {
	switch m := strings.ToLower(message); {
	case strings.Contains(m, "already been defined"), strings.Contains(m, "already exists"), strings.Contains(m, "already created"):
		return "keep one of the two; what may be given several times stands in double brackets: [[base]]"
	case strings.Contains(m, "newline"):
		return "close the quotes on the same line"
	case strings.Contains(m, "utf-8"), strings.Contains(m, "null"), strings.Contains(m, "control"):
		return "save the file as plain UTF-8 text"
	case strings.Contains(m, "escape"):
		return `write the backslash twice, or use single quotes: '\d'`
	}
	return `a line is [table], [[table]] or key = value; text stands in quotes: name = "base/debian"`
}

// tooDeep returns the line on which brackets are first nested deeper than maxDepth, or 0. It also counts brackets in
// strings and comments: more than a catalog ever holds.
func tooDeep(src string) int {
	depth, line := 0, 1
	for _, c := range []byte(src) {
		switch c {
		case '\n':
			line++
		case '[', '{':
			if depth++; depth > maxDepth {
				return line
			}
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return 0
}

func splitLines(src string) []string {
	lines := strings.Split(src, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines
}
