//go:build !noasm

package kernel

import "unsafe"

// Both compare their rows with panels of 32 entries (at least one) of dim numbers (at least one).

//go:noescape
func nearestAVX512(codes *int32, distances *float32, z0, z1, z2, z3, entries *float32, panels, dim int)

//go:noescape
func nearestAVX2(codes *int32, distances *float32, z0, z1, entries *float32, panels, dim int)

func nearest(found *nearestTile, z []float32, stride, rows int, entries []float32, dim int) {
	if active.Tier == Generic {
		nearestGeneric(found, z, stride, rows, entries, dim)
		return
	}
	panels := len(entries) / (nearestPanel * dim)
	// A tile always has four rows: the last one is repeated for those that are missing.
	row := func(i int) *float32 { return &z[min(i, rows-1)*stride] }
	e := unsafe.SliceData(entries)
	if active.Tier == AVX512 {
		nearestAVX512(&found.codes[0], &found.distances[0], row(0), row(1), row(2), row(3), e, panels, dim)
		return
	}
	nearestAVX2(&found.codes[0], &found.distances[0], row(0), row(1), e, panels, dim)
	if rows > 2 {
		nearestAVX2(&found.codes[2], &found.distances[2], row(2), row(3), e, panels, dim)
	}
}
