// Package coexist says which other bots update an image reference of a repository, as their configuration in that
// repository has it: one line of a Dockerfile has one owner, or two pull requests fight over it.
//
//	c := coexist.Read(files) // those of coexist.Files that the repository has
//	for _, a := range c.Ask(coexist.Line{Image: "registry.example.com/base/debian", Tag: "stable", File: "Dockerfile"}) { ... }
//
// It reads what is in the repository and nothing else. What rests on a preset that is kept elsewhere is unknown, and said to
// be. The files are foreign: they are bounded, and what cannot be read is unknown.
package coexist

import (
	"fmt"
	"slices"
)

// Bot is a program that keeps dependencies of repositories up to date.
type Bot string

// The bots that are known.
const (
	Renovate   Bot = "Renovate"
	Dependabot Bot = "Dependabot"
)

// Says is what a bot's configuration says of a line.
type Says string

// What may be said.
const (
	Keeps   Says = "keeps"   // the bot updates it
	Leaves  Says = "leaves"  // it does not
	Unknown Says = "unknown" // that depends on what is not in the repository
)

// Line is one image reference in a Dockerfile. It is judged as if a digest were pinned, as it is when we have proposed one:
// bots that leave a tag alone update a digest.
type Line struct {
	Image  string // as the file names it, without tag and digest
	Tag    string
	File   string // path in the repository
	Branch string
}

// Answer is what one bot's configuration says of a line, and why.
type Answer struct {
	Bot   Bot
	Says  Says
	Where string // the file that says so
	Why   string // a clause: "nothing in it excludes the line"
	// Leave is what to add so that the bot leaves the image alone, and At where in the file; empty when it does.
	Leave, At string
}

// Files are the paths at which bots look for their configuration, the one that counts first.
func Files() []string { return slices.Concat(renovateFiles, dependabotFiles) }

// MaxFile is how many bytes of a file are read; a larger one is unknown.
const MaxFile = 256 << 10

// Configs is what was found in one repository.
type Configs struct {
	renovate   *renovate
	dependabot *dependabot
}

// Read reads those of Files that a repository has.
func Read(files map[string][]byte) *Configs {
	return &Configs{renovate: readRenovate(files), dependabot: readDependabot(files)}
}

// Ask returns an answer for each bot that is configured.
func (c *Configs) Ask(l Line) (out []Answer) {
	if c.renovate != nil {
		out = append(out, c.renovate.ask(l))
	}
	if c.dependabot != nil {
		out = append(out, c.dependabot.ask(l))
	}
	return out
}

// tooLarge says why a file is not read; empty when it is.
func tooLarge(src []byte) string {
	if len(src) <= MaxFile {
		return ""
	}
	return fmt.Sprintf("it has more than %d KiB", MaxFile>>10)
}
