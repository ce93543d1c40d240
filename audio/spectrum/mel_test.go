package spectrum

import (
	"math"
	"testing"
)

// TestMelFrequencies compares with published values: the example in the documentation of librosa.mel_frequencies(n_mels=40),
// from 0 to 11025 Hz.
func TestMelFrequencies(t *testing.T) {
	want := []float64{
		0, 85.317, 170.635, 255.952, 341.269, 426.586, 511.904, 597.221, 682.538, 767.855, 853.173, 938.49, 1024.856, 1119.114,
		1222.042, 1334.436, 1457.167, 1591.187, 1737.532, 1897.337, 2071.84, 2262.393, 2470.47, 2697.686, 2945.799, 3216.731,
		3512.582, 3835.643, 4188.417, 4573.636, 4994.285, 5453.621, 5955.205, 6502.92, 7101.009, 7754.107, 8467.272, 9246.028,
		10096.408, 11025,
	}
	for i, hz := range Slaney.Frequencies(40, 0, 11025) {
		if math.Abs(hz-want[i]) > 0.0006 {
			t.Errorf("frequency %d is %v, want %v", i, hz, want[i])
		}
	}
}

// TestMelScales: values of the formulas, and of librosa.hz_to_mel's documentation (60 Hz is 0.9 mel, 440 Hz is 6.6).
func TestMelScales(t *testing.T) {
	for _, test := range []struct {
		scale   Scale
		hz, mel float64
	}{
		{HTK, 0, 0},
		{HTK, 700, 2595 * math.Log10(2)},
		{HTK, 6300, 2595},
		{HTK, 1000, 999.9855}, // the scale is made so that 1000 Hz are 1000 mel
		{Slaney, 60, 0.9},
		{Slaney, 440, 6.6},
		{Slaney, 1000, 15},
		{Slaney, 6400, 42},
	} {
		if mel := test.scale.Mel(test.hz); math.Abs(mel-test.mel) > 1e-4 {
			t.Errorf("scale %d: %v Hz is %v mel, want %v", test.scale, test.hz, mel, test.mel)
		}
		if hz := test.scale.Hz(test.scale.Mel(test.hz)); math.Abs(hz-test.hz) > 1e-9 {
			t.Errorf("scale %d: %v Hz comes back as %v", test.scale, test.hz, hz)
		}
	}
}

// TestFilters compares some weights with those that torchaudio 0.13.1 has published, for 20 filters from 0 to 8000 Hz over
// 512 samples at 16000 Hz, and the sum of each:
//
//	f = torchaudio.functional.melscale_fbanks(257, 0., 8000., 20, 16000, norm='slaney', mel_scale='slaney')  # or None, 'htk'
//	for m in (0, 7, 19): print(f[:, m].nonzero()[:4], f[:, m][f[:, m].nonzero()[:4]], f[:, m].sum())
//
// Slaney's are in 1/Hz there, and a bin is 31.25 Hz wide.
func TestFilters(t *testing.T) {
	for _, test := range []struct {
		scale      Scale
		unit       float64
		mel, first int
		weights    []float64
		sum        float64
	}{
		{Slaney, 31.25, 0, 1, []float64{0.00151467, 0.00302934, 0.00454401, 0.00605868}, 0.03175325},
		{Slaney, 31.25, 7, 33, []float64{0.000919741, 0.00204227, 0.00316479, 0.00428731}, 0.03195307},
		{Slaney, 31.25, 19, 191, []float64{2.05226e-05, 5.26025e-05, 8.46823e-05, 0.000116762}, 0.031998154},
		{HTK, 1, 0, 1, []float64{0.350149, 0.700298, 0.955257, 0.644703}, 3.0081515},
		{HTK, 1, 7, 30, []float64{0.0776099, 0.228773, 0.379936, 0.531099}, 7.0594196},
		{HTK, 1, 19, 197, []float64{0.0144244, 0.0502393, 0.0860542, 0.121869}, 29.697231},
	} {
		c := LogMel(16000, 20)
		c.Scale = test.scale
		f := newAnalyser(t, c).filters[test.mel]
		sum := 0.
		for i, w := range f.weights {
			sum += w
			if i < 4 && math.Abs(w/(test.weights[i]*test.unit)-1) > 2e-4 { // they are in float32
				t.Errorf("scale %d, filter %d: weight %d is %v, want %v", test.scale, test.mel, i, w, test.weights[i]*test.unit)
			}
		}
		if f.first != test.first || math.Abs(sum/(test.sum*test.unit)-1) > 2e-5 {
			t.Errorf("scale %d, filter %d begins at bin %d, its sum is %v; want %d and %v", test.scale, test.mel, f.first, sum, test.first, test.sum*test.unit)
		}
	}
}

// TestFiltersShareOut: between the tops of the first and the last filter of height 1, each bin counts once in all; filters of
// area 1 leave white noise as it is.
func TestFiltersShareOut(t *testing.T) {
	c := LogMel(16000, 40)
	c.FFT, c.Scale, c.Low, c.High = 4096, HTK, 100, 7000
	total := make([]float64, c.Bins())
	for _, f := range newAnalyser(t, c).filters {
		for i, w := range f.weights {
			total[f.first+i] += w
		}
	}
	corners := c.Scale.Frequencies(42, 100, 7000)
	for k, w := range total {
		switch hz := float64(k) * 16000 / 4096; {
		case hz <= 100 || hz >= 7000:
			if w != 0 {
				t.Errorf("%v Hz counts %v", hz, w)
			}
		case hz >= corners[1] && hz <= corners[40]:
			if math.Abs(w-1) > 1e-12 {
				t.Errorf("%v Hz counts %v", hz, w)
			}
		}
	}
	c.Scale = Slaney
	for m, f := range newAnalyser(t, c).filters {
		sum := 0.
		for _, w := range f.weights {
			sum += w
		}
		if math.Abs(sum-1) > 0.01 { // a triangle, sampled
			t.Errorf("filter %d has area %v", m, sum)
		}
	}
}

// mixture is the recording of the values that torchaudio gives: a chirp from 200 to 3000 Hz and a sine.
func mixture() []float64 {
	x := make([]float64, 2400)
	for i := range x {
		s := float64(i) / 16000
		x[i] = 0.3*math.Sin(2*math.Pi*(200*s+0.5*(2800/0.15)*s*s)) + 0.1*math.Sin(2*math.Pi*1000*s)
	}
	return x
}

// TestLogMel compares with torchaudio's windows and filters (version 0.13.1, Python 3.11, Debian 12), on frames cut out as
// this package does; x is mixture.
//
//	w = torch.hann_window(400, periodic=True, dtype=torch.float64)
//	f = torch.zeros(512, dtype=torch.float64); f[:400] = frame * w    # x[160 t + 80 - 200 : + 400], zeros outside
//	p = torch.fft.rfft(f).abs()**2 * 4 / w.sum()**2
//	fb = torchaudio.functional.melscale_fbanks(257, 0., 8000., 80, 16000, norm='slaney', mel_scale='slaney') * 16000 / 512
//	np.log(np.maximum(p @ fb, 1e-10))[[0, 10, 25, 40, 60, 79]]
func TestLogMel(t *testing.T) {
	logMel := newAnalyser(t, LogMel(16000, 80)).LogMel(nil, mixture())
	for frame, want := range map[int][]float64{
		0:  {-7.136152677, -4.850033877, -5.421294546, -13.403219535, -16.653696879, -18.342599763},
		7:  {-23.02585093, -23.02585093, -5.31353289, -4.917527732, -23.02585093, -23.02585093},
		14: {-11.566326862, -11.285657759, -5.355299843, -13.108344966, -11.277823666, -14.460355809},
	} {
		for i, m := range []int{0, 10, 25, 40, 60, 79} {
			if got := float64(logMel[frame*80+m]); math.Abs(got-want[i]) > 2e-5 { // float32 filters there, result here
				t.Errorf("frame %d, filter %d: %v, want %v", frame, m, got, want[i])
			}
		}
	}
}

// TestMelOfSine: a sine is loudest in the filter with the nearest top.
func TestMelOfSine(t *testing.T) {
	for _, scale := range []Scale{HTK, Slaney} {
		c := LogMel(16000, 40)
		c.Scale = scale
		a := newAnalyser(t, c)
		tops := scale.Frequencies(42, c.Low, c.High)
		for m := range 40 {
			row := a.Mel(nil, sine(1600, 0.5, tops[m+1], 16000))[5*40 : 6*40]
			loudest := 0
			for i := range row {
				if row[i] > row[loudest] {
					loudest = i
				}
			}
			if loudest != m {
				t.Errorf("scale %d: %v Hz is loudest in filter %d, want %d", scale, tops[m+1], loudest, m)
			}
		}
	}
}
