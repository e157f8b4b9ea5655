// Package metrics is the API metrics.k8s.io, which kubectl top and the horizontal pod autoscaler ask: what pods and
// nodes use right now. It takes the place of metrics-server, with one difference: nothing is sampled until somebody
// asks, so that an idle cluster stays idle.
package metrics
