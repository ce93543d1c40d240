package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Bottleneck is what lies between encoder and decoder: what becomes of the encoder's vectors before the decoder is told them.
// [Quantiser] and [Gaussian] are two; a third hands them on as they are.
type Bottleneck interface {
	// Forward returns what becomes of z [B, F, Width], Width being that of the configuration. Noise is drawn from src; for
	// evaluation src is nil, and there is none.
	Forward(a *tensor.Arena, z tensor.Tensor, src rand.Source) Latent

	// Backward returns the gradient with respect to z, given Forward's result and the gradient with respect to its vectors, of
	// its losses and of what is made of the vectors. It adds to the gradients of the parameters.
	Backward(a *tensor.Arena, z tensor.Tensor, v Latent, dvectors tensor.Tensor) (dz tensor.Tensor)

	// Keep keeps of a batch what Update wants, in the place of what it had kept. A batch without vectors leaves nothing.
	Keep(v Latent)

	// Update changes the state by the batch that was kept, if there is one: for after the optimiser's step.
	Update(src rand.Source) Repairs

	Parameters() nn.Parameters // what the optimiser trains
	State() nn.Parameters      // what else a checkpoint has to hold
}

// Latent is what becomes of the encoder's vectors for B sequences of F frames.
type Latent struct {
	Vectors tensor.Tensor // [B, F, D]: what the decoder is told
	Codes   []int32       // [B*F]; nil unless the bottleneck is a [Quantiser]

	Commitment, Codebook float64 // losses of a [Quantiser]
	KL                   float64 // loss of a [Gaussian], weighted, in nats per sample
	KLPerFrame           float64 // the same as it is, in nats per frame

	Lost int // vectors of the encoder that are of no use, such as those that hold NaN; then the losses are not finite

	// Of a Quantiser, besides: the points that the codebooks approximate, [B, F, D], which are z or its parts' directions; the lengths
	// of the parts, [B*F*Groups], if they are directions; for each vector the square of the distance, +Inf if it is lost.
	points    tensor.Tensor
	lengths   []float64
	distances []float32

	noise tensor.Tensor // of a Gaussian, [B, F, D]; none in evaluation
}

// Repairs is what [Bottleneck].Update has repaired: for each codebook the entries that were dead, ascending; nil for nothing.
type Repairs [][]int32

// Count is the number of entries.
func (r Repairs) Count() int {
	n := 0
	for _, entries := range r {
		n += len(entries)
	}
	return n
}

// The kinds of bottleneck: [BottleneckConfig].Kind.
const (
	VQ   = "vq"   // a [Quantiser]
	VAE  = "vae"  // a [Gaussian]
	None = "none" // the encoder's vectors as they are
)

// BottleneckConfig describes a [Bottleneck]. What does not concern its kind is not looked at.
type BottleneckConfig struct {
	Kind   string  `json:"kind"`   // [VQ], [VAE] or [None]
	Dim    int     `json:"dim"`    // D, channels of what the decoder is told
	Jitter float64 `json:"jitter"` // probability that a frame is replaced by a neighbour in training: by either with half of it

	// A Quantiser.
	Entries  int     `json:"entries"`  // K of each codebook
	Distance string  `json:"distance"` // to entries: [Euclidean] or [Cosine]
	Groups   int     `json:"groups"`   // parts that the dimensions are divided into
	Stages   int     `json:"stages"`   // codebooks for each part, each for what those before it leave
	Codebook string  `json:"codebook"` // what trains it: [ByAverage] or [ByLoss]
	Beta     float64 `json:"beta"`     // weight of the commitment loss
	Decay    float64 `json:"decay"`    // gamma of the moving average
	Dead     float64 `json:"dead"`     // moving count below which an entry is replaced by an encoder output; 0 replaces none

	// A Gaussian.
	KL       float64 `json:"kl"`         // weight of the KL divergence; with 1 the loss is a bound of the likelihood
	KLWarmUp int     `json:"kl_warm_up"` // steps over which the weight rises from 0; 0 for none
}

// Width is the number of channels of the encoder: D, for a [VAE] 2D.
func (c BottleneckConfig) Width() int {
	if c.Kind == VAE {
		return 2 * c.Dim
	}
	return c.Dim
}

// Books is the number of codebooks M, 0 unless the kind is [VQ].
func (c BottleneckConfig) Books() int {
	if c.Kind != VQ {
		return 0
	}
	return c.Groups * c.Stages
}

// Codes is the number of different codes, K^M; 0 unless the kind is [VQ].
func (c BottleneckConfig) Codes() int {
	if c.Kind != VQ {
		return 0
	}
	n := 1
	for range c.Books() {
		n *= c.Entries
	}
	return n
}

// Join returns the code of entries, one of each codebook: the number whose digits to base K they are, the first one the most
// significant.
func (c BottleneckConfig) Join(entries []int32) int32 {
	code := int32(0)
	for _, k := range entries {
		code = c.join(code, k)
	}
	return code
}

// join puts an entry behind those of a code.
func (c BottleneckConfig) join(code, k int32) int32 { return code*int32(c.Entries) + k }

// Split writes the entries of a code, one of each codebook, to entries.
func (c BottleneckConfig) Split(entries []int32, code int32) {
	for m := len(entries) - 1; m >= 0; m-- {
		entries[m], code = code%int32(c.Entries), code/int32(c.Entries)
	}
}

// The limits of a configuration.
const (
	maxEntries = 1 << 20
	maxBooks   = 64
	maxBeta    = 1e3
	maxKL      = 1e6
	maxWarmUp  = 1 << 24 // float32 counts to it
)

// check returns what is wrong with the configuration.
func (c BottleneckConfig) check() error {
	switch c.Kind {
	case VQ, VAE, None:
	default:
		return fmt.Errorf("kind %q: want %q, %q or %q", c.Kind, VQ, VAE, None)
	}
	type whole struct {
		name            string
		value, min, max int
	}
	type number struct {
		name     string
		value    float64
		in       bool
		interval string
	}
	wholes := []whole{{"dim", c.Dim, 1, maxChannels}}
	numbers := []number{{"jitter", c.Jitter, c.Jitter >= 0 && c.Jitter <= 1, "0 to 1"}}
	switch c.Kind {
	case VQ:
		wholes = append(wholes, whole{"entries", c.Entries, 1, maxEntries}, whole{"groups", c.Groups, 1, maxBooks}, whole{"stages", c.Stages, 1, maxBooks})
		numbers = append(numbers,
			number{"beta", c.Beta, c.Beta >= 0 && c.Beta <= maxBeta, fmt.Sprintf("0 to %g", maxBeta)},
			number{"decay", c.Decay, c.Decay >= 0 && c.Decay < 1, "from 0 to below 1"},
			number{"dead", c.Dead, c.Dead >= 0 && c.Dead < startCount, fmt.Sprintf("from 0 to below %d", startCount)})
	case VAE:
		wholes = append(wholes, whole{"kl_warm_up", c.KLWarmUp, 0, maxWarmUp})
		numbers = append(numbers, number{"kl", c.KL, c.KL >= 0 && c.KL <= maxKL, fmt.Sprintf("0 to %g", maxKL)})
	}
	for _, v := range wholes {
		if v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s %d: want %d to %d", v.name, v.value, v.min, v.max)
		}
	}
	for _, v := range numbers {
		if !v.in {
			return fmt.Errorf("%s %g: want %s", v.name, v.value, v.interval)
		}
	}
	if c.Kind == VQ {
		return c.checkCodebooks()
	}
	return nil
}

func (c BottleneckConfig) checkCodebooks() error {
	if c.Distance != Euclidean && c.Distance != Cosine {
		return fmt.Errorf("distance %q: want %q or %q", c.Distance, Euclidean, Cosine)
	}
	if c.Codebook != ByAverage && c.Codebook != ByLoss {
		return fmt.Errorf("codebook %q: want %q or %q", c.Codebook, ByAverage, ByLoss)
	}
	if c.Dim%c.Groups != 0 {
		return fmt.Errorf("groups %d: want a divisor of dim, which is %d", c.Groups, c.Dim)
	}
	if c.Books() > maxBooks {
		return fmt.Errorf("%d groups of %d stages: want at most %d codebooks", c.Groups, c.Stages, maxBooks)
	}
	codes := int64(1)
	for range c.Books() {
		if codes *= int64(c.Entries); codes > math.MaxInt32 {
			return fmt.Errorf("%d entries in each of %d codebooks: want at most %d codes in all", c.Entries, c.Books(), math.MaxInt32)
		}
	}
	return nil
}

// elements is the number of elements of the parameters and the state.
func (c BottleneckConfig) elements() int64 {
	switch c.Kind {
	case VQ:
		table := product(c.Stages, c.Entries, c.Dim) // of all groups
		n := table + product(c.Books(), c.Entries) + 1
		if c.Codebook == ByAverage {
			n += table
		}
		return n
	case VAE:
		return 1
	}
	return 0
}

// newBottleneck returns a bottleneck of a configuration that has passed check. A frame is of hop samples.
func newBottleneck(c BottleneckConfig, hop int, src rand.Source) Bottleneck {
	switch c.Kind {
	case VQ:
		return NewQuantiser(c, src)
	case VAE:
		return NewGaussian(c, hop)
	}
	return through{}
}

// through is the bottleneck that is none.
type through struct{}

// Forward returns z.
func (through) Forward(_ *tensor.Arena, z tensor.Tensor, _ rand.Source) Latent {
	v := Latent{Vectors: z}
	for r := range z.Rows() {
		if !finite(z.Row(r)) {
			v.Lost++
		}
	}
	return v
}

// Backward returns dvectors.
func (through) Backward(_ *tensor.Arena, _ tensor.Tensor, _ Latent, dvectors tensor.Tensor) tensor.Tensor {
	return dvectors
}

// Keep keeps nothing.
func (through) Keep(Latent) {}

// Update changes nothing.
func (through) Update(rand.Source) Repairs { return nil }

// Parameters returns none.
func (through) Parameters() nn.Parameters { return nil }

// State returns none.
func (through) State() nn.Parameters { return nil }

// finite reports whether all of x are finite.
func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// jitter returns, for each of batch sequences of frames, which frame it is to be taken from: the one before or the one after it,
// with probability p/2 each, else itself; also itself where there is no such neighbour (time jitter: Chorowski et al., arXiv
// 1901.08810; the ends as in the program of van Niekerk et al., arXiv 2005.09409). It draws once for each frame, and nothing
// if p is 0.
func jitter(a *tensor.Arena, p float64, frames, batch int, src rand.Source) (sources []int32) {
	sources = a.Int32s(batch * frames)
	r := rand.New(src)
	for i := range sources {
		sources[i] = int32(i)
		if p == 0 {
			continue
		}
		u, at := r.Float64(), i%frames
		switch {
		case u < p/2 && at > 0:
			sources[i]--
		case u >= 1-p/2 && at < frames-1:
			sources[i]++
		}
	}
	return sources
}
