package vqvae

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
)

// VoicesName is that of the voices in [Model.Parameters]: [speakers, Decoder.Speaker].
const VoicesName = "speakers.weight"

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
// [speaker.NewTable] does not take the name. The timbre is looked at if the model has timbres.
func (m *Model) WithVoice(name string, vector []float32, t Timbre) (*Model, error) {
	if m.Voices == nil {
		return nil, errVoiceless
	}
	if len(vector) != m.Config.Decoder.Speaker {
		panic(fmt.Sprintf("vqvae.Model: a voice of %d channels, want %d", len(vector), m.Config.Decoder.Speaker))
	}
	names, from := m.Speakers.Names(), m.rows()
	id := slices.Index(names, name)
	if id < 0 {
		id = len(names)
		names, from = append(names, name), append(from, 0)
	}
	other, err := m.withVoices(names, from)
	if err != nil {
		return nil, err
	}
	copy(other.Voices.Table.Value.Row(id), vector)
	if m.HasTimbres() {
		other.setTimbre(id, t)
	}
	return other, nil
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
	return m.withVoices(slices.Delete(m.Speakers.Names(), int(id), int(id)+1), slices.Delete(m.rows(), int(id), int(id)+1))
}

// TakeWeights makes m what another model of the same configuration, but for the level, is: all parameters and all state. Speakers have the voices
// of those with their names; a name that the other model does not know gets the mean of its voices. Timbres are left to be measured. It is an error
// if the configurations differ.
func (m *Model) TakeWeights(from *Model) error {
	config := from.Config
	config.Level = m.Config.Level
	if !reflect.DeepEqual(config, m.Config) {
		return fmt.Errorf("weights of another model: its configuration is %+v, want %+v", config, m.Config)
	}
	if m.Voices != nil {
		names, everybody := m.Speakers.Names(), make(speaker.Mix, from.Speakers.Len())
		for i := range everybody {
			everybody[i] = speaker.Share{ID: int32(i), Weight: 1 / float64(len(everybody))}
		}
		for id, name := range names {
			mix := everybody
			if from.Speakers.Has(name) {
				of, err := from.Speakers.ID(name)
				if err != nil {
					return err
				}
				mix = speaker.Mix{{ID: of, Weight: 1}}
			}
			copy(m.Voices.Table.Value.Row(id), from.Voice(mix))
		}
	}
	theirs := slices.Concat(from.Parameters(), from.State())
	for _, p := range slices.Concat(m.Parameters(), m.State()) {
		if p.Name == VoicesName || p.Name == TimbresName {
			continue // timbres are measured on the speech that there is
		}
		copy(p.Value.Data, theirs.Find(p.Name).Value.Data)
	}
	return nil
}

// rows returns the numbers of all speakers.
func (m *Model) rows() []int {
	ids := make([]int, m.Speakers.Len())
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// withVoices returns a model of these speakers: each with vector and timbre of the speaker of m whose number from says.
func (m *Model) withVoices(names []string, from []int) (*Model, error) {
	table, err := speaker.NewTable(names)
	if err != nil {
		return nil, err
	}
	other := *m
	other.Speakers = table
	other.Voices = &nn.Embedding{Table: nn.NewParameter(m.Voices.Table.Name, table.Len(), m.Config.Decoder.Speaker)}
	if m.timbres.Data != nil {
		other.timbres = tensor.New(table.Len(), m.timbres.Dim(1))
	}
	for id, of := range from {
		copy(other.Voices.Table.Value.Row(id), m.Voices.Table.Value.Row(of))
		if m.timbres.Data != nil {
			copy(other.timbres.Row(id), m.timbres.Row(of))
		}
	}
	return &other, nil
}
