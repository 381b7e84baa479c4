package main

import "fmt"

// A demand is a limit on what tagwarden does in one row: on a figure itself, or on its ratio to that of another target.
type demand struct {
	row     string
	metric  metric
	base    string // "" is the figure itself
	limit   float64
	atLeast bool // the limit is the least, not the most
	always  bool // every round has to hold it, not their median
}

// A verdict is a demand, and what was measured of it.
type verdict struct {
	Demand   string  `json:"demand"`
	Measured float64 `json:"measured"`
	Result   string  `json:"result"` // met, missed or notMeasured
}

const (
	met         = "ok"
	missed      = "missed"
	notMeasured = "not measured"
)

// demands are all that is asked of tagwarden.
func demands(quick bool) []demand {
	all := []demand{
		{row: rowDigest, metric: cpuPerRequest(), base: bareName, limit: 1.10},
		{row: rowDigest, metric: requestRate(), base: bareName, limit: .90, atLeast: true},
		{row: rowTag, metric: cpuPerRequest(), base: bareName, limit: 1.15},
		{row: rowTag, metric: originRequests(), always: true},
		{row: rowRefused, metric: cpuPerRequest(), base: bareName, limit: 1.15},
		{row: rowRefused, metric: originRequests(), always: true},
		{row: rowSmall, metric: cpuPerRequest(), base: bareName, limit: .60},
	}
	for _, name := range []string{rowMedium, rowLarge(quick)} {
		all = append(all,
			demand{row: name, metric: cpuPerGB(), base: bareName, limit: 1.10},
			demand{row: name, metric: byteRate(), base: bareName, limit: .90, atLeast: true})
	}
	all = append(all, demand{row: rowTLS, metric: cpuPerGB(), base: bareName, limit: 1.10})
	for _, name := range []string{rowCold, rowColdFar} {
		all = append(all, exactlyOnce(name, originBytes()), demand{row: name, metric: refetched(), always: true},
			demand{row: name, metric: originRequests(), limit: 2, always: true})
	}
	all = append(all,
		demand{row: rowColdFar, metric: firstByte(), base: direct, limit: 1.10},
		demand{row: rowCold, metric: cpuPerGB(), base: bareName, limit: 1.10},
		demand{row: rowCold, metric: totalTime(), base: bareName, limit: 1.10})
	for _, name := range []string{rowHerd, rowHerdSlow} {
		all = append(all, exactlyOnce(name, originBytes()), demand{row: name, metric: failures(), always: true},
			demand{row: name, metric: firstByte(), limit: 50})
	}
	all = append(all,
		demand{row: rowHerd, metric: totalTime(), base: nginx, limit: 1.00},
		demand{row: rowHerdSlow, metric: totalTime(), base: nginx, limit: .70},
		exactlyOnce(rowTagHerd, originManifests()),
		demand{row: rowTagHerd, metric: totalTime(), base: direct, limit: 1.20})
	for _, name := range []string{"requests", "large", "tls", "cold", "herd"} {
		all = append(all, demand{row: peakRow(name), metric: peakMemory(), limit: 48, always: true})
	}
	return all
}

// exactlyOnce demands that what is counted is 1 in every round. What is counted cannot be less.
func exactlyOnce(row string, m metric) demand {
	return demand{row: row, metric: m, limit: 1, always: true}
}

// String is the demand in words.
func (d demand) String() string {
	sign := "<="
	if d.atLeast {
		sign = ">="
	}
	if d.base == "" {
		return fmt.Sprintf("%s: %s %s %.4g", d.row, d.metric.name, sign, d.limit)
	}
	return fmt.Sprintf("%s: %s %s %.2fx %s", d.row, d.metric.name, sign, d.limit, d.base)
}

// check compares the demand with what was measured. A sample of tagwarden that failed misses it.
func (d demand) check(r results) verdict {
	v := verdict{Demand: d.String(), Result: notMeasured}
	for _, s := range r {
		if s.Row == d.row && s.Target == tagwarden && s.Error != "" {
			v.Result = missed
			return v
		}
	}
	found := false
	switch {
	case d.base != "":
		v.Measured, found = r.ratio(d.row, tagwarden, d.base, d.metric)
	case d.always:
		v.Measured, found = r.worst(d.row, tagwarden, d.metric)
	default:
		v.Measured, found = r.median(d.row, tagwarden, d.metric)
	}
	switch {
	case !found:
	case d.atLeast && v.Measured < d.limit, !d.atLeast && v.Measured > d.limit:
		v.Result = missed
	default:
		v.Result = met
	}
	return v
}
