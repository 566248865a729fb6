package inventory

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxListed bounds each list of an inventory that an image may make as long as it likes.
const maxListed = 1000

// listing takes the beginnings of lists and remembers what it left out.
type listing struct{ unknown []string }

// first are the first of a list.
func first[T any](l *listing, all []T, what string) []T {
	if len(all) <= maxListed {
		return all
	}
	l.unknown = append(l.unknown, fmt.Sprintf("of %d %s only %d are listed", len(all), what, maxListed))
	return all[:maxListed]
}

// configOf is what is kept of an image's configuration: of its environment the names alone.
func configOf(l *listing, f *v1.ConfigFile) Config {
	c := f.Config
	return Config{
		User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		Entrypoint:   first(l, c.Entrypoint, "words of the entrypoint"),
		Cmd:          first(l, c.Cmd, "words of the command"),
		Env:          first(l, envNames(c.Env), "environment variables"),
		ExposedPorts: first(l, sortedKeys(c.ExposedPorts), "exposed ports"),
		Volumes:      first(l, sortedKeys(c.Volumes), "volumes"),
		Labels:       firstLabels(l, c.Labels),
		Healthcheck:  c.Healthcheck != nil && len(c.Healthcheck.Test) > 0 && c.Healthcheck.Test[0] != "NONE",
		Created:      f.Created.UTC(),
	}
}

// envNames are the names in an environment, in its order, each once.
func envNames(env []string) []string {
	var names []string
	seen := map[string]bool{}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func firstLabels(l *listing, labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	kept := make(map[string]string, min(len(labels), maxListed))
	for _, k := range first(l, sortedKeys(labels), "labels") {
		kept[k] = labels[k]
	}
	return kept
}

// pathOf are the directories in which a container looks for programs.
func pathOf(f *v1.ConfigFile) []string {
	dirs := []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/busybox"}
	for _, e := range f.Config.Env {
		if list, ok := strings.CutPrefix(e, "PATH="); ok {
			dirs = append(dirs, strings.SplitN(list, ":", maxListed)...)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// configText is the text of a configuration in which there may be secrets.
func configText(f *v1.ConfigFile) string {
	c := f.Config
	var b strings.Builder
	for _, lines := range [][]string{c.Env, {strings.Join(c.Entrypoint, " ")}, {strings.Join(c.Cmd, " ")}, c.OnBuild} {
		for _, line := range lines {
			fmt.Fprintln(&b, line)
		}
	}
	for _, k := range sortedKeys(c.Labels) {
		fmt.Fprintf(&b, "%s=%s\n", k, c.Labels[k])
	}
	for _, h := range f.History {
		fmt.Fprintln(&b, h.CreatedBy)
	}
	return b.String()
}
