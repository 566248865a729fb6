package secret

import (
	"regexp"
	"strings"

	"github.com/zricethezav/gitleaks/v8/config"
)

// described is how gitleaks describes its rules: "Uncovered a possible Clojars API token, risking ...".
var described = regexp.MustCompile(`^(?:Detected|Discovered|Found|Identified|Uncovered) (?:an? )?(?:possible |potential |pattern (?:that may indicate|that resembles|resembling) (?:an? )?)?([^,]+)`)

// titles are those of rules whose descriptions name no thing.
var titles = map[string]string{
	"cisco-meraki-api-key":     "Cisco Meraki API key",
	"generic-api-key":          "something like a key, a token or a password",
	"kubernetes-secret-yaml":   "Kubernetes Secret",
	"sourcegraph-access-token": "Sourcegraph access token",
}

// titleOf is what a rule finds, in a few words.
func titleOf(r config.Rule) string {
	if title := titles[r.RuleID]; title != "" {
		return title
	}
	if m := described.FindStringSubmatch(r.Description); m != nil {
		return strings.TrimSuffix(m[1], ".")
	}
	return strings.TrimSuffix(r.Description, ".")
}
