package audio

// The decoding tables of ITU-T G.711, for samples of 8 bits: [aLawTable] for A-law, [muLawTable] for mu-law.
//
// Both laws are a sign, three bits of segment and four bits of step, sent inverted: all bits in mu-law, every second one in
// A-law. The segments double in width, and a sample is the middle of its step. G.711 counts A-law in 13 bits and mu-law in
// 14; as usual both are put at the top of 16 bits, so that the largest are 32256 and 32124 of 32768.
var aLawTable, muLawTable = g711Tables()

func g711Tables() (aLaw, muLaw [256]float64) {
	for code := range 256 {
		a := code ^ 0x55
		segment, step := a>>4&7, a&15
		x := step<<4 + 8
		if segment > 0 {
			x = (x + 0x100) << (segment - 1)
		}
		if a&0x80 == 0 {
			x = -x
		}
		aLaw[code] = float64(x) / (1 << 15)

		u := ^code & 0xff
		segment, step = u>>4&7, u&15
		x = (step<<3+0x84)<<segment - 0x84
		if u&0x80 != 0 {
			x = -x
		}
		muLaw[code] = float64(x) / (1 << 15)
	}
	return aLaw, muLaw
}
