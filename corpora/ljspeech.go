package corpora

import (
	"path"
	"path/filepath"
	"strings"
)

// ljSpeech is the LJ Speech Dataset, 13,100 clips of one woman reading (Ito 2017, keithito.com/LJ-Speech-Dataset, and its
// README), and whatever single speaker is laid out like it.
//
// metadata.csv has a line a clip: ID|transcription|normalised transcription, where numbers are words; there is no header,
// and quotes are characters like others, often unpaired. The sound is wavs/ID.wav. There are no official splits.
var ljSpeech = layout{
	name:  "ljspeech",
	about: "LJSpeech: metadata.csv (ID|text|normalised text), wavs/ID.wav",
	found: func(folder string) bool {
		return isFile(filepath.Join(folder, "metadata.csv")) && isFolder(filepath.Join(folder, "wavs"))
	},
	list: listLJSpeech,
}

func listLJSpeech(l *listing) error {
	err := l.table("metadata.csv", func(_ *lineReader, text string) error {
		fields := strings.Split(text, "|")
		id := strings.TrimSpace(fields[0])
		if id == "" {
			return nil
		}
		name := "wavs/" + id
		if !isAudio(name) {
			name += ".wav"
		}
		u := listed(name)
		u.Speaker, u.Corpus, u.Lang, u.Gender = "ljspeech-lj", "ljspeech", "en", "f"
		u.Split = SplitOf("lj", stem(name))
		for _, field := range fields[1:min(3, len(fields))] {
			if field = cleanField(field); field != "" {
				u.Text = field // the second, if it is there
			}
		}
		if u.Text == "" {
			l.report(NoText, name, "no text in metadata.csv")
		}
		l.add(u)
		return nil
	})
	if err != nil {
		return err
	}
	return l.reportUnlisted("wavs", "metadata.csv")
}

// reportUnlisted reports the recordings in folder that a table has not.
func (l *listing) reportUnlisted(folder, table string) error {
	return l.walk(folder, func(name string) error {
		if !l.paths[path.Clean(name)] {
			l.report(Unlisted, name, "not in "+table)
		}
		return nil
	})
}
