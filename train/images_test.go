package train

import (
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
)

// blobs returns a collection of pictures of a light spot on a dark ground, whose place, size and colour vary.
func blobs(channels int) *images.Corpus {
	set := func(n, from int) *images.Set {
		s := &images.Set{Height: 8, Width: 8, Channels: channels}
		for i := range n {
			k := i + from
			for y := range 8 {
				for x := range 8 {
					dx, dy := float64(x-k*3%8), float64(y-k*5%8)
					for c := range channels {
						s.Pixels = append(s.Pixels, uint8(20+float64(200-60*(c*k%3))*math.Exp(-(dx*dx+dy*dy)/float64(2+k%7))))
					}
				}
			}
		}
		return s
	}
	return &images.Corpus{Train: set(60, 0), Valid: set(20, 1000)}
}

// drawing is the preset image for so many steps, with a tiny model.
func drawing(t *testing.T, steps int) Config {
	t.Helper()
	c, err := Preset("image")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{
		"layers=[16,17]", "blocks=1", "hidden=16", "mixture=2", "dim=8", "entries=16", "batch=4", "validate_every=20", "sample_every=20",
		"save_every=10", "log_every=7", "warm_up=5", "learning_rate=0.004", "precision=float32",
	} {
		if err := Set(&c, a); err != nil {
			t.Fatal(err)
		}
	}
	c.Training.Steps = steps
	return c
}

// TestImages trains on pictures: with interruptions and on another number of threads curve, model and grids are the same, and the model
// learns.
func TestImages(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for name, change := range map[string]func(c *Config){
		"grey/vq/float32":   func(c *Config) {},
		"RGB/vq/bfloat16":   func(c *Config) { c.Training.Precision = "bfloat16" },
		"grey/vae/float32":  func(c *Config) { c.Model.Bottleneck.Kind, c.Model.Bottleneck.KLWarmUp = vqvae.VAE, 10 },
		"grey/none/softmax": func(c *Config) { c.Model.Bottleneck.Kind, c.Model.Image.Mixture = vqvae.None, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			collection := blobs(1)
			if strings.HasPrefix(name, "RGB") {
				collection = blobs(3)
			}
			c := drawing(t, 60)
			change(&c)
			whole, dir := t.TempDir(), t.TempDir()
			parallel.SetThreads(1)
			var n notes
			if _, err := Run(t.Context(), c, Options{Images: collection, Out: whole, Note: n.add}); err != nil {
				t.Fatal(err)
			}
			lines := curve(t, whole)
			var first, end trainingLine
			if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[len(lines)-2]), &end)); err != nil {
				t.Fatal(err)
			}
			if samples := int64(end.Step * 4 * 64 * collection.Train.Channels); !(end.NLL < first.NLL-0.5) || end.Samples != samples {
				t.Errorf("from %+v to %+v, want %d samples", first, end, samples)
			}
			if vq := c.Model.Bottleneck.Kind == vqvae.VQ; vq != (end.Used >= 2) || !n.has("bits/dim") {
				t.Errorf("%d codes used; %q", end.Used, n.lines)
			}

			parallel.SetThreads(3)
			for _, at := range []int{13, 40} {
				ctx, cancel := context.WithCancel(t.Context())
				_, err := Run(ctx, c, Options{Images: collection, Out: dir, Step: func(p Progress) {
					if p.Step == at {
						cancel()
					}
				}})
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			again, err := ReadConfig(dir) // which knows the size
			if err != nil || again.Model.Image.Samples() != len(collection.Train.Picture(0)) {
				t.Fatalf("%+v, %v", again.Model.Image, err)
			}
			if _, err := Run(t.Context(), again, Options{Images: collection, Out: dir}); err != nil {
				t.Fatal(err)
			}
			sameCurve(t, curve(t, dir), lines)
			sameModel(t, last(dir, 60), last(whole, 60))
			for _, name := range []string{"step-00000020.png", "step-00000060.png"} {
				var grids [2][]byte
				for i, dir := range []string{dir, whole} {
					file := filepath.Join(dir, samplesName, name)
					if grids[i], err = os.ReadFile(file); err != nil {
						t.Fatal(err)
					}
					f, err := os.Open(file)
					if err != nil {
						t.Fatal(err)
					}
					_, err = png.Decode(f)
					f.Close()
					if err != nil {
						t.Error(err)
					}
				}
				if !slices.Equal(grids[0], grids[1]) {
					t.Errorf("%s differs", name)
				}
			}
			if f, err := checkpoint.Load(filepath.Join(dir, BestName), dilated.Float32); err != nil || f.Model.Config.Image == nil {
				t.Errorf("the best model: %v", err)
			}
		})
	}
}

// TestImagesRefused: what does not fit is an error, and changes nothing.
func TestImagesRefused(t *testing.T) {
	dir, c := t.TempDir(), drawing(t, 3)
	if _, err := Run(t.Context(), c, Options{Images: blobs(1), Out: dir}); err != nil {
		t.Fatal(err)
	}
	other := blobs(1)
	other.Valid.Pixels[77]++
	if _, err := Run(t.Context(), c, Options{Images: other, Out: dir}); !errors.As(err, new(*CorpusError)) {
		t.Errorf("other pictures: %v", err)
	}
	if _, err := Run(t.Context(), tiny(t, 3), Options{Corpus: corpus("a", "b"), Out: dir}); !errors.As(err, new(*ConfigError)) {
		t.Errorf("a model of sound: %v", err)
	}
	none := blobs(1)
	none.Valid = nil
	for want, o := range map[string]Options{
		`fewer than 2 pictures in the split "valid"`: {Images: none},
		"no pictures to train on":                    {Images: &images.Corpus{}},
		"and no pictures":                            {Corpus: corpus("a")},
	} {
		o.Out = filepath.Join(t.TempDir(), "run")
		c := c
		c.Model = c.Model.Sized(8, 8, 1)
		if _, err := Run(t.Context(), c, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c.Model = c.Model.Sized(8, 8, 3)
	if _, err := Run(t.Context(), c, Options{Images: blobs(1), Out: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "8 x 8 pixels with 1 channels, those of the model of 8 x 8 with 3") {
		t.Errorf("grey pictures for RGB: %v", err)
	}
	if _, err := Run(t.Context(), tiny(t, 3), Options{Images: blobs(1), Out: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "a model of sound, and no corpus") {
		t.Errorf("pictures for sound: %v", err)
	}
	for _, a := range []string{"segment=64", "validation_crop=64", "jitter=0.5", "layers=[]", "blocks=-1", "batch=0"} {
		c := drawing(t, 3)
		c.Model = c.Model.Sized(8, 8, 1)
		c.Training.Segment, c.Training.ValidationCrop = 1, 1 // so that the keys are there
		if err := Set(&c, a); err != nil {
			t.Fatal(err)
		}
		if c.Training.Segment == 1 {
			c.Training.Segment = 0
		}
		if c.Training.ValidationCrop == 1 {
			c.Training.ValidationCrop = 0
		}
		name, _, _ := strings.Cut(a, "=")
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", a, err)
		}
	}
	c = drawing(t, 3)
	for _, a := range []string{"rate=16000", "segment=64", "strides=[2]"} {
		if err := Set(&c, a); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s: %v", a, err)
		}
	}
}
