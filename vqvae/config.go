package vqvae

import (
	"fmt"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Config is the shape of a [Model].
type Config struct {
	Rate      int             `json:"rate"`   // of the sound, in Hz
	Levels    int             `json:"levels"` // of mu-law
	Level     float64         `json:"level"`  // RMS in dBFS that the speech of training was brought to; 0 if it was as recorded
	Encoder   EncoderConfig   `json:"encoder"`
	Quantiser QuantiserConfig `json:"quantiser"`
	Decoder   DecoderConfig   `json:"decoder"`
}

// EncoderConfig is the shape of an [Encoder]: a convolution for each number of Channels, strided by the number of the same
// place in Strides, with a kernel of twice the stride, a ReLU behind each; then a 1x1 convolution to the dimension of the
// codebook. (The paper, section 4.3: six convolutions with kernel 4 and stride 2.)
type EncoderConfig struct {
	Channels []int `json:"channels"`
	Strides  []int `json:"strides"`
}

// Stack is the geometry of the strided convolutions.
func (c EncoderConfig) Stack() dilated.Stack {
	var stack dilated.Stack
	for _, s := range c.Strides {
		stack = append(stack, dilated.Axis{Kernel: 2 * s, Stride: s, Padding: dilated.Explicit, Before: s / 2, After: s - s/2})
	}
	return stack
}

// Hop is the number of samples of a code: the product of the strides.
func (c EncoderConfig) Hop() int {
	hop := 1
	for _, s := range c.Strides {
		hop *= s
	}
	return hop
}

// QuantiserConfig describes a [Quantiser].
type QuantiserConfig struct {
	Entries  int     `json:"entries"`  // K
	Dim      int     `json:"dim"`      // D
	Codebook string  `json:"codebook"` // what trains it: "average" (appendix A.1) or "loss" (equation 3)
	Beta     float64 `json:"beta"`     // weight of the commitment loss
	Decay    float64 `json:"decay"`    // gamma of the moving average
	Jitter   float64 `json:"jitter"`   // probability that a code is replaced by a neighbour in training: by either with half of it
	Dead     float64 `json:"dead"`     // moving count below which an entry is replaced by an encoder output; 0 replaces none
}

// DecoderConfig is the part of a [wavenet.Config] that the rest of the model does not determine.
type DecoderConfig struct {
	Residual int   `json:"residual"`
	Skip     int   `json:"skip"`
	Layers   int   `json:"layers"`
	Cycles   int   `json:"cycles"`
	Upsample []int `json:"upsample"`
	Speaker  int   `json:"speaker"` // channels of the speaker embedding; 0 for none
}

// WaveNet returns the configuration of the decoder.
func (c Config) WaveNet() wavenet.Config {
	return wavenet.Config{
		Classes: c.Levels, Residual: c.Decoder.Residual, Skip: c.Decoder.Skip, Layers: c.Decoder.Layers, Cycles: c.Decoder.Cycles,
		Local: c.Quantiser.Dim, Hop: c.Encoder.Hop(), Upsample: c.Decoder.Upsample, Global: c.Decoder.Speaker,
	}
}

// The limits of a configuration, far beyond what can be trained: a file that asks for more is damaged.
const (
	maxRate     = 1 << 20
	maxLayers   = 16
	maxChannels = 1 << 12
	maxStride   = 1 << 10
	maxHop      = 1 << 16
	maxEntries  = 1 << 20
	maxBeta     = 1e3
)

// maxActivations is the largest number of activations of the encoder for a code.
const maxActivations = 1 << 26

// MaxElements is the largest number of elements of parameters and state that a model may have, speakers apart: 512 MiB.
const MaxElements = 1 << 27

// Check returns what is wrong with the configuration.
func (c Config) Check() error {
	if len(c.Encoder.Channels) != len(c.Encoder.Strides) {
		return fmt.Errorf("encoder with %d channels and %d strides: want as many", len(c.Encoder.Channels), len(c.Encoder.Strides))
	}
	whole := []struct {
		name            string
		value, min, max int
	}{
		{"rate", c.Rate, 1, maxRate},
		{"levels", c.Levels, 2, 1 << 16},
		{"number of encoder layers", len(c.Encoder.Strides), 1, maxLayers},
		{"quantiser entries", c.Quantiser.Entries, 1, maxEntries},
		{"quantiser dim", c.Quantiser.Dim, 1, maxChannels},
	}
	for _, v := range whole {
		if v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s %d: want %d to %d", v.name, v.value, v.min, v.max)
		}
	}
	if c.Levels&(c.Levels-1) != 0 {
		return fmt.Errorf("levels %d: want a power of 2", c.Levels)
	}
	hop := 1
	for i, s := range c.Encoder.Strides {
		if n := c.Encoder.Channels[i]; n < 1 || n > maxChannels {
			return fmt.Errorf("encoder channels %v: want 1 to %d each", c.Encoder.Channels, maxChannels)
		}
		if s < 1 || s > maxStride || hop*s > maxHop {
			return fmt.Errorf("encoder strides %v: want 1 to %d each, and at most %d for their product", c.Encoder.Strides, maxStride, maxHop)
		}
		hop *= s
	}
	if n := c.Encoder.activations(); n > maxActivations {
		return fmt.Errorf("encoder channels %v and strides %v: %d elements of activations for a code, want at most %d", c.Encoder.Channels, c.Encoder.Strides, n, maxActivations)
	}
	q := c.Quantiser
	if q.Codebook != ByAverage && q.Codebook != ByLoss {
		return fmt.Errorf("quantiser codebook %q: want %q or %q", q.Codebook, ByAverage, ByLoss)
	}
	for _, v := range []struct {
		name     string
		value    float64
		in       bool
		interval string
	}{
		{"level", c.Level, c.Level >= -200 && c.Level <= 0, "-200 to 0 dBFS"},
		{"quantiser beta", q.Beta, q.Beta >= 0 && q.Beta <= maxBeta, fmt.Sprintf("0 to %g", maxBeta)},
		{"quantiser decay", q.Decay, q.Decay >= 0 && q.Decay < 1, "from 0 to below 1"},
		{"quantiser jitter", q.Jitter, q.Jitter >= 0 && q.Jitter <= 1, "0 to 1"},
		{"quantiser dead", q.Dead, q.Dead >= 0 && q.Dead < startCount, fmt.Sprintf("from 0 to below %d", startCount)},
	} {
		if !v.in {
			return fmt.Errorf("%s %g: want %s", v.name, v.value, v.interval)
		}
	}
	if err := c.WaveNet().Check(); err != nil {
		return fmt.Errorf("decoder: %w", err)
	}
	if n := c.Elements(0); n > MaxElements {
		return fmt.Errorf("%d elements of parameters and state: want at most %d", n, int64(MaxElements))
	}
	return nil
}

// Elements is the number of elements of the parameters and the state of a model of so many speakers: of what a file that
// holds it must hold at least. The configuration has passed all other checks.
func (c Config) Elements(speakers int) int64 {
	n, in := int64(0), 1
	for i, s := range c.Encoder.Strides {
		out := c.Encoder.Channels[i]
		n += product(2*s, in, out) + int64(out)
		in = out
	}
	k, d := c.Quantiser.Entries, c.Quantiser.Dim
	n += product(in+1, d)             // the last layer
	n += product(k, d) + int64(k) + 1 // codebook, counts, initialised
	if c.Quantiser.Codebook == ByAverage {
		n += product(k, d)
	}
	return n + product(speakers, c.Decoder.Speaker) + c.WaveNet().Elements()
}

// product is the product of sizes within the limits, which an int64 holds.
func product(sizes ...int) int64 {
	n := int64(1)
	for _, s := range sizes {
		n *= int64(s)
	}
	return n
}
