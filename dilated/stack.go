package dilated

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/sums"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// StackConfig describes a [GatedStack].
type StackConfig struct {
	Channels, Skip int   // R of the residual stream, and S of the sum of skips
	Dilations      []int // of the layers, in order
	Precision      Precision
}

// GatedStack is the stack of gated residual units of WaveNet (van den Oord et al., arXiv 1609.03499, sections 2.3 to 2.5),
// over sequences. With x_0 the input, layer l of L computes
//
//	gates_l = x_l[t-dilation] Dilated_l[0] + x_l[t] Dilated_l[1] + condition_l     [B, T, 2R]
//	z_l     = tanh(first half of gates_l) * sigmoid(second half)                   [B, T, R]
//	x_l+1   = x_l + z_l Residual_l                                                 [B, T, R], not for the last layer
//	skips   = SkipBias + sum over l of z_l Skip[l]                                 [B, T, S]
//
// where what lies before the start is zero. The condition holds the biases of the gates; those of Residual would change
// nothing that they cannot.
//
// Everything goes through time in blocks: what one line above writes, the next one reads while it is in the cache. A chunk
// of a few blocks goes through all layers before the next one does, so that it stays in the cache between layers: forwards
// from the first chunk to the last, as a layer needs what came before, backwards from the last to the first. The sum of
// skips is a single product at the end, with a tap for each layer.
type GatedStack struct {
	Dilated  []*nn.Parameter // L of [2, R, 2R]
	Residual []*nn.Parameter // L-1 of [R, R]
	Skip     *nn.Parameter   // [L, R, S]
	SkipBias *nn.Parameter   // [S]

	config   StackConfig
	skipTaps atomic.Pointer[skipTaps]
}

// NewGatedStack returns a stack with weights initialised by nn.XavierUniform and a bias of zeros. It panics if config makes
// no sense.
func NewGatedStack(config StackConfig, src rand.Source) *GatedStack {
	r, s, layers := config.Channels, config.Skip, len(config.Dilations)
	if r < 1 || s < 1 || layers < 1 || slices.Min(config.Dilations) < 1 {
		panic(fmt.Sprintf("dilated.NewGatedStack: %+v", config))
	}
	config.Dilations = slices.Clone(config.Dilations)
	g := &GatedStack{Skip: nn.NewParameter("skip", layers, r, s), SkipBias: nn.NewParameter("bias", s), config: config}
	for l := range layers {
		d := nn.NewParameter("dilated."+strconv.Itoa(l), 2, r, 2*r)
		nn.XavierUniform(d.Value, 2*r, 2*r, src)
		g.Dilated = append(g.Dilated, d)
		if l < layers-1 {
			p := nn.NewParameter("residual."+strconv.Itoa(l), r, r)
			nn.XavierUniform(p.Value, r, r, src)
			g.Residual = append(g.Residual, p)
		}
	}
	nn.XavierUniform(g.Skip.Value, layers*r, s, src) // all layers add to the same sums
	return g
}

// With returns a stack with the same parameters that computes in the precision given.
func (g *GatedStack) With(p Precision) *GatedStack {
	config := g.config
	config.Precision = p
	return &GatedStack{Dilated: g.Dilated, Residual: g.Residual, Skip: g.Skip, SkipBias: g.SkipBias, config: config}
}

// Fixed returns a stack with the same parameters, whose Backward adds to no gradient of theirs, and takes a third less time.
func (g *GatedStack) Fixed() *GatedStack {
	same := &GatedStack{Skip: g.Skip.Fixed(), SkipBias: g.SkipBias.Fixed(), config: g.config}
	for _, p := range g.Dilated {
		same.Dilated = append(same.Dilated, p.Fixed())
	}
	for _, p := range g.Residual {
		same.Residual = append(same.Residual, p.Fixed())
	}
	return same
}

// Config returns the description that the stack was made from.
func (g *GatedStack) Config() StackConfig { return g.config }

// Parameters returns "dilated.0", ..., "residual.0", ..., "skip" and "bias".
func (g *GatedStack) Parameters() nn.Parameters {
	ps := append(nn.Parameters{}, g.Dilated...)
	ps = append(ps, g.Residual...)
	return append(ps, g.Skip, g.SkipBias)
}

// precision is that in which the stack computes.
func (g *GatedStack) precision() Precision {
	if min(g.config.Channels, g.config.Skip) < 16 {
		return Float32
	}
	return g.config.Precision
}

// StackSaved is what [GatedStack.Forward] leaves for Backward.
type StackSaved struct {
	cut       cut
	inputs    operand       // x_l of all layers, [L, B*T, R], as products read them
	gates     []float32     // [L, B*T, 2R]; nil in BFloat16, where computing them again takes less time than reading them
	condition tensor.Tensor // [B, F, L*2R]
}

// cut is how the steps of a batch are cut into blocks. Each holds whole frames of the condition, or a part of one.
type cut struct {
	batch, steps int
	hold         int // steps of a frame
	rows         int // of a block; whole frames, or, if those are longer, a part of one
}

func newCut(batch, steps, frames int) cut {
	hold := max(1, steps/max(1, frames)) // of nothing, too
	return cut{batch, steps, hold, min(hold*max(1, stackRows/hold), stackRows)}
}

// stackRows is the number of rows of a block: whole tiles, and few enough to stay in a level 2 cache.
const stackRows = 256

// split reports whether a frame is more than one block, and parts how many.
func (c *cut) split() bool { return c.hold > c.rows }
func (c *cut) parts() int  { return parallel.Blocks(c.hold, c.rows) }

// blocks is the number of blocks of a sequence.
func (c *cut) blocks() int {
	if c.split() {
		return c.steps / c.hold * c.parts()
	}
	return parallel.Blocks(c.steps, c.rows)
}

// block returns the steps [first, end) of block i of a sequence.
func (c *cut) block(i int) (first, end int) {
	if c.split() {
		frame := i / c.parts()
		first = frame*c.hold + i%c.parts()*c.rows
		return first, min(first+c.rows, (frame+1)*c.hold)
	}
	return parallel.Block(i, c.steps, c.rows)
}

// chunk is a stretch of blocks [first, end) of all sequences.
type chunk struct{ first, end int }

// chunkBlocks is the number of blocks of a chunk, those of all sequences together: enough for several cores, few enough
// for what a layer leaves to the next one to be in the level 2 cache still.
const chunkBlocks = 4

// chunks is the number of chunks, and chunk returns one.
func (c *cut) chunks() int { return parallel.Blocks(c.blocks(), c.chunkLength()) }

func (c *cut) chunk(i int) chunk {
	first, end := parallel.Block(i, c.blocks(), c.chunkLength())
	return chunk{first, end}
}

func (c *cut) chunkLength() int { return max(1, chunkBlocks/c.batch) }

// items is the number of blocks of a chunk in all sequences, and item returns one of them: its sequence, its number there,
// and its steps.
func (c *cut) items(k chunk) int { return c.batch * (k.end - k.first) }

func (c *cut) item(k chunk, item int) (sequence, block, first, end int) {
	sequence, block = item/(k.end-k.first), k.first+item%(k.end-k.first)
	first, end = c.block(block)
	return sequence, block, first, end
}

// chunkRows is the largest number of rows of a chunk, and chunkRow the place among them of step t of a sequence.
func (c *cut) chunkRows() int { return c.batch * c.chunkLength() * c.rows }

func (c *cut) chunkRow(k chunk, sequence, t int) int {
	first, _ := c.block(k.first)
	return sequence*c.chunkLength()*c.rows + t - first
}

// rowsOf are the steps [first, end) of a chunk in each sequence.
func (c *cut) rowsOf(k chunk) (first, end int) {
	first, _ = c.block(k.first)
	_, end = c.block(k.end - 1)
	return first, end
}

// activations returns room for rows of n channels as products read them.
func activations(a *tensor.Arena, p Precision, rows, n int) operand {
	if p == BFloat16 {
		return operand{bfloat16s: a.Uint16s(rows * kernel.PaddedBF16(n))}
	}
	return operand{float32s: a.Floats(rows * n)}
}

// width is the length of a row of n channels.
func (p Precision) width(n int) int {
	if p == BFloat16 {
		return kernel.PaddedBF16(n)
	}
	return n
}

// set writes rows of n channels to row at of the operand.
func (o operand) set(at int, x []float32, rows, n int) {
	if o.bfloat16s == nil {
		copy(o.float32s[at*n:(at+rows)*n], x)
		return
	}
	row := kernel.PaddedBF16(n)
	kernel.ToBF16Rows(o.bfloat16s[at*row:(at+rows)*row], row, x, n, rows, n)
}

// ownStep is the tap of a 1x1 convolution.
var ownStep = []kernel.Tap{{}}

// multiply writes, or adds, to rows of y (n elements each) the sum over taps of rows of x from row at on times matrices of w.
func (w *weights) multiply(y []float32, n int, x operand, width, at, rows int, taps []kernel.Tap, bias []float32, accumulate bool) {
	if x.bfloat16s != nil {
		kernel.ConvForwardBF16(&kernel.ConvBF16{Rows: rows, X: x.bfloat16s, XBase: at * width, XStride: width, Taps: taps, W: w.bfloat16s,
			Bias: bias, Y: y, YStride: n, Accumulate: accumulate})
		return
	}
	kernel.ConvForward(&kernel.Conv{Rows: rows, X: x.float32s, XBase: at * width, XStride: width, Taps: taps, W: w.float32s,
		Bias: bias, Y: y, YStride: n, Accumulate: accumulate})
}

// Forward returns the sum of skips [B, T, S] for x [B, T, R]. The condition [B, F, L*2R] holds for T/F steps each, which
// must be a whole number; columns [l*2R, (l+1)*2R) are those of layer l.
func (g *GatedStack) Forward(a *tensor.Arena, x, condition tensor.Tensor) (skips tensor.Tensor, saved StackSaved) {
	r, s, layers, p := g.config.Channels, g.config.Skip, len(g.Dilated), g.precision()
	if x.Rank() != 3 || x.Channels() != r || condition.Rank() != 3 || condition.Dim(0) != x.Dim(0) || condition.Channels() != layers*2*r ||
		x.Dim(1) > 0 && (condition.Dim(1) < 1 || x.Dim(1)%condition.Dim(1) != 0) {
		panic(fmt.Sprintf("dilated.GatedStack: input of shape %v, condition of shape %v, %d layers of %d channels", x, condition, layers, r))
	}
	batch, steps := x.Dim(0), x.Dim(1)
	rows := batch * steps
	skips = a.Tensor(batch, steps, s)
	saved = StackSaved{cut: newCut(batch, steps, condition.Dim(1)), condition: condition,
		inputs: activations(a, p, layers*rows, r)}
	if p == Float32 {
		saved.gates = a.Floats(layers * rows * 2 * r)
	}
	if rows == 0 {
		return skips, saved
	}
	scratch := a.Mark()
	f := stackForward{stackLayer: stackLayer{StackSaved: saved, channels: r, layers: layers, width: p.width(r)}}
	if p == BFloat16 {
		f.stream = a.Floats(rows * r)
	}
	parallel.RunCopy(&stackInputs, parallel.Blocks(rows, stackRows), stackInput{f.inputs, f.stream, x.Data, r})
	f.zs = activations(a, p, layers*saved.cut.chunkRows(), r)
	sum := skipSum{zs: f.zs, taps: g.tapsFor(saved.cut.chunkRows(), f.width), w: packMatrices(a, p, g.Skip.Value.Data, layers, r, s, false),
		bias: g.SkipBias.Value.Data, skips: skips.Data, width: f.width, cut: saved.cut}
	w := g.pack(a, true, false)
	for k := range saved.cut.chunks() {
		f.chunk = saved.cut.chunk(k)
		for l := range layers {
			f.layer, f.dilation, f.taps = l, g.config.Dilations[l], dilatedTaps(-g.config.Dilations[l], f.width)
			f.dilated, f.residual = w.layers[l].dilated, w.layers[l].residual
			parallel.RunCopy(&stackForwards, saved.cut.items(f.chunk), f)
		}
		sum.chunk = f.chunk
		parallel.RunCopy(&skipSums, saved.cut.items(f.chunk), sum)
	}
	packings.Put(w)
	a.Release(scratch)
	return skips, saved
}

// dilatedTaps are the two taps of a layer over rows of width elements: Dilated[0] takes the row that lies distance rows on.
func dilatedTaps(distance, width int) [2]kernel.Tap {
	return [2]kernel.Tap{{Offset: distance * width, Weight: 0}, {Offset: 0, Weight: 1}}
}

// skipTaps are the taps of the sum of skips: the same row of z of each layer.
type skipTaps struct {
	rows, width int
	taps        []kernel.Tap
}

// tapsFor returns the last taps made if they are for rows of width elements, and otherwise makes them.
func (g *GatedStack) tapsFor(rows, width int) []kernel.Tap {
	last := g.skipTaps.Load()
	if last == nil || last.rows != rows || last.width != width {
		last = &skipTaps{rows: rows, width: width}
		for l := range g.Dilated {
			last.taps = append(last.taps, kernel.Tap{Offset: l * rows * width, Weight: l})
		}
		g.skipTaps.Store(last)
	}
	return last.taps
}

// stackInput takes the input of the stack over.
type stackInput struct {
	inputs    operand
	stream, x []float32
	channels  int
}

var stackInputs parallel.Pool[stackInput]

func (t *stackInput) Run(item int) {
	n := t.channels
	from, to := parallel.Block(item, len(t.x)/n, stackRows)
	t.inputs.set(from, t.x[from*n:to*n], to-from, n)
	if t.stream != nil {
		copy(t.stream[from*n:to*n], t.x[from*n:to*n])
	}
}

// packing is the packed weights of the layers, and their transposes.
type packing struct {
	layers []struct{ dilated, residual, dilatedT, residualT weights }
}

var packings parallel.Pool[packing]

// pack packs the weights, or their transposes, or both.
func (g *GatedStack) pack(a *tensor.Arena, own, transposed bool) *packing {
	r, p, w := g.config.Channels, g.precision(), packings.Get()
	w.layers = slices.Grow(w.layers[:0], len(g.Dilated))[:len(g.Dilated)]
	for l := range w.layers {
		to, last := &w.layers[l], l == len(w.layers)-1
		if own {
			to.dilated = packMatrices(a, p, g.Dilated[l].Value.Data, 2, r, 2*r, false)
		}
		if own && !last {
			to.residual = packMatrices(a, p, g.Residual[l].Value.Data, 1, r, r, false)
		}
		if transposed {
			to.dilatedT = packMatrices(a, p, g.Dilated[l].Value.Data, 2, r, 2*r, true)
		}
		if transposed && !last {
			to.residualT = packMatrices(a, p, g.Residual[l].Value.Data, 1, r, r, true)
		}
	}
	return w
}

// stackLayer is what both directions of a layer have in common.
type stackLayer struct {
	StackSaved
	channels, layers, width int // R, L, and the length of a row of R channels
	chunk                   chunk
	layer                   int // l
	dilation                int
	dilated                 weights
	taps                    [2]kernel.Tap
}

// computeGates writes gates_l of steps [first, end) of a sequence to gates.
func (t *stackLayer) computeGates(gates []float32, sequence, first, end int) {
	r, rows := t.channels, t.cut.batch*t.cut.steps
	base := t.layer*rows + sequence*t.cut.steps
	for from := first; from < end; {
		frame := from / t.cut.hold
		to := min((frame+1)*t.cut.hold, end)
		taps := t.taps[:]
		if from < t.dilation { // what lies before the start is zero
			taps, to = t.taps[1:], min(to, t.dilation)
		}
		condition := t.condition.Row(sequence*(t.cut.steps/t.cut.hold) + frame)[t.layer*2*r : (t.layer+1)*2*r]
		t.dilated.multiply(gates[(from-first)*2*r:(to-first)*2*r], 2*r, t.inputs, t.width, base+from, to-from, taps, condition, false)
		from = to
	}
}

// gate writes z of rows of gates to zs, from row at on; z is room for them.
func (t *stackLayer) gate(zs operand, at int, gates, z []float32, rows int) {
	r := t.channels
	if zs.float32s != nil {
		z = zs.float32s[at*r : (at+rows)*r]
	}
	kernel.GateForward(z, r, gates, 2*r, rows, r)
	if zs.bfloat16s != nil {
		zs.set(at, z, rows, r)
	}
}

// stackForward computes a layer.
type stackForward struct {
	stackLayer
	residual weights
	stream   []float32 // x_l in float32, if products read it in bfloat16
	zs       operand   // z_l of the chunk, [L, chunk rows, R], as products read them
}

var stackForwards parallel.Pool[stackForward]

func (t *stackForward) Run(item int) {
	sequence, _, first, end := t.cut.item(t.chunk, item)
	r, l, total := t.channels, t.layer, t.cut.batch*t.cut.steps
	rows, at := end-first, sequence*t.cut.steps+first
	s := scratches.Get()
	zAt := l*t.cut.chunkRows() + t.cut.chunkRow(t.chunk, sequence, first)
	f := s.floats(rows * 3 * r)
	gates, z := f[:rows*2*r], f[rows*2*r:]
	if t.gates != nil {
		gates = t.gates[(l*total+at)*2*r : (l*total+at+rows)*2*r]
	}
	t.computeGates(gates, sequence, first, end)
	t.gate(t.zs, zAt, gates, z, rows)
	if l < t.layers-1 { // x_l+1 = x_l + z Residual
		x := t.stream
		if x != nil {
			x = x[at*r : (at+rows)*r]
		} else {
			x = t.inputs.float32s[((l+1)*total+at)*r : ((l+1)*total+at+rows)*r]
			copy(x, t.inputs.float32s[(l*total+at)*r:])
		}
		t.residual.multiply(x, r, t.zs, t.width, zAt, rows, ownStep, nil, true)
		if t.stream != nil {
			t.inputs.set((l+1)*total+at, x, rows, r)
		}
	}
	scratches.Put(s)
}

// skipSum computes the sum of skips of a chunk.
type skipSum struct {
	zs    operand
	taps  []kernel.Tap
	w     weights
	bias  []float32
	skips []float32
	width int
	cut   cut
	chunk chunk
}

var skipSums parallel.Pool[skipSum]

func (t *skipSum) Run(item int) {
	n := len(t.bias)
	sequence, _, first, end := t.cut.item(t.chunk, item)
	at := sequence*t.cut.steps + first
	t.w.multiply(t.skips[at*n:(at+end-first)*n], n, t.zs, t.width, t.cut.chunkRow(t.chunk, sequence, first), end-first, t.taps, t.bias, false)
}

// Backward adds to the gradients of the parameters, given the gradient dskips with respect to Forward's result, and returns
// those with respect to x and to the condition. It uses up what is saved: call it once.
func (g *GatedStack) Backward(a *tensor.Arena, saved StackSaved, dskips tensor.Tensor) (dx, dcondition tensor.Tensor) {
	r, s, layers, p := g.config.Channels, g.config.Skip, len(g.Dilated), g.precision()
	cut := saved.cut
	rows := cut.batch * cut.steps
	if dskips.Rank() != 3 || dskips.Dim(0) != cut.batch || dskips.Dim(1) != cut.steps || dskips.Channels() != s {
		panic(fmt.Sprintf("dilated.GatedStack: gradient of shape %v, want [%d %d %d]", dskips, cut.batch, cut.steps, s))
	}
	dx, dcondition = a.Tensor(cut.batch, cut.steps, r), a.Like(saved.condition)
	if rows == 0 {
		dcondition.Zero()
		return dx, dcondition
	}
	scratch := a.Mark()
	t := stackBackward{stackLayer: stackLayer{StackSaved: saved, channels: r, layers: layers, width: p.width(r)},
		dskips: operand{float32s: dskips.Data}, skipWidth: p.width(s), skip: packMatrices(a, p, g.Skip.Value.Data, layers, r, s, true),
		dstream: dx.Data, dstreams: operand{float32s: dx.Data}, dgates: operand{float32s: saved.gates}, gatesWidth: p.width(2 * r),
		dcondition: dcondition}
	if p == BFloat16 {
		t.dskips, t.dstreams, t.dgates = activations(a, p, rows, s), activations(a, p, rows, r), activations(a, p, layers*rows, 2*r)
	}
	t.zs = activations(a, p, cut.chunkRows(), r)
	if cut.split() {
		t.parts = tensor.From(a.Floats(cut.batch*cut.blocks()*layers*2*r), cut.batch*cut.blocks(), layers*2*r)
	}

	// skips = SkipBias + sum over l of z_l Skip[l]: dSkipBias += the sum of dskips' rows.
	biases := skipBias{dskips.Data, t.dskips, a.Floats(parallel.Blocks(rows, stackRows) * s), s}
	parallel.RunCopy(&skipBiases, parallel.Blocks(rows, stackRows), biases)
	fixed := g.Skip.Grad.Data == nil
	if !fixed {
		sums.Add(g.SkipBias.Grad.Data, biases.parts)
	}

	w := g.pack(a, p == BFloat16, true)
	for k := cut.chunks() - 1; k >= 0; k-- {
		t.chunk = cut.chunk(k)
		for l := layers - 1; l >= 0; l-- {
			t.layer, t.dilation, t.taps, t.skipTap = l, g.config.Dilations[l], dilatedTaps(-g.config.Dilations[l], t.width), [1]kernel.Tap{{Weight: l}}
			t.dilated, t.residual = w.layers[l].dilated, w.layers[l].residualT
			parallel.RunCopy(&stackBackwards, cut.items(t.chunk), t)
			if !fixed {
				d := stackGradient{stackLayer: t.stackLayer, zs: t.zs, dskips: t.dskips, dstreams: t.dstreams, dgates: t.dgates,
					gatesWidth: t.gatesWidth, skipWidth: t.skipWidth, skips: s, ddilated: g.Dilated[l].Grad.Data,
					dskip: g.Skip.Grad.Data[l*r*s : (l+1)*r*s]}
				if l < layers-1 {
					d.dresidual = g.Residual[l].Grad.Data
				}
				parallel.RunCopy(&stackGradients, stackGradientItems, d)
			}

			// gates_l = x_l[t-dilation] Dilated_l[0] + x_l[t] Dilated_l[1] + ...: for the next layer, or at last for x.
			t.input = inputGradient{dgates: t.dgates, base: l * rows, width: t.gatesWidth, w: w.layers[l].dilatedT, dilation: t.dilation,
				taps: dilatedTaps(t.dilation, t.gatesWidth), channels: r, accumulate: l < layers-1}
		}
		parallel.RunCopy(&stackInputGradients, cut.items(t.chunk), stackInputGradient{t.input, dx.Data, cut, t.chunk})
	}
	packings.Put(w)
	if cut.split() { // the condition of a frame takes part in all its blocks
		dcondition.Zero()
		for i := range cut.batch * cut.blocks() {
			kernel.Add(dcondition.Row(i/cut.parts()), t.parts.Row(i))
		}
	}
	a.Release(scratch)
	return dx, dcondition
}

// stackBackward goes back through the input of layer l+1 to the gates of layer l.
type stackBackward struct {
	stackLayer
	dskips    operand
	skipWidth int
	skip      weights // transposed, of all layers
	skipTap   [1]kernel.Tap
	residual  weights // transposed

	input      inputGradient // of layer l+1
	dstream    []float32     // with respect to x_l+1
	dstreams   operand       // dstream as products read it
	zs         operand       // z_l of the chunk
	dgates     operand       // of all layers, [L, B*T, 2R]; in Float32 they take the place of the gates
	gatesWidth int           // of their rows
	dcondition tensor.Tensor
	parts      tensor.Tensor // [B*blocks, L*2R]: the same, where a frame is more than one block
}

var stackBackwards parallel.Pool[stackBackward]

func (t *stackBackward) Run(item int) {
	sequence, block, first, end := t.cut.item(t.chunk, item)
	r, l, total := t.channels, t.layer, t.cut.batch*t.cut.steps
	rows, at := end-first, sequence*t.cut.steps+first
	s := scratches.Get()
	f := s.floats(rows * 4 * r)
	dz, z, gates := f[:rows*r], f[rows*r:rows*2*r], f[rows*2*r:]

	// x_l+1 = x_l + z_l Residual_l, skips += z_l Skip[l]: dz = dx_l+1 Residual_l' + dskips Skip[l]'.
	if l < t.layers-1 {
		dstream := t.dstream[at*r : (at+rows)*r]
		t.input.add(dstream, t.cut.steps, sequence, first, end)
		if t.dstreams.bfloat16s != nil {
			t.dstreams.set(at, dstream, rows, r)
		}
		t.residual.multiply(dz, r, t.dstreams, t.width, at, rows, ownStep, nil, false)
	}
	t.skip.multiply(dz, r, t.dskips, t.skipWidth, at, rows, t.skipTap[:], nil, l < t.layers-1)

	// z_l = tanh * sigmoid.
	if t.gates != nil {
		gates = t.gates[(l*total+at)*2*r : (l*total+at+rows)*2*r]
	} else {
		t.computeGates(gates, sequence, first, end)
	}
	t.gate(t.zs, t.cut.chunkRow(t.chunk, sequence, first), gates, z, rows)
	dgates := gates
	kernel.GateBackward(dgates, 2*r, gates, 2*r, dz, r, rows, r)
	if t.gates == nil {
		t.dgates.set(l*total+at, dgates, rows, 2*r)
	}

	// gates_l = ... + condition_l, for all steps of a frame.
	for from := first; from < end; {
		frame := from / t.cut.hold
		to := min((frame+1)*t.cut.hold, end)
		row := t.dcondition.Row
		if frame += sequence * (t.cut.steps / t.cut.hold); t.cut.split() {
			row, frame = t.parts.Row, sequence*t.cut.blocks()+block
		}
		sums := row(frame)[l*2*r : (l+1)*2*r]
		clear(sums)
		kernel.ColumnSums(sums, dgates[(from-first)*2*r:(to-first)*2*r], 2*r, to-from, 2*r)
		from = to
	}
	scratches.Put(s)
}

// inputGradient is the gradient with respect to the input x_l of a layer that comes through its gates:
// dx_l[t] = dgates[t] Dilated[1]' + dgates[t+dilation] Dilated[0]'.
type inputGradient struct {
	dgates     operand
	base       int // the row at which those of the layer begin
	width      int // of its rows
	w          weights
	taps       [2]kernel.Tap
	dilation   int
	channels   int
	accumulate bool // there is a gradient that comes past the layer
}

// add writes, or adds, the gradient for steps [first, end) of a sequence to dx, their rows.
func (t *inputGradient) add(dx []float32, steps, sequence, first, end int) {
	r, base := t.channels, t.base+sequence*steps
	both := max(first, min(end, steps-t.dilation)) // from there on, no later step sees the input
	if both > first {
		t.w.multiply(dx[:(both-first)*r], r, t.dgates, t.width, base+first, both-first, t.taps[:], nil, t.accumulate)
	}
	if both < end {
		t.w.multiply(dx[(both-first)*r:], r, t.dgates, t.width, base+both, end-both, t.taps[1:], nil, t.accumulate)
	}
}

// stackInputGradient is that of the first layer.
type stackInputGradient struct {
	inputGradient
	dx    []float32
	cut   cut
	chunk chunk
}

var stackInputGradients parallel.Pool[stackInputGradient]

func (t *stackInputGradient) Run(item int) {
	sequence, _, first, end := t.cut.item(t.chunk, item)
	at := sequence * t.cut.steps
	t.add(t.dx[(at+first)*t.channels:(at+end)*t.channels], t.cut.steps, sequence, first, end)
}

// skipBias sums the rows of dskips, block by block, and takes them over as products read them.
type skipBias struct {
	x      []float32
	dskips operand
	parts  []float32 // [blocks, S]
	n      int
}

var skipBiases parallel.Pool[skipBias]

func (t *skipBias) Run(item int) {
	from, to := parallel.Block(item, len(t.x)/t.n, stackRows)
	x := t.x[from*t.n : to*t.n]
	sums := t.parts[item*t.n : (item+1)*t.n]
	clear(sums)
	kernel.ColumnSums(sums, x, t.n, to-from, t.n)
	if t.dskips.bfloat16s != nil {
		t.dskips.set(from, x, to-from, t.n)
	}
}

// stackGradient adds what a chunk says of the weights of a layer to their gradients. Chunks come one after the other, so
// that sums do not depend on the number of cores.
type stackGradient struct {
	stackLayer
	zs, dskips, dstreams, dgates operand
	skipWidth, gatesWidth, skips int
	ddilated, dresidual, dskip   []float32
}

var stackGradients parallel.Pool[stackGradient]

// stackGradientItems is the number of products that make up the gradients of a layer.
const stackGradientItems = 4

func (t *stackGradient) Run(item int) {
	r, total := t.channels, t.cut.batch*t.cut.steps
	first, end := t.cut.rowsOf(t.chunk)
	for sequence := range t.cut.batch {
		at := sequence * t.cut.steps
		from, to, layer := at+first, at+end, t.layer*total
		z := t.cut.chunkRow(t.chunk, sequence, first)
		switch item {
		case 0, 1: // gates_l = x_l[t-dilation] Dilated_l[0] + x_l[t] Dilated_l[1] + ..., half of them
			for t0 := from; t0 < to; {
				t1, taps := to, t.taps[:]
				if t0-at < t.dilation {
					t1, taps = min(to, at+t.dilation), t.taps[1:]
				}
				addWeightGradient(t.ddilated, t.inputs, t.dgates, layer+t0, layer+t0, t1-t0, taps, t.width, t.gatesWidth, r, 2*r, item*r, (item+1)*r)
				t0 = t1
			}
		case 2: // skips = ... + z_l Skip[l]
			addWeightGradient(t.dskip, t.zs, t.dskips, z, from, to-from, ownStep, t.width, t.skipWidth, r, t.skips, 0, t.skips)
		case 3: // x_l+1 = x_l + z_l Residual_l
			if t.dresidual != nil {
				addWeightGradient(t.dresidual, t.zs, t.dstreams, z, from, to-from, ownStep, t.width, t.width, r, r, 0, r)
			}
		}
	}
}

// addWeightGradient adds x' dy, over rows from xFrom and dyFrom on, to columns [n0, n1) of the matrices of the taps in dw.
func addWeightGradient(dw []float32, x, dy operand, xFrom, dyFrom, rows int, taps []kernel.Tap, xWidth, dyWidth, in, out, n0, n1 int) {
	if x.bfloat16s == nil {
		kernel.ConvWeightGradient(&kernel.ConvGradient{Rows: rows, In: in, Out: n1 - n0, Taps: taps, X: x.float32s, XBase: xFrom * xWidth,
			XStride: xWidth, DY: dy.float32s, DYBase: dyFrom*dyWidth + n0, DYStride: dyWidth, DW: dw, DWBase: n0, DWTap: in * out, DWStride: out})
		return
	}
	s := scratches.Get()
	kernel.ConvWeightGradientBF16(&kernel.ConvGradientBF16{Rows: rows, In: in, Out: n1 - n0, Taps: taps, X: x.bfloat16s, XBase: xFrom * xWidth,
		XStride: xWidth, DY: dy.bfloat16s, DYBase: dyFrom*dyWidth + n0, DYStride: dyWidth, DW: dw, DWBase: n0, DWTap: in * out, DWStride: out,
		Scratch: s.uint16s(kernel.GradientScratchBF16(in, n1-n0))})
	scratches.Put(s)
}
