package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// breaking is where the description says what a coming version of the API changes: per change a merge patch (an object,
// null removes) or a list of operations on paths.
const breaking = "x-github-breaking-changes"

// breakingChanges applies them all, wherever they are.
func breakingChanges(v any) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := breakingChanges(item); err != nil {
				return err
			}
		}
	case object:
		changes, _ := v[breaking].([]any)
		delete(v, breaking)
		for _, change := range changes {
			if err := apply(v, change.(object)["patch"]); err != nil {
				return fmt.Errorf("%v: %w", change.(object)["changeset"], err)
			}
		}
		for _, item := range v {
			if err := breakingChanges(item); err != nil {
				return err
			}
		}
	}
	return nil
}

func apply(to object, patch any) error {
	switch patch := patch.(type) {
	case object:
		mergePatch(to, patch)
	case []any:
		for _, operation := range patch {
			if err := applyOperation(to, operation.(object)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergePatch is RFC 7386, but for lists of required members: each of several patches was written against the description
// as it is today, so only what all of them keep is required.
func mergePatch(to, patch object) {
	for name, value := range patch {
		inner, isObject := value.(object)
		old, wasObject := to[name].(object)
		list, isList := value.([]any)
		had, wasList := to[name].([]any)
		switch {
		case value == nil:
			delete(to, name)
		case isObject && wasObject:
			mergePatch(old, inner)
		case isList && wasList && name == "required":
			to[name] = slices.DeleteFunc(slices.Clone(had), func(member any) bool { return !slices.Contains(list, member) })
		default:
			to[name] = value
		}
	}
}

// applyOperation is the part of RFC 6902 that the description uses: remove, and replace or add.
func applyOperation(to object, operation object) error {
	path, _ := operation["path"].(string)
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
	}
	parent, last := any(to), parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		if parent = step(parent, part); parent == nil {
			return nil // an earlier change took the whole away
		}
	}
	switch operation["op"] {
	case "remove":
		return remove(to, parts, parent, last)
	case "replace", "add":
		if at, ok := parent.(object); ok {
			at[last] = operation["value"]
			return nil
		}
	}
	return fmt.Errorf("operation %v at %s is not known here", operation["op"], path)
}

// step goes down one part of a path; nil when there is nothing.
func step(v any, part string) any {
	switch v := v.(type) {
	case object:
		return v[part]
	case []any:
		if n, err := strconv.Atoi(part); err == nil && n < len(v) {
			return v[n]
		}
	}
	return nil
}

// remove takes a member of an object, or an item of a list that is itself a member of one.
func remove(root object, parts []string, parent any, last string) error {
	if at, ok := parent.(object); ok {
		delete(at, last)
		return nil
	}
	list, isList := parent.([]any)
	n, err := strconv.Atoi(last)
	holder := any(root)
	for _, part := range parts[:len(parts)-2] {
		holder = step(holder, part)
	}
	at, ok := holder.(object)
	if err != nil || !isList || n >= len(list) || !ok {
		return fmt.Errorf("cannot remove /%s", strings.Join(parts, "/"))
	}
	at[parts[len(parts)-2]] = slices.Delete(slices.Clone(list), n, n+1)
	return nil
}
