package inventory

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"errors"
	"io"
	"regexp"
	"runtime/debug"
	"strings"
)

const (
	elfMagic     = "\x7fELF"
	maxBuildInfo = 16 << 20 // bytes of a program that are read to find what Go writes into it
)

// lookIntoProgram reads what Go writes into its programs.
func lookIntoProgram(content *io.SectionReader) contents {
	c := contents{program: true}
	info := goBuild(&bounded{r: content, left: maxBuildInfo})
	if info == nil {
		return c
	}
	if m := goVersion.FindStringSubmatch(info.GoVersion); m != nil {
		c.golang = "Go " + m[1]
		c.libraries = append(c.libraries, library{kind: Golang, name: "stdlib", version: semanticGo(m)})
	}
	modules := goModules(info)
	if len(modules) == 0 && info.Main.Path == "" {
		c.golang = cmp.Or(c.golang, "Go")
		return c
	}
	c.golang, c.libraries = "", append(c.libraries, modules...)
	return c
}

// goModules are the modules of a program, its own one only where it has a version. In place of one that was replaced
// there is the one that was built, unless that was a directory: then nothing better is known than what it stood for.
func goModules(info *debug.BuildInfo) (all []library) {
	if info.Main.Path != "" && strings.HasPrefix(info.Main.Version, "v") {
		all = append(all, library{kind: Golang, name: info.Main.Path, version: info.Main.Version})
	}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "" {
			m = m.Replace
		}
		all = append(all, library{kind: Golang, name: m.Path, version: m.Version})
	}
	return all
}

// goVersion is what a Go toolchain says of itself, with what it was built from behind a blank or a dash.
var goVersion = regexp.MustCompile(`^go((1\.\d{1,4})(\.\d{1,4})?(?:(beta|rc)(\d{1,4}))?)(?:[ -]|$)`)

// semanticGo is a toolchain's version as advisories have it: 1.22rc1 is v1.22.0-rc.1.
func semanticGo(m []string) string {
	v := "v" + m[2] + cmp.Or(m[3], ".0")
	if m[4] != "" {
		v += "-" + m[4] + "." + m[5]
	}
	return v
}

// goBuild reads what Go writes into its programs, nil when there is nothing to be read.
func goBuild(r io.ReaderAt) (info *debug.BuildInfo) {
	// debug/elf, by which buildinfo finds its way, is not made for hostile files and says so.
	defer func() {
		if recover() != nil {
			info = nil
		}
	}()
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil
	}
	return info
}

// onlyELF reads the beginning of a program: scripts may be executed, too. It returns a reader of all of it.
func onlyELF(r io.Reader) (all io.Reader, f form, err error) {
	magic := make([]byte, len(elfMagic))
	n, err := io.ReadFull(r, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, none, err
	}
	if string(magic[:n]) == elfMagic {
		f = program
	}
	return io.MultiReader(bytes.NewReader(magic[:n]), r), f, nil
}
