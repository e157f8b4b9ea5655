// Package gateway keeps the proxy, and the status of the Gateway API's objects, in step with these objects, as plan has it. It
// watches nothing but CustomResourceDefinitions until those of the Gateway API are there.
package gateway
