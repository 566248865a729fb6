package coexist

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/titanous/json5"
)

// renovateFiles are where Renovate looks, in its order.
var renovateFiles = []string{"renovate.json", "renovate.json5", ".github/renovate.json", ".github/renovate.json5", ".renovaterc", ".renovaterc.json", ".renovaterc.json5", "package.json"}

// renovate is one configuration of Renovate.
type renovate struct {
	file    string
	problem string // why it cannot be read
	own     object
	layers  []object // presets first, what the file says itself last
	foreign []string // presets that are not known
}

func readRenovate(files map[string][]byte) *renovate {
	for _, path := range renovateFiles {
		src, ok := files[path]
		if !ok {
			continue
		}
		r := &renovate{file: path, problem: tooLarge(src)}
		if r.problem != "" {
			if path == "package.json" {
				return nil // most of them say nothing of bots
			}
			return r
		}
		own, err := readObject(path, src)
		if path == "package.json" {
			part, says := own["renovate"].(object)
			if err != nil || !says {
				continue
			}
			own = part
		}
		if err != nil {
			r.problem = "it cannot be read: " + err.Error()
			return r
		}
		r.own = own
		r.unfold()
		return r
	}
	return nil
}

// readObject reads JSON as the file's name says: Renovate takes comments and the like in all of its own.
func readObject(path string, src []byte) (out object, err error) {
	if path == "package.json" {
		return out, json.Unmarshal(src, &out)
	}
	if err := json5.Unmarshal(src, &out); err != nil {
		return nil, err
	}
	return out, nil
}

// unfold puts what is known of the presets before what the file says.
func (r *renovate) unfold() {
	ignored := texts(r.own["ignorePresets"])
	for _, name := range texts(r.own["extends"]) {
		if slices.Contains(ignored, name) {
			continue
		}
		says, known := preset(name)
		if !known {
			r.foreign = append(r.foreign, name)
			continue
		}
		if says != nil {
			r.layers = append(r.layers, says)
		}
	}
	r.layers = append(r.layers, r.own)
}

// texts are the texts of a list, or of one text.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// last is a value of the last layer that has it.
func (r *renovate) last(key string) any {
	for _, l := range slices.Backward(r.layers) {
		if v, ok := l[key]; ok {
			return v
		}
	}
	return nil
}

// disabled says that the last layer that has a section with a word on it switches it off.
func (r *renovate) disabled(section string) bool {
	for _, l := range slices.Backward(r.layers) {
		if s, ok := l[section].(object); ok {
			if on, said := s["enabled"].(bool); said {
				return !on
			}
		}
	}
	return false
}

// usualFiles are the files that Renovate takes for Dockerfiles.
var usualFiles = []string{`(^|/|\.)([Dd]ocker|[Cc]ontainer)file$`, `(^|/)([Dd]ocker|[Cc]ontainer)file[^/]*$`}

func (r *renovate) ask(l Line) Answer {
	a := Answer{Bot: Renovate, Where: r.file}
	if r.problem != "" {
		a.Says, a.Why = Unknown, r.problem
	} else if a.Why = r.leaves(l); a.Why != "" {
		a.Says = Leaves
	} else {
		a.Says, a.Why = r.decide(l)
	}
	if a.Says != Leaves {
		a.At = "packageRules, as the last rule"
		a.Leave = fmt.Sprintf(`{ "matchDatasources": ["docker"], "matchPackageNames": [%s], "enabled": false }`, quote(l.Image))
	}
	return a
}

func quote(s string) string {
	b, _ := json.Marshal(s) // of a text there is no error
	return string(b)
}

// leaves says what keeps Renovate from a line whatever presets that are not known say; empty when nothing does.
func (r *renovate) leaves(l Line) string {
	if on, said := r.own["enabled"].(bool); said && !on {
		return "enabled is false"
	}
	if on, said := r.last("enabled").(bool); said && !on {
		return "a preset disables it"
	}
	if m := texts(r.last("enabledManagers")); len(m) > 0 && patterns(m, "dockerfile") == no && !r.custom(m) {
		return "enabledManagers does not name dockerfile"
	}
	for _, section := range []string{"dockerfile", "docker"} {
		if r.disabled(section) {
			return section + " is disabled"
		}
	}
	if !r.reads(l.File) {
		return "it does not take " + l.File + " for a Dockerfile"
	}
	for _, p := range texts(r.last("ignorePaths")) {
		if strings.Contains(l.File, p) || glob(p, l.File) == yes {
			return "ignorePaths has " + p
		}
	}
	if in := texts(r.last("includePaths")); len(in) > 0 && some(in, func(p string) truth { return max(truthOf(p == l.File), glob(p, l.File)) }) == no {
		return "includePaths does not have " + l.File
	}
	for _, layer := range r.layers {
		if slices.Contains(texts(layer["ignoreDeps"]), l.Image) {
			return "ignoreDeps has it"
		}
	}
	return ""
}

// custom says that managers of the file's own may look for images, too.
func (r *renovate) custom(enabled []string) bool {
	if patterns(enabled, "custom.regex") == no && patterns(enabled, "regex") == no {
		return false
	}
	for _, key := range []string{"customManagers", "regexManagers"} {
		if all, ok := r.last(key).([]any); ok && len(all) > 0 {
			return true
		}
	}
	return false
}

func (r *renovate) reads(file string) bool {
	more := object{}
	for _, l := range r.layers {
		if s, ok := l["dockerfile"].(object); ok {
			more = s
		}
	}
	if some(slices.Concat(usualFiles, texts(more["fileMatch"])), func(p string) truth { return expression(p, file) }) > no {
		return true
	}
	all := texts(more["managerFilePatterns"])
	return some(all, func(p string) truth { return pattern(p, file) }) > no
}

var versionLike = regexp.MustCompile(`^v?[0-9]`)

// decide goes through the rules, for each kind of update that the line may get.
func (r *renovate) decide(l Line) (Says, string) {
	kinds := []string{"digest"}
	if versionLike.MatchString(l.Tag) {
		kinds = append(kinds, "major", "minor", "patch")
	}
	best, why := no, ""
	for _, kind := range kinds {
		t, reason := r.updates(l, kind)
		if t > best || why == "" {
			best, why = t, reason
		}
	}
	switch best {
	case yes:
		return Keeps, why
	case maybe:
		return Unknown, why
	}
	return Leaves, why
}

// updates says whether a line gets updates of a kind.
func (r *renovate) updates(l Line, kind string) (truth, string) {
	now, why := yes, "nothing in it excludes the image"
	if len(r.foreign) > 0 {
		now, why = maybe, "it extends "+r.foreign[0]+", which is not known here"
	}
	if r.disabled(kind) {
		now, why = no, kind+" is disabled"
	}
	n := 0
	for _, layer := range r.layers {
		rules, _ := layer["packageRules"].([]any)
		for _, v := range rules {
			rule, ok := v.(object)
			if !ok {
				continue
			}
			n++
			m := matches(rule, l, kind)
			if m == no {
				continue
			}
			name := fmt.Sprintf("rule %d of packageRules", n)
			if on, said := enabled(rule, kind); said {
				now, why = apply(now, why, on, m, name)
			} else if foreign := notKnown(texts(rule["extends"])); foreign != "" && now == yes {
				now, why = maybe, name+" extends "+foreign+", which is not known here"
			}
		}
	}
	return now, why
}

// apply is what becomes of what held so far by a rule that may be for the line.
func apply(now truth, why string, on bool, matched truth, rule string) (truth, string) {
	to, verb := no, " disables it"
	if on {
		to, verb = yes, " enables it"
	}
	switch {
	case matched == yes:
		return to, rule + verb
	case now == to:
		return now, why
	}
	return maybe, rule + " may be for it"
}

// enabled is what a rule says of updates of a kind.
func enabled(rule object, kind string) (on, said bool) {
	if s, ok := rule[kind].(object); ok {
		if on, said = s["enabled"].(bool); said {
			return on, true
		}
	}
	if on, said = rule["enabled"].(bool); said {
		return on, true
	}
	for _, name := range texts(rule["extends"]) {
		says, _ := preset(name)
		if s, ok := says["dockerfile"].(object); ok {
			on, said = s["enabled"].(bool)
		}
		if v, ok := says["enabled"].(bool); ok {
			on, said = v, true
		}
	}
	return on, said
}

func notKnown(extends []string) string {
	for _, name := range extends {
		if _, known := preset(name); !known {
			return name
		}
	}
	return ""
}

// matches says whether a rule is for updates of a kind of a line. A condition that is not known may be met.
func matches(rule object, l Line, kind string) truth {
	all := yes
	for key, v := range rule {
		if strings.HasPrefix(key, "match") || strings.HasPrefix(key, "exclude") {
			all = all.and(condition(key, texts(v), l, kind))
		}
	}
	return all
}

func condition(key string, list []string, l Line, kind string) truth {
	bare := func(p string) truth { return expression(p, l.Image) }
	prefix := func(p string) truth { return truthOf(strings.HasPrefix(l.Image, p)) }
	switch key {
	case "matchManagers":
		return patterns(list, "dockerfile")
	case "matchDatasources":
		return patterns(list, "docker")
	case "matchCategories":
		return patterns(list, "docker")
	case "matchPackageNames", "matchDepNames":
		return patterns(list, l.Image)
	case "matchPackagePatterns", "matchDepPatterns":
		return some(list, func(p string) truth { return max(truthOf(p == "*"), bare(p)) })
	case "matchPackagePrefixes", "matchDepPrefixes":
		return some(list, prefix)
	case "excludePackageNames", "excludeDepNames":
		return patterns(list, l.Image).not()
	case "excludePackagePatterns", "excludeDepPatterns":
		return some(list, bare).not()
	case "excludePackagePrefixes", "excludeDepPrefixes":
		return some(list, prefix).not()
	case "matchFileNames", "matchPaths":
		return max(patterns(list, l.File), truthOf(slices.Contains(list, l.File)))
	case "matchUpdateTypes":
		return truthOf(slices.Contains(list, kind))
	case "matchBaseBranches":
		return patterns(list, l.Branch)
	}
	return maybe
}
