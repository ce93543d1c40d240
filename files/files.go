// Package files holds the two rules of files that every reader and writer of this module keeps. What comes in is not
// trusted: bytes that are not what they should be are a [FormatError] or an [UnsupportedError], never a panic, and no
// length is believed before its bytes are there. What goes out is whole or absent: [Create] writes to a temporary file,
// and [File.Commit] syncs and renames it.
package files

import (
	"fmt"
	"strings"
)

// FormatError says that a file holds something other than its format demands.
type FormatError struct {
	File     string // as the user named it; "-" is standard input, "" not known
	Offset   int64  // bytes from the start of the file; -1 in a text file, and where there is no place
	Line     int    // of a text file, from 1; otherwise 0
	Found    string // what is there
	Expected string // what should be
}

// Error names the file, the place, what was found there and what was expected.
func (e *FormatError) Error() string {
	var s strings.Builder
	s.WriteString(place(e.File, e.Offset, e.Line))
	fmt.Fprintf(&s, "found %s", e.Found)
	if e.Expected != "" {
		fmt.Fprintf(&s, ", expected %s", e.Expected)
	}
	return s.String()
}

// UnsupportedError says that a file is valid, as far as was read, but in a form that this module does not read.
type UnsupportedError struct {
	File   string // as the user named it
	Offset int64  // bytes from the start of the file to where the form is named
	What   string // the form, by name: "GSM 6.10 in WAV"
}

// Error names the file, the place and the form.
func (e *UnsupportedError) Error() string {
	return place(e.File, e.Offset, 0) + e.What + " is not supported"
}

func place(file string, offset int64, line int) string {
	switch {
	case file == "-":
		file = "standard input"
	case file == "":
		file = "input"
	}
	switch {
	case line > 0:
		return fmt.Sprintf("%s: line %d: ", file, line)
	case offset < 0:
		return file + ": "
	}
	return fmt.Sprintf("%s: at byte %d: ", file, offset)
}
