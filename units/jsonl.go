package units

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// jsonUtterance is an utterance as it is in JSON. Pointers tell what is left out.
type jsonUtterance struct {
	Name      *string  `json:"name"`
	Rate      int      `json:"rate,omitempty"`
	Hop       int      `json:"hop,omitempty"`
	K         int      `json:"k,omitempty"`
	Model     string   `json:"model,omitempty"`
	Units     *[]int32 `json:"units,omitempty"`
	Durations []int32  `json:"durations,omitempty"`
}

// jsonParser reads lines of JSON. Keys that it does not know are errors, since what they hold would be lost.
type jsonParser struct{ *lines }

func (p *jsonParser) next() (*Utterance, error) {
	line, err := p.lines.next()
	for err == nil && len(bytes.TrimSpace(line)) == 0 {
		line, err = p.lines.next()
	}
	if err != nil {
		return nil, err
	}
	const expected = `{"name":"a","rate":16000,"hop":64,"k":512,"model":"d0c5","units":[12,7],"durations":[2,1]}`
	var j jsonUtterance
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, p.wrong(fmt.Sprintf("%.40s as %s", wrong.Value, wrong.Field), expected)
		}
		return nil, p.wrong(err.Error(), expected)
	}
	if rest := bytes.TrimSpace(line[d.InputOffset():]); len(rest) > 0 {
		return nil, p.wrong(text(rest)+" behind an object", "an object a line")
	}
	if j.Name == nil || j.Units == nil || *j.Units == nil {
		return nil, p.wrong("no name, or no units", expected)
	}
	u := &Utterance{Name: *j.Name, Info: Info{j.Rate, j.Hop, j.K, j.Model}}
	u.Units = *j.Units
	if j.Durations != nil {
		u.Durations = j.Durations
	}
	err = checkName(u.Name, JSONL)
	if err == nil {
		err = u.Info.check()
	}
	if err == nil {
		err = u.Sequence.check(u.Info)
	}
	if err != nil {
		return nil, p.wrong(err.Error(), expected)
	}
	u.Durations = plainDurations(u.Durations)
	return u, nil
}

// plainDurations returns nil if all durations are 1.
func plainDurations(durations []int32) []int32 {
	for _, d := range durations {
		if d != 1 {
			return durations
		}
	}
	return nil
}

// jsonWriter writes an object for each utterance. Durations come after the units, and so wait for their end: as text, once
// there is one that is not 1.
type jsonWriter struct {
	*output
	units     int // written of this utterance
	durations []byte
	plain     bool // all durations so far are 1
}

func (w *jsonWriter) begin(u *Utterance) {
	w.units, w.durations, w.plain = 0, w.durations[:0], true
	b, err := json.Marshal(jsonUtterance{Name: &u.Name, Rate: u.Rate, Hop: u.Hop, K: u.K, Model: u.Model})
	if err != nil {
		panic(err) // a name that has been checked
	}
	w.buffer = append(append(w.buffer, b[:len(b)-1]...), `,"units":[`...)
}

func (w *jsonWriter) add(s Sequence) {
	for i, unit := range s.Units {
		d := int32(1)
		if s.Durations != nil {
			d = s.Durations[i]
		}
		if w.plain && d != 1 {
			w.plain = false
			w.durations = appendOnes(w.durations, w.units)
		}
		if !w.plain {
			w.durations = strconv.AppendInt(comma(w.durations, w.units), int64(d), 10)
		}
		w.buffer = strconv.AppendInt(comma(w.buffer, w.units), int64(unit), 10)
		w.units++
		w.spill()
	}
}

func (w *jsonWriter) end() {
	w.buffer = append(w.buffer, `],"durations":[`...)
	if w.plain {
		w.buffer = appendOnes(w.buffer, w.units)
	}
	w.buffer = append(append(w.buffer, w.durations...), "]}\n"...)
}

// comma appends a comma in front of number i, unless it is the first.
func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// appendOnes appends n ones.
func appendOnes(b []byte, n int) []byte {
	for i := range n {
		b = append(comma(b, i), '1')
	}
	return b
}
