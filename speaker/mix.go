package speaker

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Mix is a mixture of speakers: one or more, each once, with weights from 0 to 1 that sum to 1.
type Mix []Share

// Share is a speaker in a [Mix].
type Share struct {
	ID     int32
	Weight float64
}

// Mix returns the mixture that a text stands for. A text that is the name of a speaker, as it is written, is that speaker.
// Otherwise it is NAME:WEIGHT,NAME:WEIGHT,... with weights above 0 in any proportion: "ann:0.7,bob:0.3" and "ann:7,bob:3" are
// the same. A weight is what stands behind the last colon of its part, and a part ends at the first comma behind a weight: names
// may hold colons and commas.
//
// The error is an [*UnknownError] if a name is not in the table.
func (t *Table) Mix(text string) (Mix, error) {
	if id, ok := t.ids[text]; ok {
		return Mix{{id, 1}}, nil
	}
	var mix Mix
	seen := map[int32]bool{}
	for more := true; more; {
		var part string
		part, text, more = cutPart(text)
		name, number, ok := cutWeight(part)
		switch {
		case !ok && len(mix) == 0: // a name that is not there
			_, err := t.ID(part)
			return nil, err
		case !ok:
			return nil, fmt.Errorf("speaker %q has no weight: want NAME:WEIGHT,NAME:WEIGHT", part)
		}
		weight, err := strconv.ParseFloat(number, 64)
		if err != nil || !(weight > 0) || math.IsInf(weight, 1) {
			return nil, fmt.Errorf("weight %s of speaker %q: want a number above 0", number, name)
		}
		id, err := t.ID(name)
		if err != nil {
			return nil, err
		}
		if seen[id] {
			return nil, fmt.Errorf("speaker %q is there twice", name)
		}
		seen[id] = true
		mix = append(mix, Share{id, weight})
	}
	mix.normalise()
	return mix, nil
}

// cutPart returns the text up to the first comma that a weight stands before, and what follows; all of it if there is none.
func cutPart(text string) (part, rest string, more bool) {
	from := 0
	for i := range len(text) {
		switch text[i] {
		case ':':
			from = i + 1
		case ',':
			if from > 0 && isNumber(text[from:i]) {
				return text[:i], text[i+1:], true
			}
		}
	}
	return text, "", false
}

// cutWeight returns what stands before and behind the last colon, if that is a number.
func cutWeight(part string) (name, weight string, ok bool) {
	i := strings.LastIndexByte(part, ':')
	if i < 0 || !isNumber(part[i+1:]) {
		return "", "", false
	}
	return part[:i], part[i+1:], true
}

// isNumber reports whether the text is meant as a number, even one that is no weight: "-1", "NaN", "1e999".
func isNumber(text string) bool {
	const longest = 64 // so that the work does not grow with the square of a text without end
	if len(text) > longest {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// normalise divides the weights by their sum, which may be beyond the largest number.
func (m Mix) normalise() {
	largest, sum := 0.0, 0.0
	for _, s := range m {
		largest = max(largest, s.Weight)
	}
	for _, s := range m {
		sum += s.Weight / largest
	}
	for i := range m {
		m[i].Weight = m[i].Weight / largest / sum
	}
}
