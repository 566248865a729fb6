package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// Reasons, log lines and names come from images, registries and repositories of others. On a terminal a control
// character in them could move the cursor, hide text or worse, so none is ever printed.

// sequences are the terminal's own: colours and the like, which say nothing in plain text.
var sequences = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)?`)

// cleanText leaves line ends and tabs and makes other control characters visible.
func cleanText(s string) string {
	return scrub(strings.ReplaceAll(s, "\r\n", "\n"), "\n\t")
}

// cleanLine makes one line of a text.
func cleanLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' }), " ")
	return scrub(strings.ReplaceAll(s, "\t", " "), "")
}

func scrub(s, allowed string) string {
	if strings.IndexFunc(s, func(c rune) bool { return hostile(c) && !strings.ContainsRune(allowed, c) }) < 0 {
		return s
	}
	s = sequences.ReplaceAllString(s, "")
	var b strings.Builder
	for _, c := range s {
		if hostile(c) && !strings.ContainsRune(allowed, c) {
			fmt.Fprintf(&b, "\\u%04x", c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// hostile are control characters and those that turn the direction of writing or cannot be seen.
func hostile(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029'
}

// clean makes one clean line of every string that v, a pointer, holds.
func clean(v any) { cleanValue(reflect.ValueOf(v).Elem()) }

func cleanValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(cleanLine(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			cleanValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				cleanValue(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			cleanValue(v.Index(i))
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.String {
			for _, k := range v.MapKeys() {
				v.SetMapIndex(k, reflect.ValueOf(cleanLine(v.MapIndex(k).String())).Convert(v.Type().Elem()))
			}
		}
	}
}

// stepStamp is what BuildKit writes before each line of a step's output: "#7 0.814 ".
var stepStamp = regexp.MustCompile(`^#\d+ \d+(\.\d+)? `)

// overwritten is what a terminal would have shown in the end of a line that was written over, as progress bars are.
func overwritten(line string) string {
	i := strings.LastIndexByte(line, '\r')
	if i < 0 {
		return line
	}
	return stepStamp.FindString(line) + line[i+1:]
}

const longestLine = 64 << 10 // bytes of a log's line; what is longer is cut into several

// copyClean copies a log line by line, each as soon as it is there.
func copyClean(w io.Writer, r io.Reader) error {
	in := bufio.NewReaderSize(r, longestLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if _, err := fmt.Fprintln(w, cleanText(overwritten(strings.TrimRight(string(line), "\r\n")))); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
