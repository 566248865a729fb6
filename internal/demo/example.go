package demo

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// placeholder stands in examples/demo where only a digest can stand that is known later.
const placeholder = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"

// smallNames are what a small world keeps of the catalog.
func smallNames() []string { return []string{"base/debian", "base/python", "orders", "batch"} }

// exampleCodename is the release that examples/demo names.
const exampleCodename = "bookworm"

// copyExample writes the example into dir, with the world's addresses and release in place of those of the example.
func copyExample(dir string, example fs.FS, s *state) error {
	from, to := preferredAddresses(), s.Addresses
	replace := strings.NewReplacer(
		from.Registry, to.Registry, from.Forge, to.Forge, from.Packages, to.Packages, from.Daemon, to.Daemon,
		"/debian:"+exampleCodename, "/debian:"+s.Codename,
	)
	err := fs.WalkDir(example, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(path, 0o755)
		}
		data, err := fs.ReadFile(example, name)
		if err != nil {
			return err
		}
		text := replace.Replace(string(data))
		if name == "catalog.toml" && s.Small {
			text = keep(text, smallNames())
		}
		return writeFile(path, []byte(text), 0o644)
	})
	if err != nil {
		return fmt.Errorf("copy the demo's example: %w", err)
	}
	return nil
}

// keep drops the bases and applications of a catalog whose names are not in names. A comment above a block belongs to it.
func keep(text string, names []string) string {
	var (
		out     strings.Builder
		block   strings.Builder // comments, and the block that follows them
		dropped bool            // the last base or application was dropped; its sub-tables follow it
	)
	flush := func() {
		head, name := blockName(block.String())
		switch head {
		case "[[base]]", "[[application]]":
			dropped = !slices.Contains(names, name)
		case "[[application.image]]":
		default:
			dropped = false
		}
		if !dropped {
			out.WriteString(block.String())
		}
		block.Reset()
	}
	inBlock := false
	for line := range strings.Lines(text) {
		starts := strings.HasPrefix(line, "[") || strings.HasPrefix(line, "#")
		if starts && inBlock {
			flush()
			inBlock = false
		}
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			inBlock = true // comments before it were gathered
		}
		block.WriteString(line)
	}
	flush()
	return out.String()
}

// blockName returns a block's table header and the value of its name.
func blockName(block string) (head, name string) {
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			head = line
		}
		if rest, ok := strings.CutPrefix(line, "name = "); ok {
			name = strings.Trim(rest, `"`)
		}
	}
	return head, name
}
