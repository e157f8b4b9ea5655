// Package gateway compiles the objects of the Gateway API into listeners and routes of the ingress proxy, and writes
// their status. It watches nothing but CustomResourceDefinitions until those of the Gateway API are there.
package gateway
