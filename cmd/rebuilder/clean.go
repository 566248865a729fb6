package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"rebuilder/internal/legible"
)

func cleanText(s string) string { return legible.Text(s) }
func cleanLine(s string) string { return legible.Line(s) }

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
