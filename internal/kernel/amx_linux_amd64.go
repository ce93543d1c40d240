//go:build !noasm

package kernel

import "syscall"

// requestAMX asks Linux for the tile registers (arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): a process may not
// touch them before. The permission holds for every thread. Older kernels answer with an error.
func requestAMX() bool {
	const sysArchPrctl, reqXcompPerm, xtileData = 158, 0x1023, 18
	_, _, errno := syscall.RawSyscall(sysArchPrctl, reqXcompPerm, xtileData, 0)
	return errno == 0
}
