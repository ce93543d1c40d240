//go:build !noasm

package kernel

import "unsafe"

// nearestNEON compares two rows with panels of 32 entries (at least one) of dim numbers (at least one).
//
//go:noescape
func nearestNEON(codes *int32, distances *float32, z0, z1, entries *float32, panels, dim int)

func nearest(found *nearestTile, z []float32, stride, rows int, entries []float32, dim int) {
	if active.Tier == Generic {
		nearestGeneric(found, z, stride, rows, entries, dim)
		return
	}
	panels, e := len(entries)/(nearestPanel*dim), unsafe.SliceData(entries)
	for i := 0; i < rows; i += 2 {
		// The last row is repeated for one that is missing.
		z0, z1 := &z[i*stride], &z[min(i+1, rows-1)*stride]
		nearestNEON(&found.codes[i], &found.distances[i], z0, z1, e, panels, dim)
	}
}
