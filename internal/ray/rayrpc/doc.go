// Package rayrpc is how this module speaks gRPC to Ray: one connection that is
// dialled by the first call, credentials on every call, and errors that say what
// to do. Packages gcs and rayclient are written on it.
//
// gRPC reports a connection that could not be made as code Unavailable with a
// sentence, whether a name did not resolve, a certificate was refused or the port
// speaks HTTP. This package does not read those sentences: Conn watches its own
// dials, handshakes and first bytes, and Conn.Error decides by what it saw. Only
// Ray's own words for a refused call are read as text, in one function.
//
// What it does not do: retry, which is the caller's policy, and read proxies from
// the environment, which is the caller's dialer.
package rayrpc
