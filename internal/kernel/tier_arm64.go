//go:build !noasm

package kernel

// detect: Advanced SIMD is part of every arm64 that Go runs on.
func detect() Setting { return Setting{Tier: NEON} }

const quickVDPBF16PS = false
