package api

import (
	"time"

	"rebuilder/internal/build"
)

// Times are RFC 3339 in UTC; one that is not known or has not come is left out. Every answer says when it was given
// (Now) and how old the look at the world is that it rests on (AsOf), so that ages need no second clock.

// ImageState is what is to be said of one image, over all rollouts.
type ImageState string

const (
	Current    ImageState = "current"    // stands on everything that is known
	Rebuilding ImageState = "rebuilding" // a running rollout has it in hand
	Awaiting   ImageState = "awaiting"   // its owner was told; waits for the merge or for its next image
	Behind     ImageState = "behind"     // something newer is available and nothing has started yet
	Stuck      ImageState = "stuck"      // nothing more happens by itself, or not soon: a person can act
	Unknown    ImageState = "unknown"    // cannot be told, with the reason; never counted as fine
)

// ImageStates lists all states, the best first.
func ImageStates() []ImageState {
	return []ImageState{Current, Rebuilding, Awaiting, Behind, Stuck, Unknown}
}

// Image is one image of the catalog and how it is.
type Image struct {
	Name      string     `json:"name"`
	Kind      string     `json:"kind"` // upstream, base, application, or observed: found and declared by nobody
	State     ImageState `json:"state"`
	Sentence  string     `json:"sentence"` // why it is in that state
	Since     time.Time  `json:"since,omitzero"`
	Next      time.Time  `json:"next,omitzero"` // when something happens by itself
	Who       string     `json:"who,omitempty"` // who can act
	Reference string     `json:"reference,omitempty"`
	Digest    string     `json:"digest,omitempty"`
	SeenAt    time.Time  `json:"seen_at,omitzero"` // since when the reference points to the digest
	Owner     string     `json:"owner,omitempty"`
	Rollout   string     `json:"rollout,omitempty"` // that has it in hand
	URL       string     `json:"url,omitempty"`     // of its pull request
}

// Fleet counts images. Images is the denominator of every number in States and Kinds: the images that the catalog names.
// Those that were found and that it does not name are counted apart, since nothing is decided about them.
type Fleet struct {
	Images   int                `json:"images"`
	Observed int                `json:"observed"` // besides Images: found, declared by nobody
	States   map[ImageState]int `json:"states"`   // all states, also those with 0
	Kinds    map[string]int     `json:"kinds"`
}

// Need is something that a person can do something about.
type Need struct {
	What    string    `json:"what"` // an image, a rollout, "catalog"
	State   string    `json:"state"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	Who     string    `json:"who,omitempty"`
	URL     string    `json:"url,omitempty"`
	Command string    `json:"command,omitempty"` // what to type next
}

// CatalogState is which catalog is in use.
type CatalogState struct {
	File         string `json:"file"`
	SHA256       string `json:"sha256"`
	Organization string `json:"organization,omitempty"`
	Automatic    bool   `json:"automatic"`         // rollouts start by themselves
	Problem      string `json:"problem,omitempty"` // why the file on disk is not the one in use
}

// BuilderState is the build engine.
type BuilderState struct {
	Address string              `json:"address"`
	Problem string              `json:"problem,omitempty"` // why it cannot be reached
	Workers []build.WorkerState `json:"workers"`           // by name
}

// Watcher is the heart beat of something that runs again and again.
type Watcher struct {
	Name    string    `json:"name"`
	LastRun time.Time `json:"last_run,omitzero"`
	LastOK  time.Time `json:"last_ok,omitzero"`
	NextRun time.Time `json:"next_run,omitzero"`
	Problem string    `json:"problem,omitempty"` // why its last run did not work
	State   string    `json:"state"`             // ok, failed, or late: it did not run when it should have
	Since   time.Time `json:"since,omitzero"`    // of late: when it was due; of failed: its last success
	Who     string    `json:"who,omitempty"`     // who can act
}

// PlanSummary is the plan of the last look.
type PlanSummary struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	Steps     int       `json:"steps"`
	NotDone   int       `json:"not_done"`
	NotBefore time.Time `json:"not_before,omitzero"`
}

// Status is the answer to "how are we, and what needs me?".
type Status struct {
	Version  string        `json:"version"`
	Now      time.Time     `json:"now"`
	AsOf     time.Time     `json:"as_of,omitzero"` // of the last look that worked; left out before the first
	NextLook time.Time     `json:"next_look,omitzero"`
	Problem  string        `json:"problem,omitempty"` // why the last look failed; everything is then as of the one before
	Catalog  CatalogState  `json:"catalog"`
	Builder  *BuilderState `json:"builder,omitempty"`
	Fleet    Fleet         `json:"fleet"`
	Unknown  int           `json:"unknown"` // of Fleet.Images
	Verdicts Verdicts      `json:"verdicts"`
	Plan     *PlanSummary  `json:"plan,omitempty"`
	Running  []Rollout     `json:"running"` // with their images
	Needs    []Need        `json:"needs"`
	Recent   []Rollout     `json:"recent"` // ended, newest first
	Untaken  []Untaken     `json:"untaken"`
	Observed []Image       `json:"observed"` // the first 20 of Fleet.Observed; all: GET /api/v1/images?kind=observed
	Watchers []Watcher     `json:"watchers"`
}

// Untaken is what an upstream's reference points to now and images are not made from yet.
type Untaken struct {
	Image     string    `json:"image"`
	Reference string    `json:"reference"`
	Digest    string    `json:"digest"`
	Reason    string    `json:"reason"` // about Reference, without its name
	Since     time.Time `json:"since,omitzero"`
	Next      time.Time `json:"next,omitzero"` // when it is taken at the latest, if it stays
	Who       string    `json:"who,omitempty"`
}

// Unlisted is an image that another one claims to be made from and that the catalog does not name.
type Unlisted struct {
	Image     string `json:"image"`               // that claims it
	Evidence  string `json:"evidence"`            // annotation or provenance
	Reference string `json:"reference,omitempty"` // left out when only a digest is claimed
	Digest    string `json:"digest,omitempty"`
	Sentence  string `json:"sentence"` // about Image, without its name
}

// Plan is a plan as it was made: exactly what applying it does.
type Plan struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	Cause     string    `json:"cause"`
	Now       time.Time `json:"now"`
	AsOf      time.Time `json:"as_of"`               // when it was made
	NotBefore time.Time `json:"not_before,omitzero"` // end of the settle window
	Automatic bool      `json:"automatic"`           // it starts by itself after NotBefore
	Published time.Time `json:"published_at,omitzero"`
	Steps     []Step    `json:"steps"`
	NotDone   []NotDone `json:"not_done"`
	Inputs    []Input   `json:"inputs"`
	Images    int       `json:"images"`  // how many were looked at
	Unknown   int       `json:"unknown"` // of how many of them something is not known
	// Impact is how far it reaches in the graph of the last look; left out before the first.
	Impact *Impact `json:"impact,omitempty"`
}

// Impact is how far a plan reaches, and about how long its rebuilds take.
type Impact struct {
	Images   int            `json:"images"`  // of the graph: the denominator of Reached and Below
	Reached  int            `json:"reached"` // images that a step is for
	Below    []string       `json:"below"`   // images that stand on those, directly or not, and for which there is no step
	Kinds    map[string]int `json:"kinds"`   // reached and below
	Owners   []Share        `json:"owners"`  // reached and below, most images first; those of nobody last
	Tiers    []Share        `json:"tiers"`   // reached and below
	Estimate Estimate       `json:"estimate"`
}

// Share is one part of what a plan reaches.
type Share struct {
	Owner   string         `json:"owner,omitempty"` // in Owners; left out: nobody is named
	Tier    int            `json:"tier,omitempty"`  // in Tiers, from 1 on; left out: below, without a step
	Images  int            `json:"images"`
	Kinds   map[string]int `json:"kinds"`
	Actions map[string]int `json:"actions"` // of its steps
}

// Estimate is about how long a plan's rebuilds take, without the tests and merges of others.
type Estimate struct {
	Known    bool     `json:"known"`             // false: no image of the plan was built before
	Seconds  float64  `json:"seconds,omitempty"` // from the first start to the last end
	Sentence string   `json:"sentence"`
	Rebuilds int      `json:"rebuilds"` // steps that are builds of ours
	Images   int      `json:"images"`   // of Rebuilds: those that were built before
	Builds   int      `json:"builds"`   // past builds that it rests on: the last of each image
	Never    []string `json:"never"`    // of Rebuilds: never built, counted as the median of the others
	Parallel int      `json:"parallel"` // builds at once
	Path     []string `json:"path"`     // the longest chain of rebuilds that wait for each other
	Least    float64  `json:"least_seconds,omitempty"`
}

// Step is one effect on one image.
type Step struct {
	Image   string   `json:"image"`
	Kind    string   `json:"kind"`
	Action  string   `json:"action"` // rebuild, pull-request or dispatch
	Tier    int      `json:"tier"`
	Cause   string   `json:"cause"`
	Reasons []string `json:"reasons"`
	Notes   []string `json:"notes,omitempty"` // what is to be known of how it is done
	Parents []string `json:"parents"`
	Before  string   `json:"before,omitempty"`
	Patches []Patch  `json:"patches"`
	Wave    string   `json:"wave,omitempty"` // in which it is told, when there are several: "1 of 3 (canary)"
}

// Patch is a newer package, and whose it is to fix.
type Patch struct {
	Package      string    `json:"package"`
	Architecture string    `json:"architecture,omitempty"`
	Source       string    `json:"source,omitempty"`
	From         string    `json:"from"`
	To           string    `json:"to"`
	Repository   string    `json:"repository"`
	Held         bool      `json:"held,omitempty"`
	PublishedAt  time.Time `json:"published_at,omitzero"`
	FixedBy      string    `json:"fixed_by"` // the image whose rebuild brings it in
}

// NotDone is something that one could expect to be done and is not.
type NotDone struct {
	Image   string    `json:"image"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	Who     string    `json:"who,omitempty"`
	Unknown bool      `json:"unknown,omitempty"`
}

// Input is one fact that a plan rests on.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Applied is the answer to applying a plan.
type Applied struct {
	Plan    string `json:"plan"`
	Rollout string `json:"rollout"`
}

// Rollout is one cause and all its consequences.
type Rollout struct {
	ID          string         `json:"id"`
	Plan        string         `json:"plan"`
	Cause       string         `json:"cause"`
	Title       string         `json:"title"`
	State       string         `json:"state"`
	Reason      string         `json:"reason,omitempty"`
	CreatedAt   time.Time      `json:"created_at"`
	StartedAt   time.Time      `json:"started_at,omitzero"`
	EndedAt     time.Time      `json:"ended_at,omitzero"`
	PublishedAt time.Time      `json:"published_at,omitzero"` // when the distribution published the patch
	NoticedAt   time.Time      `json:"noticed_at,omitzero"`
	Images      int            `json:"images"` // denominator of Ended, Good and States
	Ended       int            `json:"ended"`
	Good        int            `json:"good"` // done or unchanged: one that was skipped may have been skipped behind a failure
	States      map[string]int `json:"states"`
	Stages      []Stage        `json:"stages,omitempty"`   // where the fix is now
	Critical    string         `json:"critical,omitempty"` // why it waits for no wave, soak and freeze
	StopAt      int            `json:"stop_at,omitempty"`  // the last tier that is begun; the first is 1
	HeldSince   time.Time      `json:"held_since,omitzero"`
	Waves       []Wave         `json:"waves,omitempty"` // of one that runs
	Nodes       []Node         `json:"nodes,omitempty"`
	Proposals   []Proposal     `json:"proposals,omitempty"`
}

// Rollouts is a listing, newest first.
type Rollouts struct {
	Now      time.Time `json:"now"`
	AsOf     time.Time `json:"as_of"`
	Total    int       `json:"total"` // how many there are
	Rollouts []Rollout `json:"rollouts"`
}

// RolloutDetail is one rollout with its images and proposals.
type RolloutDetail struct {
	Now  time.Time `json:"now"`
	AsOf time.Time `json:"as_of"`
	Rollout
}

// Node is one image in one rollout.
type Node struct {
	Rollout  string    `json:"rollout"`
	Image    string    `json:"image"`
	Kind     string    `json:"kind"`
	Tier     int       `json:"tier"`
	State    string    `json:"state"`
	Sentence string    `json:"sentence"` // what it does or waits for, or how it ended
	Then     string    `json:"then"`     // what happens next; empty when nothing does
	Since    time.Time `json:"since"`    // of State
	Next     time.Time `json:"next,omitzero"`
	Who      string    `json:"who,omitempty"`
	Attempt  int       `json:"attempt"`
	Action   string    `json:"action,omitempty"`
	Reasons  []string  `json:"reasons,omitempty"` // why it is in the rollout
	Before   string    `json:"before,omitempty"`
	After    string    `json:"after,omitempty"`
	Build    string    `json:"build,omitempty"` // id, for the log
	URL      string    `json:"url,omitempty"`
	Number   int       `json:"number,omitempty"` // of the pull request
	Changes  []Change  `json:"changes,omitempty"`
	Missing  []string  `json:"missing,omitempty"` // patches that the rebuild did not take
	Proven   bool      `json:"proven,omitempty"`  // by layers
	Checks   []string  `json:"checks,omitempty"`  // what came of judging, testing and trying it, a sentence each
	Ended    bool      `json:"ended"`
}

// Change is one package that differs between two digests.
type Change struct {
	Package string `json:"package"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
}

// Proposal is what an application was told, and how far it has come since.
type Proposal struct {
	Application string            `json:"application"`
	Repository  string            `json:"repository"`
	Branch      string            `json:"branch"`
	Strategy    string            `json:"strategy"`
	State       string            `json:"state"`
	Number      int               `json:"number,omitempty"`
	URL         string            `json:"url,omitempty"`
	Wants       map[string]string `json:"wants"` // base -> digest
	Reason      string            `json:"reason,omitempty"`
	CreatedAt   time.Time         `json:"created_at"`
	OpenedAt    time.Time         `json:"opened_at,omitzero"`
	MergedAt    time.Time         `json:"merged_at,omitzero"`
	BuiltAt     time.Time         `json:"built_at,omitzero"`
	EndedAt     time.Time         `json:"ended_at,omitzero"`
}

// Build is the record of one build.
type Build struct {
	ID      string            `json:"id"`
	Rollout string            `json:"rollout"`
	Image   string            `json:"image"`
	State   string            `json:"state"` // running, done, failed or lost
	Started time.Time         `json:"started_at"`
	Ended   time.Time         `json:"ended_at,omitzero"`
	Digest  string            `json:"digest,omitempty"`
	Problem string            `json:"problem,omitempty"`
	Recipe  string            `json:"recipe,omitempty"`
	Parents map[string]string `json:"parents,omitempty"`
	Steps   int               `json:"steps"`
	Cached  int               `json:"cached"` // of Steps
	LogTail []string          `json:"log_tail,omitempty"`
	Lines   []string          `json:"lines,omitempty"` // of the Dockerfile, where it failed

	Platform string            `json:"platform,omitempty"`
	Source   string            `json:"source,omitempty"` // of a trial: "acme/web@<commit>"
	Trial    string            `json:"trial,omitempty"`  // the base whose candidate it tried; left out: it was no trial
	Args     map[string]string `json:"args,omitempty"`
	Secrets  []string          `json:"secrets,omitempty"` // names
	Worker   string            `json:"worker,omitempty"`
	Doubt    string            `json:"doubt,omitempty"` // why every RUN was keyed by the repositories' state
	Took     []BuildStep       `json:"took,omitempty"`  // the steps, in the order in which they began
	Warnings []Remark          `json:"warnings,omitempty"`
	Inputs   []Material        `json:"inputs,omitempty"`
	// Fetched is what RUN steps fetched over HTTP, where that was recorded; of a step from the cache it is not known.
	Fetched []Material `json:"fetched,omitempty"`
	// Provenance says that GET .../provenance has the SLSA predicate.
	Provenance bool      `json:"provenance,omitempty"`
	Now        time.Time `json:"now,omitzero"` // left out in a list, which has it once
}

// BuildStep is one step of a build.
type BuildStep struct {
	Name    string        `json:"name"`
	Cached  bool          `json:"cached,omitempty"`
	Took    time.Duration `json:"took_ns"`
	Problem string        `json:"problem,omitempty"`
}

// Remark is what the builder says of a Dockerfile.
type Remark struct {
	Text  string   `json:"text"`
	Lines []string `json:"lines,omitempty"`
	URL   string   `json:"url,omitempty"`
}

// Material is one resolved input of a build.
type Material struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

// Builds are the newest builds, newest first, without their steps, inputs and logs.
type Builds struct {
	Now    time.Time `json:"now"`
	Image  string    `json:"image,omitempty"` // only of this one
	Builds []Build   `json:"builds"`
	More   bool      `json:"more,omitempty"` // there are older ones
}

// Graph is which image stands on which.
type Graph struct {
	Now    time.Time `json:"now"`
	AsOf   time.Time `json:"as_of,omitzero"`
	Fleet  Fleet     `json:"fleet"`
	Images []Image   `json:"images"`
	Edges  []Edge    `json:"edges"`
	// Disagreements are where the evidence does not fit together.
	Disagreements []Disagreement `json:"disagreements"`
	// Unlisted are parents that images claim and that are not in the graph.
	Unlisted []Unlisted `json:"unlisted"`
}

// Disagreement is what a recipe or a claim says of an image, and is not so as far as is believed.
type Disagreement struct {
	Image    string `json:"image"`
	Platform string `json:"platform,omitempty"`
	Sentence string `json:"sentence"` // about Image, without its name
}

// Edge says that Child is built on Parent, and why that is believed.
type Edge struct {
	Parent   string `json:"parent"`
	Child    string `json:"child"`
	Kind     string `json:"kind"`
	Evidence string `json:"evidence"`           // recipe, annotation, provenance or layers, which are proof
	Platform string `json:"platform,omitempty"` // left out: all that are known
	Digest   string `json:"digest,omitempty"`   // of the parent: what the child stands on or, of a recipe, will
	Where    string `json:"where,omitempty"`
}

// Why is everything about one image: what it stands on, what is newer, what happened, what is waited for.
type Why struct {
	Now     time.Time   `json:"now"`
	AsOf    time.Time   `json:"as_of,omitzero"`
	Image   Image       `json:"image"`
	Chain   []Link      `json:"chain"` // from the image up to what nobody of us builds
	Uses    []Link      `json:"uses"`  // besides: builder stages and copies
	Built   []Edge      `json:"built"` // what the published image inherits from: by platform, where they differ
	Patches []Patch     `json:"patches"`
	NotDone []NotDone   `json:"not_done"`
	Waits   *Wait       `json:"waits,omitempty"`
	Last    []Node      `json:"last"` // what rollouts did with it, newest first
	LogTail []string    `json:"log_tail,omitempty"`
	Package *PackageWhy `json:"package,omitempty"`
	// Disagreements are where what is known of it does not fit together, a sentence each.
	Disagreements []string `json:"disagreements,omitempty"`
	// Unlisted are parents that it claims and that the catalog does not name.
	Unlisted []Unlisted `json:"unlisted,omitempty"`
	// Untaken is what an upstream's reference points to when that is not Image.Digest; left out otherwise.
	Untaken *Untaken `json:"untaken,omitempty"`
}

// Link is one edge of the chain, as it is today.
type Link struct {
	Edge
	ParentDigest string    `json:"parent_digest,omitempty"`
	ParentSeenAt time.Time `json:"parent_seen_at,omitzero"`
	// Standing is "proven" (the parent's layers are the child's first), "older" (they are not: the child stands on an
	// older parent), or "unproven" with the reason in Note.
	Standing string `json:"standing"`
	Note     string `json:"note,omitempty"`
}

// Wait is what is waited for.
type Wait struct {
	For     string    `json:"for"`
	Since   time.Time `json:"since,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	Then    string    `json:"then,omitempty"`
	Who     string    `json:"who,omitempty"`
	Rollout string    `json:"rollout,omitempty"`
	URL     string    `json:"url,omitempty"`
}

// Indexes is how old what is known of package repositories is.
type Indexes struct {
	Count     int       `json:"count"`               // repositories read at the last look at them
	Problems  int       `json:"problems"`            // of Count: not to be had anew, an older index is used
	CheckedAt time.Time `json:"checked_at,omitzero"` // when the first of them was read
}

// Affected says which images have a package, or stand on a digest. Has, Below, Clean and Unknown add up to Images.
type Affected struct {
	Now      time.Time `json:"now"`
	AsOf     time.Time `json:"as_of,omitzero"`
	Indexes  Indexes   `json:"indexes"`
	Asked    string    `json:"asked"`
	Kind     string    `json:"kind"` // package, digest or advisory
	Name     string    `json:"name"`
	Op       string    `json:"op,omitempty"` // "=", "<" or "<=": only such versions
	Version  string    `json:"version,omitempty"`
	Sentence string    `json:"sentence"`
	// Unanswered says why the question cannot be answered at all; then the numbers mean nothing.
	Unanswered string       `json:"unanswered,omitempty"`
	Images     int          `json:"images"`   // of the graph
	Observed   int          `json:"observed"` // of Images: declared by nobody
	Has        int          `json:"has"`      // have it, each image once
	Below      int          `json:"below"`    // do not show it, and may have it from one that has
	Clean      int          `json:"clean"`    // were read and do not have it
	Partly     int          `json:"partly"`   // of Clean: hold files that are in no package database, too
	Unknown    int          `json:"unknown"`  // were not read
	Found      []Found      `json:"found"`
	Downstream []Downstream `json:"downstream"`
	NotKnown   []NotKnown   `json:"not_known"`
	// Earlier are digests that no image points to any more; Found and Earlier together are all that is stored. They are
	// counted always and listed, the newest first and not more than 1,000, when they are asked for.
	Earlier      []Found `json:"earlier"`
	EarlierCount int     `json:"earlier_count"`
	// Near are names that come near when no inventory has the one that was asked for.
	Near []string `json:"near,omitempty"`

	// Of an advisory: what is known of it, as of when; of Has, how many images have nothing of it that is not accepted by an
	// exception; how many have it only in packages that statements say are not affected, which Has does not count; and how many
	// of Clean have packages besides that no source has advisories for.
	Advisory     *AdvisoryFacts `json:"advisory,omitempty"`
	AdvisoriesAt time.Time      `json:"advisories_as_of,omitzero"`
	Accepted     int            `json:"accepted,omitempty"`
	NotAffected  int            `json:"not_affected,omitempty"`
	Uncovered    int            `json:"uncovered,omitempty"`
}

// AdvisoryFacts are what is known of one advisory. Its texts are those of others.
type AdvisoryFacts struct {
	ID             string            `json:"id"` // its CVE where it has one
	Aliases        []string          `json:"aliases"`
	Summary        string            `json:"summary,omitempty"`
	Severity       string            `json:"severity"`
	Score          float64           `json:"score,omitempty"`  // CVSS
	Vector         string            `json:"vector,omitempty"` // CVSS
	Exploited      bool              `json:"exploited"`        // known to be
	ExploitedSince time.Time         `json:"exploited_since,omitzero"`
	EPSS           *float64          `json:"epss,omitempty"` // left out: not known
	PublishedAt    time.Time         `json:"published_at,omitzero"`
	ModifiedAt     time.Time         `json:"modified_at,omitzero"`
	Withdrawn      bool              `json:"withdrawn,omitempty"`
	Packages       []AdvisoryPackage `json:"packages"`
	Sources        []string          `json:"sources"` // that have it
}

// AdvisoryPackage is a package that an advisory is about.
type AdvisoryPackage struct {
	Ecosystem string   `json:"ecosystem"`
	Name      string   `json:"name"`  // of the source, where records name sources
	Fixed     []string `json:"fixed"` // versions with the fix; none: no patch yet
}

// Found is one package in one image, or one image that stands on a digest or names it.
type Found struct {
	Image        string     `json:"image"`
	Kind         string     `json:"kind,omitempty"`
	Owner        string     `json:"owner,omitempty"`
	State        ImageState `json:"state,omitempty"`
	Digest       string     `json:"digest"`
	ReadAt       time.Time  `json:"read_at,omitzero"` // of an earlier digest
	Type         string     `json:"type,omitempty"`   // deb, apk or rpm
	Package      string     `json:"package,omitempty"`
	Version      string     `json:"version,omitempty"`
	Architecture string     `json:"architecture,omitempty"`
	Source       string     `json:"source,omitempty"`
	Held         bool       `json:"held,omitempty"`
	Layer        int        `json:"layer,omitempty"`      // 1 is the lowest
	Layers       int        `json:"layers,omitempty"`     // how many the image has
	BroughtBy    string     `json:"brought_by,omitempty"` // the image whose layer it is
	Proven       bool       `json:"proven,omitempty"`     // BroughtBy is proven by layers
	FixedBy      string     `json:"fixed_by,omitempty"`   // the lowest image of ours that can bring a newer one in
	Newer        *Patch     `json:"newer,omitempty"`      // known and not in the image
	NewerUnknown string     `json:"newer_unknown,omitempty"`
	How          string     `json:"how,omitempty"` // what it has to do with the digest

	// Of an advisory: the first version with the fix, of the source where records name sources, and whether what is newer has it;
	// in words; and what the policies, exceptions and statements make of it.
	FixedIn   string    `json:"fixed_in,omitempty"`
	Offered   bool      `json:"offered,omitempty"`
	Fix       string    `json:"fix,omitempty"`
	Outcome   string    `json:"outcome,omitempty"` // fails, observed, grace, below, excepted or not-affected
	Reason    string    `json:"reason,omitempty"`
	Exception string    `json:"exception,omitempty"` // that excuses it
	Until     time.Time `json:"until,omitzero"`      // the exception or the grace
}

// Downstream is an image that may have what was asked for from its parents: nobody read what is inside, or it was made with
// something that has it and what came along of that is in no package database.
type Downstream struct {
	Image string     `json:"image"`
	Kind  string     `json:"kind"`
	Owner string     `json:"owner,omitempty"`
	State ImageState `json:"state"`
	Via   string     `json:"via"`  // the parent through which
	Edge  string     `json:"edge"` // how it uses Via
	Read  bool       `json:"read"` // what is inside was read, and does not show it
	Note  string     `json:"note"` // why it is listed
}

// NotKnown is an image of which a question cannot be answered.
type NotKnown struct {
	Image  string `json:"image"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

// Images is a list of images.
type Images struct {
	Now    time.Time `json:"now"`
	AsOf   time.Time `json:"as_of,omitzero"`
	Fleet  Fleet     `json:"fleet"` // all images, whatever was asked for
	Images []Listed  `json:"images"`
}

// Listed is one image of a list.
type Listed struct {
	Image
	StandsOn string `json:"stands_on,omitempty"` // the image that its packages flow from
	Standing string `json:"standing,omitempty"`  // see Link
	Packages *int   `json:"packages,omitempty"`  // how many are in it; left out: not read
	// Verdict is the last on the digest; left out: it was not judged yet.
	Verdict *Judged `json:"verdict,omitempty"`
}

// Pin is a rule of an image on which versions of a package its package manager may install.
type Pin struct {
	Rule  string `json:"rule"`
	Where string `json:"where"` // the file in the image
}

// PackageWhy is where one package of an image comes from.
type PackageWhy struct {
	Name         string `json:"name"`
	Installed    bool   `json:"installed"`
	Version      string `json:"version,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Source       string `json:"source,omitempty"`
	Held         bool   `json:"held,omitempty"`
	Layer        int    `json:"layer,omitempty"`  // 1 is the lowest
	Layers       int    `json:"layers,omitempty"` // how many the image has
	BroughtBy    string `json:"brought_by,omitempty"`
	Proven       bool   `json:"proven"`          // BroughtBy is proven by layers
	Newer        *Patch `json:"newer,omitempty"` // known and not in the image
	// FixedBy is the image whose rebuild brings in what is newer; while nothing is, the lowest of ours that could.
	FixedBy  string `json:"fixed_by,omitempty"`
	Sentence string `json:"sentence"`
	Unknown  string `json:"unknown,omitempty"` // why nothing is known
	// Binaries are all packages of the image that are built from the source Name, when no package has that name; the rest is
	// then of the first of them.
	Binaries []string `json:"binaries,omitempty"`
	Pins     []Pin    `json:"pins,omitempty"`
	// NewerUnknown says why there may be a newer one all the same, when Newer is left out.
	NewerUnknown string `json:"newer_unknown,omitempty"`
	// Planned says what the last plan does about it; empty when nothing.
	Planned string `json:"planned,omitempty"`
	// In are the images that have it, when this one does not.
	In []string `json:"in,omitempty"`
	// Advisory says that Name is an advisory's id. The rest is then of Package, the first that it hits; Hits are all.
	Advisory bool           `json:"advisory,omitempty"`
	Package  string         `json:"package,omitempty"`
	Facts    *AdvisoryFacts `json:"facts,omitempty"`
	Hits     []Found        `json:"hits,omitempty"`
}

// Event is one line of the audit log.
type Event struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Kind   string    `json:"kind"` // human or automation
	Rule   string    `json:"rule,omitempty"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
}

// Audit is a page of the audit log, the last written first.
type Audit struct {
	Now    time.Time `json:"now"`
	Events []Event   `json:"events"`
	Before string    `json:"before,omitempty"` // ask with ?before= this for the next page
}
