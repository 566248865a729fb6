package githubspec

import (
	"fmt"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
)

// correction is something that the description has wrong: what, how that is known, and how it is put right.
type correction struct {
	what, evidence string
	apply          func(*openapi3.T) bool // false when the place is not there
}

// corrections are all that is known; each needs its evidence.
var corrections = []correction{
	{
		what: "labels of a listed pull request may have no description",
		evidence: "the same label in a single pull request may be null, and labels made by naming them have no description in " +
			"recorded answers of GitHub (@octokit/fixtures, scenario add-labels-to-issue)",
		apply: func(doc *openapi3.T) bool {
			simple := doc.Components.Schemas["pull-request-simple"]
			if simple == nil {
				return false
			}
			simple.Value.Properties["labels"].Value.Items.Value.Properties["description"].Value.Nullable = true
			return true
		},
	},
	{
		what: "the account of a listed installation is a user or an enterprise",
		evidence: "the list joins the two by allOf, a user that is an enterprise as well; the schema of a single installation in " +
			"the same description has anyOf, and no account is both",
		apply: func(doc *openapi3.T) bool {
			list := doc.Paths.Value("/app/installations")
			if list == nil {
				return false
			}
			item := list.Get.Responses.Status(http.StatusOK).Value.Content.Get("application/json").Schema.Value.Items.Value
			if account := item.Properties["account"].Value; len(account.AllOf) > 1 {
				account.AnyOf, account.AllOf = account.AllOf, nil
			}
			return true
		},
	},
}

// Overrides returns what the description is known to have wrong, with the evidence.
func Overrides() map[string]string {
	all := map[string]string{}
	for _, c := range corrections {
		all[c.what] = c.evidence
	}
	return all
}

// override puts the description right where GitHub is known to do otherwise.
func override(doc *openapi3.T) error {
	for _, c := range corrections {
		if !c.apply(doc) {
			return fmt.Errorf("githubspec: nothing to correct where %s: is operations.txt complete?", c.what)
		}
	}
	return nil
}

// undocumented are statuses that any operation may answer although few say so; their bodies are not judged.
func undocumented(status int) bool {
	switch status {
	case http.StatusNotModified, // conditional requests work on every GET
		http.StatusUnauthorized,    // wrong credentials
		http.StatusForbidden,       // both rate limits, and missing permissions
		http.StatusNotFound,        // what one may not see does not exist
		http.StatusTooManyRequests: // both rate limits, too
		return true
	}
	return status >= 500 // gateways answer for the API
}
