package inventory

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// showRPM is a repository without its keys, in one line.
func showRPM(r Repository) string {
	s := fmt.Sprintf("%s %s prio=%d %v", r.ID, r.URI, r.Priority, r.Architectures)
	for _, part := range []struct {
		is   bool
		text string
	}{
		{r.Mirrors != "", " mirrors=" + r.Mirrors}, {r.Metalink, " metalink"}, {!r.Unsigned, " signed"}, {r.ModuleHotfixes, " hotfixes"},
		{len(r.Keys) > 0, fmt.Sprintf(" keys=%s", r.Keys)},
	} {
		if part.is {
			s += part.text
		}
	}
	return s
}

func rocky(more ...entry) []entry {
	return append([]entry{text("etc/os-release", "ID=\"rocky\"\nVERSION_ID=\"9.4\"\n")}, more...)
}

func TestRPMRepositories(t *testing.T) {
	const repo = "etc/yum.repos.d/a.repo"
	for _, c := range []struct {
		name  string
		files []entry
		want  string // repositories, a line each
		doubt string // part of what is unknown
	}{
		{"one", rocky(text(repo, "[baseos]\nname=Rocky $releasever - BaseOS\nbaseurl=http://h/$releasever/BaseOS/$basearch/os/\ngpgcheck=1\n")),
			"baseos http://h/9/BaseOS/x86_64/os/ prio=99 [x86_64]", ""},
		{"disabled", rocky(text(repo, "[a]\nbaseurl=http://h/a\nenabled=0\n[b]\nbaseurl=http://h/b\nenabled = yes\n")), "b http://h/b prio=99 [x86_64]", ""},
		{"several addresses", rocky(text(repo, "[a]\nbaseurl = http://h/a\n          http://i/a\nname=x\n[b]\nbaseurl=http://h/b, http://i/b\n")),
			"a http://h/a prio=99 [x86_64]\nb http://h/b prio=99 [x86_64]", ""},
		{"address on the next line", rocky(text(repo, "[a]\nbaseurl=\n  http://h/a\n")), "a http://h/a prio=99 [x86_64]", ""},
		{"metalink", rocky(text(repo, "[a]\nmetalink=https://m/metalink?repo=fedora-$releasever&arch=$basearch\n#baseurl=http://h/a\n")),
			"a  prio=99 [x86_64] mirrors=https://m/metalink?repo=fedora-9&arch=x86_64 metalink", ""},
		{"mirror list", rocky(text(repo, "[a]\nmirrorlist=https://m/mirrorlist?arch=$arch\n[b]\nmirrorlist=https://m/metalink\nbaseurl=http://h/b")),
			"a  prio=99 [x86_64] mirrors=https://m/mirrorlist?arch=x86_64\nb http://h/b prio=99 [x86_64] mirrors=https://m/metalink metalink", ""},
		{"options", rocky(text(repo, "[a]\nbaseurl=http://h/a\npriority=10\nmodule_hotfixes=true\nrepo_gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-$releasever\n  file:///nowhere\n"),
			text("etc/pki/rpm-gpg/RPM-GPG-KEY-9", "KEY")),
			"a http://h/a prio=10 [x86_64] signed hotfixes keys=[KEY]", ""},
		{"signatures asked for in main", rocky(text("etc/dnf/dnf.conf", "[main]\nrepo_gpgcheck=1\n"), text(repo, "[a]\nbaseurl=http://h/a\n[b]\nbaseurl=http://h/b\nrepo_gpgcheck=0\n")),
			"a http://h/a prio=99 [x86_64] signed\nb http://h/b prio=99 [x86_64]", "[a] cannot be watched: it asks for signatures"},
		{"variables", rocky(text("etc/dnf/vars/stream", "9-stream\n"), text("etc/yum/vars/stream", "old"), text(repo, "[a]\nbaseurl=http://h/$stream/${releasever}/${none:-else}/${stream:+yes}\n")),
			"a http://h/9-stream/9/else/yes prio=99 [x86_64]", ""},
		{"releasever of its own", rocky(text("etc/dnf/vars/releasever", "9.4"), text(repo, "[a]\nbaseurl=http://h/$releasever/$releasever_major/$releasever_minor\n")),
			"a http://h/9.4/9/4 prio=99 [x86_64]", ""},
		{"unknown variable", rocky(text(repo, "[a]\nbaseurl=http://h/$awsregion/x\n")), "a http://h/$awsregion/x prio=99 [x86_64]", "/etc/yum.repos.d/a.repo: [a] cannot be watched: nothing in the image says what $awsregion is"},
		{"no release", []entry{text(repo, "[a]\nbaseurl=http://h/$releasever/x\n")}, "a http://h/$releasever/x prio=99 [x86_64]", "$releasever"},
		{"VERSION_ID of others is whole", []entry{text("etc/os-release", "ID=azurelinux\nVERSION_ID=3.0\n"), text(repo, "[a]\nbaseurl=http://h/$releasever/x\n")}, "a http://h/3.0/x prio=99 [x86_64]", ""},
		{"no address", rocky(text(repo, "[a]\nname=a\n[b]\nbaseurl=http://h/b\n")), "b http://h/b prio=99 [x86_64]", "[a] has no baseurl"},
		{"broken beside good", rocky(text(repo, "baseurl\n[a\n"), text("etc/yum.repos.d/b.repo", "[b]\nbaseurl=http://h/b\n")), "b http://h/b prio=99 [x86_64]", "/etc/yum.repos.d/a.repo: "},
		{"named twice", rocky(text(repo, "[a]\nbaseurl=http://h/1\n"), text("etc/yum.repos.d/b.repo", "[a]\nbaseurl=http://h/2\n")), "a http://h/1 prio=99 [x86_64]", ""},
		{"dotted names are no children", rocky(text(repo, "[a]\nbaseurl=http://h/a\npriority=1\n[a.b]\nbaseurl=http://h/b\n")), "a http://h/a prio=1 [x86_64]\na.b http://h/b prio=99 [x86_64]", ""},
		{"characters of addresses", rocky(text(repo, "[a]\nbaseurl=http://h/a;b#c\\\n[b]\nbaseurl=http://h/%(x)s\n")), "a http://h/a;b#c\\ prio=99 [x86_64]\nb http://h/%(x)s prio=99 [x86_64]", ""},
		{"in dnf.conf", rocky(text("etc/dnf/dnf.conf", "[main]\n[a]\nbaseurl=http://h/a\n"), text("etc/yum.conf", "[main]\n[b]\nbaseurl=http://h/b\n")), "a http://h/a prio=99 [x86_64]", ""},
		{"yum.conf", rocky(text("etc/yum.conf", "[main]\n[b]\nbaseurl=http://h/b\n")), "b http://h/b prio=99 [x86_64]", ""},
		{"other files", rocky(text("etc/yum.repos.d/a.repo.rpmnew", "[a]\nbaseurl=http://h/a\n")), "", ""},
		{"overridden", rocky(text(repo, "[a]\nbaseurl=http://h/a\n[b]\nbaseurl=http://h/b\n"), text("etc/dnf/repos.override.d/x.repo", "[a*]\nenabled=0\n[b]\npriority=5\n")), "b http://h/b prio=5 [x86_64]", ""},
		{"not a number", rocky(text(repo, "[a]\nbaseurl=http://h/a\npriority=high\nenabled=maybe\n")), "a http://h/a prio=99 [x86_64]", "priority = \"high\""},
		{"zypper", []entry{text("etc/zypp/repos.d/a.repo", "[a]\nbaseurl=http://h/a\n")}, "", "zypper"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := mustRead(t, image(t, c.files))
			var lines []string
			for _, r := range inv.Repositories {
				if r.Type != RPM || r.Where == "" {
					t.Errorf("type %q, where %q", r.Type, r.Where)
				}
				lines = append(lines, showRPM(r))
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if all := strings.Join(inv.Unknown, "\n"); (c.doubt == "") != (all == "") || !strings.Contains(all, c.doubt) {
				t.Errorf("unknown: %q, want %q", all, c.doubt)
			}
		})
	}
}

// dnf asks the package that provides the system's release for its version.
func TestReleaseOfThePackageThatProvidesIt(t *testing.T) {
	l := append(layerIn("var/lib/rpm", installRPMs(t, "openssl-libs", "nodejs")), // nodejs claims to be it
		text("etc/os-release", "ID=fedora\nVERSION_ID=40\n"), text("etc/yum.repos.d/a.repo", "[a]\nbaseurl=http://h/$releasever\n"))
	if inv := mustRead(t, image(t, l)); len(inv.Repositories) != 1 || inv.Repositories[0].URI != "http://h/18.20.2" {
		t.Errorf("got %+v", inv.Repositories)
	}
}

func TestRPMArchitectures(t *testing.T) {
	for platform, want := range map[string]dnfArch{
		"linux/amd64": {"x86_64", "x86_64"}, "linux/amd64/v2": {"x86_64", "x86_64"}, "linux/arm64": {"aarch64", "aarch64"}, "linux/386": {"i686", "i386"},
		"linux/arm/v7": {"armv7hl", "armhfp"}, "linux/s390x": {"s390x", "s390x"}, "linux/ppc64le": {"ppc64le", "ppc64le"}, "linux/riscv64": {"riscv64", "riscv64"},
	} {
		if got := rpmArch(platform); got != want {
			t.Errorf("%s: got %v, want %v", platform, got, want)
		}
	}
}

func TestRPMPins(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []entry
		want  []Pin
		doubt string
	}{
		{"excludes of all", []entry{text("etc/dnf/dnf.conf", "[main]\nexcludepkgs=kernel*, foo\n  bar\n")},
			[]Pin{{Packages: []string{"kernel*", "foo", "bar"}, Rule: RuleExclude, Where: dnfConf}}, ""},
		{"of a repository", []entry{text("etc/yum.repos.d/a.repo", "[a]\nbaseurl=http://h/\nexclude=x\nincludepkgs=y z\n[b]\nenabled=0\nexclude=w\n")},
			[]Pin{{Packages: []string{"x"}, Rule: RuleExclude, Repository: "a", Where: "/etc/yum.repos.d/a.repo"}, {Packages: []string{"y", "z"}, Rule: RuleInclude, Repository: "a", Where: "/etc/yum.repos.d/a.repo"}}, ""},
		{"locks", []entry{text("etc/dnf/plugins/versionlock.list", "# Added lock\nbash-0:5.1.8-6.el9.*\nopenssl-libs-1:3.0.7-27.el9.*\n!curl-0:7.76.1-*.*\nvim-minimal-2:8.2*-*\n\nodd\n")},
			[]Pin{
				{Packages: []string{"bash"}, Rule: "lock 5.1.8-6.el9", Where: versionlockLists()[0]}, {Packages: []string{"openssl-libs"}, Rule: "lock 1:3.0.7-27.el9", Where: versionlockLists()[0]},
				{Packages: []string{"curl-0:7.76.1-*.*"}, Rule: RuleExclude, Where: versionlockLists()[0]}, {Packages: []string{"vim-minimal"}, Rule: "lock 2:8.2*-*", Where: versionlockLists()[0]},
			}, `lock "odd" is not understood`},
		{"yum's locks", []entry{text("etc/yum/pluginconf.d/versionlock.list", "0:bash-4.2.46-34.el7.*\n1:openssl-libs-1.0.2k-12.el7.*\n")},
			[]Pin{{Packages: []string{"bash"}, Rule: "lock 4.2.46-34.el7", Where: versionlockLists()[1]}, {Packages: []string{"openssl-libs"}, Rule: "lock 1:1.0.2k-12.el7", Where: versionlockLists()[1]}}, ""},
		{"modules", []entry{text("etc/dnf/modules.d/nodejs.module", "[nodejs]\nname=nodejs\nstream=18\nprofiles=common\nstate=enabled\n"), text("etc/dnf/modules.d/perl.module", "[perl]\nstate=disabled\nstream=\n"), text("etc/dnf/modules.d/x.module", "[x]\nstate=\nstream=\n")},
			[]Pin{{Packages: []string{"nodejs"}, Rule: "stream 18", Where: "/etc/dnf/modules.d/nodejs.module"}, {Packages: []string{"perl"}, Rule: RuleDisabled, Where: "/etc/dnf/modules.d/perl.module"}}, ""},
		{"dnf5's locks", []entry{text("etc/dnf/versionlock.toml", "version = \"1.0\"\n[[packages]]\nname = \"bash\"\n")}, nil, versionlockTOML},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := mustRead(t, image(t, c.files))
			for i := range c.want {
				c.want[i].Type = RPM
			}
			if !reflect.DeepEqual(inv.Pins, c.want) {
				t.Errorf("got  %+v\nwant %+v", inv.Pins, c.want)
			}
			if all := strings.Join(inv.Unknown, "\n"); (c.doubt == "") != (all == "") || !strings.Contains(all, c.doubt) {
				t.Errorf("unknown: %q, want %q", all, c.doubt)
			}
		})
	}
}

func TestLockedPackagesAreHeld(t *testing.T) {
	for lock, want := range map[string]bool{
		"openssl-libs-1:3.0.7-27.el9.*":                                    true,
		"openssl-libs-1:3.0.7-27.el9.x86_64":                               true,
		"openssl-*-1:3.0.7-27.el9.*":                                       true,
		"openssl-libs-0:3.0.7-27.el9.*":                                    false, // another version
		"openssl-libs-1:3.0.7-*.*":                                         false, // later releases are let in
		"openssl-libs-1:3.0.7-27.el9.*\nopenssl-libs-1:3.0.8-1.el9.*":      false,
		"bash-0:5.1.8-6.el9.*":                                             false,
		"!openssl-libs-1:3.0.7-27.el9.*":                                   false,
		"# openssl-libs-1:3.0.7-27.el9.*":                                  false,
		strings.Repeat("bash-0:5.1.8-6.el9.*\n", 2) + "nodejs-0:18.20.2-1": false,
	} {
		inv := mustRead(t, image(t, append(layerIn("var/lib/rpm", installRPMs(t, "openssl-libs")), text("etc/dnf/plugins/versionlock.list", lock+"\n"))))
		if got := slices.ContainsFunc(inv.Packages, func(p Package) bool { return p.Held }); got != want {
			t.Errorf("%q: held %v, want %v", lock, got, want)
		}
	}
}

func TestParseINIOfGreatNumbers(t *testing.T) {
	numbered := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"sections":          {numbered("[s%d]\nk=v\n", maxSources), ""},
		"too many sections": {numbered("[s%d]\n", maxSources+1), "more than 1000 sections"},
		"options":           {"[a]\n" + numbered("k%d=v\n", maxOptions) + "[b]\n" + numbered("k%d=v\n", maxOptions), ""},
		"too many options":  {"[a]\n" + numbered(" k%d =v\n", maxOptions+1), "more than 1000 sections, or 1000 options in one"},
	} {
		if _, err := parseINI([]byte(c.text)); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzRPMConfig(f *testing.F) {
	f.Add("[a]\nbaseurl=http://h/$releasever\n  http://i/${x:-y}\nexclude=a b\n", "bash-0:5.1.8-6.el9.*\n!x\n")
	f.Add("[main]\nkey=\"\"\"\n`\n[a", "a-1-1\n:-:-")
	f.Fuzz(func(t *testing.T, conf, locks string) {
		tr := newTree(defaultLimits())
		for at, content := range map[string]string{"etc/dnf/dnf.conf": conf, "etc/yum.repos.d/a.repo": conf, "etc/dnf/modules.d/a.module": conf, "etc/dnf/plugins/versionlock.list": locks, "etc/dnf/vars/x": locks} {
			h := text(at, content).Header
			h.Typeflag, h.Size = '0', int64(len(content))
			if err := tr.put(&h, strings.NewReader(content), 0); err != nil {
				t.Skip(err)
			}
		}
		inv := &Inventory{Platform: "linux/amd64", Packages: []Package{{Type: RPM, Name: "bash", Version: "1-1"}}}
		addDNF(tr, inv)
		for _, r := range inv.Repositories {
			if r.URI == "" && r.Mirrors == "" {
				t.Errorf("a repository without address: %+v", r)
			}
		}
		for _, p := range inv.Pins {
			if len(p.Packages) == 0 || p.Rule == "" {
				t.Errorf("a pin of nothing: %+v", p)
			}
		}
	})
}
