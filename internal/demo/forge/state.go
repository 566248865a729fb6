package forge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// state is everything that git does not know; it is stored as one JSON document.
type state struct {
	LastID       int64
	Users        map[string]*user
	Tokens       map[string]string             // token to login
	Repositories map[string]*repository        // by "owner/name"
	Packages     map[string][]containerPackage `json:",omitempty"` // by owner
}

type user struct {
	Login, Type string
	ID          int64
}

type repository struct {
	ID                   int64
	Owner, Name, Default string
	Created              time.Time
	Pushed               time.Time // a branch or tag moved last
	Archived             bool      `json:",omitempty"`
	LastNumber           int
	Pulls                map[int]*pull
	Labels               map[string]*label // by lower-case name
	Checks               []*check
	Statuses             []*status
}

type pull struct {
	ID                  int64
	Number              int
	Title, Body, Author string
	Head, Base          string // branches
	State               string // open or closed
	Created, Updated    time.Time
	Closed, Merged      *time.Time
	// HeadSHA and BaseSHA count once the pull request is closed; an open one follows its branches.
	HeadSHA, BaseSHA    string
	MergeSHA, MergedBy  string
	MaintainerCanModify bool
	Labels              []string
	Comments            []comment
}

type label struct {
	ID          int64
	Name, Color string
	Description *string
}

type comment struct {
	ID           int64
	Author, Body string
	Created      time.Time
}

type check struct {
	ID                               int64
	Name, SHA, Status, Conclusion    string
	DetailsURL, ExternalID           string
	Started                          time.Time
	Completed                        *time.Time
	OutputTitle, OutputSummary, Text *string
}

type status struct {
	ID                                   int64
	SHA, State, Context, Target, Creator string
	Description                          string
	Created                              time.Time
}

func (s *state) nextID() int64 { s.LastID++; return s.LastID }

func (s *state) ensureUser(login, kind string) {
	if s.Users[login] != nil {
		return
	}
	if strings.HasSuffix(login, "[bot]") {
		kind = "Bot"
	}
	s.Users[login] = &user{Login: login, Type: kind, ID: s.nextID()}
}

// newestFirst returns the pull requests in the order GitHub lists them.
func (r *repository) newestFirst() []*pull {
	all := make([]*pull, 0, len(r.Pulls))
	for _, p := range r.Pulls {
		all = append(all, p)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Number > all[j].Number })
	return all
}

func (f *Forge) stateFile() string { return filepath.Join(f.cfg.Dir, "forge.json") }

func (f *Forge) load() error {
	f.state = state{
		LastID: 1000, Users: map[string]*user{}, Tokens: map[string]string{}, Repositories: map[string]*repository{},
	}
	data, err := os.ReadFile(f.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	if err := json.Unmarshal(data, &f.state); err != nil {
		return fmt.Errorf("forge: %s is damaged, remove %s to start anew: %w", f.stateFile(), f.cfg.Dir, err)
	}
	return f.settleAll()
}

// save writes the state so that a kill at any moment leaves the old or the new document. The caller holds mu.
func (f *Forge) save() error {
	data, err := json.MarshalIndent(&f.state, "", "\t")
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	next := f.stateFile() + ".next"
	err = os.WriteFile(next, data, 0o600) // it holds tokens
	if err == nil {
		err = os.Rename(next, f.stateFile())
	}
	if err != nil {
		f.log.Error("forge state is not saved", "error", err)
		return fmt.Errorf("forge: %w", err)
	}
	return nil
}
