package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/vqaudio/vqaudio/files"
)

// readUnitsFile reads a file of units: see readUnits.
func readUnitsFile(name string) ([]int32, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readUnits(f, name)
}

// readUnits reads whole numbers from 0 to 2^31-1, at least one, parted by white space. What else there is is a
// *files.FormatError with its line; errors call the file name.
func readUnits(r io.Reader, name string) ([]int32, error) {
	const expected = "units: whole numbers from 0 to 2147483647, parted by spaces or lines"
	const longest = 20 // bytes of a number that are looked at
	in := bufio.NewReader(r)
	var units []int32
	var word []byte
	for line := 1; ; {
		b, err := in.ReadByte()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if end := err != nil; !end && b > ' ' {
			if len(word) < longest {
				word = append(word, b)
			}
			continue
		}
		if len(word) > 0 {
			unit, ok := parseUnit(word)
			if !ok || len(word) == longest {
				return nil, &files.FormatError{File: name, Offset: -1, Line: line, Found: fmt.Sprintf("%q", word), Expected: expected}
			}
			units = append(units, unit)
			word = word[:0]
		}
		switch {
		case err != nil && len(units) == 0:
			return nil, &files.FormatError{File: name, Offset: -1, Line: line, Found: "no number", Expected: expected}
		case err != nil:
			return units, nil
		case b == '\n':
			line++
		case b != ' ' && b != '\t' && b != '\r':
			return nil, &files.FormatError{File: name, Offset: -1, Line: line, Found: fmt.Sprintf("the byte %#02x", b), Expected: expected}
		}
	}
}

// parseUnit reads digits.
func parseUnit(word []byte) (int32, bool) {
	v := int64(0)
	for _, b := range word {
		if b < '0' || b > '9' {
			return 0, false
		}
		if v = 10*v + int64(b-'0'); v > math.MaxInt32 {
			return 0, false
		}
	}
	return int32(v), true
}
