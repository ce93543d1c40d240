package checkpoint

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/prior"
)

// tinyPrior is the shape of a prior for tests.
var tinyPrior = prior.Config{Model: "0123456789abcdef", Rate: 16000, Hop: 64, Codes: 9, Residual: 4, Skip: 5, Layers: 3, Cycles: 1, Speaker: 2}

func newPriorFile(t testing.TB, c prior.Config, speakers ...string) *Prior {
	t.Helper()
	p, err := prior.New(c, speakers, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	return &Prior{Prior: p, Training: []byte(`{"step": 12}`), State: nn.NewAdam(p.Parameters()).State()}
}

func savePrior(t testing.TB, f *Prior) (name string, data []byte) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "x.safetensors")
	if err := SavePrior(name, f); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, data
}

func TestPrior(t *testing.T) {
	mute := tinyPrior
	mute.Speaker = 0
	for _, want := range []*Prior{newPriorFile(t, tinyPrior, "a", "b"), newPriorFile(t, mute)} {
		name, data := savePrior(t, want)
		for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
			got, err := LoadPrior(name, precision)
			if err != nil {
				t.Fatal(err)
			}
			if got.Prior.Config != want.Prior.Config || !slices.Equal(got.Prior.Speakers.Names(), want.Prior.Speakers.Names()) || string(got.Training) != string(want.Training) {
				t.Errorf("%+v of %q, %s", got.Prior.Config, got.Prior.Speakers.Names(), got.Training)
			}
			sameTensors(t, got.Prior.Parameters(), want.Prior.Parameters())
			sameTensors(t, got.State, want.State)
			if _, again := savePrior(t, got); string(again) != string(data) {
				t.Error("saved again it is another file")
			}
		}
		first := PriorFingerprint(want.Prior)
		for _, p := range want.Prior.Parameters() {
			p.Value.Data[0]++
			if PriorFingerprint(want.Prior) == first {
				t.Errorf("%s does not change the fingerprint", p.Name)
			}
			p.Value.Data[0]--
		}
	}
}

// TestKinds: a prior is no model, and a model no prior.
func TestKinds(t *testing.T) {
	name, _ := savePrior(t, newPriorFile(t, tinyPrior, "a"))
	if _, err := Load(name, dilated.Float32); err == nil || !strings.Contains(err.Error(), `found metadata format "vqaudio-prior/1", expected "vqaudio/1": a model of vqaudio`) {
		t.Error(err)
	}
	name, _ = save(t, newFile(t, tiny, "a", "b"))
	if _, err := LoadPrior(name, dilated.Float32); err == nil || !strings.Contains(err.Error(), `expected "vqaudio-prior/1": a prior of vqaudio`) {
		t.Error(err)
	}
}

// TestLoadPriorRefuses damages files in ways that their checksums do not show.
func TestLoadPriorRefuses(t *testing.T) {
	good, data := savePrior(t, newPriorFile(t, tinyPrior, "a", "b"))
	edit := func(f func(c *prior.Config)) func(p *parts) {
		return func(p *parts) {
			c := tinyPrior
			f(&c)
			b, _ := json.Marshal(c)
			p.set(configKey, string(b))
		}
	}
	for _, c := range []struct {
		name   string
		damage func(p *parts)
		want   string
	}{
		{"of the future", func(p *parts) { p.set(formatKey, "vqaudio-prior/2") }, "not supported"},
		{"no config", func(p *parts) { delete(p.metadata, configKey) }, "found no metadata config"},
		{"unknown key", func(p *parts) { p.set(configKey, `{"pixels": 3}`) }, "unknown field"},
		{"empty config", func(p *parts) { p.set(configKey, `{}`) }, "expected a prior that can be"},
		{"no model", edit(func(c *prior.Config) { c.Model = "" }), "want a fingerprint"},
		{"no hop", edit(func(c *prior.Config) { c.Hop = 0 }), "codes of 0 samples"},
		{"more codes", edit(func(c *prior.Config) { c.Codes = 1000 }), "elements in all, expected the"},
		{"large", edit(func(c *prior.Config) { c.Residual, c.Skip = 1<<13, 1<<13 }), "elements in all, expected the"},
		{"other shape", edit(func(c *prior.Config) { c.Skip = 4 }), "expected shape"},
		{"no speakers", func(p *parts) { delete(p.metadata, speakersKey) }, "found no metadata speakers"},
		{"a speaker twice", func(p *parts) { p.set(speakersKey, `["a","a"]`) }, "the same name"},
		{"a speaker less", func(p *parts) { p.set(speakersKey, `["a"]`) }, `tensor "speakers.weight" of shape [3 2], expected shape [2 2]`},
		{"NaN", func(p *parts) { p.tensor("net.out1.bias").Data.([]float32)[0] = float32(math.NaN()) }, "expected a finite number"},
		{"other weight", func(p *parts) { p.tensor("net.out1.bias").Data.([]float32)[0]++ }, "found fingerprint"},
		{"missing tensor", func(p *parts) { p.tensors = p.tensors[1:] }, `found no tensor "speakers.weight"`},
		{"state without training", func(p *parts) { delete(p.metadata, trainingKey) }, "expected none of that name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := takeApart(t, good)
			c.damage(&p)
			name := filepath.Join(t.TempDir(), "x.safetensors")
			if err := safetensors.Write(name, p.metadata, p.tensors); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := LoadPrior(name, dilated.Float32)
			runtime.ReadMemStats(&after)
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(50*len(data)) {
				t.Errorf("%d bytes allocated for a file of %d", n, len(data))
			}
		})
	}
	for i := 0; i < len(data); i += 1 + i/20 {
		bad := slices.Clone(data)
		bad[i] ^= 1 << (i % 8)
		for _, damaged := range [][]byte{bad, data[:i]} {
			if err := os.WriteFile(good, damaged, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := LoadPrior(good, dilated.Float32)
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Errorf("byte %d: error %v", i, err)
			}
		}
	}
}

// FuzzLoadPrior replaces what a file says of itself. Its checksum, which would say so, is not looked at.
func FuzzLoadPrior(f *testing.F) {
	want := newPriorFile(f, tinyPrior, "a", "b")
	name, _ := savePrior(f, want)
	st, err := safetensors.Open(name)
	if err != nil {
		f.Fatal(err)
	}
	defer st.Close()
	config, speakers := st.Metadata[configKey], st.Metadata[speakersKey]
	f.Add(config, speakers)
	f.Add(strings.Replace(config, "4", "3", 1), `["a","b","c"]`)
	f.Add(strings.Replace(config, `"speaker":2`, `"speaker":0`, 1), `null`)
	f.Fuzz(func(t *testing.T, config, speakers string) {
		changed := *st
		changed.Metadata = map[string]string{configKey: config, speakersKey: speakers}
		r := reader{&changed, name}
		p, err := r.prior(dilated.Float32)
		if err == nil {
			_, err = r.read(p.Parameters(), true, make(chan string, len(st.Tensors)))
		}
		if err == nil {
			sameTensors(t, p.Parameters(), want.Prior.Parameters())
			return
		}
		var format *files.FormatError
		if !errors.As(err, &format) {
			t.Fatalf("error %T: %v", err, err)
		}
	})
}
