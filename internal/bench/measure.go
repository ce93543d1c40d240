package bench

import (
	"context"
	"math"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

const (
	timing    = 5 * time.Millisecond // the length of one timing, if there is time enough
	settling  = 2                    // timings that pass unmeasured before it
	maxRounds = 400
)

var now = time.Now // replaced by a test

// Observer is told how Measure gets on. Either function may be nil.
type Observer struct {
	Started  func(i int, b Benchmark, left time.Duration) // benchmark i begins; left is the time until all are done
	Measured func(Benchmark, Result)
}

// Measure measures benchmarks on the given number of threads, one after the other, and takes about limit for all of them:
// each gets an equal part of the time that is left, and is left out if measuring it once would take more than half of
// that. When the time has run out, or ctx is cancelled, it stops. Nothing else may compute meanwhile.
func Measure(ctx context.Context, benchmarks []Benchmark, threads int, limit time.Duration, o Observer) (results []Result, leftOut []Benchmark) {
	before := parallel.Threads()
	parallel.SetThreads(threads)
	defer parallel.SetThreads(before)
	deadline := now().Add(limit)
	for i, b := range benchmarks {
		left := deadline.Sub(now())
		if left <= 0 || ctx.Err() != nil {
			return results, append(leftOut, benchmarks[i:]...)
		}
		if o.Started != nil {
			o.Started(i, b, left)
		}
		r, ok := measure(ctx, b, threads, left/time.Duration(len(benchmarks)-i), left/2)
		if !ok {
			leftOut = append(leftOut, b)
			continue
		}
		results = append(results, r)
		if o.Measured != nil {
			o.Measured(b, r)
		}
	}
	return results, leftOut
}

// contender is one of the jobs that are timed by turns.
type contender struct {
	job
	threads       int
	settle, batch int       // runs before a timing, runs in it
	rates         []float64 // work per second, one for each round
}

// time lets the machine settle, and returns the rate in the runs after that. For some milliseconds after work of another
// kind the clock is not what it comes to be: a peak timed at once after a kernel that waits for memory is a tenth too low.
func (c *contender) time() float64 {
	c.run(c.settle)
	return c.run(c.batch)
}

// run returns the rate in that many runs.
func (c *contender) run(runs int) float64 {
	start := now()
	for range runs {
		if c.threads > 1 {
			parallel.Run(c.items, c.Task)
		} else {
			for i := range c.items {
				c.Task.Run(i)
			}
		}
		if c.finish != nil {
			c.finish()
		}
	}
	return c.work * float64(runs) / now().Sub(start).Seconds()
}

// measure measures b in about the given time, but at least once. It reports false if ctx was cancelled before that, or if
// it would take longer than most.
func measure(ctx context.Context, b Benchmark, threads int, limit, most time.Duration) (Result, bool) {
	start := now()
	runtime.GC() // what it frees holds the operands of this benchmark, and it does not run later
	var all []*contender
	add := func(m maker, threads int) *contender {
		if m == nil {
			return nil
		}
		c := &contender{job: m(threads), threads: threads, batch: 1}
		all = append(all, c)
		return c
	}
	kernelJob := add(b.job, threads)
	bound := add(b.bound, threads)
	float32Job := add(b.float32, threads)
	var single *contender
	if threads > 1 {
		single = add(b.job, 1)
	}

	// From one item of each: a run to warm up and a run to be timed.
	estimate := time.Duration(0)
	for _, c := range all {
		begin := now()
		c.Task.Run(0)
		estimate += 2 * now().Sub(begin) * time.Duration(c.items) / time.Duration(min(c.threads, c.items))
	}
	if estimate > most {
		return Result{}, false
	}

	// Warm up: caches, page tables. The second run, where that is short, tells how many make a timing.
	length := min(timing, limit/time.Duration(10*(1+settling)*len(all))).Seconds()
	for _, c := range all {
		if c.work/c.run(1) < length {
			c.batch = max(1, int(length*c.run(1)/c.work))
			c.settle = settling * c.batch
		}
		if ctx.Err() != nil {
			return Result{}, false
		}
	}

	rounds := 0
	for begin := now(); rounds < maxRounds; {
		for i := range all {
			if rounds%2 == 1 { // to and fro, so that each follows on the other as often
				i = len(all) - 1 - i
			}
			all[i].rates = append(all[i].rates, all[i].time())
		}
		rounds++
		// Stop at the round whose end is nearest to the limit.
		round := now().Sub(begin) / time.Duration(rounds)
		if ctx.Err() != nil || now().Sub(start)+round/2 > limit {
			break
		}
	}

	lower, middle, upper := quartiles(kernelJob.rates)
	r := Result{
		Name: b.Name, Shape: b.Shape, Tier: kernel.Active().Tier.String(), ISA: b.ISA, DType: b.DType, Threads: threads,
		Value: round(b.unit.value(middle)), Unit: b.unit.name,
		Repetitions: rounds, Spread: round((upper - lower) / middle),
	}
	if bound != nil {
		r.Share, r.Bound = ratio(kernelJob, bound), b.boundName
	}
	if float32Job != nil {
		r.RatioToFloat32 = ratio(kernelJob, float32Job)
	}
	if single != nil {
		r.SpeedUp = ratio(kernelJob, single)
	}
	return r, true
}

// ratio is the median of the ratios of a's rates to b's of the same rounds.
func ratio(a, b *contender) float64 {
	ratios := make([]float64, len(a.rates))
	for i := range ratios {
		ratios[i] = a.rates[i] / b.rates[i]
	}
	_, middle, _ := quartiles(ratios)
	return round(middle)
}

// quartiles returns the elements of x at a quarter, half and three quarters of its order, interpolated.
func quartiles(x []float64) (lower, middle, upper float64) {
	s := slices.Sorted(slices.Values(x))
	at := func(q float64) float64 {
		i, f := math.Modf(q * float64(len(s)-1))
		if f == 0 {
			return s[int(i)]
		}
		return s[int(i)]*(1-f) + s[int(i)+1]*f
	}
	return at(0.25), at(0.5), at(0.75)
}

// round keeps four digits: more were never measured.
func round(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return v
}
