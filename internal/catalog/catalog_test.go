package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/golden"
	"rebuilder/internal/pace"
	"rebuilder/internal/policy"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestBrokenCatalogs(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.toml")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d broken catalogs, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir("testdata/broken")
			_, err = Parse(filepath.Base(file), src, now)
			var mistakes Errors
			if !errors.As(err, &mistakes) {
				t.Fatalf("error %v (%T) is no Errors", err, err)
			}
			for _, m := range mistakes {
				if m.Line == 0 || m.Hint == "" || m.Message == "" {
					t.Errorf("without line, message or hint: %+v", m)
				}
			}
			golden.Compare(t, strings.TrimSuffix(filepath.Base(file), ".toml")+".txt", mistakes.Error()+"\n")
		})
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	src, err := os.ReadFile("testdata/broken/secrets.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("testdata/broken/secrets.toml", src, now)
	for _, secret := range []string{"s3cret", "hunter22", "ghp_"} {
		if !strings.Contains(string(src), secret) {
			t.Fatalf("%q is not in the catalog", secret)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in the error:\n%v", secret, err)
		}
	}
}

func TestLoadFull(t *testing.T) {
	src, err := os.ReadFile("testdata/full/catalog.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("testdata/full/catalog.toml", src, now)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata/full")
	if err != nil {
		t.Fatal(err)
	}
	usual := Proposals{Labels: []string{"base-image"}, CoolDown: 7 * 24 * time.Hour, PushesPerHour: 2, WithBots: Yield}
	want := &Catalog{
		File: "testdata/full/catalog.toml", SHA256: got.SHA256, Dir: dir, Organization: "Acme", URL: "https://rebuilder.example.com",
		Registry: Registry{Address: "registry.example.com/platform", Insecure: true},
		Forge: Forge{
			URL: "https://ghe.example.com/api/v3", CloneURL: "https://ghe.example.com",
			TokenFile: filepath.Join(dir, "secrets/token"), WebhookSecretEnv: "HOOK", WritesPerMinute: 60, WritesPerHour: 400,
		},
		Builder: Builder{
			Parallel: 4, Timeout: 30 * time.Minute, Memory: 2 << 30, CPUs: 1.5, Disk: 40 << 30, RecordNetwork: true,
			Cache: "registry.example.com/platform/cache",
		},
		Watch: Watch{Interval: time.Minute},
		Discovery: Discovery{
			Registries: []string{"registry.example.com/apps", "127.0.0.1:5000"}, Organizations: []string{"acme"}, Interval: 24 * time.Hour,
			Include: []string{"apps/*", "team-?/*"}, Exclude: []string{"*/cache"},
		},
		Refresh: Refresh{Schedule: "30 2 * * 1-5", Timezone: "Europe/Berlin"},
		Signing: Signing{Key: filepath.Join(dir, "secrets/cosign.key"), PasswordEnv: "COSIGN_PASSWORD", Verify: true, Builder: "https://rebuilder.example.com"},
		Webhooks: []Webhook{
			{Name: "harbor", Kind: FromHarbor, SecretEnv: "HARBOR_HOOK", Line: 104},
			{Name: "packages", Kind: FromGHCR, SecretFile: filepath.Join(dir, "secrets/packages"), Line: 109},
		},
		Rollout: Rollout{RetryAfter: 5 * time.Minute}, Proposals: usual,
		Pace: Pace{
			Waves: []pace.Wave{{Name: "canary", Canary: true, Count: 3, Within: 72 * time.Hour}, {Name: "10%", Share: 10, Within: 72 * time.Hour},
				{Name: "50%", Share: 50, Soak: 4 * time.Hour, Within: 72 * time.Hour}, {Name: "100%", Share: 100, Within: 72 * time.Hour}},
			FailureBudget: &pace.Budget{Most: 10, Percent: true}, Limits: pace.Limits{Hourly: 60, RepositoryOpen: 3, Reserved: 20},
			Freezes: []Freeze{{
				Name: "weekend", Reason: "nobody is there to merge", Schedule: "0 16 * * 5", Duration: 64 * time.Hour, Timezone: "Europe/Berlin", Spread: time.Hour,
				Images: []string{"shop/*"}, Match: map[string]string{"owner": "shop"}, Line: 235,
			}, {
				Name: "christmas", From: time.Date(2026, 12, 20, 5, 0, 0, 0, time.UTC), To: time.Date(2027, 1, 3, 17, 0, 0, 0, time.UTC), Timezone: "America/New_York", Line: 244,
			}},
		},
		Chats: []Chat{
			{Name: "platform", Kind: Slack, Token: Secret{Env: "SLACK_TOKEN"}, Channel: "C0123456789", API: "https://slack.example.com/api/", Line: nth(src, "[[chat]]", 1)},
			{Name: "on-call", Kind: Slack, URL: Secret{File: filepath.Join(dir, "secrets/slack")}, Line: nth(src, "[[chat]]", 2)},
			{Name: "teams", Kind: Teams, URL: Secret{Env: "TEAMS_URL"}, Line: nth(src, "[[chat]]", 3)},
			{Name: "mail", Kind: Mail, Server: "smtp.example.com:465", TLS: "implicit", User: "rebuilder", Password: Secret{Env: "MAIL_PASSWORD"},
				From: "rebuilder@example.com", To: []string{"platform@example.com", "security@example.com"}, Line: nth(src, "[[chat]]", 4)},
			{Name: "relay", Kind: Mail, Server: "127.0.0.1:25", TLS: "starttls", User: "relay", Password: Secret{File: filepath.Join(dir, "secrets/relay")},
				From: "rebuilder@example.com", To: []string{"all@example.com"}, Line: nth(src, "[[chat]]", 5)},
		},
		Subscribers: []Subscriber{
			{Name: "inventory", URL: "https://hooks.example.com/rebuilder", Secret: Secret{Env: "INVENTORY_SECRET"},
				Types: []string{"rebuilder.rollout.*", "rebuilder.promoted"}, Images: []string{"base/*"}, Line: nth(src, "[[subscriber]]", 1)},
			{Name: "all", URL: "http://10.0.0.7:8080/events", Secret: Secret{File: filepath.Join(dir, "secrets/all")}, Line: nth(src, "[[subscriber]]", 2)},
		},
		Workers: []Worker{{
			Name: "near", Address: "unix:///run/buildkit/buildkitd.sock", Parallel: 4, Line: 114,
		}, {
			Name: "far", Address: "tcp://builder.example.com:1234", Platforms: []string{"linux/arm64", "linux/arm/v7"}, Parallel: 8,
			CA: filepath.Join(dir, "secrets/ca.pem"), Cert: filepath.Join(dir, "secrets/cert.pem"), Key: "/run/secrets/key.pem",
			ServerName: "buildkitd", Drain: true, Line: 118,
		}},
		Advisories: []AdvisorySource{
			{Name: "debian", Kind: OSV, URL: "https://mirror.example.com/osv", Ecosystems: []string{"Debian:12", "Go"}, Interval: 30 * time.Minute, Line: 129},
			{Name: "ours", Kind: OSV, Path: filepath.Join(dir, "advisories"), Interval: time.Hour, Line: 135},
			{Name: "known-exploited", Kind: ExploitedList, Path: "/srv/kev.json", Interval: time.Hour, Line: 139},
			{Name: "scores", Kind: EPSS, URL: "https://mirror.example.com/epss.csv.gz?date=current", Interval: 24 * time.Hour, Line: 144},
			{Name: "vendor", Kind: OpenVEX, Path: filepath.Join(dir, "vex/vendor.json"), Interval: time.Hour, Line: 150},
		},
		Scanners: []Scanner{
			{Name: "trivy", Command: "trivy", Timeout: 5 * time.Minute, Memory: 2 << 30, Line: 155},
			{Name: "grype", Command: "/opt/grype/bin/grype", Database: filepath.Join(dir, "grype"), Timeout: 90 * time.Second, Memory: 512 << 20, Line: 158},
		},
		Policies: []Policy{{
			Name: "everything", Severity: "critical", OnlyFixable: ptr(true), Grace: ptr(14 * 24 * time.Hour), Exploited: ptr(true), EPSS: ptr(0.5),
			Vulnerabilities: LevelObserve, Secrets: LevelEnforce, Rules: map[string]Level{"root-user": LevelObserve, "shell": LevelOff}, Line: 165,
		}, {
			Name: "payments", Images: []string{"shop/*", "base/java", "registry.example.com/other:1"}, Match: map[string]string{"pci": "yes", "owner": "shop"},
			Severity: "high", OnlyFixable: ptr(false), Grace: ptr(time.Duration(0)), Exploited: ptr(false), EPSS: ptr(1.0),
			Vulnerabilities: LevelEnforce, Secrets: LevelOff, Rules: map[string]Level{"forbidden-package": LevelEnforce},
			ForbidPackages: []string{"telnet"}, RequirePackages: []string{"ca-certificates"},
			RequireLabels: []string{"org.opencontainers.image.source"}, AllowSetuid: []string{"/usr/bin/su"},
			MaxSize: 1_500_000_000, MaxAge: 36 * time.Hour, Line: 176,
		}},
		Exceptions: []Exception{{
			ID: "ACME-41", Finding: "CVE-2026-1234", Images: []string{"web", "base/*"}, Package: "openssl", Reason: "not reachable",
			Owner: "platform", Approver: "ada", Expires: time.Date(2027, 3, 31, 23, 59, 59, 0, time.UTC), Line: 196,
		}, {
			ID: "past", Finding: "root-user", Reason: "binds port 80", Owner: "web",
			Expires: time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC), Line: 206,
		}, {
			ID: "to-the-hour", Finding: "GHSA-aaaa-bbbb-cccc", Reason: "freeze", Owner: "web",
			Expires: time.Date(2026, 12, 24, 11, 0, 0, 0, time.UTC), Line: 213,
		}},
		Upstreams: []Upstream{
			{Name: "upstream/debian", Image: "debian:bookworm-slim", Line: 29},
			{Name: "upstream/alpine", Image: "registry.example.com/alpine:3", Verify: Verification{Key: filepath.Join(dir, "keys/alpine.pub")}, Line: 226},
		},
		Bases: []Base{{
			Name: "base/debian", Image: "registry.example.com/platform/base/debian", Context: filepath.Join(dir, "bases/debian"),
			Dockerfile: "Dockerfile", Channel: "stable", Platform: "linux/amd64", TrialCount: 2, Line: 33,
		}, {
			Name: "base/java", Image: "registry.example.com/java", Context: filepath.Join(dir, "bases/java"),
			Dockerfile: "Containerfile", Target: "jre", Channel: "17", Platform: "linux/arm64", Owner: "platform",
			Args: map[string]string{"VERSION": "17"}, Labels: map[string]string{"team": "platform"}, Line: 38,
			Tests: []string{filepath.Join(dir, "tests/java.yaml")}, Trial: []string{"shop/api", "web"},
			Secrets:      map[string]BuildSecret{"npm": {Env: "NPM_TOKEN"}, "maven.settings": {File: filepath.Join(dir, "secrets/maven")}},
			Reproducible: true, Memory: 1 << 30, CPUs: 4, Timeout: 2 * time.Hour, Network: "none", RecordNetwork: ptr(false),
		}},
		Applications: []Application{{
			Name: "web", Repository: "acme/web", Branch: "main", Strategy: PullRequest, Line: 60, Proposals: usual,
			Images: []ApplicationImage{{Name: "web", Image: "registry.example.com/apps/web:main", Dockerfile: "Dockerfile", Line: 63}},
		}, {
			Name: "shop", Repository: "acme/shop", Branch: "trunk", Strategy: Dispatch, Event: "rebuilder", Workflow: "build.yml",
			Owner: "shop", Labels: map[string]string{"pci": "yes"}, Line: 65, Proposals: usual,
			Images: []ApplicationImage{{
				Name: "shop/api", Image: "registry.example.com/apps/shop/api:main", Dockerfile: "api/Dockerfile",
				Target: "final", Args: map[string]string{"BASE": "x"}, Line: 73,
			}, {
				Name: "shop/front", Image: "registry.example.com/apps/shop/web:main", Dockerfile: "Dockerfile", Line: 78,
			}},
		}, {
			Name: "batch", Repository: "acme/batch", Proposals: usual, Branch: "main", Strategy: Dispatch, Event: "base-moved", Line: 82,
			Images: []ApplicationImage{{
				Name: "batch", Image: "registry.example.com/apps/batch:main", Dockerfile: "docker/Dockerfile",
				Target: "run", Args: map[string]string{"A": "1"}, Line: 85,
			}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if len(got.SHA256) != 64 {
		t.Errorf("SHA256 %q", got.SHA256)
	}
}

// nth is the line of the nth header of its kind.
func nth(src []byte, header string, n int) int {
	for i, l := range strings.Split(string(src), "\n") {
		if l == header {
			if n--; n == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func TestDefaults(t *testing.T) {
	got, err := Parse("catalog.toml", nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Forge != (Forge{}) {
		t.Errorf("a forge that nobody needs: %+v", got.Forge)
	}
	if want := (Builder{Parallel: 2, Timeout: time.Hour, Disk: 20 << 30}); got.Builder != want {
		t.Errorf("builder %+v, want %+v", got.Builder, want)
	}
	if want := (Watch{Interval: 10 * time.Minute, Settle: 10 * time.Minute}); got.Watch != want {
		t.Errorf("watch %+v, want %+v", got.Watch, want)
	}
	if got.Discovery.On() || got.Discovery.Interval != 0 {
		t.Errorf("a discovery that nobody asked for: %+v", got.Discovery)
	}
	if want := (Refresh{Timezone: "UTC", Jitter: 10 * time.Minute}); got.Refresh != want {
		t.Errorf("refresh %+v, want %+v", got.Refresh, want)
	}
	if want := (Rollout{Automatic: true, RetryAfter: time.Hour}); got.Rollout != want {
		t.Errorf("rollout %+v, want %+v", got.Rollout, want)
	}

	got, err = Parse("catalog.toml", []byte("[[application]]\nname = \"web\"\nrepository = \"acme/web\"\nimage = \"r.example.com/web:main\"\n"), now)
	if err != nil {
		t.Fatal(err)
	}
	want := Forge{URL: "https://api.github.com", CloneURL: "https://github.com", WritesPerMinute: 60, WritesPerHour: 400, TokenEnv: "REBUILDER_FORGE_TOKEN"}
	if got.Forge != want {
		t.Errorf("forge %+v, want %+v", got.Forge, want)
	}
}

func TestCommentedLoads(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bases/debian"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "catalog.toml")
	for name, content := range map[string]string{file: string(Commented()), filepath.Join(dir, "bases/debian/Dockerfile"): "FROM debian:bookworm-slim\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Bases) != 1 || len(c.Upstreams) != 1 || len(c.Applications) != 1 || c.Applications[0].Strategy != Observe || c.Refresh.Schedule == "" {
		t.Errorf("the starter is not what it says: %+v", c)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "catalog.toml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "rebuilder init") {
		t.Errorf("error %v: does not say that the file is missing and what to do", err)
	}
	var mistakes Errors
	if errors.As(err, &mistakes) {
		t.Error("a missing file is no mistake in it")
	}
}

func TestTooLargeOrDeep(t *testing.T) {
	for name, src := range map[string]string{
		"larger than": strings.Repeat("#", maxSize+1),
		"nested":      "a = " + strings.Repeat("[", 100000),
	} {
		if _, err := Parse("catalog.toml", []byte(src), now); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %.100v does not say %q", err, name)
		}
	}
}

// TestKeysAreDocumented holds docs/catalog.md, the starter and the full example to what the loader accepts.
func TestKeysAreDocumented(t *testing.T) {
	full, err := os.ReadFile("testdata/full/catalog.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, accepted, err := parse("testdata/full/catalog.toml", full, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(accepted) < 120 {
		t.Fatalf("only %d keys: %v", len(accepted), accepted)
	}
	doc, err := os.ReadFile("../../docs/catalog.md")
	if err != nil {
		t.Fatal(err)
	}
	for path := range accepted {
		if !strings.Contains(string(doc), "`"+path+"`") {
			t.Errorf("docs/catalog.md does not mention `%s`", path)
		}
		if key := path[strings.LastIndexByte(path, '.')+1:]; !strings.Contains(starter, key+" = ") && !strings.Contains(starter, "["+path+"]") {
			t.Errorf("the starter does not show %s", path)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"context", "channel", "dockerfile", "image", "args"}
	for word, want := range map[string]string{
		"contxt": "context", "cahnnel": "channel", "Dockerfile": "dockerfile", "imge": "image", "agrs": "args", "frobnicate": "", "x": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// TestRulesArePolicys: this package imports none of ours and keeps the names of the rules itself.
func TestRulesArePolicys(t *testing.T) {
	if want := policy.RuleIDs(); !slices.Equal(rules, want) {
		t.Errorf("rules\n%q\nwant those of internal/policy\n%q", rules, want)
	}
}

func TestBuilderAddresses(t *testing.T) {
	for _, scheme := range schemes {
		c, err := Parse("catalog.toml", []byte("[builder]\naddress = \""+scheme+"://builder\"\nnetwork = \"none\"\n"), now)
		if err != nil || c.Builder.Address != scheme+"://builder" || c.Builder.Network != "none" {
			t.Errorf("%s: %+v %v", scheme, c, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "1.5h": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute,
		"65535d": 65535 * 24 * time.Hour,
		"d":      -1, "1.5d": -1, "-1d": -1, "1d-1h": -1, "1d+1h": -1, "65536d": -1, "1d1d": -1, "1d 1h": -1, "1 day": -1, "1h1d": -1,
		"65535d2500000h": -1, "": -1, "2w": -1,
	} {
		got, err := parseTime(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %v (%v), want %v", s, got, err, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }
