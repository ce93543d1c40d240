package picture

import (
	"fmt"
	"math"
	"strconv"
)

// tick is a labelled place on an axis.
type tick struct {
	at    float64
	label string
}

// ticks returns the multiples of 1, 2 or 5 times a power of ten from low to high, at most most+1 of them.
func ticks(low, high float64, most int) []tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(most))))
	for _, m := range []float64{1, 2, 5, 10} {
		if (high-low)/(m*step) <= float64(most) {
			step *= m
			break
		}
	}
	if step >= 1e4 {
		return multiples(low, high, step, func(v float64) string { return strconv.FormatFloat(v, 'e', -1, 64) })
	}
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	return multiples(low, high, step, func(v float64) string { return strconv.FormatFloat(v, 'f', digits, 64) })
}

// timeTicks are ticks on an axis in seconds, and what that is called. From three minutes on, whole seconds are written as
// people count them: 3:30, 1:02:00.
func timeTicks(low, high float64, most int) ([]tick, string) {
	if high < 180 || high-low < float64(most) {
		return ticks(low, high, most), "time (s)"
	}
	steps := []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600}
	i := 0
	for i < len(steps)-1 && (high-low)/steps[i] > float64(most) {
		i++
	}
	step := steps[i]
	for (high-low)/step > float64(most) {
		step *= 2
	}
	if high < 3600 {
		return multiples(low, high, step, func(v float64) string {
			return fmt.Sprintf("%d:%02d", int64(v)/60, int64(v)%60)
		}), "time (min:s)"
	}
	return multiples(low, high, step, func(v float64) string {
		return fmt.Sprintf("%d:%02d:%02d", int64(v)/3600, int64(v)/60%60, int64(v)%60)
	}), "time (h:min:s)"
}

func multiples(low, high, step float64, label func(float64) string) []tick {
	var all []tick
	first := math.Ceil(low/step - 1e-9)
	for i := range int(math.Floor(high/step+1e-9)-first) + 1 {
		v := (first+float64(i))*step + 0 // not -0
		all = append(all, tick{v, label(v)})
	}
	return all
}
