package scan_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/policy"
	"rebuilder/internal/scan"
)

// fake is a scanner that is a shell script: what it does is what the test says.
func fake(t *testing.T, name, script string, c scan.Config) scan.Scanner {
	t.Helper()
	dir := t.TempDir()
	c.Command = filepath.Join(dir, name)
	if err := os.WriteFile(c.Command, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	if c.Database == "" {
		c.Database = databaseDir(t)
	}
	if c.Temp == "" {
		c.Temp = t.TempDir()
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	s, err := scan.New(name, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// databaseDir has what both look for.
func databaseDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"db/trivy.db": "", "db/metadata.json": `{"Version":2,"UpdatedAt":"2026-11-18T06:00:00Z"}`, "6/vulnerability.db": "",
	} {
		at := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func hash(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

var target = scan.Target{SBOM: []byte("{}"), DiffIDs: []v1.Hash{hash("1"), hash("2")}}

// recorded prints one of the reports in testdata.
func recorded(t *testing.T, file string) string {
	t.Helper()
	at, err := filepath.Abs(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return "cat " + at + "\n"
}

func TestReports(t *testing.T) {
	score, published := 0.42, time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	for name, want := range map[string]scan.Report{
		"trivy": {
			Scanner: "trivy", Version: "0.74.0", Database: scan.Database{Version: "2", Built: time.Date(2026, 11, 18, 6, 0, 0, 0, time.UTC)},
			Findings: []policy.Finding{
				{Kind: policy.Vulnerability, ID: "CVE-2026-0001", Title: "openssl: a title of two lines", Type: "deb", Package: "libssl3", Version: "3.0.20-1~deb12u2", Source: "openssl",
					PURL: "pkg:deb/debian/libssl3@3.0.20-1~deb12u2", FixedIn: "3.0.22-1~deb12u2", Severity: policy.SeverityHigh, Score: 7.5, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
					Published: published, Layer: 1, FoundBy: []string{"trivy"}},
				{Kind: policy.Vulnerability, ID: "CVE-2026-0002", Aliases: []string{"GHSA-aaaa-bbbb-cccc"}, Type: "golang", Package: "github.com/BurntSushi/toml", Version: "v1.0.0",
					PURL: "pkg:golang/github.com/burntsushi/toml@v1.0.0", FixedIn: "1.2.1", Severity: policy.SeverityUnknown, Layer: -1, FoundBy: []string{"trivy"}},
			},
			Warnings: []string{"This OS version is no longer supported by the distribution"},
		},
		"grype": {
			Scanner: "grype", Version: "0.119.0", Database: scan.Database{Version: "v6.1.4", Built: time.Date(2026, 11, 17, 4, 0, 0, 0, time.UTC)},
			Findings: []policy.Finding{
				{Kind: policy.Vulnerability, ID: "CVE-2026-0001", Title: "A description.", Type: "deb", Package: "libssl3", Version: "3.0.20-1~deb12u2", Source: "openssl",
					PURL: "pkg:deb/debian/libssl3@3.0.20-1~deb12u2", FixedIn: "3.0.22-1~deb12u2", Severity: policy.SeverityHigh, Score: 7.5, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
					Exploited: true, EPSS: &score, Layer: 1, FoundBy: []string{"grype"}},
				{Kind: policy.Vulnerability, ID: "CVE-2026-0002", Aliases: []string{"GHSA-aaaa-bbbb-cccc"}, Title: "In toml.", Type: "golang", Package: "github.com/BurntSushi/toml", Version: "v1.0.0",
					PURL: "pkg:golang/github.com/burntsushi/toml@v1.0.0", FixedIn: "1.2.1", Severity: policy.SeverityMedium, Layer: -1, FoundBy: []string{"grype"}},
				{Kind: policy.Vulnerability, ID: "CVE-2026-0007", Type: "maven", Package: "org.example:parser", Version: "4.2", PURL: "pkg:maven/org.example/parser@4.2", Severity: policy.SeverityNegligible, Layer: -1, FoundBy: []string{"grype"}},
				// An announcement about two vulnerabilities.
				{Kind: policy.Vulnerability, ID: "CVE-2026-0003", Type: "rpm", Package: "dbus", Version: "1.12.20-7.el9", Source: "dbus-src", PURL: "pkg:rpm/almalinux/dbus@1.12.20-7.el9", FixedIn: "1.12.20-8.el9", Severity: policy.SeverityLow, Layer: -1, FoundBy: []string{"grype"}},
				{Kind: policy.Vulnerability, ID: "CVE-2026-0004", Type: "rpm", Package: "dbus", Version: "1.12.20-7.el9", Source: "dbus-src", PURL: "pkg:rpm/almalinux/dbus@1.12.20-7.el9", FixedIn: "1.12.20-8.el9", Severity: policy.SeverityLow, Layer: -1, FoundBy: []string{"grype"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fake(t, name, recorded(t, name+".json")+"echo '2026-11-18T06:00:00Z\tWARN\tThird-party SBOM' >&2\n"+warn(name), scan.Config{}).Scan(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if got.Scanner != want.Scanner || got.Version != want.Version || got.Database != want.Database || !slices.Equal(got.Warnings, want.Warnings) || got.Took <= 0 {
				t.Errorf("%+v", got)
			}
			compare(t, got.Findings, want.Findings)
		})
	}
}

func warn(name string) string {
	if name != "trivy" {
		return ""
	}
	return "printf '2026-11-18T06:00:00Z\\tWARN\\tThis OS version is no longer supported by the distribution\\n' >&2\n"
}

// compare tells what differs of two lists.
func compare(t *testing.T, got, want []policy.Finding) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w policy.Finding
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if a, b := text(t, g), text(t, w); a != b {
			t.Errorf("%d\ngot  %s\nwant %s", i, a, b)
		}
	}
}

// What can go wrong with a program goes wrong here. None of it is a report.
func TestUnavailable(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		config scan.Config
		reason scan.Reason
		says   string
	}{
		{"it fails", "echo 'FATAL: the database is broken\033[0m' >&2; exit 3", scan.Config{}, scan.Failed, "trivy: it ended with exit status 3 (it said: FATAL: the database is broken"},
		{"it fails and has a report", "cat \"$OUT\"; exit 1", scan.Config{}, scan.Failed, "exit status 1"},
		{"it prints nothing", "exit 0", scan.Config{}, scan.Garbage, "unexpected end of JSON input"},
		{"it prints no JSON", "echo hello", scan.Config{}, scan.Garbage, "no report"},
		{"it prints other JSON", "echo '{}'", scan.Config{}, scan.Garbage, "schema version is 0"},
		{"half a report", `echo '{"SchemaVersion":2,"Results":[{"Vulnera'`, scan.Config{}, scan.Garbage, "no report"},
		{"a report of another shape", `echo '{"SchemaVersion":2,"Results":{"a":1}}'`, scan.Config{}, scan.Garbage, "no report"},
		{"a vulnerability of nothing", `echo '{"SchemaVersion":2,"Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-1"}]}]}'`, scan.Config{}, scan.Garbage, "without id or package"},
		{"two reports", `echo '{"SchemaVersion":2}{"SchemaVersion":2}'`, scan.Config{}, scan.Garbage, "no report"},
		{"it is killed", "kill -9 $$", scan.Config{}, scan.Killed, "signal (killed)"},
		{"it crashes", "kill -SEGV $$", scan.Config{}, scan.Killed, "segmentation fault"},
		{"it hangs", "sleep 600", scan.Config{Timeout: 50 * time.Millisecond}, scan.TimedOut, "more than 50ms"},
		{"it hangs and cannot be asked to stop", "trap '' TERM INT; while :; do sleep 600; done", scan.Config{Timeout: 50 * time.Millisecond}, scan.TimedOut, "more than 50ms"},
		{"it floods", "head -c 80000000 /dev/zero; sleep 600", scan.Config{}, scan.Garbage, "more than 67108864 bytes"},
		{"it floods what is beside", "head -c 10000000 /dev/zero >&2; exit 1", scan.Config{}, scan.Failed, "exit status 1"},
		{"it says it has no memory", "echo 'fatal error: runtime: out of memory' >&2; exit 2", scan.Config{}, scan.OutOfMemory, "more than 2048 MiB"},
		{"there is no such program", "", scan.Config{Command: "/does/not/exist"}, scan.NotInstalled, "there is no program"},
		{"it may not be run", "", scan.Config{Command: "/etc/passwd"}, scan.NotInstalled, "there is no program"},
		{"it has no database", "", scan.Config{Database: "/does/not/exist"}, scan.NoDatabase, "--cache-dir /does/not/exist"},
		{"there is no room", "", scan.Config{Temp: "/does/not/exist"}, scan.Failed, "make room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := fake(t, "trivy", c.script, c.config)
			if c.config.Command != "" {
				c.config.Database = databaseDir(t)
				var err error
				if s, err = scan.New("trivy", c.config); err != nil {
					t.Fatal(err)
				}
			}
			report, err := s.Scan(t.Context(), target)
			var u *scan.Unavailable
			if report != nil || !errors.As(err, &u) {
				t.Fatalf("%+v, %v", report, err)
			}
			if u.Reason != c.reason || u.Scanner != "trivy" || u.Do == "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", u.Reason, err)
			}
			if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\x00\x1b\n") {
				t.Errorf("not for people: %q", err)
			}
		})
	}
}

func TestNoSuchScanner(t *testing.T) {
	if _, err := scan.New("clair", scan.Config{}); err == nil || !strings.Contains(err.Error(), "trivy") {
		t.Error(err)
	}
}

// Grype tells its reports from others', too.
func TestGrypeGarbage(t *testing.T) {
	for _, doc := range []string{`{}`, `{"matches":[]}`, `{"descriptor":{"name":"grype"}}`, `{"matches":[{}],"descriptor":{"name":"grype"}}`} {
		report, err := fake(t, "grype", "echo '"+doc+"'", scan.Config{}).Scan(t.Context(), target)
		var u *scan.Unavailable
		if report != nil || !errors.As(err, &u) || u.Reason != scan.Garbage {
			t.Errorf("%s: %+v, %v", doc, report, err)
		}
	}
}

// A caller that gives up is no fault of the scanner.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	go func() {
		for !exists(filepath.Join(dir, "started")) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := fake(t, "trivy", "touch "+dir+"/started; sleep 600", scan.Config{}).Scan(ctx, target)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// What a scanner started dies with it, and what it wrote goes.
func TestNothingIsLeft(t *testing.T) {
	for name, end := range map[string]string{"when it ends": "exit 0", "when it hangs": "sleep 600"} {
		t.Run(name, func(t *testing.T) {
			dir, temp := t.TempDir(), t.TempDir()
			s := fake(t, "trivy", "sleep 600 >/dev/null 2>&1 & echo $! > "+dir+"/child; echo x > \"$TMPDIR/x\"; "+end, scan.Config{Temp: temp, Timeout: 300 * time.Millisecond})
			if _, err := s.Scan(t.Context(), target); err == nil {
				t.Fatal("no error")
			}
			data, err := os.ReadFile(filepath.Join(dir, "child"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
			if err != nil {
				t.Fatal(err)
			}
			awaitGone(t, pid)
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// awaitGone waits for a process that was killed to be gone, or to be nobody's but init's to bury.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for range 5000 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
}

// Nothing of the daemon's environment reaches a scanner, whatever it is called.
// What a process that was killed left in its directory is removed by the next one, and nothing else is.
func TestLeftoversAreRemoved(t *testing.T) {
	temp := t.TempDir()
	for _, dir := range []string{"rebuilder-scan-trivy-123", "rebuilder-scan-grype-7", "logs"} {
		if err := os.MkdirAll(filepath.Join(temp, dir, "cache"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := scan.New("trivy", scan.Config{Temp: temp}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	if want := []string{filepath.Join(temp, "logs"), filepath.Join(temp, "rebuilder-scan-grype-7")}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

func TestEnvironment(t *testing.T) {
	for _, secret := range []string{"REBUILDER_TOKEN", "TRIVY_USERNAME", "GRYPE_CONFIG", "AWS_SECRET_ACCESS_KEY", "HOME"} {
		t.Setenv(secret, "hunter2")
	}
	dir := t.TempDir()
	limited := "n=0; while [ \"$(ulimit -d)\" = unlimited ] && [ $n -lt 500 ]; do n=$((n+1)); sleep 0.01; done; " // it is limited once it runs
	s := fake(t, "trivy", "env > "+dir+"/env; echo \"$@\" > "+dir+"/args; cat \"$HOME/sbom.cdx.json\" > "+dir+"/sbom; "+limited+"ulimit -d > "+dir+"/data; echo '{\"SchemaVersion\":2}'", scan.Config{Memory: 512 << 20})
	if _, err := s.Scan(t.Context(), scan.Target{SBOM: []byte("the bill")}); err != nil {
		t.Fatal(err)
	}
	env := read(t, dir+"/env")
	if strings.Contains(env, "hunter2") {
		t.Errorf("the environment has secrets: %s", env)
	}
	for _, want := range []string{"PATH=", "TRIVY_DISABLE_TELEMETRY=true", "GOMEMLIMIT=402653184", "HTTPS_PROXY=http://127.0.0.1:1"} {
		if !strings.Contains(env, want) {
			t.Errorf("no %s in %s", want, env)
		}
	}
	if got := read(t, dir+"/sbom"); got != "the bill" {
		t.Errorf("its bill of materials is %q", got)
	}
	if got := strings.TrimSpace(read(t, dir+"/data")); got != "524288" {
		t.Errorf("it may use %s KiB", got)
	}
	for _, want := range []string{"sbom ", "--offline-scan", "--skip-db-update", "--skip-java-db-update", "--cache-backend memory"} {
		if args := read(t, dir+"/args"); !strings.Contains(args, want) {
			t.Errorf("no %s in %s", want, args)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// An image is scanned in its directory. Trivy is asked for libraries only where it has the database that they take.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		name, scanner, report string
		javaDB                bool
		want, not             string
	}{
		{"trivy", "trivy", `{"SchemaVersion":2}`, false, "--pkg-types os", "sbom"},
		{"trivy with a database of jars", "trivy", `{"SchemaVersion":2}`, true, "--input ", "--pkg-types"},
		{"grype", "grype", `{"matches":[],"descriptor":{"name":"grype"}}`, false, "oci-dir:/", "sbom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, db := t.TempDir(), databaseDir(t)
			if c.javaDB {
				if err := os.Mkdir(filepath.Join(db, "java-db"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s := fake(t, c.scanner, "echo \"$@\" > "+dir+"/args; echo '"+c.report+"'", scan.Config{Database: db})
			if _, err := s.Scan(t.Context(), scan.Target{Layout: t.TempDir()}); err != nil {
				t.Fatal(err)
			}
			if args := read(t, dir+"/args"); !strings.Contains(args, c.want) || strings.Contains(args, c.not) {
				t.Errorf("arguments %s", args)
			}
		})
	}
}
func text(t *testing.T, f policy.Finding) string {
	t.Helper()
	s, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}
