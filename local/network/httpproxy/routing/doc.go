// Package routing says where requests and connections go, and what is changed on the way: tables of routes that Ingresses and the
// objects of the Gateway API are compiled into. It knows neither of these nor of any connection: all of it can be asked with
// nothing but a request.
package routing
