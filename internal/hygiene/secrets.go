package hygiene

import (
	"cmp"
	"slices"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

// remedy is what is said of one sort of secret.
type remedy struct {
	severity policy.Severity
	why, do  string
}

const (
	pulled  = "Whoever can pull the image has it."
	deleted = "A later layer hides the file, but whoever can pull the image still has the layer that holds it."
	shown   = "It is in the image's configuration or history, which one command shows to whoever can pull the image."
	revoke  = "Revoke it, as every pull has handed it out, and make a new one: for a build, give it by RUN --mount=type=secret; for a program, when it starts."
	doubted = "If it is a secret, revoke it and give the new one by RUN --mount=type=secret or when the program starts; if it is none, nothing needs to be done."
)

// remedies are of the secrets for which there is something special to say, by their rule.
var remedies = map[string]remedy{
	"encrypted-private-key": {policy.SeverityMedium,
		"Whoever can pull the image has it, and can try passphrases for as long as they like.",
		revoke},
	"ssh-host-key": {policy.SeverityHigh,
		"All containers of this image share it: whoever can pull the image can pretend to be any of them.",
		"Delete the keys in the step that installs the server (rm /etc/ssh/ssh_host_*_key*), and let each container make its own when it starts (ssh-keygen -A)."},
	"password-hash": {policy.SeverityMedium,
		"Whoever can pull the image can try passwords for as long as they like, and the account is the same in every container.",
		"Lock the account in the Dockerfile (RUN passwd -l and its name), and let people in by other means than a password."},
	"not-searched": {policy.SeverityLow,
		"In the rest of the file a secret would not be seen.",
		"Look into the file yourself; if it is data, keep it outside the image."},
}

// Secrets returns the keys and passwords of an image as findings: those that are likely real first, then by rule, path
// and line.
func Secrets(inv *inventory.Inventory) []policy.Finding {
	byRule := map[string][]policy.Finding{}
	var order []inventory.Secret // one of each rule
	for _, s := range sorted(inv.Secrets) {
		if byRule[s.Rule] == nil {
			order = append(order, s)
		}
		byRule[s.Rule] = append(byRule[s.Rule], secretFinding(s))
	}
	var all []policy.Finding
	for _, s := range order {
		all = append(all, bounded(byRule[s.Rule], clean(s.Title))...)
	}
	return all
}

func sorted(secrets []inventory.Secret) []inventory.Secret {
	weight := func(s inventory.Secret) int {
		if s.Weak {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(secrets), func(a, b inventory.Secret) int {
		return cmp.Or(weight(a)-weight(b), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Path, b.Path), a.Line-b.Line, a.Layer-b.Layer)
	})
}

func secretFinding(s inventory.Secret) policy.Finding {
	r, special := remedies[s.Rule]
	if !special {
		r = remedy{policy.SeverityHigh, pulled, revoke}
	}
	switch {
	case s.Layer < 0:
		r.why = shown
	case s.Deleted:
		r.why = deleted
	}
	if s.Weak {
		r.severity = policy.SeverityLow
	}
	if s.Weak && !special {
		r.do = doubted
	}
	f := policy.Finding{
		Kind: policy.Secret, ID: s.Rule, Title: s.Title, Severity: r.severity, Path: s.Path, Line: s.Line,
		Deleted: s.Deleted, Layer: s.Layer, Why: r.why, Do: r.do,
	}
	finish(&f)
	return f
}
