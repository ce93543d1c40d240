//go:build !noasm && !linux

package kernel

// requestAMX: only Linux has a way of asking that is known to be safe with Go's signal stacks.
func requestAMX() bool { return false }
