package provider

import (
	"context"
	"io"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

type rayProvider struct {
	version string
	getenv  func(string) string

	mu    sync.Mutex
	pools []*conn.Pool
}

const cantBeUsed = "The provider's configuration can't be used"

// New returns the provider of a version, as "1.2.3" or "dev".
func New(version string) func() provider.Provider {
	return NewWithEnv(version, conn.Environment)
}

var _ io.Closer = (*rayProvider)(nil)

// NewWithEnv is New with another environment than the process's, for tests that
// run beside each other.
func NewWithEnv(version string, getenv func(string) string) func() provider.Provider {
	return func() provider.Provider { return &rayProvider{version: version, getenv: getenv} }
}

// Metadata names the provider.
func (p *rayProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "ray"
	resp.Version = p.version
}

// Configure makes the pool. It dials nothing.
func (p *rayProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	cfg := m.config(ctx, &resp.Diagnostics)
	cfg.Unknown = unknownArguments(req.Config.Raw)
	cfg.Version, cfg.Getenv = p.version, p.getenv
	for _, problem := range cfg.Problems() {
		fw.AddError(&resp.Diagnostics, problemPath(problem.Path), cantBeUsed, problem.Err)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	pool := conn.NewPool(cfg)
	p.mu.Lock()
	p.pools = append(p.pools, pool)
	p.mu.Unlock()
	resp.ResourceData, resp.DataSourceData = pool, pool
}

// Close ends all connections. The provider can't be used any more.
func (p *rayProvider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pool := range p.pools {
		pool.Close()
	}
	p.pools = nil
	return nil
}

// problemPath is the path of a conn.Problem: "credentials" has keys below it.
func problemPath(steps []string) path.Path {
	at := path.Root(steps[0])
	for i, s := range steps[1:] {
		if i == 0 && steps[0] == "credentials" {
			at = at.AtMapKey(s)
			continue
		}
		at = at.AtName(s)
	}
	return at
}

// Resources are those of all services.
func (p *rayProvider) Resources(context.Context) []func() resource.Resource {
	var out []func() resource.Resource
	for _, s := range services() {
		out = append(out, s.Resources...)
	}
	return out
}

// DataSources are those of all services.
func (p *rayProvider) DataSources(context.Context) []func() datasource.DataSource {
	var out []func() datasource.DataSource
	for _, s := range services() {
		out = append(out, s.DataSources...)
	}
	return out
}
