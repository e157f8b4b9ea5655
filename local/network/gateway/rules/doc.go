// Package rules translates the rules of the Gateway API's routes into those of the proxy: matches, filters, weights. What they refer
// to is found by whom they are translated for.
package rules
