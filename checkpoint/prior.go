package checkpoint

import (
	"bytes"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/prior"
)

const priorFormat = "vqaudio-prior/1"

// Prior is what a file of a prior holds: as [File].
type Prior struct {
	Prior    *prior.Prior
	Training []byte
	State    nn.Parameters
}

// PriorFingerprint identifies a prior by all of its parameters, as [Fingerprint] does a model: what was compressed with one can be
// decompressed with that one alone.
func PriorFingerprint(p *prior.Prior) string { return fingerprint(p.Parameters()) }

// SavePrior is [Save] for a prior.
func SavePrior(name string, f *Prior) error { return savePriorAs(name, f, dilated.Float32) }

// ExportPrior is [Export] for a prior.
func ExportPrior(name string, f *Prior, precision dilated.Precision) error {
	round(f.Prior.Parameters(), precision)
	return savePriorAs(name, &Prior{Prior: f.Prior}, precision)
}

func savePriorAs(name string, f *Prior, precision dilated.Precision) error {
	return write(name, map[string]string{formatKey: priorFormat, fingerprintKey: PriorFingerprint(f.Prior)},
		map[string]any{configKey: f.Prior.Config, speakersKey: f.Prior.Speakers.Names()}, f.Prior.Parameters(), f.Training, f.State, precision)
}

// LoadPrior is [Load] for a prior. Whether it fits a model, [prior.Config.For] tells.
func LoadPrior(name string, precision dilated.Precision) (*Prior, error) {
	st, err := safetensors.Open(name)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return loadPrior(st, name, precision)
}

// ReadPrior is [Read] for a prior.
func ReadPrior(data []byte, name string, precision dilated.Precision) (*Prior, error) {
	st, err := safetensors.New(bytes.NewReader(data), int64(len(data)), name)
	if err != nil {
		return nil, err
	}
	return loadPrior(st, name, precision)
}

func loadPrior(st *safetensors.File, name string, precision dilated.Precision) (*Prior, error) {
	r := reader{st, name}
	if err := r.checkFormat(priorFormat, "a prior of vqaudio"); err != nil {
		return nil, err
	}
	p, err := r.prior(precision)
	if err != nil {
		return nil, err
	}
	f := &Prior{Prior: p, Training: r.training()}
	if f.State, err = r.fill(p.Parameters(), p.Parameters(), f.Training != nil); err != nil {
		return nil, err
	}
	return f, nil
}

// prior makes the prior of the configuration, as model does.
func (r *reader) prior(precision dilated.Precision) (*prior.Prior, error) {
	var config prior.Config
	if err := r.decode(configKey, &config); err != nil {
		return nil, err
	}
	var speakers []string
	if err := r.decode(speakersKey, &speakers); err != nil {
		return nil, err
	}
	if err := config.Check(); err != nil {
		return nil, r.wrong(configKey+": "+err.Error(), "a prior that can be")
	}
	if err := r.checkElements(config.Elements(len(speakers))); err != nil {
		return nil, err
	}
	p, err := prior.New(config, speakers, precision, nil)
	if err != nil {
		return nil, r.wrong(err.Error(), "a prior that can be")
	}
	return p, nil
}
