package buildkit

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestPackageSteps(t *testing.T) {
	tests := map[string]struct {
		dockerfile string
		lines      []int
		uncertain  bool
	}{
		"apt-get":                   {"FROM a\nRUN apt-get install -y curl\n", []int{2}, false},
		"a chain":                   {"FROM a\nRUN set -eux; apt-get update && apt-get -y install curl | tee log\n", []int{2}, false},
		"continued over lines":      {"FROM a\nRUN true \\\n  # why\n\n  && apt-get \\\n  update\nRUN echo\n", []int{2}, false},
		"nothing before the break":  {"FROM a\nRUN \\\n  apk add curl\n", []int{2}, false},
		"lower case, indented":      {"FROM a\n  run apk add --no-cache curl\n", []int{2}, false},
		"environment before":        {"FROM a\nRUN DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -y\n", []int{2}, false},
		"options with a semicolon":  {"FROM a\nRUN apt-get -o 'Dpkg::Options::=--force;x' upgrade\n", []int{2}, false},
		"sh -c":                     {"FROM a\nRUN sh -c \"set -e; apt-get update\"\n", []int{2}, false},
		"bash -euo pipefail -c":     {"FROM a\nRUN bash -euo pipefail -c 'apt install -y x'\n", []int{2}, false},
		"sh -c in sh -c":            {"FROM a\nRUN sh -c 'sh -c \"apk upgrade\"'\n", []int{2}, false},
		"sudo, absolute path":       {"FROM a\nRUN sudo -E /usr/bin/apt-get full-upgrade\n", []int{2}, false},
		"env, xargs":                {"FROM a\nRUN env X=1 dnf makecache\nRUN xargs apt-get install -y < list\n", []int{2, 3}, false},
		"condition and loop":        {"FROM a\nRUN if true; then microdnf update -y; fi\nRUN until yum -y install x; do sleep 1; done\n", []int{2, 3}, false},
		"function and subshell":     {"FROM a\nRUN f() { tdnf install -y x; }; f\nRUN (cd / && aptitude safe-upgrade)\n", []int{2, 3}, false},
		"command substitution":      {"FROM a\nRUN echo $(apt-get update)\n", []int{2}, false},
		"here-document":             {"FROM a\nRUN <<EOF\nset -e\napt-get update\nEOF\nRUN echo\n", []int{2}, false},
		"here-document to bash":     {"FROM a\nRUN bash -eux <<'END' > log\napk add x\nEND\n", []int{2}, false},
		"exec form":                 {"FROM a\nRUN [\"apt-get\", \"install\", \"-y\", \"x\"]\n", []int{2}, false},
		"exec form of a shell":      {"FROM a\nRUN [\"/bin/bash\", \"-c\", \"dnf -y install x\"]\n", []int{2}, false},
		"flags already there":       {"FROM a\nRUN --mount=type=cache,target=/var/cache/apt apt-get update\n", []int{2}, false},
		"minideb's wrapper":         {"FROM a\nRUN install_packages curl\n", []int{2}, false},
		"several stages":            {"FROM a AS x\nRUN apk add gcc\nRUN make\nFROM a\nRUN apk add libc\n", []int{2, 5}, false},
		"escape directive":          {"# escape=`\nFROM a\nRUN echo `\n && apk add x\n", []int{3}, false},
		"carriage returns":          {"FROM a\r\nRUN apk add x\r\nRUN echo\r\n", []int{2}, false},
		"not only the last is seen": {"FROM a\nRUN ./install.sh\nRUN apk add x\n", []int{3}, false},

		"a path that contains apt":   {"FROM a\nRUN rm -rf /var/lib/apt/lists && ./install update\n", []int{2}, true},
		"a verb of another command":  {"FROM a\nRUN apt-get clean && make install\n", []int{2}, true},
		"querying is not installing": {"FROM a\nRUN apk info -vv\nRUN apt-cache policy x\n", []int{2, 3}, true},
		"a script of unknown text":   {"FROM a\nCOPY s /s\nRUN /s\n", []int{3}, true},
		"a manager in a variable":    {"FROM a\nARG PM=apk\nRUN $PM add x\n", []int{3}, true},
		"an ONBUILD is not run":      {"FROM a\nONBUILD RUN apk add x\n", nil, false},
		"nothing is run":             {"FROM a\nCOPY . .\n", nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			lines, certain, err := packageSteps([]byte(tt.dockerfile))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(lines, tt.lines) || certain == tt.uncertain {
				t.Errorf("lines %v, certain %v; want %v, %v", lines, certain, tt.lines, !tt.uncertain)
			}
			marked, err := markSteps([]byte(tt.dockerfile), flagged(lines))
			if err != nil {
				t.Fatal(err)
			}
			if got := unmark(string(marked)); got != tt.dockerfile {
				t.Errorf("other bytes than the flags have changed:\n%q", got)
			}
			again, _, err := packageSteps(marked)
			if err != nil || !slices.Equal(again, lines) {
				t.Errorf("the marked Dockerfile has package steps %v (%v), want %v", again, err, lines)
			}
		})
	}
}

func flagged(lines []int) map[int]string {
	out := map[int]string{}
	for _, l := range lines {
		out[l] = stateFlags
	}
	return out
}

func TestFlags(t *testing.T) {
	const df = "FROM a\nRUN apk add x\nRUN curl y\nFROM b\nRUN cp z\nONBUILD RUN w\n"
	for _, c := range []struct {
		state, fresh bool
		want         map[int]string
	}{
		{false, false, map[int]string{}},
		{true, false, map[int]string{2: stateFlags}},
		{false, true, map[int]string{2: freshFlags, 3: freshFlags, 5: freshFlags}},
		{true, true, map[int]string{2: stateFlags, 3: freshFlags, 5: freshFlags}},
	} {
		got, err := flags([]byte(df), c.state, c.fresh)
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("state %v fresh %v: %v %v", c.state, c.fresh, got, err)
		}
		marked, err := markSteps([]byte(df), got)
		if err != nil || unmark(string(marked)) != df {
			t.Errorf("other bytes than the flags have changed: %q %v", marked, err)
		}
	}
}

func TestMarkStepsIsByteExact(t *testing.T) {
	in := "# syntax=docker/dockerfile:1\r\nFROM a\r\n\trUn   --network=none \\\r\n\tapk add x\r\nRUN echo RUN\r\nRUN <<EOF\napk add y\nEOF\nCMD [\"sh\"]"
	want := "# syntax=docker/dockerfile:1\r\nFROM a\r\n\trUn" + stateFlags + "   --network=none \\\r\n\tapk add x\r\nRUN echo RUN\r\nRUN" + stateFlags + " <<EOF\napk add y\nEOF\nCMD [\"sh\"]"
	lines, _, err := packageSteps([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	got, err := markSteps([]byte(in), flagged(lines))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Each family's managers, as Dockerfiles call them; and what those do without asking a repository.
func TestInstallsPackages(t *testing.T) {
	for _, script := range []string{
		"apk add --no-cache curl", "apk --no-cache --update-cache add curl", "apk -U upgrade", "apk update", "apk add --virtual .build gcc", "apk fix --upgrade",
		"apk --root /out --initdb --keys-dir /etc/apk/keys --repositories-file /r add musl", "apk.static -X http://h/main -U --root /out add busybox",
		"dnf -y upgrade", "dnf --refresh --setopt=install_weak_deps=0 install -y x", "dnf install -y --nodocs x && dnf clean all", "dnf -y update-minimal --security",
		"dnf --installroot /out --releasever 9 -y install x", "dnf -y swap a b", "dnf -y groupinstall Development", "dnf group install -y x", "dnf -y module install nodejs:18",
		"dnf module enable -y nodejs:18", "dnf5 up -y", "dnf-3 -y install x", "dnf -y distro-sync", "dnf builddep -y x.spec", "dnf in x", "dnf -y downgrade x",
		"microdnf install -y --setopt=tsflags=nodocs x", "microdnf upgrade", "microdnf -y update && microdnf clean all", "tdnf makecache",
		"yum -y install x", "yum update -y --security", "yum localinstall -y http://h/x.rpm", "yum-builddep -y x", "rpm-ostree install x",
		"zypper --non-interactive install x", "zypper -n in x", "zypper -n up", "zypper --gpg-auto-import-keys ref", "zypper patch --with-update", "zypper -n dup", "zypper refs",
		"eatmydata apt-get -y install x", "apt-get dselect-upgrade", "nala install -y x", "mmdebstrap stable /out", "unattended-upgrade -d",
	} {
		if !installsPackages(script) {
			t.Errorf("%q reads no package repository", script)
		}
	}
	for _, script := range []string{
		"apk info", "apk del .build", "apk cache clean", "apk --version", "dnf clean all", "dnf -y remove x", "dnf config-manager --add-repo http://h/r", "rpm -qa",
		"microdnf clean all", "yum history", "yum-config-manager --enable r", "zypper clean --all", "zypper ar http://h/r r", "zypper -n rm x", "rpm -e x",
		"rm -rf /var/cache/dnf /var/cache/yum", "apt-mark hold x", "apt-get clean", "dpkg -i x.deb",
	} {
		if installsPackages(script) {
			t.Errorf("%q reads a package repository", script)
		}
	}
}

func TestPackageStepsOfABrokenDockerfile(t *testing.T) {
	for _, df := range []string{"", "RUNN x\n", "FROM a\nRUNN apk add x\n"} {
		if _, _, err := packageSteps([]byte(df)); err == nil {
			t.Errorf("%q: no error", df)
		}
	}
}

func FuzzPackageSteps(f *testing.F) {
	f.Add("FROM a\nRUN apt-get update && \\\n apt-get install x\nRUN <<E\napk add x\nE\n")
	f.Fuzz(func(t *testing.T, df string) {
		lines, _, err := packageSteps([]byte(df))
		if err != nil || strings.Contains(df, stateFlags) {
			return
		}
		marked, err := markSteps([]byte(df), flagged(lines))
		if err != nil {
			return
		}
		if unmark(string(marked)) != df {
			t.Errorf("marking changed more than the flags: %q", marked)
		}
	})
}
