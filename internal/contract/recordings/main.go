// Recordings makes the test data of internal/contract from two npm packages of the Octokit project: exchanges recorded at
// GitHub, and webhooks that GitHub sent. What no gate reads is left out; nothing else is changed.
//
//	recordings exchanges SCENARIOS-DIRECTORY OUTPUT.json.gz
//	recordings webhooks INDEX.json OUTPUT.json.gz
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// scenarios are those about something that the demo's forge does.
var scenarios = []string{
	"add-labels-to-issue", "branch-protection", "create-file", "create-status", "errors", "get-content", "get-repository",
	"git-refs", "labels", "paginate-issues", "rename-repository",
}

// exchange is a recorded request and its answer.
type exchange struct {
	Scenario   string          `json:"scenario"`
	Method     string          `json:"method"`
	Path       string          `json:"path"`
	Body       json.RawMessage `json:"body"`
	Status     int             `json:"status"`
	Response   json.RawMessage `json:"response"`
	Reqheaders map[string]any  `json:"reqheaders"`
	Headers    map[string]any  `json:"headers"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "recordings:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: recordings exchanges|webhooks FROM OUTPUT.json.gz")
	}
	var v any
	var err error
	switch args[0] {
	case "exchanges":
		v, err = exchanges(args[1])
	case "webhooks":
		v, err = webhooks(args[1])
	default:
		err = fmt.Errorf("%s: want exchanges or webhooks", args[0])
	}
	if err != nil {
		return err
	}
	return write(args[2], v)
}

func exchanges(dir string) (any, error) {
	var all []exchange
	for _, name := range scenarios {
		data, err := os.ReadFile(filepath.Join(dir, name, "normalized-fixture.json"))
		if err != nil {
			return nil, err
		}
		var recorded []exchange
		if err := json.Unmarshal(data, &recorded); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range recorded {
			e.Scenario = name
			e.Reqheaders = only(e.Reqheaders, "accept")
			e.Headers = only(e.Headers, "content-type", "etag", "link", "location", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
			all = append(all, e)
		}
	}
	return all, nil
}

func only(headers map[string]any, names ...string) map[string]any {
	kept := map[string]any{}
	for name, value := range headers {
		if slices.Contains(names, name) {
			kept[name] = value
		}
	}
	return kept
}

func webhooks(file string) (any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []struct {
		Name     string            `json:"name"`
		Examples []json.RawMessage `json:"examples"`
	}
	return &all, json.Unmarshal(data, &all)
}

// write compresses without a time or a name, so that the same input gives the same bytes.
func write(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}
