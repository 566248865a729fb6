package policy

// The rules of hygiene, by the names that catalogs, exceptions and findings use. What each says is in internal/hygiene.
const (
	RuleRootUser         = "root-user"
	RuleSetuidFile       = "setuid-file"
	RuleSetgidFile       = "setgid-file"
	RuleWorldWritable    = "world-writable"
	RuleShell            = "shell"
	RulePackageManager   = "package-manager"
	RuleForbiddenPackage = "forbidden-package"
	RuleMissingPackage   = "missing-package"
	RuleMissingLabel     = "missing-label"
	RuleTooLarge         = "too-large"
	RuleGrown            = "grown"
	RuleTooOld           = "too-old"
	RuleUnapprovedBase   = "unapproved-base"
	RuleUnknownBase      = "unknown-base"
	RuleLatestTag        = "latest-tag"
	RuleNoPassword       = "no-password"
	RuleDockerfileLint   = "dockerfile-lint"
	RuleUnknownContent   = "unknown-content"
)

// RuleIDs are the names of all rules of hygiene, in the order in which they are shown.
func RuleIDs() []string {
	return []string{
		RuleRootUser, RuleNoPassword, RuleSetuidFile, RuleSetgidFile, RuleWorldWritable, RuleShell, RulePackageManager,
		RuleForbiddenPackage, RuleMissingPackage, RuleMissingLabel, RuleTooLarge, RuleGrown, RuleTooOld,
		RuleUnapprovedBase, RuleUnknownBase, RuleLatestTag, RuleDockerfileLint, RuleUnknownContent,
	}
}

// OffByDefault says that a rule does nothing until a policy names it: it asks for what not all images can do. All others
// are observed.
func OffByDefault(rule string) bool { return rule == RuleShell || rule == RulePackageManager }
