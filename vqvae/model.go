// Package vqvae holds the VQ-VAE of speech (van den Oord et al., Neural Discrete Representation Learning, arXiv 1711.00937,
// below "the paper"): an encoder makes a vector of every hop of sound, a quantiser replaces it by the nearest entry of a
// codebook, and a WaveNet, which is told the entries and the speaker, predicts the waveform step by step. Other bottlenecks can
// take the place of the quantiser: that of a variational autoencoder, or none.
//
// The encoder sees a tensor [B, N, channels], a step for each [Config.InputHop] samples, and the decoder levels, int32 from 0 to
// Levels-1, with silence at Levels/2. Package frontend makes both of sound, and sound of levels.
//
// The same model is there for pictures, [Config.Image]: convolutions in two dimensions take the place of both encoder and WaveNet, a
// code stands for a square of pixels, and a sample is a channel of a pixel, with 256 levels.
package vqvae

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Model is a VQ-VAE of sound:
//
//	z_e    = Encoder(input)                             [B, T/hop, D], 2D for a [Gaussian]
//	e      = Bottleneck(z_e)                            [B, T/hop, D]
//	loss   = -log p(levels | e, Voices[speaker]) + losses of the bottleneck
//
// where Decoder gives p. Of a picture vectors are [B, H/stride, W/stride, D], ImageEncoder and ImageDecoder take the place of
// Encoder and Decoder, and the samples are independent of each other but for what e tells, and what a mixture tells of the channels
// of one pixel. All may be read by several goroutines at once; training is for one.
type Model struct {
	Config     Config
	Speakers   *speaker.Table
	Encoder    *Encoder
	Bottleneck Bottleneck
	Quantiser  *Quantiser    // the same; nil if it is another kind of bottleneck
	Voices     *nn.Embedding // [speakers, Config.Decoder.Speaker]; nil without speakers
	Decoder    *wavenet.Net

	timbres tensor.Tensor // [speakers, 2*channels]: see [Timbre]; none until [Model.AddTimbres], and 0 until they are measured

	ImageEncoder, ImageDecoder *ImageNet // of pictures, in the place of Encoder and Decoder; else nil
}

// New returns a model of the speakers named, of which a model of pictures knows nothing, with weights drawn from src, which
// computes in the precision given. Codebooks are to be initialised before the first step. It returns an error if c.Check does, if
// names are empty or there twice, or if there are none though the decoder is conditioned on them.
func New(c Config, speakers []string, precision dilated.Precision, src rand.Source) (*Model, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	table, err := speaker.NewTable(speakers)
	if err != nil {
		return nil, err
	}
	m := &Model{Config: c, Speakers: table}
	if c.Image != nil {
		m.ImageEncoder = newImageEncoder(*c.Image, c.Bottleneck.Width(), precision, src)
	} else {
		m.Encoder = NewEncoder(c.Encoder, c.Bottleneck.Width(), precision, src)
	}
	m.Bottleneck = newBottleneck(c.Bottleneck, c.Hop(), src)
	m.Quantiser, _ = m.Bottleneck.(*Quantiser)
	if c.Image != nil {
		m.ImageDecoder = newImageDecoder(*c.Image, c.Bottleneck.Dim, precision, src)
		return m, nil
	}
	if c.Decoder.Speaker > 0 {
		if table.Len() == 0 {
			return nil, fmt.Errorf("a decoder with %d channels for the speaker, and no speakers", c.Decoder.Speaker)
		}
		m.Voices = nn.NewEmbedding(table.Len(), c.Decoder.Speaker, src)
	}
	m.Decoder = wavenet.New(c.WaveNet(), precision, src)
	return m, nil
}

// With returns a model with the same parameters and state that computes in the precision given.
func (m *Model) With(precision dilated.Precision) *Model {
	same := *m
	if m.Config.Image != nil {
		same.ImageEncoder, same.ImageDecoder = m.ImageEncoder.With(precision), m.ImageDecoder.With(precision)
		return &same
	}
	same.Encoder, same.Decoder = m.Encoder.With(precision), m.Decoder.With(precision)
	return &same
}

// Parameters returns what the optimiser trains: "encoder.0.weight", ..., "bottleneck.codebook" if it is trained by loss,
// "speakers.weight", "decoder.embed.weight", ...
func (m *Model) Parameters() nn.Parameters {
	if m.Config.Image != nil {
		return slices.Concat(m.ImageEncoder.Parameters().Named("encoder"), m.Bottleneck.Parameters().Named("bottleneck"), m.ImageDecoder.Parameters().Named("decoder"))
	}
	ps := m.Encoder.Parameters().Named("encoder")
	ps = append(ps, m.Bottleneck.Parameters().Named("bottleneck")...)
	if m.Voices != nil {
		ps = append(ps, m.Voices.Parameters().Named("speakers")...)
	}
	return append(ps, m.Decoder.Parameters().Named("decoder")...)
}

// Codebooks returns the entries of all codebooks, whatever trains them, by the names that they have in Parameters or in State.
func (m *Model) Codebooks() nn.Parameters {
	if m.Quantiser == nil {
		return nil
	}
	return m.Quantiser.Codebooks().Named("bottleneck")
}

// State returns what training changes besides, without gradients: "encoder.mean" and "encoder.deviation" of features, "speakers.timbre" ([Timbre]),
// and what belongs to the bottleneck: "bottleneck.codebook" if it is trained by average, "bottleneck.sums", ...
func (m *Model) State() nn.Parameters {
	state := m.Bottleneck.State().Named("bottleneck")
	if m.Encoder != nil {
		state = append(m.Encoder.State().Named("encoder"), state...)
	}
	if m.timbres.Data != nil {
		state = append(state, &nn.Parameter{Name: TimbresName, Value: m.timbres})
	}
	return state
}

// Batch is sound to train on, which package frontend makes, or pictures.
type Batch struct {
	Levels   []int32       // [B*T] levels, T a multiple of the hop; of pictures [B*H*W*C]
	Past     []int32       // [B*T] levels as the decoder sees them where it predicts those after them; nil is Levels
	Input    tensor.Tensor // [B, T/InputHop, channels]: what the encoder sees of the same sound; of pictures [B, H, W, C] from -1 to 1
	Size     int           // B
	Speakers []int32       // [B]; not looked at by a model without speakers
}

// Losses are those of a batch, and what else it shows.
type Losses struct {
	NLL    float64 // of the levels, in nats per sample
	Latent         // until the arena is reset
}

// Total is the loss that is trained.
func (l Losses) Total() float64 { return l.NLL + l.Commitment + l.Codebook + l.KL }

// Step is a training step forward and backward: it adds to the gradients of the parameters. It changes no parameter and no
// state. src is for the bottleneck's noise and for the jitter. The losses of an empty batch are 0, and its gradients too.
func (m *Model) Step(a *tensor.Arena, b Batch, src rand.Source) Losses {
	if len(b.Levels) == 0 {
		m.Bottleneck.Keep(Latent{})
		return Losses{}
	}
	if m.Config.Image != nil {
		return m.stepImage(a, b, src)
	}
	if hop := m.Config.Hop(); b.Size < 1 || len(b.Levels)%(b.Size*hop) != 0 {
		panic(fmt.Sprintf("vqvae.Model: %d levels in a batch of %d, want a multiple of the hop of %d for each", len(b.Levels), b.Size, hop))
	}
	if steps := len(b.Levels) / b.Size / m.Config.InputHop(); b.Input.Rank() != 3 || b.Input.Dim(0) != b.Size || b.Input.Dim(1) != steps {
		panic(fmt.Sprintf("vqvae.Model: input of shape %v for %d levels in a batch of %d, want %d steps for each", b.Input, len(b.Levels), b.Size, steps))
	}
	z, saved := m.Encoder.Forward(a, b.Input)
	v := m.Bottleneck.Forward(a, z, src)

	sources := jitter(a, m.Config.Bottleneck.Jitter, z.Dim(1), b.Size, src)
	local := a.Like(v.Vectors)
	for i, from := range sources {
		copy(local.Row(i), v.Vectors.Row(int(from)))
	}
	in := m.input(a, b.Levels, b.Size, local, b.Speakers)
	in.Past = b.Past
	nll, dlocal, dglobal := m.Decoder.LossGradient(a, in)

	if m.Voices != nil {
		m.Voices.Backward(b.Speakers, dglobal)
	}
	dvectors := a.Like(v.Vectors)
	dvectors.Zero()
	for i, from := range sources { // to the frame that the vector came from
		kernel.Add(dvectors.Row(int(from)), dlocal.Row(i))
	}
	m.Encoder.Backward(a, saved, m.Bottleneck.Backward(a, z, v, dvectors))
	m.Bottleneck.Keep(v)
	return Losses{nll, v}
}

// Update takes the batch of the last Step into the state of the bottleneck: into the moving averages of codebooks, whose dead
// entries it replaces, or into the count of steps. It is for after the optimiser's step; if that is skipped, so is Update, and the state
// stays as it is.
func (m *Model) Update(src rand.Source) Repairs { return m.Bottleneck.Update(src) }

// InitialiseCodebooks makes the codebooks, those of the numbers in books or all of them, of the encoder's outputs for the batches,
// drawn from src. It returns an error, and changes nothing, if none of them is finite. Without codebooks it does nothing.
func (m *Model) InitialiseCodebooks(a *tensor.Arena, batches []Batch, src rand.Source, books ...int) error {
	if m.Quantiser == nil {
		return nil
	}
	var all []float32
	for _, b := range batches {
		if b.Input.Len() == 0 {
			continue
		}
		scratch := a.Mark()
		all = append(all, m.Encode(a, b.Input).Data...)
		a.Release(scratch)
	}
	return m.Quantiser.initialise(tensor.From(all, len(all)/m.Config.Bottleneck.Dim, m.Config.Bottleneck.Dim), src, books...)
}

// Encode returns z_e [B, N/Stride, Width] for an input [B, N, channels], N a multiple of [EncoderConfig.Stride]; of pictures
// [B, h, w, Width] for [B, H, W, C].
func (m *Model) Encode(a *tensor.Arena, input tensor.Tensor) tensor.Tensor {
	if m.Config.Image != nil {
		z, _ := m.ImageEncoder.Forward(a, input)
		return z
	}
	z, _ := m.Encoder.Forward(a, input)
	return z
}

// Latent returns what becomes of what Encode returns, without noise.
func (m *Model) Latent(a *tensor.Arena, input tensor.Tensor) Latent {
	return m.Bottleneck.Forward(a, m.Encode(a, input), nil)
}

// Codes returns the codes of the vectors that Encode returns, one for each; nil if the model has none.
func (m *Model) Codes(a *tensor.Arena, input tensor.Tensor) []int32 { return m.Latent(a, input).Codes }

// Embed returns what codes [batch*F] stand for: [batch, F, D]; of pictures, whose codes are [batch*h*w], [batch, h, w, D]. It
// panics if the model has no codes.
func (m *Model) Embed(a *tensor.Arena, codes []int32, batch int) tensor.Tensor {
	if m.Config.Image != nil {
		height, width := m.Config.Image.Map()
		return m.Quantiser.Embed(a, codes).Reshape(batch, height, width, m.Config.Bottleneck.Dim)
	}
	return m.Quantiser.Embed(a, codes).Reshape(batch, len(codes)/max(1, batch), m.Config.Bottleneck.Dim)
}

// NLL is the mean negative log-likelihood, in nats per sample, of sequences of levels [batch*T] given vectors local
// [batch, T/hop, D] and speakers [batch]; of pictures [batch*H*W*C], given [batch, h, w, D] alone.
func (m *Model) NLL(a *tensor.Arena, levels []int32, batch int, local tensor.Tensor, speakers []int32) float64 {
	if m.Config.Image != nil {
		return m.imageNLL(a, levels, batch, local)
	}
	return m.Decoder.Loss(a, m.input(a, levels, batch, local, speakers))
}

// input returns what the decoder is given.
func (m *Model) input(a *tensor.Arena, levels []int32, batch int, local tensor.Tensor, speakers []int32) wavenet.Input {
	in := wavenet.Input{Steps: levels, Batch: batch, Local: local}
	if m.Voices != nil {
		in.Global = m.Voices.Forward(a, speakers)
	}
	return in
}
