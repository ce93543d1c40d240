package reference

// ConvAxis is one axis of a convolution as the plain loops see it: output t reads input t*Stride - Before + k*Dilation
// with tap k. In and Out are the lengths of the axis.
type ConvAxis struct {
	In, Out                          int
	Kernel, Stride, Dilation, Before int
}

// at is the input that output t reads with tap k; ok says whether there is one.
func (a ConvAxis) at(t, k int) (i int, ok bool) {
	i = t*a.Stride - a.Before + k*a.Dilation
	return i, i >= 0 && i < a.In
}

// Conv2D is a convolution of images x [Batch, Height.In, Width.In, In] to y [Batch, Height.Out, Width.Out, Out] with
// weights w [Height.Kernel, Width.Kernel, In, Out]:
//
//	y[b, i, j, n] = bias[n] + sum over kh, kw, c of x[b, at(i, kh), at(j, kw), c] * w[kh, kw, c, n] * mask[kh, kw, c, n]
//
// where an x outside the image is zero. A nil bias is zeros, a nil mask ones. Sequences have Height 1.
type Conv2D struct {
	Batch, In, Out int
	Height, Width  ConvAxis
	Mask           []float64
}

// each calls f with the indices into x, w and y of every product of the convolution.
func (c *Conv2D) each(f func(x, w, y int)) {
	for b := range c.Batch {
		for i := range c.Height.Out {
			for j := range c.Width.Out {
				for kh := range c.Height.Kernel {
					for kw := range c.Width.Kernel {
						h, inHeight := c.Height.at(i, kh)
						v, inWidth := c.Width.at(j, kw)
						if !inHeight || !inWidth {
							continue
						}
						for k := range c.In {
							for n := range c.Out {
								w := ((kh*c.Width.Kernel+kw)*c.In+k)*c.Out + n
								if c.Mask != nil && c.Mask[w] == 0 {
									continue
								}
								f(((b*c.Height.In+h)*c.Width.In+v)*c.In+k, w, ((b*c.Height.Out+i)*c.Width.Out+j)*c.Out+n)
							}
						}
					}
				}
			}
		}
	}
}

// Forward returns y.
func (c *Conv2D) Forward(x, w, bias []float64) []float64 {
	y := make([]float64, c.Batch*c.Height.Out*c.Width.Out*c.Out)
	if bias != nil {
		for i := range y {
			y[i] = bias[i%c.Out]
		}
	}
	c.each(func(xi, wi, yi int) { y[yi] += x[xi] * w[wi] })
	return y
}

// InputGradient returns the gradient of x for the gradient dy of y. It is the transposed convolution of dy.
func (c *Conv2D) InputGradient(w, dy []float64) []float64 {
	dx := make([]float64, c.Batch*c.Height.In*c.Width.In*c.In)
	c.each(func(xi, wi, yi int) { dx[xi] += dy[yi] * w[wi] })
	return dx
}

// WeightGradient returns the gradient of w for the gradient dy of y.
func (c *Conv2D) WeightGradient(x, dy []float64) []float64 {
	dw := make([]float64, c.Height.Kernel*c.Width.Kernel*c.In*c.Out)
	c.each(func(xi, wi, yi int) { dw[wi] += x[xi] * dy[yi] })
	return dw
}

// BiasGradient returns the gradient of the bias for the gradient dy of y.
func (c *Conv2D) BiasGradient(dy []float64) []float64 {
	db := make([]float64, c.Out)
	for i, v := range dy {
		db[i%c.Out] += v
	}
	return db
}
