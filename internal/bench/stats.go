//go:build unix

package main

import (
	"fmt"
	"slices"
	"time"
)

// series is what one side took, round by round.
type series struct {
	name   string
	unit   unit
	values []float64
}

// unit says how a number is written.
type unit string

const (
	seconds   unit = "s"
	mebibytes unit = "MiB"
	ratio     unit = "x"
	fraction  unit = "."
	plain     unit = ""
)

func (u unit) format(v float64) string {
	switch u {
	case seconds:
		return fmt.Sprintf("%.3f s", v)
	case mebibytes:
		return fmt.Sprintf("%.1f MiB", v)
	case fraction:
		return fmt.Sprintf("%.2f", v)
	case ratio:
		return fmt.Sprintf("%.2f x", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// median is the middle of an ordered copy, the mean of the middle two where there
// are two, and 0 of nothing.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(n-1)/2] + v[n/2]) / 2
}

// byRound combines two series round by round: what both sides did at the same
// time on the same machine.
func byRound(a, b *series, combine func(a, b float64) float64) []float64 {
	out := make([]float64, min(len(a.values), len(b.values)))
	for i := range out {
		out[i] = combine(a.values[i], b.values[i])
	}
	return out
}

// versus is the median over the rounds of a divided by b.
func versus(a, b *series) float64 {
	return median(byRound(a, b, func(a, b float64) float64 { return a / b }))
}

// above is the median over the rounds of a minus b.
func above(a, b *series) float64 {
	return median(byRound(a, b, func(a, b float64) float64 { return a - b }))
}

// side is one of those that are compared.
type side struct {
	*series
	// run does it once and returns how long that took.
	run func(round int) (time.Duration, error)
}

// after returns the side with something that happens before each run and is not
// timed.
func (s side) after(prepare func() error) side {
	return side{s.series, func(round int) (time.Duration, error) {
		if err := prepare(); err != nil {
			return 0, err
		}
		return s.run(round)
	}}
}

// turns runs every side once a round, in an order that moves on by one each
// round. Round 0 comes on top and is not counted.
func turns(rounds int, sides ...side) error {
	for round := range rounds + 1 {
		for i := range sides {
			s := sides[(round+i)%len(sides)]
			took, err := s.run(round)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				s.values = append(s.values, took.Seconds())
			}
		}
	}
	return nil
}

// timed returns how long f took.
func timed(f func() error) (time.Duration, error) {
	begun := time.Now()
	err := f()
	return time.Since(begun), err
}
