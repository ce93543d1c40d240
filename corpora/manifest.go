// Package corpora turns folders of recordings into training segments: it knows the layouts of the usual speech corpora,
// lists their utterances in a manifest, prepares a cache of their sound once, and draws segments from it.
package corpora

import "errors"

// Utterance is a line of a manifest: a recording and what is known about it. An empty string, or -1 for a number, is
// what is not known ("-" in the file).
type Utterance struct {
	Path       string   // relative to the folder of the manifest, with slashes
	Speaker    string   // unique over all corpora of the manifest
	Text       string   // what is said
	Seconds    float64  // length
	Split      string   // "train", "valid" or "test"
	Corpus     string   // which source
	Gender     string   // "f" or "m"
	Age        string   // years
	Lang       string   // ISO code
	Frames     int64    // samples of a channel
	SourceRate int      // Hz, before any conversion
	Extra      []string // the columns beyond these, as Manifest.Extra names them
}

// Manifest lists the utterances of a corpus.
type Manifest struct {
	Dir        string   // what the paths are relative to
	Extra      []string // names of further columns
	Utterances []Utterance
}

// ReadManifest reads a tab-separated manifest.
func ReadManifest(name string) (*Manifest, error) {
	return nil, errors.New("corpora: ReadManifest: not built yet")
}
