package config

import (
	"slices"
	"strings"
)

const (
	comesLater = "comes in a later version and is not understood yet"
	onlyByFile = "is a secret, and those stand in files of their own: use password_file or docker_config"
)

// refusals are words that have a meaning but no use here, by the section they would stand in. A word leaves the table
// when it is understood.
var refusals = []struct{ section, words, why string }{
	{"rule", "digests", comesLater},
	{"credentials", "password token auth identity_token registry_token secret", onlyByFile},
}

// refusal returns why a word of a section is not to be used, or "" if the word means nothing there.
func refusal(section, word string) string {
	for _, f := range refusals {
		if f.section == section && slices.Contains(strings.Fields(f.words), word) {
			return f.why
		}
	}
	return ""
}

// nearest returns the known word that a person who wrote this one most likely meant, or "".
func nearest(word string, known []string) string {
	const farthest = 2 // slips of the hand; more is another word
	best, least := "", farthest+1
	for _, k := range known {
		if d := distance(word, k); d < least && d < len(k)/2+1 {
			best, least = k, d
		}
	}
	return best
}

// distance returns how many letters must be added, removed, replaced or swapped with the next to make a into b. Words
// too long to be slips of each other are far apart, whatever is in them.
func distance(a, b string) int {
	const far = 1 << 10
	if len(a) > len(b)+2 {
		return far
	}
	var older, old []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
