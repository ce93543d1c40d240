// Command listener tells how many words a recogniser that this project did not write, pocketsphinx, gets wrong in recordings, in what a
// model makes of them in their own voice, and in conversions to other voices:
//
//	go run ./internal/listener MANIFEST [MODEL]
//
// MANIFEST is that of recordings with texts: of the corpus an4 in it, the split test. Without MODEL, a file, it listens to the built-in one. Debian has what
// it takes: apt-get install pocketsphinx pocketsphinx-en-us. The recogniser may hear any sequence of the words of the corpus (AN4
// has 99 of them, 26 of which are letters), and knows nothing of which word follows which. Its model is of speech at 16 kHz, with
// frequencies of up to 6.8 kHz; so the recordings are listened to at the model's rate as well.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/vqaudio/vqaudio"
	"github.com/vqaudio/vqaudio/corpora"
)

// Where Debian has the recogniser's model of English, and which words it is tried on.
const (
	acoustic   = "/usr/share/pocketsphinx/model/en-us/en-us"
	dictionary = "/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict"
	corpus     = "an4"
	rate       = 16000 // that the recogniser listens at
)

// Settings of the recogniser, those of several with which it got fewest words wrong in the recordings of the split valid, at 16 kHz and then without
// -dither: 36.5 %; with its own -lw 6.5 and -wip 0.65 73.2 %. Dither is for sound made by programs, which may be silent to the last bit.
var settings = strings.Fields("-cmn batch -remove_noise no -dither yes -lw 6.5 -wip 1e-3")

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "listener: want a manifest, and at most one model: go run ./internal/listener MANIFEST [MODEL]")
		os.Exit(2)
	}
	if err := run(os.Args[1], slices.Concat(os.Args[2:], []string{""})[0]); err != nil {
		fmt.Fprintf(os.Stderr, "listener: %v\n", err)
		os.Exit(1)
	}
}

// utterance is a recording, or what was made of it.
type utterance struct {
	path, speaker string
	words         []string
}

func run(manifest, modelName string) error {
	m, err := open(modelName)
	if err != nil {
		return err
	}
	list, err := corpora.ReadManifest(manifest)
	if err != nil {
		return err
	}
	var all, test []utterance
	speakers := map[string]bool{}
	for i, u := range list.Utterances {
		if u.Corpus != corpus || u.Text == "" {
			continue
		}
		one := utterance{list.File(i), u.Speaker, strings.Fields(strings.ToLower(u.Text))}
		all = append(all, one)
		if u.Split == corpora.Test {
			test = append(test, one)
			speakers[u.Speaker] = true
		}
	}
	if len(test) == 0 {
		return fmt.Errorf("%s has no recordings of the corpus %s, split test, with texts", manifest, corpus)
	}
	dir, err := os.MkdirTemp("", "listener")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := newRecogniser(dir, all)
	if err != nil {
		return err
	}
	sounds, err := makeSound(m, test, slices.Sorted(maps.Keys(speakers)))
	if err != nil {
		return err
	}
	fmt.Printf("%d utterances of %d speakers\n\n| | words | wrong | word error rate | 95 %% interval |\n|---|---|---|---|---|\n", len(test), len(speakers))
	names := []string{"recordings", fmt.Sprintf("recordings at %d Hz", m.Rate()), "reconstructed in the own voice", "converted to another voice"}
	for i, clips := range sounds {
		heard, err := r.listen(clips)
		if err != nil {
			return err
		}
		fmt.Println(score(names[i], test, heard))
	}
	return nil
}

func open(model string) (*vqaudio.Model, error) {
	if model == "" {
		return vqaudio.Default()
	}
	return vqaudio.Open(model, "")
}

// makeSound returns the recordings, the same at the model's rate, reconstructed, and converted to the voice of another of the speakers.
func makeSound(m *vqaudio.Model, list []utterance, speakers []string) (sounds [4][]vqaudio.Clip, err error) {
	random := rand.New(rand.NewPCG(1, 2))
	var speak []vqaudio.Utterance
	for i, u := range list {
		c, err := vqaudio.ReadClip(u.path)
		if err != nil {
			return sounds, err
		}
		narrow, err := c.Resample(m.Rate())
		if err != nil {
			return sounds, err
		}
		sounds[0], sounds[1] = append(sounds[0], c), append(sounds[1], narrow)
		target := u.speaker
		for target == u.speaker && len(speakers) > 1 {
			target = speakers[random.IntN(len(speakers))]
		}
		own, err := m.Reconstructed(c, u.speaker)
		if err != nil {
			return sounds, err
		}
		other, err := m.Converted(c, target)
		if err != nil {
			return sounds, err
		}
		own.Seed, other.Seed = uint64(2*i), uint64(2*i+1)
		speak = append(speak, own, other)
	}
	sounds[2], sounds[3] = make([]vqaudio.Clip, len(list)), make([]vqaudio.Clip, len(list))
	err = m.Speak(context.Background(), speak, func(i int, c vqaudio.Clip) { sounds[2+i%2][i/2] = c })
	return sounds, err
}

// recogniser is pocketsphinx with the words of a corpus.
type recogniser struct{ dir string }

// newRecogniser writes the grammar, a loop over all words of the utterances, and their pronunciations.
func newRecogniser(dir string, all []utterance) (*recogniser, error) {
	vocabulary := map[string]bool{}
	for _, u := range all {
		for _, w := range u.words {
			vocabulary[w] = true
		}
	}
	f, err := os.Open(dictionary)
	if err != nil {
		return nil, fmt.Errorf("%w: want Debian's package pocketsphinx-en-us", err)
	}
	defer f.Close()
	var entries strings.Builder
	known := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		word, _, _ := strings.Cut(s.Text(), " ")
		word, _, _ = strings.Cut(word, "(")         // "a(2) EY" is another pronunciation of a
		if vocabulary[word] && s.Text() != "a AH" { // which is a letter here
			entries.WriteString(s.Text() + "\n")
			known[word] = true
		}
	}
	var missing []string
	for w := range vocabulary {
		if !known[w] {
			missing = append(missing, w)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s does not know %q", dictionary, missing)
	}
	grammar := "#JSGF V1.0;\ngrammar words;\npublic <utterance> = ( " + strings.Join(slices.Sorted(maps.Keys(vocabulary)), " | ") + " )+;\n"
	return &recogniser{dir}, errors.Join(os.WriteFile(filepath.Join(dir, "dict"), []byte(strings.Replace(entries.String(), "a(2) EY", "a EY", 1)), 0o666),
		os.WriteFile(filepath.Join(dir, "gram"), []byte(grammar), 0o666))
}

// listen returns the words that are heard in each clip.
func (r *recogniser) listen(clips []vqaudio.Clip) ([][]string, error) {
	at := func(name string) string { return filepath.Join(r.dir, name) }
	var control strings.Builder
	for i, c := range clips {
		c, err := c.Resample(rate)
		if err != nil {
			return nil, err
		}
		if err := c.WriteFile(at(fmt.Sprintf("%d.wav", i))); err != nil {
			return nil, err
		}
		fmt.Fprintln(&control, i)
	}
	if err := os.WriteFile(at("control"), []byte(control.String()), 0o666); err != nil {
		return nil, err
	}
	args := append([]string{"-hmm", acoustic, "-dict", at("dict"), "-jsgf", at("gram"), "-ctl", at("control"), "-cepdir", r.dir, "-cepext", ".wav", "-adcin", "yes",
		"-adchdr", "44", "-hyp", at("heard"), "-logfn", at("log")}, settings...)
	if out, err := exec.Command("pocketsphinx_batch", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pocketsphinx_batch: %w\n%s", err, out)
	}
	b, err := os.ReadFile(at("heard"))
	if err != nil {
		return nil, err
	}
	heard := make([][]string, len(clips))
	n := 0
	for line := range strings.Lines(string(b)) { // "words (7 -1234)"
		words, name, found := strings.Cut(line, "(")
		var i int
		if _, err := fmt.Sscan(name, &i); !found || err != nil || i < 0 || i >= len(clips) {
			return nil, fmt.Errorf("pocketsphinx_batch says %q", line)
		}
		heard[i] = strings.Fields(words)
		n++
	}
	if n != len(clips) {
		return nil, fmt.Errorf("pocketsphinx_batch heard %d of %d clips", n, len(clips))
	}
	return heard, nil
}

// score returns a line of the table. The interval is that of 1000 draws of as many utterances.
func score(name string, list []utterance, heard [][]string) string {
	errs, words := make([]int, len(list)), make([]int, len(list))
	for i, u := range list {
		errs[i], words[i] = wrong(u.words, heard[i]), len(u.words)
	}
	rates, random := make([]float64, 1000), rand.New(rand.NewPCG(3, 4))
	for k := range rates {
		e, w := 0, 0
		for range list {
			i := random.IntN(len(list))
			e, w = e+errs[i], w+words[i]
		}
		rates[k] = 100 * float64(e) / float64(w)
	}
	slices.Sort(rates)
	e, w := 0, 0
	for i := range list {
		e, w = e+errs[i], w+words[i]
	}
	return fmt.Sprintf("| %s | %d | %d | %.1f %% | %.1f to %.1f %% |", name, w, e, 100*float64(e)/float64(w), rates[25], rates[974])
}

// wrong is the number of words that have to be replaced, left out or added to make heard of said.
func wrong(said, heard []string) int {
	runes := map[string]rune{} // a rune for each word
	text := func(words []string) string {
		var s strings.Builder
		for _, w := range words {
			if _, ok := runes[w]; !ok {
				runes[w] = rune('A' + len(runes))
			}
			s.WriteRune(runes[w])
		}
		return s.String()
	}
	return levenshtein.ComputeDistance(text(said), text(heard))
}
