package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 100}, 3.5},
	} {
		before := append([]float64(nil), c.values...)
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
		for i := range before {
			if before[i] != c.values[i] {
				t.Errorf("median changed %v to %v", before, c.values)
			}
		}
	}
}

// cost1 is a sample of so many microseconds per request.
func cost1(row, target string, round int, us float64) sample {
	return sample{Row: row, Target: target, Round: round, Requests: 1000, Seconds: 1, CPU: us / 1000}
}

func TestRatioPairsRounds(t *testing.T) {
	// The second round ran on a busy machine, the third lacks its partner, and the fourth failed.
	r := results{
		cost1("r", tagwarden, 0, 30), cost1("r", bareName, 0, 20),
		cost1("r", tagwarden, 1, 90), cost1("r", bareName, 1, 80),
		cost1("r", tagwarden, 2, 10),
		cost1("r", tagwarden, 3, 1000), cost1("r", bareName, 3, 1),
	}
	r[5].Error = "cut"
	if got, ok := r.ratio("r", tagwarden, bareName, cpuPerRequest()); !ok || !near(got, (1.5+1.125)/2) {
		t.Errorf("ratio %v, %v", got, ok)
	}
	if got, ok := r.median("r", tagwarden, cpuPerRequest()); !ok || !near(got, 30) {
		t.Errorf("median %v, %v", got, ok)
	}
	if got, ok := r.worst("r", tagwarden, cpuPerRequest()); !ok || !near(got, 90) {
		t.Errorf("worst %v, %v", got, ok)
	}
	if _, ok := r.ratio("r", tagwarden, nginx, cpuPerRequest()); ok {
		t.Error("a ratio to a target that was not measured")
	}
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func TestMetrics(t *testing.T) {
	s := sample{
		Requests: 4, Failed: 2, Bytes: 2e9, Seconds: .5, FirstMS: 3, CPU: .25, PeakMB: 40, Content: 1e9,
		Origin: tally{Requests: 2, Manifests: 1, Blobs: 1, BlobBytes: 1e9}, Reread: tally{BlobBytes: 5e8},
	}
	for _, c := range []struct {
		metric metric
		want   float64
	}{
		{cpuPerRequest(), 62500},
		{cpuPerGB(), .125},
		{requestRate(), 8},
		{byteRate(), 4000},
		{totalTime(), 500},
		{firstByte(), 3},
		{originRequests(), 2},
		{originManifests(), 1},
		{originPerRequest(), .5},
		{originBytes(), 1},
		{refetched(), .5},
		{failures(), 2},
		{peakMemory(), 40},
	} {
		if got := c.metric.value(s); !near(got, c.want) {
			t.Errorf("%s: %v, want %v", c.metric.name, got, c.want)
		}
	}
}

func TestDemand(t *testing.T) {
	r := results{
		cost1("r", tagwarden, 0, 22), cost1("r", bareName, 0, 20), cost1("failed", tagwarden, 0, 1),
		cost1("r", tagwarden, 1, 22), cost1("r", bareName, 1, 20), cost1("r", tagwarden, 2, 60), cost1("r", bareName, 2, 20),
	}
	r[2].Error = "cut"
	for _, c := range []struct {
		name   string
		demand demand
		want   string
	}{
		{"at the limit", demand{row: "r", metric: cpuPerRequest(), base: bareName, limit: 1.1000001}, met},
		{"above the limit", demand{row: "r", metric: cpuPerRequest(), base: bareName, limit: 1.05}, missed},
		{"the least", demand{row: "r", metric: requestRate(), limit: 1000, atLeast: true}, met},
		{"below the least", demand{row: "r", metric: requestRate(), limit: 1001, atLeast: true}, missed},
		{"a figure itself", demand{row: "r", metric: cpuPerRequest(), limit: 23}, met},
		{"in every round", demand{row: "r", metric: cpuPerRequest(), limit: 23, always: true}, missed},
		{"a target that is not there", demand{row: "r", metric: cpuPerRequest(), base: nginx, limit: 9}, notMeasured},
		{"a row that is not there", demand{row: "other", metric: cpuPerRequest(), limit: 9}, notMeasured},
		{"a row that failed", demand{row: "failed", metric: cpuPerRequest(), limit: 9}, missed},
	} {
		if got := c.demand.check(r); got.Result != c.want {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
	}
}

// TestDemandsNameRows holds the demands to the rows that exist.
func TestDemandsNameRows(t *testing.T) {
	for _, quick := range []bool{true, false} {
		b := &bench{o: options{quick: quick}, catalogue: newCatalogue(sizes{1, 1, 1, 1})}
		rows := make(map[string]bool)
		for _, s := range b.sessions() {
			rows[peakRow(s.name)] = true
			for _, r := range s.rows {
				rows[r.name] = true
			}
		}
		for _, d := range demands(quick) {
			if !rows[d.row] {
				t.Errorf("%s: no such row", d)
			}
		}
	}
}

func TestPrint(t *testing.T) {
	r := report{
		About: []string{"a machine"}, columns: []string{tagwarden, bareName, direct}, lines: []line{{"r", cpuPerRequest()}, {"r", requestRate()}},
		Samples: results{cost1("r", tagwarden, 0, 30), cost1("r", bareName, 0, 20), cost1("r", direct, 0, 0)},
		Demands: []verdict{{"little", 1.5, missed}, {"much", 0, notMeasured}},
	}
	var out bytes.Buffer
	r.print(&out)
	want := `* a machine
* medians of 1 rounds; in brackets the median ratio to bare of the same round

| | | tagwarden | bare | direct |
|---|---|---|---|---|
| r | CPU us/request | 30.0 (1.50) | 20.0 | - |
|  | requests/s | 1000 (1.00) | 1000 | 1000 (1.00) |

| demand | measured | |
|---|---|---|
| little | 1.500 | missed |
| much | - | not measured |
`
	if got := out.String(); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 2: "2", 1.0004: "1.000", .1236: "0.124", 12.34: "12.3", 123.4: "123"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestTurns(t *testing.T) {
	names := []string{"a", "b", "c"}
	for n, want := range []string{"a b c", "b c a", "c a b", "a b c"} {
		if got := strings.Join(turns(n, names), " "); got != want {
			t.Errorf("turn %d: %s, want %s", n, got, want)
		}
	}
}
