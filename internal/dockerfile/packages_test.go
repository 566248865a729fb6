package dockerfile_test

import (
	"slices"
	"testing"

	"rebuilder/internal/dockerfile"
)

func TestPackageSteps(t *testing.T) {
	const all = "no RUN is recognised as one that installs packages: all are run again"
	may := func(why string) string { return "RUN in line " + why + ": what may is run again, too" }
	tests := map[string]struct {
		dockerfile string
		lines      []int
		doubt      string
	}{
		"apt-get":                   {"FROM a\nRUN apt-get install -y curl\n", []int{2}, ""},
		"a chain":                   {"FROM a\nRUN set -eux; apt-get update && apt-get -y install curl | tee log\n", []int{2}, ""},
		"continued over lines":      {"FROM a\nRUN true \\\n  # why\n\n  && apt-get \\\n  update\nRUN echo\n", []int{2}, ""},
		"nothing before the break":  {"FROM a\nRUN \\\n  apk add curl\n", []int{2}, ""},
		"lower case, indented":      {"FROM a\n  run apk add --no-cache curl\n", []int{2}, ""},
		"environment before":        {"FROM a\nRUN DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -y\n", []int{2}, ""},
		"options with a semicolon":  {"FROM a\nRUN apt-get -o 'Dpkg::Options::=--force;x' upgrade\n", []int{2}, ""},
		"sh -c":                     {"FROM a\nRUN sh -c \"set -e; apt-get update\"\n", []int{2}, ""},
		"bash -euo pipefail -c":     {"FROM a\nRUN bash -euo pipefail -c 'apt install -y x'\n", []int{2}, ""},
		"sh -c in sh -c":            {"FROM a\nRUN sh -c 'sh -c \"apk upgrade\"'\n", []int{2}, ""},
		"sudo, absolute path":       {"FROM a\nRUN sudo -E /usr/bin/apt-get full-upgrade\n", []int{2}, ""},
		"env, xargs":                {"FROM a\nRUN env X=1 dnf makecache\nRUN xargs apt-get install -y < list\n", []int{2, 3}, ""},
		"condition and loop":        {"FROM a\nRUN if true; then microdnf update -y; fi\nRUN until yum -y install x; do sleep 1; done\n", []int{2, 3}, ""},
		"function and subshell":     {"FROM a\nRUN f() { tdnf install -y x; }; f\nRUN (cd / && aptitude safe-upgrade)\n", []int{2, 3}, ""},
		"command substitution":      {"FROM a\nRUN echo $(apt-get update)\n", []int{2}, ""},
		"here-document":             {"FROM a\nRUN <<EOF\nset -e\napt-get update\nEOF\nRUN echo\n", []int{2}, ""},
		"here-document to bash":     {"FROM a\nRUN bash -eux <<'END' > log\napk add x\nEND\n", []int{2}, ""},
		"exec form":                 {"FROM a\nRUN [\"apt-get\", \"install\", \"-y\", \"x\"]\n", []int{2}, ""},
		"exec form of a shell":      {"FROM a\nRUN [\"/bin/bash\", \"-c\", \"dnf -y install x\"]\n", []int{2}, ""},
		"flags already there":       {"FROM a\nRUN --mount=type=cache,target=/var/cache/apt apt-get update\n", []int{2}, ""},
		"minideb's wrapper":         {"FROM a\nRUN install_packages curl\n", []int{2}, ""},
		"several stages":            {"FROM a AS x\nRUN apk add gcc\nRUN make\nFROM a\nRUN apk add libc\n", []int{2, 5}, ""},
		"escape directive":          {"# escape=`\nFROM a\nRUN echo `\n && apk add x\n", []int{3}, ""},
		"carriage returns":          {"FROM a\r\nRUN apk add x\r\nRUN echo\r\n", []int{2}, ""},
		"docker's helper for PHP":   {"FROM php\nRUN docker-php-ext-install gd\n", []int{2}, ""},
		"behind an own function":    {"FROM a\nRUN retry() { \"$@\" || \"$@\"; }; retry apt-get update\n", []int{2}, ""},
		"a comment that configures": {"FROM a\n# check=skip=all\nRUN apk add x\n", []int{3}, ""},

		"a script beside it":          {"FROM a\nRUN ./install.sh\nRUN apk add x\nRUN make\n", []int{2, 3}, may("2 may install packages, as it runs ./install.sh")},
		"a script that is copied":     {"FROM a\nCOPY get-deps /usr/local/bin/\nRUN apk add x\nRUN get-deps\n", []int{3, 4}, may("4 may install packages, as it runs get-deps")},
		"a script written here":       {"FROM a\nCOPY <<E /bin/prepare\napk add x\nE\nRUN prepare\nRUN apk add y\n", []int{5, 6}, may("5 may install packages, as it runs prepare")},
		"a script for a shell":        {"FROM a\nRUN bash -ex -o pipefail /tmp/setup\nRUN apk add y\n", []int{2, 3}, may("2 may install packages, as it runs /tmp/setup")},
		"a script from the network":   {"FROM a\nRUN curl -fsSL http://h/setup | bash -\nRUN apk add y\n", []int{2, 3}, may("2 may install packages, as it runs what bash is given to read")},
		"a script in a variable":      {"FROM a\nARG PM=apk\nRUN $PM add x\nRUN apk add y\n", []int{3, 4}, may("3 may install packages, as it runs what a variable says")},
		"a script that is put off":    {"FROM a\nRUN sh -c \"$WHAT\"\nRUN eval \"$WHAT\"\nRUN apk add y\n", []int{2, 3, 4}, may("2 may install packages, as it runs what a variable says; RUN in line 3 may install packages, as it runs what a variable says")},
		"a script that is read":       {"FROM a\nRUN . /etc/os-release\nRUN . ./functions\nRUN apk add y\n", []int{3, 4}, may("3 may install packages, as it reads a script: ./functions")},
		"a script of another program": {"FROM a\nRUN <<E\n#!/usr/bin/env python3\nprint(1)\nE\nRUN apk add y\n", []int{2, 6}, may("2 may install packages, as it runs a script for /usr/bin/env python3")},
		"exec form of a script":       {"FROM a\nRUN [\"/opt/setup\", \"-y\"]\nRUN apk add y\n", []int{2, 3}, may("2 may install packages, as it runs /opt/setup")},
		"behind sudo and env":         {"FROM a\nRUN sudo -E env X=1 ./setup\nRUN apk add y\n", []int{2, 3}, may("2 may install packages, as it runs ./setup")},
		"a playbook":                  {"FROM a\nRUN ansible-playbook site.yml\nRUN apk add y\n", []int{2, 3}, may("2 may install packages, as it runs ansible-playbook")},
		"another shell":               {"FROM a\nSHELL [\"pwsh\", \"-c\"]\nRUN Get-X\nFROM a\nRUN apk add y\n", []int{3, 5}, may("3 may install packages, as its SHELL speaks a language that is not known here")},
		"many of them": {"FROM a\nRUN ./a\nRUN ./b\nRUN ./c\nRUN ./d\nRUN apk add y\n", []int{2, 3, 4, 5, 6},
			may("2 may install packages, as it runs ./a; RUN in line 3 may install packages, as it runs ./b; RUN in line 4 may install packages, as it runs ./c; and 1 more")},

		"programs that are there":      {"FROM a\nRUN apk add x\nRUN make && npm ci && /opt/venv/bin/pip install y && \"$HOME\"/.local/bin/z && node_modules/.bin/w\n", []int{2}, ""},
		"a program of another stage":   {"FROM a\nCOPY --from=go /usr/local/go /usr/local/go\nRUN apk add x\nRUN go build\n", []int{3}, ""},
		"a file that is written":       {"FROM a\nRUN cat <<E > /x\nthis (is no script\nE\nRUN apk add x\n", []int{5}, ""},
		"a shell that is told at once": {"FROM a\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN apk add x\nRUN sh -c 'echo \"$X\"; test -f y'\nRUN bash <<E\necho\nE\n", []int{3}, ""},
		"an own function":              {"FROM a\nRUN apk add x\nRUN f() { echo; }; f\n", []int{2}, ""},

		"a path that contains apt":   {"FROM a\nRUN rm -rf /var/lib/apt/lists && ./install update\n", []int{2}, all},
		"a verb of another command":  {"FROM a\nRUN apt-get clean && make install\n", []int{2}, all},
		"querying is not installing": {"FROM a\nRUN apk info -vv\nRUN apt-cache policy x\n", []int{2, 3}, all},
		"a script of unknown text":   {"FROM a\nCOPY s /s\nRUN /s\n", []int{3}, all},
		"a manager in a variable":    {"FROM a\nARG PM=apk\nRUN $PM add x\n", []int{3}, all},
		"an ONBUILD is not run":      {"FROM a\nONBUILD RUN apk add x\n", nil, ""},
		"nothing is run":             {"FROM a\nCOPY . .\n", nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			runs, err := dockerfile.Runs([]byte(tt.dockerfile))
			if err != nil {
				t.Fatal(err)
			}
			lines, doubt := dockerfile.PackageSteps(runs)
			if !slices.Equal(lines, tt.lines) || doubt != tt.doubt {
				t.Errorf("lines %v, doubt %q; want %v, %q", lines, doubt, tt.lines, tt.doubt)
			}
		})
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
		if !installs(t, script) {
			t.Errorf("%q reads no package repository", script)
		}
	}
	for _, script := range []string{
		"apk info", "apk del .build", "apk cache clean", "apk --version", "dnf clean all", "dnf -y remove x", "dnf config-manager --add-repo http://h/r", "rpm -qa",
		"microdnf clean all", "yum history", "yum-config-manager --enable r", "zypper clean --all", "zypper ar http://h/r r", "zypper -n rm x", "rpm -e x",
		"rm -rf /var/cache/dnf /var/cache/yum", "apt-mark hold x", "apt-get clean", "dpkg -i x.deb",
	} {
		if installs(t, script) {
			t.Errorf("%q reads a package repository", script)
		}
	}
}

// installs says whether a RUN of a script, which is on one line, is recognised.
func installs(t *testing.T, script string) bool {
	t.Helper()
	runs, err := dockerfile.Runs([]byte("FROM a\nRUN " + script + "\n"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("%q: %v, %v", script, runs, err)
	}
	return runs[0].Installs
}

func TestRunsOfABrokenDockerfile(t *testing.T) {
	for _, df := range []string{"", "RUNN x\n", "FROM a\nRUNN apk add x\n"} {
		if _, err := dockerfile.Runs([]byte(df)); err == nil {
			t.Errorf("%q: no error", df)
		}
	}
}

func FuzzRuns(f *testing.F) {
	f.Add("FROM a\nRUN apt-get update && \\\n apt-get install x\nRUN <<E\napk add x\nE\n")
	f.Add("FROM a\nSHELL [\"x\"]\nRUN sh -c \"sh -c 'eval $x'\" | bash\nCOPY <<A <<B /x/\nA\nB\n# check=skip=all\nRUN [\"a\"]\n")
	f.Fuzz(func(t *testing.T, src string) {
		runs, err := dockerfile.Runs([]byte(src))
		if err != nil {
			return
		}
		lines, doubt := dockerfile.PackageSteps(runs)
		if len(runs) > 0 && len(lines) == 0 {
			t.Errorf("something is run, and nothing is run again: %v", runs)
		}
		certain := len(lines) > 0 && !slices.ContainsFunc(runs, func(r dockerfile.Run) bool { return slices.Contains(lines, r.Line) && !r.Installs })
		if len(runs) > 0 && certain == (doubt != "") {
			t.Errorf("lines %v of %v, doubt %q", lines, runs, doubt)
		}
	})
}
