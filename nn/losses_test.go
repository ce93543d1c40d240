package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// nearLoss checks a loss to 1e-6, relative to a loss above 1: a small one is a difference of float32 numbers of order 1.
func nearLoss(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-6*max(1, math.Abs(want))) {
		t.Errorf("%s: loss %v, want %v", what, got, want)
	}
}

func TestCrossEntropy(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		a := &tensor.Arena{Poison: true}
		for _, c := range []struct{ rows, classes int }{{1, 1}, {1, 2}, {7, 3}, {300, 256}, {65, 257}, {1, 20000}} {
			logits, targets := random(r, 3, c.rows, c.classes), ids(r, c.rows, c.classes)
			loss, d := CrossEntropy(a, logits, targets)
			want, wantD := reference.CrossEntropy(c.classes, doubles(logits.Data), targets)
			name := fmt.Sprintf("%+v", c)
			nearLoss(t, name, loss, want)
			near(t, name, d.Data, wantD, 1e-5)
			a.Reset()
		}
		logits, targets := random(r, 1, 2, 3, 8), ids(r, 6, 8)
		_, d := CrossEntropy(a, logits, targets)
		if d.String() != "[2 3 8]" {
			t.Errorf("gradient of shape %v for [2 3 8]", d)
		}
		directional(t, func() float64 { loss, _ := CrossEntropy(a, logits, targets); return loss },
			gradcheck.Part{Name: "logits", X: logits.Data, Grad: d.Data})
	})
}

func TestLossesPanic(t *testing.T) {
	a := new(tensor.Arena)
	wantPanic(t, func() { CrossEntropy(a, tensor.New(2, 3, 4), make([]int32, 5)) }, "[2 3 4]", "5 targets")
	wantPanic(t, func() { CrossEntropy(a, tensor.New(), make([]int32, 1)) }, "[]")
	wantPanic(t, func() { CrossEntropy(a, tensor.New(2, 4), []int32{3, 4}) }, "target 4", "position 1", "[0, 4)")
	wantPanic(t, func() { CrossEntropy(a, tensor.New(2, 4), []int32{-1, 3}) }, "target -1")
	wantPanic(t, func() { MSE(a, tensor.New(2, 4), tensor.New(4, 2)) }, "[2 4]", "[4 2]")
	sound := LogisticMixture{Channels: 1, Levels: 65536, Mixtures: 10}
	wantPanic(t, func() { sound.Loss(a, tensor.New(2, 31), make([]int32, 2)) }, "[2 31]", "[... 30]")
	wantPanic(t, func() { sound.Loss(a, tensor.New(2, 30), make([]int32, 3)) }, "[2 30]", "3 targets")
	wantPanic(t, func() { sound.Loss(a, tensor.New(2, 30), []int32{1, 65536}) }, "target 65536", "position 1", "[0, 65536)")
	rgb := LogisticMixture{Channels: 3, Levels: 256, Mixtures: 10}
	wantPanic(t, func() { rgb.Loss(a, tensor.New(2, 100), make([]int32, 2)) }, "[2 100]", "2 targets", "3 for each row")
	for _, bad := range []LogisticMixture{{2, 256, 10}, {1, 1, 10}, {1, 256, 0}} {
		wantPanic(t, func() { bad.Width() }, fmt.Sprintf("%d channels", bad.Channels), fmt.Sprintf("%d levels", bad.Levels))
	}
}

func TestMSE(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		a := &tensor.Arena{Poison: true}
		for _, n := range []int{1, 5, 1000, 40001} {
			y, target := random(r, 1, n), random(r, 1, n)
			loss, d := MSE(a, y, target)
			want, wantD := reference.MSE(doubles(y.Data), doubles(target.Data))
			nearLoss(t, fmt.Sprint(n), loss, want)
			near(t, fmt.Sprint(n), d.Data, wantD, 1e-6)
			a.Reset()
		}
		y, target := random(r, 1, 4, 5), random(r, 1, 4, 5)
		_, d := MSE(a, y, target)
		directional(t, func() float64 { loss, _ := MSE(a, y, target); return loss },
			gradcheck.Part{Name: "y", X: y.Data, Grad: d.Data})
	})
}

func TestLossOfNothingIsNaN(t *testing.T) {
	a := new(tensor.Arena)
	loss, d := CrossEntropy(a, tensor.New(0, 256), nil)
	if !math.IsNaN(loss) || d.Len() != 0 {
		t.Errorf("cross entropy of no rows is %v, gradient %v", loss, d)
	}
	if loss, _ := MSE(a, tensor.New(0), tensor.New(0)); !math.IsNaN(loss) {
		t.Errorf("MSE of nothing is %v", loss)
	}
	if loss, _ := (LogisticMixture{1, 256, 1}).Loss(a, tensor.New(0, 3), nil); !math.IsNaN(loss) {
		t.Errorf("mixture loss of nothing is %v", loss)
	}
}

// mixtureCase returns parameters and targets with moderate scales, such that the reference can tell the probabilities.
func mixtureCase(r *rand.Rand, l LogisticMixture, rows int) (params tensor.Tensor, targets []int32) {
	params = random(r, 0.5, rows, l.Width())
	for i := range params.Data {
		if c := i % l.Width(); c >= l.Mixtures && (c/l.Mixtures-1)%l.perChannel() == 1 {
			params.Data[i] = 0.6*params.Data[i] - 1
		}
	}
	targets = ids(r, rows*l.Channels, l.Levels)
	if rows > 1 {
		targets[0], targets[l.Channels] = 0, int32(l.Levels-1)
	}
	return params, targets
}

func TestLogisticMixtureAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	a := &tensor.Arena{Poison: true}
	for _, l := range []LogisticMixture{{1, 2, 1}, {1, 256, 3}, {1, 65536, 10}, {3, 256, 1}, {3, 256, 10}, {3, 4, 5}} {
		for _, rows := range []int{1, 6, 131} {
			params, targets := mixtureCase(r, l, rows)
			loss, d := l.Loss(a, params, targets)
			want, wantD := reference.LogisticMixture(l.Channels, l.Levels, l.Mixtures, doubles(params.Data), targets)
			name := fmt.Sprintf("%+v, %d rows", l, rows)
			nearLoss(t, name, loss, want)
			near(t, name, d.Data, wantD, 1e-6)
			a.Reset()
		}
	}
}

func TestLogisticMixtureByDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	a := new(tensor.Arena)
	for _, l := range []LogisticMixture{{1, 256, 3}, {1, 65536, 10}, {3, 256, 10}} {
		params, targets := mixtureCase(r, l, 5)
		_, d := l.Loss(a, params, targets)
		directional(t, func() float64 { loss, _ := l.Loss(a, params, targets); return loss },
			gradcheck.Part{Name: fmt.Sprintf("%+v", l), X: params.Data, Grad: d.Data})
	}
}

// likelihood is the probability of the levels under one row of parameters.
func likelihood(l LogisticMixture, params []float32, levels ...int32) float64 {
	a := new(tensor.Arena)
	loss, _ := l.Loss(a, tensor.From(params, 1, len(params)), levels)
	return math.Exp(-loss * float64(len(levels)))
}

func TestLogisticMixtureProbabilitiesSumToOne(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	check := func(l LogisticMixture, params []float32) {
		t.Helper()
		task := logisticMixture{LogisticMixture: l, width: l.Width(), scale: 1}
		d, joint := make([]float32, len(params)), make([]float64, l.Mixtures)
		sum, levels := 0.0, make([]int32, l.Channels)
		for {
			sum += math.Exp(-task.row(params, d, levels, joint))
			c := l.Channels - 1
			for ; c >= 0; c-- { // the next combination of levels
				levels[c]++
				if int(levels[c]) < l.Levels {
					break
				}
				levels[c] = 0
			}
			if c < 0 {
				break
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%+v: probabilities sum to %.12f", l, sum)
		}
	}
	for _, l := range []LogisticMixture{{1, 2, 1}, {1, 256, 10}, {1, 65536, 3}, {3, 8, 4}, {3, 17, 2}} {
		params, _ := mixtureCase(r, l, 1)
		check(l, params.Data)
	}
	// Coarse and fine scales, means in the middle, at and beyond the ends.
	for _, levels := range []int{256, 65536} {
		for _, mean := range []float32{0, 0.3, -1, 1, 3, -40} {
			for _, logScale := range []float32{3, 0, -3, -7, -12, -50} {
				check(LogisticMixture{1, levels, 1}, []float32{0.7, mean, logScale})
			}
		}
	}
	// RGB with 256 levels: over B, given R and G, sums to the probability of R and G.
	rgb, one := LogisticMixture{3, 256, 1}, LogisticMixture{1, 256, 1}
	p := []float32{0, 0.2, -2, 0.8, -0.1, -1.5, -0.4, 0.3, -2.5, 1.1}
	const red, green = 200, 31
	xRed := 2.0*red/255 - 1
	sum := 0.0
	for blue := range int32(256) {
		sum += likelihood(rgb, p, red, green, blue)
	}
	want := likelihood(one, []float32{0, p[1], p[2]}, red) *
		likelihood(one, []float32{0, float32(float64(p[4]) + math.Tanh(float64(p[3]))*xRed), p[5]}, green)
	if math.Abs(sum-want) > 1e-6*want {
		t.Errorf("sum over blue is %v, the probability of red and green %v", sum, want)
	}
}

// stratified draws with n uniforms in the middle of n equal parts of [0, 1), and returns how often each level came.
func stratified(l LogisticMixture, params []float32, temperature float64, n int) []int {
	counts := make([]int, l.Levels)
	for i := range n {
		counts[l.Draw(params, temperature, (float64(i)+0.5)/float64(n))]++
	}
	return counts
}

// Over all uniforms, levels are drawn as often as the loss takes them to be likely: the uniforms that give a level are an interval
// for each mixture, and so many equal parts hold their share of it up to one.
func TestLogisticMixtureDrawsWhatItPredicts(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 2))
	const n = 20000
	for _, l := range []LogisticMixture{{1, 2, 1}, {1, 17, 4}, {1, 256, 1}, {1, 256, 10}, {1, 1024, 3}} {
		for _, temperature := range []float64{1, 0.6, 1.7} {
			params := random(r, 0.5, l.Width()).Data
			changed := slices.Clone(params)
			for i := range l.Mixtures {
				logScale := l.minLogScale() + 1 + 6*r.Float64()
				params[2*l.Mixtures+i], changed[2*l.Mixtures+i] = float32(logScale), float32(logScale+math.Log(temperature))
				changed[i] = params[i] / float32(temperature)
			}
			if temperature == 1 {
				params[2*l.Mixtures], changed[2*l.Mixtures] = -20, -20 // below what log scales are limited to
			}
			for level, count := range stratified(l, params, temperature, n) {
				if want := n * likelihood(l, changed, int32(level)); math.Abs(float64(count)-want) > float64(l.Mixtures)+0.01 {
					t.Fatalf("%+v at temperature %v: level %d drawn %d times, want %.2f", l, temperature, level, count, want)
				}
			}
		}
	}
}

func TestLogisticMixtureDraw(t *testing.T) {
	sound := LogisticMixture{1, 65536, 2}
	level := func(x float64) int32 { return int32(math.Round((x + 1) / 2 * 65535)) }
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	params := []float32{ln(0.25), ln(0.75), -0.5, 0.25, ln(0.01), ln(0.02)}
	for _, c := range []struct {
		params               []float32
		temperature, uniform float64
		want                 int32
	}{
		{params, 0, 0, level(0.25)}, {params, 0, 0.999, level(0.25)}, // the mean of the heavier
		{params, 1e-320, 0.999, level(0.25)},
		{params, 1, 0.125, level(-0.5)}, {params, 1, 0.625, level(0.25)}, // half of each
		{params, 1, 0.0625, level(-0.5 - 0.01*math.Log(3))}, {params, 1, 0.1875, level(-0.5 + 0.01*math.Log(3))},
		{params, 1, 0.4375, level(0.25 - 0.02*math.Log(3))},
		{params, 0.5, 0.05, level(-0.5)}, {params, 0.5, 0.55, level(0.25)}, // weights of 1 to 9
		{params, 0.5, 0.325, level(0.25 - 0.01*math.Log(3))},
		{params, 1, 0, 0}, {[]float32{0, 0, 0, 0, 0, 0}, 1, math.Nextafter(1, 0), 65535}, // far out
		{[]float32{3, 3, -0.5, 0.25, 0, 0}, 0, 0.9, level(-0.5)}, // the first of several
		{[]float32{0, 0, -7, 9, -3, -3}, 1, 0.3, 0}, {[]float32{0, 0, -7, 9, -3, -3}, 1, 0.7, 65535},
		{[]float32{0, -inf, 0, 0, -inf, 0}, 1, 0.5, level(0)},
	} {
		if got := sound.Draw(c.params, c.temperature, c.uniform); max(got-c.want, c.want-got) > 1 || c.want%65535 == 0 && got != c.want {
			t.Errorf("Draw(%v, %v, %v) is %d, want %d", c.params, c.temperature, c.uniform, got, c.want)
		}
	}
	for _, v := range []float32{nan, inf, -inf} {
		for i := range params {
			for _, temperature := range []float64{0, 1e-320, 1, math.Inf(1)} {
				broken := slices.Clone(params)
				broken[i] = v
				if got := sound.Draw(broken, temperature, 0.5); got < 0 || got > 65535 {
					t.Errorf("Draw(%v, %v, 0.5) is %d", broken, temperature, got)
				}
			}
		}
	}
	wantPanic(t, func() { LogisticMixture{3, 256, 1}.Draw(make([]float32, 10), 1, 0.5) }, "3 channels", "want one")
	wantPanic(t, func() { sound.Draw(params[1:], 1, 0.5) }, "5 parameters", "want one, 6")
	wantPanic(t, func() { sound.Draw(params, -1, 0.5) }, "temperature -1")
	wantPanic(t, func() { sound.Draw(params, math.NaN(), 0.5) }, "temperature NaN")
	if allocations := testing.AllocsPerRun(100, func() { sound.Draw(params, 0.8, 0.3) }); allocations != 0 {
		t.Errorf("%v allocations for a draw", allocations)
	}
}

// The level's probability far out, where S(b) - S(a) is 0 in any arithmetic, is exp(-a) (1 - exp(-d)).
func TestLogisticLevelTails(t *testing.T) {
	for _, c := range []struct{ h, logScale float64 }{{1.0 / 255, -7}, {1.0 / 255, -3}, {1.0 / 65535, -12.5}, {1.0 / 65535, 0}} {
		s := math.Exp(c.logScale)
		for _, out := range []float64{40, 200, 1e4} {
			e := out*s + c.h
			got, dMean, _ := logLevel(e, c.h, c.logScale, false, false)
			want := -out + math.Log(-math.Expm1(-2*c.h/s))
			if math.Abs(got-want) > 1e-12*math.Abs(want) {
				t.Errorf("%+v, %v scales out: log P %v, want %v", c, out, got, want)
			}
			if math.Abs(dMean*s-1) > 1e-12 {
				t.Errorf("%+v, %v scales out: derivative with respect to the mean %v, want %v", c, out, dMean, 1/s)
			}
			if mirrored, _, _ := logLevel(-e, c.h, c.logScale, false, false); math.Abs(mirrored-got) > 1e-12*math.Abs(got) {
				t.Errorf("%+v, %v scales out: log P %v, on the other side %v", c, out, got, mirrored)
			}
		}
	}
}

func TestLogisticLevelDerivatives(t *testing.T) {
	const h = 1.0 / 255
	for _, edge := range []struct{ first, last bool }{{}, {first: true}, {last: true}} {
		for _, mean := range []float64{-3, -0.1, 0, 0.002, 0.2, 5} {
			for _, logScale := range []float64{-2, -1, 0, 2} {
				at := []float64{mean, logScale}
				f := func() float64 {
					logP, _, _ := logLevel(-at[0], h, at[1], edge.first, edge.last)
					return logP
				}
				_, dMean, dLogScale := logLevel(-mean, h, logScale, edge.first, edge.last)
				if err := gradcheck.Central(f, at, []float64{dMean, dLogScale}); err != nil {
					t.Errorf("%+v, mean %v, log scale %v: %v", edge, mean, logScale, err)
				}
			}
		}
	}
}

func TestLogisticMixtureLimitsLogScale(t *testing.T) {
	a := new(tensor.Arena)
	for _, c := range []struct {
		levels int
		limit  float64
	}{{256, -7}, {65536, -7 - math.Log(257)}} {
		l := LogisticMixture{1, c.levels, 1}
		target := []int32{int32(c.levels / 3)}
		mean := float32(2*float64(target[0])/float64(c.levels-1) - 1)
		loss := func(logScale float64) (float64, float32) {
			loss, d := l.Loss(a, tensor.From([]float32{0, mean, float32(logScale)}, 1, 3), target)
			return loss, d.Data[2]
		}
		atLimit, _ := loss(c.limit)
		below, gradient := loss(c.limit - 5)
		if math.Abs(below-atLimit) > 1e-5*atLimit || gradient != 0 {
			t.Errorf("%d levels: loss %v and gradient %v below the limit, %v at it", c.levels, below, gradient, atLimit)
		}
		above, gradient := loss(c.limit + 0.5)
		if !(above > atLimit) || gradient == 0 {
			t.Errorf("%d levels: loss %v and gradient %v above the limit, %v at it", c.levels, above, gradient, atLimit)
		}
	}
}

// Far from every mixture the loss is large but finite, and the gradient leads back.
func TestLogisticMixtureIsFiniteInTheTails(t *testing.T) {
	a := new(tensor.Arena)
	l := LogisticMixture{1, 65536, 2}
	params := tensor.From([]float32{0, 0, 0.9, 0.99, -30, -30}, 1, 6)
	loss, d := l.Loss(a, params, []int32{10})
	if !(loss > 1e4) || math.IsInf(loss, 0) {
		t.Errorf("loss %v", loss)
	}
	for i, v := range d.Data {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			t.Errorf("gradient %d is %v", i, v)
		}
	}
	if !(d.Data[2] > 0) {
		t.Errorf("gradient of the nearer mean is %v, want it to lead down", d.Data[2])
	}
}

func TestLossesOnAnyThreads(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 2))
		logits, targets := random(r, 2, 1000, 256), ids(r, 1000, 256)
		y, target := random(r, 1, 100000), random(r, 1, 100000)
		rgb := LogisticMixture{3, 256, 4}
		params, levels := mixtureCase(r, rgb, 500)
		sameForAnyThreads(t, "losses", func() [][]float32 {
			a := new(tensor.Arena)
			entropy, dLogits := CrossEntropy(a, logits, targets)
			squares, dy := MSE(a, y, target)
			mixture, dParams := rgb.Loss(a, params, levels)
			var bits []float32
			for _, loss := range []float64{entropy, squares, mixture} {
				u := math.Float64bits(loss)
				bits = append(bits, math.Float32frombits(uint32(u)), math.Float32frombits(uint32(u>>32)))
			}
			return [][]float32{bits, dLogits.Data, dy.Data, dParams.Data}
		})
	})
}

func BenchmarkLosses(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 2))
	a := new(tensor.Arena)
	const rows = 8192
	b.Run("cross-entropy", func(b *testing.B) {
		logits, targets := random(r, 2, rows, 256), ids(r, rows, 256)
		for b.Loop() {
			CrossEntropy(a, logits, targets)
			a.Reset()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	for _, l := range []LogisticMixture{{1, 65536, 10}, {3, 256, 10}} {
		params, targets := mixtureCase(r, l, rows)
		b.Run(fmt.Sprintf("mixture/channels=%d", l.Channels), func(b *testing.B) {
			for b.Loop() {
				l.Loss(a, params, targets)
				a.Reset()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}

// TestLogisticMixtureMean compares the mean with that of many draws, of narrow logistics that lie within the range.
func TestLogisticMixtureMean(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	for _, l := range []LogisticMixture{{1, 256, 3}, {1, 65536, 1}} {
		params := make([]float32, l.Width())
		for i := range l.Mixtures {
			params[i], params[l.Mixtures+i], params[2*l.Mixtures+i] = r.Float32(), r.Float32()-0.5, -4
		}
		const n = 20000
		sum := 0.0
		for k := range n {
			sum += float64(l.Draw(params, 1, (float64(k)+0.5)/n))
		}
		var got [1]int32
		l.Mean(got[:], params)
		if want := sum / n; math.Abs(float64(got[0])-want) > 0.6+1e-4*float64(l.Levels) {
			t.Errorf("%+v: mean %d, of draws %v", l, got[0], want)
		}
	}
	// Of two RGB logistics, one with weight 3/4: means by hand, that of G through tanh(c0) R, that of B limited to 1.
	l := LogisticMixture{3, 256, 2}
	params := make([]float32, l.Width())
	params[0] = float32(math.Log(3))
	params[2], params[3] = 0.5, -0.5       // R
	params[8], params[9] = 0.1, 0.3        // G
	params[6] = float32(math.Atanh(0.4))   // c0
	params[14], params[15] = 2, -1         // B
	params[18] = float32(math.Atanh(0.2))  // c2
	params[13] = float32(math.Atanh(-0.5)) // c1 of the second: -1 + 0.25
	var got [3]int32
	l.Mean(got[:], params)
	level := func(x float64) int32 { return int32((x+1)/2*255 + 0.5) }
	want := [3]int32{level(0.75*0.5 - 0.25*0.5), level(0.75*(0.1+0.4*0.5) + 0.25*0.3), level(0.75*1 + 0.25*(-1+0.25))}
	if got != want {
		t.Errorf("means %v, want %v", got, want)
	}
}

func TestExpectedClass(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, test := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{0}, 0},
		{[]float32{-1e9, 3e38, -3e38}, 1},
		{[]float32{7, 7, 7, 7, 7}, 2},
		{[]float32{0, -100, -100, 0, float32(math.Log(2))}, 3}, // (0 + 3 + 2*4) / 4
		{[]float32{-1000, -1000, 0}, 2},
		{[]float32{nan, 0}, 0},
		{[]float32{0, inf}, 0},
	} {
		if got := ExpectedClass(test.logits); got != test.want {
			t.Errorf("%v: %d, want %d", test.logits, got, test.want)
		}
	}
}
