package forge

import "encoding/json"

// nextVersion is the API's version that a request may ask for by X-GitHub-Api-Version; without, it gets the one before.
const nextVersion = "2026-03-10"

// inNextVersion turns an answer into the form of the next version, which left out some members.
func inNextVersion(body []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	dropOld(v)
	if root, ok := v.(map[string]any); ok && root["resources"] != nil {
		delete(root, "rate")
	}
	return json.Marshal(v)
}

func dropOld(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			dropOld(item)
		}
	case map[string]any:
		for _, gone := range []string{"merge_commit_sha", "assignee", "has_downloads", "master_branch"} {
			delete(v, gone)
		}
		if at, there := v["merged_at"]; there && at == nil && v["diff_url"] != nil && v["number"] == nil {
			delete(v, "merged_at") // of an issue's pull request it is never null then
		}
		for _, item := range v {
			dropOld(item)
		}
	}
}
