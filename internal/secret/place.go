package secret

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/zricethezav/gitleaks/v8/config"
)

// place is a kind of file that is known to hold passwords, by where it lies.
type place struct {
	rule, title string
	path, value *regexp.Regexp // the last group of value is the secret
	word        string         // what value does not match without, in small letters; empty: not said
	drawn       bool           // a machine drew it: no guess hits it
}

var places = []place{
	{
		rule: "netrc-password", title: "password for another host",
		path:  regexp.MustCompile(`(?:^|/)[._]netrc$|^/etc/apt/auth\.conf(?:\.d/[^/]+)?$`),
		value: regexp.MustCompile(`\b(?:machine|default)\s+(?:\S+\s+){0,3}?password\s+(\S+)`),
	},
	{
		rule: "npmrc-token", title: "token or password for an npm registry",
		path:  regexp.MustCompile(`(?:^|/)\.?npmrc$`),
		value: regexp.MustCompile(`(?m)^[^;#\n]*?_(?:authToken|auth|password)\s*=\s*["']?([^\s"']+)`),
	},
	{
		rule: "docker-auth", title: "login for a container registry",
		path:  regexp.MustCompile(`(?:^|/)(?:\.docker/config\.json|\.dockercfg|\.dockerconfigjson|containers/auth\.json|kaniko/\.docker/config\.json)$`),
		value: regexp.MustCompile(`"(?:auth|identitytoken|registrytoken|password)"\s*:\s*"([^"\s]{4,})"`),
	},
	{
		rule: "kubeconfig-token", title: "key, token or password for a Kubernetes cluster",
		path:  regexp.MustCompile(`(?:^|/)(?:\.kube/config|kubeconfig(?:\.ya?ml)?|[^/]+\.kubeconfig)$|^/etc/kubernetes/[^/]+\.conf$`),
		value: regexp.MustCompile(`(?m)^[ \t-]*(?:token|client-key-data|password|id-token|refresh-token)[ \t]*:[ \t]*["']?([^\s"']{4,})`),
		drawn: true,
	},
	{
		rule: "service-account-token", title: "token of a Kubernetes service account",
		path:  regexp.MustCompile(`^/(?:var/)?run/secrets/kubernetes\.io/serviceaccount/token$`),
		value: regexp.MustCompile(`^\s*(\S{20,})`),
		drawn: true,
	},
	{
		rule: "pgpass-password", title: "password for a PostgreSQL server",
		path:  regexp.MustCompile(`(?:^|/)\.pgpass$`),
		value: regexp.MustCompile(`(?m)^(?:[^#:\n\\]|\\.)[^:\n]*:[^:\n]*:[^:\n]*:[^:\n]*:(.+)$`),
	},
	{
		rule: "mysql-password", title: "password for a MySQL server",
		path:  regexp.MustCompile(`(?:^|/)\.my\.cnf$|^/etc/mysql/debian\.cnf$`),
		value: regexp.MustCompile(`(?m)^[ \t]*password[ \t]*=[ \t]*["']?([^\s"']+)`),
	},
	{
		rule: "pypirc-password", title: "password for a Python package index",
		path:  regexp.MustCompile(`(?:^|/)\.pypirc$`),
		value: regexp.MustCompile(`(?m)^[ \t]*password[ \t]*[=:][ \t]*(\S+)`),
	},
	{
		rule: "url-password", title: "password in an address",
		path: regexp.MustCompile(`(?:^|/)(?:\.git-credentials|\.git/config|\.gitconfig|pip\.conf|\.npmrc|\.yarnrc(?:\.yml)?|\.condarc|\.curlrc|\.wgetrc|bundle/config)$` +
			`|^/etc/(?:apt/|yum\.repos\.d/|apk/repositories|pip\.conf|gitconfig|environment)|^config$`),
		value: regexp.MustCompile(`\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@"']{0,100}:([^\s:/@"']{3,200})@[^\s/@]`),
	},
	{
		rule: "aws-secret-key", title: "AWS secret access key",
		path:  regexp.MustCompile(``),
		word:  "secret",
		value: regexp.MustCompile(`(?i)aws_?secret_?(?:access_?)?key["']?[ \t]*[=:][ \t]*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)`),
		drawn: true,
	},
	{
		rule: "password-hash", title: "hash of the password of an account",
		path:  regexp.MustCompile(`^/etc/shadow-?$`),
		value: regexp.MustCompile(`(?m)^[^:\n]+:(\$[^:\n]{8,}|[./0-9A-Za-z]{13}):`),
	},
}

// placeholder is what stands where a secret will: a variable, a word that says so.
var placeholder = regexp.MustCompile(`(?i)^(?:\$[({]|\$\w+$|[<%{@\[]|\*+$|x+$|\.+$|change[-_ ]?(?:it|me)|example|dummy|placeholder|redacted|secret$|pass(?:word|wd)?$|your[-_ ]|none$|null$|true$|false$)|EXAMPLE(?:KEY)?$`)

// placed is what files hold that are made to hold passwords.
func (f *Finder) placed(path string, content []byte) []hit {
	var found []hit
	small := lower(content)
	for _, p := range places {
		if !p.path.MatchString(path) || !bytes.Contains(small, []byte(p.word)) {
			continue
		}
		for _, m := range p.value.FindAllSubmatchIndex(content, maxMatches) {
			start, end := m[len(m)-2], m[len(m)-1]
			value := string(content[start:end])
			if placeholder.MatchString(value) || slices.ContainsFunc(f.allowed, func(a *config.Allowlist) bool { return a.RegexAllowed(value) }) {
				continue
			}
			h := hit{rule: p.rule, title: p.title, start: start, end: end}
			if p.drawn && end-start >= shortest {
				h.random = content[start:end]
			}
			found = append(found, h)
		}
	}
	return found
}

// tests are directories whose keys are there to be read.
var tests = regexp.MustCompile(`(?:^|/)(?:tests?|testdata|__tests__|spec|specs|fixtures?|examples?|samples?|docs?)/`)

// forTests says that what a file holds is an example more likely than a secret.
func forTests(path string) bool { return tests.MatchString(path) }
