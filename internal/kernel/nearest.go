package kernel

import "math"

//go:generate go run -C generate ./nearest -out ../nearest_amd64.s

const (
	nearestPanel = 32 // entries side by side in a packed codebook
	nearestRows  = 4  // rows that one call of assembly compares with a stretch of the codebook
	nearestBlock = 64 // rows that go through the codebook together
)

// Codebook is a table of Entries vectors of Dim numbers, packed for Nearest: panels of 32 entries, each [Dim, 32], the
// last one filled up with entries of +Inf, which are never nearest. It is the same for all tiers.
type Codebook struct {
	Entries, Dim int
	data         []float32
}

// CodebookLen is the number of floats that PackCodebook needs for a table [entries, dim].
func CodebookLen(entries, dim int) int { return roundUp(entries, nearestPanel) * dim }

// PackCodebook packs table [entries, dim] into dst, which has CodebookLen(entries, dim) floats. It is done anew whenever
// the table has changed.
func PackCodebook(dst, table []float32, entries, dim int) Codebook {
	checkLen("PackCodebook: table", len(table), entries*dim)
	checkLen("PackCodebook: dst", len(dst), CodebookLen(entries, dim))
	inf := float32(math.Inf(1))
	for base := 0; base < entries; base += nearestPanel {
		panel := dst[base*dim:][:nearestPanel*dim]
		for j := range nearestPanel {
			if base+j < entries {
				for d, v := range table[(base+j)*dim:][:dim] {
					panel[d*nearestPanel+j] = v
				}
			} else {
				for d := range dim {
					panel[d*nearestPanel+j] = inf
				}
			}
		}
	}
	return Codebook{Entries: entries, Dim: dim, data: dst}
}

// Nearest finds for each row of z [rows, Dim] the codebook entry at the least squared distance:
//
//	for r in [0, rows):
//	    codes[r] = the k in [0, Entries) with the least
//	        distance(r, k) = sum over d in [0, Dim) of (e[k][d] - z[r*stride+d])^2
//	    distances[r] = that distance
//
// Of several least ones the lowest k is taken. An entry at a distance of NaN or +Inf is never nearest; a row without a
// nearer one gets code 0 and the distance +Inf. Distances are sums of squared differences, in order of d, not expanded
// into norms and products: an entry equal to z is at distance 0 exactly. codes has rows elements, and so has distances
// unless it is nil.
func Nearest(codes []int32, distances []float32, z []float32, stride, rows int, book Codebook) {
	checkMatrix("Nearest: z", len(z), stride, rows, book.Dim)
	checkLen("Nearest: codes", len(codes), rows)
	if distances != nil {
		checkLen("Nearest: distances", len(distances), rows)
	}
	dim := book.Dim
	panels := roundUp(book.Entries, nearestPanel) / nearestPanel
	// Panels that one call goes through: 64 Ki floats stay in the second-level cache while a block of rows passes.
	step := max(1, (1<<16)/(nearestPanel*max(dim, 1)))
	var least [nearestBlock]float32
	for r0 := 0; r0 < rows; r0 += nearestBlock {
		n := min(nearestBlock, rows-r0)
		block := codes[r0 : r0+n]
		clear(block)
		for i := range least {
			least[i] = float32(math.Inf(1))
		}
		for p := 0; p < panels; p += step {
			count := min(step, panels-p)
			entries := book.data[p*nearestPanel*dim:][:count*nearestPanel*dim]
			if dim == 0 {
				clear(least[:n])
				break
			}
			for i := 0; i < n; i += nearestRows {
				tile := min(nearestRows, n-i)
				var found nearestTile
				nearest(&found, z[(r0+i)*stride:], stride, tile, entries, dim)
				for j := range tile {
					if found.distances[j] < least[i+j] {
						least[i+j] = found.distances[j]
						block[i+j] = int32(p*nearestPanel) + found.codes[j]
					}
				}
			}
		}
		if distances != nil {
			copy(distances[r0:r0+n], least[:n])
		}
	}
}

// nearestTile is what a call finds for its rows: codes counted from the first entry given to it.
type nearestTile struct {
	codes     [nearestRows]int32
	distances [nearestRows]float32
}

func nearestGeneric(found *nearestTile, z []float32, stride, rows int, entries []float32, dim int) {
	for r := range rows {
		row := z[r*stride:][:dim]
		found.codes[r], found.distances[r] = 0, float32(math.Inf(1))
		for base := 0; base*dim < len(entries); base += nearestPanel {
			panel := entries[base*dim:][:nearestPanel*dim]
			var sums [nearestPanel]float32
			for _, v := range row {
				for j, e := range panel[:nearestPanel] {
					difference := e - v
					sums[j] += difference * difference
				}
				panel = panel[nearestPanel:]
			}
			for j, s := range sums {
				if s < found.distances[r] {
					found.codes[r], found.distances[r] = int32(base+j), s
				}
			}
		}
	}
}
