package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// schemas is what GetProviderSchema and GetResourceIdentitySchemas said.
type schemas struct {
	provider   *tfprotov6.Schema
	resources  map[string]*tfprotov6.Schema
	data       map[string]*tfprotov6.Schema
	identities map[string]*tfprotov6.ResourceIdentitySchema
}

// process is one provider process: a server and what can befall it.
type process struct {
	core    *Core
	server  tfprotov6.ProviderServer
	schemas *schemas

	// ctx is that of every call. It is cancelled by an interrupt (after
	// StopProvider, as plugin-go does) and when Terraform is killed (the
	// connection breaks); it stands for that connection.
	ctx    context.Context
	cancel context.CancelFunc

	dead     chan struct{} // closed when calls get no answer any more
	deadOnce sync.Once
	calls    sync.WaitGroup
}

// start begins a provider process and gets its schemas.
func (c *Core) start() *process {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	p := &process{core: c, server: c.newServer(), ctx: ctx, cancel: cancel, dead: make(chan struct{})}
	c.mu.Lock()
	c.alive[p] = struct{}{}
	c.mu.Unlock()
	if c.schemas == nil {
		s, err := p.fetch()
		if err != nil {
			c.fatal("schema: %v", err)
		}
		c.schemas = s
	}
	p.schemas = c.schemas
	return p
}

func (p *process) fetch() (*schemas, error) {
	resp, err := p.server.GetProviderSchema(p.ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return nil, err
	}
	if diags := fromProtocol("provider", resp.Diagnostics); diags.HasErrors() {
		return nil, errors.New(diags.String())
	}
	s := &schemas{provider: resp.Provider, resources: resp.ResourceSchemas, data: resp.DataSourceSchemas}
	if !p.core.identity {
		return s, nil
	}
	ids, err := p.server.GetResourceIdentitySchemas(p.ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		return nil, err
	}
	s.identities = ids.IdentitySchemas
	return s, nil
}

// end ends the process in peace: no call is in flight.
func (p *process) end() {
	select {
	case <-p.dead:
		return // killed; bury does the rest
	default:
	}
	p.close()
	p.core.mu.Lock()
	delete(p.core.alive, p)
	p.core.mu.Unlock()
}

// close cancels the calls, and closes the server.
func (p *process) close() {
	p.cancel()
	if c, ok := p.server.(io.Closer); ok {
		if err := c.Close(); err != nil {
			p.core.t.Errorf("close the provider: %v", err)
		}
	}
}

// bury waits for the calls of a killed process at the end of the test.
func (p *process) bury() {
	defer p.close()
	p.cancel()
	done := make(chan struct{})
	go func() { p.calls.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		p.core.t.Errorf("a provider call does not end although its context was cancelled 20 s ago")
	}
}

// kill makes every call, in flight or to come, end without an answer.
func (p *process) kill() { p.deadOnce.Do(func() { close(p.dead) }) }

// interrupt does what Terraform and plugin-go do at a SIGINT.
func (p *process) interrupt() {
	_, _ = p.server.StopProvider(p.ctx, &tfprotov6.StopProviderRequest{}) // Terraform ignores the answer too
	p.cancel()
}

var errDead = errors.New("the plugin did not respond")

// call makes one RPC. A panic of the provider fails the test, and is what a
// user would see of it: a plugin that did not respond.
func call[Req, Resp any](p *process, addr string, rpc func(context.Context, Req) (Resp, error), req Req) (Resp, Diagnostics) {
	type answer struct {
		resp Resp
		err  error
	}
	out := make(chan answer, 1)
	p.calls.Go(func() {
		a := answer{err: errDead}
		defer func() {
			if r := recover(); r != nil {
				p.core.t.Errorf("the provider panicked: %v\n%s", r, debug.Stack())
			}
			out <- a
		}()
		a.resp, a.err = rpc(p.ctx, req)
	})
	var a answer
	select {
	case <-p.dead:
		a.err = errDead
	case a = <-out:
		select {
		case <-p.dead:
			a = answer{err: errDead}
		default:
		}
	}
	switch {
	case errors.Is(a.err, errDead):
		return a.resp, errorf(addr, "Plugin did not respond", "The plugin encountered an error, and failed to respond to the %T call.", req)
	case a.err != nil:
		return a.resp, errorf(addr, "Plugin error", "The plugin returned an unexpected error: %v", a.err)
	}
	return a.resp, nil
}

// dynamic puts a value on the wire.
func dynamic(v tftypes.Value) *tfprotov6.DynamicValue {
	return dynamicAs(v.Type(), v)
}

func dynamicAs(ty tftypes.Type, v tftypes.Value) *tfprotov6.DynamicValue {
	d, err := tfprotov6.NewDynamicValue(ty, v)
	if err != nil {
		panic(fmt.Sprintf("core: value does not fit its own type: %v", err))
	}
	return &d
}

// read takes a value from the wire; a missing one is null.
func read(ty tftypes.Type, d *tfprotov6.DynamicValue) (tftypes.Value, error) {
	if d == nil {
		return tftypes.NewValue(ty, nil), nil
	}
	return d.Unmarshal(ty)
}

// schema returns the schema of a block's type.
func (p *process) schema(addr string, data bool) (*tfprotov6.Schema, Diagnostics) {
	from, kind := p.schemas.resources, "resource"
	if data {
		from, kind = p.schemas.data, "data source"
	}
	s, ok := from[typeOf(addr)]
	if !ok {
		return nil, errorf(addr, "Invalid "+kind+" type", "The provider does not support %s type %q.", kind, typeOf(addr))
	}
	return s, nil
}

// evaluate gives the value of a block's configuration, after core's own
// checks against the schema.
func (p *process) evaluate(b *block, s scope) (tftypes.Value, Diagnostics) {
	schema, diags := p.schema(b.addr, b.data)
	if diags.HasErrors() {
		return tftypes.Value{}, diags
	}
	v, err := s.object(schema.Block, b.config)
	if err != nil {
		return v, errorf(b.addr, "Invalid configuration", "%v", err)
	}
	return v, required(b.addr, schema.Block.Attributes, v, "")
}

// required reports missing required attributes and values for attributes that
// cannot be configured, with the texts of Terraform.
func required(addr string, attrs []*tfprotov6.SchemaAttribute, v tftypes.Value, prefix string) Diagnostics {
	var out Diagnostics
	fs := fields(v)
	if fs == nil {
		return nil
	}
	for _, a := range attrs {
		e, path := fs[a.Name], prefix+a.Name
		switch {
		case a.Required && e.IsNull():
			out = append(out, Diagnostic{Severity: Error, Summary: "Missing required argument", Address: addr, Path: path,
				Detail: fmt.Sprintf("The argument %q is required, but no definition was found.", a.Name)})
		case !a.Required && !a.Optional && !e.IsNull():
			out = append(out, Diagnostic{Severity: Error, Summary: "Value for unconfigurable attribute", Address: addr, Path: path,
				Detail: fmt.Sprintf("Can't configure a value for %q: its value will be decided automatically based on the result of applying this configuration.", a.Name)})
		case a.NestedType == nil:
		case a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeSingle:
			out = append(out, required(addr, a.NestedType.Attributes, e, path+".")...)
		case a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeMap:
			for k, m := range fields(e) {
				out = append(out, required(addr, a.NestedType.Attributes, m, fmt.Sprintf("%s[%q].", path, k))...)
			}
		default:
			for i, m := range elements(e) {
				out = append(out, required(addr, a.NestedType.Attributes, m, fmt.Sprintf("%s[%d].", path, i))...)
			}
		}
	}
	return out
}

func (p *process) validate(b *block, config tftypes.Value) Diagnostics {
	if b.data {
		resp, diags := call(p, b.addr, p.server.ValidateDataResourceConfig, &tfprotov6.ValidateDataResourceConfigRequest{
			TypeName: typeOf(b.addr), Config: dynamic(config),
		})
		if diags.HasErrors() {
			return diags
		}
		return fromProtocol(b.addr, resp.Diagnostics)
	}
	resp, diags := call(p, b.addr, p.server.ValidateResourceConfig, &tfprotov6.ValidateResourceConfigRequest{
		TypeName: typeOf(b.addr), Config: dynamic(config),
		ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
	})
	if diags.HasErrors() {
		return diags
	}
	return fromProtocol(b.addr, resp.Diagnostics)
}

func (p *process) providerConfig(s scope) (tftypes.Value, Diagnostics) {
	v, err := s.object(p.schemas.provider.Block, p.core.provider)
	if err != nil {
		return v, errorf("provider", "Invalid configuration", "%v", err)
	}
	return v, required("provider", p.schemas.provider.Block.Attributes, v, "")
}

func (p *process) validateProvider(s scope) Diagnostics {
	config, diags := p.providerConfig(s)
	if diags.HasErrors() {
		return diags
	}
	resp, diags := call(p, "provider", p.server.ValidateProviderConfig, &tfprotov6.ValidateProviderConfigRequest{Config: dynamic(config)})
	if diags.HasErrors() {
		return diags
	}
	return fromProtocol("provider", resp.Diagnostics)
}

// configure validates and configures the provider.
func (p *process) configure(s scope) Diagnostics {
	diags := p.validateProvider(s)
	if diags.HasErrors() {
		return diags
	}
	config, _ := p.providerConfig(s)
	resp, more := call(p, "provider", p.server.ConfigureProvider, &tfprotov6.ConfigureProviderRequest{
		TerraformVersion: p.core.version, Config: dynamic(config),
		ClientCapabilities: &tfprotov6.ConfigureProviderClientCapabilities{DeferralAllowed: false},
	})
	diags = append(diags, more...)
	if !more.HasErrors() {
		diags = append(diags, fromProtocol("provider", resp.Diagnostics)...)
	}
	return diags
}

// identity puts an identity on the wire; nil for none.
func (p *process) identity(typ string, v tftypes.Value) *tfprotov6.ResourceIdentityData {
	if p.schemas.identities[typ] == nil || v.Type() == nil || v.IsNull() {
		return nil
	}
	return &tfprotov6.ResourceIdentityData{IdentityData: dynamic(v)}
}

// takeIdentity takes an identity from the wire.
func (p *process) takeIdentity(typ string, d *tfprotov6.ResourceIdentityData) tftypes.Value {
	schema := p.schemas.identities[typ]
	if schema == nil || d == nil || d.IdentityData == nil {
		return tftypes.Value{}
	}
	v, err := d.IdentityData.Unmarshal(schema.ValueType())
	if err != nil {
		return tftypes.Value{}
	}
	return v
}

// deferred is what Terraform makes of a provider that defers without being
// allowed to.
func deferred(addr string, d *tfprotov6.Deferred) Diagnostics {
	if d == nil {
		return nil
	}
	return errorf(addr, "Invalid Deferred Response", "The provider deferred the operation (%s) although Terraform did not allow it. This is a bug in the provider.", d.Reason)
}

// readData calls ReadDataSource.
func (p *process) readData(b *block, config tftypes.Value) (tftypes.Value, Diagnostics) {
	diags := p.validate(b, config)
	if diags.HasErrors() {
		return tftypes.Value{}, diags
	}
	resp, more := call(p, b.addr, p.server.ReadDataSource, &tfprotov6.ReadDataSourceRequest{
		TypeName: typeOf(b.addr), Config: dynamic(config),
		ClientCapabilities: &tfprotov6.ReadDataSourceClientCapabilities{},
	})
	if diags = slices.Concat(diags, more); more.HasErrors() {
		return tftypes.Value{}, diags
	}
	diags = slices.Concat(diags, fromProtocol(b.addr, resp.Diagnostics), deferred(b.addr, resp.Deferred))
	if diags.HasErrors() {
		return tftypes.Value{}, diags
	}
	v, err := read(config.Type(), resp.State)
	switch {
	case err != nil:
		diags = append(diags, errorf(b.addr, "Provider produced invalid object", "%v", err)...)
	case v.IsNull():
		diags = append(diags, errorf(b.addr, "Provider produced null object", "The data source returned nothing. This is a bug in the provider.")...)
	case !v.IsFullyKnown():
		diags = append(diags, errorf(b.addr, "Provider produced invalid object", "Unknown values after read: %v.", unknownPaths(v))...)
	}
	return v, diags
}
