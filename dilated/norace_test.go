//go:build !race

package dilated

const raceEnabled = false
