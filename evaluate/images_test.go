package evaluate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

var imageConfig = vqvae.Config{
	Image: &vqvae.ImageConfig{Height: 4, Width: 6, Channels: 3, Layers: []int{8}, Blocks: 1, Hidden: 4, Mixture: 2},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 6, Entries: 4, Distance: vqvae.Euclidean, Groups: 2, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
	},
}

// noisePictures returns so many pictures of noise.
func noisePictures(n int) *images.Set {
	r := rand.New(rand.NewPCG(3, 4))
	s := &images.Set{Height: 4, Width: 6, Channels: 3, Pixels: make([]uint8, n*4*6*3)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(r.IntN(256))
	}
	return s
}

func imageModel(t *testing.T, c vqvae.Config) *vqvae.Model {
	t.Helper()
	src := rand.NewPCG(1, 2)
	m, err := vqvae.New(c, nil, dilated.Float32, src)
	if err != nil {
		t.Fatal(err)
	}
	b := NewImageBatch(c.Image, 8)
	FillImages(&b, noisePictures(8).Pixels)
	if err := m.InitialiseCodebooks(new(tensor.Arena), []vqvae.Batch{b}, src); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestImageNLL computes the same picture by picture.
func TestImageNLL(t *testing.T) {
	m, set := imageModel(t, imageConfig), noisePictures(11)
	corpus := &images.Corpus{Test: set}
	got, err := ImageNLL(t.Context(), m, corpus, Options{Split: corpora.Test, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	a := new(tensor.Arena)
	nll := func(picture, codesOf int, constant bool) float64 {
		b, other := NewImageBatch(m.Config.Image, 1), NewImageBatch(m.Config.Image, 1)
		FillImages(&b, set.Picture(picture))
		FillImages(&other, set.Picture(codesOf))
		v := m.Latent(a, other.Input).Vectors
		if constant {
			for i := range v.Rows() {
				copy(v.Row(i), v.Row(0))
			}
		}
		return m.NLL(a, b.Levels, 1, v, nil)
	}
	want := Report{}
	counts := map[int32]int64{}
	order := []int{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5}
	for _, part := range [][]int{order[:5], order[5:]} { // two batches of 4 or more
		for i, p := range part {
			before := part[(i+len(part)-1)%len(part)]
			want.True += nll(p, p, false) / 11
			want.Shuffled += nll(p, before, false) / 11
			want.Constant += nll(p, part[0], true) / 11
			b := NewImageBatch(m.Config.Image, 1)
			FillImages(&b, set.Picture(p))
			for _, k := range m.Codes(a, b.Input) {
				counts[k]++
			}
		}
	}
	for name, pair := range map[string][2]float64{
		"true": {got.True, want.True}, "shuffled": {got.Shuffled, want.Shuffled}, "constant": {got.Constant, want.Constant},
		"bits/dim": {got.Bits.Reconstruction, want.True / math.Ln2}, "of codes": {got.Bits.Codes, 6 * 4 / 72.}, // 2x3 codes of 16
		"total": {got.Bits.Total(), want.True/math.Ln2 + 6*4/72.}, "codes a picture": {got.Rate, 6}, "raw bits": {got.RawBitRate, 24},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-6*math.Abs(pair[1]) {
			t.Errorf("%s %v, want %v", name, pair[0], pair[1])
		}
	}
	if got.Shuffled == got.True || got.Split != corpora.Test || got.Crops != 11 || got.Crop != 72 || got.Used != len(counts) || got.Entries != 16 || len(got.Perplexities) != 2 {
		t.Errorf("%+v, want %d codes", got, len(counts))
	}
	if some, err := ImageNLL(t.Context(), m, corpus, Options{Split: corpora.Test, Crops: 3}); err != nil || some.Crops != 3 || some.Batch != 32 {
		t.Errorf("%+v, %v", some, err)
	}

	vae := imageConfig
	vae.Bottleneck.Kind = vqvae.VAE
	r, err := ImageNLL(t.Context(), imageModel(t, vae), corpus, Options{Split: corpora.Test})
	if err != nil || !(r.KL > 0) || r.Entries != 0 || r.Bits.Codes != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestImageNLLRefuses(t *testing.T) {
	m := imageModel(t, imageConfig)
	wide := noisePictures(4)
	wide.Height, wide.Width = 6, 4
	for want, test := range map[string]struct {
		corpus *images.Corpus
		o      Options
	}{
		`split ""`:          {&images.Corpus{Test: noisePictures(4)}, Options{}},
		`split "valid"`:     {&images.Corpus{Test: noisePictures(4)}, Options{Split: corpora.Valid}},
		`in the split "tes`: {&images.Corpus{Test: noisePictures(1)}, Options{Split: corpora.Test}},
		"fewer than 2":      {&images.Corpus{Test: noisePictures(4)}, Options{Split: corpora.Test, Crops: 1}},
		"batches of 1":      {&images.Corpus{Test: noisePictures(4)}, Options{Split: corpora.Test, Batch: 1}},
		"of 6 x 4 pixels":   {&images.Corpus{Test: wide}, Options{Split: corpora.Test}},
	} {
		if _, err := ImageNLL(t.Context(), m, test.corpus, test.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ImageNLL(ctx, m, &images.Corpus{Test: noisePictures(4)}, Options{Split: corpora.Test}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := CheckImages(testModel(t, testConfig), &images.Corpus{Test: noisePictures(4)}, Options{Split: corpora.Test}); err == nil {
		t.Error("a model of sound is measured on pictures")
	}
	if err := Check(m, testCorpus(), Options{}); err == nil || !strings.Contains(err.Error(), "pictures") {
		t.Errorf("a model of pictures is measured on sound: %v", err)
	}
}

// TestDrawReconstructions: every second of 80 pictures is in the grid, and beside it what the model makes of its codes.
func TestDrawReconstructions(t *testing.T) {
	m, set, a := imageModel(t, imageConfig), noisePictures(80), new(tensor.Arena)
	grid := DrawReconstructions(m, a, set)
	const scale, gap, spacing, columns = 16, 2, 12, 4 // ceil(sqrt(40 * 76 / 206))
	const cell, line = 2*6*scale + gap + spacing, 4*scale + spacing
	if b := grid.Bounds(); b.Dx() != columns*cell+spacing || b.Dy() != 10*line+spacing {
		t.Fatalf("a grid of %v", b)
	}
	for _, i := range []int{0, 1, 17, 39} {
		b := NewImageBatch(m.Config.Image, 1)
		FillImages(&b, set.Picture(2*i))
		made := m.Picture(a, m.Embed(a, m.Codes(a, b.Input), 1))
		for y := range 4 {
			for x := range 6 {
				at, left, top := (y*6+x)*3, spacing+i%columns*cell+x*scale, spacing+i/columns*line+y*scale
				original, reconstructed := grid.RGBAAt(left, top), grid.RGBAAt(left+6*scale+gap, top)
				for c, got := range []uint8{original.R, original.G, original.B} {
					if got != set.Picture(2 * i)[at+c] {
						t.Fatalf("picture %d at %d, %d: %v", i, x, y, original)
					}
				}
				for c, got := range []uint8{reconstructed.R, reconstructed.G, reconstructed.B} {
					if int32(got) != made[at+c] {
						t.Fatalf("reconstruction %d at %d, %d: %v", i, x, y, reconstructed)
					}
				}
			}
		}
	}
}
