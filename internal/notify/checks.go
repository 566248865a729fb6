package notify

import "slices"

// CheckState is what a commit's checks come to.
type CheckState string

// What checks come to. No checks is not green.
const (
	NoChecks CheckState = ""
	Pending  CheckState = "pending"
	Green    CheckState = "green"
	Red      CheckState = "red"
)

// Checks are the statuses and check runs of a commit, the newest of each name.
type Checks struct {
	State   CheckState
	Failed  []string // names, sorted
	Pending []string
	Total   int
}

// AlsoRed are those of the failed checks that are red on the default branch too: the change is not to blame for them.
func (c Checks) AlsoRed(branch Checks) []string {
	var out []string
	for _, name := range c.Failed {
		if slices.Contains(branch.Failed, name) {
			out = append(out, name)
		}
	}
	return out
}
