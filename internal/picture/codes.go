package picture

import (
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
	perPixel := (to - from) * s.Rate / float64(r.Dx()) // units
	begin := from * s.Rate
	pixel := func(unit int) int { // the first pixel whose middle is inside it, or an edge
		return r.Min.X + int(min(max(math.Ceil((float64(unit)-begin)/perPixel-0.5), 0), float64(r.Dx())))
	}
	var sorted []int32
	for x := range r.Dx() {
		i := int(begin + perPixel*(float64(x)+0.5))
		j := i + 1
		if perPixel > 1 {
			i, j = int(begin+perPixel*float64(x)), int(begin+perPixel*float64(x+1))
		}
		if j = min(j, len(s.Units)); i < j {
			sorted = append(sorted[:0], s.Units[i:j]...)
			c.fill(image.Rect(r.Min.X+x, r.Min.Y, r.Min.X+x+1, r.Max.Y), UnitColour(mostFrequent(sorted)))
		}
	}
	first := min(int(begin), len(s.Units))
	last := min(int(math.Ceil(to*s.Rate)), len(s.Units))
	for i := first; i < last; {
		end := i + 1
		for end < last && s.Units[end] == s.Units[i] {
			end++
		}
		unit, left, right := s.Units[i], pixel(i), pixel(end)
		label := strconv.Itoa(int(unit))
		x, y := (left+right)/2, (r.Min.Y+r.Max.Y)/2
		switch length := c.width(label); {
		case length+4 <= right-left:
			c.text(label, x, y, 0.5, onUnit(unit))
		case c.cap+3 <= right-left && length+8 <= r.Dy():
			c.upward(label, x, y, onUnit(unit))
		}
		if perPixel <= 1.0/5 {
			for k := i + 1; k < end; k++ {
				c.fill(image.Rect(pixel(k), r.Max.Y-4, pixel(k)+1, r.Max.Y), onUnit(unit))
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
