package corpora

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// plainFolders is any tree of recordings. The speaker is the folder that a recording is in, or what the pattern says.
var plainFolders = layout{
	name:  "folders",
	about: "any folders of recordings: the speaker is the folder that a recording is in, or as --pattern says",
	found: func(folder string) bool {
		l := &listing{manifest: &Manifest{Dir: folder}}
		found := false
		err := l.walk(".", func(string) error { found = true; return fs.SkipAll })
		return err == nil && (found || len(l.problems) > 0)
	},
	list: listFolders,
}

func listFolders(l *listing) error {
	root, err := filepath.Abs(l.manifest.Dir)
	if err != nil {
		return err
	}
	var match *regexp.Regexp
	if l.options.Pattern != "" {
		if match, err = compilePattern(l.options.Pattern); err != nil {
			return err
		}
	}
	return l.walk(".", func(name string) error {
		u := listed(name)
		folder := parent(name)
		if folder == "." { // the root's own name is not the corpus's: its recordings keep their split when it is renamed
			folder, u.Speaker = "", filepath.Base(root)
		} else {
			u.Speaker = folder
		}
		if match != nil {
			found := match.FindStringSubmatch(name)
			if found == nil {
				l.report(BadName, name, fmt.Sprintf("does not fit the pattern %q", l.options.Pattern))
				return nil
			}
			for i, field := range match.SubexpNames() {
				if i > 0 {
					*patternField(&u, field) = found[i]
				}
			}
			folder = u.Speaker
			switch u.Split = strings.ToLower(u.Split); u.Split {
			case "dev", "val", "validation":
				u.Split = Valid
			}
			if !isSplit(u.Split) {
				l.report(BadName, name, fmt.Sprintf("found split %q, expected train, valid, dev, val, validation or test", u.Split))
				return nil
			}
			u.Gender = gender(u.Gender)
		}
		if u.Split == "" {
			u.Split = SplitOf(folder, stem(name))
		}
		l.add(u)
		return nil
	})
}

// PatternError says what is wrong with a pattern of Options.
type PatternError struct{ Pattern, Why string }

// Error quotes the pattern.
func (e *PatternError) Error() string { return fmt.Sprintf("pattern %q: %s", e.Pattern, e.Why) }

// patternField returns the field of u that a pattern calls name, or nil.
func patternField(u *Utterance, name string) *string {
	switch name {
	case "speaker":
		return &u.Speaker
	case "text":
		return &u.Text
	case "split":
		return &u.Split
	case "gender":
		return &u.Gender
	case "age":
		return &u.Age
	case "lang":
		return &u.Lang
	}
	return nil
}

// compilePattern turns a pattern (see Options.Pattern) into a regular expression over whole paths.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	fail := func(format string, args ...any) (*regexp.Regexp, error) {
		return nil, &PatternError{pattern, fmt.Sprintf(format, args...)}
	}
	var fields []string
	expression := `^(?:.*/)?`
	for rest := pattern; rest != ""; {
		i := strings.IndexAny(rest, "{}*")
		if i < 0 {
			expression += regexp.QuoteMeta(rest)
			break
		}
		expression += regexp.QuoteMeta(rest[:i])
		if rest[i] == '*' {
			expression += `[^/]*?`
			rest = rest[i+1:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if rest[i] == '}' || end < 0 {
			return fail("braces that do not pair")
		}
		field := rest[i+1 : end]
		if patternField(&Utterance{}, field) == nil {
			return fail("{%s} is none of {speaker}, {text}, {split}, {gender}, {age}, {lang}", field)
		}
		if slices.Contains(fields, field) {
			return fail("{%s} is there twice", field)
		}
		fields = append(fields, field)
		expression += `(?P<` + field + `>[^/]+?)`
		rest = rest[end+1:]
	}
	match, err := regexp.Compile(expression + `$`)
	if err != nil {
		return fail("%v", err)
	}
	return match, nil
}

// manifestLayout is a manifest, or a folder with one, called manifest.tsv: whoever wrote it knew more than can be seen.
var manifestLayout = layout{
	name:  "manifest",
	about: "a manifest, or a folder with manifest.tsv",
	found: func(folder string) bool { return isFile(filepath.Join(folder, "manifest.tsv")) },
	list:  listManifest,
}

func listManifest(l *listing) error {
	name, folder := l.manifest.Dir, ""
	if isFolder(name) {
		name, folder = filepath.Join(name, "manifest.tsv"), name
	}
	m, err := ReadManifest(name)
	if err != nil {
		return err
	}
	l.manifest = m
	within, err := m.rebase(m.Dir)
	if err != nil {
		return err
	}
	for i := range m.Utterances {
		u := &m.Utterances[i]
		l.paths[within(u.Path)] = true
		if u.Split == "" {
			u.Split = SplitOf(u.Speaker, stem(u.Path))
		}
	}
	if folder == "" {
		return nil
	}
	return l.reportUnlisted(".", "manifest.tsv")
}
