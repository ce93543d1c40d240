package nn

import "math"

// Schedule gives the learning rate of a step; steps count from 0.
type Schedule func(step int) float64

// Constant is rate at every step.
func Constant(rate float64) Schedule {
	return func(int) float64 { return rate }
}

// Exponential falls by the factor decay every so many steps, without stairs: rate * decay^(step/every).
func Exponential(rate, decay float64, every int) Schedule {
	return func(step int) float64 { return rate * math.Pow(decay, float64(step)/float64(every)) }
}

// Cosine falls from rate to last along half a cosine (Loshchilov & Hutter, arXiv 1608.03983, equation 5, without
// restarts): last + (rate-last) * (1 + cos(pi*step/steps)) / 2 up to step steps, then last.
func Cosine(rate, last float64, steps int) Schedule {
	return func(step int) float64 {
		if step >= steps {
			return last
		}
		return last + (rate-last)*(1+math.Cos(math.Pi*float64(step)/float64(steps)))/2
	}
}

// WarmUp rises linearly over the first steps and then begins the schedule after: after(0) * (step+1)/steps before step
// steps, then after(step-steps).
func WarmUp(steps int, after Schedule) Schedule {
	return func(step int) float64 {
		if step < steps {
			return after(0) * float64(step+1) / float64(steps)
		}
		return after(step - steps)
	}
}
