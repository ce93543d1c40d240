package corpora

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/files"
)

// commonVoice is a language of Mozilla Common Voice (Ardila et al.: "Common Voice: A Massively-Multilingual Speech Corpus",
// LREC 2020; commonvoice.mozilla.org), the folder with clips/ in it.
//
// Tables of tab-separated columns, named in the first line, list the clips: client_id (the speaker), path, sentence, age,
// gender, locale and others, more in each version: accent, then accents; segment; sentence_id; variant. In the first
// versions path has no extension. train.tsv, dev.tsv and test.tsv are the official splits, with no speaker in two of
// them and every sentence once; only if none of them is there, all of validated.tsv is taken, split by [SplitOf].
//
// Some versions quote a sentence that has quotes in it, doubling these, most do not: a field that could only come from
// quoting is unquoted. Known defects: empty clips (some hundred in versions 3 and 4), empty sentences.
var commonVoice = layout{
	name:  "commonvoice",
	about: "Common Voice: clips/, train.tsv, dev.tsv, test.tsv, or validated.tsv",
	found: func(folder string) bool {
		return isFolder(filepath.Join(folder, "clips")) && len(voiceTables(folder)) > 0
	},
	list: listCommonVoice,
}

// voiceTable is a table of clips and the split it stands for.
type voiceTable struct{ name, split string }

// voiceTables returns the tables to read.
func voiceTables(folder string) (tables []voiceTable) {
	for _, t := range []voiceTable{{"train.tsv", Train}, {"dev.tsv", Valid}, {"test.tsv", Test}} {
		if isFile(filepath.Join(folder, t.name)) {
			tables = append(tables, t)
		}
	}
	if len(tables) == 0 && isFile(filepath.Join(folder, "validated.tsv")) {
		tables = append(tables, voiceTable{"validated.tsv", ""})
	}
	return tables
}

func listCommonVoice(l *listing) error {
	tables := voiceTables(l.manifest.Dir)
	if len(tables) == 0 {
		return &LayoutError{l.manifest.Dir, "no train.tsv, dev.tsv, test.tsv or validated.tsv"}
	}
	for _, t := range tables {
		if err := listVoiceTable(l, t); err != nil {
			return err
		}
	}
	return nil
}

func listVoiceTable(l *listing, t voiceTable) error {
	var header []string
	err := l.table(t.name, func(lines *lineReader, text string) error {
		fields := strings.Split(text, "\t")
		if header == nil {
			header = fields
			for _, column := range []string{"client_id", "path"} {
				if !slices.Contains(header, column) {
					return lines.fail(fmt.Sprintf("no column %q", column), "a table of Common Voice")
				}
			}
			return nil
		}
		if text == "" {
			return nil
		}
		if len(fields) != len(header) {
			l.report(BadLine, t.name, fmt.Sprintf("line %d: found %s, expected %d", lines.number, plural(len(fields), "column"), len(header)))
			return nil
		}
		column := func(name string) string {
			if i := slices.Index(header, name); i >= 0 {
				return cleanField(fields[i])
			}
			return ""
		}
		name, client := column("path"), column("client_id")
		if path.Ext(name) == "" {
			name += ".mp3"
		}
		if client == "" {
			l.report(BadLine, t.name, fmt.Sprintf("line %d: no client_id", lines.number))
			return nil
		}
		u := listed("clips/" + name)
		u.Speaker, u.Corpus, u.Split = "commonvoice-"+client, "commonvoice", t.split
		if u.Split == "" {
			u.Split = SplitOf(client, stem(name))
		}
		u.Text, u.Age, u.Gender, u.Lang = unquote(column("sentence")), column("age"), gender(column("gender")), column("locale")
		if u.Text == "" {
			l.report(NoText, u.Path, "no sentence")
		}
		l.add(u)
		return nil
	})
	if err == nil && header == nil {
		err = &files.FormatError{File: l.file(t.name), Offset: -1, Line: 1, Found: "nothing", Expected: "a line that names the columns"}
	}
	return err
}

// unquote undoes the quoting of a writer of CSV that quotes what has quotes in it, and only that. Other text comes back as
// it is: "Hello" in quotes would have been written with more of them.
func unquote(s string) string {
	if s == `""` {
		return ""
	}
	if len(s) < 4 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	inside := s[1 : len(s)-1]
	if !strings.Contains(inside, `"`) || strings.Contains(strings.ReplaceAll(inside, `""`, ""), `"`) {
		return s
	}
	return strings.ReplaceAll(inside, `""`, `"`)
}
