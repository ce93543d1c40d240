package train

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/vqvae"
)

func TestPresets(t *testing.T) {
	for _, name := range Presets() {
		c, err := Preset(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	files, err := presets.ReadDir("presets")
	if err != nil || len(files) != len(Presets()) {
		t.Errorf("%d files, %v", len(files), err)
	}
	base, err := Preset("base")
	if err != nil {
		t.Fatal(err)
	}
	if d := base.Model.Decoder; d.Residual != 64 || d.Skip != 128 || d.Layers != 10 || d.Cycles != 2 || base.Model.Hop() != 64 ||
		base.Training.Batch != 2 || base.Training.Segment != 4096 || base.Model.Bottleneck.Codebook != vqvae.ByAverage {
		t.Errorf("%+v", base)
	}
	if _, err := Preset("bsae"); err == nil || !strings.Contains(err.Error(), "base") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"{}{}", "[]", "", `{"training":{"stpes":3}}`, `{"model":{"encoder":{"depth":3}}}`, `{"training":{"batch":1.5}}`} {
		if _, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}

func TestSet(t *testing.T) {
	c, err := Preset("base")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{
		"model.bottleneck.entries=128", "bottleneck.dim=32", "jitter=0.12", "strides=[2,4,4,4,5,1]", "training.segment = 8320", "validation_crop=8320",
		"seed=18446744073709551615", "codebook=loss", `precision="float32"`, "minutes=1.5",
	} {
		if err := Set(&c, a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	want, _ := Preset("base")
	want.Model.Bottleneck.Entries, want.Model.Bottleneck.Dim, want.Model.Bottleneck.Jitter, want.Model.Bottleneck.Codebook = 128, 32, 0.12, "loss"
	want.Model.Encoder.Strides = []int{2, 4, 4, 4, 5, 1}
	want.Training.Segment, want.Training.ValidationCrop, want.Training.Seed = 8320, 8320, math.MaxUint64
	want.Training.Precision, want.Training.Minutes = "float32", 1.5
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, want\n%+v", c, want)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	for a, text := range map[string]string{
		"entires=128":          "bottleneck.entries",
		"botleneck.dim=1":      "bottleneck.dim",
		"lr=1":                 "near ones",
		"decay":                "want key=value",
		"batch=many":           "training.batch=many: a string, want a whole number",
		"batch=1.5":            "want a whole number",
		"seed=-1":              "want a whole number from 0",
		"clip=[1]":             "want a number",
		"channels=128":         "want a list",
		"precision=16":         "want text",
		"bottleneck=3":         "no key",
		"training.model.dim=1": "no key",
		"=3":                   "no key",
	} {
		before := c
		if err := Set(&c, a); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", a, err, text)
		}
		if !reflect.DeepEqual(c, before) {
			t.Errorf("%s changes the configuration", a)
		}
	}
}

// TestCheck: every limit of the settings is held.
func TestCheck(t *testing.T) {
	for _, a := range []string{
		"steps=-1", "minutes=-1", "batch=0", "batch=5000", "segment=0", "segment=8200", "learning_rate=-1", "learning_rate=2", "warm_up=-1", "halve=-1",
		"clip=0", "average=1.5", "precision=float16", "log_every=0", "validate_every=-1", "validation_crop=100", "validation_crops=-1", "sample_every=300", "save_every=0",
		"keep=1", "segment=16777216", "entries=0", "levels=255",
	} {
		c, err := Preset("base")
		if err != nil {
			t.Fatal(err)
		}
		if a == "segment=16777216" { // which is too long for several
			c.Training.Batch = 100
		}
		if err := Set(&c, a); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(a, "=")
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestSchedule(t *testing.T) {
	s := Course{LearningRate: 8, WarmUp: 4, Halve: 10}
	var got []float64
	for _, step := range []int{0, 1, 3, 4, 14, 24, 34} {
		got = append(got, s.schedule()(step))
	}
	if want := []float64{2, 4, 8, 8, 4, 2, 1}; !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestGuard: losses as they come in training pass; those that jump do not.
func TestGuard(t *testing.T) {
	var g guard
	if why := g.check(500, 1); why != "" { // nothing is known yet
		t.Error(why)
	}
	g = guard{}
	for i := range 1000 {
		loss := 5*math.Exp(-float64(i)/300) + 0.3*math.Sin(float64(i)*1.7)
		if why := g.check(loss, 1e6); why != "" {
			t.Fatalf("step %d: %s", i, why)
		}
	}
	if !(g.Variance > 0.045 && g.Variance < 0.09) || math.Abs(g.Mean-0.25) > 0.2 {
		t.Errorf("mean %v, variance %v", g.Mean, g.Variance)
	}
	mean := g.Mean
	for _, bad := range [][2]float64{{g.Mean + 2.2, 1}, {math.NaN(), 1}, {math.Inf(1), 1}, {1, math.NaN()}, {1, math.Inf(1)}} {
		if g.check(bad[0], bad[1]) == "" {
			t.Errorf("loss %v, norm %v pass", bad[0], bad[1])
		}
	}
	if g.Bad != 5 || g.Good != 0 || g.Mean != mean {
		t.Errorf("%+v", g)
	}
	if why := g.check(0.5, 1); why != "" || g.Bad != 0 {
		t.Errorf("%s, %+v", why, g)
	}
}

// FuzzParseConfig: no configuration makes reading, checking or changing it panic, and what is right is read back as it was.
func FuzzParseConfig(f *testing.F) {
	for _, name := range Presets() {
		data, err := presets.ReadFile("presets/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "training.batch=3")
	}
	f.Add([]byte(`{"model":{"encoder":{"strides":[0,-1,1000000000000]}},"training":{"segment":-5}}`), "strides=[[]]")
	f.Fuzz(func(t *testing.T, data []byte, assignment string) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if c.Check() == nil && len(differences(c, c)) > 0 {
			t.Errorf("%v differs from itself", c)
		}
		before := c
		if err := Set(&c, assignment); err != nil && !reflect.DeepEqual(c, before) {
			t.Errorf("%s changes the configuration, with %v", assignment, err)
		}
	})
}
