package inventory

import (
	"fmt"
	"strings"
)

// Setting is one line of an image's configuration, or its size, that is another in a second image.
type Setting struct {
	Name   string `json:"name"` // "user", "ports", "size", ...
	Before string `json:"before"`
	After  string `json:"after"`
}

// Settings lists how two images differ in how they are started, and in size.
func Settings(old, new *Inventory) []Setting {
	out := []Setting{}
	add := func(name, before, after string) {
		if before != after {
			out = append(out, Setting{name, before, after})
		}
	}
	list := func(name string, before, after []string) {
		add(name, strings.Join(before, " "), strings.Join(after, " "))
	}
	a, b := old.Config, new.Config
	add("platform", old.Platform, new.Platform)
	add("size", fmt.Sprint(old.Size), fmt.Sprint(new.Size))
	add("layers", fmt.Sprint(len(old.DiffIDs)), fmt.Sprint(len(new.DiffIDs)))
	add("user", a.User, b.User)
	list("entrypoint", a.Entrypoint, b.Entrypoint)
	list("command", a.Cmd, b.Cmd)
	add("working directory", a.WorkingDir, b.WorkingDir)
	list("environment", a.Env, b.Env)
	list("ports", a.ExposedPorts, b.ExposedPorts)
	list("volumes", a.Volumes, b.Volumes)
	return out
}
