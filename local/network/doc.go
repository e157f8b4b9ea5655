// Package network is the daemon's half of a cluster's network. It keeps one relay container on one bridge network alive,
// tells it what Services, endpoints and names there are, and brings what pods offer to localhost: node ports,
// LoadBalancer addresses and host ports.
//
// Nothing here needs rights on the host or touches its firewall. Pod addresses are dialled directly where that works and
// through the relay where it does not, and nothing but DialContext knows the difference.
package network
