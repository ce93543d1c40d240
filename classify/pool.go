package classify

import (
	"math"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// poolFloor is added to a variance, so that the deviation has a gradient where a channel is constant.
const poolFloor = 1e-5

// pool returns, for each sequence of x [B, T, C], with the sums going over its length L,
//
//	mean_c      = 1/L sum_t x_tc
//	deviation_c = sqrt(1/L sum_t (x_tc - mean_c)^2 + poolFloor)
//
// [B, 2C]: the means, then the deviations.
func pool(a *tensor.Arena, x tensor.Tensor, lengths []int) tensor.Tensor {
	c := x.Dim(2)
	y := a.Tensor(len(lengths), 2*c)
	sums := a.Float64s(len(lengths) * c)
	parallel.RunCopy(&poolings, len(lengths), pooling{x: x, y: y, lengths: lengths, sums: sums})
	return y
}

// poolBackward returns the gradient with respect to x, given pool's result y and the gradient dy with respect to that.
func poolBackward(a *tensor.Arena, x, y, dy tensor.Tensor, lengths []int) tensor.Tensor {
	dx := a.Like(x)
	parallel.RunCopy(&poolings, len(lengths), pooling{x: x, y: y, dy: dy, dx: dx, lengths: lengths})
	return dx
}

// pooling is the task of pool, or with dx of poolBackward: an item for each sequence.
type pooling struct {
	x, y, dy, dx tensor.Tensor
	lengths      []int
	sums         []float64 // [B, C]
}

var poolings parallel.Pool[pooling]

func (p *pooling) Run(item int) {
	t, c, l := p.x.Dim(1), p.x.Dim(2), p.lengths[item]
	x, y := p.x.Data[item*t*c:(item+1)*t*c], p.y.Row(item)
	mean, deviation := y[:c], y[c:]
	if p.dx.Data != nil {
		p.backward(p.dx.Data[item*t*c:(item+1)*t*c], x, y, p.dy.Row(item), l)
		return
	}
	sums := p.sums[item*c : (item+1)*c]
	clear(sums)
	for i := range l {
		for k, v := range x[i*c : (i+1)*c] {
			sums[k] += float64(v)
		}
	}
	for k := range mean {
		mean[k] = float32(sums[k] / float64(l))
	}
	clear(sums)
	for i := range l {
		for k, v := range x[i*c : (i+1)*c] {
			d := float64(v - mean[k])
			sums[k] += d * d
		}
	}
	for k := range deviation {
		deviation[k] = float32(math.Sqrt(sums[k]/float64(l) + poolFloor))
	}
}

// backward: x_tc comes into the mean with 1/L, into the deviation with (x_tc - mean_c) / (L deviation_c).
func (p *pooling) backward(dx, x, y, dy []float32, l int) {
	c := len(y) / 2
	scale := 1 / float32(l)
	for i := range l {
		for k, v := range x[i*c : (i+1)*c] {
			dx[i*c+k] = scale * (dy[k] + dy[c+k]*(v-y[k])/y[c+k])
		}
	}
	clear(dx[l*c:])
}
