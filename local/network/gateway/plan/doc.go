// Package plan decides what of the Gateway API's objects is served, and what their status is to say. It asks nobody but the
// surroundings that it is given, and writes nothing, so that whole clusters of objects can be planned in a test.
package plan
