//go:build unix

package main

import (
	"fmt"
	"strings"
)

// provider is the beginning of each configuration that uses the provider.
func provider(address string) string { return providerOf(fmt.Sprintf("address = %q", address)) }

// providerOf is the provider with an argument that says where clusters are.
func providerOf(argument string) string {
	return fmt.Sprintf(`terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

provider "ray" {
  owner = "bench"
  %s
}
`, argument)
}

// job is a resource ray_job.j with so many instances and these further lines.
func job(count int, name string, lines ...string) string {
	return fmt.Sprintf(`
resource "ray_job" "j" {
  count = %d
  name  = "%s-${count.index}"
  %s
}
`, count, name, strings.Join(lines, "\n  "))
}

// data is as many of the cheapest resource that there is.
func data(count int) string {
	return fmt.Sprintf("resource \"terraform_data\" \"d\" {\n  count = %d\n  input = \"job-${count.index}\"\n}\n", count)
}
