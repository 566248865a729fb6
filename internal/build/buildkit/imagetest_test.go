package buildkit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
	"rebuilder/internal/imagetest"
)

// TestImages runs suites in images on one engine. A case's suite is a file of tests; want are its results in order, each
// "passed", or a part of its problems.
func TestImages(t *testing.T) {
	w := openWorld(t)
	w.push(t, "base/files:1", files(t))
	w.push(t, "base/hostile:1", hostile(t))
	w.push(t, "base/distroless:1", distroless(t))
	w.push(t, "base/user:1", configured(t, rootfs(t, map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/home/app:/bin/sh\n",
		"etc/group":  "root:x:0:\napp:x:1235:\n",
	}), func(c *v1.Config) {
		c.User, c.WorkingDir = "app", "/srv/work"
		c.Env = []string{"PATH=/bin", "COLOUR=red"}
		c.Entrypoint, c.Cmd = []string{"/bin/echo", "entrypoint"}, []string{"and", "cmd"}
		c.ExposedPorts = map[string]struct{}{"8080/tcp": {}}
	}))
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	for _, c := range []struct {
		name, image, suite string
		want               []string
	}{
		{
			"commands", "base/busybox:1", `
commandTests:
  - {name: passes, command: echo, args: [hello], expectedOutput: ['^hello\n$'], excludedOutput: [bye], excludedError: [.]}
  - {name: fails, command: sh, args: [-c, "echo bad >&2; exit 3"], expectedError: [good]}
  - {name: is to fail, command: sh, args: [-c, "echo bad >&2; exit 3"], exitCode: 3, expectedError: ['^bad\n$']}
  - {name: exits with 255, command: sh, args: [-c, "exit 255"], exitCode: 255}
  - {name: exits with 1, command: sh, args: [-c, "exit 1"], exitCode: 1}
  - {name: nobody knows it, command: nonexistent, exitCode: 1}
  - {name: no program, command: /etc, exitCode: 1}
  - {name: none beside others, setup: [["true"]], command: nonexistent, exitCode: 255}
`, []string{"passed", "it exited with 3, not with 0; standard error has no match of \"good\": \"bad\\n\"", "passed", "passed", "passed",
				`nonexistent cannot be started: exec: "nonexistent": executable file not found in $PATH`, `/etc cannot be started: exec: "/etc": permission denied`,
				"nonexistent cannot be started"},
		},
		{
			"throw-away", "base/busybox:1", `
commandTests:
  - {name: writes, command: sh, args: [-c, "echo x > /written && test -e /written"]}
  - {name: does not see it, command: test, args: ["!", -e, /written]}
  - {name: setup is seen, setup: [[sh, -c, "echo $WHAT > /written"], [cp, /written, /copied]], teardown: [[nonexistent]],
     envVars: [{key: WHAT, value: this}], command: cat, args: [/copied], expectedOutput: ['^this\n$']}
  - {name: setup fails, setup: [[sh, -c, "echo why; exit 4"]], command: echo}
fileExistenceTests:
  - {name: nor do files, path: /written, shouldExist: false}
`, []string{"passed", "passed", "passed", `setup "sh -c echo why; exit 4" exited with 4`, "passed"},
		},
		{
			"the image's configuration", "base/user:1", `
globalEnvVars: [{key: COLOURS, value: "$COLOUR and blue"}, {key: PATH, value: "/opt:$PATH"}]
commandTests:
  - {name: directory, command: sh, args: [-c, "pwd"], expectedOutput: ['^/srv/work\n$']}
  - {name: words, command: echo, args: ["$COLOUR", "${COLOURS}", "$NOTHING."], expectedOutput: ['^red red and blue \.\n$']}
  - {name: environment, command: env, envVars: [{key: RAW, value: "$COLOUR"}], expectedOutput: ['(?m)^COLOURS=red and blue$', '(?m)^PATH=/opt:/bin$', '(?m)^RAW=\$COLOUR$']}
  - {name: user, command: sh, args: [-c, "touch /x || cat /proc/self/status"], expectedOutput: ['Uid:\t1234', 'Gid:\t1235'], exitCode: 0}
  - {name: no entrypoint, command: echo, args: [alone], excludedOutput: [entrypoint]}
metadataTest:
  user: app
  workdir: /srv/work
  envVars: [{key: COLOUR, value: 're[d]', isRegex: true}]
  unboundEnvVars: [{key: COLOURS}]
  entrypoint: [/bin/echo, entrypoint]
  cmd: [and, cmd]
  exposedPorts: ["8080"]
  unexposedPorts: ["80"]
`, []string{"passed", "passed", "passed", "passed", "passed", "passed"},
		},
		{
			"run options", "base/user:1", `
containerRunOptions: {user: root, allocateTty: true, capabilities: [NET_BIND_SERVICE]}
commandTests:
  - {name: user, command: cat, args: [/proc/self/status], expectedOutput: ['Uid:\t0']}
  - {name: terminal, command: test, args: [-t, "1"]}
`, []string{"passed", "passed"},
		},
		{
			"files", "base/files:1", `
fileExistenceTests:
  - {name: directory, path: /, permissions: drwxr-xr-x, uid: 0, gid: 0}
  - {name: sticky, path: /tmp, permissions: dtrwxrwxrwx}
  - {name: setuid, path: /usr/bin/passwd, permissions: urwxr-xr-x, isExecutableBy: other}
  - {name: group, path: /etc/shadow, gid: 42, permissions: -rw-r-----}
  - {name: a link, path: /etc/os-release, permissions: Lrwxrwxrwx}
  - {name: through a link, path: /bin/dash, permissions: -rwxr-xr-x}
  - {name: not there, path: /nonexistent/file, shouldExist: false}
  - {name: below a file, path: /etc/passwd/file, shouldExist: false}
  - {name: a pattern is a name, path: '/etc/pass*', shouldExist: false}
  - {name: should be there, path: /nonexistent}
  - {name: should not be there, path: /etc/passwd, shouldExist: false}
  - {name: wrong in all, path: /etc/passwd, permissions: -rwxrwxrwx, uid: 1, gid: 1, isExecutableBy: any}
fileContentTests:
  - {name: content, path: /etc/passwd, expectedContents: ['root:x:0:0:root:/root:/bin/bash'], excludedContents: [nonsense]}
  - {name: through links, path: /etc/os-release, expectedContents: ['Debian']}
  - {name: no file, path: /etc, expectedContents: [x]}
  - {name: excluded, path: /etc/passwd, excludedContents: ['^root']}
licenseTests:
  - {debian: true, files: [/usr/share/doc/dash/copyright, /nonexistent, /agpl]}
`, []string{
				"passed", "passed", "open /etc: not a regular file", `/etc/passwd has a match of "^root": "root"`,
				"passed", "passed", "passed", "passed", "passed", "passed", "passed", "passed", "passed",
				"/nonexistent is not there", "/etc/passwd is there",
				"/etc/passwd has the permissions -rw-r--r--, not -rwxrwxrwx; /etc/passwd belongs to user 0, not 1; /etc/passwd belongs to group 0, not 1; /etc/passwd is not executable by any: -rw-r--r--",
				"open /usr/share/doc/bare/copyright: no such file or directory; open /nonexistent: no such file or directory; /agpl names the licence AGPL",
			},
		},
		{
			"services without a shell", "base/distroless:1", `
services:
  - {name: server, ready: {port: 8080, output: [serving], command: [/server, check]}}
  - {name: second, command: /server, args: [":8081"], user: "65532", ready: {port: 8081}}
commandTests:
  - {name: a command beside it, command: /server, args: [check], expectedOutput: ['^200']}
  - {name: one that fails, command: /server, args: [nonsense], exitCode: 2}
  - {name: setup, setup: [[/server, touch, /x]], command: /server, args: [touch, /x/y], exitCode: 1}
portTests:
  - {name: answers, port: 8080}
  - {name: says, port: 8081, send: "GET /x HTTP/1.0\r\n\r\n", expectedOutput: ['^HTTP/1\.0 200', '65532 /x']}
  - {name: says something else, port: 8081, send: "GET / HTTP/1.0\r\n\r\n", expectedOutput: ['^HTTP/1\.0 404']}
  - {name: nobody, port: 8082, timeout: 500ms}
`, []string{"passed", "passed", "passed", "passed", "passed", `the answer has no match of "^HTTP/1\\.0 404": "HTTP/1.0 200`, "it took longer than 500ms"},
		},
		{
			"a command without a shell", "base/distroless:1", `
commandTests: [{name: it runs, command: server, args: [touch, /tmp/x]}]
metadataTest: {entrypoint: [/server], cmd: [":8080"]}
`, []string{"passed", "passed"},
		},
		{
			"services that fail", "base/busybox:1", `
services: [{name: ends, command: sh, args: [-c, "echo dying; exit 7"], ready: {output: [never]}}]
commandTests: [{name: one, command: echo}]
`, []string{"service ends exited with 7"},
		},
		{
			"services that are none", "base/busybox:1", `
services: [{name: none, command: nonexistent}]
commandTests: [{name: one, command: sleep, args: ["10"]}]
`, []string{"service none: nonexistent cannot be started"},
		},
		{
			"services that are not ready", "base/busybox:1", `
services: [{name: slow, command: sleep, args: ["1000"], ready: {output: [never], timeout: 300ms}}]
commandTests: [{name: one, command: echo}]
`, []string{"service slow: it was not ready after 300ms"},
		},
		{
			"services that end well", "base/busybox:1", `
services: [{name: forks, command: sh, args: [-c, "sleep 1000 & echo ready"], ready: {output: ['^ready$']}}]
commandTests: [{name: one, command: sh, args: [-c, "cat /proc/[0-9]*/cmdline"], expectedOutput: ["sleep.1000"]}]
`, []string{"passed"},
		},
		{
			"network", "base/distroless:1", strings.ReplaceAll(`
commandTests:
  - {name: off, command: /server, args: [dial, ADDRESS], exitCode: 1, expectedError: [refused]}
  - {name: "on", command: /server, args: [dial, ADDRESS], network: true}
  - {name: loopback is up, command: /server, args: [self], expectedOutput: ['^200']}
`, "ADDRESS", outside.Addr().String()), []string{"passed", "passed", "passed"},
		},
		{
			"hostile", "base/busybox:1", `
timeout: 700ms
commandTests:
  - {name: sleeps, command: sleep, args: ["74001"]}
  - {name: prints without end, command: cat, args: [/dev/zero], timeout: 1m}
  - {name: forks and ignores, command: sh, args: [-c, "trap '' TERM INT HUP; for i in $(seq 50); do sleep 74001 & done; sleep 74001"]}
  - {name: forks behind a setup, setup: [[sh, -c, "sleep 74001 &"]], command: sleep, args: ["74001"]}
  - {name: the next one works, command: echo, args: [fine], expectedOutput: [fine], timeout: 1m}
`, []string{"it took longer than 700ms", "cat printed more than 4194304 bytes and was ended", "it took longer than 700ms", "it took longer than 700ms", "passed"},
		},
		{
			"hostile files", "base/hostile:1", `
fileContentTests:
  - {name: no file, path: /dev/zero, expectedContents: [x]}
  - {name: a huge one, path: /huge, expectedContents: [x]}
  - {name: links in a circle, path: /circle, expectedContents: [x]}
  - {name: links outside, path: /outside, expectedContents: ['root:x:0:0']}
`, []string{"open /dev/zero: not a regular file", "more than 4194304 bytes", "read /circle: too many links", "open /outside: no such file"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, log := w.test(t, c.image, c.suite)
			if len(report.Results) != len(c.want) {
				t.Fatalf("%d results, want %d: %+v", len(report.Results), len(c.want), report.Results)
			}
			for i, r := range report.Results {
				got := "passed"
				if !r.Passed {
					got = strings.Join(r.Problems, "; ")
				}
				if !strings.Contains(got, c.want[i]) || c.want[i] == "passed" && !r.Passed {
					t.Errorf("%s %q: %s, want %s; it printed %q", r.Kind, r.Name, got, c.want[i], r.Output)
				}
				t.Logf("%s %q: %s: %s", r.Kind, r.Name, r.Took.Round(time.Millisecond), got)
			}
			if !strings.HasPrefix(log, "tests.yaml: "+report.Results[0].Kind+": "+report.Results[0].Name+"\n") {
				t.Errorf("the log begins with %.100q", log)
			}
		})
	}
	until(t, "the end of every process", func() bool { return !running("74001") })
}

// test runs one suite in an image.
func (w *world) test(t *testing.T, image, suite string) (*imagetest.Report, string) {
	t.Helper()
	s, err := imagetest.Parse("tests.yaml", []byte("schemaVersion: 2.0.0\n"+suite))
	if err != nil {
		t.Fatal(err)
	}
	var log buffer
	report, err := w.engine.Test(t.Context(), imagetest.Request{Image: image, Reference: w.registry + "/" + image, Platform: platform,
		Suites: []imagetest.Suite{s}, Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return report, log.String()
}

// TestImageCannotBeTested is about what is no test's failure.
func TestImageCannotBeTested(t *testing.T) {
	w := openWorld(t)
	suite, err := imagetest.Parse("tests.yaml", []byte(`{schemaVersion: 2.0.0, commandTests: [{name: long, command: sleep, args: ["74002"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	request := imagetest.Request{Image: "app", Reference: w.registry + "/base/busybox:1", Platform: platform, Suites: []imagetest.Suite{suite}}
	for what, c := range map[string]struct {
		change func(*imagetest.Request)
		want   string
	}{
		"no such image":    {func(r *imagetest.Request) { r.Reference = w.registry + "/base/nothing:1" }, "not found"},
		"another platform": {func(r *imagetest.Request) { r.Platform = "linux/arm64" }, "it is an image for linux/amd64, not for linux/arm64"},
		"no platform":      {func(r *imagetest.Request) { r.Platform = "/" }, "platform"},
	} {
		r := request
		c.change(&r)
		_, err := w.engine.Test(t.Context(), r)
		e := new(build.Error)
		if !errors.As(err, &e) || e.Lost || e.Image != "app" || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", what, err, c.want)
		}
	}

	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := testLater(ctx, w.engine, request)
		until(t, "the command", func() bool { return running("74002") })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		until(t, "its end", func() bool { return !running("74002") })
	})
	t.Run("killed", func(t *testing.T) {
		remote, err := buildkit.Open(t.Context(), buildkit.Config{Address: w.engine.Address()})
		if err != nil {
			t.Fatal(err)
		}
		defer remote.Close()
		calls := []<-chan error{testLater(t.Context(), w.engine, request), testLater(t.Context(), remote, request)}
		until(t, "the command", func() bool { return running("74002") })
		if err := syscall.Kill(childOf(t, w.engine), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for i, done := range calls {
			if e := new(build.Error); !errors.As(<-done, &e) || !e.Lost {
				t.Errorf("%d: error %v, want that the engine is lost", i, e)
			}
		}
	})
	t.Run("closed", func(t *testing.T) {
		done := testLater(t.Context(), w.engine, request)
		until(t, "the command", func() bool { return running("74002") })
		if err := w.engine.Close(); err != nil {
			t.Fatal(err)
		}
		if e := new(build.Error); !errors.As(<-done, &e) || !e.Lost {
			t.Errorf("error %v, want that the engine is lost", e)
		}
	})
}

func testLater(ctx context.Context, e *buildkit.Engine, r imagetest.Request) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := e.Test(ctx, r)
		done <- err
	}()
	return done
}

// TestForeignImage: what needs no process can be tested of any platform.
func TestForeignImage(t *testing.T) {
	w := openWorld(t)
	img := rootfs(t, nil)
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Architecture = "riscv64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	w.push(t, "foreign:1", img)
	suite, err := imagetest.Parse("tests.yaml", []byte(`{schemaVersion: 2.0.0, commandTests: [{name: a command, command: "true"}],
		fileExistenceTests: [{name: a file, path: /bin/busybox}], metadataTest: {cmd: []}}`))
	if err != nil {
		t.Fatal(err)
	}
	report, err := w.engine.Test(t.Context(), imagetest.Request{Image: "foreign", Reference: w.registry + "/foreign:1", Platform: "linux/riscv64", Suites: []imagetest.Suite{suite}})
	if err != nil {
		t.Fatal(err)
	}
	failed := report.Failed()
	if len(report.Results) != 3 || len(failed) != 1 || failed[0].Kind != imagetest.KindCommand ||
		!strings.Contains(failed[0].Problems[0], "nothing can be run for linux/riscv64: the build engine runs linux/amd64") {
		t.Errorf("%+v", report.Results)
	}
}

// files is an image of files alone, with the modes and links of a Debian.
func files(t *testing.T) v1.Image {
	t.Helper()
	file := func(name string, mode int64, gid int, content string) entry {
		return entry{&tar.Header{Name: name, Mode: mode, Gid: gid}, []byte(content)}
	}
	dir := func(name string, mode int64) entry {
		return entry{&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, nil}
	}
	link := func(name, to string) entry {
		return entry{&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil}
	}
	return image(t, layer(t,
		dir("./", 0o755), dir("etc/", 0o755), dir("tmp/", 0o1777), dir("usr/", 0o755), dir("usr/bin/", 0o755), dir("usr/lib/", 0o755),
		dir("usr/share/", 0o755), dir("usr/share/doc/", 0o755), dir("usr/share/doc/dash/", 0o755), dir("usr/share/doc/libgnutls30/", 0o755),
		dir("usr/share/doc/bare/", 0o755),
		link("bin", "usr/bin"), link("etc/os-release", "../usr/lib/os-release"), link("usr/share/doc/linked", "dash"),
		file("etc/passwd", 0o644, 0, "root:x:0:0:root:/root:/bin/bash\n"), file("etc/shadow", 0o640, 42, "root:*::\n"),
		file("usr/bin/passwd", 0o4755, 0, ""), file("usr/bin/dash", 0o755, 0, ""), file("usr/lib/os-release", 0o644, 0, "NAME=Debian\n"),
		file("usr/share/doc/dash/copyright", 0o644, 0, "BSD"), file("usr/share/doc/libgnutls30/copyright", 0o644, 0, "AGPL"),
		file("agpl", 0o644, 0, "GNU Affero, in short: aGPL"),
	), "amd64")
}

// TestDebian is a plain file of container-structure-test in a real image.
func TestDebian(t *testing.T) {
	tarballs, _ := filepath.Glob(filepath.Join(os.Getenv("REBUILDER_CACHE"), "rootfs", "*", "rootfs.tar.gz"))
	if os.Getenv("REBUILDER_CACHE") == "" || len(tarballs) == 0 {
		t.Skip("needs the demo's Debian: make demo, and REBUILDER_CACHE")
	}
	w := openWorld(t)
	l, err := tarball.LayerFromFile(tarballs[0])
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(image(t, layer(t), "amd64"), l)
	if err != nil {
		t.Fatal(err)
	}
	w.push(t, "debian:12", configured(t, img, func(c *v1.Config) { c.Env = nil }))
	report, log := w.test(t, "debian:12", `
commandTests:
- name: 'apt-get'
  command: 'apt-get'
  args: ['help']
  excludedError: ['.*FAIL.*']
  expectedOutput: ['.*Usage.*']
- name: 'path'
  command: 'sh'
  args: ['-c', 'echo $PATH']
  expectedOutput: ['^\n$'] # the image sets none: $PATH is replaced before the shell sees it
- name: 'setup'
  setup: [['useradd', '-u', '1234', 'somebody'], ['chown', 'somebody', '/tmp']]
  command: 'stat'
  args: ['-c', '%U', '/tmp']
  expectedOutput: ['^somebody\n$']
fileContentTests:
- {name: 'Passwd file', path: /etc/passwd, expectedContents: ['root:x:0:0:root:/root:/bin/bash']}
fileExistenceTests:
- {name: 'Date', path: /bin/date, isExecutableBy: owner}
- {name: 'Setuid', path: /bin/su, permissions: urwxr-xr-x}
licenseTests:
- {debian: true}
`)
	for _, r := range report.Results {
		t.Logf("%s %q: %s", r.Kind, r.Name, r.Took.Round(time.Millisecond))
	}
	if !report.Passed() {
		t.Errorf("%+v\n%s", report.Failed(), log)
	}
}

// distroless has one static program, which serves what it is asked for.
func distroless(t *testing.T) v1.Image {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "main.go", serverSource)
	write(t, dir, "go.mod", "module server\n")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", "server", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server, err := os.ReadFile(filepath.Join(dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	img := image(t, layer(t,
		entry{&tar.Header{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755}, nil},
		entry{&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o777}, nil},
		entry{&tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		entry{&tar.Header{Name: "server", Mode: 0o755}, server},
	), "amd64")
	return configured(t, img, func(c *v1.Config) {
		c.Entrypoint, c.Cmd, c.Env = []string{"/server"}, []string{":8080"}, []string{"PATH=/"}
	})
}

const serverSource = `package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		os.Exit(3)
	}
	switch a := os.Args[1]; a {
	case "check":
		check("127.0.0.1:8080")
	case "self":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		end(err)
		go http.Serve(l, http.HandlerFunc(answer))
		check(l.Addr().String())
	case "dial":
		_, err := net.Dial("tcp", os.Args[2])
		end(err)
	case "touch":
		end(os.WriteFile(os.Args[2], nil, 0o644))
	default:
		if a[0] != ':' {
			os.Exit(2)
		}
		l, err := net.Listen("tcp", a)
		end(err)
		fmt.Println("serving")
		end(http.Serve(l, http.HandlerFunc(answer)))
	}
}

func answer(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, os.Getuid(), r.URL.Path) }

func check(address string) {
	res, err := http.Get("http://" + address)
	end(err)
	fmt.Println(res.Status)
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
`

// hostile is a busybox with files that nobody should read.
func hostile(t *testing.T) v1.Image {
	t.Helper()
	bad := layer(t,
		entry{&tar.Header{Name: "huge", Mode: 0o644}, make([]byte, 5<<20)},
		entry{&tar.Header{Typeflag: tar.TypeSymlink, Name: "circle", Linkname: "circle"}, nil},
		entry{&tar.Header{Typeflag: tar.TypeSymlink, Name: "outside", Linkname: "../../../../../../../../etc/passwd"}, nil},
		entry{&tar.Header{Typeflag: tar.TypeChar, Name: "dev/zero", Devmajor: 1, Devminor: 5, Mode: 0o666}, nil},
	)
	layers, err := image(t, bad, "amd64").Layers()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(rootfs(t, nil), layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

type entry struct {
	header  *tar.Header
	content []byte
}

func layer(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func configured(t *testing.T, img v1.Image, change func(*v1.Config)) v1.Image {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	change(&cfg.Config)
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}
