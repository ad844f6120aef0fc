package core_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	pschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/ray-iac/terraform-provider-ray/internal/acctest/core"
)

// newThings makes a working directory with a small provider, x, whose only
// resource is a thing in a cloud that the test can spoil.
func newThings(t *testing.T, opts ...core.Option) (*core.Core, *cloud) {
	t.Helper()
	c := &cloud{world: world{things: map[string]model{}, status: "OK"}}
	return core.New(t, c.server, opts...), c
}

// world is what tests change.
type world struct {
	things      map[string]model
	status      string
	fault       string
	failName    string
	createFails bool
	createKeeps bool
	updateFails bool
	deleteFails bool
	onCreate    func(context.Context)
	deleted     []string
}

type cloud struct {
	world
	mu        sync.Mutex
	calls     []string
	servers   int
	nextID    int
	creating  int
	mostAtOne int
}

func (c *cloud) server() tfprotov6.ProviderServer {
	c.mu.Lock()
	c.servers++
	c.mu.Unlock()
	return &logging{ProviderServer: providerserver.NewProtocol6(&things{cloud: c})(), cloud: c}
}

func (c *cloud) set(f func(*world)) { c.mu.Lock(); defer c.mu.Unlock(); f(&c.world) }
func (c *cloud) forget()            { c.mu.Lock(); defer c.mu.Unlock(); c.calls = nil }
func (c *cloud) log() []string      { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.calls) }
func (c *cloud) processes() int     { c.mu.Lock(); defer c.mu.Unlock(); return c.servers }
func (c *cloud) peak() int          { c.mu.Lock(); defer c.mu.Unlock(); return c.mostAtOne }
func (c *cloud) deletedIDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.deleted)
}

func (c *cloud) note(s string, private []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(private) > 0 {
		s += " private"
	}
	c.calls = append(c.calls, s)
}

func (c *cloud) count(call string) int {
	n := 0
	for _, s := range c.log() {
		if s == call {
			n++
		}
	}
	return n
}

// logging notes the calls about resources, and whether they came with private
// bytes.
type logging struct {
	tfprotov6.ProviderServer
	cloud *cloud
}

func kind(prior, next *tfprotov6.DynamicValue) string {
	p, _ := prior.IsNull()
	n, _ := next.IsNull()
	switch {
	case p:
		return "create"
	case n:
		return "delete"
	}
	return "update"
}

func (l *logging) UpgradeResourceState(ctx context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	l.cloud.note("upgrade", nil)
	return l.ProviderServer.UpgradeResourceState(ctx, r)
}

func (l *logging) ReadResource(ctx context.Context, r *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	l.cloud.note("read", r.Private)
	return l.ProviderServer.ReadResource(ctx, r)
}

func (l *logging) PlanResourceChange(ctx context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	l.cloud.note("plan "+kind(r.PriorState, r.ProposedNewState), r.PriorPrivate)
	return l.ProviderServer.PlanResourceChange(ctx, r)
}

func (l *logging) ApplyResourceChange(ctx context.Context, r *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	l.cloud.note("apply "+kind(r.PriorState, r.PlannedState), r.PlannedPrivate)
	return l.ProviderServer.ApplyResourceChange(ctx, r)
}

func (l *logging) StopProvider(ctx context.Context, r *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	l.cloud.note("stop", nil)
	return l.ProviderServer.StopProvider(ctx, r)
}

// things is the provider.
type things struct{ cloud *cloud }

func (p *things) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "x"
}

func (p *things) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = pschema.Schema{Attributes: map[string]pschema.Attribute{"endpoint": pschema.StringAttribute{Optional: true}}}
}

func (p *things) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (p *things) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return &thing{p.cloud} }}
}

func (p *things) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{func() datasource.DataSource { return &thingData{p.cloud} }}
}

type model struct {
	Name   types.String  `tfsdk:"name"`
	Size   types.Int64   `tfsdk:"size"`
	ID     types.String  `tfsdk:"id"`
	Status types.String  `tfsdk:"status"`
	Fixed  types.String  `tfsdk:"fixed"`
	Extra  types.Dynamic `tfsdk:"extra"`
}

type thing struct{ cloud *cloud }

func (r *thing) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "x_thing"
}

func (r *thing) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":   schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}},
		"size":   schema.Int64Attribute{Optional: true},
		"id":     schema.StringAttribute{Computed: true, PlanModifiers: keep},
		"status": schema.StringAttribute{Computed: true, PlanModifiers: keep},
		"fixed":  schema.StringAttribute{Computed: true, PlanModifiers: keep},
		"extra":  schema.DynamicAttribute{Optional: true},
	}}
}

func (r *thing) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"id": identityschema.StringAttribute{RequiredForImport: true},
	}}
}

func (r *thing) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var size types.Int64
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("size"), &size)...)
	if size.ValueInt64() < 0 {
		resp.Diagnostics.AddAttributeError(path.Root("size"), "Too small", "A thing has a size.")
	}
}

func (r *thing) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, "planned", []byte(`true`))...)
	}
	r.cloud.mu.Lock()
	fault, servers := r.cloud.fault, r.cloud.servers
	r.cloud.mu.Unlock()
	switch fault {
	case "plan":
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("size"), 99)...)
	case "final": // another value in each process
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("fixed"), fmt.Sprint(servers))...)
	case "plan error":
		resp.Diagnostics.AddError("No", "This plan is refused.")
	}
}

func (r *thing) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	c := r.cloud
	c.mu.Lock()
	c.creating++
	c.mostAtOne = max(c.mostAtOne, c.creating)
	c.nextID++
	id, now := fmt.Sprintf("id-%d", c.nextID), c.world
	c.mu.Unlock()
	if now.onCreate != nil {
		now.onCreate(ctx)
	}
	m.ID, m.Status = types.StringValue(id), types.StringValue(now.status)
	if m.Fixed.IsUnknown() {
		m.Fixed = types.StringNull()
	}
	if now.fault == "result" {
		m.Size = types.Int64Value(-5)
	}
	if now.fault == "unknown" {
		m.Status = types.StringUnknown()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creating--
	fails := now.createFails || m.Name.ValueString() == now.failName && now.failName != ""
	if fails {
		resp.Diagnostics.AddError("Create failed", "The cloud says: the cloud is full.")
	}
	if fails && !now.createKeeps {
		return
	}
	c.things[id] = m
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, "made", []byte(`true`))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	if resp.Identity != nil {
		resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("id"), id)...)
	}
}

func (r *thing) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	r.cloud.mu.Lock()
	defer r.cloud.mu.Unlock()
	if resp.Identity != nil {
		// Also for an object that is gone: framework 1.19 checks it in every
		// Read, and an import of nothing has none yet.
		resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("id"), m.ID)...)
	}
	have, ok := r.cloud.things[m.ID.ValueString()]
	if !ok {
		resp.State.RemoveResource(ctx)
		return
	}
	have.Status = types.StringValue(r.cloud.status)
	resp.Diagnostics.Append(resp.State.Set(ctx, have)...)
}

func (r *thing) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	r.cloud.mu.Lock()
	defer r.cloud.mu.Unlock()
	if r.cloud.updateFails {
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, "failed", []byte(`true`))...)
		resp.Diagnostics.AddError("Update failed", "The cloud says no.")
	}
	r.cloud.things[m.ID.ValueString()] = m
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	if resp.Identity != nil {
		resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("id"), m.ID)...)
	}
}

func (r *thing) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	r.cloud.mu.Lock()
	defer r.cloud.mu.Unlock()
	if r.cloud.deleteFails {
		resp.Diagnostics.AddError("Delete failed", "The cloud says no.")
		return
	}
	delete(r.cloud.things, m.ID.ValueString())
	r.cloud.deleted = append(r.cloud.deleted, m.ID.ValueString())
}

func (r *thing) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughWithIdentity(ctx, path.Root("id"), path.Root("id"), req, resp)
}

type thingData struct{ cloud *cloud }

func (d *thingData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "x_thing"
}

func (d *thingData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = dschema.Schema{Attributes: map[string]dschema.Attribute{
		"id":   dschema.StringAttribute{Required: true},
		"name": dschema.StringAttribute{Computed: true},
	}}
}

func (d *thingData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var id types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("id"), &id)...)
	d.cloud.mu.Lock()
	m, ok := d.cloud.things[id.ValueString()]
	d.cloud.mu.Unlock()
	if !ok {
		resp.Diagnostics.AddAttributeError(path.Root("id"), "Not found", "There is no thing "+id.ValueString()+".")
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), id)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), m.Name)...)
}
