package scan

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// scanned is one run of a scanner: where it is, what it wrote.
type scanned struct {
	out, said []byte
	took      time.Duration
}

// scan gives a scanner a directory of its own, with the bill of materials in it, and runs it. args get the place of what is to
// be scanned.
func scan(ctx context.Context, name string, c Config, t Target, args func(t Target, at string) []string, env ...string) (*scanned, error) {
	dir, err := os.MkdirTemp(c.Temp, workPrefix(name))
	if err != nil {
		return nil, noRoom(name, err)
	}
	defer os.RemoveAll(dir)
	at := t.Layout
	if len(t.SBOM) > 0 {
		at = filepath.Join(dir, "sbom.cdx.json")
		if err := os.WriteFile(at, t.SBOM, 0o600); err != nil {
			return nil, noRoom(name, err)
		}
	} else if at, err = filepath.Abs(at); err != nil {
		return nil, noRoom(name, err)
	}
	began := time.Now()
	run := &command{Config: c, name: name, args: args(t, at), env: env, dir: dir}
	out, said, err := run.run(ctx)
	if err != nil {
		return nil, err
	}
	return &scanned{out, said, time.Since(began)}, nil
}

// workPrefix begins the names of the directories in which a scanner works.
func workPrefix(name string) string { return "rebuilder-scan-" + name + "-" }

// sweepWork removes the directories of runs that a killed process never ended. What cannot be removed stays.
func sweepWork(name, temp string) {
	left, _ := os.ReadDir(temp)
	for _, d := range left {
		if d.IsDir() && strings.HasPrefix(d.Name(), workPrefix(name)) {
			_ = os.RemoveAll(filepath.Join(temp, d.Name()))
		}
	}
}

func noRoom(name string, err error) error {
	return &Unavailable{Scanner: name, Reason: Failed, Problem: err.Error(), Do: "make room for what it reads and writes", Cause: err}
}

// database is the directory of a scanner's database, which has to have a file in it.
func database(name, dir, usual, file, how string) (string, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", &Unavailable{Scanner: name, Reason: NoDatabase, Problem: "nobody says where its database is", Do: "name the directory with `database`", Cause: err}
		}
		dir = filepath.Join(cache, usual)
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, file))
	}
	if err != nil {
		return "", &Unavailable{Scanner: name, Reason: NoDatabase, Problem: fmt.Sprintf("it has no database in %s", dir), Do: fmt.Sprintf(how, dir), Cause: err}
	}
	return dir, nil
}
