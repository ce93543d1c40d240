package evaluate

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// BitsPerDim is the negative log-likelihood of pictures in bits per sample, a channel of a pixel, as it is usual for them.
type BitsPerDim struct {
	Reconstruction float64 `json:"reconstruction"` // Report.True in bits
	// Codes is what the codes themselves take under a uniform prior: codes of a picture * log2(different codes) / samples. The
	// sum of both is the likelihood of a picture. 0 for models without codes.
	Codes float64 `json:"codes"`
}

// Total is the sum.
func (b BitsPerDim) Total() float64 { return b.Reconstruction + b.Codes }

// imageBatch is the number of pictures of a batch, if none is asked for.
const imageBatch = 32

// NewImageBatch returns room for size pictures of a model.
func NewImageBatch(c *vqvae.ImageConfig, size int) vqvae.Batch {
	return vqvae.Batch{Levels: make([]int32, size*c.Samples()), Size: size, Input: tensor.New(size, c.Height, c.Width, c.Channels)}
}

// FillImages makes levels and input of b from pixels [Size, H, W, C].
func FillImages(b *vqvae.Batch, pixels []uint8) {
	for i, p := range pixels {
		b.Levels[i] = int32(p)
	}
	images.Floats(b.Input.Data, pixels)
}

// ImageNLL is [NLL] for a model of pictures: over all pictures of the split o.Split, which is to be named, or over o.Crops of them,
// evenly spread, in batches of o.Batch (0 is 32) or somewhat more, so that none is left out. o.Crop is not looked at. In the
// report a crop is a picture, nats are per sample, a channel of a pixel, and what is said of codes in a second is of a picture.
//
// A batch holds by turns pictures of the first and of the second half of the split. So those whose codes are taken in the place of
// a picture's, the ones before it, are mostly of another class, where a collection is sorted by classes.
func ImageNLL(ctx context.Context, m *vqvae.Model, corpus *images.Corpus, o Options) (Report, error) {
	set, err := o.images(m, corpus)
	if err != nil {
		return Report{}, err
	}
	if o.Arena == nil {
		o.Arena = new(tensor.Arena)
	}
	order := halves(spreadImages(set.Len(), o.Crops))
	config := m.Config.Image
	r := Report{Split: o.Split, Crop: config.Samples(), Batch: o.Batch, Crops: len(order)}
	counts := map[int32]int64{}
	batches := max(1, len(order)/o.Batch)
	var b vqvae.Batch
	var pixels []uint8
	for i := range batches {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		part := order[i*len(order)/batches : (i+1)*len(order)/batches]
		if len(part) != b.Size {
			b, pixels = NewImageBatch(config, len(part)), make([]uint8, len(part)*config.Samples())
		}
		for k, at := range part {
			copy(pixels[k*config.Samples():], set.Picture(at))
		}
		FillImages(&b, pixels)
		var sum Report
		measure(m, b, nil, o.Arena, o.Noise, &sum, counts)
		o.Arena.Reset()
		share := float64(len(part)) / float64(len(order))
		r.True, r.Shuffled, r.Constant, r.KL = r.True+share*sum.True, r.Shuffled+share*sum.Shuffled, r.Constant+share*sum.Constant, r.KL+share*sum.KL
		if o.Progress != nil {
			o.Progress((i+1)*len(order)/batches, len(order))
		}
	}
	r.Codes = DescribeModelCodes(counts, m.Config.Bottleneck, float64(len(order)))
	r.Bits = &BitsPerDim{Reconstruction: r.True / math.Ln2, Codes: r.RawBitRate / float64(r.Crop)}
	return r, nil
}

// CheckImages returns the error that [ImageNLL] would begin with, and measures nothing.
func CheckImages(m *vqvae.Model, corpus *images.Corpus, o Options) error {
	_, err := o.images(m, corpus)
	return err
}

// images puts what zeros stand for in their place, and returns the pictures.
func (o *Options) images(m *vqvae.Model, corpus *images.Corpus) (*images.Set, error) {
	config := m.Config.Image
	if config == nil {
		return nil, fmt.Errorf("the model is one of sound, the corpus one of pictures")
	}
	if o.Batch == 0 {
		o.Batch = imageBatch
	}
	if o.Batch < 2 {
		return nil, fmt.Errorf("batches of %d: want 2 pictures or more, so that codes can be shuffled", o.Batch)
	}
	set := ImageSplit(corpus, o.Split)
	if set == nil || set.Len() < 2 || o.Crops == 1 {
		return nil, fmt.Errorf("fewer than 2 pictures in the split %q of the corpus", o.Split)
	}
	if set.Height != config.Height || set.Width != config.Width || set.Channels != config.Channels {
		return nil, fmt.Errorf("the pictures are of %d x %d pixels with %d channels, those of the model of %d x %d with %d",
			set.Height, set.Width, set.Channels, config.Height, config.Width, config.Channels)
	}
	return set, nil
}

// ImageSplit returns the pictures of a split: [corpora.Train], Valid or Test; nil if there are none.
func ImageSplit(c *images.Corpus, split string) *images.Set {
	switch split {
	case corpora.Train:
		return c.Train
	case corpora.Valid:
		return c.Valid
	case corpora.Test:
		return c.Test
	}
	return nil
}

// spreadImages returns all of n pictures, or at most so many of them, evenly spread.
func spreadImages(n, most int) []int {
	k := n
	if most > 0 {
		k = min(n, most)
	}
	chosen := make([]int, k)
	for i := range chosen {
		chosen[i] = i * n / k
	}
	return chosen
}

// halves returns the elements of the first and of the second half of list by turns.
func halves(list []int) []int {
	mixed, half := make([]int, 0, len(list)), (len(list)+1)/2
	for i := range half {
		mixed = append(mixed, list[i])
		if half+i < len(list) {
			mixed = append(mixed, list[half+i])
		}
	}
	return mixed
}

// drawnPictures is the number of pictures in a grid.
const drawnPictures = 40

// DrawReconstructions returns a grid of pictures of a set, spread evenly over it, each beside what a model makes of it
// ([vqvae.Model.Picture]); a variational autoencoder, of its means. [CheckImages] has found the set to be of the model's size.
func DrawReconstructions(m *vqvae.Model, a *tensor.Arena, set *images.Set) *image.RGBA {
	var originals, reconstructed []uint8
	b := NewImageBatch(m.Config.Image, 1)
	for _, i := range spreadImages(set.Len(), drawnPictures) {
		FillImages(&b, set.Picture(i))
		originals = append(originals, set.Picture(i)...)
		for _, level := range m.Picture(a, m.Latent(a, b.Input).Vectors) {
			reconstructed = append(reconstructed, uint8(level))
		}
		a.Reset()
	}
	grid := picture.Grid{Height: set.Height, Width: set.Width, Channels: set.Channels, Versions: [][]uint8{originals, reconstructed}}
	return grid.Draw()
}
