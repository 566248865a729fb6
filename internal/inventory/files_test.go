package inventory

import (
	"archive/tar"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func modeOf(name string, mode int64) entry {
	return entry{tar.Header{Name: name, Mode: mode}, name}
}

func dirOf(name string, mode int64) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}}
}

func filesIn(inv *Inventory) string {
	var s []string
	for _, f := range inv.Files {
		one := fmt.Sprintf("%s %s @%d", f.Path, f.What, f.Layer)
		if f.Detail != "" {
			one += " " + f.Detail
		}
		s = append(s, one)
	}
	return strings.Join(s, ", ")
}

func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"nothing", [][]entry{{modeOf("a", 0o755), dirOf("d", 0o755)}}, ""},
		{"setuid", [][]entry{{modeOf("usr/bin/su", 0o4755)}}, "/usr/bin/su setuid @0"},
		{"setuid and setgid", [][]entry{{modeOf("x", 0o6755)}}, "/x setgid @0, /x setuid @0"},
		{"a setgid directory is none", [][]entry{{dirOf("var/mail", 0o2775)}}, ""},
		{"taken away above", [][]entry{{modeOf("x", 0o4755)}, {modeOf("x", 0o755)}}, ""},
		{"given above", [][]entry{{modeOf("x", 0o755)}, {modeOf("x", 0o4755)}}, "/x setuid @1"},
		{"world-writable", [][]entry{{modeOf("x", 0o666), dirOf("d", 0o777), dirOf("tmp", 0o1777), symlink("l", "x")}}, "/d world-writable @0, /x world-writable @0"},
		{"shells", [][]entry{{modeOf("bin/dash", 0o755), symlink("bin/sh", "dash"), modeOf("usr/bin/bash", 0o644), symlink("bin/zsh", "nowhere"), modeOf("opt/sh", 0o755)}},
			"/bin/dash shell @0, /bin/sh shell @0 dash"},
		{"busybox", [][]entry{{modeOf("bin/busybox", 0o755), symlink("bin/sh", "/bin/busybox"), symlink("bin/ls", "/bin/busybox")}},
			"/bin/busybox shell @0, /bin/sh shell @0 /bin/busybox"},
		{"/etc/shells", [][]entry{{text("etc/shells", "# these\n/opt/odd\n/opt/none\n"), modeOf("opt/odd", 0o755)}}, "/opt/odd shell @0"},
		{"once, where /bin is a link", [][]entry{{symlink("bin", "usr/bin"), modeOf("usr/bin/sh", 0o755), text("etc/shells", "/bin/sh\n/usr/bin/sh\n")}}, "/usr/bin/sh shell @0"},
		{"package managers", [][]entry{{modeOf("usr/bin/apt-get", 0o755), modeOf("usr/local/bin/pip3.11", 0o755), symlink("usr/local/bin/npm", "../lib/npm.js"), modeOf("usr/local/lib/npm.js", 0o755), modeOf("usr/bin/pipeline", 0o755)}},
			"/usr/bin/apt-get package-manager @0, /usr/local/bin/npm package-manager @0 ../lib/npm.js, /usr/local/bin/pip3.11 package-manager @0"},
		{"in the path of the image", [][]entry{{modeOf("opt/bin/yum", 0o755)}}, "/opt/bin/yum package-manager @0"},
		{"an empty password", [][]entry{{text("etc/shadow", "root::1:0:99999:7:::\nlocked:!:1:0:99999:7:::\nshort::\n")}}, "/etc/shadow account @0 root"},
		{"an empty password in passwd", [][]entry{{text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nopen::1:1::/:/bin/sh\n")}}, "/etc/passwd account @0 open"},
		{"who cannot log in", [][]entry{{text("etc/passwd", "a:x:0:0::/:/usr/sbin/nologin\n"), text("etc/shadow", "a::1:0:99999:7:::\n")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := configured(t, image(t, c.layers...), func(f *v1.ConfigFile) { f.Config.Env = []string{"PATH=/opt/bin:/usr/bin"} })
			if got := filesIn(mustRead(t, img)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestFilesAreBounded(t *testing.T) {
	var entries []entry
	for i := range maxListed + 5 {
		entries = append(entries, modeOf(fmt.Sprintf("f%04d", i), 0o666))
	}
	inv := mustRead(t, image(t, entries))
	if got := strings.Join(inv.Unknown, "\n"); len(inv.Files) != maxListed || got != "of 1005 files of the kind world-writable only 1000 are listed" {
		t.Errorf("%d files, unknown %q", len(inv.Files), got)
	}
}

func TestConfig(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	img := configured(t, image(t, []entry{text("a", "x")}), func(f *v1.ConfigFile) {
		f.Created = v1.Time{Time: at}
		f.Config = v1.Config{
			User: "app", WorkingDir: "/srv", StopSignal: "SIGQUIT", Entrypoint: []string{"/init"}, Cmd: []string{"a", "b"},
			Env:          []string{"PATH=/bin", "TOKEN=hunter2", "TOKEN=again", "EMPTY"},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}}, Volumes: map[string]struct{}{"/data": {}},
			Labels: map[string]string{"team": "a"}, Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "true"}},
		}
	})
	want := Config{
		User: "app", WorkingDir: "/srv", StopSignal: "SIGQUIT", Entrypoint: []string{"/init"}, Cmd: []string{"a", "b"},
		Env: []string{"PATH", "TOKEN", "EMPTY"}, ExposedPorts: []string{"53/udp", "8080/tcp"}, Volumes: []string{"/data"},
		Labels: map[string]string{"team": "a"}, Healthcheck: true, Created: at,
	}
	if got := mustRead(t, img).Config; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	none := configured(t, img, func(f *v1.ConfigFile) { f.Config.Healthcheck.Test = []string{"NONE"} })
	if mustRead(t, none).Config.Healthcheck {
		t.Error("a health check that is switched off counts")
	}
}
