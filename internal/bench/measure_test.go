package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

func TestQuartiles(t *testing.T) {
	for _, test := range []struct{ x, want []float64 }{
		{[]float64{7}, []float64{7, 7, 7}},
		{[]float64{3, 1}, []float64{1.5, 2, 2.5}},
		{[]float64{5, 1, 4, 2, 3}, []float64{2, 3, 4}},
	} {
		lower, middle, upper := quartiles(test.x)
		if lower != test.want[0] || middle != test.want[1] || upper != test.want[2] {
			t.Errorf("quartiles of %v: %v, %v, %v, want %v", test.x, lower, middle, upper, test.want)
		}
	}
}

func TestRound(t *testing.T) {
	for v, want := range map[float64]float64{0: 0, 0.83333: 0.8333, 207.26: 207.3, 12346: 12350, -0.12344: -0.1234} {
		if got := round(v); got != want {
			t.Errorf("round(%v) = %v, want %v", v, got, want)
		}
	}
}

// clock stands still until a task moves it on.
type clock struct{ time.Time }

// moving returns a maker of jobs that take d on one thread, and half of it on two.
func (c *clock) moving(d time.Duration) maker {
	return func(threads int) job {
		return job{Task: functions{func() { c.Time = c.Add(d / time.Duration(threads)) }}, items: 1, work: 1e6}
	}
}

// TestMeasureByKnownTimes measures jobs whose times are known: each figure must come out of the right jobs the right way
// round, and the time be kept.
func TestMeasureByKnownTimes(t *testing.T) {
	c := &clock{time.Now()}
	now = func() time.Time { return c.Time }
	defer func() { now = time.Now }()
	const ms = time.Millisecond
	benchmarks := []Benchmark{
		{
			Name: "first", Shape: "4", DType: "bf16", ISA: "none", unit: nsPerNumber, boundName: "half as long",
			job: c.moving(4 * ms), bound: c.moving(2 * ms), float32: c.moving(12 * ms),
		},
		{Name: "second", unit: gigaflops, job: c.moving(20 * time.Microsecond)},
		{Name: "third", unit: gigaflops, job: c.moving(ms)},
	}
	var started, measured []string
	begin := c.Time
	results, leftOut := Measure(context.Background(), benchmarks[:2], 2, time.Second, Observer{
		Started:  func(_ int, b Benchmark, _ time.Duration) { started = append(started, b.Name) },
		Measured: func(_ Benchmark, r Result) { measured = append(measured, r.Name) },
	})
	if len(results) != 2 || len(leftOut) != 0 || len(started) != 2 || !slices.Equal(started, measured) {
		t.Fatalf("%d results, %d left out, %q started, %q measured", len(results), len(leftOut), started, measured)
	}
	if took := c.Sub(begin); took < 900*ms || took > 1100*ms {
		t.Errorf("a second took %v", took)
	}
	tier := kernel.Active().Tier.String()
	want := []Result{
		{
			Name: "first", Shape: "4", Tier: tier, ISA: "none", DType: "bf16", Threads: 2, Value: 2, Unit: "ns/element",
			Share: 0.5, Bound: "half as long", RatioToFloat32: 3, SpeedUp: 2,
		},
		{Name: "second", Tier: tier, Threads: 2, Value: 100, Unit: "GFLOP/s", SpeedUp: 2},
	}
	for i, r := range results {
		if r.Repetitions < 10 {
			t.Errorf("%d repetitions", r.Repetitions)
		}
		r.Repetitions = 0
		if r != want[i] {
			t.Errorf("measured\n%+v, want\n%+v", r, want[i])
		}
	}

	// The first takes 36 ms at least on one thread, more than half of 50 ms; the others leave nothing of their parts.
	begin = c.Time
	results, leftOut = Measure(context.Background(), benchmarks, 1, 50*ms, Observer{})
	if len(results) != 2 || len(leftOut) != 1 || leftOut[0].Name != "first" {
		t.Errorf("%+v and %+v left out", results, leftOut)
	}
	if took := c.Sub(begin); took < 40*ms || took > 60*ms {
		t.Errorf("50 ms took %v", took)
	}
	if results, leftOut = Measure(context.Background(), benchmarks, 1, 0, Observer{}); len(results) != 0 || len(leftOut) != 3 {
		t.Errorf("in no time %+v, and %+v left out", results, leftOut)
	}
}

// TestJobs runs some items of the jobs of every benchmark, in the first of its shapes, on every tier: the kernels check
// that shapes fit.
func TestJobs(t *testing.T) {
	defer func(s []size, preset string, seconds int) { sizes, encoderPreset, encoderSeconds = s, preset, seconds }(sizes, encoderPreset, encoderSeconds)
	sizes, encoderPreset, encoderSeconds = []size{{"tiny", 1, 512}}, "tiny", 1
	for _, setting := range kernel.Available() {
		before := kernel.Use(setting)
		all, err := List()
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range all {
			if (b.bound == nil) != (b.boundName == "") {
				t.Errorf("%v: %s has a bound, or the name of one, but not both", setting, b.Name)
			}
			if i > 0 && all[i-1].Name == b.Name {
				continue
			}
			for _, m := range []maker{b.job, b.bound, b.float32} {
				if m == nil {
					continue
				}
				j := m(3)
				if j.items < 1 || j.work <= 0 {
					t.Errorf("%v: %s %s: %d items, work %v", setting, b.Name, b.Shape, j.items, j.work)
				}
				j.Run(0)
				j.Run(j.items - 1)
			}
		}
		kernel.Use(before)
	}
}

func TestListUnknown(t *testing.T) {
	for _, name := range []string{"conf", "", "conv-forwards"} {
		_, err := List("conv", name)
		if e, ok := err.(*UnknownNameError); !ok || e.Name != name || len(e.Known) < 10 {
			t.Errorf("List(%q): %v", name, err)
		}
	}
}
