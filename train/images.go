package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image/png"
	"math/rand/v2"
	"path/filepath"

	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/vqvae"
)

// pictures is a source.
type pictures struct {
	*run
	collection *images.Corpus
	sampler    *images.Sampler
	pixels     []uint8
	room       vqvae.Batch
}

func newPictures(r *run) (source, error) {
	collection, c := r.options.Images, r.config
	if collection == nil || collection.Train == nil {
		return nil, fmt.Errorf("a model of pictures, and no pictures to train on")
	}
	i := c.Model.Image
	if t := collection.Train; t.Height != i.Height || t.Width != i.Width || t.Channels != i.Channels {
		return nil, fmt.Errorf("the pictures are of %d x %d pixels with %d channels, those of the model of %d x %d with %d",
			t.Height, t.Width, t.Channels, i.Height, i.Width, i.Channels)
	}
	s := c.Training
	return &pictures{r, collection, images.NewSampler(collection.Train, s.Seed), make([]uint8, s.Batch*i.Samples()), evaluate.NewImageBatch(i, s.Batch)}, nil
}

func (p *pictures) Next() vqvae.Batch {
	p.sampler.Next(p.pixels, nil)
	evaluate.FillImages(&p.room, p.pixels)
	return p.room
}

func (p *pictures) perturbed(rand.Source) vqvae.Batch { return p.room }

func (p *pictures) Close() {}

func (p *pictures) timbres() {}

// corpus tells collections apart by all pixels of the training and the validation split.
func (p *pictures) corpus() corpusConfig {
	sum := sha256.New()
	c := corpusConfig{}
	for _, set := range []*images.Set{p.collection.Train, p.collection.Valid} {
		if set != nil {
			c.Pictures += set.Len()
			fmt.Fprintln(sum, set.Height, set.Width, set.Channels, set.Len())
			sum.Write(set.Pixels)
		}
	}
	c.Checksum = hex.EncodeToString(sum.Sum(nil)[:8])
	return c
}

func (p *pictures) speakers() []string { return nil }

func (p *pictures) position(at *state) { at.Images = p.sampler.State() }

func (p *pictures) restore(at state) error { return p.sampler.Restore(at.Images) }

func (p *pictures) check() error { return evaluate.CheckImages(p.model, p.collection, p.validation()) }

func (p *pictures) validate(ctx context.Context) (evaluate.Report, error) {
	return evaluate.ImageNLL(ctx, p.model, p.collection, p.validation())
}

// sample writes a grid of pictures of the validation split, the same every time, each beside its reconstruction: into the folder
// samples and for TensorBoard.
func (p *pictures) sample(context.Context) error {
	grid := evaluate.DrawReconstructions(p.model, &p.arena, p.collection.Valid)
	var data bytes.Buffer
	if err := png.Encode(&data, grid); err != nil {
		return err
	}
	if err := files.Write(filepath.Join(p.folder.dir, samplesName, fmt.Sprintf("step-%08d.png", p.state.Step)), data.Bytes()); err != nil {
		return err
	}
	p.log.events.image(p.state.Step, "samples/reconstructions", grid.Bounds().Dx(), grid.Bounds().Dy(), data.Bytes())
	return p.log.events.flush()
}
