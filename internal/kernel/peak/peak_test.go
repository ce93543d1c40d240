package peak

import (
	"fmt"
	"testing"
)

// Every kind runs to its end, and counts what it ran.
func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		one := k.Run(1)
		if one <= 0 {
			t.Errorf("%s on %s: %v operations in an iteration", k.Name, k.ISA, one)
		}
		for _, n := range []int{-1, 0, 1, 7, 2048, 2049, 10000} {
			if got, want := k.Run(n), float64(max(n, 0))*one; got != want {
				t.Errorf("%s on %s: %v operations in %d iterations, want %v", k.Name, k.ISA, got, n, want)
			}
		}
	}
}

func TestRead(t *testing.T) {
	buf := make([]byte, 1<<18+700)
	for _, n := range []int{0, 1, 511, 512, 513, 1 << 17, 1<<17 + 511, len(buf)} {
		Read(buf[:n])
		Read(buf[len(buf)-n:])
	}
}

func BenchmarkKinds(b *testing.B) {
	for _, k := range Kinds() {
		b.Run(k.Name+"/"+k.ISA, func(b *testing.B) {
			operations := k.Run(b.N)
			b.ReportMetric(operations/float64(b.Elapsed().Nanoseconds()), "GOP/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, kib := range []int{16, 64, 128, 512, 1024, 4096, 65536} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			buf := make([]byte, kib<<10)
			for i := range buf {
				buf[i] = byte(i)
			}
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				Read(buf)
			}
		})
	}
}
