package dilated

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// The blocks in float64, from the plain loops of package reference. Each forward leaves what its backward needs.

type plainConv struct {
	loops                reference.Conv2D
	weight, bias         []float64
	dweight, dbias, seen []float64
}

func plainOf(c *Conv, batch, height, width int) *plainConv {
	loops, weight, _ := referenceOf(c, batch, height, width)
	p := &plainConv{loops: loops, weight: weight}
	if c.Bias != nil {
		p.bias = float64s(c.Bias.Value.Data)
	}
	return p
}

func (p *plainConv) forward(x []float64) []float64 {
	p.seen = x
	return p.loops.Forward(x, p.weight, p.bias)
}

func (p *plainConv) backward(dy []float64) []float64 {
	p.dweight, p.dbias = p.loops.WeightGradient(p.seen, dy), p.loops.BiasGradient(dy)
	return p.loops.InputGradient(p.weight, dy)
}

func relu(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = max(v, 0)
	}
	return y
}

func reluBackward(y, dy []float64) []float64 {
	dx := make([]float64, len(y))
	for i, v := range y {
		if v > 0 {
			dx[i] = dy[i]
		}
	}
	return dx
}

func sum(x ...[]float64) []float64 {
	y := make([]float64, len(x[0]))
	for _, v := range x {
		for i := range y {
			y[i] += v[i]
		}
	}
	return y
}

func product64(x, y []float64) float64 {
	s := 0.0
	for i := range x {
		s += x[i] * y[i]
	}
	return s
}

type plainResidual struct {
	inner, outer   *plainConv
	active, hidden []float64
}

func (p *plainResidual) forward(x []float64) []float64 {
	p.active = relu(x)
	p.hidden = relu(p.inner.forward(p.active))
	return sum(x, p.outer.forward(p.hidden))
}

func (p *plainResidual) backward(dy []float64) []float64 {
	dhidden := reluBackward(p.hidden, p.outer.backward(dy))
	return sum(dy, reluBackward(p.active, p.inner.backward(dhidden)))
}

func TestResidual(t *testing.T) {
	same := Axis{Kernel: 3, Padding: Same}
	for _, c := range []struct {
		cfg   ResidualConfig
		shape []int
	}{
		{ResidualConfig{Channels: 3, Hidden: 5, Width: same}, []int{2, 11, 3}},
		{ResidualConfig{Channels: 4, Hidden: 3, Height: same, Width: same}, []int{2, 5, 4, 4}},
		{ResidualConfig{Channels: 3, Hidden: 5, Width: Axis{Kernel: 3, Dilation: 3, Padding: Causal}}, []int{1, 8, 3}},
	} {
		onEveryTier(t, func(t *testing.T) {
			src := rand.NewPCG(11, 12)
			r := NewResidual(c.cfg, src)
			fill(r.Inner.Bias.Value.Data, src)
			fill(r.Outer.Bias.Value.Data, src)
			x := random(src, c.shape...)
			height := x.Rows() / x.Dim(0) / x.Dim(x.Rank()-2)
			width := x.Dim(x.Rank() - 2)
			plain := plainResidual{inner: plainOf(r.Inner, x.Dim(0), height, width), outer: plainOf(r.Outer, x.Dim(0), height, width)}
			x64 := float64s(x.Data)
			wantY := plain.forward(x64)
			dy := random(src, c.shape...)
			dy64 := float64s(dy.Data)
			wantDX := plain.backward(dy64)
			wants := map[string][]float64{
				"inner.weight": plain.inner.dweight, "inner.bias": plain.inner.dbias,
				"outer.weight": plain.outer.dweight, "outer.bias": plain.outer.dbias,
			}
			if strings.HasSuffix(t.Name(), "generic") { // once is enough: the plain gradients are those of the plain forward
				loss := func() float64 { return product64(plain.forward(x64), dy64) }
				for name, p := range map[string][2][]float64{"x": {x64, wantDX},
					"inner.weight": {plain.inner.weight, plain.inner.dweight}, "inner.bias": {plain.inner.bias, plain.inner.dbias},
					"outer.weight": {plain.outer.weight, plain.outer.dweight}, "outer.bias": {plain.outer.bias, plain.outer.dbias}} {
					if err := gradcheck.Central(loss, p[0], p[1]); err != nil {
						t.Errorf("plain %s: %v", name, err)
					}
				}
			}

			a := &tensor.Arena{Poison: true}
			y, saved := r.Forward(a, x)
			dx := r.Backward(a, saved, dy)
			near(t, "y", y.Data, wantY, float32Tolerance)
			near(t, "dx", dx.Data, wantDX, float32Tolerance)
			for _, p := range r.Parameters() {
				near(t, p.Name, p.Grad.Data, wants[p.Name], float32Tolerance)
			}
		})
	}
	src := rand.NewPCG(1, 1)
	r := NewResidual(ResidualConfig{Channels: 3, Hidden: 5, Width: Axis{Kernel: 3}}, src) // Valid: shortens
	if text := catch(func() { r.Forward(new(tensor.Arena), tensor.New(1, 8, 3)) }); !strings.Contains(text, "[1 8 3]") || !strings.Contains(text, "[1 6 3]") {
		t.Errorf("a convolution that shortens: panic %q", text)
	}
}

type plainGated struct {
	dilated, residual, skip *plainConv
	x, condition            []float64
	channels, hop           int // steps for which a frame of the condition holds; 0 is no condition
	gates, z                []float64
}

func (p *plainGated) forward(x, condition, skip []float64) (y, skips []float64) {
	n := p.channels
	p.x, p.condition = x, condition
	p.gates = p.dilated.forward(x)
	p.z = make([]float64, len(x))
	for t := range len(x) / n {
		for c := range 2 * n {
			if p.hop > 0 {
				p.gates[t*2*n+c] += condition[t/p.hop*2*n+c]
			}
		}
		for c := range n {
			p.z[t*n+c] = math.Tanh(p.gates[t*2*n+c]) / (1 + math.Exp(-p.gates[t*2*n+n+c]))
		}
	}
	return sum(x, p.residual.forward(p.z)), sum(skip, p.skip.forward(p.z))
}

func (p *plainGated) backward(dy, dskip []float64) (dx, dcondition []float64) {
	n := p.channels
	dz := sum(p.residual.backward(dy), p.skip.backward(dskip))
	dgates := make([]float64, len(p.gates))
	dcondition = make([]float64, len(p.condition))
	for t := range len(dz) / n {
		for c := range n {
			th := math.Tanh(p.gates[t*2*n+c])
			s := 1 / (1 + math.Exp(-p.gates[t*2*n+n+c]))
			dgates[t*2*n+c] = dz[t*n+c] * s * (1 - th*th)
			dgates[t*2*n+n+c] = dz[t*n+c] * th * s * (1 - s)
		}
		for c := range 2 * n {
			if p.hop > 0 {
				dcondition[t/p.hop*2*n+c] += dgates[t*2*n+c]
			}
		}
	}
	return sum(dy, p.dilated.backward(dgates)), dcondition
}

func TestGatedResidual(t *testing.T) {
	for _, c := range []struct {
		cfg           GatedConfig
		batch, frames int
		steps         int
	}{
		{GatedConfig{Channels: 3, Skip: 5}, 2, 0, 7},
		{GatedConfig{Channels: 3, Skip: 2, Dilation: 4}, 2, 12, 12},
		{GatedConfig{Channels: 4, Skip: 5, Dilation: 8, Kernel: 3}, 1, 3, 12},
		{GatedConfig{Channels: 2, Skip: 3, Dilation: 2}, 2, 4, 300}, // frames and blocks of rows do not end together
		{GatedConfig{Channels: 5, Skip: 3, Dilation: 16}, 2, 1, 9},  // shorter than the dilation
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			onEveryTier(t, func(t *testing.T) {
				src := rand.NewPCG(13, 14)
				g := NewGatedResidual(c.cfg, src)
				fill(g.Dilated.Bias.Value.Data, src)
				fill(g.Residual.Bias.Value.Data, src)
				n := c.cfg.Channels
				x, skip := random(src, c.batch, c.steps, n), random(src, c.batch, c.steps, c.cfg.Skip)
				var condition tensor.Tensor
				plain := &plainGated{dilated: plainOf(g.Dilated, c.batch, 1, c.steps), residual: plainOf(g.Residual, c.batch, 1, c.steps),
					skip: plainOf(g.Skip, c.batch, 1, c.steps), channels: n}
				if c.frames > 0 {
					condition = random(src, c.batch, c.frames, 2*n)
					plain.hop = c.steps / c.frames
				}
				dy, dskip := random(src, c.batch, c.steps, n), random(src, c.batch, c.steps, c.cfg.Skip)
				x64, condition64, skip64 := float64s(x.Data), float64s(condition.Data), float64s(skip.Data)
				dy64, dskip64 := float64s(dy.Data), float64s(dskip.Data)
				wantY, wantSkip := plain.forward(x64, condition64, skip64)
				wantDX, wantDCondition := plain.backward(dy64, dskip64)
				wants := map[string][]float64{
					"dilated.weight": plain.dilated.dweight, "dilated.bias": plain.dilated.dbias,
					"residual.weight": plain.residual.dweight, "residual.bias": plain.residual.dbias, "skip.weight": plain.skip.dweight,
				}
				if strings.HasSuffix(t.Name(), "generic") && c.steps < 100 {
					loss := func() float64 {
						y, s := plain.forward(x64, condition64, skip64)
						return product64(y, dy64) + product64(s, dskip64)
					}
					for name, p := range map[string][2][]float64{"x": {x64, wantDX}, "condition": {condition64, wantDCondition}, "skip": {skip64, dskip64},
						"dilated.weight": {plain.dilated.weight, plain.dilated.dweight}, "dilated.bias": {plain.dilated.bias, plain.dilated.dbias},
						"residual.weight": {plain.residual.weight, plain.residual.dweight}, "residual.bias": {plain.residual.bias, plain.residual.dbias},
						"skip.weight": {plain.skip.weight, plain.skip.dweight}} {
						if err := gradcheck.Central(loss, p[0], p[1]); err != nil {
							t.Errorf("plain %s: %v", name, err)
						}
					}
				}

				a := &tensor.Arena{Poison: true}
				y, saved := g.Forward(a, x, condition, skip)
				near(t, "y", y.Data, wantY, float32Tolerance)
				near(t, "skip", skip.Data, wantSkip, float32Tolerance)
				dcondition := g.Backward(a, saved, dy, dskip) // dy becomes dx
				near(t, "dx", dy.Data, wantDX, float32Tolerance)
				near(t, "dcondition", dcondition.Data, wantDCondition, float32Tolerance)
				for _, p := range g.Parameters() {
					near(t, p.Name, p.Grad.Data, wants[p.Name], float32Tolerance)
				}
			})
		})
	}
}

// Directional differences of both blocks in float32.
func TestBlocksDirectional(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		src := rand.NewPCG(15, 16)
		a := new(tensor.Arena)
		parts := func(ps nn.Parameters) (parts []gradcheck.Part) {
			for _, p := range ps {
				parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: p.Grad.Data})
			}
			return parts
		}

		g := NewGatedResidual(GatedConfig{Channels: 8, Skip: 6, Dilation: 2}, src)
		x, condition := random(src, 2, 20, 8), random(src, 2, 5, 16)
		dskip := random(src, 2, 20, 6)
		dy := random(src, 2, 20, 8)
		dx := tensor.New(2, 20, 8)
		copy(dx.Data, dy.Data)
		_, saved := g.Forward(a, x, condition, tensor.New(2, 20, 6))
		dcondition := g.Backward(a, saved, dx, dskip)
		err := gradcheck.Directional(func() float64 {
			skip := tensor.New(2, 20, 6)
			y, _ := g.Forward(a, x, condition, skip)
			return inner(y, dy) + inner(skip, dskip)
		}, src, append(parts(g.Parameters()), gradcheck.Part{Name: "x", X: x.Data, Grad: dx.Data},
			gradcheck.Part{Name: "condition", X: condition.Data, Grad: dcondition.Data})...)
		if err != nil {
			t.Errorf("GatedResidual: %v", err)
		}

		same := Axis{Kernel: 3, Padding: Same}
		r := NewResidual(ResidualConfig{Channels: 6, Hidden: 8, Height: same, Width: same}, src)
		image, dimage := random(src, 2, 6, 7, 6), random(src, 2, 6, 7, 6)
		for i, v := range image.Data { // differences must not go across the kinks of the ReLUs
			image.Data[i] = v + float32(math.Copysign(0.2, float64(v)))
		}
		for i := range r.Inner.Bias.Value.Data {
			r.Inner.Bias.Value.Data[i] = 20 * float32(i%2*2-1)
		}
		_, residualSaved := r.Forward(a, image)
		dx = r.Backward(a, residualSaved, dimage)
		err = gradcheck.Directional(func() float64 {
			y, _ := r.Forward(a, image)
			return inner(y, dimage)
		}, src, append(parts(r.Parameters()), gradcheck.Part{Name: "x", X: image.Data, Grad: dx.Data})...)
		if err != nil {
			t.Errorf("Residual: %v", err)
		}
	})
}

func TestGatedResidualWrongShapesPanic(t *testing.T) {
	src := rand.NewPCG(1, 1)
	a := new(tensor.Arena)
	g := NewGatedResidual(GatedConfig{Channels: 2, Skip: 3}, src)
	x, skip := tensor.New(1, 6, 2), tensor.New(1, 6, 3)
	_, saved := g.Forward(a, x, tensor.Tensor{}, skip)
	for name, c := range map[string]struct {
		f    func()
		want []string
	}{
		"input":              {func() { g.Forward(a, tensor.New(1, 6, 3), tensor.Tensor{}, skip) }, []string{"[1 6 3]", "[2 2 4]"}},
		"skip":               {func() { g.Forward(a, x, tensor.Tensor{}, tensor.New(1, 5, 3)) }, []string{"[1 6 2]", "[1 5 3]"}},
		"frames":             {func() { g.Forward(a, x, tensor.New(1, 4, 4), skip) }, []string{"[1 6 2]", "[1 4 4]"}},
		"condition channels": {func() { g.Forward(a, x, tensor.New(1, 3, 2), skip) }, []string{"[1 6 2]", "[1 3 2]"}},
		"gradient":           {func() { g.Backward(a, saved, tensor.New(1, 5, 2), skip) }, []string{"[1 6 2]", "[1 5 2]"}},
		"skip gradient":      {func() { g.Backward(a, saved, x, tensor.New(1, 6, 2)) }, []string{"[1 6 2]", "[1 2 3]"}},
	} {
		text := catch(c.f)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: panic %q does not name %q", name, text, want)
			}
		}
	}
}

// The same bits on any number of threads, and nothing allocated once warm, in both precisions.
func TestBlocksThreadsAndAllocations(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		for _, precision := range []Precision{Float32, BFloat16} {
			src := rand.NewPCG(17, 18)
			same := Axis{Kernel: 3, Padding: Same}
			g := NewGatedResidual(GatedConfig{Channels: 18, Skip: 20, Dilation: 4, Precision: precision}, src)
			r := NewResidual(ResidualConfig{Channels: 18, Hidden: 16, Height: same, Width: same, Precision: precision}, src)
			a := new(tensor.Arena)
			x, condition, skip := random(src, 2, 260, 18), random(src, 2, 13, 36), random(src, 2, 260, 20)
			image := random(src, 2, 13, 20, 18)
			dy, dskip := random(src, 2, 260, 18), random(src, 2, 260, 20)
			ps := append(g.Parameters(), r.Parameters()...)
			var want []float32
			for _, threads := range []int{1, 2, 5} {
				withThreads(threads, func() {
					var y, ry, dx, rdx, skips, dcondition tensor.Tensor
					step := func() {
						a.Reset()
						skips, dx = a.Like(skip), a.Like(dy)
						copy(skips.Data, skip.Data)
						copy(dx.Data, dy.Data)
						var saved GatedSaved
						y, saved = g.Forward(a, x, condition, skips)
						dcondition = g.Backward(a, saved, dx, dskip)
						var residualSaved ResidualSaved
						ry, residualSaved = r.Forward(a, image)
						rdx = r.Backward(a, residualSaved, ry)
					}
					for range 2 {
						step()
					}
					ps.ZeroGrad()
					step()
					var got []float32
					for _, v := range []tensor.Tensor{y, ry, dx, rdx, skips, dcondition} {
						got = append(got, v.Data...)
					}
					for _, p := range ps {
						got = append(got, p.Grad.Data...)
					}
					if want == nil {
						want = got
					}
					for i := range got {
						if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
							t.Fatalf("precision %d: element %d is %v on %d threads, %v on 1", precision, i, got[i], threads, want[i])
						}
					}
					if raceEnabled || threads > 2 {
						return
					}
					if n := testing.AllocsPerRun(3, step); n != 0 {
						t.Errorf("precision %d, %d threads: %v allocations a step", precision, threads, n)
					}
				})
			}
		}
	})
}

// Blocks in BFloat16 are those in Float32 up to rounding: 8 bits of each factor.
func TestBlocksBFloat16(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		const n, m = 32, 48
		var want [][]float32
		for _, precision := range []Precision{Float32, BFloat16} {
			src := rand.NewPCG(19, 20)
			g := NewGatedResidual(GatedConfig{Channels: n, Skip: m, Dilation: 4, Precision: precision}, src)
			a := &tensor.Arena{Poison: true}
			x, condition, skip := random(src, 2, 300, n), random(src, 2, 15, 2*n), random(src, 2, 300, m)
			dy, dskip := random(src, 2, 300, n), random(src, 2, 300, m)
			y, saved := g.Forward(a, x, condition, skip)
			dcondition := g.Backward(a, saved, dy, dskip)
			got := [][]float32{y.Data, skip.Data, dy.Data, dcondition.Data}
			names := []string{"y", "skip", "dx", "dcondition"}
			for _, p := range g.Parameters() {
				got, names = append(got, p.Grad.Data), append(names, p.Name)
			}
			if precision == Float32 {
				want = got
				continue
			}
			for i := range got {
				difference, size := 0.0, 0.0
				for j, v := range got[i] {
					d := float64(v) - float64(want[i][j])
					difference += d * d
					size += float64(want[i][j]) * float64(want[i][j])
				}
				// Root mean square errors: 1/256/sqrt(12)*1.4 a factor, about 0.002, two factors a product, two products one
				// after the other.
				if e := math.Sqrt(difference / size); e > 0.008 || e == 0 && names[i] != "residual.bias" {
					t.Errorf("%s: relative difference %.2g between float32 and bfloat16", names[i], e)
				}
			}
		}
	})
}
