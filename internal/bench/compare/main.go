// Command compare holds what rebuilder finds in images against what Syft, Trivy and Grype find: package by package, and
// on the same advisories vulnerability by vulnerability. docs/comparison.md explains what it prints.
//
//	go run ./internal/bench/compare -images DIR -advisories DIR -work DIR [-programs DIR]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
	"rebuilder/internal/sbom"
	"rebuilder/internal/scan"
	"rebuilder/internal/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

type config struct {
	images     string // root file systems, NAME.tar
	advisories string // OSV records: directories, zip files
	work       string // images, databases and what was found
	programs   string // where syft, grype and trivy are; empty: in PATH
}

func (c config) program(name string) string {
	if c.programs == "" {
		return name
	}
	return filepath.Join(c.programs, name)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c config
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.images, "images", "", "`directory` with root file systems, NAME.tar each")
	f.StringVar(&c.advisories, "advisories", "", "`directory` with OSV records, in files or zip files")
	f.StringVar(&c.work, "work", "", "`directory` for images, databases and reports; what is in it already is used again")
	f.StringVar(&c.programs, "programs", "", "`directory` with syft, grype and trivy")
	if err := f.Parse(args); err != nil {
		return err
	}
	if c.images == "" || c.advisories == "" || c.work == "" {
		return errors.New("-images, -advisories and -work are needed: see -help")
	}
	var err error
	if c.work, err = filepath.Abs(c.work); err != nil { // scanners run in directories of their own
		return err
	}
	images, err := readImages(ctx, c)
	if err != nil {
		return err
	}
	for _, i := range images {
		i.compareInventories(stdout)
	}
	records, err := allRecords(c, images)
	if err != nil {
		return err
	}
	if err := writeTrivy(c.trivyCache(), records); err != nil {
		return fmt.Errorf("write Trivy's database: %w", err)
	}
	if err := writeGrype(ctx, c, records); err != nil {
		return fmt.Errorf("write Grype's database: %w", err)
	}
	book, done, err := ourBook(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	for _, i := range images {
		found, err := i.findings(ctx, c, book)
		if err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
		compareFindings(stdout, i.name, found)
	}
	return nil
}

// image is one image, and who found what in it.
type image struct {
	name, layout      string
	inv               *inventory.Inventory
	ours, syft, trivy packages
}

// readImages packs the root file systems and has them read by all three.
func readImages(ctx context.Context, c config) ([]*image, error) {
	roots, err := filepath.Glob(filepath.Join(c.images, "*.tar"))
	if err != nil || len(roots) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s has no NAME.tar", c.images))
	}
	var all []*image
	for _, root := range roots {
		name := strings.TrimSuffix(filepath.Base(root), ".tar")
		i, err := readImage(ctx, c, root, name, "")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, i)
		// What a distribution's package owns is compared once more as if it were nobody's: the advisories are other ones.
		if i.hasOwned() {
			if i, err = readImage(ctx, c, root, name+"-unowned", "var/lib/dpkg"); err != nil {
				return nil, fmt.Errorf("%s-unowned: %w", name, err)
			}
			all = append(all, i)
		}
	}
	return all, nil
}

func readImage(ctx context.Context, c config, root, name, without string) (*image, error) {
	i := &image{name: name, layout: filepath.Join(c.work, "images", name)}
	img, err := pack(root, i.layout, without)
	if err != nil {
		return nil, err
	}
	if i.inv, err = inventory.Read(ctx, img, ""); err != nil {
		return nil, err
	}
	i.ours = ourPackages(i.inv)
	if i.syft, err = syftPackages(ctx, c, i); err != nil {
		return nil, err
	}
	i.trivy, err = trivyPackages(ctx, c, i)
	return i, err
}

func (i *image) hasOwned() bool {
	return slices.ContainsFunc(i.inv.Packages, func(p inventory.Package) bool { return p.Owner != "" })
}

// ourBook knows the records that the other databases were made of.
func ourBook(ctx context.Context, c config) (*advisory.Book, func(), error) {
	path := filepath.Join(c.work, "rebuilder.db")
	if err := os.RemoveAll(path); err != nil {
		return nil, nil, err
	}
	st, err := store.Open(ctx, "sqlite:"+path, nil)
	if err != nil {
		return nil, nil, err
	}
	done := func() { _ = st.Close() }
	book, err := advisory.New(st, advisory.Config{Sources: []advisory.Source{{Name: "given", Path: c.advisories}, {Name: "made", Path: c.made()}}})
	if err != nil {
		done()
		return nil, nil, err
	}
	states, err := book.Sync(ctx)
	if err == nil && states[0].Error != "" {
		err = errors.New(states[0].Error)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return book, done, nil
}

// findings are those of all, by who found them.
func (i *image) findings(ctx context.Context, c config, book *advisory.Book) (map[string]pairs, error) {
	ours, err := book.Findings(ctx, i.inv)
	if err != nil {
		return nil, err
	}
	bill, err := sbom.CycloneDX(i.inv, sbom.Subject{})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(c.work, i.name+".cdx.json"), bill, 0o600); err != nil {
		return nil, err
	}
	all := map[string]pairs{"rebuilder": pairsOf(ours.Findings)}
	for name, database := range map[string]string{"trivy": c.trivyCache(), "grype": c.grypeCache()} {
		s, err := scan.New(name, scan.Config{Command: c.program(name), Database: database, Temp: c.work})
		if err != nil {
			return nil, err
		}
		for suffix, target := range map[string]scan.Target{"": {Layout: i.layout}, " (SBOM)": {SBOM: bill}} {
			report, err := s.Scan(ctx, target)
			if err != nil {
				return nil, err
			}
			all[name+suffix] = pairsOf(report.Findings)
		}
	}
	return all, save(filepath.Join(c.work, i.name+".findings.json"), all)
}

// save keeps what was found for who wants to look closer.
func save(path string, all map[string]pairs) error {
	lists := map[string][]string{}
	for who, found := range all {
		for p := range found {
			lists[who] = append(lists[who], p.String())
		}
		slices.Sort(lists[who])
	}
	data, err := json.MarshalIndent(lists, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
