package catalog

import (
	"regexp"
	"strings"
)

const whereSecretsGo = "the catalog is read by many people: put the value into an environment variable or a file, name it with token_env or " +
	"token_file (url_env for chats, webhook_secret_env for webhooks, secrets = { npm = { env = \"NPM_TOKEN\" } } for builds), and replace the secret, since it has been seen"

// secretValue finds values that are secrets whatever the key is called.
var secretValue = regexp.MustCompile(strings.Join([]string{
	`gh[pousr]_[A-Za-z0-9]{16,}`,                                       // GitHub tokens
	`github_pat_[A-Za-z0-9_]{16,}`,                                     // GitHub fine-grained tokens
	`glpat-[A-Za-z0-9_-]{16,}`,                                         // GitLab
	`xox[abeoprs]-[A-Za-z0-9-]{10,}`,                                   // Slack
	`(?:AKIA|ASIA)[A-Z0-9]{16}`,                                        // AWS
	`npm_[A-Za-z0-9]{30,}`,                                             // npm
	`dckr_pat_[A-Za-z0-9_-]{16,}`,                                      // Docker Hub
	`hooks\.slack\.com/[a-z]+/[A-Za-z0-9/]{12,}`,                       // Slack's incoming webhooks
	`\.(?:logic\.azure\.com|powerplatform\.com)[^\s"']*sig=[\w%-]{8,}`, // workflows of Teams
	`-----BEGIN [A-Z ]*PRIVATE KEY-----`,                               // PEM
	`://[^/\s:@"']+:[^/\s:@"']+@`,                                      // a password in a URL
	`eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{8,}`,                             // JSON web tokens
}, "|"))

// secretKey finds keys whose values are secrets whatever they look like.
var secretKey = regexp.MustCompile(`(?i)(?:^|[_-])(?:token|secret|passwo?r?d|passwd|api_?key|private_?key|access_?key|credentials?)$`)

// findSecrets notes every line that holds a secret, also in comments. It runs before anything else can print a line.
func (n *notes) findSecrets() {
	for i, line := range n.lines {
		found := secretValue.FindAllString(line, -1)
		if len(found) == 0 {
			continue
		}
		n.secrets = append(n.secrets, found...)
		n.add(span{line: i + 1}, whereSecretsGo, "this line holds a secret")
	}
}

// hide notes a value that a key calls a secret.
func (n *notes) hide(value any, at span, key string) {
	if s, ok := value.(string); ok {
		if secretValue.MatchString(s) {
			return // its line is noted already
		}
		if len(s) > 3 { // anything shorter would mask half of every message
			n.secrets = append(n.secrets, s)
		}
	}
	n.add(at, whereSecretsGo, "%q would hold a secret", key)
}
