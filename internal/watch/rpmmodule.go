package watch

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What a repository says of modules lies among its offers, under names that no package has.
const (
	moduleArtifact = "module artifact " // and the package's name: a build that belongs to a stream
	moduleDefault  = "module default"   // the stream of a module that is taken when none is enabled
)

const maxModule = 4 << 20 // bytes of one document of modules.yaml

// moduleYAML is a document of modules.yaml: one build of one stream, or the defaults of one module.
type moduleYAML struct {
	Document string `yaml:"document"`
	Data     struct {
		Name      string `yaml:"name"`
		Module    string `yaml:"module"`
		Stream    string `yaml:"stream"`
		Artifacts struct {
			RPMs []string `yaml:"rpms"`
		} `yaml:"artifacts"`
	} `yaml:"data"`
}

// readModules reads a modules.yaml, document by document: all together would take ten times its size.
func readModules(r io.Reader, wanted func(string) bool, add func(string, offer)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var doc bytes.Buffer
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return fmt.Errorf("modules.yaml: %w", rpmMalformed(err))
		}
		end := err == io.EOF
		if end || bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("...")) {
			if !bytes.HasPrefix(line, []byte("-")) && !bytes.HasPrefix(line, []byte(".")) {
				doc.Write(line)
			}
			if err := readModule(doc.Bytes(), wanted, add); err != nil {
				return fmt.Errorf("modules.yaml: %w", err)
			}
			doc.Reset()
		} else {
			doc.Write(line)
		}
		if end {
			return nil
		}
		if doc.Len() > maxModule {
			return fmt.Errorf("modules.yaml: a module: %w", ErrTooLarge)
		}
	}
}

func readModule(doc []byte, wanted func(string) bool, add func(string, offer)) error {
	var m moduleYAML
	if err := yaml.Unmarshal(doc, &m); err != nil {
		return fmt.Errorf("%w: %.200w", ErrMalformed, err)
	}
	switch m.Document {
	case "modulemd":
		for _, rpm := range m.Data.Artifacts.RPMs {
			name, o, ok := artifact(rpm)
			if !ok || !wanted(name) {
				continue
			}
			o.module = m.Data.Name + ":" + m.Data.Stream
			add(moduleArtifact+name, o)
		}
	case "modulemd-defaults":
		if m.Data.Module != "" && m.Data.Stream != "" {
			add(moduleDefault, offer{module: m.Data.Module + ":" + m.Data.Stream})
		}
	}
	return nil
}

// nevra is "name-epoch:version-release.architecture".
var nevra = regexp.MustCompile(`^(.+)-(?:(\d+):)?([^-:]+)-([^-:]+)\.([^-.:]+)$`)

// artifact reads one package of a module; ok is false for sources and for what is none.
func artifact(text string) (name string, o offer, ok bool) {
	m := nevra.FindStringSubmatch(text)
	if m == nil || m[5] == "src" {
		return "", offer{}, false
	}
	return strings.Clone(m[1]), offer{version: joinEVR(m[2], m[3], m[4]), arch: strings.Clone(m[5])}, true
}
