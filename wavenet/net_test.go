package wavenet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/kernel/reference"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// netConfigs have every kind of condition, odd numbers of channels, and frames shorter and longer than a block.
var netConfigs = []Config{
	{Classes: 11, Residual: 5, Skip: 7, Layers: 3, Cycles: 2, Local: 6, Hop: 8, Global: 3},
	{Classes: 16, Residual: 16, Skip: 17, Layers: 4, Cycles: 1, Local: 16, Hop: 12, Upsample: []int{2, 3}, Global: 2},
	{Classes: 8, Residual: 4, Skip: 4, Layers: 3, Cycles: 1, Local: 3, Hop: 300},
	{Classes: 8, Residual: 4, Skip: 4, Layers: 2, Cycles: 2, Global: 3},
	{Classes: 8, Residual: 3, Skip: 5, Layers: 5, Cycles: 1},
	{Classes: 32, Mixture: 3, Residual: 5, Skip: 7, Layers: 3, Cycles: 2, Local: 6, Hop: 8, Global: 3},
	{Classes: 1 << 16, Mixture: 10, Residual: 16, Skip: 17, Layers: 4, Cycles: 1, Local: 16, Hop: 12, Upsample: []int{2}},
}

// testNet is a net with biases too, whose predictions are neither even nor certain.
func testNet(c Config, src rand.Source) *Net {
	n, r := New(c, dilated.Float32, src), rand.New(src)
	for _, p := range n.Parameters() {
		size := float32(0.2)
		if c.Mixture > 0 && p.Name == "out2.weight" {
			size = 0.02 // the means are from -1 to 1
		}
		for i := range p.Value.Data {
			p.Value.Data[i] += size * float32(r.NormFloat64())
		}
	}
	return n
}

// fixReLUs sets biases so large that every other one of the ReLUs of n is on, or all are, whatever the input. The last of them
// are then large; for a mixture, the weights behind them are made so small that it stays one of means within the levels and of
// moderate scales.
func fixReLUs(n *Net, all bool) {
	for _, b := range []struct {
		bias *nn.Parameter
		size float32
	}{{n.Stack.SkipBias, 8}, {n.Out1.Bias, 32}} { // Out1 sums over values of 8
		for i := range b.bias.Value.Data {
			if b.bias.Value.Data[i] = b.size; i%2 == 1 && !all {
				b.bias.Value.Data[i] = -b.size
			}
		}
	}
	if c := n.Config; c.Mixture > 0 {
		kernel.Scale(n.Out2.Weight.Value.Data, 0.03)
		for i := range c.Mixture {
			n.Out2.Bias.Value.Data[2*c.Mixture+i] = -1
		}
	}
}

// testInput is a batch of two for a net of configuration c: any classes, or with a mixture levels as loud as speech. Without a
// local condition, 40 steps stand for a frame.
func testInput(c Config, frames int, r *rand.Rand) Input {
	steps := frames * 40
	if c.Local > 0 {
		steps = frames * c.Hop
	}
	in := Input{Batch: 2, Steps: make([]int32, 2*steps)}
	for i := range in.Steps {
		if in.Steps[i] = int32(r.IntN(c.Classes)); c.Mixture > 0 {
			in.Steps[i] = int32(float64(c.Classes) * min(max((1+speech*r.NormFloat64())/2, 0), 0.999))
		}
	}
	if c.Local > 0 {
		in.Local = randomTensor(r, 2, frames, c.Local)
	}
	if c.Global > 0 {
		in.Global = randomTensor(r, 2, c.Global)
		in.Past = slices.Clone(in.Steps) // not quite what is to be predicted
		for i := range in.Past {
			in.Past[i] = max(0, min(int32(c.Classes-1), in.Past[i]+int32(r.IntN(3))-1))
		}
	}
	return in
}

// netResult is a value or a gradient that a net gives.
type netResult struct {
	name  string
	value []float32
}

// gradients returns what LossGradient gives, from gradients of zero on.
func gradients(a *tensor.Arena, n *Net, in Input) (loss float64, results []netResult) {
	n.Parameters().ZeroGrad()
	loss, dlocal, dglobal := n.LossGradient(a, in)
	for _, p := range n.Parameters() {
		results = append(results, netResult{p.Name, p.Grad.Data})
	}
	if n.Config.Local > 0 {
		results = append(results, netResult{"local", dlocal.Data})
	}
	if n.Config.Global > 0 {
		results = append(results, netResult{"global", dglobal.Data})
	}
	return loss, results
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// plainLogits is what the documentation of Net says of sequence b, [T, Outputs], in float64 and from plain loops.
func plainLogits(n *Net, in Input, b int) []float64 {
	c := n.Config
	r, s, layers := c.Residual, c.Skip, c.Layers*c.Cycles
	gates := layers * 2 * r
	T := len(in.Steps) / in.Batch
	steps := in.Steps[b*T : (b+1)*T]
	if in.Past != nil {
		steps = in.Past[b*T : (b+1)*T]
	}
	weights := func(p *nn.Parameter) []float64 { return float64s(p.Value.Data) }
	pointwise := func(p *dilated.Conv, x []float64, in, out int) []float64 {
		bias := make([]float64, out)
		if p.Bias != nil {
			bias = weights(p.Bias)
		}
		return reference.Linear(len(x)/in, in, out, x, weights(p.Weight), bias)
	}

	// The local condition, by frames: upsampled, and projected beside the global one.
	condition, frames := make([]float64, gates), 1
	if c.Local > 0 {
		frames = in.Local.Dim(1)
		local := float64s(in.Local.Data[b*frames*c.Local : (b+1)*frames*c.Local])
		for i, u := range c.Upsample { // y[t] = bias + sum over f and k, where f*u + k - u/2 is t, of x[f] W[k]
			w, y := weights(n.Upsample[i].Weight), make([]float64, 0, frames*u*c.Local)
			for t := range frames * u {
				row := weights(n.Upsample[i].Bias)
				for f := range frames {
					if k := t - f*u + u/2; k >= 0 && k < 2*u {
						row = reference.Linear(1, c.Local, c.Local, local[f*c.Local:(f+1)*c.Local], w[k*c.Local*c.Local:(k+1)*c.Local*c.Local], row)
					}
				}
				y = append(y, row...)
			}
			local, frames = y, frames*u
		}
		condition = pointwise(n.Condition, local, c.Local, gates)
	}
	everywhere := make([]float64, gates)
	if c.Global > 0 {
		everywhere = pointwise(n.Global, float64s(in.Global.Row(b)), c.Global, gates)
	} else if n.Bias != nil {
		everywhere = weights(n.Bias)
	}
	for i := range condition {
		condition[i] += everywhere[i%gates]
	}

	// The stack, layer by layer.
	previous := append([]int32{int32(c.Classes / 2)}, steps...)[:T]
	var x []float64
	if c.Mixture > 0 {
		values := make([]float64, T)
		for t, step := range previous {
			values[t] = 2*float64(step)/float64(c.Classes-1) - 1
		}
		x = pointwise(n.Input, values, 1, r)
	} else {
		x = reference.Embedding(r, weights(n.Embed.Table), previous)
	}
	skips := reference.Linear(T, 1, s, make([]float64, T), make([]float64, s), weights(n.Stack.SkipBias))
	for l := range layers {
		dilation, w := 1<<(l%c.Layers), weights(n.Stack.Dilated[l])
		z := make([]float64, T*r)
		for t := range T {
			g := reference.Linear(1, r, 2*r, x[t*r:(t+1)*r], w[r*2*r:], condition[t/(T/frames)*gates+l*2*r:][:2*r])
			if before := t - dilation; before >= 0 {
				g = reference.Linear(1, r, 2*r, x[before*r:(before+1)*r], w[:r*2*r], g)
			}
			for i := range r {
				z[t*r+i] = reference.GateForward(g[i], g[r+i])
			}
		}
		for i, v := range reference.Linear(T, r, s, z, weights(n.Stack.Skip)[l*r*s:(l+1)*r*s], make([]float64, s)) {
			skips[i] += v
		}
		if l < layers-1 {
			for i, v := range reference.Linear(T, r, r, z, weights(n.Stack.Residual[l]), make([]float64, r)) {
				x[i] += v
			}
		}
	}

	// The head.
	relu := func(x []float64) []float64 {
		for i, v := range x {
			x[i] = reference.ReLU(v)
		}
		return x
	}
	return pointwise(n.Out2, relu(pointwise(n.Out1, relu(skips), s, s)), s, n.Out2.Config().Out)
}

// plainLoss is the loss with plain loops.
func plainLoss(n *Net, in Input) (loss float64) {
	steps := len(in.Steps) / in.Batch
	for b := range in.Batch {
		logits, targets := plainLogits(n, in, b), in.Steps[b*steps:(b+1)*steps]
		var mean float64
		if n.Config.Mixture > 0 {
			mean, _ = reference.LogisticMixture(1, n.Config.Classes, n.Config.Mixture, logits, targets)
		} else {
			mean, _ = reference.CrossEntropy(n.Config.Classes, logits, targets)
		}
		loss += mean / float64(in.Batch)
	}
	return loss
}

func TestNetAgainstPlainLoops(t *testing.T) {
	for i, c := range netConfigs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			src := rand.NewPCG(2, uint64(i))
			n := testNet(c, src)
			in := testInput(c, 9, rand.New(src))
			want, wantLoss := append(plainLogits(n, in, 0), plainLogits(n, in, 1)...), plainLoss(n, in)
			onEveryTier(t, func(t *testing.T) {
				logits := n.Logits(&tensor.Arena{Poison: true}, in)
				if logits.Len() != len(want) {
					t.Fatalf("%d logits, want %d", logits.Len(), len(want))
				}
				for j, w := range want {
					if got := float64(logits.Data[j]); !(math.Abs(got-w) <= 2e-5*(1+math.Abs(w))) {
						t.Fatalf("logit %d of row %d is %v, want %v", j%c.Outputs(), j/c.Outputs(), got, w)
					}
				}
				if loss := n.Loss(&tensor.Arena{Poison: true}, in); !(math.Abs(loss-wantLoss) <= 1e-6*wantLoss) {
					t.Errorf("loss %v, want %v", loss, wantLoss)
				}
			})
		})
	}
}

// The gradients are those of the plain loops: along random directions, by differences that no float32 rounds.
func TestNetGradient(t *testing.T) {
	for i, c := range netConfigs {
		c.Hop = min(c.Hop, 40)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			src := rand.NewPCG(1, uint64(i))
			n, in, a := testNet(c, src), testInput(c, 1, rand.New(src)), &tensor.Arena{Poison: true}
			fixReLUs(n, false)
			loss, dlocal, dglobal := n.LossGradient(a, in)
			if l := n.Loss(new(tensor.Arena), in); l != loss {
				t.Fatalf("Loss is %v, with the gradient %v", l, loss)
			}
			var parts []gradcheck.Part
			for _, p := range n.Parameters() {
				parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: p.Grad.Data})
			}
			if c.Local > 0 {
				parts = append(parts, gradcheck.Part{Name: "local", X: in.Local.Data, Grad: dlocal.Data})
			}
			if c.Global > 0 {
				parts = append(parts, gradcheck.Part{Name: "global", X: in.Global.Data, Grad: dglobal.Data})
			}
			if err := gradcheck.Directional(func() float64 { return plainLoss(n, in) }, src, parts...); err != nil {
				t.Error(err)
			}
		})
	}
}

// A mixture of logistics learns to predict a tone in noise as well as can be: up to the entropy of the noise, that of a logistic
// of scale s, ln s + 2, in levels of a width of 2/65535. A net that is new finds the sound possible, whatever its loudness.
func TestMixtureLearns(t *testing.T) {
	const scale = 0.01
	entropy := math.Log(scale) + 2 + math.Log(65535.0/2)
	r := rand.New(rand.NewPCG(10, 0))
	tone := func(loudness float64) Input {
		in := Input{Batch: 2, Steps: make([]int32, 2*512)}
		for i := range in.Steps {
			u := r.Float64()
			x := 0.1*math.Sin(float64(i)*0.3) + scale*math.Log(u/(1-u))
			in.Steps[i] = int32(math.Round((max(-1, min(1, x*loudness)) + 1) / 2 * 65535))
		}
		return in
	}
	n := New(Config{Classes: 1 << 16, Mixture: 10, Residual: 16, Skip: 16, Layers: 4, Cycles: 1}, dilated.Float32, r)
	adam, a := nn.NewAdam(n.Parameters()), new(tensor.Arena)
	for _, loudness := range []float64{0.01, 0.1, 1, 4} {
		if excess := n.Loss(a, tone(loudness)) - entropy - math.Log(loudness); excess > 3.5 {
			t.Errorf("a new net is %.2f nats above the entropy of sound of loudness %v", excess, loudness)
		}
	}
	for range 120 {
		n.Parameters().ZeroGrad()
		n.LossGradient(a, tone(1))
		adam.Step(0.01)
		a.Reset()
	}
	if excess := n.Loss(a, tone(1)) - entropy; math.Abs(excess) > 0.1 {
		t.Errorf("after training %.3f nats above the entropy", excess)
	}
}

// A net in BFloat16 shares the parameters of the one in Float32, and gives the same up to rounding.
func TestNetBFloat16(t *testing.T) {
	c := Config{Classes: 32, Residual: 24, Skip: 32, Layers: 4, Cycles: 1, Local: 16, Hop: 16, Upsample: []int{2}, Global: 16}
	t.Run("softmax", func(t *testing.T) { testBFloat16(t, c) })
	c.Mixture = 10
	t.Run("mixture", func(t *testing.T) { testBFloat16(t, c) })
}

func testBFloat16(t *testing.T, c Config) {
	src := rand.NewPCG(3, 0)
	n := New(c, dilated.Float32, src)
	fixReLUs(n, false) // rounding must not turn them
	in := testInput(c, 20, rand.New(src))
	onEveryTier(t, func(t *testing.T) {
		loss, want := gradients(new(tensor.Arena), n, in)
		for i := range want {
			want[i].value = slices.Clone(want[i].value)
		}
		same := n.With(dilated.BFloat16)
		for i, p := range same.Parameters() {
			if &p.Value.Data[0] != &n.Parameters()[i].Value.Data[0] || &p.Grad.Data[0] != &n.Parameters()[i].Grad.Data[0] {
				t.Fatalf("With has another %s", p.Name)
			}
		}
		rounded, got := gradients(&tensor.Arena{Poison: true}, same, in)
		if e := math.Abs(rounded-loss) / loss; !(e <= 2e-3) || e == 0 {
			t.Errorf("losses %v and %v", rounded, loss)
		}
		for i, w := range want {
			difference, size := 0.0, 0.0
			for j, v := range w.value {
				d := float64(got[i].value[j]) - float64(v)
				difference += d * d
				size += float64(v) * float64(v)
			}
			// The rounding of every product, about 0.3% each: 12 of them forwards and as many backwards.
			if e := math.Sqrt(difference / size); !(e <= 0.015) || e < 1e-4 {
				t.Errorf("gradient of %s: relative difference %.2g", w.name, e)
			}
		}
	})
}

// The same bits on any number of threads, and nothing allocated once warm.
func TestNetThreadsAndAllocations(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for i, c := range netConfigs {
		for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
			t.Run(fmt.Sprintf("%d/%v", i, precision), func(t *testing.T) {
				src := rand.NewPCG(4, uint64(i))
				n, in, a := testNet(c, src).With(precision), testInput(c, 15, rand.New(src)), new(tensor.Arena)
				var wantLoss float64
				var want [][]float32
				for _, threads := range []int{1, 2, 5} {
					parallel.SetThreads(threads)
					a.Reset()
					loss, got := gradients(a, n, in)
					if logits := n.Logits(a, in); threads == 1 {
						wantLoss = loss
						for _, g := range got {
							want = append(want, slices.Clone(g.value))
						}
						want = append(want, slices.Clone(logits.Data))
					} else {
						got = append(got, netResult{"logits", logits.Data})
					}
					if loss != wantLoss {
						t.Errorf("loss %v on %d threads, %v on 1", loss, threads, wantLoss)
					}
					for j, g := range got {
						if !slices.Equal(g.value, want[j]) {
							t.Errorf("%s differs between 1 and %d threads", g.name, threads)
						}
					}
				}
				if raceEnabled {
					return
				}
				parallel.SetThreads(1) // on several, memory is made whenever more items than before happen to run at once
				for name, f := range map[string]func(){
					"Loss":         func() { n.Loss(a, in); a.Reset() },
					"LossGradient": func() { n.LossGradient(a, in); a.Reset() },
					"Logits":       func() { n.Logits(a, in); a.Reset() },
					"Project":      func() { n.Project(a, in.Local, in.Global, in.Batch); a.Reset() },
				} {
					f()
					if allocations := testing.AllocsPerRun(3, f); allocations != 0 {
						t.Errorf("%s: %v allocations once warm", name, allocations)
					}
				}
			})
		}
	}
}

// Sequences of a batch do not see one another, and no step sees itself or a later one.
func TestNetSees(t *testing.T) {
	for i, c := range netConfigs {
		src := rand.NewPCG(5, uint64(i))
		n := testNet(c, src)
		fixReLUs(n, true)
		in := testInput(c, 3, rand.New(src))
		in.Past = nil
		steps, a := len(in.Steps)/2, new(tensor.Arena)
		before := n.Logits(a, in)
		for _, at := range []int{0, 1, steps / 2, steps - 2} {
			step := in.Steps[at]
			in.Steps[at] = (step + int32(max(1, c.Classes/16))) % int32(c.Classes)
			after := n.Logits(a, in)
			in.Steps[at] = step
			for j := range after.Rows() {
				differs := !slices.Equal(after.Row(j), before.Row(j))
				if want := j > at && j < min(at+1+c.ReceptiveField(), steps); differs != want {
					t.Fatalf("configuration %d: step %d changes the prediction of %d: %v, want %v", i, at, j, differs, want)
				}
			}
		}
	}
}

func TestNetParameters(t *testing.T) {
	local, upsampled, global := "condition.weight condition.bias", "upsample.0.weight upsample.0.bias upsample.1.weight upsample.1.bias", "global.weight"
	conditions := []string{
		local + " " + global,
		upsampled + " " + local + " " + global,
		local,
		global + " global.bias",
		"bias",
		local + " " + global,
		"upsample.0.weight upsample.0.bias " + local,
	}
	for i, c := range netConfigs {
		n := New(c, dilated.Float32, rand.NewPCG(6, uint64(i)))
		want := []string{"embed.weight"}
		if c.Mixture > 0 {
			want = []string{"input.weight", "input.bias"}
		}
		want = append(want, strings.Fields(conditions[i])...)
		layers := c.Layers * c.Cycles
		for l := range layers {
			want = append(want, fmt.Sprint("stack.dilated.", l))
		}
		for l := range layers - 1 {
			want = append(want, fmt.Sprint("stack.residual.", l))
		}
		want = append(want, "stack.skip", "stack.bias", "out1.weight", "out1.bias", "out2.weight", "out2.bias")
		var got []string
		elements := int64(0)
		for _, p := range n.Parameters() {
			got = append(got, p.Name)
			elements += int64(p.Value.Len())
		}
		if !slices.Equal(got, want) {
			t.Errorf("configuration %d: parameters\n%v, want\n%v", i, got, want)
		}
		if e := c.Elements(); e != elements {
			t.Errorf("configuration %d: Elements is %d, the parameters have %d", i, e, elements)
		}
	}
}

// Nothing to predict has no loss, as the mean of nothing is NaN, and no gradient.
func TestNetEmpty(t *testing.T) {
	for i, c := range netConfigs {
		n, a := New(c, dilated.Float32, rand.NewPCG(7, uint64(i))), &tensor.Arena{Poison: true}
		in := Input{Batch: 2, Steps: []int32{}}
		if c.Local > 0 {
			in.Local = tensor.New(2, 0, c.Local)
		}
		if c.Global > 0 {
			in.Global = tensor.New(2, c.Global)
		}
		loss, results := gradients(a, n, in)
		if again := n.Loss(a, in); !math.IsNaN(loss) || !math.IsNaN(again) {
			t.Errorf("configuration %d: losses %v and %v", i, loss, again)
		}
		for _, r := range results {
			if slices.ContainsFunc(r.value, func(v float32) bool { return v != 0 }) {
				t.Errorf("configuration %d: gradient %v of %s", i, r.value, r.name)
			}
		}
		if logits := n.Logits(a, in); !slices.Equal(logits.Shape(), []int{2, 0, c.Outputs()}) {
			t.Errorf("configuration %d: logits of shape %v", i, logits)
		}
	}
}

func TestNetWrongShapesPanic(t *testing.T) {
	n, bare := New(netConfigs[0], dilated.Float32, rand.NewPCG(8, 0)), New(netConfigs[4], dilated.Float32, rand.NewPCG(8, 0))
	a, local, global := new(tensor.Arena), tensor.New(2, 3, 6), tensor.New(2, 3)
	steps := make([]int32, 2*3*8)
	for name, c := range map[string]struct {
		f    func()
		want []string
	}{
		"batch":          {func() { n.Loss(a, Input{Steps: steps, Batch: 0, Local: local, Global: global}) }, []string{"batch of 0"}},
		"odd steps":      {func() { n.Loss(a, Input{Steps: steps[1:], Batch: 2, Local: local, Global: global}) }, []string{"47 steps", "batch of 2"}},
		"steps":          {func() { n.Loss(a, Input{Steps: steps[2:], Batch: 2, Local: local, Global: global}) }, []string{"46 steps", "[2 3 6]", "8 steps each"}},
		"no local":       {func() { n.Loss(a, Input{Steps: steps, Batch: 2, Local: tensor.Tensor{}, Global: global}) }, []string{"[2 frames 6]"}},
		"no global":      {func() { n.Loss(a, Input{Steps: steps, Batch: 2, Local: local, Global: tensor.Tensor{}}) }, []string{"[2 3]"}},
		"local channels": {func() { n.Logits(a, Input{Steps: steps, Batch: 2, Local: tensor.New(2, 3, 5), Global: global}) }, []string{"[2 3 5]", "[2 frames 6]"}},
		"local rank":     {func() { n.Logits(a, Input{Steps: steps, Batch: 2, Local: tensor.New(6, 6), Global: global}) }, []string{"[6 6]", "[2 frames 6]"}},
		"local batch": {func() {
			n.LossGradient(a, Input{Steps: steps, Batch: 1, Local: tensor.New(2, 6, 6), Global: tensor.New(1, 3)})
		}, []string{"[2 6 6]", "[1 frames 6]"}},
		"global channels": {func() { n.LossGradient(a, Input{Steps: steps, Batch: 2, Local: local, Global: tensor.New(2, 4)}) }, []string{"[2 4]", "[2 3]"}},
		"unwanted local":  {func() { bare.Loss(a, Input{Steps: steps, Batch: 2, Local: local, Global: tensor.Tensor{}}) }, []string{"[2 3 6]"}},
		"unwanted global": {func() { bare.Loss(a, Input{Steps: steps, Batch: 2, Local: tensor.Tensor{}, Global: global}) }, []string{"[2 3]"}},
		"class": {func() {
			bare.Loss(a, Input{Steps: []int32{1, 8}, Batch: 1, Local: tensor.Tensor{}, Global: tensor.Tensor{}})
		}, []string{"8"}},
		"configuration": {func() { New(Config{}, dilated.Float32, rand.NewPCG(1, 1)) }, []string{"classes 0"}},
	} {
		text := func() (text string) {
			defer func() { text = fmt.Sprint(recover()) }()
			c.f()
			return ""
		}()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: panic %q does not name %q", name, text, want)
			}
		}
	}
}

func TestConfigCheck(t *testing.T) {
	for i, c := range netConfigs {
		if err := c.Check(); err != nil {
			t.Errorf("configuration %d: %v", i, err)
		}
	}
	for want, change := range map[string]func(c *Config){
		"classes 1: want 2 to 65536":                        func(c *Config) { c.Classes = 1 },
		"classes 65537: want 2 to 65536":                    func(c *Config) { c.Classes = 65537 },
		"mixture -1: want 0 to 1024":                        func(c *Config) { c.Mixture = -1 },
		"mixture 1025: want 0 to 1024":                      func(c *Config) { c.Mixture = 1025 },
		"residual 0: want 1 to 16384":                       func(c *Config) { c.Residual = 0 },
		"residual 16385: want 1 to 16384":                   func(c *Config) { c.Residual = 16385 },
		"skip -1: want 1 to 16384":                          func(c *Config) { c.Skip = -1 },
		"layers 0: want 1 to 24":                            func(c *Config) { c.Layers = 0 },
		"layers 25: want 1 to 24":                           func(c *Config) { c.Layers = 25 },
		"cycles 65: want 1 to 64":                           func(c *Config) { c.Cycles = 65 },
		"local -1: want 0 to 16384":                         func(c *Config) { c.Local = -1 },
		"global 16385: want 0 to 16384":                     func(c *Config) { c.Global = 16385 },
		"number of upsample factors 9: want 0 to 8":         func(c *Config) { c.Upsample = make([]int, 9) },
		"hop 12 and upsample [2 3] without a local":         func(c *Config) { c.Local = 0 },
		"hop 0 and upsample [2 3] without a local":          func(c *Config) { c.Local, c.Hop = 0, 0 },
		"hop 12 and upsample [] without a local":            func(c *Config) { c.Local, c.Upsample = 0, nil },
		"hop 0: want 1 to 65536":                            func(c *Config) { c.Hop = 0 },
		"hop 65537: want 1 to 65536":                        func(c *Config) { c.Hop = 65537 },
		"upsample [2 3 0]: want factors of at least 2":      func(c *Config) { c.Upsample = []int{2, 3, 0} },
		"upsample [1]: want factors of at least 2":          func(c *Config) { c.Upsample = []int{1} },
		"upsample [-2 -3]: want factors of at least 2":      func(c *Config) { c.Upsample = []int{-2, -3} },
		"upsample [5]: want factors of at least 2":          func(c *Config) { c.Upsample = []int{5} },
		"a receptive field of 16777216 steps of 8 channels": func(c *Config) { c.Residual, c.Layers, c.Cycles = 8, 24, 1 },
		"a condition of 65536 frames of 8192 channels":      func(c *Config) { c.Residual, c.Layers, c.Cycles, c.Hop, c.Upsample = 1024, 4, 1, 1<<16, []int{1 << 16} },
		"upsample [3 8]: want factors of at least 2 whose ": func(c *Config) { c.Upsample = []int{3, 8} },
	} {
		c := netConfigs[1]
		change(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
}

func TestConfigDilations(t *testing.T) {
	c := Config{Layers: 4, Cycles: 2}
	if d := c.Dilations(); !slices.Equal(d, []int{1, 2, 4, 8, 1, 2, 4, 8}) {
		t.Errorf("dilations %v", d)
	}
	if f := c.ReceptiveField(); f != 31 {
		t.Errorf("receptive field %d, want 31", f)
	}
	if h := (Config{Hop: 64, Upsample: []int{2, 4}}).Hold(); h != 8 {
		t.Errorf("a frame is held for %d steps, want 8", h)
	}
}
