package coexist

import "strings"

// object is a piece of a configuration.
type object = map[string]any

// modulesAndTests are the paths that Renovate's usual presets leave out.
var modulesAndTests = []any{"**/node_modules/**", "**/bower_components/**", "**/vendor/**", "**/examples/**", "**/__tests__/**", "**/test/**", "**/tests/**", "**/__fixtures__/**"}

// presets are those of Renovate's own that decide about images, and what they say of them.
var presets = map[string]object{
	"config:base":                    {"ignorePaths": modulesAndTests},
	"config:recommended":             {"ignorePaths": modulesAndTests},
	"config:best-practices":          {"ignorePaths": modulesAndTests},
	"config:js-app":                  {"ignorePaths": modulesAndTests},
	"config:js-lib":                  {"ignorePaths": modulesAndTests},
	"config:semverAllMonthly":        {"ignorePaths": modulesAndTests},
	"config:semverAllWeekly":         {"ignorePaths": modulesAndTests},
	":ignoreModulesAndTests":         {"ignorePaths": modulesAndTests},
	":disableRenovate":               {"enabled": false},
	":disableDigestUpdates":          {"digest": object{"enabled": false}},
	":disableMajorUpdates":           {"major": object{"enabled": false}},
	":onlyNpm":                       {"dockerfile": object{"enabled": false}},
	":includeNodeModules":            {"ignorePaths": []any{}},
	"docker:disable":                 {"dockerfile": object{"enabled": false}},
	"docker:disableMajor":            {"packageRules": []any{object{"matchDatasources": []any{"docker"}, "matchUpdateTypes": []any{"major"}, "enabled": false}}},
	"docker:enableMajor":             {"packageRules": []any{object{"matchDatasources": []any{"docker"}, "matchUpdateTypes": []any{"major"}, "enabled": true}}},
	"docker:pinDigests":              {},
	"helpers:pinGitHubActionDigests": {},
}

// harmless are the beginnings of Renovate's own presets that say nothing of images but how their updates are presented.
var harmless = []string{":", "default:", "group:", "monorepo:", "schedule:", "replacements:", "workarounds:", "mergeConfidence:", "security:", "npm:", "helpers:", "abandonments:", "preview:",
	"global:", "compatibility:"}

// preset is what a preset says of images; known is false for one that is kept elsewhere or that nobody here knows.
func preset(name string) (says object, known bool) {
	bare, _, _ := strings.Cut(strings.TrimSpace(name), "(")
	bare = strings.TrimPrefix(bare, "default")
	if says, known = presets[bare]; known {
		return says, true
	}
	for _, h := range harmless {
		if strings.HasPrefix(bare, h) {
			return nil, true
		}
	}
	return nil, false
}
