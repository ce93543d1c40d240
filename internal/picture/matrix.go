package picture

import (
	"fmt"
	"image"
)

// Matrix is a table of numbers from 0 to 1, to be drawn in colours.
type Matrix struct {
	Rows   []string    // their names, from the top down; at least one
	Of     []int32     // for each column, at least one, the row that it belongs to: neighbours of one row are marked and named
	Values [][]float64 // [rows][columns]

	RowName, ColumnName, ValueName string // what the axes and the scale are called
}

// Draw returns the picture. Where several columns or rows fall on a pixel, it shows their mean. The error is that of
// [Options.Check].
func (m *Matrix) Draw(o Options) (*image.RGBA, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	rows, columns := len(m.Rows), len(m.Of)
	if rows < 1 || columns < 1 || len(m.Values) != rows {
		panic(fmt.Sprintf("picture: %d rows of values for %d rows and %d columns", len(m.Values), rows, columns))
	}
	c := newCanvas(o.Width, o.Height)
	r := image.Rect(84, 36, o.Width-92, o.Height-76)
	c.text(c.shorten(o.Title, r.Dx()), r.Min.X, 18, 0, ink)

	for y := range r.Dy() {
		from, to := cells(y, r.Dy(), rows)
		for x := range r.Dx() {
			left, right := cells(x, r.Dx(), columns)
			sum := 0.0
			for _, row := range m.Values[from:to] {
				for _, v := range row[left:right] {
					sum += v
				}
			}
			c.SetRGBA(r.Min.X+x, r.Min.Y+y, heat[share(sum/float64((to-from)*(right-left)))])
		}
	}
	c.frame(r, ink)

	// names of the rows, as many as there is room for
	apart := max(1, ((c.cap+4)*rows+r.Dy()-1)/r.Dy())
	for i := 0; i < rows; i += apart {
		c.text(c.shorten(m.Rows[i], r.Min.X-40), r.Min.X-6, r.Min.Y+(2*i+1)*r.Dy()/(2*rows), 1, ink)
	}
	c.upward(m.RowName, 18, (r.Min.Y+r.Max.Y)/2, ink)

	// and of the rows that columns belong to
	for i := 0; i < columns; {
		j := i
		for j < columns && m.Of[j] == m.Of[i] {
			j++
		}
		left, right := r.Min.X+i*r.Dx()/columns, r.Min.X+j*r.Dx()/columns
		c.fill(image.Rect(left, r.Max.Y, left+1, r.Max.Y+6), ink)
		name, y := c.shorten(m.Rows[m.Of[i]], 36), r.Max.Y+26
		if c.width(name)+4 <= right-left {
			c.text(name, (left+right)/2, y, 0.5, ink)
		} else if right-left >= c.cap+4 {
			c.upward(name, (left+right)/2, y, ink)
		}
		i = j
	}
	c.text(m.ColumnName, (r.Min.X+r.Max.X)/2, r.Max.Y+60, 0.5, ink)

	// scale
	scale := image.Rect(r.Max.X+14, r.Min.Y, r.Max.X+28, r.Max.Y)
	for y := range scale.Dy() {
		v := 1 - (float64(y)+0.5)/float64(scale.Dy())
		c.fill(image.Rect(scale.Min.X, scale.Min.Y+y, scale.Max.X, scale.Min.Y+y+1), heat[share(v)])
	}
	c.frame(scale, ink)
	for _, t := range ticks(0, 1, 5) {
		y := scale.Max.Y - 1 - int(t.at*float64(scale.Dy()-1)+0.5)
		c.fill(image.Rect(scale.Max.X+1, y, scale.Max.X+5, y+1), ink)
		c.text(t.label, scale.Max.X+8, y, 0, ink)
	}
	c.upward(m.ValueName, o.Width-12, (r.Min.Y+r.Max.Y)/2, ink)
	return c.RGBA, nil
}

// cells returns which of n cells a pixel out of so many shows: at least one.
func cells(pixel, pixels, n int) (from, to int) {
	from, to = pixel*n/pixels, (pixel+1)*n/pixels
	return from, max(to, from+1)
}

// share is the index in heat of a number from 0 to 1.
func share(v float64) int { return int(min(max(v, 0), 1)*float64(len(heat)-1) + 0.5) }
