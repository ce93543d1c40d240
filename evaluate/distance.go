package evaluate

// editDistance is the least number of insertions, deletions and substitutions that turn a into b (Levenshtein).
func editDistance(a, b []int32) int {
	row := make([]int, len(b)+1) // of the distances from the first i of a to the first j of b
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diagonal := row[0] // of the row before
		row[0] = i + 1
		for j, y := range b {
			d := min(row[j], row[j+1]) + 1
			if x == y {
				d = min(d, diagonal)
			} else {
				d = min(d, diagonal+1)
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// runs returns the units with runs of one taken together: 3 3 1 1 1 3 are 3 1 3.
func runs(units []int32) []int32 {
	var r []int32
	for i, u := range units {
		if i == 0 || u != units[i-1] {
			r = append(r, u)
		}
	}
	return r
}

// UnitErrors say how far units are from those that they should be.
type UnitErrors struct {
	Rate         float64 `json:"unit_error_rate"`         // edit distance over the number of units that there should be
	Deduplicated float64 `json:"deduplicated_error_rate"` // the same, with runs of one unit taken together in both
	Equal        float64 `json:"equal_frames"`            // share of the frames with the unit that they should have
}

// unitCount adds up the errors of utterances.
type unitCount struct{ edits, units, runEdits, runs, equal int }

func (c *unitCount) add(want, got []int32) {
	c.edits += editDistance(want, got)
	c.units += len(want)
	w := runs(want)
	c.runEdits += editDistance(w, runs(got))
	c.runs += len(w)
	for i, u := range want {
		if i < len(got) && got[i] == u {
			c.equal++
		}
	}
}

func (c *unitCount) errors() UnitErrors {
	n := float64(max(1, c.units))
	return UnitErrors{float64(c.edits) / n, float64(c.runEdits) / float64(max(1, c.runs)), float64(c.equal) / n}
}

// sum adds the errors of d.
func (c *unitCount) sum(d unitCount) {
	c.edits += d.edits
	c.units += d.units
	c.runEdits += d.runEdits
	c.runs += d.runs
	c.equal += d.equal
}
