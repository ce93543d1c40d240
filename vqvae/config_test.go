package vqvae

import (
	"math"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	if err := tiny().Check(); err != nil {
		t.Fatal(err)
	}
	if err := paper().Check(); err != nil {
		t.Fatal(err)
	}
	other := tiny() // what does not concern the kind may be anything
	other.Bottleneck = BottleneckConfig{Kind: None, Dim: 16, Entries: -5, Groups: 7, KL: -1}
	if err := other.Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(c *Config){
		"rate 0":                          func(c *Config) { c.Rate = 0 },
		"levels 48: want a power":         func(c *Config) { c.Levels = 48 },
		"levels 1":                        func(c *Config) { c.Levels = 1 },
		"levels 131072":                   func(c *Config) { c.Levels = 1 << 17 },
		"4096 without a mixture":          func(c *Config) { c.Levels = 1 << 13 },
		"65536 with a mixture":            func(c *Config) { c.Levels, c.Decoder.Mixture = 256, 10 },
		"decoder: mixture -1":             func(c *Config) { c.Decoder.Mixture = -1 },
		"decoder: mixture 1025":           func(c *Config) { c.Levels, c.Decoder.Mixture = 1<<16, 1025 },
		"3 channels and 2 strides":        func(c *Config) { c.Encoder.Strides = []int{2, 2} },
		"encoder layers 0":                func(c *Config) { c.Encoder = EncoderConfig{} },
		"encoder layers 17":               func(c *Config) { c.Encoder = EncoderConfig{Channels: make([]int, 17), Strides: make([]int, 17)} },
		"channels [17 0 20]":              func(c *Config) { c.Encoder.Channels = []int{17, 0, 20} },
		"channels [17 5000 20]":           func(c *Config) { c.Encoder.Channels = []int{17, 5000, 20} },
		"strides [2 0 2]":                 func(c *Config) { c.Encoder.Strides = []int{2, 0, 2} },
		"strides [1024 1024 1024]":        func(c *Config) { c.Encoder.Strides = []int{1024, 1024, 1024} },
		"entries 0":                       func(c *Config) { c.Bottleneck.Entries = 0 },
		"dim -1":                          func(c *Config) { c.Bottleneck.Dim = -1 },
		`codebook "": want "average`:      func(c *Config) { c.Bottleneck.Codebook = "" },
		"beta NaN":                        func(c *Config) { c.Bottleneck.Beta = math.NaN() },
		"beta -0.1":                       func(c *Config) { c.Bottleneck.Beta = -0.1 },
		"decay 1:":                        func(c *Config) { c.Bottleneck.Decay = 1 },
		`bottleneck kind "": want`:        func(c *Config) { c.Bottleneck.Kind = "" },
		`distance "l1": want "eucl`:       func(c *Config) { c.Bottleneck.Distance = "l1" },
		"groups 0":                        func(c *Config) { c.Bottleneck.Groups = 0 },
		"groups 3: want a divisor of dim": func(c *Config) { c.Bottleneck.Groups = 3 },
		"stages 65":                       func(c *Config) { c.Bottleneck.Stages = 65 },
		"16 groups of 5 stages":           func(c *Config) { c.Bottleneck.Groups, c.Bottleneck.Stages, c.Bottleneck.Entries = 16, 5, 1 },
		"16 entries in each of 8":         func(c *Config) { c.Bottleneck.Groups, c.Bottleneck.Stages, c.Bottleneck.Entries = 2, 4, 16 },
		"46341 entries in each of 2":      func(c *Config) { c.Bottleneck.Stages, c.Bottleneck.Entries = 2, 46341 },
		"kl -1":                           func(c *Config) { c.Bottleneck.Kind, c.Bottleneck.KL = VAE, -1 },
		"kl NaN":                          func(c *Config) { c.Bottleneck.Kind, c.Bottleneck.KL = VAE, math.NaN() },
		"kl_warm_up 16777217":             func(c *Config) { c.Bottleneck.Kind, c.Bottleneck.KLWarmUp = VAE, 1<<24+1 },
		"dim 0":                           func(c *Config) { c.Bottleneck.Kind, c.Bottleneck.Dim = None, 0 },
		"jitter 1.1":                      func(c *Config) { c.Bottleneck.Jitter = 1.1 },
		"dead 1:":                         func(c *Config) { c.Bottleneck.Dead = 1 },
		"decoder: residual 0":             func(c *Config) { c.Decoder.Residual = 0 },
		"decoder: upsample [5]":           func(c *Config) { c.Decoder.Upsample = []int{5} },
		"want at most 134217728":          func(c *Config) { c.Bottleneck.Entries, c.Bottleneck.Dim = 1<<20, 1<<12 },
		"elements of parameters and":      func(c *Config) { c.Decoder.Residual, c.Decoder.Layers, c.Decoder.Cycles = 1<<12, 4, 4 },
		"elements of activations": func(c *Config) {
			c.Encoder.Channels, c.Encoder.Strides = []int{4096, 1, 1}, []int{1, 1024, 64}
		},
	} {
		c := tiny()
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestHops(t *testing.T) {
	for hop, strides := range map[int][]int{64: {2, 2, 2, 2, 2, 2}, 128: {2, 2, 2, 2, 2, 2, 2}, 320: {2, 2, 2, 2, 2, 2, 5}, 640: {2, 2, 2, 2, 2, 2, 2, 5}} {
		c := EncoderConfig{Strides: strides}
		if c.Stride() != hop {
			t.Errorf("hop %d of strides %v, want %d", c.Stride(), strides, hop)
		}
		for _, frames := range []int{1, 2, 7} {
			if n := c.Stack().Output(frames * hop); n != frames {
				t.Errorf("strides %v: %d frames of %d samples, want %d", strides, n, frames*hop, frames)
			}
		}
	}
}
