package picture

import (
	"errors"
	"testing"
)

func TestMatrix(t *testing.T) {
	m := Matrix{Rows: []string{"SIL", "AA"}, Of: []int32{0, 0, 1}, RowName: "phone", ColumnName: "code", ValueName: "p",
		Values: [][]float64{{1, 0.5, 0.25}, {0, 0.5, 0.75}}}
	img, err := m.Draw(Options{Width: 476, Height: 512, Title: "codes"}) // a matrix of 300 x 400 pixels
	if err != nil {
		t.Fatal(err)
	}
	for y, row := range m.Values {
		for x, v := range row {
			for _, at := range [][2]int{{84 + 100*x, 36 + 200*y}, {84 + 100*x + 99, 36 + 200*y + 199}} {
				if got, want := img.RGBAAt(at[0], at[1]), heat[int(255*v+0.5)]; got != want {
					t.Errorf("row %d, column %d at %v: %v, want %v", y, x, at, got, want)
				}
			}
		}
	}
	var size *SizeError
	if _, err := m.Draw(Options{Width: 10, Height: 10}); !errors.As(err, &size) {
		t.Errorf("too small: %v", err)
	}
}

// TestMatrixMean draws more cells than pixels.
func TestMatrixMean(t *testing.T) {
	const columns, rows = 600, 800 // on 300 x 400 pixels
	m := Matrix{Rows: make([]string, rows), Of: make([]int32, columns)}
	for y := range rows {
		row := make([]float64, columns)
		for x := range row {
			row[x] = float64((x + y) % 2) // a mean of a half on every pixel
		}
		m.Values = append(m.Values, row)
	}
	img, err := m.Draw(Options{Width: 476, Height: 512})
	if err != nil {
		t.Fatal(err)
	}
	for y := range 400 {
		for x := range 300 {
			if got := img.RGBAAt(84+x, 36+y); got != heat[128] {
				t.Fatalf("at %d, %d: %v, want %v", x, y, got, heat[128])
			}
		}
	}
}
