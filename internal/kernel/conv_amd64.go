//go:build !noasm

package kernel

func panelWidth() int { return genericPanel }

func convForward(c *Conv) { convForwardGeneric(c) }

func convWeightGradient(g *ConvGradient) { convWeightGradientGeneric(g) }

func convForwardBF16(c *ConvBF16) { convForwardBF16Generic(c) }

func convWeightGradientBF16(g *ConvGradientBF16) { convWeightGradientBF16Generic(g) }
