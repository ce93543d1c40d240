package main

import "github.com/vqaudio/vqaudio/internal/kernel/generate/neon"

// neonText writes the kernel for NEON: two rows, as for AVX2.
func neonText() []byte {
	const (
		rCodes, rDistances, rZ, rEntries, rPanels, rDim = 0, 1, 2, 4, 5, 6 // two of rZ
		rRow, rCount, rScratch                          = 7, 9, 10         // two of rRow
		// Sums of row r are V(8*r) on; pairs of registers for the two rows.
		vZ, vEntry, vT, vLeast, vCode, vNumber, vFour = 16, 18, 22, 24, 26, 28, 29
		vectors                                       = panel / 4
	)
	p := neon.New("nearest")
	p.Func("nearestNEON(codes *int32, distances *float32, z0, z1, entries *float32, panels, dim int)", 56)
	for i, name := range []string{"codes", "distances", "z0", "z1", "entries", "panels", "dim"} {
		p.Argument(name, 8*i, rCodes+i)
	}
	p.SplatBits(0x7f800000, vLeast, rScratch)
	p.Go("VDUP R%d, V%d.S4", rScratch, vLeast+1)
	p.Zero(vCode, 2)
	p.Go("MOVD $0x0000000100000000, R%d", rScratch) // 0, 1, 2, 3
	p.Go("VMOV R%d, V%d.D[0]", rScratch, vNumber)
	p.Go("MOVD $0x0000000300000002, R%d", rScratch)
	p.Go("VMOV R%d, V%d.D[1]", rScratch, vNumber)
	p.SplatBits(4, vFour, rScratch)

	p.Label("panel")
	p.Zero(0, 2*vectors)
	for r := range 2 {
		p.Go("MOVD R%d, R%d", rZ+r, rRow+r)
	}
	p.Go("MOVD R%d, R%d", rDim, rCount)
	p.Label("dim")
	for r := range 2 {
		p.Splat(rRow+r, vZ+r)
	}
	for i := range vectors {
		if i%4 == 0 {
			p.Load(rEntries, vEntry, 4)
		}
		for r := range 2 {
			p.Three("fsub", vT+r, vEntry+i%4, vZ+r)
			p.Three("fmla", vectors*r+i, vT+r, vT+r)
		}
	}
	p.Go("SUBS $1, R%d", rCount)
	p.Go("BNE dim")
	for i := range vectors {
		for r := range 2 {
			p.Three("fcmgt", vT, vLeast+r, vectors*r+i)
			p.Three("bit", vLeast+r, vectors*r+i, vT)
			p.Three("bit", vCode+r, vNumber, vT)
		}
		p.Go("VADD V%d.S4, V%d.S4, V%d.S4", vFour, vNumber, vNumber)
	}
	p.Go("SUBS $1, R%d", rPanels)
	p.Go("BNE panel")

	for r := range 2 {
		p.Two("fminv", vT, vLeast+r)
		p.Go("VMOV V%d.S[0], R%d", vT, rScratch)
		p.Go("MOVW R%d, %d(R%d)", rScratch, 4*r, rDistances)
		p.Go("VDUP R%d, V%d.S4", rScratch, vT)
		// The number where the sum is the least, the largest integer elsewhere.
		p.Three("fcmeq", vT, vT, vLeast+r)
		p.Three("orn", vT, vCode+r, vT)
		p.Two("uminv", vT, vT)
		p.Go("VMOV V%d.S[0], R%d", vT, rScratch)
		p.Go("MOVW R%d, %d(R%d)", rScratch, 4*r, rCodes)
	}
	p.Go("RET")
	return p.Bytes()
}
