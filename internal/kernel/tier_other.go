//go:build noasm || (!amd64 && !arm64)

package kernel

func detect() Setting { return Setting{Tier: Generic} }

const quickVDPBF16PS = false
