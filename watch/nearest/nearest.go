// Package nearest finds the known word that a mistyped one probably stood for, so that an error can name it.
package nearest

import "strings"

// Of returns the candidate nearest to word, or "" when none is near enough to be worth saying. Case differences cost
// nothing, a swap of two neighbours costs one. Among equals the first candidate wins, so callers sort by preference.
func Of(word string, candidates []string) string {
	best, bestCost := "", limit(word)+1
	lower := strings.ToLower(word)
	for _, candidate := range candidates {
		if candidate == word {
			continue
		}
		if diff := len(candidate) - len(word); diff >= bestCost || -diff >= bestCost {
			continue
		}
		if cost := distance(lower, strings.ToLower(candidate)); cost < bestCost {
			best, bestCost = candidate, cost
		}
	}
	return best
}

// limit is how many slips are believable in a word of this length; chosen, not measured.
func limit(word string) int {
	switch n := len(word); {
	case n <= 2:
		return 0
	case n <= 5:
		return 1
	case n <= 9:
		return 2
	default:
		return 3
	}
}

// distance is the optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
