// Package page writes pages of sound: HTML files that hold their sound, pictures and style themselves, and need no network.
package page

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"html/template"

	"github.com/vqaudio/vqaudio/files"
)

// Page is what a page shows, from top to bottom. All text is plain text.
type Page struct {
	Title    string
	Intro    []string // paragraphs
	Figures  []Figure
	Sections []Section
	Closing  []Block
}

// Figure is a number that is worth knowing.
type Figure struct{ Name, Value, Note string }

// Section is a heading with clips below it.
type Section struct {
	Title string
	Text  []string // paragraphs
	Clips []Clip
}

// Clip is a sound with its picture.
type Clip struct {
	Label string // what it is: "original"
	Note  string // more about it; may be empty
	File  string // its file beside the page, to be had by a click; may be empty
	WAV   []byte // a whole file
	PNG   []byte // its spectrogram; may be nil
	Wide  bool   // as wide as the page; others lie side by side
}

// Block is a paragraph with lines for a shell below it; either may be empty.
type Block struct{ Text, Code string }

//go:embed page.html
var source string

var layout = template.Must(template.New("page").Funcs(template.FuncMap{
	"wav": func(b []byte) template.URL { return data("audio/wav", b) },
	"png": func(b []byte) template.URL { return data("image/png", b) },
}).Parse(source))

// data returns bytes as a URL that holds them.
func data(kind string, b []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}

// Write writes the page to a file, whole or not at all.
func (p *Page) Write(name string) error {
	var b bytes.Buffer
	if err := layout.Execute(&b, p); err != nil {
		return err
	}
	return files.Write(name, b.Bytes())
}
