package wavenet

import (
	"fmt"

	"github.com/vqaudio/vqaudio/nn"
)

// Config is the shape of a [Net].
type Config struct {
	Classes  int `json:"classes"`  // of a step: levels of sound, or codes
	Mixture  int `json:"mixture"`  // logistics that the distribution of a step is a mixture of; 0 for a softmax over Classes
	Residual int `json:"residual"` // channels R of the residual stream
	Skip     int `json:"skip"`     // channels S of the sum of skips
	Layers   int `json:"layers"`   // of a cycle, with dilations 1, 2, 4, ... 2^(Layers-1)
	Cycles   int `json:"cycles"`   // times that the dilations are gone through

	// The local condition: Local channels for every Hop steps; none if Local is 0. It is upsampled by a transposed
	// convolution for each factor in Upsample, then held (nearest neighbour) for what is left of Hop. The product of the
	// factors divides Hop.
	Local    int   `json:"local"`
	Hop      int   `json:"hop"`
	Upsample []int `json:"upsample"`

	Global int `json:"global"` // channels of the global condition, the speaker's; none if 0
}

// taps is the number of taps of the dilated convolutions: 2, as in the paper.
const taps = 2

// Dilations returns those of all layers, in order.
func (c Config) Dilations() []int {
	var d []int
	for range c.Cycles {
		for i := range c.Layers {
			d = append(d, 1<<i)
		}
	}
	return d
}

// ReceptiveField is the number of steps that the prediction of the next one depends on.
func (c Config) ReceptiveField() int {
	n := 1
	for _, d := range c.Dilations() {
		n += (taps - 1) * d
	}
	return n
}

// Hold is the number of steps for which a frame of the upsampled local condition is held.
func (c Config) Hold() int {
	hold := c.Hop
	for _, u := range c.Upsample {
		hold /= u
	}
	return hold
}

// Outputs is the number of numbers that describe the distribution of a step: the logits of a softmax, or the parameters of a
// mixture as [nn.LogisticMixture] has them.
func (c Config) Outputs() int {
	if c.Mixture > 0 {
		return c.mixture().Width()
	}
	return c.Classes
}

// mixture is the distribution of a step where Mixture is not 0.
func (c Config) mixture() nn.LogisticMixture {
	return nn.LogisticMixture{Channels: 1, Levels: c.Classes, Mixtures: c.Mixture}
}

// The limits of a configuration, far beyond what can be trained: a file that asks for more is damaged.
const (
	maxChannels = 1 << 14
	maxMixture  = 1 << 10
	maxLayers   = 24
	maxCycles   = 64
	maxHop      = 1 << 16
	maxUpsample = 8
	maxElements = 1 << 26 // of the rings of a sampler, and of the condition for a frame of the local condition
)

// Check returns what is wrong with the configuration.
func (c Config) Check() error {
	for _, v := range []struct {
		name            string
		value, min, max int
	}{
		{"classes", c.Classes, 2, 1 << 16},
		{"mixture", c.Mixture, 0, maxMixture},
		{"residual", c.Residual, 1, maxChannels},
		{"skip", c.Skip, 1, maxChannels},
		{"layers", c.Layers, 1, maxLayers},
		{"cycles", c.Cycles, 1, maxCycles},
		{"local", c.Local, 0, maxChannels},
		{"global", c.Global, 0, maxChannels},
		{"number of upsample factors", len(c.Upsample), 0, maxUpsample},
	} {
		if v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s %d: want %d to %d", v.name, v.value, v.min, v.max)
		}
	}
	if n := c.ReceptiveField(); n > maxElements/c.Residual {
		return fmt.Errorf("a receptive field of %d steps of %d channels: want at most %d elements", n, c.Residual, maxElements)
	}
	if c.Local == 0 {
		if c.Hop != 0 || len(c.Upsample) > 0 {
			return fmt.Errorf("hop %d and upsample %v without a local condition", c.Hop, c.Upsample)
		}
		return nil
	}
	if c.Hop < 1 || c.Hop > maxHop {
		return fmt.Errorf("hop %d: want 1 to %d", c.Hop, maxHop)
	}
	left := c.Hop
	for _, u := range c.Upsample {
		if u < 2 || left%u != 0 {
			return fmt.Errorf("upsample %v: want factors of at least 2 whose product divides the hop of %d", c.Upsample, c.Hop)
		}
		left /= u
	}
	if frames, channels := c.Hop/left, c.Layers*c.Cycles*2*c.Residual; channels > maxElements/frames {
		return fmt.Errorf("a condition of %d frames of %d channels for %d steps: want at most %d elements", frames, channels, c.Hop, maxElements)
	}
	return nil
}

// Elements is the number of elements of all parameters. The configuration has passed Check.
func (c Config) Elements() int64 {
	layers, r, s := int64(c.Layers)*int64(c.Cycles), int64(c.Residual), int64(c.Skip)
	outputs, local, gates := int64(c.Outputs()), int64(c.Local), layers*2*r
	n := int64(c.Classes) * r // the embedding
	if c.Mixture > 0 {
		n = 2 * r // the map of the value
	}
	for _, u := range c.Upsample {
		n += 2*int64(u)*local*local + local
	}
	n += gates * (local + int64(c.Global) + 1)          // projections of the conditions, one bias
	n += layers*4*r*r + (layers-1)*r*r + layers*r*s + s // the stack
	return n + s*s + s + s*outputs + outputs
}
