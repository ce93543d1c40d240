package alignment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// textGridExt is the extension of TextGrids in a folder.
const textGridExt = ".TextGrid"

// readTextGrid reads the content of a TextGrid: the utterance is called as given.
//
// Of a text file of Praat only what stands by itself counts: texts in quotation marks, numbers, and flags in pointed brackets. All else is
// there for people. So the long and the short format are the same sequence:
//
//	"ooTextFile" "TextGrid" xmin xmax <exists> tiers
//	"IntervalTier" name xmin xmax intervals, each of them xmin xmax text
//	"TextTier" name xmin xmax points, each of them number mark
func (b *builder) readTextGrid(data []byte, called, tier string) error {
	text, err := b.decode(data)
	if err != nil {
		return err
	}
	g := &grid{builder: b, rest: text, line: 1}
	u := Utterance{Path: trimSound(called)}
	names, found := []string(nil), false
	tiers := g.header()
	for i := 0; i < tiers && g.err == nil; i++ {
		class := g.text("the class of a tier")
		if class != "IntervalTier" && class != "TextTier" {
			g.wrong("a tier of class "+quote(class), "IntervalTier or TextTier")
		}
		name := g.text("the name of a tier")
		from, to := g.number("the start of a tier"), g.number("the end of a tier")
		if g.err == nil && !(from <= to) {
			g.wrong(fmt.Sprintf("a tier from %v to %v", from, to), "its start before its end")
		}
		elements := g.size("the number of intervals or points")
		wanted := class == "IntervalTier" && name == tier
		if wanted && found && g.err == nil {
			g.wrong(fmt.Sprintf("another interval tier called %s", quote(tier)), "one")
		}
		found = found || wanted
		if class == "IntervalTier" {
			names = append(names, name)
			for k := 0; k < elements && g.err == nil; k++ {
				start, end, label := g.number("the start of an interval"), g.number("the end of an interval"), g.text("the text of an interval")
				if wanted && g.err == nil {
					g.err = b.add(&u, g.at, start, end, strings.TrimSpace(label))
				}
			}
			continue
		}
		for k := 0; k < elements && g.err == nil; k++ {
			g.number("the time of a point")
			g.text("the mark of a point")
		}
	}
	if g.err == nil && !found {
		g.at = 0
		g.wrong(fmt.Sprintf("the interval tiers %s", listed(names)), "one called "+quote(tier))
	}
	if g.err == nil {
		b.utterances = append(b.utterances, u)
	}
	return g.err
}

// listed quotes the first few of a list.
func listed(names []string) string {
	const most = 10
	var s []string
	for _, n := range names[:min(most, len(names))] {
		s = append(s, quote(n))
	}
	if len(names) > most {
		s = append(s, "...")
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// hasUTF16Mark says whether data begins with a byte order mark of UTF-16.
func hasUTF16Mark(data []byte) bool {
	return len(data) >= 2 && (data[0] == 0xfe && data[1] == 0xff || data[0] == 0xff && data[1] == 0xfe)
}

// decode returns the text of a file in UTF-8, or in UTF-16 with a byte order mark.
func (b *builder) decode(data []byte) (string, error) {
	if !hasUTF16Mark(data) {
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
		for i := 0; i < len(data); {
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n == 1 || r == 0 {
				return "", b.wrong(1+bytes.Count(data[:i], []byte{'\n'}), fmt.Sprintf("byte %#02x", data[i]), "text in UTF-8, or in UTF-16 with a byte order mark")
			}
			i += n
		}
		return string(data), nil
	}
	order := binary.ByteOrder(binary.BigEndian)
	if data[0] == 0xff {
		order = binary.LittleEndian
	}
	if len(data)%2 != 0 {
		return "", b.wrong(0, fmt.Sprintf("%d bytes of UTF-16", len(data)), "an even number")
	}
	words := make([]uint16, len(data)/2-1)
	for i := range words {
		words[i] = order.Uint16(data[2+2*i:])
	}
	return string(utf16.Decode(words)), nil
}

// grid goes through the text of a TextGrid. After the first error it does nothing.
type grid struct {
	*builder
	rest string
	line int // of rest
	at   int // line of the last token
	err  error
}

func (g *grid) wrong(found, expected string) {
	if g.err == nil {
		g.err = g.builder.wrong(g.at, found, expected)
	}
}

// header reads what comes before the tiers and returns their number.
func (g *grid) header() int {
	if file := g.text("\"ooTextFile\""); g.err == nil && file != "ooTextFile" && file != "ooTextFile short" {
		g.wrong(quote(file), `"ooTextFile"`)
	}
	if class := g.text("the class of the object"); g.err == nil && class != "TextGrid" {
		g.wrong("an object of class "+quote(class), `"TextGrid"`)
	}
	g.number("the start of the TextGrid")
	g.number("the end of the TextGrid")
	switch t := g.next(); {
	case t.kind == flag && t.text == "<exists>":
		return g.size("the number of tiers")
	case t.kind == flag && t.text == "<absent>":
		return 0
	default:
		g.wrong(t.String(), "<exists>")
		return 0
	}
}

func (g *grid) text(what string) string {
	t := g.next()
	if t.kind != text {
		g.wrong(t.String(), what+", in quotation marks")
	}
	return t.text
}

func (g *grid) number(what string) float64 {
	t := g.next()
	if t.kind != number {
		g.wrong(t.String(), what+", a number")
	}
	return t.value
}

// size reads a whole number, which may be any: nothing is to be allocated for it.
func (g *grid) size(what string) int {
	v := g.number(what)
	if g.err == nil && !(v >= 0 && v < 1<<31 && v == float64(int64(v))) {
		g.wrong(fmt.Sprint(v), what)
	}
	if g.err != nil {
		return 0
	}
	return int(v)
}

// token is what counts in a text file of Praat.
type token struct {
	kind  tokenKind
	text  string  // of a text, without its quotation marks; as it stands otherwise
	value float64 // of a number
}

type tokenKind int

const (
	end tokenKind = iota
	text
	number
	flag
)

func (t token) String() string {
	if t.kind == end {
		return "the end of the file"
	}
	return quote(t.text)
}

const blanks = " \t\r\n"

// next returns the next token.
func (g *grid) next() token {
	for g.err == nil {
		g.skip(len(g.rest) - len(strings.TrimLeft(g.rest, blanks)))
		g.at = g.line
		if g.rest == "" {
			break
		}
		switch g.rest[0] {
		case '"':
			return g.quoted()
		case '!': // a comment
			n := strings.IndexAny(g.rest, "\r\n")
			if n < 0 {
				n = len(g.rest)
			}
			g.skip(n)
			continue
		}
		n := strings.IndexAny(g.rest, blanks+`"`)
		if n < 0 {
			n = len(g.rest)
		}
		word := g.rest[:n]
		g.skip(n)
		if v, ok := parseSeconds(word); ok {
			return token{number, word, v}
		}
		if word[0] == '<' && word[len(word)-1] == '>' {
			return token{flag, word, 0}
		}
	}
	return token{}
}

// quoted returns the text that begins at rest, in which a quotation mark is written twice.
func (g *grid) quoted() token {
	doubled := false
	for i := 1; i < len(g.rest); i++ {
		if g.rest[i] != '"' {
			continue
		}
		if i+1 < len(g.rest) && g.rest[i+1] == '"' {
			doubled = true
			i++
			continue
		}
		s := g.rest[1:i]
		g.skip(i + 1)
		if doubled {
			s = strings.ReplaceAll(s, `""`, `"`)
		}
		return token{text, s, 0}
	}
	g.wrong("a text without an end", "a quotation mark")
	return token{}
}

// skip goes n bytes on.
func (g *grid) skip(n int) {
	passed := g.rest[:n]
	g.rest = g.rest[n:]
	g.line += strings.Count(passed, "\n")
	if alone := strings.Count(passed, "\r"); alone > 0 { // lines of old files end with it
		g.line += alone - strings.Count(passed, "\r\n")
	}
}
