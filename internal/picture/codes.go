package picture

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
)

// Codes are the units that a sound was turned into.
type Codes struct {
	Units []int32 // the first begins with the recording, at time 0
	Rate  float64 // units a second, more than 0
}

// draw fills r, whose edges are at the times from and to in seconds, with a cell for each unit, and writes its number on it,
// once for a run of the same, flat or upward, where there is room. A notch marks where a unit is repeated. Where several
// units fall on a pixel, it shows the most frequent one.
func (s *Codes) draw(c *canvas, r image.Rectangle, from, to float64) {
	if !(s.Rate > 0) {
		panic(fmt.Sprintf("picture: %v units a second", s.Rate))
	}
	perPixel := (to - from) * s.Rate / float64(r.Dx()) // units
	begin := from * s.Rate
	// unit is the one at a place, pixel the first whose middle is inside a unit, or an edge.
	unit := func(place float64) int { return int(min(place, float64(len(s.Units)))) }
	pixel := func(unit int) int {
		return r.Min.X + int(min(max(math.Ceil((float64(unit)-begin)/perPixel-0.5), 0), float64(r.Dx())))
	}
	var sorted []int32
	for x := range r.Dx() {
		i := unit(begin + perPixel*(float64(x)+0.5))
		j := min(i+1, len(s.Units))
		if perPixel > 1 {
			i, j = unit(begin+perPixel*float64(x)), unit(begin+perPixel*float64(x+1))
		}
		if i < j {
			sorted = append(sorted[:0], s.Units[i:j]...)
			c.fill(image.Rect(r.Min.X+x, r.Min.Y, r.Min.X+x+1, r.Max.Y), UnitColour(mostFrequent(sorted)))
		}
	}
	last := unit(math.Ceil(to * s.Rate))
	for i := unit(begin); i < last; {
		end := i + 1
		for end < last && s.Units[end] == s.Units[i] {
			end++
		}
		left, right, colour := pixel(i), pixel(end), onUnit(s.Units[i])
		if right-left >= c.cap+3 {
			label, x, y := strconv.Itoa(int(s.Units[i])), (left+right)/2, (r.Min.Y+r.Max.Y)/2
			if length := c.width(label); length+4 <= right-left {
				c.text(label, x, y, 0.5, colour)
			} else if length+8 <= r.Dy() {
				c.upward(label, x, y, colour)
			}
		}
		if perPixel <= 1.0/5 {
			for k := i + 1; k < end; k++ {
				c.fill(image.Rect(pixel(k), r.Max.Y-4, pixel(k)+1, r.Max.Y), colour)
			}
		}
		i = end
	}
}

// mostFrequent returns the unit that occurs most often, the smallest of several, and sorts units.
func mostFrequent(units []int32) int32 {
	slices.Sort(units)
	best, longest := units[0], 0
	for i := 0; i < len(units); {
		j := i
		for j < len(units) && units[j] == units[i] {
			j++
		}
		if j-i > longest {
			best, longest = units[i], j-i
		}
		i = j
	}
	return best
}
