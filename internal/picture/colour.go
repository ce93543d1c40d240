package picture

import (
	"image/color"
	"math"
)

// Colours are made in OKLab (Björn Ottosson, "A perceptual color space for image processing", 2020), where equal steps look
// equally large: so no table is needed, and none had to be taken from elsewhere.

// oklch returns the sRGB colour of lightness (0 black, 1 white), chroma (0 grey, about 0.3 the most that a screen shows) and
// hue in degrees (30 red, 90 yellow, 145 green, 260 blue). What a screen cannot show loses chroma until it can.
func oklch(lightness, chroma, hue float64) color.RGBA {
	sin, cos := math.Sincos(hue * math.Pi / 180)
	for ; ; chroma *= 0.97 {
		r, g, b := linearRGB(lightness, chroma*cos, chroma*sin)
		low, high := min(r, g, b), max(r, g, b)
		if low >= 0 && high <= 1 || chroma < 1e-3 {
			return color.RGBA{channel(r), channel(g), channel(b), 255}
		}
	}
}

// linearRGB turns OKLab into linear sRGB.
func linearRGB(lightness, a, b float64) (red, green, blue float64) {
	l := lightness + 0.3963377774*a + 0.2158037573*b
	m := lightness - 0.1055613458*a - 0.0638541728*b
	s := lightness - 0.0894841775*a - 1.2914855480*b
	l, m, s = l*l*l, m*m*m, s*s*s
	return 4.0767416621*l - 3.3077115913*m + 0.2309699292*s,
		-1.2684380046*l + 2.6097574011*m - 0.3413193965*s,
		-0.0041960863*l - 0.7034186147*m + 1.7076147010*s
}

// channel applies the transfer curve of sRGB (IEC 61966-2-1) to a linear value.
func channel(v float64) uint8 {
	v = min(max(v, 0), 1)
	if v <= 0.0031308 {
		v *= 12.92
	} else {
		v = 1.055*math.Pow(v, 1/2.4) - 0.055
	}
	return uint8(255*v + 0.5)
}

// heat is the scale of levels, from the quietest to the loudest: lightness rises evenly from near black to near white, while
// the hue goes from violet through red to yellow, so that it reads in grey print and with every kind of colour vision too.
var heat = func() (scale [256]color.RGBA) {
	for i := range scale {
		t := float64(i) / float64(len(scale)-1)
		scale[i] = oklch(0.06+0.92*t, 0.20*math.Pow(math.Sin(math.Pi*t), 0.8), 285+175*t)
	}
	return scale
}()

// unitLook returns the hue in degrees and the lightness of a unit. They are the points of the R2 sequence (Martin Roberts,
// "The unreasonable effectiveness of quasirandom sequences", 2018), the first n of which keep well apart for every n.
func unitLook(unit int32) (hue, lightness float64) {
	const plastic = 1.32471795724474602596 // the real root of x^3 = x + 1
	fraction := func(x float64) float64 { return x - math.Floor(x) }
	return 360 * fraction(0.1+float64(unit)/plastic), 0.50 + 0.40*fraction(0.5+float64(unit)/(plastic*plastic))
}

// UnitColour returns the colour that stands for a unit in every picture.
func UnitColour(unit int32) color.RGBA {
	hue, lightness := unitLook(unit)
	return oklch(lightness, 0.15, hue)
}

// onUnit is the colour of text on that of a unit.
func onUnit(unit int32) color.RGBA {
	if _, lightness := unitLook(unit); lightness > 0.65 {
		return ink
	}
	return paper
}
