package watch

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// metalinkXML is version 3 of the format, as MirrorManager writes it.
type metalinkXML struct {
	Files []struct {
		Name   string `xml:"name,attr"`
		Hashes []struct {
			Type string `xml:"type,attr"`
			Sum  string `xml:",chardata"`
		} `xml:"verification>hash"`
		URLs []struct {
			Preference int    `xml:"preference,attr"`
			Address    string `xml:",chardata"`
		} `xml:"resources>url"`
	} `xml:"files>file"`
}

// readMetalink finds the sums and the mirrors of repomd.xml.
func readMetalink(raw []byte) (m metalinkFile, err error) {
	var x metalinkXML
	if err := xml.Unmarshal(raw, &x); err != nil {
		return m, fmt.Errorf("metalink: %w: %.200w", ErrMalformed, err)
	}
	for _, f := range x.Files {
		if f.Name != "repomd.xml" {
			continue
		}
		for _, h := range f.Hashes {
			switch sum := strings.ToLower(strings.TrimSpace(h.Sum)); h.Type {
			case "sha256":
				m.sha256 = sum
			case "sha512":
				m.sha512 = sum
			}
		}
		slices.SortStableFunc(f.URLs, func(a, b struct {
			Preference int    `xml:"preference,attr"`
			Address    string `xml:",chardata"`
		}) int {
			return b.Preference - a.Preference
		})
		for _, u := range f.URLs {
			if root, ok := strings.CutSuffix(strings.TrimSpace(u.Address), "repodata/repomd.xml"); ok {
				m.roots = appendRoot(m.roots, root)
			}
		}
		break
	}
	switch {
	case m.sha256 == "" && m.sha512 == "":
		return m, fmt.Errorf("metalink: %w: it has neither the SHA-256 nor the SHA-512 of repomd.xml", ErrMalformed)
	case len(m.roots) == 0:
		return m, fmt.Errorf("metalink: %w: it has no mirror with http or https", ErrMalformed)
	}
	return m, nil
}

// readMirrorList reads an address a line; comments, other text and other kinds of addresses are passed over.
func readMirrorList(raw []byte) []string {
	var roots []string
	for line := range strings.Lines(string(raw)) {
		roots = appendRoot(roots, strings.TrimSpace(line))
	}
	return roots
}

func appendRoot(roots []string, root string) []string {
	u, err := url.Parse(root)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || slices.Contains(roots, root) || len(roots) >= 100 {
		return roots
	}
	return append(roots, root)
}
