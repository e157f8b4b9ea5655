// Package listen opens ports on this machine for Services and carries their connections to endpoints that it picks
// itself: a connection that one endpoint does not take goes to the next before the client notices, and a port that
// another program holds comes alive as soon as it is free.
package listen
