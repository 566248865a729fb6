package hygiene

import (
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

// Rule is a rule as people are told of it.
type Rule struct {
	ID       string
	Title    string // what it finds, in a few words
	Kind     policy.Kind
	Severity policy.Severity
	// Off: it does nothing until a policy names it. All others are observed.
	Off bool
	Why string // why it matters
	Do  string // what to do
	// Parameters are the keys of a policy that it needs or heeds: "max_size".
	Parameters []string
}

// Rules are all rules, in the order of policy.RuleIDs.
func Rules() []Rule {
	var all []Rule
	for _, r := range rules {
		r.Kind, r.Off = policy.Hygiene, policy.OffByDefault(r.ID)
		r.Parameters = slices.Clone(r.Parameters)
		all = append(all, r.Rule)
	}
	return all
}

// rule is a rule and what finds what it is about: findings of which only title, place and what is special are filled in.
type rule struct {
	Rule
	find func(*inventory.Inventory, Context) []policy.Finding
}

var rules = []rule{
	{Rule{
		ID:       policy.RuleRootUser,
		Title:    "it runs as root",
		Severity: policy.SeverityMedium,
		Why:      "Whoever takes over the program is root in the container, and one fault in the kernel or in a mount away from being root on the host.",
		Do:       "End the Dockerfile with a user that is a number, such as USER 10001, and give that user what the program writes to with COPY --chown.",
	}, rootUser},
	{Rule{
		ID:       policy.RuleNoPassword,
		Title:    "account without a password",
		Severity: policy.SeverityHigh,
		Why:      "Whoever gets to a login or to su in the container becomes that account without being asked for anything.",
		Do:       "Lock the account in the Dockerfile: RUN passwd -l and its name.",
	}, noPassword},
	{Rule{
		ID:         policy.RuleSetuidFile,
		Title:      "setuid file",
		Severity:   policy.SeverityMedium,
		Why:        "It runs with the rights of its owner, whoever starts it: a fault in it makes any user of the container that owner, mostly root.",
		Do:         "Take the bit away with RUN chmod u-s and the path; if something needs it, list the path in the policy's allow_setuid.",
		Parameters: []string{"allow_setuid"},
	}, setFiles(inventory.Setuid)},
	{Rule{
		ID:         policy.RuleSetgidFile,
		Title:      "setgid file",
		Severity:   policy.SeverityLow,
		Why:        "It runs with the rights of its group, whoever starts it: a fault in it gives them to any user of the container.",
		Do:         "Take the bit away with RUN chmod g-s and the path; if something needs it, list the path in the policy's allow_setuid.",
		Parameters: []string{"allow_setuid"},
	}, setFiles(inventory.Setgid)},
	{Rule{
		ID:       policy.RuleWorldWritable,
		Title:    "everybody may write to it",
		Severity: policy.SeverityMedium,
		Why:      "Any program in the container can change it, and with it what others read or run.",
		Do:       "Take the right away with RUN chmod o-w and the path; a directory that is for everybody needs the sticky bit: chmod 1777.",
	}, files(inventory.WorldWritable, "everybody may write to it")},
	{Rule{
		ID:       policy.RuleShell,
		Title:    "shell",
		Severity: policy.SeverityLow,
		Why:      "A shell is what an intruder looks for first; a program that starts none does as well without.",
		Do:       "Build in one stage and copy the program into a base without a shell.",
	}, files(inventory.Shell, "a shell")},
	{Rule{
		ID:       policy.RulePackageManager,
		Title:    "package manager",
		Severity: policy.SeverityLow,
		Why:      "With it an intruder installs tools, and what a running container installs is in no inventory.",
		Do:       "Build in one stage and copy the program into a base without a package manager.",
	}, files(inventory.PackageManager, "a package manager")},
	{Rule{
		ID:         policy.RuleForbiddenPackage,
		Title:      "package that policy forbids",
		Severity:   policy.SeverityMedium,
		Why:        "Your organisation's policy wants no image to hold this package.",
		Do:         "Leave it out of the step that installs it; if another package brings it in, look for one that does not, or ask for an exception.",
		Parameters: []string{"forbid_packages"},
	}, forbiddenPackages},
	{Rule{
		ID:         policy.RuleMissingPackage,
		Title:      "package that policy wants",
		Severity:   policy.SeverityMedium,
		Why:        "Your organisation's policy wants every image to hold this package.",
		Do:         "Install it in the base, so that everything that stands on it has it.",
		Parameters: []string{"require_packages"},
	}, missingPackages},
	{Rule{
		ID:         policy.RuleMissingLabel,
		Title:      "label that policy wants",
		Severity:   policy.SeverityLow,
		Why:        "Your organisation's policy wants the label: who finds the image somewhere learns from it where it comes from or whom to ask.",
		Do:         "Add a LABEL line with it to the Dockerfile.",
		Parameters: []string{"require_labels"},
	}, missingLabels},
	{Rule{
		ID:         policy.RuleTooLarge,
		Title:      "larger than policy allows",
		Severity:   policy.SeverityLow,
		Why:        "A large image is slow to pull, most of all when every machine needs a fix at once.",
		Do:         "Build in one stage and copy only the result; keep caches out of layers with RUN --mount=type=cache.",
		Parameters: []string{"max_size"},
	}, tooLarge},
	{Rule{
		ID:       policy.RuleGrown,
		Title:    "much larger than the image before",
		Severity: policy.SeverityLow,
		Why:      "So much more is seldom meant: a cache, a build's leftovers or a data file may have come along.",
		Do:       "Look at what the layers hold that the image before did not; if all of it is meant, there is nothing to do.",
	}, grown},
	{Rule{
		ID:         policy.RuleTooOld,
		Title:      "older than policy allows",
		Severity:   policy.SeverityMedium,
		Why:        "Nobody has shown for so long that it can still be built; the day of an urgent fix is a bad one to find out.",
		Do:         "Build it anew, on its base as it is today.",
		Parameters: []string{"max_age"},
	}, tooOld},
	{Rule{
		ID:       policy.RuleUnapprovedBase,
		Title:    "it stands on no approved base",
		Severity: policy.SeverityHigh,
		Why:      "Approved bases are rebuilt when a package in them is fixed; of this one nobody here takes care.",
		Do:       "Build it FROM one of the catalog's bases, or have this one added to the catalog.",
	}, unapprovedBase},
	{Rule{
		ID:       policy.RuleUnknownBase,
		Title:    "nobody can tell what it stands on",
		Severity: policy.SeverityLow,
		Why:      "When a base is fixed, the images on it are told; this one would not be.",
		Do:       "Name its base in the catalog, or build it with provenance or with the annotations org.opencontainers.image.base.name and .digest.",
	}, unknownBase},
	{Rule{
		ID:       policy.RuleLatestTag,
		Title:    "image named without a version",
		Severity: policy.SeverityLow,
		Why:      "The name may mean another image tomorrow, of another major version: the build breaks on a day when nobody changed anything.",
		Do:       "Name a version, best together with its digest: node:22@sha256:...",
	}, latestTags},
	{Rule{
		ID:       policy.RuleDockerfileLint,
		Title:    "remark of the build engine",
		Severity: policy.SeverityLow,
		Why:      "The build engine's own check of the Dockerfile says so: such a line may do something else than it seems to.",
		Do:       "Change the line as the remark says.",
	}, lint},
	{Rule{
		ID:       policy.RuleUnknownContent,
		Title:    "content that could not be told",
		Severity: policy.SeverityLow,
		Why:      "What is not known to be there is compared with no advisory: its faults are not seen.",
		Do:       "Install it from packages, or keep what tells its parts: the build information of Go programs, the manifests of Java, Node and Python packages.",
	}, unknownContent},
}

// whole is a finding about the image as a whole.
func whole(title string) policy.Finding { return policy.Finding{Title: title, Layer: -1} }

// isRoot says that a USER line means root, as far as the line says.
func isRoot(user string) bool {
	name, _, _ := strings.Cut(strings.TrimSpace(user), ":")
	return name == "" || name == "root" || strings.Trim(name, "0") == ""
}
