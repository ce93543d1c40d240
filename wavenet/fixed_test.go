package wavenet

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
)

// TestFixed wants of a fixed net the same loss and the same gradients of the conditions, bit for bit, and none of parameters.
func TestFixed(t *testing.T) {
	configs := append(slices.Clone(netConfigs), Config{Classes: 32, Residual: 16, Skip: 32, Layers: 3, Cycles: 2, Local: 16, Hop: 8, Global: 16})
	for i, c := range configs {
		for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
			t.Run(fmt.Sprint(i, " ", precision), func(t *testing.T) {
				src := rand.NewPCG(1, uint64(i))
				n := testNet(c, src).With(precision)
				in := testInput(c, 3, rand.New(src))
				n.Parameters().ZeroGrad()
				fixed := n.Fixed()
				loss, dlocal, dglobal := fixed.LossGradient(new(tensor.Arena), in)
				for _, p := range n.Parameters() {
					if slices.ContainsFunc(p.Grad.Data, func(v float32) bool { return v != 0 }) {
						t.Errorf("%s has a gradient", p.Name)
					}
				}
				for _, p := range fixed.Parameters() {
					if p.Grad.Data != nil {
						t.Errorf("%s has room for a gradient", p.Name)
					}
				}
				loss2, dlocal2, dglobal2 := n.LossGradient(new(tensor.Arena), in)
				if loss != loss2 || !slices.Equal(dlocal.Data, dlocal2.Data) || !slices.Equal(dglobal.Data, dglobal2.Data) {
					t.Errorf("loss %v or gradients differ from those of the net, %v", loss, loss2)
				}
				if (dglobal.Data == nil) != (c.Global == 0) || c.Global > 0 && !slices.ContainsFunc(dglobal.Data, func(v float32) bool { return v != 0 }) {
					t.Errorf("gradient of the global condition %v", dglobal.Data)
				}
			})
		}
	}
}
