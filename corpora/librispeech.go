package corpora

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// libriSpeech is LibriSpeech (Panayotov, Chen, Povey, Khudanpur: "LibriSpeech: an ASR corpus based on public domain audio
// books", ICASSP 2015; openslr.org/12, and its README.TXT), and corpora cut from it in the same layout, as Mini LibriSpeech.
//
//	SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-0000.flac
//	SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt    a line each: SPEAKER-CHAPTER-0000 TEXT
//	SPEAKERS.TXT                                        ID | SEX | SUBSET | MINUTES | NAME; comments begin with ";"
//
// The subsets are the splits: train-clean-100, train-clean-360, train-other-500, dev-clean, dev-other, test-clean,
// test-other. No speaker is in two of them. A NAME may have "|" in it.
var libriSpeech = layout{
	name:  "librispeech",
	about: "LibriSpeech: train-*/, dev-*/, test-*/SPEAKER/CHAPTER/*.flac and *.trans.txt; or one of these folders",
	found: func(folder string) bool { return len(libriSubsets(folder)) > 0 },
	list:  listLibriSpeech,
}

var libriSubset = regexp.MustCompile(`^(train|dev|test)-(clean|other)(-[0-9]+)?$`)

// libriSubsets returns the names of the subsets in folder; "." if it is one itself.
func libriSubsets(folder string) (names []string) {
	if full, err := filepath.Abs(folder); err == nil && libriSubset.MatchString(filepath.Base(full)) && hasChapter(folder) {
		return []string{"."}
	}
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if libriSubset.MatchString(e.Name()) && hasChapter(filepath.Join(folder, e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names
}

// hasChapter says whether a subset has the texts of a chapter.
func hasChapter(subset string) bool {
	speakers, _ := os.ReadDir(subset)
	for _, speaker := range speakers {
		chapters, _ := os.ReadDir(filepath.Join(subset, speaker.Name()))
		for _, chapter := range chapters {
			if isFile(filepath.Join(subset, speaker.Name(), chapter.Name(), speaker.Name()+"-"+chapter.Name()+".trans.txt")) {
				return true
			}
		}
	}
	return false
}

func listLibriSpeech(l *listing) error {
	subsets := libriSubsets(l.manifest.Dir)
	if len(subsets) == 0 {
		return &LayoutError{l.manifest.Dir, "no folder train-*, dev-* or test-* with chapters of LibriSpeech"}
	}
	for _, subset := range subsets {
		if err := listLibriSubset(l, subset); err != nil {
			return err
		}
	}
	return nil
}

func listLibriSubset(l *listing, subset string) error {
	full, err := filepath.Abs(l.file(subset))
	if err != nil {
		return err
	}
	split := map[string]string{"train": Train, "dev": Valid, "test": Test}[libriSubset.FindStringSubmatch(filepath.Base(full))[1]]
	speakersTable := "SPEAKERS.TXT"
	if subset == "." {
		speakersTable = "../SPEAKERS.TXT"
	}
	genders, err := l.libriGenders(speakersTable)
	if err != nil {
		return err
	}
	var chapter string
	var texts map[string]string // of the chapter, by file name without extension
	return l.walk(subset, func(name string) error {
		if folder := path.Dir(name); folder != chapter {
			chapter = folder
			if texts, err = l.libriTexts(chapter); err != nil {
				l.report(NoText, chapter, errorText(err))
			}
		}
		id := strings.Split(stem(name), "-")
		if len(id) != 3 || id[0] != parent(path.Dir(name)) || id[1] != parent(name) {
			l.report(BadName, name, "expected SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER")
			return nil
		}
		u := listed(name)
		u.Speaker, u.Corpus, u.Lang, u.Split = "librispeech-"+id[0], "librispeech", "en", split
		u.Gender, u.Text = genders[id[0]], texts[stem(name)]
		if u.Text == "" && len(texts) > 0 {
			l.report(NoText, name, "no line in the texts of the chapter")
		}
		l.add(u)
		return nil
	})
}

// libriTexts reads the texts of a chapter.
func (l *listing) libriTexts(chapter string) (map[string]string, error) {
	texts := map[string]string{}
	name := path.Join(chapter, parent(chapter)+"-"+path.Base(chapter)+".trans.txt")
	err := l.table(name, func(_ *lineReader, text string) error {
		id, words, _ := strings.Cut(text, " ")
		texts[id] = cleanField(words)
		return nil
	})
	return texts, err
}

// libriGenders reads SPEAKERS.TXT, if it is there.
func (l *listing) libriGenders(name string) (map[string]string, error) {
	genders := map[string]string{}
	err := l.table(name, func(_ *lineReader, text string) error {
		if f := strings.Split(text, "|"); len(f) >= 2 && !strings.HasPrefix(text, ";") {
			genders[strings.TrimSpace(f[0])] = gender(f[1])
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return genders, err
}
