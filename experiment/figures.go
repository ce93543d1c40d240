package experiment

import (
	"bytes"
	"image"
	"math"
	"strconv"
	"strings"

	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/vqvae"
)

// bits returns what the latents of a frame cost, in bits: of a variational autoencoder the divergence from the prior, of codes the
// logarithm of their number, which is the divergence from a uniform prior. Vectors as they are have no cost that could be told.
func bits(kind string, r evaluate.Report) (bits float64, ok bool) {
	switch kind {
	case vqvae.VAE:
		return r.KL, true
	case vqvae.VQ:
		return math.Log2(float64(r.Entries)), true
	}
	return 0, false
}

// entropy returns the entropy of codes, in bits per frame: what they cost under a prior that knows how frequent each is.
func entropy(kind string, r evaluate.Report) (bits float64, ok bool) {
	return math.Log2(r.Perplexity), kind == vqvae.VQ
}

// perSample turns bits per frame into nats per sample.
func (c *Collapse) perSample(bits float64) float64 {
	return bits * math.Ln2 / float64(c.Config.Model.Hop())
}

// bound returns the upper bound of the negative log-likelihood of the sound, in nats per sample: that given the latents, and what
// these cost. Of a variational autoencoder it is the negative evidence lower bound. Where latents have no cost there is none.
func (c *Collapse) bound(kind string, r evaluate.Report) (nats float64, ok bool) {
	cost, ok := bits(kind, r)
	if kind == vqvae.VAE {
		return r.Bound(c.Config.Model.Hop()), ok
	}
	return r.True + c.perSample(cost), ok
}

// lost is what shuffled latents cost the decoder, in nats per sample.
func lost(r evaluate.Report) float64 { return r.Shuffled - r.True }

// last is the last validation of a run.
func (r Run) last() evaluate.Report { return r.Validations[len(r.Validations)-1].Report }

// TSV returns all validations, and the tests, as a table: a line each, with an empty field where a figure is not defined.
func (c *Collapse) TSV() []byte {
	var b bytes.Buffer
	line := func(fields ...string) { b.WriteString(strings.Join(fields, "\t") + "\n") }
	line("kind", "split", "step", "true", "shuffled", "constant", "sampled", "bits_per_frame", "entropy_bits_per_frame", "bound")
	number := func(v float64, ok bool) string {
		if !ok {
			return ""
		}
		return strconv.FormatFloat(v, 'f', 6, 64)
	}
	for _, r := range c.Runs {
		all := r.Validations
		if r.Test != nil {
			all = append(all[:len(all):len(all)], *r.Test)
		}
		for _, v := range all {
			line(r.Kind, v.Split, strconv.Itoa(v.Step), number(v.True, true), number(v.Shuffled, true), number(v.Constant, true),
				number(v.Sampled, r.Kind == vqvae.VAE), number(bits(r.Kind, v.Report)), number(entropy(r.Kind, v.Report)), number(c.bound(r.Kind, v.Report)))
		}
	}
	return b.Bytes()
}

// Draw returns a plot: likelihoods with true and with shuffled latents, and bits per frame, over training.
func (c *Collapse) Draw() (*image.RGBA, error) {
	scale, name := 1.0, "steps"
	if c.Runs[0].Steps >= 10000 {
		scale, name = 1e-3, "thousand steps"
	}
	nats, rate := picture.Panel{Name: "nats per sample"}, picture.Panel{Name: "bits per frame", Zero: true}
	for i, r := range c.Runs {
		curve := func(p *picture.Panel, name string, dashed bool, value func(evaluate.Report) (float64, bool)) {
			drawn := picture.Curve{Name: r.Kind + name, Colour: i, Dashed: dashed}
			for _, v := range r.Validations {
				if y, ok := value(v.Report); ok {
					drawn.X, drawn.Y = append(drawn.X, scale*float64(v.Step)), append(drawn.Y, y)
				}
			}
			if len(drawn.X) > 0 {
				p.Curves = append(p.Curves, drawn)
			}
		}
		curve(&nats, ", its own latents", false, func(r evaluate.Report) (float64, bool) { return r.True, true })
		curve(&nats, ", shuffled ones", true, func(r evaluate.Report) (float64, bool) { return r.Shuffled, true })
		switch r.Kind {
		case vqvae.VAE:
			curve(&rate, ", divergence", false, func(v evaluate.Report) (float64, bool) { return bits(r.Kind, v) })
		case vqvae.VQ:
			curve(&rate, ", entropy", false, func(v evaluate.Report) (float64, bool) { return entropy(r.Kind, v) })
			curve(&rate, ", log2 K", true, func(v evaluate.Report) (float64, bool) { return bits(r.Kind, v) })
		}
	}
	chart := picture.Chart{XName: name, Panels: []picture.Panel{nats, rate}}
	return chart.Draw(picture.Options{Width: 960, Height: 640,
		Title: "Validation: negative log-likelihood with the latents of the sound and with those of other sound; what latents tell"})
}
