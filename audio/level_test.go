package audio_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
)

// Two files of one speaker, each with a DC of its own, get one gain.
func ExampleGain() {
	soft, loud := make([]float64, 16000), make([]float64, 16000)
	for i := range soft {
		x := math.Sin(2 * math.Pi * 200 * float64(i) / 16000)
		soft[i], loud[i] = 0.01*x+0.02, 0.04*x-0.01
	}
	var speaker audio.Meter
	var files []*audio.Meter
	for _, data := range [][]float64{soft, loud} {
		m := new(audio.Meter)
		m.Add(data)
		files = append(files, m)
		speaker.Merge(m.Centred())
	}
	gain := audio.Gain(speaker.RMS(), speaker.Peak(), -20)
	fmt.Printf("speaker %.2f dBFS, gain %.3f\n", audio.DBFS(speaker.RMS()), gain)
	for i, data := range [][]float64{soft, loud} {
		after := new(audio.Meter)
		err := audio.Copy(audio.Adjust(mono(data), files[i].DC(), gain), func(block []float64) error {
			after.Add(block)
			return nil
		})
		fmt.Printf("file %d: DC %.2f, then %.2f; %.2f dBFS %v\n", i, files[i].DC(), math.Abs(after.DC()), audio.DBFS(after.RMS()), err)
	}
	// Output:
	// speaker -33.72 dBFS, gain 4.851
	// file 0: DC 0.02, then 0.00; -29.29 dBFS <nil>
	// file 1: DC -0.01, then 0.00; -17.25 dBFS <nil>
}

func TestGain(t *testing.T) {
	const full = 32767.0 / 32768
	for _, c := range []struct{ rms, peak, target, want float64 }{
		{0.1, 0.5, -20, 1},
		{0.01, 0.05, -20, 10},
		{0.5, 0.9, -20, 0.2},
		{0.01, 0.5, -20, full / 0.5}, // the peak allows no more
		{0.1, 2, -20, full / 2},      // beyond full scale to begin with
		{1, 1, 0, full},
		{0, 0, -20, 1},
		{5e-324, 5e-324, -20, 1}, {math.NaN(), 0.5, -20, 1}, {math.Inf(1), math.Inf(1), -20, 1},
	} {
		if got := audio.Gain(c.rms, c.peak, c.target); math.Abs(got-c.want) > 1e-15*c.want {
			t.Errorf("RMS %v, peak %v to %v dBFS: gain %v, want %v", c.rms, c.peak, c.target, got, c.want)
		}
	}
}

// TestLevel brings noise with spikes and DC to many levels: the RMS is met, or else the largest 16-bit sample, and never
// more.
func TestLevel(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	data := make([]float64, 50000)
	for i := range data {
		data[i] = 0.02*random.NormFloat64() - 0.3
	}
	data[777] = 0.1
	before := meter(t, mono(data))
	reached, limited := 0, 0
	for target := -60.0; target <= 0; target += 3 {
		gain := audio.Gain(before.Centred().RMS(), before.Centred().Peak(), target)
		after := meter(t, audio.Adjust(mono(data), before.DC(), gain))
		if after.Peak() > 32767.0/32768*(1+1e-15) || after.Clipped() > 0 {
			t.Errorf("%v dBFS: peak %v", target, after.Peak())
		}
		switch level := audio.DBFS(after.RMS()); {
		case math.Abs(level-target) < 1e-9:
			reached++
		case level < target && after.Peak() > 0.9999:
			limited++
		default:
			t.Errorf("%v dBFS: RMS %v, peak %v", target, level, after.Peak())
		}
		if math.Abs(after.DC()) > 1e-12 {
			t.Errorf("%v dBFS: DC %v is left", target, after.DC())
		}
	}
	if reached < 5 || limited < 5 {
		t.Errorf("%d levels reached, %d limited by the peak: the test shows too little", reached, limited)
	}
}

// TestDCRemovalIsFlat checks by projection that amplitude and phase of a low voice's tones stay when DC goes.
func TestDCRemovalIsFlat(t *testing.T) {
	const n = 16000
	for _, hz := range []float64{1, 20, 60, 80, 1000} {
		data := make([]float64, n)
		for i := range data {
			data[i] = 0.25 + 0.5*math.Sin(2*math.Pi*hz*float64(i)/16000)
		}
		all, err := audio.ReadAll(audio.Adjust(mono(data), meter(t, mono(data)).DC(), 1))
		if err != nil {
			t.Fatal(err)
		}
		dc, sine, cosine := 0.0, 0.0, 0.0
		for i, x := range all.Data {
			dc += x / n
			sine += 2 * x / n * math.Sin(2*math.Pi*hz*float64(i)/16000)
			cosine += 2 * x / n * math.Cos(2*math.Pi*hz*float64(i)/16000)
		}
		if math.Abs(dc) > 1e-12 || math.Abs(sine-0.5) > 1e-12 || math.Abs(cosine) > 1e-12 {
			t.Errorf("%v Hz: DC %v, sine %v, cosine %v, want 0, 0.5, 0", hz, dc, sine, cosine)
		}
	}
}
