// Package docker is skiff's only way to a Docker Engine: it owns the connection, the names and labels of everything
// skiff makes there, and the border at which the SDK's types and errors become ours.
//
// Nothing outside this package imports the Docker SDK, so that the rest of skiff can be tested against the stateful fake
// of package runtimetest and is not shaped by what the SDK happens to look like. The wrapper adds no engine calls of its
// own: a method is one request, except where its comment says otherwise.
package docker
