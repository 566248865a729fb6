// Trim cuts GitHub's OpenAPI description down to a list of operations and webhooks, and everything they reach by $ref.
// It leaves out what no check reads (descriptions, examples, Octokit's notes) and changes nothing else; webhooks go
// below the path /x-webhooks/. The output depends on nothing but the inputs, so it can be compared byte for byte.
//
// Next gives the description the form that its notes on breaking changes say it will have. Of a GraphQL schema only the
// descriptions go, and what it defines twice.
//
//	trim [-next] OPERATIONS DESCRIPTION.json OUTPUT.json.gz
//	trim SCHEMA.graphql OUTPUT.graphql.gz
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

type object = map[string]any

func main() {
	next := flag.Bool("next", false, "apply the breaking changes")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: trim [-next] OPERATIONS DESCRIPTION.json OUTPUT.json.gz, or trim SCHEMA.graphql OUTPUT.graphql.gz")
	}
	flag.Parse()
	var err error
	switch flag.NArg() {
	case 2:
		err = trimSchema(flag.Arg(0), flag.Arg(1))
	case 3:
		err = run(*next, flag.Arg(0), flag.Arg(1), flag.Arg(2))
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "trim:", err)
		os.Exit(1)
	}
}

func run(next bool, operations, description, output string) error {
	wanted, err := readOperations(operations)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(description)
	if err != nil {
		return err
	}
	var doc object
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%s: %w", description, err)
	}
	if next {
		if err := breakingChanges(doc); err != nil {
			return fmt.Errorf("%s: %w", description, err)
		}
	}
	trimmed, err := trim(doc, wanted)
	if err != nil {
		return fmt.Errorf("%s: %w", description, err)
	}
	packed, err := pack(trimmed)
	if err != nil {
		return err
	}
	return os.WriteFile(output, packed, 0o644)
}

// operation is a line of the list: a method and a path, or WEBHOOK and a name.
type operation struct{ method, path string }

func readOperations(file string) ([]operation, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []operation
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; scanner.Scan(); n++ {
		line, _, _ := strings.Cut(scanner.Text(), "#")
		switch fields := strings.Fields(line); len(fields) {
		case 0:
		case 2:
			all = append(all, operation{method: strings.ToLower(fields[0]), path: fields[1]})
		default:
			return nil, fmt.Errorf("%s:%d: want METHOD /path or WEBHOOK name", file, n)
		}
	}
	return all, scanner.Err()
}

// section returns a part of the document, empty when it is missing.
func section(of object, name string) object {
	part, _ := of[name].(object)
	return part
}

func trim(doc object, wanted []operation) (object, error) {
	paths := object{}
	for _, op := range wanted {
		from, path, method := section(doc, "paths"), op.path, op.method
		if op.method == "webhook" {
			from, path, method = section(doc, "x-webhooks"), "/x-webhooks/"+op.path, "post"
		}
		found, ok := section(from, op.path)[method]
		if !ok {
			return nil, fmt.Errorf("no operation %s %s", op.method, op.path)
		}
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[method] = strip(found, false)
	}
	components := object{}
	if err := gather(paths, section(doc, "components"), components); err != nil {
		return nil, err
	}
	info := object{"title": "GitHub's REST API, a part", "version": section(doc, "info")["version"]}
	return object{"openapi": doc["openapi"], "info": info, "paths": paths, "components": components}, nil
}

// gather copies every component that v refers to, and those that these refer to, from one place to another.
func gather(v any, from, to object) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := gather(item, from, to); err != nil {
				return err
			}
		}
	case object:
		if ref, ok := v["$ref"].(string); ok {
			return gatherRef(ref, from, to)
		}
		for _, item := range v {
			if err := gather(item, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func gatherRef(ref string, from, to object) error {
	kind, name, ok := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
	if !ok {
		return fmt.Errorf("cannot follow %s", ref)
	}
	if _, have := section(to, kind)[name]; have {
		return nil
	}
	found, ok := section(from, kind)[name]
	if !ok {
		return fmt.Errorf("nothing at %s", ref)
	}
	if to[kind] == nil {
		to[kind] = object{}
	}
	stripped := strip(found, false)
	if kind == "responses" {
		describe(object{name: stripped})
	}
	to[kind].(object)[name] = stripped
	return gather(stripped, from, to)
}

// strip drops what no check reads. The members of "properties" are names, not keywords: they all stay.
func strip(v any, names bool) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = strip(item, false)
		}
		return out
	case object:
		out := object{}
		for key, item := range v {
			if names || !unread(key) {
				out[key] = strip(item, key == "properties" && !names)
			}
			if key == "responses" && !names {
				describe(out[key].(object))
			}
		}
		return out
	}
	return v
}

// describe gives responses the empty description that the format demands.
func describe(responses object) {
	for _, response := range responses {
		if _, ref := response.(object)["$ref"]; !ref {
			response.(object)["description"] = ""
		}
	}
}

func unread(keyword string) bool {
	switch keyword {
	case "description", "summary", "example", "examples", "externalDocs", "tags", "operationId", "x-github", "x-octokit", breaking:
		return true
	}
	return false
}

// pack and compress use no time and no name, so that the same document gives the same bytes.
func pack(doc object) ([]byte, error) {
	data, err := json.Marshal(doc) // sorts the members
	if err != nil {
		return nil, err
	}
	return compress(data)
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
