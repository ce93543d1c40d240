package wavenet

import (
	"fmt"
	"math"
	"slices"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// Drawing says how a step is drawn from its distribution.
type Drawing struct {
	// Temperature divides the logits: 1 draws as the net predicts, less draws more often what is likely, 0 takes the likeliest, the
	// first of several.
	Temperature float64
	// TopK leaves the likeliest so many classes, and those as likely as the last of them; 0 leaves all.
	TopK int
	// TopP leaves the likeliest classes that have this probability together, at the temperature (nucleus sampling, Holtzman et al.,
	// arXiv 1904.09751), and those as likely as the last of them; 0 and 1 leave all.
	TopP float64
}

// Check returns what is wrong with the drawing for the net's distribution: a mixture of logistics has a temperature only.
func (d Drawing) Check(c Config) error {
	switch {
	case !(d.Temperature >= 0):
		return fmt.Errorf("temperature %v: want 0 or more", d.Temperature)
	case d.TopK < 0:
		return fmt.Errorf("top-k %d: want 1 or more, or 0 for all classes", d.TopK)
	case !(d.TopP >= 0 && d.TopP <= 1):
		return fmt.Errorf("top-p %v: want a probability, or 0 for all classes", d.TopP)
	case c.Mixture > 0 && (d.TopK > 0 || d.TopP > 0 && d.TopP < 1):
		return fmt.Errorf("top-k and top-p choose among classes, and the net predicts a mixture of logistics")
	}
	return nil
}

// oddsBlock is the number of odds that are summed by themselves.
const oddsBlock = 16

// Drawer draws steps from the distributions that a net of a configuration predicts.
type Drawer struct {
	config Config
	odds   []float32 // [Classes, rounded up to whole blocks]; 0 behind the classes
	sums   []float64 // of its blocks
}

// NewDrawer returns one for the distributions of a configuration, of which it takes Classes and Mixture.
func NewDrawer(c Config) *Drawer {
	w := &Drawer{config: c}
	if c.Mixture == 0 {
		blocks := (c.Classes + oddsBlock - 1) / oddsBlock
		w.odds, w.sums = make([]float32, blocks*oddsBlock), make([]float64, blocks)
	}
	return w
}

// Draw draws the class of a step from its logits [Classes], or the parameters of a mixture ([nn.LogisticMixture.Draw]), with a number
// uniform from [0, 1): the class at which the cumulative distribution first exceeds it. If a logit is NaN the result is some class. d has
// passed its Check.
func (w *Drawer) Draw(logits []float32, d Drawing, uniform float64) int32 {
	if len(logits) != w.config.Outputs() {
		panic(fmt.Sprintf("wavenet.Drawer: %d logits, want %d", len(logits), w.config.Outputs()))
	}
	if w.config.Mixture > 0 {
		return w.config.mixture().Draw(logits, d.Temperature, uniform)
	}
	odds, n := w.odds[:len(logits)], len(logits)
	if d.Temperature != 1 {
		largest := kernel.Max(logits)
		if d.Temperature == 0 {
			return int32(max(0, slices.Index(logits, largest)))
		}
		scale := float32(min(1/d.Temperature, math.MaxFloat32))
		for i, v := range logits {
			odds[i] = (v - largest) * scale
		}
		logits = odds
	}
	kernel.Softmax(odds, logits, n, 1, n)
	if d.TopK > 0 {
		least(odds, func(_ float64, n int) bool { return n >= d.TopK })
	}
	if d.TopP > 0 && d.TopP < 1 {
		enough := d.TopP * w.sum()
		least(odds, func(sum float64, _ int) bool { return sum >= enough })
	}
	threshold := uniform * w.sum()
	sum := 0.0
	for b, s := range w.sums {
		if sum+s <= threshold {
			sum += s
			continue
		}
		for i, p := range w.odds[b*oddsBlock : (b+1)*oddsBlock] {
			if sum += float64(p); sum > threshold {
				return int32(b*oddsBlock + i)
			}
		}
	}
	for n > 1 && w.odds[n-1] == 0 { // what is left of rounding falls to the last class that there is
		n--
	}
	return int32(n - 1)
}

// sum returns the sum of all odds, and leaves those of blocks in sums.
func (w *Drawer) sum() float64 {
	total := 0.0
	for b := range w.sums {
		o := (*[oddsBlock]float32)(w.odds[b*oddsBlock:])
		var s [4]float64
		for i := 0; i < oddsBlock; i += 4 {
			s[0] += float64(o[i])
			s[1] += float64(o[i+1])
			s[2] += float64(o[i+2])
			s[3] += float64(o[i+3])
		}
		w.sums[b] = s[0] + s[1] + (s[2] + s[3])
		total += w.sums[b]
	}
	return total
}

// least puts odds of which the larger ones are enough to 0: it looks for the largest one such that the sum and the number of those
// that are not smaller are enough. Odds are from 0 to 1, or but for rounding.
func least(odds []float32, enough func(sum float64, n int) bool) {
	low, high := uint32(0), math.Float32bits(2) // bits of floats from 0 on are in order
	atLow, atHigh := len(odds), 0               // odds that are not smaller
	for high-low > 1 && atLow-atHigh > 1 {
		middle := low + (high-low)/2
		limit, sum, n := math.Float32frombits(middle), 0.0, 0
		for _, p := range odds {
			if p >= limit {
				sum += float64(p)
				n++
			}
		}
		if enough(sum, n) {
			low, atLow = middle, n
		} else {
			high, atHigh = middle, n
		}
	}
	limit := math.Float32frombits(low)
	for i, p := range odds {
		if p < limit {
			odds[i] = 0
		}
	}
}
