package githubspec

import (
	"fmt"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
)

// override corrects the description where GitHub is known to do otherwise. Each entry needs its evidence.
func override(doc *openapi3.T) error {
	// Lists of pull requests declare labels[].description as text that is never null; the same label in a single pull
	// request may be null, and labels made by naming them have no description in recorded answers of GitHub
	// (@octokit/fixtures, scenario add-labels-to-issue).
	simple, ok := doc.Components.Schemas["pull-request-simple"]
	if !ok {
		return fmt.Errorf("githubspec: the description has no pull-request-simple: is operations.txt complete?")
	}
	simple.Value.Properties["labels"].Value.Items.Value.Properties["description"].Value.Nullable = true

	// The list of an App's installations joins the two kinds of accounts by allOf, a user that is an enterprise as well; a
	// single installation of the same description has anyOf, and no account is both.
	list := doc.Paths.Value("/app/installations")
	if list == nil {
		return fmt.Errorf("githubspec: the description has no /app/installations: is operations.txt complete?")
	}
	account := list.Get.Responses.Status(http.StatusOK).Value.Content.Get("application/json").Schema.Value.Items.Value.Properties["account"].Value
	if len(account.AllOf) > 1 {
		account.AnyOf, account.AllOf = account.AllOf, nil
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
