// Package kernel holds the arithmetic that the rest of vqaudio spends its time in: float32 and bfloat16 convolution
// tiles, their gradients, gates, softmax, nearest codebook entry, optimiser updates and the matrix-vector products of the
// samplers.
//
// Every kernel exists as a plain Go loop (the generic tier, which also is its documentation) and, where the machine
// allows, as generated assembly. The tier is chosen once at start and can be overridden with the environment variable
// VQAUDIO_TIER, see [ParseTier]. Beside each kernel lives a float64 loop in internal/kernel/reference against which every
// tier is tested.
//
// Matrices are row-major with channels last; a stride is the distance between the starts of two successive rows, in
// elements. A wrong length or shape panics with both sizes in the message; nothing else panics.
package kernel

import (
	"fmt"
	"os"
	"strings"
)

// Tier is a family of instructions that kernels are written for.
type Tier int

// The tiers, slowest first. NEON is the one assembly tier of arm64; the AVX tiers are those of amd64.
const (
	Generic Tier = iota // plain Go, everywhere
	NEON                // arm64
	AVX2                // amd64 with AVX2 and FMA
	AVX512              // amd64 with AVX-512 F, BW, VL and DQ; see Extensions
)

var tierNames = [...]string{"generic", "neon", "avx2", "avx512"}

func (t Tier) String() string { return tierNames[t] }

// Extensions of the AVX-512 tier. Kernels that profit from one have a path with and a path without it.
type Extensions struct {
	BF16 bool // VDPBF16PS: pairs of bfloat16 products
	VNNI bool // VPDPBUSD: groups of four int8 products
	AMX  bool // TDPBF16PS on 16 x 64 byte tiles; Linux grants it on request
}

// Setting is a tier together with the extensions in use.
type Setting struct {
	Tier Tier
	Ext  Extensions
}

// String returns the form that ParseTier reads: "avx512", "avx512,noamx", "avx2".
func (s Setting) String() string {
	out := s.Tier.String()
	if s.Tier != AVX512 {
		return out
	}
	for _, e := range s.Ext.named() {
		if *e.has != *e.hasHere {
			out += ",no" + e.name
		}
	}
	return out
}

// FastBF16 reports whether sums of products of bfloat16 are faster than those of float32: in tiles (AMX), or where VDPBF16PS,
// which multiplies twice as many, takes no longer than a multiply-add.
func (s Setting) FastBF16() bool { return s.Ext.AMX || s.Ext.BF16 && quickVDPBF16PS }

type namedExtension struct {
	name         string
	has, hasHere *bool // in this setting; on this machine
}

func (e *Extensions) named() []namedExtension {
	return []namedExtension{
		{"bf16", &e.BF16, &machine.Ext.BF16},
		{"vnni", &e.VNNI, &machine.Ext.VNNI},
		{"amx", &e.AMX, &machine.Ext.AMX},
	}
}

var (
	machine = detect() // the best this machine has
	active  = initial()
)

func initial() Setting {
	v := os.Getenv("VQAUDIO_TIER")
	if v == "" {
		return machine
	}
	s, err := ParseTier(v)
	if err != nil {
		fmt.Fprintf(os.Stderr, "VQAUDIO_TIER: %v; going on with %v\n", err, machine)
		return machine
	}
	return s
}

// Best returns the fastest setting of this machine.
func Best() Setting { return machine }

// Active returns the setting in use.
func Active() Setting { return active }

// Use switches to s and returns the setting used before. It is for start-up, tests and benchmarks: nothing may compute
// meanwhile. Packed weights belong to the setting under which they were packed.
func Use(s Setting) Setting {
	before := active
	active = s
	return before
}

// Available returns every setting that this machine runs, slowest first; tests loop over it. Extensions are listed with
// and without, so that each path of the AVX-512 tier has its turn.
func Available() []Setting {
	all := []Setting{{Tier: Generic}}
	switch machine.Tier {
	case NEON:
		all = append(all, Setting{Tier: NEON})
	case AVX2:
		all = append(all, Setting{Tier: AVX2})
	case AVX512:
		all = append(all, Setting{Tier: AVX2}, Setting{Tier: AVX512})
		e := machine.Ext
		if e.AMX && (e.BF16 || e.VNNI) {
			all = append(all, Setting{Tier: AVX512, Ext: Extensions{BF16: e.BF16, VNNI: e.VNNI}})
		}
		if e != (Extensions{}) {
			all = append(all, machine)
		}
	}
	return all
}

// ParseTier reads "generic", "neon", "avx2" or "avx512", the last optionally followed by ",nobf16", ",novnni" or ",noamx"
// to leave an extension of the machine unused. A tier that this machine lacks is an error.
func ParseTier(text string) (Setting, error) {
	name, rest, _ := strings.Cut(text, ",")
	var s Setting
	found := false
	for _, a := range Available() {
		if a.Tier.String() == name {
			s, found = a, true // the last one has every extension
		}
	}
	if !found {
		var names []string
		for _, a := range Available() {
			if n := a.Tier.String(); len(names) == 0 || names[len(names)-1] != n {
				names = append(names, n)
			}
		}
		return Setting{}, fmt.Errorf("tier %q is not one that this machine runs: %s", text, strings.Join(names, ", "))
	}
	for rest != "" {
		var word string
		word, rest, _ = strings.Cut(rest, ",")
		known := false
		for _, e := range s.Ext.named() {
			if word == "no"+e.name && s.Tier == AVX512 {
				*e.has, known = false, true
			}
		}
		if !known {
			return Setting{}, fmt.Errorf("tier %q: %q is not one of nobf16, novnni, noamx (after avx512)", text, word)
		}
	}
	return s, nil
}
