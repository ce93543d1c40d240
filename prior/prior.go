// Package prior holds the prior over the codes of a VQ-VAE (van den Oord et al., Neural Discrete Representation Learning, arXiv
// 1711.00937, section 3.2): a WaveNet that predicts each code of a recording from those before it, if wanted under the speaker. What it
// draws is speech that nobody has spoken; how well it predicts is how far codes can be compressed.
//
// Here are the net, the sequences that it is trained on ([Sampler]), and what it is measured by ([Measure]), beside a unigram and a
// bigram model of the same codes. Package codes makes codes of recordings, package checkpoint keeps priors in files.
package prior

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Config is the shape of a [Prior], and whose codes it predicts.
type Config struct {
	Model string `json:"model"` // fingerprint of the model that the codes are of; "" as long as that is open
	Rate  int    `json:"rate"`  // Hz, of the model's sound; 0 as long as that is open
	Hop   int    `json:"hop"`   // samples of a code; 0 as long as that is open
	Codes int    `json:"codes"` // different ones, K; 0 as long as that is open

	Residual int `json:"residual"` // channels R
	Skip     int `json:"skip"`     // channels S
	Layers   int `json:"layers"`   // of a cycle, with dilations 1, 2, 4, ... 2^(Layers-1)
	Cycles   int `json:"cycles"`   // times that the dilations are gone through
	Speaker  int `json:"speaker"`  // channels of the speaker's vector; 0 is a prior that knows no speakers
}

// MaxCodes is the largest number of different codes that a prior predicts: each step is a softmax over all of them.
const MaxCodes = 1 << 16

// For returns the configuration for the codes of a model of this configuration and fingerprint. It is an error if there is no prior
// over them, or if c is already that of another model.
func (c Config) For(m vqvae.Config, fingerprint string) (Config, error) {
	codes := m.Bottleneck.Codes()
	switch {
	case m.Image != nil:
		return c, errors.New("a prior is over codes of sound, and the model is one of pictures")
	case codes == 0:
		return c, fmt.Errorf("the model has no codes: its bottleneck is %q", m.Bottleneck.Kind)
	case codes > MaxCodes:
		return c, fmt.Errorf("the model has %d different codes, as %d codebooks of %d entries make them: a prior is over at most %d", codes, m.Bottleneck.Books(), m.Bottleneck.Entries, MaxCodes)
	case c.Model != "" && c.Model != fingerprint:
		return c, fmt.Errorf("the prior is over the codes of model %s, this is model %s", c.Model, fingerprint)
	}
	whose := c
	whose.Model, whose.Rate, whose.Hop, whose.Codes = fingerprint, m.Rate, m.Hop(), codes
	if c.Rate != 0 && c.Rate != whose.Rate || c.Hop != 0 && c.Hop != whose.Hop || c.Codes != 0 && c.Codes != codes {
		return c, fmt.Errorf("a prior over %d codes of %d samples at %d Hz, the model has %d of %d at %d Hz", c.Codes, c.Hop, c.Rate, codes, whose.Hop, whose.Rate)
	}
	return whose, nil
}

// WaveNet is the shape of the net.
func (c Config) WaveNet() wavenet.Config {
	return wavenet.Config{Classes: c.Codes, Residual: c.Residual, Skip: c.Skip, Layers: c.Layers, Cycles: c.Cycles, Global: c.Speaker}
}

// CodeRate is the number of codes in a second.
func (c Config) CodeRate() float64 { return float64(c.Rate) / float64(c.Hop) }

// maxRate is the largest rate, and the longest hop: far beyond those of sound.
const maxRate = 1 << 20

// Check returns what is wrong with the configuration. Model, rate, hop and codes must no longer be open.
func (c Config) Check() error {
	if c.Rate < 1 || c.Rate > maxRate || c.Hop < 1 || c.Hop > maxRate {
		return fmt.Errorf("codes of %d samples at %d Hz: want 1 to %d, each", c.Hop, c.Rate, maxRate)
	}
	if len(c.Model) != 16 {
		return fmt.Errorf("model %.20q: want a fingerprint, 16 hexadecimal digits", c.Model)
	}
	return c.WaveNet().Check()
}

// Elements is the number of elements of all parameters of a prior of so many speakers. The configuration has passed Check.
func (c Config) Elements(speakers int) int64 {
	return c.WaveNet().Elements() + int64(speakers+1)*int64(c.Speaker)
}

// Prior is a net over the codes of a model. It may be read by several goroutines at once; training is for one.
type Prior struct {
	Config   Config
	Speakers *speaker.Table // whose speech it was trained on; empty unless Config.Speaker is above 0
	// Voices holds a vector for each speaker, [speakers+1, Config.Speaker], and one for nobody, the last one: speech of which it is not
	// told whose it is. Nil if Config.Speaker is 0.
	Voices *nn.Embedding
	Net    *wavenet.Net
}

// New returns a prior that knows the speakers named, with weights drawn from src, which computes in the precision given. It returns an
// error if c.Check does, or if names are empty, or there twice; names are left out if c.Speaker is 0.
func New(c Config, speakers []string, precision dilated.Precision, src rand.Source) (*Prior, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Speaker == 0 {
		speakers = nil
	}
	table, err := speaker.NewTable(speakers)
	if err != nil {
		return nil, err
	}
	p := &Prior{Config: c, Speakers: table}
	if c.Speaker > 0 {
		p.Voices = nn.NewEmbedding(table.Len()+1, c.Speaker, src)
	}
	p.Net = wavenet.New(c.WaveNet(), precision, src)
	return p, nil
}

// With returns a prior with the same parameters that computes in the precision given.
func (p *Prior) With(precision dilated.Precision) *Prior {
	same := *p
	same.Net = p.Net.With(precision)
	return &same
}

// Parameters returns "speakers.weight" if it knows any, and "net.embed.weight", ...
func (p *Prior) Parameters() nn.Parameters {
	var ps nn.Parameters
	if p.Voices != nil {
		ps = p.Voices.Parameters().Named("speakers")
	}
	return append(ps, p.Net.Parameters().Named("net")...)
}

// Nobody is the id of speech of which the prior is not told whose it is.
func (p *Prior) Nobody() int32 { return int32(p.Speakers.Len()) }

// Condition returns the condition of Net under a speaker, or Nobody: what [wavenet.Sampler.Frame] wants, once at the start.
func (p *Prior) Condition(id int32) []float32 {
	var voice tensor.Tensor
	if p.Voices != nil {
		voice = tensor.From(p.Voices.Table.Value.Row(int(id)), 1, p.Config.Speaker)
	}
	return slices.Clone(p.Net.Project(new(tensor.Arena), tensor.Tensor{}, voice, 1).Row(0))
}

// Batch is B sequences of T codes.
type Batch struct {
	Codes    []int32 // [B*T]
	Past     []int32 // [B*T], the codes as the net sees them where it predicts those after them; nil is Codes
	Speakers []int32 // [B], ids, or Nobody; not looked at by a prior that knows none
	Size     int     // B
}

// input returns what the net is given.
func (p *Prior) input(a *tensor.Arena, b Batch) wavenet.Input {
	in := wavenet.Input{Steps: b.Codes, Past: b.Past, Batch: b.Size}
	if p.Voices != nil {
		in.Global = p.Voices.Forward(a, b.Speakers)
	}
	return in
}

// LossGradient returns the mean negative log-likelihood of the codes in nats, and adds to the gradients of the parameters.
func (p *Prior) LossGradient(a *tensor.Arena, b Batch) float64 {
	loss, _, dvoices := p.Net.LossGradient(a, p.input(a, b))
	if p.Voices != nil {
		p.Voices.Backward(b.Speakers, dvoices)
	}
	return loss
}

// piece is how many codes are predicted at a time.
const piece = 2048

// NLL is the negative log-likelihood, in nats, of all codes of an utterance of a speaker, or of Nobody, together: of the first one given
// nothing, of each other one given all before it that the net sees. Memory does not grow with the utterance.
func (p *Prior) NLL(a *tensor.Arena, codes []int32, id int32) float64 {
	field := p.Net.Config.ReceptiveField()
	sum, voice := 0.0, [1]int32{id}
	for from := 0; from < len(codes); from += piece {
		to := min(from+piece, len(codes))
		start := max(0, from-field) // so the first code before start, which a piece does not see, is beyond the field
		mark := a.Mark()
		logits := p.Net.Logits(a, p.input(a, Batch{Codes: codes[start:to], Speakers: voice[:], Size: 1}))
		classes := logits.Channels()
		rows := tensor.From(logits.Data[(from-start)*classes:], to-from, classes)
		mean, _ := nn.CrossEntropy(a, rows, codes[from:to])
		sum += mean * float64(to-from)
		a.Release(mark)
	}
	return sum
}
