//go:build !noasm

package kernel

import (
	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/cpu"
)

// quickVDPBF16PS: on AMD's processors (Zen 4 and later) the instruction takes as long as a multiply-add, on Intel's four times as long.
var quickVDPBF16PS = cpuid.CPU.IsVendor(cpuid.AMD)

// detect tests whole conjunctions: a feature bit does not imply those below it (GODEBUG can clear any one of them).
func detect() Setting {
	x := &cpu.X86
	if !x.HasAVX || !x.HasAVX2 || !x.HasFMA {
		return Setting{Tier: Generic}
	}
	if !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512VL || !x.HasAVX512DQ {
		return Setting{Tier: AVX2}
	}
	s := Setting{Tier: AVX512}
	s.Ext.BF16 = x.HasAVX512BF16
	s.Ext.VNNI = x.HasAVX512VNNI
	s.Ext.AMX = x.HasAMXTile && x.HasAMXBF16 && requestAMX()
	return s
}
