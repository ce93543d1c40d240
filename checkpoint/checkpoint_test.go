package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/vqvae"
)

// tiny is the shape of a model for tests.
var tiny = vqvae.Config{
	Rate: 16000, Levels: 32,
	Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{4, 6}, Strides: []int{2, 5}},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 3, Entries: 8, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99, Dead: 0.03,
	},
	Decoder: vqvae.DecoderConfig{Residual: 4, Skip: 5, Layers: 3, Cycles: 2, Upsample: []int{5}, Speaker: 2},
}

func newFile(t testing.TB, c vqvae.Config, speakers ...string) *File {
	t.Helper()
	m, err := vqvae.New(c, speakers, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, p := range tensors(m) {
		for i := range p.Value.Data {
			p.Value.Data[i] = float32(r.IntN(2001)-1000) / 256
		}
	}
	state := append(nn.NewAdam(m.Parameters()).State(), nn.NewAverage(m.Parameters(), 0.9).State()...)
	for _, p := range state {
		for i := range p.Value.Data {
			p.Value.Data[i] = float32(r.IntN(2001)-1000) / 256
		}
	}
	state[1].Value.Data[0] = float32(math.Inf(1)) // what optimisers hold is theirs
	return &File{Model: m, Training: []byte(`{"step": 12, "loss": [1.5, 2e-300]}`), State: state}
}

// sameTensors compares names, shapes and bits.
func sameTensors(t *testing.T, got, want nn.Parameters) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
		if g.Name != w.Name || !g.Value.SameShape(w.Value) || !slices.EqualFunc(g.Value.Data, w.Value.Data, same) {
			t.Errorf("%s %v is not %s %v", g.Name, g.Value, w.Name, w.Value)
		}
	}
}

func save(t testing.TB, f *File) (name string, data []byte) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "x.safetensors")
	if err := Save(name, f); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, data
}

func TestRoundTrip(t *testing.T) {
	byLoss, voiceless := tiny, tiny
	byLoss.Bottleneck.Codebook, byLoss.Decoder.Upsample = vqvae.ByLoss, []int{}
	voiceless.Decoder.Speaker = 0
	enrolled := newFile(t, tiny, "a", "Zoë <z>")
	enrolled.Enrolled = map[string]speaker.Enrolment{"Zoë <z>": {Time: time.Date(2026, 11, 5, 1, 2, 3, 0, time.UTC), Clips: []string{"a&b", "c"}, Seconds: 20.5, Gain: 1e-7}}
	for name, want := range map[string]*File{
		"average": newFile(t, tiny, "p225", "Zoë <z>"), "loss": newFile(t, byLoss, "a", "b"), "without speakers": newFile(t, voiceless),
		"names only": newFile(t, voiceless, "a"), "enrolled": enrolled,
	} {
		t.Run(name, func(t *testing.T) {
			path, data := save(t, want)
			for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
				got, err := Load(path, precision)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got.Model.Config, want.Model.Config) || !slices.Equal(got.Model.Speakers.Names(), want.Model.Speakers.Names()) {
					t.Errorf("%+v of %q, want %+v of %q", got.Model.Config, got.Model.Speakers.Names(), want.Model.Config, want.Model.Speakers.Names())
				}
				sameTensors(t, tensors(got.Model), tensors(want.Model))
				sameTensors(t, got.State, want.State)
				if !reflect.DeepEqual(got.Enrolled, want.Enrolled) {
					t.Errorf("enrolled are %+v, want %+v", got.Enrolled, want.Enrolled)
				}
				if string(got.Training) != string(want.Training) {
					t.Errorf("training is %s", got.Training)
				}
				if p := got.Model.Encoder.Layers[0].Config().Precision; p != precision {
					t.Errorf("precision %v, want %v", p, precision)
				}
				if _, again := save(t, got); string(again) != string(data) {
					t.Error("saved again it is another file")
				}
			}
		})
	}
}

func TestExport(t *testing.T) {
	whole := newFile(t, tiny, "a", "b")
	whole.Enrolled = map[string]speaker.Enrolment{"b": {Seconds: 3}}
	name := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Export(name, whole, dilated.Float32); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, tensors(f.Model), tensors(whole.Model))
	if f.Training != nil || f.State != nil || f.Enrolled["b"].Seconds != 3 {
		t.Errorf("training %q, state %v, enrolled %v", f.Training, f.State, f.Enrolled)
	}
	before, _ := save(t, whole)
	a, _ := os.Stat(name)
	b, _ := os.Stat(before)
	if a.Size() > b.Size()/3 {
		t.Errorf("%d bytes, with the state of training %d", a.Size(), b.Size())
	}
}

// An export in bfloat16 is half as long, and holds what the model then is; so does the one of it in memory.
func TestExportBFloat16(t *testing.T) {
	f, dir := newFile(t, tiny, "a", "b"), t.TempDir()
	long, short := filepath.Join(dir, "f32.safetensors"), filepath.Join(dir, "bf16.safetensors")
	before := Fingerprint(f.Model)
	if err := errors.Join(Export(long, f, dilated.Float32), Export(short, f, dilated.BFloat16)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(short)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Read(data, short, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(short, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, tensors(read.Model), tensors(f.Model))
	sameTensors(t, tensors(loaded.Model), tensors(f.Model))
	if Fingerprint(f.Model) == before {
		t.Error("rounded weights have the fingerprint of those before")
	}
	values := 0
	for _, p := range tensors(f.Model) {
		values += p.Value.Len()
		for i, v := range p.Value.Data {
			if math.Float32bits(v)&0xffff != 0 {
				t.Fatalf("element %d of %s is %v, no bfloat16", i, p.Name, v)
			}
		}
	}
	a, _ := os.Stat(long)
	if saved := int(a.Size()) - len(data); saved < 2*values-100 || saved > 2*values+100 { // headers differ a little
		t.Errorf("%d bytes less, of %d numbers", saved, values)
	}
	if _, err := Read(data[:len(data)-1], "x", dilated.Float32); err == nil {
		t.Error("a file cut off was read")
	}
}

func TestFingerprint(t *testing.T) {
	m := newFile(t, tiny, "a", "b").Model
	first := Fingerprint(m)
	// Python: sha256(b"".join(name.encode() + b"\0" + data)).hexdigest()[:16] over the tensors of the file in order, but for
	// "speakers.weight" and "training.".
	if want := "7bcabe05c9164c2e"; first != want {
		t.Errorf("%s, want %s", first, want)
	}
	for _, p := range tensors(m) {
		p.Value.Data[len(p.Value.Data)-1]++
		if changed := Fingerprint(m) != first; changed != (p.Name != "speakers.weight") {
			t.Errorf("%s changes it: %v", p.Name, changed)
		}
		p.Value.Data[len(p.Value.Data)-1]--
	}
}

// TestTimbres: timbres come back as they were; a file of a model that has none is read, and so is one of before there were any; they are no part of the
// fingerprint.
func TestTimbres(t *testing.T) {
	features := tiny
	features.Rate, features.Encoder.Input, features.Decoder.Upsample = 800, vqvae.LogMel, nil
	f := newFile(t, features, "a", "b")
	first := Fingerprint(f.Model)
	path, _ := save(t, f)
	load := func() (*File, error) { return Load(path, dilated.Float32) }
	if got, err := load(); err != nil || got.Model.HasTimbres() || got.Model.State().Find(vqvae.TimbresName) != nil {
		t.Errorf("of before: %v", err)
	}
	f.Model.AddTimbres()
	path, _ = save(t, f)
	if got, err := load(); err != nil || got.Model.HasTimbres() || Fingerprint(got.Model) != first {
		t.Errorf("not measured yet: %v", err)
	}
	p := takeApart(t, path)
	p.tensor(vqvae.TimbresName).Shape = []int{161, 2}
	if err := safetensors.Write(path, p.metadata, p.tensors); err != nil {
		t.Fatal(err)
	}
	if _, err := load(); err == nil || !strings.Contains(err.Error(), `found tensor "speakers.timbre" of shape [161 2], expected none of that name`) {
		t.Errorf("another shape: %v", err)
	}

	timbres := f.Model.State().Find(vqvae.TimbresName).Value
	for i := range timbres.Data {
		timbres.Data[i] = float32(i%7) + 0.5
	}
	path, _ = save(t, f)
	got, err := load()
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, tensors(got.Model), tensors(f.Model))
	if !got.Model.HasTimbres() || Fingerprint(got.Model) != first {
		t.Errorf("timbres %v, fingerprint %s, want %s", got.Model.HasTimbres(), Fingerprint(got.Model), first)
	}
	for back, want := range map[int]string{2: "speakers.timbre: deviation -101 of channel 79 of speaker 1", 1: "speakers.timbre: level -101 of speaker 1"} {
		at := &timbres.Data[len(timbres.Data)-back]
		was := *at
		*at = -101
		path, _ = save(t, f)
		if _, err := load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		*at = was
	}
}

func TestSaveRefuses(t *testing.T) {
	f := newFile(t, tiny, "a", "b")
	dir := t.TempDir()
	name := filepath.Join(dir, "x.safetensors")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("State without Training does not panic")
			}
		}()
		_ = Save(name, &File{Model: f.Model, State: f.State})
	}()
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, p := range tensors(f.Model) {
			last := &p.Value.Data[len(p.Value.Data)-1]
			was := *last
			*last = float32(bad)
			want := fmt.Sprintf("tensor %q holds %v as element %d", p.Name, bad, len(p.Value.Data)-1)
			if err := Save(name, f); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %s", err, want)
			}
			*last = was
		}
	}
	if err := Save(filepath.Join(dir, "none", "x"), f); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// parts are what a file is made of, to be damaged.
type parts struct {
	metadata map[string]string
	tensors  []safetensors.Tensor
}

func (p *parts) set(key, value string) { p.metadata[key] = value }

// edit changes the JSON of the configuration.
func (p *parts) edit(f func(c *vqvae.Config)) {
	var c vqvae.Config
	if err := json.Unmarshal([]byte(p.metadata[configKey]), &c); err != nil {
		panic(err)
	}
	f(&c)
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	p.metadata[configKey] = string(b)
}

func (p *parts) tensor(name string) *safetensors.Tensor {
	return &p.tensors[slices.IndexFunc(p.tensors, func(t safetensors.Tensor) bool { return t.Name == name })]
}

// takeApart reads the parts of a file.
func takeApart(t *testing.T, name string) parts {
	t.Helper()
	f, err := safetensors.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := parts{metadata: maps.Clone(f.Metadata)}
	for _, info := range f.Tensors {
		data := make([]float32, info.Len())
		if err := f.Read(info, data); err != nil {
			t.Fatal(err)
		}
		p.tensors = append(p.tensors, safetensors.Tensor{Name: info.Name, Shape: info.Shape, Data: data})
	}
	return p
}

// TestLoadRefuses damages files in ways that their checksums do not show.
func TestLoadRefuses(t *testing.T) {
	good, _ := save(t, newFile(t, tiny, "a", "b"))
	long := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint(i)
		}
		b, _ := json.Marshal(names)
		return string(b)
	}
	for _, c := range []struct {
		name   string
		damage func(p *parts)
		want   string
	}{
		{"no format", func(p *parts) { delete(p.metadata, formatKey) }, `found metadata format "", expected "vqaudio/1": a model of vqaudio`},
		{"of others", func(p *parts) { p.set(formatKey, "pt") }, `found metadata format "pt", expected "vqaudio/1"`},
		{"of the future", func(p *parts) { p.set(formatKey, "vqaudio/2") }, `format "vqaudio/2" is not supported`},
		{"no config", func(p *parts) { delete(p.metadata, configKey) }, "found no metadata config"},
		{"broken config", func(p *parts) { p.set(configKey, "{") }, "found config: unexpected EOF, expected JSON of this version"},
		{"empty config", func(p *parts) { p.set(configKey, "{}") }, "found config: rate 0: want 1 to"},
		{"null config", func(p *parts) { p.set(configKey, "null") }, "found config: rate 0: want 1 to"},
		{"unknown key", func(p *parts) { p.set(configKey, `{"pixels": 3}`) }, `found config: json: unknown field "pixels"`},
		{"wrong type", func(p *parts) { p.set(configKey, `{"rate": "x"}`) }, "found config: json: cannot unmarshal string"},
		{"two configs", func(p *parts) { p.set(configKey, p.metadata[configKey]+"{}") }, "found config: more text behind the JSON"},
		{"config that fails", func(p *parts) { p.edit(func(c *vqvae.Config) { c.Bottleneck.Decay = 2 }) }, "found config: bottleneck decay 2: want"},
		{"large model", func(p *parts) { p.edit(func(c *vqvae.Config) { c.Bottleneck.Entries = 1 << 20 }) }, "elements in all, expected the"},
		{"another codebook", func(p *parts) { p.edit(func(c *vqvae.Config) { c.Bottleneck.Entries = 4 }) }, `found tensor "bottleneck.codebook" of shape [8 3], expected shape [4 3], as config says`},
		{"fewer layers", func(p *parts) { p.edit(func(c *vqvae.Config) { c.Decoder.Cycles = 1 }) }, `expected shape [`},
		{"no speakers", func(p *parts) { delete(p.metadata, speakersKey) }, "found no metadata speakers"},
		{"speakers of null", func(p *parts) { p.set(speakersKey, "null") }, "no speakers"},
		{"a speaker twice", func(p *parts) { p.set(speakersKey, `["a","a"]`) }, `the same name, "a"`},
		{"a speaker more", func(p *parts) { p.set(speakersKey, `["a","b","c"]`) }, `found tensor "speakers.weight" of shape [2 2], expected shape [3 2]`},
		{"many speakers", func(p *parts) { p.set(speakersKey, long(10000)) }, "elements in all, expected the"},
		{"enrolled of another type", func(p *parts) { p.set(enrolledKey, `["a"]`) }, "found enrolled: json: cannot unmarshal array"},
		{"enrolled of later", func(p *parts) { p.set(enrolledKey, `{"a": {"pitch": 3}}`) }, `found enrolled: json: unknown field "pitch"`},
		{"enrolled unknown", func(p *parts) { p.set(enrolledKey, `{"c": {}}`) }, `found enrolled: speaker "c", expected one of the model`},
		{"enrolled in no time", func(p *parts) { p.set(enrolledKey, `{"a": {"time": "noon"}}`) }, "found enrolled: "},
		{"no fingerprint", func(p *parts) { delete(p.metadata, fingerprintKey) }, `found fingerprint "", expected "`},
		{"missing tensor", func(p *parts) { p.tensors = p.tensors[1:] }, `found no tensor "encoder.0.weight", expected one of shape [4 1 4]`},
		{"missing state", func(p *parts) { p.tensor("bottleneck.counts").Name = "training.counts" }, `found no tensor "bottleneck.counts", expected one of shape [8]`},
		{"unexpected tensor", func(p *parts) {
			p.tensors = append(p.tensors, safetensors.Tensor{Name: "more", Shape: []int{2, 1}, Data: []float32{1, 2}})
		}, `found tensor "more" of shape [2 1], expected none of that name`},
		{"other shape", func(p *parts) { p.tensor("encoder.0.weight").Shape = []int{4, 4} }, `found tensor "encoder.0.weight" of shape [4 4], expected shape [4 1 4], as config says`},
		{"other type", func(p *parts) { p.tensor("bottleneck.counts").Data = make([]int32, 8) }, `found tensor "bottleneck.counts" of I32 [8], expected F32 or BF16`},
		{"NaN", func(p *parts) { p.tensor("bottleneck.codebook").Data.([]float32)[5] = float32(math.NaN()) }, `found NaN in tensor "bottleneck.codebook", element 5 of [8 3], expected a finite number`},
		{"Inf", func(p *parts) { p.tensor("encoder.0.bias").Data.([]float32)[0] = float32(math.Inf(-1)) }, `found -Inf in tensor "encoder.0.bias"`},
		{"other weight", func(p *parts) { p.tensor("encoder.0.bias").Data.([]float32)[0]++ }, "found fingerprint"},
		{"state without training", func(p *parts) { delete(p.metadata, trainingKey) }, `found tensor "training.adam.steps" of shape [1], expected none of that name`},
		{"state of nothing", func(p *parts) {
			p.tensors = append(p.tensors, safetensors.Tensor{Name: "training.x", Shape: []int{1 << 31, 1 << 31, 0}, Data: []float32{}})
		}, `found tensor "training.x" of shape [2147483648 2147483648 0], expected elements`},
		{"state of rank 5", func(p *parts) { p.tensor("training.adam.steps").Shape = []int{1, 1, 1, 1, 1} }, `expected at most 4 dimensions`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := takeApart(t, good)
			c.damage(&p)
			name := filepath.Join(t.TempDir(), "x.safetensors")
			if err := safetensors.Write(name, p.metadata, p.tensors); err != nil {
				t.Fatal(err)
			}
			_, err := Load(name, dilated.Float32)
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestEveryByteCounts changes bytes all over a file, and cuts it.
func TestEveryByteCounts(t *testing.T) {
	name, good := save(t, newFile(t, tiny, "a", "b"))
	refused := func(data []byte, what string, i int) {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Load(name, dilated.Float32)
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		if !errors.As(err, &format) && !errors.As(err, &unsupported) {
			t.Errorf("%s %d: error %v", what, i, err)
		}
	}
	for i := 0; i < len(good); i += 1 + i/50 {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		refused(bad, "byte", i)
		refused(good[:i], "cut after", i)
	}
	if err := os.WriteFile(name, good, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name, dilated.Float32); err != nil {
		t.Error(err)
	}
}

// TestLargeConfig loads a small file whose configuration, checksum and all are in order, and describes a large model.
func TestLargeConfig(t *testing.T) {
	good, data := save(t, newFile(t, tiny, "a", "b"))
	p := takeApart(t, good)
	p.edit(func(c *vqvae.Config) { c.Bottleneck.Entries = 1 << 20 })
	if err := safetensors.Write(good, p.metadata, p.tensors); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Load(good, dilated.Float32); err == nil {
		t.Error("no error")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(20*len(data)) {
		t.Errorf("%d bytes allocated for a file of %d", n, len(data))
	}
}

// FuzzLoad replaces what a file says of itself. Its checksum, which would say so, is not looked at.
func FuzzLoad(f *testing.F) {
	want := newFile(f, tiny, "a", "b")
	name, _ := save(f, want)
	st, err := safetensors.Open(name)
	if err != nil {
		f.Fatal(err)
	}
	defer st.Close()
	config, speakers := st.Metadata[configKey], st.Metadata[speakersKey]
	f.Add(config, speakers)
	f.Add(strings.Replace(config, "8", "9", 1), `["a","b","c"]`)
	f.Add(strings.Replace(config, "[2,5]", "[5,2]", 1), `["b","a"]`)
	f.Fuzz(func(t *testing.T, config, speakers string) {
		changed := *st
		changed.Metadata = map[string]string{configKey: config, speakersKey: speakers}
		r := reader{&changed, name}
		m, err := r.model(dilated.Float32)
		if err == nil {
			_, err = r.read(tensors(m), true, make(chan string, len(st.Tensors)))
		}
		if err == nil {
			sameTensors(t, tensors(m), tensors(want.Model))
			return
		}
		var format *files.FormatError
		if !errors.As(err, &format) {
			t.Fatalf("error %T: %v", err, err)
		}
	})
}

// base is the preset of that name.
var base = vqvae.Config{
	Rate: 16000, Levels: 256,
	Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{128, 128, 128, 256, 256, 256}, Strides: []int{2, 2, 2, 2, 2, 2}},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 64, Entries: 512, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99, Dead: 0.03,
	},
	Decoder: vqvae.DecoderConfig{Residual: 64, Skip: 128, Layers: 10, Cycles: 2, Speaker: 64},
}

func BenchmarkLoad(b *testing.B) {
	whole := newFile(b, base, "a", "b")
	for name, f := range map[string]*File{"model": {Model: whole.Model}, "training": whole} {
		b.Run(name, func(b *testing.B) {
			path, data := save(b, f)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Load(path, dilated.Float32); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSave(b *testing.B) {
	f := newFile(b, base, "a", "b")
	path := filepath.Join(b.TempDir(), "x.safetensors")
	for b.Loop() {
		if err := Save(path, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	f := newFile(b, base, "a", "b")
	for b.Loop() {
		Fingerprint(f.Model)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := vqvae.New(base, []string{"a"}, dilated.Float32, rand.NewPCG(0, 0)); err != nil {
			b.Fatal(err)
		}
	}
}
