package dilated

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// The golden run: a small network of every layer there is for sound, trained for 10 steps. testdata/golden.json holds, as
// the generic tier computes them in either precision, its losses and the gradients of its first step. It is made anew by
//
//	VQAUDIO_UPDATE=golden go test ./dilated -run TestGolden

const goldenFile = "testdata/golden.json"

// Tolerances, relative to the golden values; a gradient's is that of the Euclidean norm of its difference.
//
// In float32, tiers sum in another order and differ by less than 1e-6; the greater part of what is granted is for ten
// steps of Adam, which divides by the size of gradients and so makes small differences count. In bfloat16 such a difference
// now and then turns the rounding of an activation, by 1/256 of it, and that may turn a ReLU next to zero: one of the 800
// to 3000 of a layer, so that a gradient changes by up to 1/50.
//
// The losses in bfloat16 are compared with those in float32 as well. The gradients are not: the rounding of everything
// turns ReLUs by the dozen.
const (
	goldenTolerance                 = 1e-5
	goldenLossToleranceBFloat16     = 1e-3
	goldenGradientToleranceBFloat16 = 2e-2
	goldenBFloat16AgainstFloat32    = 3e-3
)

// golden is what a run computes.
type golden struct {
	Losses    []float64            // of 10 steps
	Gradients map[string][]float32 `json:",omitempty"` // of the first step, before clipping; in the file for float32
	Checksums map[string][]float64 `json:",omitempty"` // of the gradients; in the file for bfloat16
}

// checksum is the Euclidean norm of x, and three sums of its elements with signs of their own: of the size of the norm, and
// as exact as the norm of a difference.
func checksum(x []float32) []float64 {
	r := rand.New(rand.NewPCG(4, 5))
	sums := make([]float64, 4)
	for _, v := range x {
		sums[0] += float64(v) * float64(v)
		for i := range 3 {
			if r.Uint64()&1 == 0 {
				sums[i+1] += float64(v)
			} else {
				sums[i+1] -= float64(v)
			}
		}
	}
	sums[0] = math.Sqrt(sums[0])
	return sums
}

const (
	goldenSteps, goldenBatch, goldenTime           = 10, 2, 96
	goldenClasses, goldenChannels, goldenDownwards = 16, 16, 4
)

// goldenNetwork is a VQ-VAE without its quantiser: the signal goes through strided convolutions to codes, which condition
// a WaveNet that predicts the signal.
type goldenNetwork struct {
	downFirst, downSecond *Conv
	block                 *Residual
	embedding             *nn.Embedding
	projections           []*Conv
	units                 []*GatedResidual
	headFirst, headSecond *Conv
	ps                    nn.Parameters
}

func newGoldenNetwork(precision Precision) *goldenNetwork {
	src := rand.NewPCG(1711, 937)
	const c = goldenChannels
	half := Axis{Kernel: 4, Stride: 2, Padding: Same}
	n := &goldenNetwork{
		downFirst:  NewConv(Config{In: 1, Out: c, Width: half, Precision: precision}, src),
		downSecond: NewConv(Config{In: c, Out: c, Width: half, Precision: precision}, src),
		block:      NewResidual(ResidualConfig{Channels: c, Hidden: c, Width: Axis{Kernel: 3, Padding: Same}, Precision: precision}, src),
		embedding:  nn.NewEmbedding(goldenClasses, c, src),
		headFirst:  NewConv(Config{In: c, Out: c, Precision: precision}, src),
		headSecond: NewConv(Config{In: c, Out: goldenClasses, Precision: precision}, src),
	}
	n.ps = slices.Concat(n.downFirst.Parameters().Named("down.0"), n.downSecond.Parameters().Named("down.1"),
		n.block.Parameters().Named("block"), n.embedding.Parameters().Named("embedding"))
	for i, dilation := range []int{1, 2, 4} {
		p := NewConv(Config{In: c, Out: 2 * c, NoBias: true, Precision: precision}, src)
		u := NewGatedResidual(GatedConfig{Channels: c, Skip: c, Dilation: dilation, Precision: precision}, src)
		n.projections, n.units = append(n.projections, p), append(n.units, u)
		n.ps = slices.Concat(n.ps, p.Parameters().Named(fmt.Sprintf("projection.%d", i)), u.Parameters().Named(fmt.Sprintf("unit.%d", i)))
	}
	n.ps = slices.Concat(n.ps, n.headFirst.Parameters().Named("head.0"), n.headSecond.Parameters().Named("head.1"))
	return n
}

// step computes the loss of predicting signal, [batch, time] of classes, and all gradients.
func (n *goldenNetwork) step(a *tensor.Arena, signal []int32) float64 {
	const rows = goldenBatch * goldenTime
	wave, previous := a.Tensor(goldenBatch, goldenTime, 1), a.Int32s(rows)
	for i, v := range signal {
		wave.Data[i] = float32(v)/(goldenClasses/2) - 1
		if previous[i] = 0; i%goldenTime > 0 {
			previous[i] = signal[i-1]
		}
	}

	first := nn.ReLU(a, n.downFirst.Forward(a, wave))
	second := n.downSecond.Forward(a, first)
	codes, blockSaved := n.block.Forward(a, second)
	stream := n.embedding.Forward(a, previous).Reshape(goldenBatch, goldenTime, goldenChannels)
	skip := a.Zeros(goldenBatch, goldenTime, goldenChannels)
	saved := make([]GatedSaved, len(n.units))
	for i, u := range n.units {
		stream, saved[i] = u.Forward(a, stream, n.projections[i].Forward(a, codes), skip)
	}
	skips := nn.ReLU(a, skip)
	hidden := nn.ReLU(a, n.headFirst.Forward(a, skips))
	loss, dlogits := nn.CrossEntropy(a, n.headSecond.Forward(a, hidden), signal)

	dhidden := nn.ReLUBackward(a, hidden, n.headSecond.Backward(a, hidden, dlogits))
	dskip := nn.ReLUBackward(a, skips, n.headFirst.Backward(a, skips, dhidden))
	dstream := a.Zeros(goldenBatch, goldenTime, goldenChannels) // what leaves the last unit is not used
	dcodes := a.Zeros(codes.Shape()...)
	for i := len(n.units) - 1; i >= 0; i-- {
		dcondition := n.units[i].Backward(a, saved[i], dstream, dskip)
		addTo(dcodes, n.projections[i].Backward(a, codes, dcondition))
	}
	n.embedding.Backward(previous, dstream)
	dfirst := n.downSecond.Backward(a, first, n.block.Backward(a, blockSaved, dcodes))
	n.downFirst.BackwardParameters(a, wave, nn.ReLUBackward(a, first, dfirst))
	return loss
}

// goldenSignal is ramps of random slopes, in whole numbers: the same on every machine.
func goldenSignal(step int) []int32 {
	r := rand.New(rand.NewPCG(uint64(step), 3))
	signal := make([]int32, goldenBatch*goldenTime)
	at, slope := 0, 1
	for i := range signal {
		if r.IntN(12) == 0 {
			slope = r.IntN(5) - 2
		}
		at = (at + slope + goldenClasses) % goldenClasses
		signal[i] = int32(at)
	}
	return signal
}

// goldenRun trains, and returns besides the parameters at the end.
func goldenRun(precision Precision) (g golden, final []float32) {
	n := newGoldenNetwork(precision)
	adam := nn.NewAdam(n.ps)
	a := &tensor.Arena{Poison: true}
	g.Gradients, g.Checksums = map[string][]float32{}, map[string][]float64{}
	for step := range goldenSteps {
		n.ps.ZeroGrad()
		g.Losses = append(g.Losses, n.step(a, goldenSignal(step)))
		if step == 0 {
			for _, p := range n.ps {
				g.Gradients[p.Name] = append([]float32{}, p.Grad.Data...)
				g.Checksums[p.Name] = checksum(p.Grad.Data)
			}
		}
		nn.ClipGlobalNorm(n.ps, 0.5)
		adam.Step(3e-3)
		a.Reset()
	}
	for _, p := range n.ps {
		final = append(final, p.Value.Data...)
	}
	return g, final
}

func TestGolden(t *testing.T) {
	if os.Getenv("VQAUDIO_UPDATE") == "golden" {
		updateGolden(t)
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Float32, BFloat16 golden }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if first, last := file.Float32.Losses[0], file.Float32.Losses[goldenSteps-1]; !(last < first-0.3) {
		t.Errorf("losses from %v to %v: the network does not learn", first, last)
	}
	onEveryTier(t, func(t *testing.T) {
		float32s := runTwice(t, Float32)
		compareLosses(t, "float32", float32s.Losses, file.Float32.Losses, goldenTolerance)
		compareGradients(t, float32s.Gradients, file.Float32.Gradients)
		bfloat16s := runTwice(t, BFloat16)
		compareLosses(t, "bfloat16", bfloat16s.Losses, file.BFloat16.Losses, goldenLossToleranceBFloat16)
		compareLosses(t, "bfloat16 against float32", bfloat16s.Losses, file.Float32.Losses, goldenBFloat16AgainstFloat32)
		compareChecksums(t, bfloat16s.Checksums, file.BFloat16.Checksums)
	})
}

// runTwice runs on 1 thread and on 2, and checks that both runs are the same in every bit.
func runTwice(t *testing.T, p Precision) golden {
	t.Helper()
	var one, two golden
	var final, finalTwo []float32
	withThreads(1, func() { one, final = goldenRun(p) })
	withThreads(2, func() { two, finalTwo = goldenRun(p) })
	for i, v := range one.Losses {
		if math.Float64bits(v) != math.Float64bits(two.Losses[i]) {
			t.Errorf("loss %d is %v on 1 thread, %v on 2", i, v, two.Losses[i])
		}
	}
	same := func(name string, x, y []float32) {
		for i, v := range x {
			if math.Float32bits(v) != math.Float32bits(y[i]) {
				t.Errorf("%s: element %d is %v on 1 thread, %v on 2", name, i, v, y[i])
				return
			}
		}
	}
	same("parameters after the last step", final, finalTwo)
	for name, g := range one.Gradients {
		same("gradient of "+name, g, two.Gradients[name])
	}
	return one
}

func compareLosses(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	worst := 0.0
	for i, v := range want {
		e := math.Abs(got[i]-v) / v
		worst = max(worst, e)
		if !(e <= tolerance) {
			t.Errorf("%s: loss %d is %v, want %v: relative difference %.2g above %g", what, i, got[i], v, e, tolerance)
		}
	}
	t.Logf("%s: losses differ by %.2g at most", what, worst)
}

func compareGradients(t *testing.T, got, want map[string][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d gradients, the file has %d", len(got), len(want))
	}
	worst := 0.0
	for name, g := range want {
		if len(got[name]) != len(g) {
			t.Errorf("gradient of %s has %d elements, the file has %d", name, len(got[name]), len(g))
			continue
		}
		difference, size := 0.0, 0.0
		for i, v := range g {
			d := float64(got[name][i]) - float64(v)
			difference += d * d
			size += float64(v) * float64(v)
		}
		if difference == 0 && size == 0 {
			continue // the residual branch of the last unit
		}
		e := math.Sqrt(difference / size)
		worst = max(worst, e)
		if !(e <= goldenTolerance) {
			t.Errorf("gradient of %s: relative difference %.2g above %g", name, e, goldenTolerance)
		}
	}
	t.Logf("gradients differ by %.2g at most", worst)
}

func compareChecksums(t *testing.T, got, want map[string][]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d gradients, the file has %d", len(got), len(want))
	}
	worst := 0.0
	for name, sums := range want {
		for i, v := range sums {
			if got[name] == nil || got[name][i] == v {
				continue
			}
			e := math.Abs(got[name][i]-v) / sums[0]
			worst = max(worst, e)
			if !(e <= goldenGradientToleranceBFloat16) {
				t.Errorf("gradient of %s in bfloat16: checksum %d is %v, want %v: difference %.2g of the norm, above %g",
					name, i, got[name][i], v, e, goldenGradientToleranceBFloat16)
			}
		}
	}
	t.Logf("gradients in bfloat16 differ by %.2g at most", worst)
}

func updateGolden(t *testing.T) {
	defer kernel.Use(kernel.Use(kernel.Setting{Tier: kernel.Generic}))
	var file struct{ Float32, BFloat16 golden }
	file.Float32, _ = goldenRun(Float32)
	file.BFloat16, _ = goldenRun(BFloat16)
	file.Float32.Checksums, file.BFloat16.Gradients = nil, nil
	text, err := json.MarshalIndent(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
