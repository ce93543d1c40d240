package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Gaussian is the bottleneck of a variational autoencoder (Kingma & Welling, arXiv 1312.6114): the encoder gives for each frame the
// means m of a normal distribution with D independent channels, then the logarithms v of their variances, and the decoder is told a
// sample of it,
//
//	x = m + exp(v/2) noise,   noise normal with deviation 1
//
// through which gradients reach m and v (section 2.4); in evaluation it is told m. How much a frame says is bounded by the divergence
// from the prior, a normal distribution of mean 0 and deviation 1 in every channel (appendix B):
//
//	KL per frame = 1/2 sum over channels of (m^2 + exp(v) - 1 - v)   in nats
//
// The loss is Weight times the mean of that over all frames, divided by the samples of a frame: so it is in nats per sample, as the
// decoder's likelihood is, and with a weight of 1 the sum of both is the negative evidence lower bound per sample, which is never
// below the negative log-likelihood of the sound.
//
// v is limited to -30 to 20, so that neither a deviation nor a square overflows; beyond that it has no gradient.
type Gaussian struct {
	Config BottleneckConfig
	Hop    int           // samples of a frame
	Steps  tensor.Tensor // [1], the number of updates so far, up to 2^24

	kept bool // a batch, for Update
}

// The limits of the logarithm of a variance, as usual in latent diffusion models.
const (
	minLogVariance = -30
	maxLogVariance = 20
)

// NewGaussian returns a bottleneck for frames of hop samples.
func NewGaussian(c BottleneckConfig, hop int) *Gaussian {
	return &Gaussian{Config: c, Hop: hop, Steps: tensor.New(1)}
}

// Weight is the present weight of the divergence: it rises over KLWarmUp updates from 0 to KL.
func (g *Gaussian) Weight() float64 {
	if steps := float64(g.Steps.Data[0]); steps < float64(g.Config.KLWarmUp) {
		return g.Config.KL * steps / float64(g.Config.KLWarmUp)
	}
	return g.Config.KL
}

// Parameters returns none.
func (g *Gaussian) Parameters() nn.Parameters { return nil }

// State returns "steps".
func (g *Gaussian) State() nn.Parameters { return nn.Parameters{{Name: "steps", Value: g.Steps}} }

// Forward returns samples for z [B, F, 2D], means if src is nil. It draws B*F*D normal values, in order.
func (g *Gaussian) Forward(a *tensor.Arena, z tensor.Tensor, src rand.Source) Latent {
	dim := g.Config.Dim
	if z.Rank() == 0 || z.Channels() != 2*dim {
		panic(fmt.Sprintf("vqvae.Gaussian: vectors of shape %v, want %d channels", z, 2*dim))
	}
	v := Latent{Vectors: a.LikeRows(z, dim)}
	if src != nil {
		v.noise = a.LikeRows(z, dim)
		r := rand.New(src)
		for i := range v.noise.Data {
			v.noise.Data[i] = float32(r.NormFloat64())
		}
	}
	sum := 0.0
	for r := range z.Rows() {
		means, logs := z.Row(r)[:dim], z.Row(r)[dim:]
		if !finite(z.Row(r)) {
			v.Lost++
			sum = math.Inf(1)
		}
		vectors := v.Vectors.Row(r)
		copy(vectors, means)
		for i, x := range logs {
			m, log := float64(means[i]), limitLog(x)
			sum += m*m + math.Exp(log) - 1 - log
			if src != nil {
				vectors[i] = float32(m + math.Exp(log/2)*float64(v.noise.Row(r)[i]))
			}
		}
	}
	if z.Rows() > 0 {
		v.KLPerFrame = sum / 2 / float64(z.Rows())
		v.KL = g.Weight() * v.KLPerFrame / float64(g.Hop)
	}
	return v
}

// limitLog is the logarithm of a variance, within its limits; NaN as it is.
func limitLog(x float32) float64 { return min(max(float64(x), minLogVariance), maxLogVariance) }

// Backward returns the gradient with respect to z, as [Bottleneck] says.
func (g *Gaussian) Backward(a *tensor.Arena, z tensor.Tensor, v Latent, dvectors tensor.Tensor) (dz tensor.Tensor) {
	if !v.Vectors.SameShape(dvectors) || z.Rows() != dvectors.Rows() {
		panic(fmt.Sprintf("vqvae.Gaussian: vectors of shape %v for %v, gradient %v", v.Vectors, z, dvectors))
	}
	dz = a.Like(z)
	dim := g.Config.Dim
	scale := g.Weight() / float64(g.Hop) / float64(max(1, z.Rows()))
	for r := range z.Rows() {
		means, logs, d := z.Row(r)[:dim], z.Row(r)[dim:], dz.Row(r)
		for i, dx := range dvectors.Row(r) {
			d[i] = float32(float64(dx) + scale*float64(means[i])) // x = m + ...; KL: m^2/2
			d[dim+i] = 0
			log := limitLog(logs[i])
			if log != float64(logs[i]) {
				continue
			}
			dlog := scale * (math.Exp(log) - 1) / 2 // KL: (exp(v) - v)/2
			if v.noise.Data != nil {
				dlog += float64(dx) * math.Exp(log/2) / 2 * float64(v.noise.Row(r)[i]) // x = ... exp(v/2) noise
			}
			d[dim+i] = float32(dlog)
		}
	}
	return dz
}

// Keep takes note of whether there are vectors, lost ones apart.
func (g *Gaussian) Keep(v Latent) { g.kept = v.Vectors.Len() > v.Lost*g.Config.Dim }

// Update counts a step, if a batch was kept.
func (g *Gaussian) Update(rand.Source) Repairs {
	if g.kept {
		g.Steps.Data[0] = min(g.Steps.Data[0]+1, maxWarmUp)
	}
	g.kept = false
	return nil
}
