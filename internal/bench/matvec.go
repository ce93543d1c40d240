package bench

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/kernel/peak"
)

// matVecs: shapes are outputs x inputs. A sampler reads its weights once for every sample, so that work is counted in
// bytes of weights and the bound is the bandwidth with which as many bytes can be read. With several threads each has a
// share of the outputs.
func matVecs() []Benchmark {
	shapes := []struct{ out, in int }{
		{512, 256},   // a layer: its weights stay in the second-level cache
		{2048, 1024}, // as many weights as a whole sampler: they do not
	}
	var all []Benchmark
	add := func(name, dtype, isa string, size int, pack func(w []float32, in, out int) func()) {
		for _, s := range shapes {
			all = append(all, Benchmark{
				Name: "matvec-" + name, Shape: fmt.Sprintf("%dx%d", s.out, s.in), DType: dtype, ISA: isa, unit: gigabytes,
				job: func(threads int) job {
					out := s.out / threads
					return hot(size*s.in*out, func() func() { return pack(floats(s.in*out), s.in, out) })(threads)
				},
				bound: func(threads int) job {
					bytes := size * s.in * (s.out / threads)
					return hot(bytes, reading(bytes))(threads)
				},
				boundName: "read bandwidth",
			})
		}
	}
	add("f32", "f32", vectorISA(), 4, func(w []float32, in, out int) func() {
		m, x, y := kernel.PackMatVec(w, in, out), floats(in), make([]float32, out)
		return func() { m.Mul(y, x, nil) }
	})
	add("exact", "f32", vectorISA(), 4, func(w []float32, in, out int) func() {
		m, x, y := kernel.PackMatVec(w, in, out), floats(in), make([]float32, out)
		return func() { m.MulExact(1, y, x, nil) }
	})
	add("bf16", "bf16", vectorISA(), 2, func(w []float32, in, out int) func() {
		m, x, y := kernel.PackMatVecBF16(w, in, out), floats(in), make([]float32, out)
		return func() { m.Mul(y, x, nil) }
	})
	add("int8", "int8", int8ISA(), 1, func(w []float32, in, out int) func() {
		m, x, y := kernel.PackMatVecInt8(w, in, out), floats(in), make([]float32, out)
		q, scale := make([]uint8, in), kernel.QuantiseScale(x)
		kernel.QuantiseInt8(q, x, scale)
		return func() { m.Mul(y, q, scale, nil) }
	})
	return all
}

// int8ISA names the instructions with which the active setting multiplies int8.
func int8ISA() string {
	switch s := kernel.Active(); {
	case s.Ext.VNNI:
		return "avx512-vnni"
	case s.Tier == kernel.AVX512: // multiplying in 16 bits needs no more
		return kernel.AVX2.String()
	}
	return vectorISA()
}

// reading reads as many bytes, and does nothing with them.
func reading(bytes int) func() func() {
	return func() func() {
		buf := make([]byte, bytes)
		for i := range buf {
			buf[i] = 1 // memory of its own: untouched pages may all be the same one
		}
		return func() { peak.Read(buf) }
	}
}
