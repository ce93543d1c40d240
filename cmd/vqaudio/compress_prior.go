package main

import (
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/compress"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/units"
)

// compressionPrior loads a prior for compression, the file, or the best one of the folder of a run: as it is told of nobody.
func compressionPrior(name string) (p compress.Prior, file string, err error) {
	f, file, err := loadPrior(name, dilated.Float32)
	if err != nil {
		return p, file, err
	}
	c := f.Prior.Config
	p = compress.Prior{Net: f.Prior.Net, Fingerprint: checkpoint.PriorFingerprint(f.Prior),
		Info: units.Info{Rate: c.Rate, Hop: c.Hop, K: c.Codes, Model: c.Model}}
	if f.Prior.Voices != nil {
		p.Global = f.Prior.Voices.Table.Value.Row(int(f.Prior.Nobody()))
	}
	return p, file, nil
}
