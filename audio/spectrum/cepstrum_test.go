package spectrum

import (
	"math"
	"math/cmplx"
	"testing"
)

// TestMFCCAgainstLoops computes every coefficient from the definitions, one loop for each sum.
func TestMFCCAgainstLoops(t *testing.T) {
	c := Config{
		Rate: 8000, Window: 200, Hop: 80, FFT: 240, Shape: Hamming, Preemphasis: 0.9,
		Mels: 12, Scale: HTK, Low: 50, High: 3700, Floor: 1e-9, Cepstra: 12, Lifter: 15,
	}
	x := noise(700, 0.2)
	got := newAnalyser(t, c).MFCC(nil, x)
	toMel := func(f float64) float64 { return 1127.0104803 * math.Log(1+f/700) } // 2595/ln 10
	toHz := func(m float64) float64 { return 700 * (math.Exp(m/1127.0104803) - 1) }
	step := (toMel(3700) - toMel(50)) / 13
	weights := 0.
	for i := range 200 {
		weights += 0.54 - 0.46*math.Cos(2*math.Pi*float64(i)/200)
	}
	for frame, transform := range plainSTFT(c, x) {
		logs := make([]float64, 12)
		for m := range logs {
			low, top, high := toHz(toMel(50)+step*float64(m)), toHz(toMel(50)+step*float64(m+1)), toHz(toMel(50)+step*float64(m+2))
			sum := 0.
			for k, v := range transform {
				power := math.Pow(2*cmplx.Abs(v)/weights, 2)
				switch hz := 8000 * float64(k) / 240; {
				case hz > low && hz <= top:
					sum += power * (hz - low) / (top - low)
				case hz > top && hz < high:
					sum += power * (high - hz) / (high - top)
				}
			}
			logs[m] = math.Log(math.Max(sum, 1e-9))
		}
		for n := range 12 {
			sum := 0.
			for m, v := range logs {
				sum += v * math.Cos(math.Pi*float64(n)*(2*float64(m)+1)/24)
			}
			sum *= math.Sqrt(2. / 12)
			if n == 0 {
				sum /= math.Sqrt2
			}
			sum *= 1 + 15./2*math.Sin(math.Pi*float64(n)/15)
			if v := float64(got[frame*12+n]); math.Abs(v-sum) > 1e-5+1e-6*math.Abs(sum) {
				t.Errorf("frame %d, coefficient %d: %v, want %v", frame, n, v, sum)
			}
		}
	}
}

// TestMFCC compares with torchaudio 0.13.1 (see TestLogMel for frames and power), over the preset with its differences:
//
//	w = torch.hamming_window(400, periodic=True, dtype=torch.float64)
//	x = np.concatenate([x[:1], x[1:] - 0.97 * x[:-1]])
//	fb = torchaudio.functional.melscale_fbanks(257, 20., 8000., 26, 16000, norm=None, mel_scale='htk')
//	c = np.log(np.maximum(p @ fb, 1e-10)) @ torchaudio.functional.create_dct(26, 26, 'ortho')[:, :13]
//	c *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
//	d = torchaudio.functional.compute_deltas(c.T, 5, mode='replicate'); dd = the same of d
func TestMFCC(t *testing.T) {
	features := WithDeltas(nil, newAnalyser(t, MFCC(16000)).MFCC(nil, mixture()), 13, 2)
	if len(features) != 15*39 {
		t.Fatalf("%d numbers, want 15 frames of 39", len(features))
	}
	for frame, want := range map[int][]float64{
		0: {
			-59.53564751, 24.394579612, 1.771690433, -10.368099842, -3.331536438, 8.030657569, 1.911742147, -27.594299671, -53.510144932,
			-49.472681992, -14.855103965, 19.820073081, 28.108638326, -3.085733648, 1.964374295, -4.484775452, -14.396396212, -19.050557473,
			-13.008101864, 0.144812696, 11.419497987, 14.855040082, 11.441086972, 5.691414325, 0.714139138, -2.647971456, 0.105587074,
			-0.646550321, -1.285880621, 0.438479981, 3.656033458, 5.626364373, 4.506090839, 1.456806499, -0.968219001, -1.669517103,
			-1.512052884, -1.284981525, -0.662204705,
		},
		7: {
			-68.387612329, 13.476884597, -68.295321297, -41.802984429, 46.37699675, 52.447930338, -12.711387371, -26.316366748, 7.989007379,
			-0.963648822, -29.06886688, -3.494603304, 37.992883432, 1.009280567, -3.049266134, -5.113019765, 11.469379085, 8.58121777,
			-17.822858497, -12.966727626, 21.295290483, 17.277626497, -18.526659171, -18.996173553, 10.490676581, 15.403613423, -0.11648724,
			0.53827451, 3.175128898, 2.638422508, -8.215676191, -8.766062204, 7.986966611, 11.988933, -5.425842478, -8.82307258,
			4.474287085, 5.272250744, -4.118575341,
		},
		14: {
			-48.177418862, -6.144600161, -28.804968986, 24.022218728, -26.125579437, -15.858432509, 54.01604874, 1.148403891, -36.222327012,
			8.74614786, -10.537257762, -10.005375859, 35.881248037, 4.712615093, 1.184888367, 6.456252195, 1.100210498, -5.27703798,
			6.893746148, -5.499417919, -14.992349492, 12.901134314, 14.975200091, -11.140409089, -4.176689491, 4.174832089, 0.212734917,
			0.973328975, -0.657444664, -0.791592369, 2.281264287, 0.867335034, -4.81417634, 1.190391538, 4.425765509, -3.004724724,
			-1.682083659, 3.849125431, -1.12108475,
		},
	} {
		for i, w := range want {
			if got := float64(features[frame*39+i]); math.Abs(got-w) > 5e-4 { // logarithms of float32 filters there, times the lifter
				t.Errorf("frame %d, number %d: %v, want %v", frame, i, got, w)
			}
		}
	}
}

// TestCosineTransform: what is the same in all filters is in coefficient 0 only; all coefficients have the length of what
// they are made of.
func TestCosineTransform(t *testing.T) {
	c := MFCC(16000)
	c.Cepstra = 26
	for n, v := range newAnalyser(t, c).MFCC(nil, make([]float64, 100)) { // silence: the floor in all filters
		want := 0.
		if n == 0 {
			want = math.Sqrt(26) * math.Log(1e-10)
		}
		if math.Abs(float64(v)-want) > 1e-5 {
			t.Errorf("coefficient %d of silence is %v, want %v", n, v, want)
		}
	}
	c.Lifter = 0
	a := newAnalyser(t, c)
	x := noise(1600, 0.3)
	logMel := a.LogMel(nil, x)
	for frame, row := range chunks(a.MFCC(nil, x), 26) {
		cepstra, logs := 0., 0.
		for n, v := range row {
			cepstra += float64(v) * float64(v)
			logs += math.Pow(float64(logMel[frame*26+n]), 2)
		}
		if math.Abs(cepstra/logs-1) > 1e-6 {
			t.Errorf("frame %d: squares sum to %v, want %v", frame, cepstra, logs)
		}
	}
}

// TestLouder: ten times the amplitude moves coefficient 0 alone, by the square root of Mels times ln 100.
func TestLouder(t *testing.T) {
	a := newAnalyser(t, MFCC(16000))
	quiet, loud := noise(8000, 0.05), noise(8000, 0.5)
	before, after := a.MFCC(nil, quiet), a.MFCC(nil, loud)
	for i := range before {
		want := 0.
		if i%13 == 0 {
			want = math.Sqrt(26) * math.Log(100)
		}
		if math.Abs(float64(after[i]-before[i])-want) > 1e-4 {
			t.Fatalf("coefficient %d: from %v to %v", i%13, before[i], after[i])
		}
	}
}

// TestDeltas: a ramp has its slope, and a parabola twice its factor in the second order; at the ends the formula sees the
// first and the last frame again.
func TestDeltas(t *testing.T) {
	const frames = 12
	x := make([]float32, 2*frames)
	for i := range frames {
		x[2*i], x[2*i+1] = 3*float32(i)-7, 0.5*float32(i*i)
	}
	d := WithDeltas(nil, x, 2, 2)
	for i, row := range chunks(d, 6) {
		if row[0] != x[2*i] || row[1] != x[2*i+1] {
			t.Errorf("frame %d is %v, and begins %v", i, x[2*i:2*i+2], row)
		}
		if i >= 2 && i < frames-2 && (math.Abs(float64(row[2])-3) > 1e-5 || math.Abs(float64(row[3])-float64(i)) > 1e-5) {
			t.Errorf("frame %d has slopes %v", i, row[2:4])
		}
		if i >= 4 && i < frames-4 && (math.Abs(float64(row[4])) > 1e-5 || math.Abs(float64(row[5])-1) > 1e-5) {
			t.Errorf("frame %d has curvatures %v", i, row[4:])
		}
	}
	for i, want := range map[int]float64{0: (3 + 2*6) / 10., 1: (6 + 2*9) / 10., frames - 1: (3 + 2*6) / 10.} {
		if got := float64(d[6*i+2]); math.Abs(got-want) > 1e-6 {
			t.Errorf("frame %d of the ramp has slope %v, want %v", i, got, want)
		}
	}
	if one := WithDeltas(nil, []float32{5, 6}, 2, 2); len(one) != 6 || one[1] != 6 || one[2] != 0 || one[5] != 0 {
		t.Errorf("a single frame becomes %v", one)
	}
	if none := WithDeltas(nil, nil, 2, 2); len(none) != 0 {
		t.Errorf("nothing becomes %v", none)
	}
}
