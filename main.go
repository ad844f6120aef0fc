// Command terraform-provider-ray is the Terraform provider for Ray. Terraform
// starts it; with -debug it is started by hand or by a debugger, prints
// TF_REATTACH_PROVIDERS and stays.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/ray-iac/terraform-provider-ray/internal/process"
	"github.com/ray-iac/terraform-provider-ray/internal/provider"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "dev"

// address is the provider's name in the registries.
const address = "registry.terraform.io/ray-iac/ray"

const (
	parentInterval = time.Second
	orphanGrace    = 10 * time.Second
)

func main() {
	debug := flag.Bool("debug", false, "serve for a debugger: print TF_REATTACH_PROVIDERS and stay until interrupted")
	show := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *show {
		fmt.Println(version)
		return
	}
	for _, name := range process.Quiet(os.Environ()) {
		if err := os.Setenv(name, "OFF"); err != nil {
			log.Fatal(err)
		}
	}
	process.TuneGC(os.LookupEnv)
	if err := serve(context.Background(), *debug); err != nil {
		log.Fatal(err)
	}
}

// serve serves until Terraform says stop. A debugged provider outlives the
// Terraforms that attach to it, so only the others end with their parent.
func serve(ctx context.Context, debug bool) error {
	framework := providerserver.NewProtocol6(provider.New(version)())()
	server, ok := process.Wrap(framework)
	if !ok {
		return fmt.Errorf("the framework's provider server %T lacks an interface", framework)
	}
	serve := func() tfprotov6.ProviderServer { return server }
	if debug {
		return tf6server.Serve(address, serve, tf6server.WithManagedDebug())
	}
	go func() {
		<-process.Orphaned(ctx, parentInterval)
		server.Finish(ctx, orphanGrace)
		os.Exit(1)
	}()
	return tf6server.Serve(address, serve)
}
