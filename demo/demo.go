// Package demo shows what this software does, on a page to look at and listen to: recordings, their units, and what a model makes of them
// in its voices; and speech that nobody has spoken.
package demo

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vqaudio/vqaudio"
	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/page"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/pretrained"
	"github.com/vqaudio/vqaudio/units"
)

// Speech of espeak-ng (speech/README.md).
//
//go:embed speech/*.wav
var speech embed.FS

// What is spoken in each recording of speech.
var spoken = []struct{ name, text string }{
	{"north-wind", "The north wind and the sun were disputing which was the stronger."},
	{"numbers", "Seven, four, nine, zero. Please call me again at half past three."},
	{"tools", "A machine that listens writes down what it hears in signs of its own."},
}

// sentences are utterances of the test split as the built-in model's units, named by what is said.
//
//go:embed sentences.jsonl
var sentences []byte

const (
	longest   = 10.0 // seconds of a recording of the user's that are taken
	generated = 5.0  // seconds of a clip
	clips     = 3    // that are generated
	pageName  = "index.html"
)

// Options say what a demo is to show, and where.
type Options struct {
	Recordings []string          // of the user's, before those of the package
	Folder     string            // for the page and its sound; made if it is not there
	Progress   evaluate.Progress // may be nil
}

// clip is one that is made for the page.
type clip struct {
	section   int
	show      page.Clip
	utterance vqaudio.Utterance // what is spoken
	seconds   float64           // of it, that are kept
	sound     vqaudio.Clip      // of a recording; else what is spoken
	units     []int32           // below the spectrogram
}

// Write writes a folder with a page and its WAV files, and returns the name of the page. Errors name the recording that cannot be read.
func Write(ctx context.Context, o Options) (name string, err error) {
	if o.Progress == nil {
		o.Progress = func(string, string, int, int) {}
	}
	m, err := vqaudio.Default()
	if err != nil {
		return "", err
	}
	w := &writer{Options: o, model: m}
	if err := w.recordings(ctx); err != nil {
		return "", err
	}
	if err := w.sentences(); err != nil {
		return "", err
	}
	if err := w.generate(); err != nil {
		return "", err
	}
	took, err := w.speak(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(o.Folder, 0o777); err != nil {
		return "", err
	}
	if err := w.draw(ctx); err != nil {
		return "", err
	}
	p, err := w.page(took)
	if err != nil {
		return "", err
	}
	name = filepath.Join(o.Folder, pageName)
	return name, p.Write(name)
}

// writer makes a demo.
type writer struct {
	Options
	model    *vqaudio.Model
	sections []page.Section
	clips    []*clip
}

// recordings takes those of the user, and those of this package.
func (w *writer) recordings(ctx context.Context) error {
	n := len(w.Recordings) + len(spoken)
	for i, name := range w.Recordings {
		c, err := readStart(name)
		if err != nil {
			return err
		}
		base := filepath.Base(name)
		text := []string{fmt.Sprintf("Your recording, %.1f s.", c.Seconds())}
		if err := w.recording(ctx, base, text, strings.TrimSuffix(base, filepath.Ext(base)), c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.Progress("listening", "recordings", i+1, n)
	}
	for i, s := range spoken {
		c, err := readSpeech(s.name)
		if err != nil {
			return err
		}
		if err := w.recording(ctx, "“"+s.text+"”", []string{"Spoken by espeak-ng, a synthesiser, whose voice the model has never heard."}, s.name, c); err != nil {
			return err
		}
		w.Progress("listening", "recordings", len(w.Recordings)+i+1, n)
	}
	return nil
}

// readStart reads the first seconds of a recording.
func readStart(name string) (vqaudio.Clip, error) {
	r, err := audio.Open(name)
	if err != nil {
		return vqaudio.Clip{}, err
	}
	defer r.Close()
	c, err := vqaudio.ReadSource(audio.Section(audio.Mono(r), 0, int64(longest*float64(r.Format().SampleRate))))
	if err == nil && len(c.Samples) == 0 {
		err = fmt.Errorf("%s: there is no sound in it", name)
	}
	return c, err
}

// recording takes a recording: as it is, said by the voice of the model that is nearest to it, and converted to others.
func (w *writer) recording(ctx context.Context, title string, text []string, file string, c vqaudio.Clip) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	list, err := w.model.Encode(c)
	if err != nil {
		return err
	}
	section := len(w.sections)
	w.sections = append(w.sections, page.Section{Title: title, Text: text})
	add := func(label, note string, u vqaudio.Utterance) {
		w.clips = append(w.clips, &clip{section: section, utterance: u, seconds: c.Seconds(), units: u.Units,
			show: page.Clip{Label: label, Note: note, File: fmt.Sprintf("%d-%s-%s.wav", section+1, file, u.Voice)}})
	}
	w.clips = append(w.clips, &clip{section: section, sound: c, units: list,
		show: page.Clip{Label: "original", Note: fmt.Sprintf("and the %d units it becomes, one colour each", len(list)), File: fmt.Sprintf("%d-%s.wav", section+1, file), Wide: true}})
	if nearest, _, err := w.model.Nearest(c); err == nil { // not of what is too short
		u, err := w.model.Reconstructed(c, nearest)
		if err != nil {
			return err
		}
		u.Seed = uint64(len(w.clips))
		add("reconstructed", "from those units alone, by "+nearest+", the nearest voice that the model knows", u)
	}
	for _, v := range pretrained.Voices {
		u, err := w.model.Converted(c, v)
		if err != nil {
			return err
		}
		u.Seed = uint64(len(w.clips))
		add("converted to "+v, pretrained.AboutVoice(v), u)
	}
	return nil
}

// sentences takes those that are kept as units.
func (w *writer) sentences() error {
	r, err := units.NewReader(bytes.NewReader(sentences), "sentences.jsonl", units.JSONL)
	if err != nil {
		return err
	}
	for number := 1; ; number++ {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if fingerprint := checkpoint.Fingerprint(w.model.VQVAE); u.Model != fingerprint {
			return fmt.Errorf("sentences.jsonl has units of model %s, and the built-in one is %s", u.Model, fingerprint)
		}
		section := len(w.sections)
		w.sections = append(w.sections, page.Section{Title: "“" + u.Name + "”",
			Text: []string{fmt.Sprintf("A sentence that is part of this program as its %d units: no sound is left of whoever said it.", len(u.Units))}})
		for _, v := range pretrained.Voices {
			w.clips = append(w.clips, &clip{section: section, units: u.Units, seconds: math.Inf(1),
				utterance: vqaudio.Utterance{Units: u.Units, Voice: v, Seed: uint64(len(w.clips))},
				show:      page.Clip{Label: "said by " + v, Note: pretrained.AboutVoice(v), File: fmt.Sprintf("%d-sentence-%d-%s.wav", section+1, number, v)}})
		}
	}
}

// generate takes units from the prior.
func (w *writer) generate() error {
	section := len(w.sections)
	w.sections = append(w.sections, page.Section{Title: "What nobody has said",
		Text: []string{"The prior, a second WaveNet, has learnt which unit follows which. What it draws sounds like speech from afar, and says nothing."}})
	for i := range clips {
		v := pretrained.Voices[i%len(pretrained.Voices)]
		u, err := w.model.Generate(v, generated, uint64(i+1))
		if err != nil {
			return err
		}
		w.clips = append(w.clips, &clip{section: section, utterance: u, units: u.Units, seconds: generated,
			show: page.Clip{Label: "generated, said by " + v, Note: pretrained.AboutVoice(v), File: fmt.Sprintf("%d-generated-%d.wav", section+1, i+1)}})
	}
	return nil
}

// speak speaks all that is to be spoken, and returns how long that took.
func (w *writer) speak(ctx context.Context) (time.Duration, error) {
	var todo []*clip
	var list []vqaudio.Utterance
	for _, c := range w.clips {
		if c.utterance.Units != nil {
			todo, list = append(todo, c), append(list, c.utterance)
		}
	}
	start, done := time.Now(), 0
	err := w.model.Speak(ctx, list, func(i int, sound vqaudio.Clip) {
		c := todo[i]
		sound.Samples = sound.Samples[:min(len(sound.Samples), int(min(math.Ceil(c.seconds*float64(sound.Rate)), 1e9)))]
		c.sound = sound
		done++
		w.Progress("speaking", "clips", done, len(list))
	})
	return time.Since(start), err
}

// draw draws the pictures, and writes the sound.
func (w *writer) draw(ctx context.Context) error {
	const width, height, wide = 480, 360, 1200
	failed := make([]error, len(w.clips))
	parallel.For(len(w.clips), func(i int) {
		c := w.clips[i]
		size := picture.Options{Width: width, Height: height}
		if c.show.Wide {
			size.Width = wide
		}
		if failed[i] = ctx.Err(); failed[i] == nil {
			failed[i] = w.drawClip(c, size)
		}
	})
	return errors.Join(failed...)
}

func (w *writer) drawClip(c *clip, o picture.Options) error {
	heard, err := c.sound.Resample(w.model.Rate()) // what the model hears
	if err != nil {
		return err
	}
	p, err := picture.New(heard.Rate, o)
	if err != nil {
		return err
	}
	p.Add(heard.Samples)
	var b bytes.Buffer
	if err := png.Encode(&b, p.Draw(&picture.Codes{Units: c.units, Rate: w.model.UnitRate()})); err != nil {
		return err
	}
	c.show.PNG = b.Bytes()
	if c.show.WAV, err = c.sound.WAV(); err != nil {
		return err
	}
	return files.Write(filepath.Join(w.Folder, c.show.File), c.show.WAV)
}

// page puts all together.
func (w *writer) page(took time.Duration) (*page.Page, error) {
	counts, seconds, sound := map[int32]int64{}, 0.0, 0.0
	for _, c := range w.clips {
		if c.show.Wide {
			for _, k := range c.units {
				counts[k]++
			}
			seconds += c.sound.Seconds()
		} else {
			sound += c.sound.Seconds()
		}
		w.sections[c.section].Clips = append(w.sections[c.section].Clips, c.show)
	}
	config := w.model.VQVAE.Config
	codes := evaluate.DescribeModelCodes(counts, config.Bottleneck, seconds)
	likelihood, err := pretrained.Likelihood()
	if err != nil {
		return nil, err
	}
	return &page.Page{
		Title: "vqaudio",
		Intro: []string{
			"A model of this program has learnt, from 1.2 hours of recordings alone and without any text, to write speech down in units of its own, and to say them again in the voices of its speakers. " +
				"Below every picture stand the units, each in its colour: the same colour is the same unit.",
			"It hears and speaks at 8 kHz, as a telephone does, and not everything that it says is clear.",
		},
		Figures: []page.Figure{
			{Name: "units", Value: fmt.Sprintf("%g a second", w.model.UnitRate()), Note: fmt.Sprintf("of %d different ones; %d occur in the recordings on this page", codes.Entries, codes.Used)},
			{Name: "bit rate", Value: fmt.Sprintf("%.0f bit/s", codes.BitRate), Note: fmt.Sprintf("by the entropy of these units; %.0f as they are, and %d as sound of 16 bits", codes.RawBitRate, 16*w.model.Rate())},
			{Name: "perplexity", Value: fmt.Sprintf("%.0f", codes.Perplexity), Note: "the number of units that would be as hard to guess, were they equally frequent"},
			{Name: "speed", Value: fmt.Sprintf("%.1f × real time", sound/took.Seconds()), Note: fmt.Sprintf("%.0f s of sound spoken in %.1f s on this machine, on %d of its cores", sound, took.Seconds(), parallel.Threads())},
			{Name: "negative log-likelihood", Value: fmt.Sprintf("%.3f nats", likelihood.True), Note: fmt.Sprintf("for a sample, of recordings that it was not trained on; with units of other recordings %.3f, with the wrong voice %.3f", likelihood.Shuffled, likelihood.WrongSpeaker)},
			{Name: "size", Value: fmt.Sprintf("%.1f million", float64(w.model.VQVAE.Parameters().Count()+w.model.Prior.Parameters().Count())/1e6), Note: "numbers in model and prior, all of them in the program"},
		},
		Sections: w.sections,
		Closing: []page.Block{
			{Text: "With a recording of your own, in one of 106 voices:", Code: "vqaudio voices\nvqaudio convert me.wav --to " + pretrained.Voices[0] + " -o converted.wav\nvqaudio encode me.wav -o units.jsonl\nvqaudio demo me.wav"},
			{Text: "With a corpus of your own, an hour of speech or more:", Code: "vqaudio corpus scan recordings/\nvqaudio corpus prepare recordings/manifest.tsv -o speech.cache --rate 8000\nvqaudio train vqvae --corpus speech.cache --preset voices --out run/ --minutes 120\nvqaudio convert run/ me.wav --to NAME -o converted.wav"},
			{Text: "How this model was trained, and on what: vqaudio info."},
		},
	}, nil
}
