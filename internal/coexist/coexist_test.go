package coexist_test

import (
	"strings"
	"testing"

	"rebuilder/internal/coexist"
)

const image = "registry.example.com/platform/base/debian"

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		name, path, config string
		line               coexist.Line // its zero values: image, stable, Dockerfile, main
		says               coexist.Says // empty: no bot is configured
		why                string
	}{
		{name: "no configuration"},
		{"an empty one", "renovate.json", `{}`, coexist.Line{}, coexist.Keeps, "nothing in it excludes the image"},
		{"the usual presets", "renovate.json", `{"extends": ["config:recommended", ":semanticCommits", "schedule:weekly", "group:monorepos"]}`, coexist.Line{}, coexist.Keeps, "nothing in it excludes the image"},
		{"JSON5", ".github/renovate.json5", "// ours\n{extends: ['config:best-practices',], 'ignoreDeps': ['" + image + "',],}", coexist.Line{}, coexist.Leaves, "ignoreDeps has it"},
		{"comments in JSON, as Renovate takes them", ".renovaterc", `{/* no */ "enabled": false}`, coexist.Line{}, coexist.Leaves, "enabled is false"},
		{"in package.json", "package.json", `{"name": "x", "renovate": {"enabledManagers": ["npm"]}}`, coexist.Line{}, coexist.Leaves, "enabledManagers does not name dockerfile"},
		{"package.json without it", "package.json", `{"name": "x"}`, coexist.Line{}, "", ""},
		{"not to be read", "renovate.json", `{"extends": [`, coexist.Line{}, coexist.Unknown, "it cannot be read: "},
		{"no object", "renovate.json", `[1]`, coexist.Line{}, coexist.Unknown, "it cannot be read: "},
		{"too large", "renovate.json", `{"a": "` + strings.Repeat("x", coexist.MaxFile) + `"}`, coexist.Line{}, coexist.Unknown, "it has more than 256 KiB"},

		{"the manager is enabled", "renovate.json", `{"enabledManagers": ["npm", "dockerfile"]}`, coexist.Line{}, coexist.Keeps, ""},
		{"a manager of its own", "renovate.json", `{"enabledManagers": ["custom.regex"], "customManagers": [{"customType": "regex"}]}`, coexist.Line{}, coexist.Keeps, ""},
		{"the manager is disabled", "renovate.json", `{"dockerfile": {"enabled": false}}`, coexist.Line{}, coexist.Leaves, "dockerfile is disabled"},
		{"docker:disable", "renovate.json", `{"extends": ["config:recommended", "docker:disable"]}`, coexist.Line{}, coexist.Leaves, "dockerfile is disabled"},
		{"docker:disable, ignored", "renovate.json", `{"extends": ["docker:disable"], "ignorePresets": ["docker:disable"]}`, coexist.Line{}, coexist.Keeps, ""},
		{"docker:disable, and enabled again", "renovate.json", `{"extends": ["docker:disable"], "dockerfile": {"enabled": true}}`, coexist.Line{}, coexist.Keeps, ""},
		{"only npm", "renovate.json", `{"extends": [":onlyNpm"]}`, coexist.Line{}, coexist.Leaves, "dockerfile is disabled"},
		{"no digests, and no version to update", "renovate.json", `{"extends": [":disableDigestUpdates"]}`, coexist.Line{}, coexist.Leaves, "digest is disabled"},
		{"no digests, but versions", "renovate.json", `{"extends": [":disableDigestUpdates"]}`, coexist.Line{Tag: "12.1"}, coexist.Keeps, ""},

		{"a test's Dockerfile", "renovate.json", `{"extends": ["config:recommended"]}`, coexist.Line{File: "tests/web/Dockerfile"}, coexist.Leaves, "ignorePaths has **/tests/**"},
		{"a test's Dockerfile, whose paths are its own", "renovate.json", `{"extends": ["config:recommended"], "ignorePaths": ["docs/**"]}`, coexist.Line{File: "tests/web/Dockerfile"}, coexist.Keeps, ""},
		{"ignored by a part of its path", "renovate.json", `{"ignorePaths": ["web/"]}`, coexist.Line{File: "src/web/Dockerfile"}, coexist.Leaves, "ignorePaths has web/"},
		{"not among the paths", "renovate.json", `{"includePaths": ["api/**"]}`, coexist.Line{File: "web/Dockerfile"}, coexist.Leaves, "includePaths does not have web/Dockerfile"},
		{"another name", "renovate.json", `{}`, coexist.Line{File: "build/image.docker"}, coexist.Leaves, "it does not take build/image.docker for a Dockerfile"},
		{"another name that it is told of", "renovate.json", `{"dockerfile": {"managerFilePatterns": ["**/*.docker"]}}`, coexist.Line{File: "build/image.docker"}, coexist.Keeps, ""},
		{"another name, in the old way", "renovate.json", `{"dockerfile": {"fileMatch": ["\\.docker$"]}}`, coexist.Line{File: "build/image.docker"}, coexist.Keeps, ""},
		{"a suffix", "renovate.json", `{}`, coexist.Line{File: "web/Dockerfile.prod"}, coexist.Keeps, ""},

		{"a rule by name", "renovate.json", `{"packageRules": [{"matchPackageNames": ["` + image + `"], "enabled": false}]}`, coexist.Line{}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a rule by glob", "renovate.json", `{"packageRules": [{"matchDatasources": ["docker"], "matchPackageNames": ["registry.example.com/platform/**"], "enabled": false}]}`, coexist.Line{}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a rule by expression", "renovate.json", `{"packageRules": [{"matchPackageNames": ["/^registry\\.EXAMPLE\\.com/i"], "enabled": false}]}`, coexist.Line{}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a rule for all others", "renovate.json", `{"packageRules": [{"matchPackageNames": ["!registry.example.com/**"], "enabled": false}]}`, coexist.Line{}, coexist.Keeps, ""},
		{"a rule for another", "renovate.json", `{"packageRules": [{"matchPackageNames": ["node"], "enabled": false}]}`, coexist.Line{}, coexist.Keeps, ""},
		{"the last rule wins", "renovate.json", `{"packageRules": [{"matchManagers": ["dockerfile"], "enabled": false}, {"matchPackagePrefixes": ["registry.example.com/"], "enabled": true}]}`, coexist.Line{}, coexist.Keeps, "rule 2 of packageRules enables it"},
		{"a rule for versions", "renovate.json", `{"packageRules": [{"matchDatasources": ["docker"], "matchUpdateTypes": ["major", "minor", "patch"], "enabled": false}]}`, coexist.Line{Tag: "12"}, coexist.Keeps, ""},
		{"a rule for each kind", "renovate.json", `{"packageRules": [{"matchDatasources": ["docker"], "matchUpdateTypes": ["major", "minor", "patch", "digest"], "enabled": false}]}`, coexist.Line{Tag: "12"}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a rule for a kind, inside", "renovate.json", `{"packageRules": [{"matchPackagePatterns": ["debian"], "digest": {"enabled": false}}]}`, coexist.Line{}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a rule for a file", "renovate.json", `{"packageRules": [{"matchFileNames": ["web/**"], "enabled": false}]}`, coexist.Line{File: "web/Dockerfile"}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a rule for another branch", "renovate.json", `{"packageRules": [{"matchBaseBranches": ["/^release/"], "enabled": false}]}`, coexist.Line{}, coexist.Keeps, ""},
		{"all but one", "renovate.json", `{"packageRules": [{"matchPackagePatterns": ["*"], "excludePackageNames": ["` + image + `"], "enabled": false}]}`, coexist.Line{}, coexist.Keeps, ""},
		{"a rule on what is not known", "renovate.json", `{"packageRules": [{"matchCurrentAge": "> 3 days", "enabled": false}]}`, coexist.Line{}, coexist.Unknown, "rule 1 of packageRules may be for it"},
		{"an expression that Go does not take", "renovate.json", `{"packageRules": [{"matchPackageNames": ["/(?<!x)debian/"], "enabled": false}]}`, coexist.Line{}, coexist.Unknown, "rule 1 of packageRules may be for it"},
		{"a rule that extends docker:disable", "renovate.json", `{"packageRules": [{"matchFileNames": ["**"], "extends": ["docker:disable"]}]}`, coexist.Line{}, coexist.Leaves, "rule 1 of packageRules disables it"},

		{"a preset of the organisation", "renovate.json", `{"extends": ["local>acme/renovate-config"]}`, coexist.Line{}, coexist.Unknown, "it extends local>acme/renovate-config, which is not known here"},
		{"a preset of the organisation, and a rule of its own", "renovate.json", `{"extends": ["github>acme/renovate"], "packageRules": [{"matchDatasources": ["docker"], "enabled": false}]}`, coexist.Line{}, coexist.Leaves, "rule 1 of packageRules disables it"},
		{"a preset of the organisation, and enabled here", "renovate.json", `{"extends": ["github>acme/renovate"], "packageRules": [{"matchDatasources": ["docker"], "enabled": true}]}`, coexist.Line{}, coexist.Keeps, ""},

		{"Dependabot", ".github/dependabot.yml", "version: 2\nupdates:\n- {package-ecosystem: docker, directory: /, schedule: {interval: daily}}\n", coexist.Line{}, coexist.Keeps, "its entry for docker covers the file"},
		{"Dependabot for something else", ".github/dependabot.yml", "updates: [{package-ecosystem: npm, directory: /}]", coexist.Line{}, coexist.Leaves, "it has no entry for docker in /"},
		{"Dependabot in another directory", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directory: /}]", coexist.Line{File: "web/Dockerfile"}, coexist.Leaves, "it has no entry for docker in /web"},
		{"Dependabot in several directories", ".github/dependabot.yaml", "updates: [{package-ecosystem: docker, directories: [/api, '/w*']}]", coexist.Line{File: "web/Dockerfile"}, coexist.Keeps, ""},
		{"Dependabot everywhere", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directories: ['**/*']}]", coexist.Line{File: "a/b/Dockerfile"}, coexist.Keeps, ""},
		{"Dependabot ignores it", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directory: /, ignore: [{dependency-name: 'platform/*'}]}]", coexist.Line{}, coexist.Leaves, "ignore has platform/*"},
		{"Dependabot ignores some versions", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directory: /, ignore: [{dependency-name: 'platform/*', update-types: ['version-update:semver-major']}]}]", coexist.Line{}, coexist.Keeps, ""},
		{"Dependabot allows others", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directory: /, allow: [{dependency-name: node}]}]", coexist.Line{}, coexist.Leaves, "allow does not have it"},
		{"Dependabot is paused", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directory: /, open-pull-requests-limit: 0}]", coexist.Line{}, coexist.Leaves, "open-pull-requests-limit is 0"},
		{"Dependabot on another branch", ".github/dependabot.yml", "updates: [{package-ecosystem: docker, directory: /, target-branch: next}]", coexist.Line{}, coexist.Leaves, "it has no entry for docker in /"},
		{"Dependabot, not to be read", ".github/dependabot.yml", "updates: {a: b}", coexist.Line{}, coexist.Unknown, "it cannot be read: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := coexist.Read(map[string][]byte{c.path: []byte(c.config)}).Ask(usual(c.line))
			if c.says == "" {
				if len(all) != 0 {
					t.Errorf("%+v", all)
				}
				return
			}
			if len(all) != 1 || all[0].Says != c.says || !strings.HasPrefix(all[0].Why, c.why) || all[0].Where != c.path {
				t.Fatalf("%+v", all)
			}
			if a := all[0]; (a.Leave == "") != (a.Says == coexist.Leaves) || (a.At == "") != (a.Leave == "") {
				t.Errorf("what to add: %+v", a)
			}
		})
	}
}

func usual(l coexist.Line) coexist.Line {
	if l.Tag == "" {
		l.Tag = "stable"
	}
	if l.File == "" {
		l.File = "Dockerfile"
	}
	l.Image, l.Branch = image, "main"
	return l
}

// What a bot is told to add has to make it leave the line.
func TestLeave(t *testing.T) {
	before := coexist.Read(map[string][]byte{"renovate.json": []byte(`{}`), ".github/dependabot.yml": []byte("updates: [{package-ecosystem: docker, directory: /}]")}).Ask(usual(coexist.Line{}))
	if len(before) != 2 {
		t.Fatalf("%+v", before)
	}
	after := coexist.Read(map[string][]byte{
		"renovate.json":          []byte(`{"packageRules": [` + before[0].Leave + `]}`),
		".github/dependabot.yml": []byte("updates:\n- package-ecosystem: docker\n  directory: /\n  ignore:\n    " + before[1].Leave + "\n"),
	}).Ask(usual(coexist.Line{}))
	for _, a := range after {
		if a.Says != coexist.Leaves {
			t.Errorf("%+v", a)
		}
	}
}

// The first file that Renovate finds counts.
func TestFirstFile(t *testing.T) {
	all := coexist.Read(map[string][]byte{"renovate.json": []byte(`{"enabled": false}`), ".renovaterc": []byte(`{}`), "package.json": []byte(`{"renovate": {}}`)}).Ask(usual(coexist.Line{}))
	if len(all) != 1 || all[0].Where != "renovate.json" || all[0].Says != coexist.Leaves {
		t.Errorf("%+v", all)
	}
}

func FuzzAsk(f *testing.F) {
	for _, s := range []string{`{}`, `{"packageRules":[{"matchPackageNames":["{a,b}{a,b}{a,b}**"],"enabled":false}]}`, `{extends:['x'],}`, "updates: [{package-ecosystem: docker, directory: /}]", "a: &a [*a]",
		`{"ignorePaths":["**/**/**/**/**/x"],"includePaths":["["]}`, `{"dockerfile":{"fileMatch":["("]}}`, `{"enabled":"x","packageRules":{}}`, "[[[[", `{"a":0x`, `{'\u`, "/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, path := range coexist.Files() {
			for _, a := range coexist.Read(map[string][]byte{path: []byte(s)}).Ask(usual(coexist.Line{Tag: "1"})) {
				if a.Why == "" || a.Where != path || (a.Leave == "") != (a.Says == coexist.Leaves) {
					t.Errorf("%s: %+v", path, a)
				}
			}
		}
	})
}
