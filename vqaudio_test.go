package vqaudio

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/pretrained"
)

// speech returns a second of speech.
func speech(t *testing.T) Clip {
	t.Helper()
	c, err := ReadClip(filepath.Join("demo", "speech", "tools.wav"))
	if err != nil {
		t.Fatal(err)
	}
	c.Samples = c.Samples[:c.Rate]
	return c
}

func builtIn(t *testing.T) *Model {
	t.Helper()
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClip(t *testing.T) {
	c := speech(t)
	name := filepath.Join(t.TempDir(), "x.wav")
	if err := c.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	again, err := ReadClip(name)
	if err != nil || again.Rate != c.Rate || !slices.Equal(again.Samples, c.Samples) {
		t.Errorf("%v: %d samples at %d Hz come back", err, len(again.Samples), again.Rate)
	}
	wav, err := c.WAV()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := audio.NewReader(strings.NewReader(string(wav)), "x"); err != nil {
		t.Error(err)
	} else if same, err := ReadSource(r); err != nil || !slices.Equal(same.Samples, c.Samples) {
		t.Errorf("in memory: %v, %d samples", err, len(same.Samples))
	}
	if half, err := c.Resample(8000); err != nil || half.Rate != 8000 || len(half.Samples) != 8000 {
		t.Errorf("%v: %d samples at %d Hz", err, len(half.Samples), half.Rate)
	}
	if _, err := ReadClip("none.wav"); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// A clip encoded is that clip spoken, whoever draws beside it, and on however many cores.
func TestSpeak(t *testing.T) {
	m, c := builtIn(t), speech(t)
	us := make([]Utterance, 5)
	for i := range us {
		u, err := m.Converted(c, m.Voices()[i])
		if err != nil {
			t.Fatal(err)
		}
		u.Units, u.Seed = u.Units[:10+i], uint64(i)
		us[i] = u
	}
	us[3].Units = nil
	alone := make([]Clip, len(us))
	for i, u := range us {
		var err error
		if alone[i], err = m.Decode(u); err != nil {
			t.Fatal(err)
		}
		if want := len(u.Units) * m.VQVAE.Config.Hop(); len(alone[i].Samples) != want || alone[i].Rate != m.Rate() {
			t.Errorf("utterance %d has %d samples at %d Hz, want %d", i, len(alone[i].Samples), alone[i].Rate, want)
		}
	}
	defer parallel.SetThreads(parallel.Threads())
	for _, threads := range []int{1, 2, 7} {
		parallel.SetThreads(threads)
		spoken := 0
		err := m.Speak(context.Background(), us, func(i int, c Clip) {
			spoken++
			if !slices.Equal(c.Samples, alone[i].Samples) {
				t.Errorf("%d threads: utterance %d is not what it is alone", threads, i)
			}
		})
		if err != nil || spoken != len(us) {
			t.Errorf("%d threads: %d spoken, %v", threads, spoken, err)
		}
	}
	again, err := m.Decode(us[1])
	if err != nil || !slices.Equal(again.Samples, alone[1].Samples) {
		t.Error("the same seed gives other sound")
	}
	us[1].Seed++
	if other, err := m.Decode(us[1]); err != nil || slices.Equal(other.Samples, alone[1].Samples) {
		t.Error("another seed gives the same sound")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Speak(ctx, us, func(int, Clip) {}); err == nil {
		t.Error("cancelled, it is done all the same")
	}
}

func TestConvert(t *testing.T) {
	m, c := builtIn(t), speech(t)
	c.Samples = c.Samples[:4321]
	out, err := m.Convert(c, m.Voices()[1])
	if want := int(math.Ceil(4321 * float64(m.Rate()) / float64(c.Rate))); err != nil || len(out.Samples) != want {
		t.Errorf("%v: %d samples, want %d", err, len(out.Samples), want)
	}
	plain, err := m.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	u, err := m.Converted(c, m.Voices()[1])
	if err != nil || slices.Equal(u.Units, plain) || len(u.Units) != len(plain) {
		t.Errorf("%v: with the timbre of another voice a clip has the same units", err)
	}
	if u, err := m.Reconstructed(c, m.Voices()[1]); err != nil || !slices.Equal(u.Units, plain) {
		t.Errorf("%v: units as they are differ from those of Encode", err)
	}
}

// A voice of the model is the nearest to itself.
func TestNearest(t *testing.T) {
	m := builtIn(t)
	voice, nll, err := m.Nearest(speech(t))
	if err != nil || !slices.Contains(m.Voices(), voice) || !(nll > 0 && nll < math.Log(256)) {
		t.Errorf("%q, %v, %v", voice, nll, err)
	}
	if _, _, err := m.Nearest(Clip{make([]float64, 100), 8000}); err == nil {
		t.Error("an eightieth of a second has a voice")
	}
}

func TestGenerate(t *testing.T) {
	m := builtIn(t)
	u, err := m.Generate(m.Voices()[2], 0.5, 7)
	if err != nil || len(u.Units) != int(math.Ceil(0.5*m.UnitRate())) {
		t.Fatalf("%d units, %v", len(u.Units), err)
	}
	same, err := m.Generate(m.Voices()[2], 0.5, 7)
	if err != nil || !slices.Equal(same.Units, u.Units) {
		t.Error("the same seed gives other units")
	}
	for _, seconds := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := m.Generate("", seconds, 1); err == nil {
			t.Errorf("%v seconds are generated", seconds)
		}
	}
}

func TestRefused(t *testing.T) {
	m := builtIn(t)
	for _, u := range []Utterance{
		{Units: []int32{0}, Voice: "nobody"},
		{Units: []int32{-1}, Voice: m.Voices()[0]},
		{Units: []int32{int32(m.VQVAE.Config.Bottleneck.Codes())}, Voice: m.Voices()[0]},
	} {
		if _, err := m.Decode(u); err == nil {
			t.Errorf("%+v is spoken", u)
		}
	}
	if _, err := m.Convert(speech(t), "nobody"); err == nil {
		t.Error("converted to nobody")
	}
	if _, err := m.Encode(Clip{Samples: []float64{0}, Rate: 0}); err == nil {
		t.Error("a clip without a rate is encoded")
	}
	if _, err := Open("none.safetensors", ""); !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := Open(filepath.Join("pretrained", "prior.safetensors"), ""); err == nil {
		t.Error("a prior is opened as a model")
	}
	f, err := pretrained.Model(0)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := New(f, nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Generate("", 1, 1); err == nil {
		t.Error("without a prior it generates")
	}
}
