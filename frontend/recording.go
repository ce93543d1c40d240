package frontend

import (
	"errors"
	"io"
	"math"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Recording is a recording as a model takes it: one channel, at the model's rate, without DC, and at the level that models
// are trained at. It is an audio.Source, and takes the same memory however long it is.
type Recording struct {
	audio.Source
	Gain float64 // what the sound was multiplied by

	// The first ten seconds of it, from where there first is sound; none if nobody asked for its level, as then there may be no time to wait for them.
	Beginning []float32
}

// timbreSeconds is how much of a recording, from its start, says what its timbre is.
const timbreSeconds = 10

// LevelSeconds is how much of a recording, from its start, says what its level is. It is not all of it: what comes from a pipe
// is heard once only, and is to be what it would be from a file.
const LevelSeconds = 60

// NewRecording returns sound of one channel at the model's rate as the model takes it. Level is the RMS in dBFS that it is brought to; NaN
// leaves it as it is. Silence at either end is no part of what is measured, as in the preparation of a corpus. Errors are those of src.
func NewRecording(src audio.Source, level float64) (*Recording, error) {
	if math.IsNaN(level) {
		return &Recording{Source: src, Gain: 1}, nil
	}
	rate := src.Format().SampleRate
	start := &startOf{Source: src}
	if err := start.read(LevelSeconds * rate); err != nil {
		return nil, err
	}
	activity := audio.NewActivity(rate)
	activity.Add(start.samples)
	from, to := activity.Bounds(audio.TrimBelow, audio.TrimMargin)
	var meter audio.Meter
	meter.Add(start.samples[from:to])
	centred := meter.Centred()
	gain := audio.Gain(centred.RMS(), centred.Peak(), level)
	var beginning []float32 // of the rest of the minute nothing stays
	for _, x := range start.samples[from:min(to, from+int64(timbreSeconds*rate))] {
		beginning = append(beginning, float32((x-meter.DC())*gain))
	}
	return &Recording{audio.Adjust(start, meter.DC(), gain), gain, beginning}, nil
}

// Adapt returns a model as it is to hear the recording so that it tells less of who spoke: as if it had the timbre of the target,
// and the factor by which what it speaks then is louder. A recording whose beginning is not known, or a model without timbres, stays as it is.
func (r *Recording) Adapt(f *Frontend, m *vqvae.Model, target vqvae.Timbre) (adapted *vqvae.Model, louder float64) {
	if r.Beginning == nil || !m.HasTimbres() {
		return m, 1
	}
	source := f.Timbre(m, r.Beginning)
	return m.Adapted(source, target), target.Louder(source)
}

// startOf is a source whose first samples have been read already.
type startOf struct {
	audio.Source
	samples []float64
	handed  int   // of the samples
	end     error // what came after them, if it was not sound
}

// read reads up to n samples.
func (s *startOf) read(n int) error {
	block := make([]float64, 4096)
	for len(s.samples) < n {
		got, err := s.Source.Read(block[:min(len(block), n-len(s.samples))])
		s.samples = append(s.samples, block[:got]...)
		if errors.Is(err, io.EOF) {
			s.end = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *startOf) Read(block []float64) (int, error) {
	switch {
	case s.handed < len(s.samples):
		n := copy(block, s.samples[s.handed:])
		s.handed += n
		return n, nil
	case s.end != nil:
		return 0, s.end
	}
	s.samples, s.handed = nil, 0
	return s.Source.Read(block)
}
