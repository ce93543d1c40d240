package vqvae

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// imageConfigs returns small models of pictures: grey and RGB, with a mixture and with a softmax, of every kind of bottleneck.
func imageConfigs() map[string]Config {
	all := map[string]Config{}
	for name, bottleneck := range bottlenecks() {
		for _, i := range []ImageConfig{
			{Height: 8, Width: 12, Channels: 3, Layers: []int{17, 18}, Blocks: 2, Hidden: 16, Mixture: 2},
			{Height: 8, Width: 4, Channels: 1, Layers: []int{16, 17}, Blocks: 1, Hidden: 9},
			{Height: 2, Width: 6, Channels: 3, Layers: []int{18}, Hidden: 1},
		} {
			all[fmt.Sprintf("%s/%dx%dx%d", name, i.Height, i.Width, i.Channels)] = Config{Image: &i, Bottleneck: bottleneck.Bottleneck}
		}
	}
	return all
}

// drawings returns a batch of random pictures.
func drawings(c Config, size int, seed uint64) Batch {
	i, r := c.Image, rand.New(rand.NewPCG(seed, 0))
	b := Batch{Levels: make([]int32, size*i.Samples()), Size: size, Input: tensor.New(size, i.Height, i.Width, i.Channels)}
	for k := range b.Levels {
		b.Levels[k] = int32(r.IntN(ImageLevels))
		b.Input.Data[k] = 2*float32(b.Levels[k])/255 - 1
	}
	return b
}

// newImageModel returns a model whose codebooks are initialised.
func newImageModel(t *testing.T, c Config, p dilated.Precision) *Model {
	t.Helper()
	m, err := New(c, nil, p, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.InitialiseCodebooks(new(tensor.Arena), []Batch{drawings(c, 8, 3)}, rand.NewPCG(3, 4)); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestImageShapes(t *testing.T) {
	for name, c := range imageConfigs() {
		m := newImageModel(t, c, dilated.Float32)
		if got, want := c.Elements(0), int64(m.Parameters().Count()+m.State().Count()); got != want {
			t.Errorf("%s: %d elements, the model has %d", name, got, want)
		}
		if err := slices.Concat(m.Parameters(), m.State()).CheckNames(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		a, b := &tensor.Arena{Poison: true}, drawings(c, 3, 5)
		v := m.Latent(a, b.Input)
		height, width := c.Image.Map()
		if want := tensor.New(3, height, width, c.Bottleneck.Dim); !v.Vectors.SameShape(want) || len(b.Levels)/c.Hop() != want.Rows() {
			t.Errorf("%s: vectors of shape %v, want %v; hop %d", name, v.Vectors, want, c.Hop())
		}
		if m.Quantiser != nil {
			if e := m.Embed(a, v.Codes, 3); !e.SameShape(v.Vectors) || !slices.Equal(e.Data, v.Vectors.Data) {
				t.Errorf("%s: codes do not stand for the vectors", name)
			}
		}
		levels := m.Picture(a, v.Vectors)
		if len(levels) != len(b.Levels) || slices.Min(levels) < 0 || slices.Max(levels) >= ImageLevels {
			t.Errorf("%s: %d levels from %d to %d", name, len(levels), slices.Min(levels), slices.Max(levels))
		}
		if losses := m.Step(a, Batch{}, rand.NewPCG(1, 1)); losses.Total() != 0 {
			t.Errorf("%s: an empty batch has the loss %v", name, losses.Total())
		}
	}
}

// TestImageReceptiveField: a code depends on so many pixels, and on no others.
func TestImageReceptiveField(t *testing.T) {
	c := imageConfigs()["none/8x12x3"]
	sized := *c.Image
	sized.Height, sized.Width, sized.Channels, c.Image = 64, 64, 1, &sized
	m := newImageModel(t, c, dilated.Float32)
	for _, p := range m.Parameters() { // no ReLU shuts
		for i, x := range p.Value.Data {
			p.Value.Data[i] = float32(math.Abs(float64(x)))
		}
	}
	a, x := new(tensor.Arena), tensor.New(1, 64, 64, 1)
	x.Data[32*64+32] = 1
	changed := m.Encode(a, x)
	still := m.Encode(a, tensor.New(1, 64, 64, 1))
	first, last := 16, -1
	for row := range 16 {
		if at := changed.Row(row*16 + 8); !slices.Equal(at, still.Row(row*16+8)) {
			first, last = min(first, row), max(last, row)
		}
	}
	if n := 4 * (last - first + 1); n > c.Image.ReceptiveField()+3 || n < c.Image.ReceptiveField()-3 {
		t.Errorf("a pixel changes codes %d to %d, a code depends on %d pixels", first, last, c.Image.ReceptiveField())
	}
}

// leaveImageKinks is [leaveKinks] for n, with outputs from -1 to 1 of each convolution before its bias.
func leaveImageKinks(n *ImageNet, x tensor.Tensor) {
	a := new(tensor.Arena)
	bounds := func(y tensor.Tensor, c int) (low, high float32) {
		low, high = float32(math.Inf(1)), float32(math.Inf(-1))
		for r := range y.Rows() {
			low, high = min(low, y.Row(r)[c]), max(high, y.Row(r)[c])
		}
		return low, high
	}
	scale := func(l *dilated.Conv, x tensor.Tensor) {
		y := l.Forward(a, x)
		for c := range l.Bias.Value.Data {
			low, high := bounds(y, c)
			for i := c; i < l.Weight.Value.Len(); i += l.Weight.Value.Channels() {
				l.Weight.Value.Data[i] *= 2 / (high - low)
			}
			l.Bias.Value.Data[c] = (2*l.Bias.Value.Data[c] - low - high) / (high - low)
		}
	}
	leave := func(l *dilated.Conv, y tensor.Tensor) { // y is what l leads to
		for c := range l.Bias.Value.Data {
			low, high := bounds(y, c)
			if c%2 == 0 {
				l.Bias.Value.Data[c] += (high-low)/5 - low
			} else {
				l.Bias.Value.Data[c] -= (high-low)/5 + high
			}
		}
	}
	for i, l := range n.First {
		if i > 0 {
			x = nn.ReLU(a, x)
		}
		scale(l, x)
		leave(l, l.Forward(a, x))
		x = l.Forward(a, x)
	}
	for _, b := range n.Blocks {
		active := nn.ReLU(a, x)
		scale(b.Inner, active)
		leave(b.Inner, b.Inner.Forward(a, active))
		scale(b.Outer, nn.ReLU(a, b.Inner.Forward(a, active)))
		y, _ := b.Forward(a, x)
		leave(b.Outer, y)
		x, _ = b.Forward(a, x)
	}
	for i, l := range n.Last {
		x = nn.ReLU(a, x)
		scale(l, x)
		if i < len(n.Last)-1 {
			leave(l, l.Forward(a, x))
		}
		x = l.Forward(a, x)
	}
}

// TestImageGradients compares the gradients of a step with differences: of the loss itself, or, where the bottleneck hands gradients
// straight through, of the function that they are the gradients of (see TestGradients).
func TestImageGradients(t *testing.T) {
	for _, name := range []string{"average/8x12x3", "loss/8x4x1", "none/2x6x3", "vae/8x12x3", "none/8x4x1"} {
		t.Run(name, func(t *testing.T) {
			c := imageConfigs()[name]
			m := newImageModel(t, c, dilated.Float32)
			b, a := drawings(c, 3, 8), new(tensor.Arena)
			if g, ok := m.Bottleneck.(*Gaussian); ok {
				g.Steps.Data[0] = 2 // of three
			}
			leaveImageKinks(m.ImageEncoder, b.Input)
			if err := m.InitialiseCodebooks(a, []Batch{drawings(c, 8, 3)}, rand.NewPCG(3, 4)); err != nil {
				t.Fatal(err)
			}
			leaveImageKinks(m.ImageDecoder, m.Bottleneck.Forward(a, m.Encode(a, b.Input), rand.NewPCG(5, 6)).Vectors)
			m.Parameters().ZeroGrad()
			losses := m.Step(a, b, rand.NewPCG(5, 6))
			var parts []gradcheck.Part
			for _, p := range m.Parameters() {
				parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: slices.Clone(p.Grad.Data)})
			}
			loss := func() float64 { return m.Step(new(tensor.Arena), b, rand.NewPCG(5, 6)).Total() }
			if m.Quantiser != nil {
				z0, e0 := m.Encode(a, b.Input), m.Embed(a, losses.Codes, b.Size)
				loss = func() float64 {
					a := new(tensor.Arena)
					z, e := m.Encode(a, b.Input), m.Embed(a, losses.Codes, b.Size)
					local, sum := a.Like(z), 0.0
					for i := range local.Data {
						local.Data[i] = e0.Data[i] + z.Data[i] - z0.Data[i]
						toEntry := float64(z.Data[i]) - float64(e0.Data[i])
						sum += c.Bottleneck.Beta * toEntry * toEntry
						if c.Bottleneck.Codebook == ByLoss {
							toOutput := float64(e.Data[i]) - float64(z0.Data[i])
							sum += toOutput * toOutput
						}
					}
					return m.NLL(a, b.Levels, b.Size, local, nil) + sum/float64(z.Len())
				}
			}
			if got, want := losses.Total(), loss(); math.Abs(got-want) > 1e-6*want {
				t.Errorf("loss %g, want %g", got, want)
			}
			if err := gradcheck.Directional(loss, rand.NewPCG(7, 8), parts...); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestImageTraining: a model learns pictures by heart, the same on one and on several threads, in either precision.
func TestImageTraining(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
		var last [2]*Model
		for i := range last {
			parallel.SetThreads(1 + 2*i)
			c := imageConfigs()["average/8x12x3"]
			m := newImageModel(t, c, precision)
			last[i] = m
			b, a := drawings(c, 2, 9), new(tensor.Arena)
			adam, first, nll := nn.NewAdam(m.Parameters()), 0.0, 0.0
			for step := range 60 {
				m.Parameters().ZeroGrad()
				losses := m.Step(a, b, rand.NewPCG(5, uint64(step)))
				if step == 0 {
					first = losses.NLL
				}
				nll = losses.NLL
				adam.Step(0.003)
				m.Update(rand.NewPCG(6, uint64(step)))
				a.Reset()
			}
			if !(nll < first-0.3) {
				t.Errorf("%v: from %v to %v nats", precision, first, nll)
			}
		}
		if !equal(snapshot(last[0].Parameters()), snapshot(last[1].Parameters())) || !equal(snapshot(last[0].State()), snapshot(last[1].State())) {
			t.Errorf("%v: one and three threads train differently", precision)
		}
		a, b := new(tensor.Arena), drawings(last[0].Config, 2, 9)
		other := last[0].With(dilated.Float32)
		v := other.Latent(a, b.Input)
		exact, near := other.NLL(a, b.Levels, 2, v.Vectors, nil), last[0].NLL(a, b.Levels, 2, v.Vectors, nil)
		if precision == dilated.Float32 && exact != near || !(math.Abs(exact-near) < 0.02*exact) {
			t.Errorf("%v: %v nats, %v in float32", precision, near, exact)
		}
	}
}

// TestPictureIsExpected: of a decoder that gives every pixel the same distribution, the levels are its mean.
func TestPictureIsExpected(t *testing.T) {
	c := imageConfigs()["none/8x4x1"]
	m := newImageModel(t, c, dilated.Float32)
	last := m.ImageDecoder.Last[len(m.ImageDecoder.Last)-1]
	last.Weight.Value.Zero()
	for i := range last.Bias.Value.Data {
		last.Bias.Value.Data[i] = -1000
	}
	last.Bias.Value.Data[10], last.Bias.Value.Data[201] = 0, float32(math.Log(3)) // 1/4, 3/4
	for _, level := range m.Picture(new(tensor.Arena), tensor.New(2, 2, 1, c.Bottleneck.Dim)) {
		if want := int32(153); level != want { // 153.25
			t.Fatalf("level %d, want %d", level, want)
		}
	}
}

func TestImageCheck(t *testing.T) {
	for name, c := range imageConfigs() {
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		data, err := json.Marshal(c)
		if err != nil || strings.Contains(string(data), "rate") || strings.Contains(string(data), "decoder") {
			t.Errorf("%s: %s, %v", name, data, err)
		}
		var again Config
		if err := json.Unmarshal(data, &again); err != nil || again.Elements(0) != c.Elements(0) || again.Hop() != c.Hop() {
			t.Errorf("%s: read again: %v", name, err)
		}
	}
	for want, change := range map[string]func(c *Config){
		"which are of sound":            func(c *Config) { c.Rate = 16000 },
		"image with rate, levels":       func(c *Config) { c.Decoder.Layers = 3 },
		"image layers 0":                func(c *Config) { c.Image.Layers = nil },
		"image layers 100":              func(c *Config) { c.Image.Layers = make([]int, 100) },
		"layers [0 8]":                  func(c *Config) { c.Image.Layers = []int{0, 8} },
		"layers [8 5000]":               func(c *Config) { c.Image.Layers = []int{8, 5000} },
		"height 0: want 4":              func(c *Config) { c.Image.Height = 0 },
		"width 4100":                    func(c *Config) { c.Image.Width = 4100 },
		"10 x 12 pixels: want multiple": func(c *Config) { c.Image.Height = 10 },
		"image channels 2":              func(c *Config) { c.Image.Channels = 2 },
		"blocks -1":                     func(c *Config) { c.Image.Blocks = -1 },
		"blocks 65":                     func(c *Config) { c.Image.Blocks = 65 },
		"hidden 0":                      func(c *Config) { c.Image.Hidden = 0 },
		"mixture 129":                   func(c *Config) { c.Image.Mixture = 129 },
		"jitter 0.5: want 0 for pic":    func(c *Config) { c.Bottleneck.Jitter = 0.5 },
		"bottleneck dim 0":              func(c *Config) { c.Bottleneck.Dim = 0 },
		"elements of activations":       func(c *Config) { c.Image.Height, c.Image.Width = 4096, 4096 },
		"elements of parameters and": func(c *Config) {
			c.Image.Layers, c.Image.Hidden = []int{4096, 4096}, 4096
		},
	} {
		c := imageConfigs()["average/8x12x3"]
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	open := imageConfigs()["average/8x12x3"]
	was := *open.Image
	open.Image.Height, open.Image.Width, open.Image.Channels = 0, 0, 0
	if sized := open.Sized(8, 12, 3); sized.Check() != nil || sized.Image.Samples() != was.Samples() || open.Image.Height != 0 {
		t.Errorf("sized: %+v, %v; it was %+v", sized.Image, sized.Check(), open.Image)
	}
	if sized := open.Sized(8, 12, 3).Sized(16, 16, 1); sized.Image.Samples() != was.Samples() {
		t.Errorf("a size that is set becomes %+v", sized.Image)
	}
}

// TestImageAllocations: once the arena has grown, a step makes no buffers, only short lists.
func TestImageAllocations(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(1)
	c := imageConfigs()["average/8x12x3"]
	m, b, a := newImageModel(t, c, dilated.Float32), drawings(c, 4, 3), new(tensor.Arena)
	src := rand.NewPCG(5, 6)
	step := func() {
		m.Step(a, b, src)
		m.Update(src)
		a.Reset()
	}
	for range 5 {
		step()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const steps = 20
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	if bytes := (after.TotalAlloc - before.TotalAlloc) / steps; bytes > 4096 {
		t.Errorf("%d bytes in a step", bytes)
	}
}
