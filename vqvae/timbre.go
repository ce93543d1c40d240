package vqvae

import (
	"fmt"
	"math"
	"slices"

	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
)

// Timbre is what the speech of a voice looks like to the encoder: mean and deviation of each channel of its features, [channels], centred if so
// configured. A model keeps that of each of its speakers. Before speech is converted it is given the timbre of the target ([Model.Adapted]), so
// that codes tell the decoder less of who spoke. (Of speakers' pitch, Gaussian normalisation has long been used so: Chappell & Hansen 1998. Of
// features for recognition it is mean and variance normalisation: Viikki & Laurila 1998.)
type Timbre struct {
	Mean, Deviation []float32
	Level           float32 // of log-mel spectra the mean power, in ln, of frames at most 30 dB below the loudest of their input; of others 0
}

// TimbresName is that of the timbres in [Model.State]: [speakers, 2*channels + 1], all means of a speaker, then all deviations, then the level. There is
// none in the files of models that were trained before there were any.
const TimbresName = "speakers.timbre"

// timbreMargin is how much the timbre of little speech is drawn to that of the average speaker: as if so many frames were his, a second.
const timbreMargin = 100

// maxLevel is a level, in ln, beyond that of any sound.
const maxLevel = 100

// HasTimbres reports whether the timbre of each speaker of the model is known: they are wanted ([Model.WantsTimbres]), and were measured.
func (m *Model) HasTimbres() bool { return m.timbres.Data != nil && m.timbre(0).Deviation[0] > 0 }

// CheckTimbres returns what is wrong with timbres that were read from a file: they are all there, or none is.
func (m *Model) CheckTimbres() error {
	if m.timbres.Data == nil || !slices.ContainsFunc(m.timbres.Data, func(v float32) bool { return v != 0 }) {
		return nil
	}
	for id := range m.timbres.Dim(0) {
		for i, d := range m.timbre(id).Deviation {
			if !(d > 0) {
				return fmt.Errorf("deviation %v of channel %d of speaker %d", d, i, id)
			}
		}
		if l := m.timbre(id).Level; !(l >= -maxLevel && l <= maxLevel) {
			return fmt.Errorf("level %v of speaker %d", l, id)
		}
	}
	return nil
}

// WantsTimbres reports whether there are any to be measured: the encoder sees features, and the model knows speakers.
func (m *Model) WantsTimbres() bool { return m.Voices != nil && m.Config.Encoder.Input != Wave }

// TimbreLen is the number of elements of a speaker's timbre in a file.
func (c EncoderConfig) TimbreLen() int { return 2*c.InputChannels() + 1 }

// AddTimbres makes room for timbres, as a part of State, if they are wanted and there is none. They are not known yet.
func (m *Model) AddTimbres() {
	if m.WantsTimbres() && m.timbres.Data == nil {
		m.timbres = tensor.New(m.Speakers.Len(), m.Config.Encoder.TimbreLen())
	}
}

// SetTimbres keeps the timbres of all speakers, by their numbers, of a model that wants them. One without speech, whose Mean is nil, gets the mean of the others.
func (m *Model) SetTimbres(timbres []Timbre) {
	m.AddTimbres()
	var known speaker.Mix
	for id, t := range timbres {
		if t.Mean != nil {
			m.setTimbre(id, t)
			known = append(known, speaker.Share{ID: int32(id)})
		}
	}
	for i := range known {
		known[i].Weight = 1 / float64(len(known))
	}
	for id, t := range timbres {
		if t.Mean == nil && known != nil {
			m.setTimbre(id, m.Timbre(known))
		}
	}
}

func (m *Model) setTimbre(id int, t Timbre) {
	copy(m.timbres.Row(id), slices.Concat(t.Mean, t.Deviation, []float32{t.Level}))
}

// timbre returns that of a speaker, whose slices are parts of timbres.
func (m *Model) timbre(id int) Timbre {
	n := m.timbres.Dim(1) / 2
	row := m.timbres.Row(id)
	return Timbre{row[:n], row[n : 2*n], row[2*n]}
}

// Timbre returns the timbre of a mixture of speakers: the mean of theirs by the weights of mix. The model has timbres.
func (m *Model) Timbre(mix speaker.Mix) Timbre {
	n := m.timbres.Dim(1) / 2
	t := Timbre{Mean: make([]float32, n), Deviation: make([]float32, n)}
	for _, s := range mix {
		t.Level += float32(s.Weight * float64(m.timbre(int(s.ID)).Level))
	}
	for i := range n {
		mean, deviation := 0.0, 0.0
		for _, s := range mix {
			of := m.timbre(int(s.ID))
			mean += s.Weight * float64(of.Mean[i])
			deviation += s.Weight * float64(of.Deviation[i])
		}
		t.Mean[i], t.Deviation[i] = float32(mean), float32(deviation)
	}
	return t
}

// averageTimbre is that of all speakers in equal parts.
func (m *Model) averageTimbre() Timbre {
	all := make(speaker.Mix, m.timbres.Dim(0))
	for i := range all {
		all[i] = speaker.Share{ID: int32(i), Weight: 1 / float64(len(all))}
	}
	return m.Timbre(all)
}

// MeasureTimbre returns the timbre of speech, whose features are inputs [B, N, channels], each utterance whole. If the model has timbres, a second of the average speaker's
// is counted with it, so that little speech, which says more of its words than of its voice, does no harm. Frames that hold numbers that are not
// finite are left out. It panics if the encoder sees a waveform.
func (m *Model) MeasureTimbre(inputs []tensor.Tensor) Timbre {
	mean, variance, frames := m.Encoder.moments(inputs)
	if m.HasTimbres() {
		average, all := m.averageTimbre(), frames+timbreMargin
		for i := range mean {
			apart, deviation := float64(average.Mean[i])-mean[i], float64(average.Deviation[i])
			variance[i] = (frames*variance[i] + timbreMargin*deviation*deviation + frames*timbreMargin/all*apart*apart) / all
			mean[i] += timbreMargin / all * apart
		}
	}
	t := Timbre{Mean: make([]float32, len(mean)), Deviation: make([]float32, len(mean)), Level: m.level(inputs)}
	for i := range mean {
		t.Mean[i], t.Deviation[i] = float32(mean[i]), float32(deviation(mean[i], variance[i]))
	}
	return t
}

// Adapted returns a model that hears speech of the timbre from as if it were of the timbre to: each channel x of its features as
//
//	(x - from.Mean)·to.Deviation/from.Deviation + to.Mean
//
// That matches level and noise, too: the model knows the target as it was recorded. What it speaks then is louder by the factor [Timbre.Louder].
// The model shares everything else with m, which stays as it is. It is not for training.
func (m *Model) Adapted(from, to Timbre) *Model {
	// (y - Mean)/Deviation of that y is (x - Mean')/Deviation' of x.
	e := *m.Encoder
	e.Mean, e.Deviation = tensor.New(len(from.Mean)), tensor.New(len(from.Mean))
	for i := range from.Mean {
		wider := float64(from.Deviation[i]) / float64(to.Deviation[i])
		e.Mean.Data[i] = float32(float64(from.Mean[i]) + (float64(m.Encoder.Mean.Data[i])-float64(to.Mean[i]))*wider)
		e.Deviation.Data[i] = float32(float64(m.Encoder.Deviation.Data[i]) * wider)
	}
	other := *m
	other.Encoder = &e
	return &other
}

// Louder returns the factor by which the speech of to is louder than that of from.
func (to Timbre) Louder(from Timbre) float64 { return math.Exp(float64(to.Level-from.Level) / 2) }

// level returns the Level of inputs; that of the average speaker if none of their frames is finite.
func (m *Model) level(inputs []tensor.Tensor) float32 {
	if m.Config.Encoder.Input != LogMel {
		return 0
	}
	a, sum, frames := new(tensor.Arena), 0.0, 0.0
	for _, x := range inputs {
		powers := powersOf(a, x).Data
		powers = slices.DeleteFunc(powers, func(p float32) bool { return p-p != 0 })
		loudest := float32(math.Inf(-1))
		for _, p := range powers {
			loudest = max(loudest, p)
		}
		for _, p := range powers {
			if p >= loudest-quiet {
				sum += float64(p)
				frames++
			}
		}
		a.Reset()
	}
	if frames == 0 && m.HasTimbres() {
		return m.averageTimbre().Level
	}
	return float32(sum / max(1, frames))
}
