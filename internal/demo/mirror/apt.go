package mirror

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rebuilder/internal/demo/command"
)

// apt is the machine's apt with sources, state and cache of its own. Nothing of the machine's own state is touched; its
// proxies and credentials are used.
type apt struct {
	dir     string
	sources []Source
}

// newApt writes the configuration into dir. keys is a directory of archive keys, status a dpkg status file: the packages
// that apt takes for installed.
func newApt(dir, keys, status string, s Sources, sources []Source) (*apt, error) {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	var list strings.Builder
	for _, src := range sources {
		fmt.Fprintf(&list, "deb %s %s main\n", src.URI, src.Suite)
	}
	conf := fmt.Sprintf(`Dir::State %q;
Dir::State::status %q;
Dir::Cache %q;
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist %q;
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::Etc::trustedparts %q;
APT::Architecture %q;
APT::Architectures { %q; };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Install-Recommends "false";
Acquire::GzipIndexes "false";
Acquire::Languages { "none"; };
Acquire::Retries "3";
`, filepath.Join(dir, "state"), status, filepath.Join(dir, "cache"), filepath.Join(dir, "sources.list"), keys,
		s.Architecture, s.Architecture)
	for name, content := range map[string]string{"sources.list": list.String(), "apt.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	return &apt{dir: dir, sources: sources}, nil
}

func (a *apt) get(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return command.Run(ctx, dir, "apt-get", append([]string{"-q", "-y", "-c", filepath.Join(a.dir, "apt.conf")}, args...)...)
}

// update fetches the indexes; unchanged ones cost a conditional request.
func (a *apt) update(ctx context.Context) error {
	_, err := a.get(ctx, "", "update")
	return err
}

// lists returns the paths of the fetched indexes whose names end in suffix, sorted.
func (a *apt) lists(suffix string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(a.dir, "state", "lists", "*"+suffix))
	slices.Sort(found)
	return found, err
}

// download fetches packages, "name" or "name=version" each, into dir.
func (a *apt) download(ctx context.Context, dir string, packages ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err := a.get(ctx, dir, append([]string{"download"}, packages...)...)
	return err
}

// needs returns the names of all packages that installing these would bring, themselves included.
func (a *apt) needs(ctx context.Context, packages ...string) ([]string, error) {
	out, err := a.get(ctx, "", append([]string{"--simulate", "install"}, packages...)...)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Inst" {
			names = append(names, f[1])
		}
	}
	slices.Sort(names)
	return names, nil
}

// collectKeys copies every archive key that the machine trusts, or is told to trust in a source, into dir.
func collectKeys(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	n := 0
	for _, pattern := range []string{"/usr/share/keyrings/debian-archive-*.gpg", "/etc/apt/trusted.gpg.d/*.gpg",
		"/etc/apt/trusted.gpg.d/*.asc", "/etc/apt/keyrings/*.gpg", "/etc/apt/keyrings/*.asc"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, from := range found {
			n++
			if err := copyKey(filepath.Join(dir, fmt.Sprintf("%d-%s", n, filepath.Base(from))), from); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("the machine has no archive keys; install debian-archive-keyring")
	}
	return nil
}

// copyKey copies a key of at most 1 MiB.
func copyKey(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
