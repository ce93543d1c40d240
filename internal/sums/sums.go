// Package sums adds up over many rows on several cores, with results that do not depend on their number: rows are divided
// into segments by how many they are, each segment has a partial sum of its own, and the partial sums are added in order.
package sums

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// Division is how a sum over rows, of products with columns outputs each, is divided into Items.
type Division struct {
	Rows, Columns int
	Segments      int // at least 1
	SegmentRows   int // of each segment but the last
	ColumnBlock   int // columns of an item
}

// The rows of a segment: enough for what a segment costs, its partial sum, to be little beside its work; and the most
// segments that there are, which bounds the memory for partial sums. Where there are but few, columns are divided too, into
// whole panels.
const (
	leastRows    = 2048
	mostSegments = 16
	rowUnit      = 128 // rows in a block of the weight-gradient kernels
	fewItems     = 4
	panel        = 32
)

// Divide divides sums over rows of columns.
func Divide(rows, columns int) Division {
	d := Division{Rows: rows, Columns: columns}
	d.SegmentRows = roundUp(max(leastRows, parallel.Blocks(rows, mostSegments)), rowUnit)
	d.Segments = max(1, parallel.Blocks(rows, d.SegmentRows))
	d.ColumnBlock = max(panel, roundUp(parallel.Blocks(columns, parallel.Blocks(fewItems, d.Segments)), panel))
	return d
}

func roundUp(n, unit int) int { return parallel.Blocks(n, unit) * unit }

// Items is the number of items.
func (d Division) Items() int { return d.Segments * parallel.Blocks(d.Columns, d.ColumnBlock) }

// Item returns the segment of an item, its rows [from, to) and its columns [first, end).
func (d Division) Item(item int) (segment, from, to, first, end int) {
	segment = item % d.Segments
	from, to = parallel.Block(segment, d.Rows, d.SegmentRows)
	first, end = parallel.Block(item/d.Segments, d.Columns, d.ColumnBlock)
	return segment, from, to, first, end
}

// Part returns where columns [first, end) of a segment are to be added, rows of Columns numbers: for the first segment sum
// itself, for the others their place in parts, one after the other, of which it clears those columns.
func (d Division) Part(sum, parts []float32, segment, first, end int) []float32 {
	if segment == 0 {
		return sum
	}
	part := parts[(segment-1)*len(sum) : segment*len(sum)]
	for row := 0; row < len(part); row += d.Columns {
		clear(part[row+first : row+end])
	}
	return part
}

// Add adds partial sums of len(dst) each, which lie one after the other in parts, to dst in their order.
func Add(dst, parts []float32) {
	if len(dst) == 0 {
		return
	}
	if len(parts)%len(dst) != 0 {
		panic(fmt.Sprintf("sums.Add: %d elements of partial sums of %d", len(parts), len(dst)))
	}
	parallel.RunCopy(&additions, parallel.Blocks(len(dst), additionBlock), addition{dst, parts})
}

// additionBlock is the number of elements that an item adds up.
const additionBlock = 1 << 13

type addition struct{ dst, parts []float32 }

var additions parallel.Pool[addition]

func (t *addition) Run(item int) {
	from, to := parallel.Block(item, len(t.dst), additionBlock)
	for at := 0; at < len(t.parts); at += len(t.dst) {
		kernel.Add(t.dst[from:to], t.parts[at+from:at+to])
	}
}

// Columns sets sums to the sums of the columns of x [rows, len(sums)], whose rows begin stride apart. A block of rows is
// summed before it is added: sums over a long recording in one go would lose digits.
func Columns(sums, x []float32, stride, rows int) {
	const columns, block = 64, 256
	clear(sums)
	for from := 0; from < len(sums); from += columns {
		to := min(from+columns, len(sums))
		for first := 0; first < rows; first += block {
			var part [columns]float32
			kernel.ColumnSums(part[:to-from], x[first*stride+from:], stride, min(block, rows-first), to-from)
			kernel.Add(sums[from:to], part[:to-from])
		}
	}
}
