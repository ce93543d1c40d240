package vqvae

import (
	"encoding/json"
	"fmt"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Config is the shape of a [Model]: of sound, or of pictures if Image is there, and then of that and the bottleneck alone.
type Config struct {
	Image *ImageConfig `json:"image,omitempty"` // nil for sound

	Rate       int              `json:"rate"`   // of the sound, in Hz
	Levels     int              `json:"levels"` // of a sample: of mu-law, or with a mixture 65536 linear ones
	Level      float64          `json:"level"`  // RMS in dBFS that the speech of training was brought to; 0 if it was as recorded
	Encoder    EncoderConfig    `json:"encoder"`
	Bottleneck BottleneckConfig `json:"bottleneck"`
	Decoder    DecoderConfig    `json:"decoder"`
}

// MarshalJSON leaves what is of sound out of a model of pictures.
func (c Config) MarshalJSON() ([]byte, error) {
	if c.Image != nil {
		return json.Marshal(struct {
			Image      *ImageConfig     `json:"image"`
			Bottleneck BottleneckConfig `json:"bottleneck"`
		}{c.Image, c.Bottleneck})
	}
	type sound Config
	return json.Marshal(sound(c))
}

// EncoderConfig is the shape of an [Encoder]: a convolution for each number of Channels, strided by the number of the same
// place in Strides, with a kernel of twice the stride, or of 3 where the stride is 1, a ReLU behind each; then a 1x1
// convolution to what the bottleneck wants. (The paper, section 4.3: six convolutions with kernel 4 and stride 2, on the
// waveform.)
type EncoderConfig struct {
	Input    string `json:"input"` // what it sees of sound: [Wave], [LogMel] or [MFCC]
	Channels []int  `json:"channels"`
	Strides  []int  `json:"strides"`

	// Centre is the number of frames of a log-mel spectrum on either side of one over which the mean shape is taken off it; 0
	// leaves it on.
	Centre int `json:"centre"`
}

// What an encoder sees of sound: [EncoderConfig].Input. Package frontend computes it.
const (
	Wave   = "wave"    // a number from -1 to 1 for each sample
	LogMel = "log-mel" // a logarithmic mel spectrum of 80 bands every 10 ms
	MFCC   = "mfcc"    // 13 cepstral coefficients, their differences and the differences of those, every 10 ms
)

// inputs are the numbers of channels of the inputs.
var inputs = map[string]int{Wave: 1, LogMel: logMelBands, MFCC: 39}

const logMelBands = 80

// featureRate is the number of frames in a second of inputs other than Wave.
const featureRate = 100

// InputChannels is the number of channels of the input; 0 for one that there is not.
func (c EncoderConfig) InputChannels() int { return inputs[c.Input] }

// Stack is the geometry of the strided convolutions.
func (c EncoderConfig) Stack() dilated.Stack {
	var stack dilated.Stack
	for _, s := range c.Strides {
		axis := dilated.Axis{Kernel: 2 * s, Stride: s, Padding: dilated.Explicit, Before: s / 2, After: s - s/2}
		if s == 1 {
			axis.Kernel, axis.Before = 3, 1
		}
		stack = append(stack, axis)
	}
	return stack
}

// Stride is the number of steps of the input for a code: the product of the strides.
func (c EncoderConfig) Stride() int {
	stride := 1
	for _, s := range c.Strides {
		stride *= s
	}
	return stride
}

// InputHop is the number of samples for a step of the encoder's input.
func (c Config) InputHop() int {
	if c.Encoder.Input == Wave {
		return 1
	}
	return c.Rate / featureRate
}

// Hop is the number of samples of a code; of a picture, those of a square of pixels with all their channels.
func (c Config) Hop() int {
	if c.Image != nil {
		return c.Image.Stride() * c.Image.Stride() * c.Image.Channels
	}
	return c.InputHop() * c.Encoder.Stride()
}

// DecoderConfig is the part of a [wavenet.Config] that the rest of the model does not determine.
type DecoderConfig struct {
	Residual int   `json:"residual"`
	Skip     int   `json:"skip"`
	Layers   int   `json:"layers"`
	Cycles   int   `json:"cycles"`
	Upsample []int `json:"upsample"`
	Speaker  int   `json:"speaker"` // channels of the speaker embedding; 0 for none
	Mixture  int   `json:"mixture"` // logistics whose mixture is the distribution of a sample; 0 for a softmax over levels
}

// WaveNet returns the configuration of the decoder.
func (c Config) WaveNet() wavenet.Config {
	return wavenet.Config{
		Classes: c.Levels, Mixture: c.Decoder.Mixture, Residual: c.Decoder.Residual, Skip: c.Decoder.Skip, Layers: c.Decoder.Layers, Cycles: c.Decoder.Cycles,
		Local: c.Bottleneck.Dim, Hop: c.Hop(), Upsample: c.Decoder.Upsample, Global: c.Decoder.Speaker,
	}
}

// mixtureLevels is the number of levels with a mixture of logistics: linear ones, those of 16-bit samples.
const mixtureLevels = 1 << 16

// The limits of a configuration, far beyond what can be trained: a file that asks for more is damaged.
const (
	maxRate     = 1 << 20
	maxSoftmax  = 1 << 12 // levels
	maxLayers   = 16
	maxChannels = 1 << 12
	maxStride   = 1 << 10
	maxHop      = 1 << 16
)

// maxCentre is the largest number of frames on either side that an encoder looks at for a mean: half a minute.
const maxCentre = 3000

// maxActivations is the largest number of activations of the encoder for a code.
const maxActivations = 1 << 26

// MaxElements is the largest number of elements of parameters and state that a model may have, speakers apart: 512 MiB.
const MaxElements = 1 << 27

// Check returns what is wrong with the configuration.
func (c Config) Check() error {
	if c.Image != nil {
		return c.checkImage()
	}
	if len(c.Encoder.Channels) != len(c.Encoder.Strides) {
		return fmt.Errorf("encoder with %d channels and %d strides: want as many", len(c.Encoder.Channels), len(c.Encoder.Strides))
	}
	whole := []struct {
		name            string
		value, min, max int
	}{
		{"rate", c.Rate, 1, maxRate},
		{"levels", c.Levels, 2, mixtureLevels},
		{"number of encoder layers", len(c.Encoder.Strides), 1, maxLayers},
	}
	for _, v := range whole {
		if v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s %d: want %d to %d", v.name, v.value, v.min, v.max)
		}
	}
	if c.Levels&(c.Levels-1) != 0 {
		return fmt.Errorf("levels %d: want a power of 2", c.Levels)
	}
	if c.Decoder.Mixture > 0 && c.Levels != mixtureLevels {
		return fmt.Errorf("levels %d: want %d with a mixture", c.Levels, mixtureLevels)
	}
	if c.Decoder.Mixture == 0 && c.Levels > maxSoftmax {
		return fmt.Errorf("levels %d: want at most %d without a mixture", c.Levels, maxSoftmax)
	}
	if c.Encoder.InputChannels() == 0 {
		return fmt.Errorf("encoder input %q: want %q, %q or %q", c.Encoder.Input, Wave, LogMel, MFCC)
	}
	if c.Encoder.Input != Wave && c.Rate%featureRate != 0 {
		return fmt.Errorf("rate %d: want a multiple of %d for the encoder input %q", c.Rate, featureRate, c.Encoder.Input)
	}
	if n := c.Encoder.Centre; n < 0 || n > maxCentre || n > 0 && c.Encoder.Input != LogMel {
		return fmt.Errorf("encoder input %q centred over %d frames on either side: want 0, with %q up to %d", c.Encoder.Input, n, LogMel, maxCentre)
	}
	hop := c.InputHop()
	for i, s := range c.Encoder.Strides {
		if n := c.Encoder.Channels[i]; n < 1 || n > maxChannels {
			return fmt.Errorf("encoder channels %v: want 1 to %d each", c.Encoder.Channels, maxChannels)
		}
		if s < 1 || s > maxStride || hop*s > maxHop {
			return fmt.Errorf("encoder strides %v: want 1 to %d each, and a code for at most %d samples", c.Encoder.Strides, maxStride, maxHop)
		}
		hop *= s
	}
	if !(c.Level >= -200 && c.Level <= 0) {
		return fmt.Errorf("level %g: want -200 to 0 dBFS", c.Level)
	}
	if n := c.Encoder.activations(); n > maxActivations {
		return fmt.Errorf("encoder channels %v and strides %v: %d elements of activations for a code, want at most %d", c.Encoder.Channels, c.Encoder.Strides, n, maxActivations)
	}
	if err := c.Bottleneck.check(); err != nil {
		return fmt.Errorf("bottleneck %w", err)
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
	if c.Image != nil {
		return c.imageElements()
	}
	n, in := int64(0), c.Encoder.InputChannels()
	if c.Encoder.Input != Wave {
		n += 2 * int64(in) // mean and deviation
	}
	for i, axis := range c.Encoder.Stack() {
		out := c.Encoder.Channels[i]
		n += product(axis.Kernel, in, out) + int64(out)
		in = out
	}
	n += product(in+1, c.Bottleneck.Width()) // the last layer
	return n + c.Bottleneck.elements() + product(speakers, c.Decoder.Speaker) + c.WaveNet().Elements()
}

// product is the product of sizes within the limits, which an int64 holds.
func product(sizes ...int) int64 {
	n := int64(1)
	for _, s := range sizes {
		n *= int64(s)
	}
	return n
}
