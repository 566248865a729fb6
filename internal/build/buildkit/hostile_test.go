package buildkit_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"

	"rebuilder/internal/build/buildkit"
)

// A recipe tries whatever a recipe can to get at what is the daemon's: its environment, its files, its sockets, the processes
// and the devices of its machine, and its engine.
func TestRecipeThatTries(t *testing.T) {
	const canary = "c4nary-of-the-daemon"
	t.Setenv("REBUILDER_TOKEN", canary)
	t.Setenv("SSH_AUTH_SOCK", "/nonexistent/"+canary)
	t.Setenv("DOCKER_CONFIG", "/nonexistent/"+canary)
	w := openWorld(t)
	beside := filepath.Join(t.TempDir(), "secret") // beside the context, not in it
	if err := os.WriteFile(beside, []byte(canary), 0o644); err != nil {
		t.Fatal(err)
	}

	t.Run("what it can see", func(t *testing.T) {
		dir := w.context(t, strings.Join([]string{
			"FROM REG/base/busybox:1",
			"RUN env > /env; cat /proc/*/environ > /environ 2>&1; cat /proc/*/cmdline > /cmdline; true",
			"RUN cat /proc/mounts > /mounts; ls /run /var/run /tmp > /dirs 2>&1; true",
			"RUN busybox find / -xdev -type s > /sockets 2>/dev/null; true",
			"RUN --mount=type=ssh env > /ssh; ls -R /run >> /ssh; true",
			"RUN --mount=type=bind,target=/ctx cat /ctx/../" + beside + " /ctx/up /ctx/root/etc/* > /above 2>&1; true",
			"COPY . /copied",
			"RUN cat /copied/up > /up 2>&1; true",
			"RUN echo could > /could; " + could("echo h > /proc/sysrq-trigger", "echo x > /proc/sys/kernel/hostname", "busybox mount -t tmpfs p /tmp", "busybox mount -t proc p /tmp",
				"busybox mknod /sda b 8 0 && cat /sda", "cat /dev/kmsg", "cat /proc/kcore", "busybox nsenter -t 1 -m -- ls /tmp/bk*", "kill -0 2", "busybox umount /proc/kcore", "echo x > /etc/resolv.conf"),
		}, "\n"))
		for link, to := range map[string]string{"up": beside, "root": "/"} {
			if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		r := w.request(dir)
		res, files := w.build(t, r)
		for f, content := range files {
			if strings.Contains(content, canary) {
				t.Errorf("%s has what is the daemon's:\n%s", f, content)
			}
		}
		if files["could"] != "could" {
			t.Errorf("a recipe %s", files["could"])
		}
		if files["env"] == "" || files["mounts"] == "" || files["cmdline"] == "" {
			t.Errorf("it saw nothing at all: this test has nothing to show: %v", files)
		}
		if strings.Contains(files["sockets"], ".sock") {
			t.Errorf("it has sockets: %s", files["sockets"])
		}
		if strings.Contains(files["cmdline"], buildkit.ChildVerb) {
			t.Errorf("it sees processes of others: %q", files["cmdline"])
		}
		if p := string(res.Provenance); strings.Contains(p, canary) || strings.Contains(p, dir) || strings.Contains(p, w.engine.Address()) {
			t.Errorf("the provenance has a path or a value of the daemon's machine:\n%s", p)
		}
	})

	for what, c := range map[string]struct{ dockerfile, want string }{
		"more rights":        {"RUN --security=insecure true", "security.insecure is not allowed"},
		"the host's network": {"RUN --network=host true", "network.host is not allowed"},
		"the agent of ssh":   {"RUN --mount=type=ssh,required=true true", "SSH"},
		"a device":           {"RUN --device=vendor.com/device=all,required true", "device"},
		"a file above":       {"COPY ../secret /s", "not found"},
		"another's secret":   {"RUN --mount=type=secret,id=GIT_AUTH_TOKEN,required=true true", "secret GIT_AUTH_TOKEN: not found"},
		"another's context":  {"COPY --from=rebuilder-repo-state / /s", ""},
	} {
		t.Run(what, func(t *testing.T) {
			err := w.fail(t, w.request(w.context(t, "FROM REG/base/busybox:1\n"+c.dockerfile+"\n")))
			if !strings.Contains(err.Reason, c.want) || err.Lost {
				t.Errorf("%+v", err)
			}
		})
	}
}

// could writes down which of the commands went well.
func could(commands ...string) (script string) {
	for i, c := range commands {
		script += "(" + c + ") > /dev/null 2>&1 && echo " + strconv.Itoa(i) + " >> /could; "
	}
	return script + "true"
}

// A registry that takes no more says so in the build's error, and the engine goes on.
func TestRegistryThatIsFull(t *testing.T) {
	w := openWorld(t)
	var status atomic.Int32
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	full := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if s := status.Load(); s != 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
			rw.WriteHeader(int(s))
			_, _ = io.WriteString(rw, `{"errors":[{"code":"UNKNOWN","message":"no space left on device"}]}`)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(full.Close)
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo x > /x\n"))
	r.Repository = strings.TrimPrefix(full.URL, "http://") + "/out"
	status.Store(http.StatusInsufficientStorage)
	if err := w.fail(t, r); err.Lost || !strings.Contains(err.Reason, "failed to push "+r.Repository) || !strings.Contains(err.Reason, "no space left on device") {
		t.Errorf("%+v", err)
	}
	status.Store(0)
	if _, err := w.engine.Build(t.Context(), r); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// An engine whose disk is full fails the build that fills it, with the reason, and builds again when there is room.
func TestEngineOnAFullDisk(t *testing.T) {
	w := openWorld(t)
	root := shortDir(t)
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e, err := buildkit.Open(t.Context(), buildkit.Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	small := &world{engine: e, registry: w.registry}
	for _, c := range []struct{ what, run string }{
		{"a step fills it", "RUN busybox dd if=/dev/urandom of=/big bs=1M count=80"},
		{"an export fills it", "RUN busybox dd if=/dev/urandom of=/big bs=1M count=35"}, // and once more as a layer
	} {
		t.Run(c.what, func(t *testing.T) {
			err := small.fail(t, w.request(w.context(t, "FROM REG/base/busybox:1\n"+c.run+"\n")))
			if all := err.Reason + strings.Join(err.Log, "\n"); !strings.Contains(strings.ToLower(all), "no space left on device") || err.Lost {
				t.Errorf("%+v", err)
			}
			if _, err := e.Build(t.Context(), w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo on > /out\n"))); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}
