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
	Renamed      map[string]int64              `json:",omitempty"` // old "owner/name" to the repository's number
	Apps         map[int64]*app                `json:",omitempty"`
	Grants       map[string]*grant             `json:",omitempty"` // by token
}

type user struct {
	Login, Type string
	ID          int64
}

type repository struct {
	ID                   int64
	Owner, Name, Default string
	Created              time.Time
	Pushed               time.Time         // a branch or tag moved last
	Description          *string           `json:",omitempty"`
	Archived, Disabled   bool              `json:",omitempty"`
	Roles                map[string]string `json:",omitempty"` // by login
	LastNumber           int
	Pulls                map[int]*pull
	Issues               map[int]*issue         `json:",omitempty"`
	Protected            map[string]*Protection `json:",omitempty"` // by branch
	AllowAutoMerge       bool                   `json:",omitempty"`
	Jobs                 []Job                  `json:",omitempty"`
	Suites               map[string]int64       `json:",omitempty"` // check suites by commit
	Labels               map[string]*label      // by lower-case name
	Checks               []*check
	Statuses             []*status
	Runs                 []*run `json:",omitempty"`
}

// thread is what pull requests and issues have in common; they share their numbers.
type thread struct {
	ID                  int64
	Number              int
	Title, Body, Author string
	State               string // open or closed
	Created, Updated    time.Time
	Closed              *time.Time
	Labels              []string
	Comments            []*comment
	Reactions           []reaction `json:",omitempty"`
}

type issue struct{ thread }

type pull struct {
	thread
	Head, Base string // branches
	Draft      bool   `json:",omitempty"`
	Merged     *time.Time
	// HeadSHA and BaseSHA count once the pull request is closed; an open one follows its branches.
	HeadSHA, BaseSHA    string
	MergeSHA, MergedBy  string
	MaintainerCanModify bool
	Reviews             []*review  `json:",omitempty"`
	Requested           []string   `json:",omitempty"` // logins of those asked to review
	Auto                *autoMerge `json:",omitempty"`
	Judged              string     `json:",omitempty"` // the two ends whose mergeability is known
}

// autoMerge is the wish to be merged as soon as the branch's protection allows it.
type autoMerge struct {
	Method, By, Title, Message string
	At                         time.Time
}

type review struct {
	ID                       int64
	Author, State, Body, SHA string // APPROVED, CHANGES_REQUESTED, COMMENTED or DISMISSED
	Submitted                time.Time
}

type label struct {
	ID          int64
	Name, Color string
	Description *string
}

type comment struct {
	ID               int64
	Author, Body     string
	Created, Updated time.Time
	Reactions        []reaction `json:",omitempty"`
}

type reaction struct {
	ID            int64
	User, Content string
	Created       time.Time
}

type check struct {
	ID                               int64
	Name, SHA, Status, Conclusion    string
	DetailsURL, ExternalID           string
	Started                          time.Time
	Completed                        *time.Time
	OutputTitle, OutputSummary, Text *string
	Due                              *time.Time `json:",omitempty"` // when the scripted CI is done with it
	Final                            string     `json:",omitempty"` // and what comes of it
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
	if f.cfg.Ephemeral {
		return nil
	}
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
