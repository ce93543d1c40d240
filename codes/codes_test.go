package codes

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// tiny is the shape of a model for tests.
var tiny = vqvae.Config{
	Rate: 16000, Levels: 32,
	Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{4, 6}, Strides: []int{2, 5}},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 3, Entries: 8, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99, Dead: 0.03,
	},
	Decoder: vqvae.DecoderConfig{Residual: 4, Skip: 5, Layers: 3, Cycles: 2, Speaker: 2},
}

const fingerprint = "0123456789abcdef"

func newModel(t testing.TB, c vqvae.Config) *vqvae.Model {
	t.Helper()
	m, err := vqvae.New(c, []string{"a", "b"}, dilated.BFloat16, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// corpus returns utterances of these lengths, by turns of a, b and c, every fourth of the valid split.
func corpus(lengths ...int) *corpora.Cache {
	random := rand.New(rand.NewPCG(1, 2))
	var utterances []corpora.Utterance
	var samples [][]int16
	for i, n := range lengths {
		u := corpora.Utterance{Path: fmt.Sprintf("%d.wav", i), Speaker: string(rune('a' + i%3)), Split: corpora.Train}
		if i%4 == 3 {
			u.Split = corpora.Valid
		}
		x := make([]int16, n)
		for t := range x {
			x[t] = int16(8000*math.Sin(float64(t)*0.05*float64(1+i)) + 300*random.NormFloat64())
		}
		utterances, samples = append(utterances, u), append(samples, x)
	}
	return corpora.NewCache(16000, utterances, samples)
}

// TestEncode: codes are those of each utterance as a whole, in float32, whatever the number of threads.
func TestEncode(t *testing.T) {
	m, cache := newModel(t, tiny), corpus(1, 995, 40000, 70001, 10)
	defer parallel.SetThreads(parallel.Threads())
	var first Codes
	for _, threads := range []int{1, 3} {
		parallel.SetThreads(threads)
		var ready []int
		got, err := Encode(context.Background(), m, cache, func(done, total int) {
			ready = append(ready, done)
			if total != 5 {
				t.Errorf("%d in all", total)
			}
		})
		if err != nil || !slices.Equal(ready, []int{1, 2, 3, 4, 5}) {
			t.Fatalf("%v, %v", ready, err)
		}
		if first != nil && !reflect.DeepEqual(got, first) {
			t.Error("other codes on other threads")
		}
		first = got
	}
	front, err := frontend.New(tiny)
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range cache.Utterances() {
		samples := make([]float32, u.Samples)
		cache.Read(samples, i, 0)
		b := front.NewBatch(1, len(samples))
		front.Fill(&b, samples)
		if want := m.With(dilated.Float32).Codes(new(tensor.Arena), b.Input); !slices.Equal(first[i], want) {
			t.Errorf("utterance %d: %d codes, want %d", i, len(first[i]), len(want))
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	vae := tiny
	vae.Bottleneck = vqvae.BottleneckConfig{Kind: vqvae.VAE, Dim: 3}
	if _, err := Encode(context.Background(), newModel(t, vae), corpus(100), nil); err == nil || !strings.Contains(err.Error(), "no codes") {
		t.Error(err)
	}
	slow := tiny
	slow.Rate = 8000
	if _, err := Encode(context.Background(), newModel(t, slow), corpus(100), nil); err == nil || !strings.Contains(err.Error(), "8000 Hz") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	name := filepath.Join(dir, "codes")
	_, err := Of(ctx, name, newModel(t, tiny), fingerprint, corpus(1000, 1000, 1000), nil, func(int, int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("%v is left behind", list)
	}
}

func TestSplit(t *testing.T) {
	cache := corpus(100, 200, 300, 400, 500)
	all, err := Encode(context.Background(), newModel(t, tiny), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	table, err := speaker.NewTable([]string{"b", "a"})
	if err != nil {
		t.Fatal(err)
	}
	list := all.Split(cache, corpora.Train, table)
	var ids []int32
	for _, u := range list {
		ids = append(ids, u.Speaker)
	}
	if !slices.Equal(ids, []int32{1, 0, 2, 0}) || len(list[2].Codes) != 30 || len(all.Split(cache, "", table)) != 5 {
		t.Errorf("speakers %v", ids)
	}
	if names := Speakers(cache, corpora.Valid); !slices.Equal(names, []string{"a"}) {
		t.Error(names)
	}
}

// TestOf: codes are encoded once, and again if they are of another model or corpus, or damaged.
func TestOf(t *testing.T) {
	m, cache := newModel(t, tiny), corpus(100, 2000, 333)
	name := filepath.Join(t.TempDir(), "codes.safetensors")
	var notes []string
	encoded := 0
	of := func(cache *corpora.Cache, fingerprint string) Codes {
		t.Helper()
		notes, encoded = nil, 0
		c, err := Of(context.Background(), name, m, fingerprint, cache, func(s string) { notes = append(notes, s) }, func(int, int) { encoded++ })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := of(cache, fingerprint)
	if encoded != 3 || len(notes) > 0 {
		t.Errorf("%d encoded, %q", encoded, notes)
	}
	if again := of(cache, fingerprint); encoded != 0 || len(notes) > 0 || !reflect.DeepEqual(again, first) {
		t.Errorf("%d encoded, %q", encoded, notes)
	}
	if of(cache, "fedcba9876543210"); encoded != 3 || len(notes) != 1 || !strings.Contains(notes[0], `codes of another model: "0123456789abcdef", now "fedcba9876543210"`) {
		t.Errorf("%d encoded, %q", encoded, notes)
	}
	if of(corpus(100, 2000, 443), "fedcba9876543210"); encoded != 3 || len(notes) != 1 || !strings.Contains(notes[0], "found 34 codes of utterance 2") {
		t.Errorf("%d encoded, %q", encoded, notes)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-3] ^= 1
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if of(cache, fingerprint); encoded != 3 || len(notes) != 1 {
		t.Errorf("%d encoded, %q", encoded, notes)
	}
}

// TestReadRefuses damages files in ways that their checksums do not show.
func TestReadRefuses(t *testing.T) {
	m, cache := newModel(t, tiny), corpus(100, 2000)
	name := filepath.Join(t.TempDir(), "codes")
	good := map[string]string{formatKey: format, modelKey: fingerprint, corpusKey: ""}
	list := func(lengths, codes any) []safetensors.Tensor {
		size := func(data any) []int { return []int{reflect.ValueOf(data).Len()} }
		return []safetensors.Tensor{{Name: "lengths", Shape: size(lengths), Data: lengths}, {Name: "codes", Shape: size(codes), Data: codes}}
	}
	codes := make([]int32, 210)
	bad := slices.Clone(codes)
	bad[7] = 8
	with := func(key, value string) map[string]string {
		m := map[string]string{formatKey: format, modelKey: fingerprint, corpusKey: ""}
		m[key] = value
		return m
	}
	for _, test := range []struct {
		metadata map[string]string
		tensors  []safetensors.Tensor
		want     string
	}{
		{good, list([]int32{10, 200}, codes), ""},
		{with(formatKey, "vqaudio/1"), list([]int32{10, 200}, codes), `expected "vqaudio codes/1"`},
		{with(formatKey, "vqaudio codes/2"), list([]int32{10, 200}, codes), "not supported"},
		{with(modelKey, ""), list([]int32{10, 200}, codes), "another model"},
		{with(corpusKey, "x"), list([]int32{10, 200}, codes), "another corpus"},
		{good, list([]int32{10}, codes), "found 1 utterances"},
		{good, list([]int32{11, 199}, codes), "found 11 codes of utterance 0"},
		{good, list([]int32{-10, 200}, codes), "found -10 codes"},
		{good, list([]int32{10, 200}, codes[:209]), "199 left"},
		{good, list([]int32{10, 200}, append(slices.Clone(codes), 0)), "found 1 codes more"},
		{good, list([]int32{10, 200}, bad), "found code 8 as number 7"},
		{good, list([]int64{10, 200}, codes), `no list "lengths" of I32`},
		{good, list([]int32{10, 200}, codes)[:1], `no list "codes" of I32`},
	} {
		if err := safetensors.Write(name, test.metadata, test.tensors); err != nil {
			t.Fatal(err)
		}
		_, err := Read(name, cache, m, fingerprint)
		if test.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		var stale *StaleError
		if !errors.As(err, &format) && !errors.As(err, &unsupported) && !errors.As(err, &stale) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// FuzzRead gives any bytes for a file.
func FuzzRead(f *testing.F) {
	m, cache := newModel(f, tiny), corpus(30, 20)
	name := filepath.Join(f.TempDir(), "codes")
	if err := (Codes{{1, 2, 3}, {4, 5}}).Write(name, cache, fingerprint); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(data); i += 23 {
		f.Add(append(slices.Clone(data[:i]), data[min(i+1, len(data)):]...))
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Read(name, cache, m, fingerprint)
		if err == nil {
			if len(c) != 2 || len(c[0]) != 3 || len(c[1]) != 2 {
				t.Fatalf("codes %v", c)
			}
			return
		}
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		var stale *StaleError
		if !errors.As(err, &format) && !errors.As(err, &unsupported) && !errors.As(err, &stale) {
			t.Fatalf("error %T: %v", err, err)
		}
	})
}
