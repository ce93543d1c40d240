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
	for want, change := range map[string]func(c *Config){
		"rate 0":                   func(c *Config) { c.Rate = 0 },
		"levels 48: want a power":  func(c *Config) { c.Levels = 48 },
		"levels 1":                 func(c *Config) { c.Levels = 1 },
		"3 channels and 2 strides": func(c *Config) { c.Encoder.Strides = []int{2, 2} },
		"encoder layers 0":         func(c *Config) { c.Encoder = EncoderConfig{} },
		"encoder layers 17":        func(c *Config) { c.Encoder = EncoderConfig{Channels: make([]int, 17), Strides: make([]int, 17)} },
		"channels [17 0 20]":       func(c *Config) { c.Encoder.Channels = []int{17, 0, 20} },
		"channels [17 5000 20]":    func(c *Config) { c.Encoder.Channels = []int{17, 5000, 20} },
		"strides [2 0 2]":          func(c *Config) { c.Encoder.Strides = []int{2, 0, 2} },
		"strides [1024 1024 1024]": func(c *Config) { c.Encoder.Strides = []int{1024, 1024, 1024} },
		"elements of activations": func(c *Config) {
			c.Encoder = EncoderConfig{Channels: []int{4096, 1, 1}, Strides: []int{1, 1024, 64}}
		},
		"entries 0":                  func(c *Config) { c.Quantiser.Entries = 0 },
		"dim -1":                     func(c *Config) { c.Quantiser.Dim = -1 },
		`codebook "": want "average`: func(c *Config) { c.Quantiser.Codebook = "" },
		"beta NaN":                   func(c *Config) { c.Quantiser.Beta = math.NaN() },
		"beta -0.1":                  func(c *Config) { c.Quantiser.Beta = -0.1 },
		"decay 1:":                   func(c *Config) { c.Quantiser.Decay = 1 },
		"jitter 1.1":                 func(c *Config) { c.Quantiser.Jitter = 1.1 },
		"dead 1:":                    func(c *Config) { c.Quantiser.Dead = 1 },
		"decoder: residual 0":        func(c *Config) { c.Decoder.Residual = 0 },
		"decoder: upsample [5]":      func(c *Config) { c.Decoder.Upsample = []int{5} },
		"want at most 134217728":     func(c *Config) { c.Quantiser.Entries, c.Quantiser.Dim = 1<<20, 1<<12 },
		"elements of parameters and": func(c *Config) { c.Decoder.Residual, c.Decoder.Layers, c.Decoder.Cycles = 1<<12, 4, 4 },
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
		if c.Hop() != hop {
			t.Errorf("hop %d of strides %v, want %d", c.Hop(), strides, hop)
		}
		for _, frames := range []int{1, 2, 7} {
			if n := c.Stack().Output(frames * hop); n != frames {
				t.Errorf("strides %v: %d frames of %d samples, want %d", strides, n, frames*hop, frames)
			}
		}
	}
}
