package corpora

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/vqaudio/vqaudio/files"
)

// layout is a way to lay out a corpus in a folder.
type layout struct {
	name, about string
	found       func(folder string) bool // does the folder look like it?
	list        func(l *listing) error   // calls add for every utterance, and report for what is wrong
}

// layouts are all that is known. The first ones are known corpora; the last two fit anything.
var layouts = []layout{vctk, libriSpeech, ljSpeech, commonVoice, manifestLayout, plainFolders}

// LayoutName is a layout by its name in [Options], and what it is.
type LayoutName struct{ Name, About string }

// Layouts returns the layouts that are known.
func Layouts() []LayoutName {
	var names []LayoutName
	for _, l := range layouts {
		names = append(names, LayoutName{l.name, l.about})
	}
	return names
}

func layoutNames() string {
	var names []string
	for _, l := range layouts {
		names = append(names, l.name)
	}
	return strings.Join(names, ", ")
}

// LayoutError says that the layout of a corpus could not be told.
type LayoutError struct {
	Source string // folder or file
	Why    string
}

// Error names the source and lists the layouts.
func (e *LayoutError) Error() string {
	return fmt.Sprintf("%s: %s; the layouts are %s", e.Source, e.Why, layoutNames())
}

// Detect returns the name of the layout of source. A file is a manifest. A folder is the corpus whose tables and folders
// it has; else a manifest, if it has a manifest.tsv; else plain folders, if there is a recording in it or below. It is a
// [LayoutError] if none is, or if a folder in it is a known corpus of its own, or if several layouts fit.
func Detect(source string) (string, error) {
	info, err := os.Stat(source)
	if err != nil {
		return "", err
	}
	if info.Mode().IsRegular() {
		return manifestLayout.name, nil
	}
	if !info.IsDir() {
		return "", &LayoutError{source, "neither a folder nor a file"}
	}
	known := func(folder string) (names []string) {
		for _, l := range layouts {
			if l.name != manifestLayout.name && l.name != plainFolders.name && l.found(folder) {
				names = append(names, l.name)
			}
		}
		return names
	}
	switch names := known(source); {
	case len(names) > 1:
		return "", &LayoutError{source, "may be " + strings.Join(names, " or ") + ": name one"}
	case len(names) == 1:
		return names[0], nil
	case manifestLayout.found(source):
		return manifestLayout.name, nil
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		folder := filepath.Join(source, e.Name())
		if info, err := os.Stat(folder); err == nil && info.IsDir() && len(known(folder)) > 0 {
			return "", &LayoutError{source, "no corpus itself, but " + e.Name() + " in it looks like " + known(folder)[0] + ": scan that, or name a layout"}
		}
	}
	if plainFolders.found(source) {
		return plainFolders.name, nil
	}
	return "", &LayoutError{source, "no recordings found"}
}

// listing collects what a layout finds.
type listing struct {
	options  Options
	manifest *Manifest
	problems []Problem
	paths    map[string]bool
}

// list lists the utterances of source. Their lengths are not known yet.
func list(source string, o Options) (*listing, string, error) {
	name := o.Layout
	if name == "" {
		var err error
		if name, err = Detect(source); err != nil {
			return nil, "", err
		}
	}
	for _, known := range layouts {
		if known.name != name {
			continue
		}
		l := &listing{options: o, manifest: &Manifest{Dir: source}, paths: map[string]bool{}}
		if err := known.list(l); err != nil {
			return nil, "", err
		}
		if len(l.manifest.Utterances) == 0 && len(l.problems) == 0 {
			return nil, "", &LayoutError{source, "no recordings found in layout " + name}
		}
		return l, name, nil
	}
	return nil, "", &LayoutError{source, fmt.Sprintf("no layout is called %q", name)}
}

// listed is an utterance of which nothing is known but its path, relative to the folder.
func listed(name string) Utterance {
	return Utterance{Path: name, Seconds: -1, Frames: -1, SourceRate: -1}
}

// add takes an utterance into the manifest, unless it cannot be there.
func (l *listing) add(u Utterance) {
	if found, expected := checkPath(u.Path); found != "" {
		l.report(BadName, u.Path, fmt.Sprintf("found %s, expected %s", found, expected))
		return
	}
	u.Path = path.Clean(u.Path) // "./a.wav" is "a.wav"
	if l.paths[u.Path] {
		l.report(Twice, u.Path, "listed before")
		return
	}
	l.paths[u.Path] = true
	if u.Speaker = cleanField(u.Speaker); u.Speaker == "" || u.Speaker == "-" {
		l.report(BadName, u.Path, "no speaker")
		return
	}
	l.manifest.Utterances = append(l.manifest.Utterances, u)
}

func (l *listing) report(kind Kind, name, detail string) {
	l.problems = append(l.problems, Problem{Path: name, Kind: kind, Severity: kind.Severity(), Detail: detail})
}

// file returns the name of a file of the corpus.
func (l *listing) file(name string) string {
	return filepath.Join(l.manifest.Dir, filepath.FromSlash(name))
}

// audioExtensions are of files that audio.Open may read; otherAudio of recordings that it does not.
var (
	audioExtensions = map[string]bool{".wav": true, ".wave": true, ".bwf": true, ".rf64": true, ".flac": true, ".mp3": true}
	otherAudio      = map[string]bool{
		".aac": true, ".ac3": true, ".aif": true, ".aiff": true, ".amr": true, ".ape": true, ".au": true, ".m4a": true,
		".ogg": true, ".oga": true, ".opus": true, ".raw": true, ".pcm": true, ".snd": true, ".sph": true, ".w64": true,
		".webm": true, ".wma": true, ".wv": true,
	}
)

// isAudio goes by the extension.
func isAudio(name string) bool { return audioExtensions[strings.ToLower(path.Ext(name))] }

// walk calls visit with the path, relative to the corpus, of every recording in one of its folders or below, in order of
// names within each folder. Hidden files and folders are passed over, among them the "._" files that macOS leaves. A link
// to a file is followed; a link to a folder is not, since it may lead back. The error fs.SkipAll of visit ends the walk.
func (l *listing) walk(folder string, visit func(name string) error) error {
	root, err := filepath.EvalSymlinks(l.file(folder))
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if file == root {
			return err
		}
		inside, e := filepath.Rel(root, file)
		if e != nil {
			return e
		}
		name := path.Join(folder, filepath.ToSlash(inside))
		extension := strings.ToLower(path.Ext(name))
		switch {
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case err != nil:
			l.report(Unreadable, name, errorText(err))
		case d.Type()&fs.ModeSymlink != 0 && isFolder(file):
			l.report(Link, name, "a link to a folder is not followed")
		case d.IsDir():
		case audioExtensions[extension]:
			return visit(name)
		case otherAudio[extension]:
			l.report(OtherFormat, name, extension+" is not read")
		}
		return nil
	})
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func isFile(name string) bool { return files.Regular(name) == nil }

// open opens a file of the corpus.
func (l *listing) open(name string) (*os.File, error) { return files.Open(l.file(name)) }

// table calls visit with every line of a file of the corpus, in which lines are ended as anyone likes.
func (l *listing) table(name string, visit func(lines *lineReader, text string) error) error {
	f, err := l.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := newLineReader(f, l.file(name))
	for {
		text, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = visit(lines, text)
		}
		if err != nil {
			return err
		}
	}
}

// errorText is err without the name of the file, which stands beside it.
func errorText(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// stem is the name of a file without folders and extension.
func stem(name string) string {
	name = path.Base(name)
	return strings.TrimSuffix(name, path.Ext(name))
}

// parent is the name of the folder that a file is in.
func parent(name string) string { return path.Base(path.Dir(name)) }

// gender is "f", "m" or what else a corpus says, in small letters.
func gender(s string) string {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "f", "female", "female_feminine":
		return "f"
	case "m", "male", "male_masculine":
		return "m"
	}
	return s
}
