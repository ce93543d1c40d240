package train

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
)

// withInput is the preset tiny with an encoder of features.
func withInput(t *testing.T, input string, steps int) Config {
	t.Helper()
	c := tiny(t, steps)
	c.Model.Encoder = vqvae.EncoderConfig{Input: input, Channels: []int{12, 16, 12}, Strides: []int{1, 2, 1}}
	c.Training.Segment, c.Training.ValidationCrop = 1280, 1280
	return c
}

// TestInputs trains on features: with interruptions and on other numbers of threads the curve is the same, and the model learns.
func TestInputs(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for input, precision := range map[string]string{vqvae.LogMel: "float32", vqvae.MFCC: "bfloat16"} {
		t.Run(input+"/"+precision, func(t *testing.T) {
			c := withInput(t, input, 40)
			c.Training.Precision = precision
			if input == vqvae.LogMel {
				c.Training.SampleEvery = 40
				c.Training.Warp, c.Training.Colour, c.Training.Hiss, c.Training.Noise = 0.2, 3, 0.3, 1.5
			}
			whole, dir := t.TempDir(), t.TempDir()
			parallel.SetThreads(1)
			(&notes{}).run(t, c, whole)
			lines := curve(t, whole)
			var first, end trainingLine
			if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[len(lines)-2]), &end)); err != nil {
				t.Fatal(err)
			}
			if !(end.NLL < first.NLL-0.5) || end.Used < 2 {
				t.Errorf("from %+v to %+v", first, end)
			}

			parallel.SetThreads(3)
			ctx, cancel := context.WithCancel(context.Background())
			_, err := Run(ctx, c, Options{Corpus: corpus("a", "b", "c"), Out: dir, Step: func(p Progress) {
				if p.Step == 13 {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			(&notes{}).run(t, c, dir)
			sameCurve(t, curve(t, dir), lines)
			sameModel(t, last(dir, 40), last(whole, 40))

			var measured [2][]float32
			var timbres [2][]float32
			for i, name := range []string{last(dir, 40), filepath.Join(dir, BestName)} {
				f, err := checkpoint.Load(name, dilated.Float32)
				if err != nil {
					t.Fatal(err)
				}
				e := f.Model.Encoder
				measured[i] = slices.Concat(e.Mean.Data, e.Deviation.Data)
				timbres[i] = f.Model.State().Find(vqvae.TimbresName).Value.Data
				if !f.Model.HasTimbres() {
					t.Errorf("%s: timbres are not measured", name)
				}
			}
			if n := len(timbres[0]) / 3; !slices.Equal(timbres[0], timbres[1]) || slices.Equal(timbres[0][:n], timbres[0][n:2*n]) {
				t.Error("the best model has other timbres, or speakers have the same")
			}
			n := len(measured[0]) / 2
			if !slices.Equal(measured[0], measured[1]) || measured[0][0] == 0 || measured[0][n] == 1 ||
				slices.ContainsFunc(measured[0][n:], func(d float32) bool { return !(d > 0) || math.IsInf(float64(d), 1) }) {
				t.Errorf("means and deviations %v, those of the best model %v", measured[0], measured[1])
			}
		})
	}
}

// TestTimbresOfBefore: a run whose checkpoints were written before models had timbres goes on, and has them then.
func TestTimbresOfBefore(t *testing.T) {
	dir := t.TempDir()
	(&notes{}).run(t, withInput(t, vqvae.LogMel, 3), dir)
	f, err := checkpoint.Load(last(dir, 3), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	want := f.Model.State().Find(vqvae.TimbresName).Value.Data
	before, err := vqvae.New(f.Model.Config, f.Model.Speakers.Names(), dilated.Float32, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(before.Parameters(), before.State()...) {
		copy(p.Value.Data, append(f.Model.Parameters(), f.Model.State()...).Find(p.Name).Value.Data)
	}
	f.Model = before
	if err := checkpoint.Save(last(dir, 3), f); err != nil {
		t.Fatal(err)
	}
	(&notes{}).run(t, withInput(t, vqvae.LogMel, 5), dir)
	if f, err = checkpoint.Load(last(dir, 5), dilated.Float32); err != nil {
		t.Fatal(err)
	}
	if got := f.Model.State().Find(vqvae.TimbresName).Value.Data; !slices.Equal(got, want) {
		t.Error("other timbres than at first")
	}
}

// TestFrom: a run that begins with the weights of a model begins where that stands, with the voices of the speakers that it knows, and goes on
// without the model.
func TestFrom(t *testing.T) {
	c, first := withInput(t, vqvae.LogMel, 60), t.TempDir()
	(&notes{}).run(t, c, first)
	f, err := checkpoint.Load(last(first, 60), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	dir, other := t.TempDir(), corpus("a", "d")
	o := Options{Corpus: other, Out: dir, From: f.Model}
	c.Training.Steps = 3
	if _, err := Run(t.Context(), c, o); err != nil {
		t.Fatal(err)
	}
	var fresh, gone trainingLine
	if err := errors.Join(json.Unmarshal([]byte(curve(t, first)[0]), &fresh), json.Unmarshal([]byte(curve(t, dir)[0]), &gone)); err != nil {
		t.Fatal(err)
	}
	if !(gone.NLL < fresh.NLL-0.5) {
		t.Errorf("begins with %v nats, a new model with %v", gone.NLL, fresh.NLL)
	}
	begun, err := checkpoint.Load(last(dir, 0), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	if checkpoint.Fingerprint(begun.Model) != checkpoint.Fingerprint(f.Model) {
		t.Error("it does not begin with all that the model is")
	}
	voices, known := begun.Model.Voices.Table.Value, f.Model.Voices.Table.Value
	if !slices.Equal(voices.Row(0), known.Row(0)) {
		t.Error("a speaker of both has another voice")
	}
	for i, v := range voices.Row(1) {
		if want := (known.Row(0)[i] + known.Row(1)[i] + known.Row(2)[i]) / 3; math.Abs(float64(v-want)) > 1e-6 {
			t.Errorf("a new speaker has %v as channel %d, want the mean %v", v, i, want)
		}
	}
	c.Model, c.Training.Steps = begun.Model.Config, 5
	if _, err := Run(t.Context(), c, Options{Corpus: other, Out: dir}); err != nil {
		t.Errorf("going on without the model: %v", err)
	}
	f.Model.Config.Encoder.Centre++
	if err := begun.Model.TakeWeights(f.Model); err == nil {
		t.Error("weights of another configuration are taken")
	}
}

// TestInputSettings: lengths are multiples of the hop, and there must be such features at the rate.
func TestInputSettings(t *testing.T) {
	c := withInput(t, vqvae.LogMel, 1)
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"training.segment 1281: want a multiple of the model's hop of 320, as 1600 is": func(c *Config) { c.Training.Segment = 1281 },
		"training.validation_crop 160: want a multiple":                                func(c *Config) { c.Training.ValidationCrop = 160 },
		`model: encoder input "wav"`:                                                   func(c *Config) { c.Model.Encoder.Input = "wav" },
		`model: encoder input "log-mel" at 400 Hz`:                                     func(c *Config) { c.Model.Rate = 400 },
		"training.warp 9":   func(c *Config) { c.Training.Warp = 9 },
		"training.noise -1": func(c *Config) { c.Training.Noise = -1 },
	} {
		c := withInput(t, vqvae.LogMel, 1)
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
