package dates

// Hit is how often a template gave the date.
type Hit struct {
	Name
	Hits   int
	Weight float64 // what templates are sorted by: Hits × Base, less the further the date is from the line's begin
	Base   float64 // how much one hit counts
}

// Hits returns the templates with their hits in the order in which they are tried.
func (o *Order) Hits() []Hit {
	out := make([]Hit, len(o.ranks))
	for i := range o.ranks {
		r := &o.ranks[i]
		out[i] = Hit{Name: Name{Pattern: r.pattern, Name: r.name, Regex: r.source}, Hits: r.hits, Weight: r.worth(), Base: r.weight}
	}
	return out
}
