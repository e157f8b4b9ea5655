// Package forward answers requests by a table of routes: it sends them to an endpoint and passes on what that answers, or says
// itself what is wrong. It is careful with time and memory, because every request of a load test on a laptop goes through it.
package forward
