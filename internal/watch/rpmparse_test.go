package watch

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

var (
	timestamp = regexp.MustCompile(`<timestamp>\d+</timestamp>`)
	openSize  = regexp.MustCompile(`<open-size>\d+</open-size>`)
	sumInName = regexp.MustCompile(`[0-9a-f]{64}-`)
)

func armorEncode(w io.Writer) (io.WriteCloser, error) {
	return armor.Encode(w, openpgp.PublicKeyType, nil)
}

func all(string) bool { return true }

// offers collects what a reader finds, a line each, in order.
func offers(read func(add func(string, offer)) error) (string, error) {
	var lines []string
	err := read(func(name string, o offer) {
		lines = append(lines, strings.Join([]string{name, o.version, o.arch, o.source, o.sourceVersion, o.module}, "|"))
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}

func TestReadPrimary(t *testing.T) {
	const open, end = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">`, `</metadata>`
	for _, c := range []struct{ name, text, want string }{
		{"none", open + end, ""},
		{"one", open + `<package type="rpm"><name>a</name><arch>x86_64</arch><version epoch="1" ver="2" rel="3"/><format><rpm:sourcerpm>s-2-3.src.rpm</rpm:sourcerpm></format></package>` + end, "a|1:2-3|x86_64|s|1:2-3|"},
		{"no source", open + `<package><name>a</name><arch>noarch</arch><version ver="2" rel="3"/></package>` + end, "a|2-3|noarch|a|2-3|"},
		{"source packages", open + `<package><name>a</name><arch>src</arch><version ver="2" rel="3"/></package>` + end, ""},
		{"names elsewhere", open + `<package><format><name>no</name><x><arch>no</arch></x></format><name>a</name><arch>x86_64</arch><version epoch="0" ver="2" rel="3"/><y><version ver="9" rel="9"/></y></package>` + end, "a|2-3|x86_64|a|2-3|"},
		{"entities and comments", open + `<package><name>a&amp;<!-- x -->b</name><arch>x86_64</arch><version epoch="0" ver="2&gt;" rel="3"/></package>` + end, "a&b|2>-3|x86_64|a&b|2>-3|"},
		{"empty at once", `<metadata/>`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := offers(func(add func(string, offer)) error { return readPrimary(strings.NewReader(c.text), all, add) })
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

const modulesYAML = `---
document: modulemd
version: 2
data:
  name: nodejs
  stream: 18
  version: 1
  context: c0ffee
  artifacts:
    rpms:
    - nodejs-1:18.20.2-1.module.src
    - nodejs-1:18.20.2-1.module.x86_64
    - npm-0:10-1.module.noarch
    - odd
...
---
document: modulemd
version: 2
data:
  name: nodejs
  stream: "1.10"
  artifacts:
    rpms: [nodejs-1:1.10.0-1.module.x86_64]
---
document: modulemd-defaults
version: 1
data:
  module: nodejs
  stream: 18
---
document: modulemd-obsoletes
data: {module: nodejs, stream: 10}
---
document: modulemd
data: {name: empty, stream: none}
`

func TestReadModules(t *testing.T) {
	got, err := offers(func(add func(string, offer)) error { return readModules(strings.NewReader(modulesYAML), all, add) })
	if err != nil {
		t.Fatal(err)
	}
	const want = `module artifact nodejs|1:1.10.0-1.module|x86_64|||nodejs:1.10
module artifact nodejs|1:18.20.2-1.module|x86_64|||nodejs:18
module artifact npm|10-1.module|noarch|||nodejs:18
module default|||||nodejs:18`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for text, want := range map[string]error{
		"a: [\n": ErrMalformed, "document: modulemd\ndata: 7\n": ErrMalformed, strings.Repeat("# long\n", maxModule/7+1): ErrTooLarge,
		strings.Repeat("x", maxModule+70_000): ErrTooLarge,
	} {
		if _, err := offers(func(add func(string, offer)) error { return readModules(strings.NewReader(text), all, add) }); !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", text, err, want)
		}
	}
}

// Comments part a text into pieces, of which each is put behind the others.
func TestReadPrimaryTextOfManyPieces(t *testing.T) {
	text := "<metadata><package><name>" + strings.Repeat("a<!---->", maxXMLText+1) + "</name></package></metadata>"
	if _, err := offers(func(add func(string, offer)) error { return readPrimary(strings.NewReader(text), all, add) }); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

func FuzzReadPrimary(f *testing.F) {
	f.Add([]byte(onePackage))
	f.Add([]byte(`<metadata><package><name>a</name></package></metadata>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := readPrimary(bytes.NewReader(data), all, func(name string, o offer) {
			if name == "" || o.version == "" || o.arch == "" || o.source == "" || strings.Contains(name, " ") {
				t.Errorf("%q: %+v", name, o)
			}
		})
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func FuzzReadModules(f *testing.F) {
	f.Add([]byte(modulesYAML))
	f.Add([]byte("a: &a [*a]\n---\n..."))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := readModules(bytes.NewReader(data), all, func(name string, o offer) {
			if !strings.HasPrefix(name, "module ") || !strings.Contains(o.module, ":") {
				t.Errorf("%q: %+v", name, o)
			}
		})
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func FuzzReadRepomd(f *testing.F) {
	f.Add([]byte(`<repomd><revision>1700000000</revision><data type="primary"><checksum type="sha256">`+strings.Repeat("0", 64)+`</checksum><location href="repodata/p.xml.gz"/></data></repomd>`), []byte("x"))
	f.Add([]byte(`<metalink><files><file name="repomd.xml"><verification><hash type="sha256">0</hash></verification><resources><url preference="1">http://h/repodata/repomd.xml</url></resources></file></files></metalink>`), []byte(""))
	f.Fuzz(func(t *testing.T, data, sign []byte) {
		if r, err := readRepomd(data); err == nil {
			for _, p := range []part{r.primary, r.modules} {
				for _, file := range p.forms {
					if strings.HasPrefix(file.name, "/") || strings.HasPrefix(file.name, "..") || file.size < -1 || len(file.sum) < 64 {
						t.Errorf("%+v", file)
					}
				}
			}
		}
		if m, err := readMetalink(data); err == nil && (len(m.roots) == 0 || m.sha256+m.sha512 == "") {
			t.Errorf("%+v", m)
		}
		_ = readMirrorList(data)
		plain, s, err := splitRepomd(joinRepomd(data, sign))
		if err != nil || !bytes.Equal(plain, data) || !bytes.Equal(s, sign) {
			t.Errorf("parted into %q and %q: %v", plain, s, err)
		}
		_, _, _ = splitRepomd(data)
	})
}
