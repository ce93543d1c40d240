package bench

import (
	"slices"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/kernel/peak"
)

// peaks: multiply-adds in registers, with each kind of instruction that the active setting uses.
func peaks() []Benchmark {
	var all []Benchmark
	for _, k := range kinds() {
		u := gigaflops
		if k.Name == "int8" {
			u = gigaops
		}
		all = append(all, Benchmark{Name: "peak-" + k.Name, DType: k.Name, ISA: k.ISA, unit: u, job: peakJob(k)})
	}
	return all
}

// kinds are those that the active setting uses.
func kinds() []peak.Kind {
	s := kernel.Active()
	used := map[string]bool{
		s.Tier.String(): true, "avx512-bf16": s.Ext.BF16, "avx512-vnni": s.Ext.VNNI, "amx-bf16": s.Ext.AMX,
	}
	return slices.DeleteFunc(peak.Kinds(), func(k peak.Kind) bool { return !used[k.ISA] })
}

// peakOf returns the peak that bounds kernels of that element type and those instructions, and its name; nil and "" if
// there is none.
func peakOf(dtype, isa string) (maker, string) {
	for _, k := range kinds() {
		if k.Name == dtype && k.ISA == isa {
			return peakJob(k), "peak-" + k.Name
		}
	}
	return nil, ""
}

// peakTask is a kind in items of some 100 microseconds.
type peakTask struct{ peak.Kind }

const peakIterations = 1 << 15

func (t peakTask) Run(int) { t.Kind.Run(peakIterations) }

func peakJob(k peak.Kind) maker {
	operations := k.Run(peakIterations)
	return func(threads int) job {
		items := 16 * threads
		return job{Task: peakTask{k}, items: items, work: operations * float64(items)}
	}
}
