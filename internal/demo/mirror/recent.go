package mirror

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// maxContents bounds the file that remembers contents.
const maxContents = 1 << 20

// recent returns the contents that an earlier Fetch of the same things remembered a moment ago, nil when there are none or
// a file of them is gone.
func (f *fetcher) recent() *Contents {
	file, err := os.Open(f.memory())
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || time.Since(info.ModTime()) > freshFor {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(file, maxContents))
	if err != nil {
		return nil
	}
	c := &Contents{}
	if json.Unmarshal(data, c) != nil {
		return nil
	}
	for _, path := range c.files() {
		if _, err := os.Stat(path); err != nil {
			return nil
		}
	}
	return c
}

func (f *fetcher) remember(c *Contents) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp := f.memory() + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, f.memory())
}

// memory is a file for each combination of sources and wishes.
func (f *fetcher) memory() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q", recipe, f.sources, f.Install))
	return filepath.Join(f.Cache, fmt.Sprintf("contents-%x.json", sum[:6]))
}

func (c *Contents) files() []string {
	files := slices.Concat([]string{c.RootFS, c.Status}, c.Packages)
	if c.Update != nil {
		files = append(files, c.Update.Debs...)
	}
	return files
}
