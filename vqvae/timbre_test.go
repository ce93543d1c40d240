package vqvae

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
)

// timbresModel is a model of log-mel spectra of two speakers, centred or not, whose timbres are not measured.
func timbresModel(t *testing.T, centre int) *Model {
	t.Helper()
	c := features(LogMel)
	c.Encoder.Centre = centre
	c.Decoder.Speaker = 2
	m, err := New(c, []string{"ann", "bob"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func only(id int32) speaker.Mix { return speaker.Mix{{ID: id, Weight: 1}} }

func near(a, b []float32, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool { return math.Abs(float64(a)-float64(b)) <= tolerance })
}

// TestAdapted compares an adapted model with the model that is given features which were changed as [Model.Adapted] says.
func TestAdapted(t *testing.T) {
	m := timbresModel(t, 0)
	from, to := speechlike(1, 60, 3, 1), speechlike(1, 50, 2, 2)
	for i, v := range to.Data {
		to.Data[i] = v*1.5 + float32(i%logMelBands)/20
	}
	m.Encoder.Standardise([]tensor.Tensor{from, to})
	m.SetTimbres([]Timbre{m.MeasureTimbre([]tensor.Tensor{from}), m.MeasureTimbre([]tensor.Tensor{to})})
	ann, bob := m.Timbre(only(0)), m.Timbre(only(1))

	moved := tensor.From(slices.Clone(from.Data), from.Shape()...)
	for r := range moved.Rows() {
		for i, v := range moved.Row(r) {
			moved.Row(r)[i] = (v-ann.Mean[i])*bob.Deviation[i]/ann.Deviation[i] + bob.Mean[i]
		}
	}
	if got := m.MeasureTimbre([]tensor.Tensor{moved}); near(got.Mean, ann.Mean, 0.05) {
		t.Fatal("the voices are the same")
	}
	a := new(tensor.Arena)
	adapted := m.Adapted(ann, bob)
	want := slices.Clone(m.Encoder.standardised(a, moved).Data)
	if got := adapted.Encoder.standardised(a, from).Data; !near(got, want, 1e-4) {
		t.Errorf("adapted %v, want %v", got[:5], want[:5])
	}
	if near(m.Encoder.standardised(a, from).Data, want, 0.1) {
		t.Error("nothing is adapted, or the model is changed itself")
	}
	x := tensor.From(from.Data, 1, 60, logMelBands)
	if got, want := adapted.Latent(a, x).Codes, m.Latent(a, tensor.From(moved.Data, 1, 60, logMelBands)).Codes; !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
}

// TestMeasureTimbre: of much speech mean and deviation are those of its numbers, of none those of the average speaker; whatever stands
// between them is weighed by frames.
func TestMeasureTimbre(t *testing.T) {
	for _, centre := range []int{0, 10} {
		m := timbresModel(t, centre)
		if m.HasTimbres() || !m.WantsTimbres() {
			t.Fatal("timbres of a new model")
		}
		frames := func(n int, values ...float32) tensor.Tensor {
			x := tensor.New(1, n, logMelBands)
			for i := range x.Data {
				x.Data[i] = values[i/logMelBands%len(values)] + float32(i%logMelBands)/1000
			}
			return x
		}
		if centre > 0 { // what is measured is what the encoder sees: of a spectrum that does not change, its level
			got := m.MeasureTimbre([]tensor.Tensor{frames(30, 5)})
			if !near(got.Mean, slices.Repeat([]float32{5.0395}, logMelBands), 1e-3) {
				t.Errorf("centred: %v", got.Mean)
			}
			continue
		}
		ann := m.MeasureTimbre([]tensor.Tensor{frames(10, 1, 3), frames(10, 1, 3)})
		bob := m.MeasureTimbre([]tensor.Tensor{frames(10, 4, 8)})
		if math.Abs(float64(ann.Mean[7])-2.007) > 1e-5 || math.Abs(float64(ann.Deviation[7])-1) > 1e-5 || math.Abs(float64(bob.Deviation[0])-2) > 1e-5 {
			t.Fatalf("%v %v, %v %v", ann.Mean[7], ann.Deviation[7], bob.Mean[0], bob.Deviation[0])
		}
		m.SetTimbres([]Timbre{ann, bob})
		if !m.HasTimbres() || !slices.Equal(m.Timbre(only(1)).Mean, bob.Mean) || !slices.Equal(m.Timbre(only(0)).Deviation, ann.Deviation) {
			t.Fatal("timbres are not kept")
		}
		// Levels are those of frames that are not silence, of 80 bands.
		bands := math.Log(80) + 0.0395
		quiet := m.MeasureTimbre([]tensor.Tensor{frames(30, -20, 1, -9), frames(10, 3)})
		if math.Abs(float64(ann.Level)-2-bands) > 1e-3 || math.Abs(float64(quiet.Level)-2-bands) > 1e-3 {
			t.Errorf("levels %v and %v, want %v", ann.Level, quiet.Level, 2+bands)
		}
		if got, want := bob.Louder(ann), math.Exp(4./2); math.Abs(got-want) > 1e-3 {
			t.Errorf("louder by %v, want %v", got, want)
		}
		if got := m.Timbre(speaker.Mix{{ID: 0, Weight: 0.25}, {ID: 1, Weight: 0.75}}).Level; math.Abs(float64(got)-5-bands) > 1e-3 {
			t.Errorf("level of a mixture %v, want %v", got, 5+bands)
		}
		average := m.Timbre(speaker.Mix{{ID: 0, Weight: 0.5}, {ID: 1, Weight: 0.5}})
		if got := m.MeasureTimbre(nil); !near(got.Mean, average.Mean, 1e-5) || !near(got.Deviation, average.Deviation, 1e-5) {
			t.Errorf("of nothing: %v, want %v", got, average)
		}
		// 100 frames of mean 4 and deviation 1.5, and 100 of mean 10 and deviation 2: mean 7, variance (2.25+4)/2 + 9.
		got := m.MeasureTimbre([]tensor.Tensor{frames(100, 8, 12)})
		if math.Abs(float64(got.Mean[0])-7) > 1e-5 || math.Abs(float64(got.Deviation[0])-math.Sqrt(3.125+9)) > 1e-5 {
			t.Errorf("of a second: %v, %v", got.Mean[0], got.Deviation[0])
		}
	}
}

func TestSetTimbres(t *testing.T) {
	c := features(LogMel)
	c.Decoder.Speaker = 2
	m, err := New(c, []string{"ann", "bob", "kim"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	one := func(mean, deviation float32) Timbre {
		return Timbre{slices.Repeat([]float32{mean}, logMelBands), slices.Repeat([]float32{deviation}, logMelBands), 1}
	}
	m.SetTimbres(make([]Timbre, 3))
	if m.HasTimbres() {
		t.Error("timbres of nobody")
	}
	m.SetTimbres([]Timbre{{}, one(1, 2), one(3, 6)})
	if got := m.Timbre(only(0)); !m.HasTimbres() || got.Level != 1 || !slices.Equal(got.Mean, one(2, 4).Mean) || !slices.Equal(got.Deviation, one(2, 4).Deviation) {
		t.Errorf("without speech: %v", got)
	}
	// They go with the speakers.
	more, err := m.WithVoice("zoe", []float32{1, 2}, one(7, 8))
	if err != nil {
		t.Fatal(err)
	}
	if more, err = more.WithoutVoice("bob"); err != nil {
		t.Fatal(err)
	}
	for id, want := range []Timbre{one(2, 4), one(3, 6), one(7, 8)} {
		if got := more.Timbre(only(int32(id))); !slices.Equal(got.Mean, want.Mean) || !slices.Equal(got.Deviation, want.Deviation) {
			t.Errorf("%s: %v, %v", more.Speakers.Name(int32(id)), got.Mean[0], got.Deviation[0])
		}
	}
	if m.Timbre(only(1)).Mean[0] != 1 || m.State().Find(TimbresName).Value.Dim(0) != 3 || more.State().Find(TimbresName).Value.Dim(0) != 3 {
		t.Error("the model is changed")
	}
	if err := m.CheckTimbres(); err != nil {
		t.Error(err)
	}
	m.State().Find(TimbresName).Value.Row(2)[logMelBands+5] = 0
	if err := m.CheckTimbres(); err == nil || !strings.Contains(err.Error(), "deviation 0 of channel 5 of speaker 2") {
		t.Errorf("a deviation of 0: %v", err)
	}
	wave := voicesModel(t)
	wave.AddTimbres()
	if wave.HasTimbres() || wave.WantsTimbres() || wave.State().Find(TimbresName) != nil || wave.CheckTimbres() != nil {
		t.Error("timbres of a waveform")
	}
}
