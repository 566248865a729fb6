package hygiene_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"rebuilder/internal/golden"
	"rebuilder/internal/hygiene"
	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// clean is an image that no rule has anything to say of.
func clean() *inventory.Inventory {
	return &inventory.Inventory{
		Packages: []inventory.Package{{Type: inventory.Deb, Name: "libssl3", Version: "3.0.17-1", Source: "openssl", Layer: 1}},
		Config:   inventory.Config{User: "10001", Created: now.Add(-24 * time.Hour), Labels: map[string]string{"owner": "web"}},
		Size:     50_000_000,
	}
}

func file(path, what string) inventory.File { return inventory.File{Path: path, What: what, Layer: 2} }

func TestCheck(t *testing.T) {
	type world struct {
		inv *inventory.Inventory
		c   *hygiene.Context
	}
	for _, tc := range []struct {
		name string
		set  func(world)
		want []string // "rule: title"
	}{
		{"nothing", func(world) {}, nil},
		{"no user", func(w world) { w.inv.Config.User = "" }, []string{"root-user: it runs as root: no USER is set"}},
		{"root by name", func(w world) { w.inv.Config.User = "root" }, []string{"root-user: it runs as root: USER is root"}},
		{"root by number and group", func(w world) { w.inv.Config.User = "0:1000" }, []string{"root-user: it runs as root: USER is 0:1000"}},
		{"a user by name", func(w world) { w.inv.Config.User = "app:root" }, nil},
		{"a user who begins with 0", func(w world) { w.inv.Config.User = "0app" }, nil},
		{"setuid of the distribution", func(w world) {
			w.inv.Files = []inventory.File{file("/bin/su", inventory.Setuid), file("/usr/bin/passwd", inventory.Setuid), file("/usr/sbin/unix_chkpwd", inventory.Setgid)}
		}, nil},
		{"setuid", func(w world) {
			w.inv.Files = []inventory.File{file("/usr/bin/sudo", inventory.Setuid), file("/usr/bin/su2", inventory.Setgid)}
		}, []string{"setuid-file: /usr/bin/sudo: a setuid file", "setgid-file: /usr/bin/su2: a setgid file"}},
		{"setuid that policy lists", func(w world) {
			w.c.AllowSetuid = []string{"/usr/bin/sudo", "/opt/*/helper"}
			w.inv.Files = []inventory.File{file("/usr/bin/sudo", inventory.Setuid), file("/opt/a/helper", inventory.Setuid), file("/usr/bin/su", inventory.Setuid)}
		}, []string{"setuid-file: /usr/bin/su: a setuid file"}},
		{"a pattern that is none", func(w world) {
			w.c.AllowSetuid = []string{"["}
			w.inv.Files = []inventory.File{file("/usr/bin/sudo", inventory.Setuid), file("[", inventory.Setuid)}
		}, []string{"setuid-file: /usr/bin/sudo: a setuid file"}},
		{"for all to write", func(w world) { w.inv.Files = []inventory.File{file("/etc/passwd", inventory.WorldWritable)} },
			[]string{"world-writable: /etc/passwd: everybody may write to it"}},
		{"shells and managers", func(w world) {
			w.inv.Files = []inventory.File{file("/bin/sh", inventory.Shell), file("/usr/bin/apt", inventory.PackageManager)}
		}, []string{"shell: /bin/sh: a shell", "package-manager: /usr/bin/apt: a package manager"}},
		{"an open account", func(w world) {
			w.inv.Files = []inventory.File{{Path: "/etc/shadow", What: inventory.Account, Detail: "guest"}}
		}, []string{"no-password: the account guest has no password"}},
		{"forbidden", func(w world) { w.c.ForbidPackages = []string{"telnet*", "libssl?"} }, []string{"forbidden-package: libssl3 3.0.17-1 is installed"}},
		{"wanted", func(w world) { w.c.RequirePackages = []string{"ca-certificates", "libssl3"} }, []string{"missing-package: ca-certificates is not installed"}},
		{"labels", func(w world) {
			w.c.RequireLabels, w.inv.Config.Labels["source"] = []string{"owner", "source", "team"}, ""
		}, []string{"missing-label: the label source is missing or empty", "missing-label: the label team is missing or empty"}},
		{"as large as allowed", func(w world) { w.c.MaxSize = 50_000_000 }, nil},
		{"too large", func(w world) { w.c.MaxSize = 20_000_000 }, []string{"too-large: it has 50.0 MB, compressed; 20.0 MB are allowed"}},
		{"grown", func(w world) { w.c.PreviousSize = 25_000_000 }, []string{"grown: it has 50.0 MB, compressed; the image before had 25.0 MB"}},
		{"grown a little", func(w world) { w.c.PreviousSize = 40_000_000 }, nil},
		{"grown, and still small", func(w world) { w.inv.Size, w.c.PreviousSize = 9_000_000, 2_000_000 }, nil},
		{"shrunk", func(w world) { w.c.PreviousSize = 400_000_000 }, nil},
		{"old", func(w world) { w.c.MaxAge, w.inv.Config.Created = 90*24*time.Hour, now.AddDate(0, 0, -100) },
			[]string{"too-old: it was built on 2026-08-13, 100 days ago; 90 days are allowed"}},
		{"as old as allowed", func(w world) { w.c.MaxAge = 24 * time.Hour }, nil},
		{"built without a time", func(w world) { w.c.MaxAge, w.inv.Config.Created = time.Hour, time.Unix(0, 0) }, nil},
		{"built tomorrow", func(w world) { w.c.MaxAge, w.inv.Config.Created = time.Hour, now.AddDate(0, 0, 1) }, nil},
		{"an approved base", func(w world) { w.c.Base = hygiene.Base{State: hygiene.BaseApproved, Name: "base/node"} }, nil},
		{"another base", func(w world) {
			w.c.Base = hygiene.Base{State: hygiene.BaseUnapproved, Name: "docker.io/library/node:20"}
		},
			[]string{"unapproved-base: it stands on docker.io/library/node:20, which is no approved base"}},
		{"an unknown base", func(w world) { w.c.Base.State = hygiene.BaseUnknown }, []string{"unknown-base: nobody can tell what it stands on"}},
		{"references", func(w world) {
			for i, name := range []string{"node", "node:latest", "registry.example.com:5000/a/b", "node:22", "registry.example.com:5000/a:1", "node@sha256:00", "node:latest@sha256:00", "scratch", "$BASE", ""} {
				w.c.References = append(w.c.References, hygiene.Reference{Name: name, File: "Dockerfile", Line: i + 1})
			}
		}, []string{
			"latest-tag: the Dockerfile names node without a version", "latest-tag: the Dockerfile names node:latest without a version",
			"latest-tag: the Dockerfile names registry.example.com:5000/a/b without a version",
		}},
		{"remarks", func(w world) { w.c.Lint = []hygiene.Warning{{Text: "JSON arguments recommended for CMD"}} },
			[]string{"dockerfile-lint: JSON arguments recommended for CMD"}},
		{"what is not known", func(w world) {
			w.inv.Unknown = []string{"/gnu/store is Guix's, whose packages are not read: they are not known"}
		},
			[]string{"unknown-content: /gnu/store is Guix's, whose packages are not read: they are not known"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inv, c := clean(), hygiene.Context{Now: now}
			tc.set(world{inv, &c})
			var got []string
			for _, f := range hygiene.Check(inv, c) {
				got = append(got, f.ID+": "+f.Title)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	inv := clean()
	inv.Files = []inventory.File{file("/usr/bin/sudo", inventory.Setuid)}
	c := hygiene.Context{
		ForbidPackages: []string{"libssl3"},
		Base:           hygiene.Base{State: hygiene.BaseUnapproved, Want: "base/node"},
		Lint:           []hygiene.Warning{{Text: "x", Lines: []string{"app/Dockerfile:7: CMD a", "app/Dockerfile:8: b"}, URL: "https://example.com/x"}, {Text: "y", Lines: []string{"no place"}}},
	}
	want := []policy.Finding{
		{ID: "setuid-file", Path: "/usr/bin/sudo", Layer: 2},
		{ID: "forbidden-package", Type: "deb", Package: "libssl3", Version: "3.0.17-1", Source: "openssl", Layer: 1},
		{ID: "unapproved-base", Layer: -1, Do: "Build it FROM base/node instead."},
		{ID: "dockerfile-lint", Path: "app/Dockerfile", Line: 7, Layer: -1, Do: "Change the line; https://example.com/x explains it."},
		{ID: "dockerfile-lint", Layer: -1},
	}
	got := hygiene.Check(inv, c)
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, f := range got {
		w := want[i]
		if f.Kind != policy.Hygiene || f.Why == "" || f.Do == "" || f.Title == "" || f.Severity == "" || !slices.Equal(f.FoundBy, []string{"rebuilder"}) {
			t.Errorf("%+v", f)
		}
		f.Kind, f.Why, f.Title, f.Severity, f.FoundBy = "", "", "", "", nil
		if w.Do == "" {
			f.Do = ""
		}
		if !reflect.DeepEqual(f, w) {
			t.Errorf("got %+v\nwant %+v", f, w)
		}
	}
}

func TestBounded(t *testing.T) {
	inv := clean()
	for i := range 300 {
		inv.Files = append(inv.Files, file(fmt.Sprintf("/opt/%03d", i), inventory.Setuid))
	}
	got := hygiene.Check(inv, hygiene.Context{})
	if len(got) != 21 || got[19].Path != "/opt/019" {
		t.Fatalf("%d: %+v", len(got), got)
	}
	if last := got[20]; last.Title != "280 more: setuid file" || last.Path != "" || last.ID != "setuid-file" || last.Layer != -1 {
		t.Errorf("%+v", last)
	}
}

func TestSecrets(t *testing.T) {
	inv := clean()
	inv.Secrets = []inventory.Secret{
		{Rule: "generic-api-key", Title: "something like a key", Path: "/app/a.py", Line: 3, Layer: 1, Weak: true},
		{Rule: "private-key", Title: "RSA private key", Path: "/app/testdata/x.key", Line: 1, Layer: 1, Weak: true},
		{Rule: "private-key", Title: "RSA private key", Path: "/app/x.key", Line: 1, Layer: 1, Deleted: true},
		{Rule: "github-pat", Title: "GitHub Personal Access Token", Path: "config", Line: 2, Layer: -1},
		{Rule: "github-pat", Title: "GitHub Personal Access Token", Path: "/app/.env", Line: 2, Layer: 1},
		{Rule: "ssh-host-key", Title: "private key of an SSH server", Path: "/etc/ssh/ssh_host_rsa_key", Line: 1},
		{Rule: "encrypted-private-key", Title: "private key, encrypted with a passphrase", Path: "/app/e.key", Line: 1},
		{Rule: "password-hash", Title: "hash of the password of an account", Path: "/etc/shadow", Line: 1},
		{Rule: "not-searched", Title: "file not searched from here on", Path: "/app/words", Line: 9, Weak: true},
	}
	var text strings.Builder
	for _, f := range hygiene.Secrets(inv) {
		write(&text, f)
		if f.Kind != policy.Secret {
			t.Errorf("%+v", f)
		}
	}
	golden.Compare(t, "testdata/secrets.txt", text.String())
}

func write(text *strings.Builder, f policy.Finding) {
	fmt.Fprintf(text, "%s (%s): %s\n", f.ID, f.Severity, f.Title)
	if f.Path != "" {
		fmt.Fprintf(text, "  %s:%d, layer %d, deleted %v\n", f.Path, f.Line, f.Layer, f.Deleted)
	}
	fmt.Fprintf(text, "  %s\n  %s\n\n", f.Why, f.Do)
}

// TestRules shows what people are told: read it aloud.
func TestRules(t *testing.T) {
	var ids []string
	var text strings.Builder
	for _, r := range hygiene.Rules() {
		ids = append(ids, r.ID)
		off := ""
		if r.Off {
			off = ", off unless a policy names it"
		}
		fmt.Fprintf(&text, "%s (%s%s): %s\n  %s\n  %s\n", r.ID, r.Severity, off, r.Title, r.Why, r.Do)
		if len(r.Parameters) > 0 {
			fmt.Fprintf(&text, "  policy: %s\n", strings.Join(r.Parameters, ", "))
		}
		text.WriteString("\n")
		if r.Kind != policy.Hygiene {
			t.Errorf("%+v", r)
		}
		for _, sentence := range []string{r.Why, r.Do} {
			if !strings.HasSuffix(sentence, ".") || strings.Contains(strings.TrimSuffix(sentence, "."), ". ") {
				t.Errorf("%s: %q is not one sentence", r.ID, sentence)
			}
		}
	}
	if !slices.Equal(ids, policy.RuleIDs()) {
		t.Errorf("got %v, want %v", ids, policy.RuleIDs())
	}
	golden.Compare(t, "testdata/rules.txt", text.String())
}

func FuzzText(f *testing.F) {
	f.Add("/opt/\x1b[2J\u202etxt", "root\n", "Dockerfile:-1:", "[")
	f.Fuzz(func(t *testing.T, path, user, line, pattern string) {
		inv := clean()
		inv.Config.User = user
		inv.Unknown = []string{path}
		inv.Files = []inventory.File{file(path, inventory.Setuid), {Path: path, What: inventory.Account, Detail: user}}
		inv.Packages[0].Name = path
		inv.Secrets = []inventory.Secret{{Rule: "private-key", Title: user, Path: path}}
		c := hygiene.Context{
			Now: now, AllowSetuid: []string{pattern}, ForbidPackages: []string{pattern, path}, RequirePackages: []string{line}, RequireLabels: []string{user},
			References: []hygiene.Reference{{Name: path, File: line}}, Lint: []hygiene.Warning{{Text: user, Lines: []string{line}, URL: path}},
			Base: hygiene.Base{State: hygiene.BaseUnapproved, Name: path, Want: user},
		}
		found := append(hygiene.Check(inv, c), hygiene.Secrets(inv)...)
		if again := append(hygiene.Check(inv, c), hygiene.Secrets(inv)...); !reflect.DeepEqual(found, again) {
			t.Error("not the same twice")
		}
		for _, f := range found {
			for _, s := range []string{f.Title, f.Path, f.Package, f.Version, f.Do} {
				if len([]rune(s)) > 401 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%q", s)
				}
			}
			if f.Line < 0 {
				t.Errorf("%+v", f)
			}
		}
	})
}
