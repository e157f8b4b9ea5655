// Command skiff-node is skiff's helper inside containers: one small static Linux binary that is the process of every
// pod's pause container, the relay that carries a profile's Services and DNS, the connector through which the daemon
// talks to that relay, and the demo web server of the examples. It is embedded in the skiff binary and loaded into the
// engine as an image, so nothing is ever pulled.
//
// Its size and start-up time are paid by every pod: it avoids net/http, crypto/tls and reflection-heavy encodings,
// which keeps it under 4 MB.
package main
