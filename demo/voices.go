package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio"
	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/internal/page"
	"github.com/vqaudio/vqaudio/pretrained"
)

// sampleSeconds is how much of the first recording of this package a voice says as a sample.
const sampleSeconds = 1.9 // "The north wind and the sun"

// Voices writes a folder with a sample of each voice of a model, a WAV file of its name, and a page with all of them, and returns the name of the
// page. Progress may be nil. It is an error if the model has one voice for all, or a voice a name that no file can have.
func Voices(ctx context.Context, m *vqaudio.Model, folder string, progress evaluate.Progress) (name string, err error) {
	names := m.Voices()
	if len(names) == 0 {
		return "", errors.New("the model knows no speakers: it has one voice for all")
	}
	c, err := readSpeech(spoken[0].name)
	if err != nil {
		return "", err
	}
	c.Samples = c.Samples[:int(sampleSeconds*float64(c.Rate))]
	list := make([]vqaudio.Utterance, len(names))
	for i, voice := range names {
		if !filepath.IsLocal(voice) || filepath.Base(voice) != voice {
			return "", fmt.Errorf("the speaker %q has a name that is none of a file", voice)
		}
		if list[i], err = m.Converted(c, voice); err != nil {
			return "", err
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", err
	}
	shown, done := make([]page.Clip, len(names)), 0
	var failed error
	err = m.Speak(ctx, list, func(i int, sound vqaudio.Clip) {
		file := names[i] + ".wav"
		wav, err := sound.WAV()
		failed = errors.Join(failed, err, sound.WriteFile(filepath.Join(folder, file)))
		shown[i] = page.Clip{Label: names[i], Note: pretrained.AboutVoice(names[i]), WAV: wav, File: file}
		done++
		if progress != nil {
			progress("speaking", "voices", done, len(names))
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return "", err
	}
	p := &page.Page{
		Title:    "Voices",
		Intro:    []string{fmt.Sprintf("What the %d voices of the model sound like: each says the beginning of “%s”, from a recording of a synthesiser.", len(names), spoken[0].text)},
		Sections: []page.Section{{Title: "All of them", Clips: shown}},
		Closing:  []page.Block{{Text: "Say what a recording says in one of them:", Code: "vqaudio convert me.wav --to " + names[0] + " -o converted.wav"}},
	}
	name = filepath.Join(folder, pageName)
	return name, p.Write(name)
}

// readSpeech reads a recording of this package.
func readSpeech(name string) (vqaudio.Clip, error) {
	data, err := speech.ReadFile("speech/" + name + ".wav")
	if err != nil {
		return vqaudio.Clip{}, err
	}
	r, err := audio.NewReader(bytes.NewReader(data), name)
	if err != nil {
		return vqaudio.Clip{}, err
	}
	return vqaudio.ReadSource(r)
}
