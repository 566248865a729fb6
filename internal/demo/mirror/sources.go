package mirror

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"rebuilder/internal/demo/command"
)

// Sources are the machine's own Debian package sources.
type Sources struct {
	Codename     string // "bookworm"
	Architecture string // "amd64"
	Main         []Source
	Security     []Source // empty when the machine has none
}

// Source is one suite of a repository.
type Source struct{ URI, Suite string }

// Hosts returns the host names of all sources, sorted. None of them may be in an image that is made from them.
func (s Sources) Hosts() []string {
	var hosts []string
	for _, src := range slices.Concat(s.Main, s.Security) {
		// A transport may stand in front: "mirror+http://...".
		if u, err := url.Parse(src.URI); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Discover asks apt for the sources of the machine's own release. It reads no sources file itself: apt knows all their
// forms.
func Discover(ctx context.Context) (Sources, error) {
	codename, err := codename("/etc/os-release")
	if err != nil {
		return Sources{}, err
	}
	arch, err := command.Run(ctx, "", "dpkg", "--print-architecture")
	if err != nil {
		return Sources{}, fmt.Errorf("find apt sources: %w", err)
	}
	out, err := command.Run(ctx, "", "apt-get", "indextargets",
		"--format", "$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)", "Identifier: Packages")
	if err != nil {
		return Sources{}, fmt.Errorf("find apt sources: %w", err)
	}
	s := parseTargets(out, codename)
	s.Architecture = strings.TrimSpace(string(arch))
	if len(s.Main) == 0 {
		return Sources{}, fmt.Errorf("find apt sources: apt has no package index of %s main; "+
			"check /etc/apt/sources.list.d and run `apt-get update`", codename)
	}
	return s, nil
}

// parseTargets picks the component main of the release's own suite and of its security suite. It goes by the codename in
// the signed release file: sources may say "stable".
func parseTargets(out []byte, codename string) Sources {
	s := Sources{Codename: codename}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 4 || f[2] != "main" {
			continue
		}
		src := Source{URI: f[3], Suite: f[1]}
		switch {
		case f[0] == codename && !slices.Contains(s.Main, src):
			s.Main = append(s.Main, src)
		case f[0] == codename+"-security" && !slices.Contains(s.Security, src):
			s.Security = append(s.Security, src)
		}
	}
	return s
}

// codename reads VERSION_CODENAME of a Debian machine.
func codename(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("find the distribution: %w", err)
	}
	fields := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if k, v, ok := strings.Cut(lines.Text(), "="); ok {
			fields[k] = strings.Trim(v, `"'`)
		}
	}
	if fields["ID"] != "debian" || fields["VERSION_CODENAME"] == "" {
		return "", fmt.Errorf("the demo makes its images from the machine's own packages and needs Debian; this is %q (%s)",
			fields["PRETTY_NAME"], path)
	}
	return fields["VERSION_CODENAME"], nil
}
