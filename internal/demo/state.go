package demo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/moby/sys/mount"
)

// stateFile is in every world's directory; its presence says that the directory is a world's.
const stateFile = "world.json"

// maxState bounds the state file.
const maxState = 1 << 20

// state is what a world must remember. It is saved whole, in one step, after each change.
type state struct {
	Addresses     addresses  `json:"addresses"`
	Codename      string     `json:"codename"`
	Small         bool       `json:"small"`
	Written       bool       `json:"written"` // the example is copied
	DaemonToken   string     `json:"daemon_token"`
	ReviewerToken string     `json:"reviewer_token"`
	WebhookSecret string     `json:"webhook_secret"`
	SetUp         bool       `json:"set_up"`
	Update        *update    `json:"update,omitempty"`
	Published     *Published `json:"published,omitempty"`
}

// update is the security update that waits to be published; its files are in the world's directory "update".
type update struct {
	Package  string   `json:"package"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	Source   string   `json:"source"`
	Packages []string `json:"packages"`
	Files    []string `json:"files"`
}

// readState returns the state in dir, or nil when dir holds no world.
func readState(dir string) (*state, error) {
	f, err := os.Open(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read %s: %w; remove %s and start again", f.Name(), err, dir)
	}
	return s, nil
}

func (s *state) save(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, stateFile), append(data, '\n'), 0o600)
}

func newState(codename string, small bool) *state {
	return &state{
		Codename: codename, Small: small,
		DaemonToken: rand.Text(), ReviewerToken: rand.Text(), WebhookSecret: rand.Text(),
	}
}

// Clear removes the world in dir, if there is one, with whatever a killed run left mounted in it. It refuses a directory
// that is not a world's, and a world that is running.
func Clear(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && onlyLock(entries) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clear world: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("clear world: %s is no demo world (it has no %s); name an empty or a new directory", dir, stateFile)
	}
	unlock, err := lockWorld(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := mount.RecursiveUnmount(dir); err != nil {
		return fmt.Errorf("clear world: %w", err)
	}
	return clearEntries(dir, entries)
}

// onlyLock: a world that was killed at its very beginning or end has a lock file and nothing else.
func onlyLock(entries []fs.DirEntry) bool {
	return len(entries) == 0 || len(entries) == 1 && entries[0].Name() == lockFile
}

// clearEntries removes the state file last: a clear that is cut off can be repeated.
func clearEntries(dir string, entries []fs.DirEntry) error {
	for _, e := range entries {
		if e.Name() == stateFile || e.Name() == lockFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("clear world: %w", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("clear world: %w", err)
	}
	return os.RemoveAll(dir)
}

const lockFile = "lock"

// lockWorld makes sure that one process at a time runs the world in dir. The kernel drops the lock when the process ends,
// however it ends.
func lockWorld(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("a demo is running in %s already; stop it or name another directory", dir)
	}
	return func() { _ = f.Close() }, nil
}
