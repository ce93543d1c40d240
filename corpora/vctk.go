package corpora

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// vctk is the CSTR VCTK Corpus, 110 speakers of English reading some 400 sentences each, in both versions in use. For each
// there is a README in the archive.
//
// Version 0.80 (2012): wav48/p225/p225_001.wav; version 0.92 (2019): wav48_silence_trimmed/p225/p225_001_mic1.flac, and
// the same from a second microphone, _mic2. Both have txt/p225/p225_001.txt and speaker-info.txt: ID, AGE, GENDER,
// ACCENTS, REGION, COMMENTS, parted by one or more spaces, which accents, regions and comments have too. In 0.80 the IDs
// there have no "p". There are no official splits.
//
// Known defects: p315 has no texts; in 0.92 p280 and p315 have no mic2, and one speaker is called s5; in 0.80 p280 is
// not in every speaker-info.txt, and p376_295.raw has no header.
var vctk = layout{
	name:  "vctk",
	about: "VCTK 0.80 or 0.92: wav48/ or wav48_silence_trimmed/, txt/, speaker-info.txt",
	found: func(folder string) bool {
		return vctkSound(folder) != "" && (isFile(filepath.Join(folder, "speaker-info.txt")) || isFolder(filepath.Join(folder, "txt")))
	},
	list: listVCTK,
}

// vctkSound returns the folder that has the sound, if there is one.
func vctkSound(folder string) string {
	for _, name := range []string{"wav48_silence_trimmed", "wav48"} {
		if isFolder(filepath.Join(folder, name)) {
			return name
		}
	}
	return ""
}

func listVCTK(l *listing) error {
	sound := vctkSound(l.manifest.Dir)
	if sound == "" {
		return &LayoutError{l.manifest.Dir, "no folder wav48_silence_trimmed or wav48"}
	}
	speakers, err := l.vctkSpeakers()
	if err != nil {
		return err
	}
	microphone := 1
	if l.options.Microphone == 2 {
		microphone = 2
	}
	var others []string                   // recordings by the other microphone
	byThisMicrophone := map[string]bool{} // utterances
	err = l.walk(sound, func(name string) error {
		speaker := parent(name)
		id, by := vctkName(name)
		if by > 0 && by != microphone {
			others = append(others, name)
			return nil
		}
		byThisMicrophone[id] = true
		u := listed(name)
		u.Speaker, u.Corpus, u.Lang = "vctk-"+speaker, "vctk", "en"
		u.Split = SplitOf(speaker, id)
		about := speakers[strings.TrimPrefix(speaker, "p")]
		u.Age, u.Gender = about.age, about.gender
		text, err := l.vctkText(path.Join("txt", speaker, id+".txt"))
		if err != nil {
			l.report(NoText, name, errorText(err))
		}
		u.Text = text
		l.add(u)
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range others {
		if id, _ := vctkName(name); !byThisMicrophone[id] {
			l.report(OtherMicrophone, name, fmt.Sprintf("no recording by microphone %d", microphone))
		}
	}
	return nil
}

// vctkName returns the utterance that a recording is of, and the microphone that it is by, 0 if it does not say.
func vctkName(name string) (id string, microphone int) {
	id = stem(name)
	for i, suffix := range []string{"_mic1", "_mic2"} {
		if rest, ok := strings.CutSuffix(id, suffix); ok {
			return rest, i + 1
		}
	}
	return id, 0
}

type vctkSpeaker struct{ age, gender string }

// vctkSpeakers reads speaker-info.txt, if it is there. The keys have no "p".
func (l *listing) vctkSpeakers() (map[string]vctkSpeaker, error) {
	speakers := map[string]vctkSpeaker{}
	err := l.table("speaker-info.txt", func(_ *lineReader, text string) error {
		if f := strings.Fields(text); len(f) >= 3 && f[0] != "ID" {
			speakers[strings.TrimPrefix(f[0], "p")] = vctkSpeaker{age: f[1], gender: gender(f[2])}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return speakers, err
}

// vctkText reads the sentence in a file.
func (l *listing) vctkText(name string) (string, error) {
	const longest = 1 << 16 // bytes; sentences have some 50
	f, err := l.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longest))
	return cleanField(string(text)), err
}
