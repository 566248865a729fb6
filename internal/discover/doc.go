// Package discover finds images and repositories that nobody declared: it walks registries and the forge's organisations,
// and writes down what stands on the bases of the catalog. It reads; the store is the only thing that it writes.
//
//	registry        page of repositories -> tags -> a few of them -> digest -> new? -> manifests and configurations
//	organisation    page of repositories -> pushed to? -> commit -> new? -> tree -> Dockerfiles that changed
//
// # Walks
//
// Each place is walked again and again, each walk in as many slices as it takes. Run does one slice of each place that is
// due: as many requests as its budget has, and always one thing at least. After each repository the rows that were found
// and how far the walk has come are one transaction, so a walk that was killed goes on behind the last one, after the pause
// between two slices: until then it is taken for alive, and nobody else walks there. Should two processes walk the same
// place nevertheless, the version of the walk lets one of them stop at its next step.
//
// A walk is due an interval after the last one ended, by the interval of now, and at once when the catalog has come to look
// for something else there: but always after the pause, as far as the last slice spent its budget, and never before the
// time that the other side asked for.
//
// What a walk does not see is not gone for that: a list by page can skip an entry while another one is deleted. When all
// pages are done, what was not seen is looked at by itself; it is gone when the registry or the forge says so. What could
// not be looked at is kept, with the reason in Unknown.
//
// # Evidence
//
// An image stands on a base when the base's layers are the beginning of its own, in the same order; the base's inventory
// in the store has them. What annotations claim is only told. A repository stands on what its Dockerfiles name.
//
// # Leaving room
//
// Discovery must never be in the way of pull requests. It asks one thing at a time and only reads; a budget bounds each
// slice, and the pause between slices is a part of the bound (200 requests each 10 minutes are 1,200 of the 5,000 an hour
// that GitHub grants, and conditional requests that find nothing new count for nothing); and when the forge says that less
// than half of what it grants is left, a slice ends until that is renewed. Rate limits end a slice, too.
package discover
