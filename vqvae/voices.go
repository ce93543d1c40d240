package vqvae

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/speaker"
)

// Voice returns the vector of a mixture of speakers, [Config.Decoder.Speaker]: the mean of their vectors by the weights of mix.
// Of one speaker it is that speaker's vector. It panics if the model knows no speakers.
func (m *Model) Voice(mix speaker.Mix) []float32 {
	voice := make([]float32, m.Config.Decoder.Speaker)
	for i := range voice {
		sum := 0.0
		for _, s := range mix {
			sum += s.Weight * float64(m.Voices.Table.Value.Row(int(s.ID))[i])
		}
		voice[i] = float32(sum)
	}
	return voice
}

var errVoiceless = errors.New("the model knows no speakers: it has one voice for all")

// WithVoice returns a model that speaks with one voice more, or with another one under the name of a speaker that it knows. It
// shares everything else with m, which stays as it is. It is an error if the model knows no speakers, or if
// [speaker.NewTable] does not take the name.
func (m *Model) WithVoice(name string, vector []float32) (*Model, error) {
	if m.Voices == nil {
		return nil, errVoiceless
	}
	if len(vector) != m.Config.Decoder.Speaker {
		panic(fmt.Sprintf("vqvae.Model: a voice of %d channels, want %d", len(vector), m.Config.Decoder.Speaker))
	}
	names, rows := m.Speakers.Names(), slices.Clone(m.Voices.Table.Value.Data)
	if i := slices.Index(names, name); i >= 0 {
		copy(rows[i*len(vector):], vector)
	} else {
		names, rows = append(names, name), append(rows, vector...)
	}
	return m.withVoices(names, rows)
}

// WithoutVoice returns a model that lacks a speaker. It shares everything else with m, which stays as it is. It is an error if
// the model does not know the speaker, or no other one.
func (m *Model) WithoutVoice(name string) (*Model, error) {
	if m.Voices == nil {
		return nil, errVoiceless
	}
	id, err := m.Speakers.ID(name)
	if err != nil {
		return nil, err
	}
	if m.Speakers.Len() == 1 {
		return nil, fmt.Errorf("%q is the only speaker of the model", name)
	}
	n := m.Config.Decoder.Speaker
	return m.withVoices(slices.Delete(m.Speakers.Names(), int(id), int(id)+1),
		slices.Delete(slices.Clone(m.Voices.Table.Value.Data), int(id)*n, int(id+1)*n))
}

// withVoices returns a model of these speakers, whose vectors are rows one behind the other.
func (m *Model) withVoices(names []string, rows []float32) (*Model, error) {
	table, err := speaker.NewTable(names)
	if err != nil {
		return nil, err
	}
	other := *m
	other.Speakers = table
	other.Voices = &nn.Embedding{Table: nn.NewParameter(m.Voices.Table.Name, table.Len(), m.Config.Decoder.Speaker)}
	copy(other.Voices.Table.Value.Data, rows)
	return &other, nil
}
