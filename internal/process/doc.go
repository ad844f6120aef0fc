// Package process is what the provider's process needs besides the provider:
// quiet logs, a garbage collector set for a short life, an end when its parent has
// died, and the knowledge of whether the CLI asked it to stop.
//
// Terraform starts the provider three times for one plan and configures only one
// of these processes, so nothing here opens a connection or reads a file. The
// environment is passed in by main.
package process
