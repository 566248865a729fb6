package secret

import (
	"bytes"
	"iter"
)

const (
	windowSize = 16 << 10
	overlap    = 2 << 10 // what two windows share, so that a secret on a border is whole in one of them
)

// window is a part of a file that is searched at once.
type window struct {
	start, end int
	// cutBefore and cutAfter say that it begins or ends within a line.
	cutBefore, cutAfter bool
}

// windows divides content into parts, at the ends of lines where there are any.
func windows(content []byte) iter.Seq[window] {
	return func(yield func(window) bool) {
		w := window{}
		for {
			w.end, w.cutAfter = windowEnd(content, w.start)
			if !yield(w) || w.end == len(content) {
				return
			}
			w.start, w.cutBefore = nextStart(content, w.end)
		}
	}
}

func windowEnd(content []byte, start int) (end int, cut bool) {
	if len(content)-start <= windowSize {
		return len(content), false
	}
	end = start + windowSize
	if i := bytes.LastIndexByte(content[start+2*overlap:end], '\n'); i >= 0 {
		return start + 2*overlap + i + 1, false
	}
	return end, true
}

func nextStart(content []byte, end int) (start int, cut bool) {
	start = end - overlap
	if i := bytes.IndexByte(content[start-1:end-1], '\n'); i >= 0 {
		return start + i, false
	}
	return start, true
}
