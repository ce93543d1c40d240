//go:build !noasm

package kernel

func nearest(found *nearestTile, z []float32, stride, rows int, entries []float32, dim int) {
	nearestGeneric(found, z, stride, rows, entries, dim)
}
