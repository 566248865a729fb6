package secret_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zricethezav/gitleaks/v8/detect"

	"rebuilder/internal/golden"
	"rebuilder/internal/inventory"
	"rebuilder/internal/secret"
)

// finder is made once: it is safe for concurrent use, and what it costs is New's.
var finder = sync.OnceValues(secret.New)

func find(t testing.TB, path, content string) []inventory.Secret {
	t.Helper()
	f, err := finder()
	if err != nil {
		t.Fatal(err)
	}
	return f.Find(path, []byte(content))
}

// joined keeps what looks like a token out of this file.
func joined(parts ...string) string { return strings.Join(parts, "") }

var (
	githubToken = joined("ghp", "_", "Zq3x8Kw1Lm5Tz7Yv2Rb9Np4Hs6Jd0Fg1Xc3V")
	awsID       = joined("AK", "IA", "Q3X5KW2LM6TZ7YVR")
	awsKey      = "Zq3x8Kw1Lm5Tz7Yv2Rb9Np4Hs6Jd0Fg1Xc3Vb5Nq"
)

// newKey is a private key in PEM, made for one test.
func newKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// block is a key of some kind whose content is b.
func block(kind, header, b string) string {
	p := pem.Block{Type: kind, Bytes: []byte(b)}
	if header != "" {
		p.Headers = map[string]string{"Proc-Type": header, "DEK-Info": "AES-128-CBC,00112233445566778899AABBCCDDEEFF"}
	}
	return string(pem.EncodeToMemory(&p))
}

func TestFind(t *testing.T) {
	key := newKey(t)
	ssh := func(cipher string) string {
		return "openssh-key-v1\x00\x00\x00\x00" + string(rune(len(cipher))) + cipher + strings.Repeat("k", 100)
	}
	for _, c := range []struct {
		name, path, content string
		want                string // "rule:line", weak ones in brackets
	}{
		{"nothing", "/etc/hosts", "127.0.0.1 localhost\n", ""},
		{"empty", "/root/.netrc", "", ""},
		{"a key", "/app/server.key", key, "private-key:1"},
		{"a key within JSON", "/app/gcp.json", "{\n \"private_key\": \"" + strings.ReplaceAll(key, "\n", `\n`) + "\"}", "private-key:2"},
		{"a key within YAML", "/app/x.yaml", "tls:\n  key: |\n    " + strings.ReplaceAll(key, "\n", "\n    "), "private-key:3"},
		{"two keys", "/app/both.pem", key + newKey(t), "private-key:1 private-key:6"},
		{"a certificate", "/app/x.pem", block("CERTIFICATE", "", "0"+strings.Repeat("c", 300)), ""},
		{"a public key", "/app/x.pem", block("PUBLIC KEY", "", "0"+strings.Repeat("c", 300)), ""},
		{"an encrypted key", "/app/x.key", block("ENCRYPTED PRIVATE KEY", "", "0"+strings.Repeat("e", 300)), "encrypted-private-key:1"},
		{"an encrypted key of the old kind", "/app/x.key", block("RSA PRIVATE KEY", "4,ENCRYPTED", strings.Repeat("e", 304)), "encrypted-private-key:1"},
		{"OpenSSH", "/root/.ssh/id_ed25519", block("OPENSSH PRIVATE KEY", "", ssh("none")), "private-key:1"},
		{"OpenSSH, encrypted", "/root/.ssh/id_ed25519", block("OPENSSH PRIVATE KEY", "", ssh("aes256-ctr")), "encrypted-private-key:1"},
		{"of a server", "/etc/ssh/ssh_host_ed25519_key", block("OPENSSH PRIVATE KEY", "", ssh("none")), "ssh-host-key:1"},
		{"PGP", "/root/k.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n" + strings.Repeat("lQOYBF", 40) + "\n=aB3d\n-----END PGP PRIVATE KEY BLOCK-----\n", "private-key:1"},
		{"an example of a key", "/app/README", "-----BEGIN PRIVATE KEY-----\nMIIEvQ...\n-----END PRIVATE KEY-----\n", ""},
		{"something in the form of a key", "/app/README", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("lorem", 30) + "\n-----END PRIVATE KEY-----\n", "(private-key:1)"},
		{"a key for tests", "/app/testdata/server.key", key, "(private-key:1)"},
		{"a key that nobody trusts", "/etc/ssl/private/ssl-cert-snakeoil.key", key, ""},
		{"a key without an end", "/app/x", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("M", 100), ""},
		{"GitHub", "/app/.env", "A=1\nGITHUB_TOKEN=" + githubToken + "\n", "github-pat:2"},
		{"a word of excuse is none", "/app/.env", "GITHUB_TOKEN=" + githubToken + " # gitleaks:allow\n", "github-pat:1"},
		{"AWS", "/root/.aws/credentials", "[default]\naws_access_key_id = " + awsID + "\naws_secret_access_key = " + awsKey + "\n", "aws-access-token:2 aws-secret-key:3"},
		{"AWS's examples", "/root/.aws/credentials", joined("aws_access_key_id = AKIA", "IOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"), ""},
		{"of the configuration", "config", "PATH=/bin\nAWS_SECRET_ACCESS_KEY=" + awsKey + "\n", "aws-secret-key:2"},
		{"an address of the configuration", "config", "DATABASE_URL=postgres://app:correct-horse@db/app\n", "url-password:1"},
		{"something like a password", "/app/settings.py", "API_KEY = 'Zq3x8Kw1Lm5Tz7Yv2'\n", "(generic-api-key:1)"},
		{"libraries of others", "/app/node_modules/x/index.js", "API_KEY = 'Zq3x8Kw1Lm5Tz7Yv2'\n", ""},
		{"netrc", "/root/.netrc", "machine example.com\n  login ci\n  password hunter2\n", "netrc-password:3"},
		{"apt's", "/etc/apt/auth.conf.d/x.conf", "machine apt.example.com login ci password hunter2\n", "netrc-password:1"},
		{"netrc, filled in later", "/root/.netrc", "machine example.com login ci password ${TOKEN}\n", ""},
		{"netrc of another name", "/root/notes", "machine example.com login ci password hunter2\n", ""},
		{"npmrc", "/app/.npmrc", "registry=https://npm.example.com\n//npm.example.com/:_authToken=abc-def\n", "npmrc-token:2"},
		{"npmrc with a variable", "/app/.npmrc", "//npm.example.com/:_authToken=${NPM_TOKEN}\n", ""},
		{"docker", "/root/.docker/config.json", `{"auths": {"registry.example.com": {"auth": "Y2k6aHVudGVyMg=="}}}`, "docker-auth:1"},
		{"docker with a helper", "/root/.docker/config.json", `{"auths": {"registry.example.com": {}}, "credsStore": "pass"}`, ""},
		{"kubeconfig", "/root/.kube/config", "users:\n- name: ci\n  user:\n    token: Zq3x8Kw1Lm5Tz7Yv2Rb9Np4H\n", "kubeconfig-token:4"},
		{"kubeconfig by a file", "/root/.kube/config", "users:\n- name: ci\n  user:\n    tokenFile: /run/token\n", ""},
		{"pgpass", "/root/.pgpass", "# host:port:db:user:password\ndb:5432:*:app:hunter2\n", "pgpass-password:2"},
		{"mysql", "/root/.my.cnf", "[client]\nuser=app\npassword=hunter2\n", "mysql-password:3"},
		{"pypirc", "/root/.pypirc", "[pypi]\nusername = ci\npassword = hunter2\n", "pypirc-password:3"},
		{"pip", "/etc/pip.conf", "[global]\nindex-url = https://ci:hunter2@pypi.example.com/simple\n", "url-password:2"},
		{"apt's sources", "/etc/apt/sources.list", "deb https://ci:hunter2@apt.example.com bookworm main\n", "url-password:1"},
		{"apt's sources, without", "/etc/apt/sources.list", "deb https://apt.example.com:8443/a@b bookworm main\n", ""},
		{"git", "/root/.git-credentials", "https://ci:hunter2@git.example.com\n", "url-password:1"},
		{"accounts without a hash", "/etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:!:19000::::::\nx:!!:1::::::\n", ""},
		{"an account with one", "/etc/shadow", "root:$y$j9T$abcdefgh$ijklmnopqrstuvwxyz:19000:0:99999:7:::\n", "password-hash:1"},
		{"PKCS #12", "/app/x.p12", "0\x82", "pkcs12-file:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range find(t, c.path, c.content) {
				at := fmt.Sprintf("%s:%d", s.Rule, s.Line)
				if s.Weak {
					at = "(" + at + ")"
				}
				got = append(got, at)
				if s.Path != c.path || s.Title == "" || s.Mark == "" {
					t.Errorf("%+v", s)
				}
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestNothingSaid looks for a secret in everything that is said of it.
func TestNothingSaid(t *testing.T) {
	found := find(t, "/root/.netrc", "machine example.com login ci password hunter2\nGITHUB_TOKEN="+githubToken+"\n")
	if len(found) != 2 {
		t.Errorf("%+v", found)
	}
	for _, s := range found {
		if said := fmt.Sprintf("%+v", s); strings.Contains(said, "hunter") || strings.Contains(said, githubToken[4:12]) {
			t.Error(said)
		}
	}
}

func TestMark(t *testing.T) {
	mark := func(path, content string) string {
		found := find(t, path, content)
		if len(found) != 1 {
			t.Fatalf("%s: %+v", path, found)
		}
		return found[0].Mark
	}
	const netrc = "machine example.com login ci password "
	token, key := "GITHUB_TOKEN="+githubToken+"\n", newKey(t)
	for _, c := range []struct {
		name string
		a, b string
		same bool
	}{
		{"a token in two places", mark("/a/.env", token), mark("/b/.env", "\n\n"+token), true},
		{"another token", mark("/a/.env", token), mark("/a/.env", strings.Replace(token, "Zq", "Yq", 1)), false},
		{"a key, otherwise written", mark("/a.key", key), mark("/b.json", strings.ReplaceAll(key, "\n", `\n`)), true},
		{"another key", mark("/a.key", key), mark("/a.key", newKey(t)), false},
		{"a password in the same place", mark("/root/.netrc", netrc+"hunter2"), mark("/root/.netrc", netrc+"hunter2"), true},
		{"a password elsewhere says nothing", mark("/root/.netrc", netrc+"hunter2"), mark("/app/.netrc", netrc+"hunter2"), false},
		{"nor does another in its place", mark("/root/.netrc", netrc+"hunter2"), mark("/root/.netrc", netrc+"correct-horse"), true},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("%s: %s and %s", c.name, c.a, c.b)
		}
	}
}

// TestBorders lays secrets of fixed and of any length across the borders between windows.
func TestBorders(t *testing.T) {
	const inOneLine, inLines = "some text of no interest, ", "some text of no interest\n"
	webToken := joined("ey", "JhbGciOiJIUzI1NiJ9", ".ey", "JzdWIiOiIxMjM0NTY3ODkwIn0", ".dozjgNryP4J3jVmNHl0w5Nq-Zq3x8Kw1Lm5Tz7Yv2")
	for _, c := range []struct{ name, filler, secret, rule string }{
		{"one line", inOneLine, githubToken, "github-pat"},
		{"lines", inLines, githubToken, "github-pat"},
		{"one line, of any length", inOneLine, webToken, "jwt"},
		{"lines, of any length", inLines, webToken, "jwt"},
	} {
		mark := find(t, "/app/x", c.secret)[0].Mark
		for _, border := range []int{16 << 10, 14 << 10, 30 << 10, 28 << 10} { // the ends of two windows, the beginnings of the next
			for at := border - 100; at < border+10; at += 5 {
				before := strings.Repeat(c.filler, at/len(c.filler)+1)[:at]
				found := find(t, "/app/x", before+" "+c.secret+" "+strings.Repeat(c.filler, 100))
				if len(found) != 1 || found[0].Rule != c.rule || found[0].Mark != mark || found[0].Line != 1+strings.Count(before, "\n") {
					t.Fatalf("%s, at %d: %+v", c.name, at, found)
				}
			}
		}
	}
}

// hostile are texts that ask for much work.
func hostile(t testing.TB, size int) map[string]string {
	t.Helper()
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for word := range d.Config.Keywords {
		words = append(words, word)
	}
	slices.Sort(words)
	fill := func(s string) string { return strings.Repeat(s, size/len(s)+1)[:size] }
	return map[string]string{
		"every word":                 fill(strings.Join(words, " ") + "\n"),
		"every word in one line":     fill(strings.Join(words, " ") + " "),
		"every word with a value":    fill(strings.Join(words, "=Zq3x8Kw1Lm5Tz7Yv2Rb9 ") + "\n"),
		"passwords":                  fill("key=Zq3x8Kw1Lm5Tz7Yv2\n"),
		"passwords in one line":      fill("key=Zq3x8Kw1Lm5Tz7Yv2 "),
		"beginnings of keys":         fill("-----BEGIN PRIVATE KEY-----\n"),
		"keys":                       fill("-----BEGIN PRIVATE KEY-----" + strings.Repeat("M", 64) + "-----"),
		"commands":                   fill("curl -u "),
		"beginnings of tokens":       fill("eyJ"),
		"one letter":                 fill("a"),
		"no text":                    fill("key=\xff\xfe\x80"),
		"a word that few files have": fill("hashicorp_tf_password "),
	}
}

func TestHostile(t *testing.T) {
	for name, content := range hostile(t, 32<<10) {
		found := find(t, "/root/.npmrc", content)
		if len(found) > 100 {
			t.Errorf("%s: %d found", name, len(found))
		}
		said := slices.ContainsFunc(found, func(s inventory.Secret) bool { return s.Rule == secret.NotSearched })
		if strings.HasPrefix(name, "every word") && !said {
			t.Errorf("%s: was searched to its end", name)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, content := range hostile(b, 512<<10) {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				find(b, "/app/x", content)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := secret.New(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	content := "GITHUB_TOKEN=" + githubToken + "\n" + newKey(t)
	want := find(t, "/app/x", content)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := find(t, "/app/x", content); !slices.Equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	all.Wait()
}

// TestLikeGitleaks compares with gitleaks' own detector, on a text for as many rules as have an example here.
func TestLikeGitleaks(t *testing.T) {
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	const lower, hex = "zq3x8kw1lm5tz7yv2rb9np4hs6jd0fg1xc3vb5nq", "3f8a1c9e7b2d4f60a5c8e1b3d7f92a4c"
	var text strings.Builder
	for _, r := range d.Config.OrderedRules {
		for _, word := range d.Config.Rules[r].Keywords {
			for _, value := range []string{lower[:32], lower[:40], hex} {
				fmt.Fprintf(&text, "%s_token = \"%s\"\n%s%s\n", word, value, word, value)
			}
		}
	}
	rules := map[string]bool{}
	for chunk := range slices.Chunk(strings.SplitAfter(text.String(), "\n"), 60) {
		content := strings.Join(chunk, "")
		ours := map[string]bool{}
		for _, s := range find(t, "/app/x", content) {
			ours[fmt.Sprint(s.Line)] = true
		}
		for _, f := range d.DetectString(content) {
			line := f.StartLine + strings.Count(f.Match[:max(0, strings.Index(f.Match, f.Secret))], "\n") + 1
			if rules[f.RuleID] = true; !ours[fmt.Sprint(line)] && f.RuleID != "private-key" {
				t.Errorf("line %d, %s: %s is not found here", line, chunk[line-1], f.RuleID)
			}
		}
	}
	if len(rules) < 45 {
		t.Errorf("only %d rules of gitleaks found anything", len(rules))
	}
}

// TestReaches compares with trying each rule on everything, on texts drawn from what the rules with a reach look for.
func TestReaches(t *testing.T) {
	f, err := finder()
	if err != nil {
		t.Fatal(err)
	}
	words := []string{
		"access", "auth", "Api", "API", "credential", "creds", "key", "KEY", "passwd", "password", "secret", "token", "my-", "long.name_", "primary_", "\nX-MS-Exchange-Organization-Auth=Zq3x8Kw1Lm5Tz7Yv2Rb9\n", "\nkey_part_of_fifteen =\nZq3x8Kw1Lm5Tz7Yv2Rb9\n",
		"=", ":", ":=", "=>", " ", " ", "\n", "\n", "'", "\"", ";", "Zq3x8Kw1Lm5Tz7Yv2Rb9", "zq3x8kw1lm5t/z7yv2rb9np4==", "filler", "\u212a", "\xff",
		joined("ey", "JhbGciOiJIUzI1NiJ9"), joined(".ey", "JzdWIiOiIxMjM0NTY3ODkwIn0."), "dozjgNryP4J3jVmNHl0w5N", "s.", joined("s", ".Zq3x8Kw1Lm5Tz7Yv2Rb9Np4H"), "hvs.",
	}
	r := mathrand.New(mathrand.NewPCG(1, 2))
	found := map[string]int{}
	for range 150 {
		var text strings.Builder
		for range 150 {
			text.WriteString(words[r.IntN(len(words))])
		}
		content := []byte(text.String())
		got, want := f.Find("/app/x", content), f.WithoutReaches().Find("/app/x", content)
		if !slices.Equal(got, want) {
			t.Fatalf("%q\ngot %+v\nwant %+v", content, got, want)
		}
		for _, s := range got {
			found[s.Rule]++
		}
	}
	for _, rule := range []string{"generic-api-key", "jwt", "vault-service-token"} {
		if found[rule] < 5 {
			t.Errorf("%s is found %d times", rule, found[rule])
		}
	}
}

// TestTitles shows how each rule is called.
func TestTitles(t *testing.T) {
	f, err := finder()
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/titles.txt", f.Titles())
}

func FuzzFind(f *testing.F) {
	f.Add("/root/.netrc", "machine example.com login ci password hunter2")
	f.Add("/root/.kube/config", "token: \"abcd\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END")
	f.Add("config", "A=postgres://a:b@c\nkey=\xff\xfe")
	f.Fuzz(func(t *testing.T, path, content string) {
		lines := 1 + strings.Count(content, "\n")
		last := 0
		for _, s := range find(t, path, content) {
			if s.Line < max(1, last) || s.Line > lines || s.Rule == "" || s.Title == "" || s.Mark == "" {
				t.Errorf("%+v", s)
			}
			last = s.Line
		}
	})
}
