package core

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// object is one object as state stores it. It is never changed in place.
type object struct {
	attributes      []byte // JSON
	version         int64
	private         []byte
	identity        []byte // JSON, nil for none
	identityVersion int64
	tainted         bool
	cbd             bool
	depends         []string
}

// instance is what state has under one address.
type instance struct {
	current *object
	deposed []*object
}

func (i *instance) empty() bool { return i.current == nil && len(i.deposed) == 0 }

func (i *instance) clone() *instance {
	return &instance{current: i.current, deposed: slices.Clone(i.deposed)}
}

func cloneState(s map[string]*instance) map[string]*instance {
	out := make(map[string]*instance, len(s))
	for addr, i := range s {
		out[addr] = i.clone()
	}
	return out
}

func equalState(a, b map[string]*instance) bool {
	return maps.EqualFunc(a, b, func(x, y *instance) bool {
		return equalObject(x.current, y.current) && slices.EqualFunc(x.deposed, y.deposed, equalObject)
	})
}

func equalObject(a, b *object) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.tainted == b.tainted && bytes.Equal(a.attributes, b.attributes) && bytes.Equal(a.private, b.private) && bytes.Equal(a.identity, b.identity)
}

// live is an object that was read from state or is about to go there.
type live struct {
	value    tftypes.Value
	private  []byte
	identity tftypes.Value
	tainted  bool
	cbd      bool
	depends  []string
}

// store makes the state's form of an object.
func (p *process) store(addr string, l *live) (*object, Diagnostics) {
	schema, diags := p.schema(addr, false)
	if diags.HasErrors() {
		return nil, diags
	}
	j, err := encode(l.value, schema.ValueType())
	if err != nil {
		return nil, errorf(addr, "Failed to encode state", "%v", err)
	}
	attributes, err := json.Marshal(j)
	if err != nil {
		return nil, errorf(addr, "Failed to encode state", "%v", err)
	}
	o := &object{attributes: attributes, version: schema.Version, private: l.private, tainted: l.tainted, cbd: l.cbd, depends: l.depends}
	if id := p.schemas.identities[typeOf(addr)]; id != nil && l.identity.Type() != nil && !l.identity.IsNull() {
		j, err := encode(l.identity, id.ValueType())
		if err != nil {
			return nil, errorf(addr, "Failed to encode identity", "%v", err)
		}
		if o.identity, err = json.Marshal(j); err != nil {
			return nil, errorf(addr, "Failed to encode identity", "%v", err)
		}
		o.identityVersion = id.Version
	}
	return o, nil
}

// load reads an object from state by UpgradeResourceState, as core does every
// time it takes an object out of state.
func (p *process) load(addr string, o *object) (*live, Diagnostics) {
	schema, diags := p.schema(addr, false)
	if diags.HasErrors() {
		return nil, diags
	}
	if o.version > schema.Version {
		return nil, errorf(addr, "Resource instance managed by newer provider version",
			"The current state of %s was created by a newer provider version than is currently selected.", addr)
	}
	resp, diags := call(p, addr, p.server.UpgradeResourceState, &tfprotov6.UpgradeResourceStateRequest{
		TypeName: typeOf(addr), Version: o.version, RawState: &tfprotov6.RawState{JSON: o.attributes},
	})
	if diags.HasErrors() {
		return nil, diags
	}
	if diags = fromProtocol(addr, resp.Diagnostics); diags.HasErrors() {
		return nil, diags
	}
	v, err := read(schema.ValueType(), resp.UpgradedState)
	if err != nil {
		return nil, errorf(addr, "Invalid resource state upgrade", "%v", err)
	}
	l := &live{value: v, private: o.private, tainted: o.tainted, cbd: o.cbd, depends: o.depends}
	id := p.schemas.identities[typeOf(addr)]
	if id == nil || o.identity == nil {
		return l, diags
	}
	if o.identityVersion == id.Version {
		// Unlike state, an identity goes to the provider only to be upgraded.
		if l.identity, err = (tfprotov6.RawState{JSON: o.identity}).Unmarshal(id.ValueType()); err != nil {
			return nil, append(diags, errorf(addr, "Failed to decode identity", "%v", err)...)
		}
		return l, diags
	}
	up, more := call(p, addr, p.server.UpgradeResourceIdentity, &tfprotov6.UpgradeResourceIdentityRequest{
		TypeName: typeOf(addr), Version: o.identityVersion, RawIdentity: &tfprotov6.RawState{JSON: o.identity},
	})
	if diags = append(diags, more...); more.HasErrors() {
		return nil, diags
	}
	if diags = append(diags, fromProtocol(addr, up.Diagnostics)...); diags.HasErrors() {
		return nil, diags
	}
	l.identity = p.takeIdentity(typeOf(addr), up.UpgradedIdentity)
	return l, diags
}

// refresh is load followed by ReadResource; nil for an object that is gone.
func (p *process) refresh(addr string, l *live) (*live, Diagnostics) {
	resp, diags := call(p, addr, p.server.ReadResource, &tfprotov6.ReadResourceRequest{
		TypeName: typeOf(addr), CurrentState: dynamic(l.value), Private: l.private,
		CurrentIdentity: p.identity(typeOf(addr), l.identity), ClientCapabilities: &tfprotov6.ReadResourceClientCapabilities{},
	})
	if diags.HasErrors() {
		return l, diags
	}
	diags = append(fromProtocol(addr, resp.Diagnostics), deferred(addr, resp.Deferred)...)
	if diags.HasErrors() {
		return l, diags
	}
	v, err := read(l.value.Type(), resp.NewState)
	if err != nil {
		return l, append(diags, errorf(addr, "Provider produced invalid object", "%v", err)...)
	}
	if u := unknownPaths(v); len(u) > 0 {
		return l, append(diags, errorf(addr, "Provider produced invalid object", "Provider planned an invalid value for %s during refresh: the returned state contains unknown values: %v.", addr, u)...)
	}
	schema, _ := p.schema(addr, false)
	if wo := writtenOnly(schema.Block.Attributes, v, ""); len(wo) > 0 {
		return l, append(diags, errorf(addr, "Provider produced invalid object", "Provider returned a value for the write-only attribute %v during refresh.", wo)...)
	}
	if v.IsNull() {
		return nil, diags
	}
	out := *l
	out.value, out.private = v, resp.Private
	out.identity = p.takeIdentity(typeOf(addr), resp.NewIdentity)
	return &out, diags
}

// State returns the attributes of a managed resource as state has them (nil
// when it has none), numbers as int64 where they are whole. It asks no
// provider.
func (c *Core) State(addr string) map[string]any {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.state[addr]
	if i == nil || i.current == nil {
		return nil
	}
	return c.decode(addr, i.current)
}

// Deposed returns the attributes of the deposed objects of a resource.
func (c *Core) Deposed(addr string) []map[string]any {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []map[string]any
	if i := c.state[addr]; i != nil {
		for _, o := range i.deposed {
			out = append(out, c.decode(addr, o))
		}
	}
	return out
}

func (c *Core) decode(addr string, o *object) map[string]any {
	c.t.Helper()
	schema := c.schemas.resources[typeOf(addr)]
	if schema == nil {
		c.fatal("no schema for %s", addr)
		return nil
	}
	v, err := tfprotov6.RawState{JSON: o.attributes}.UnmarshalWithOpts(schema.ValueType(),
		tfprotov6.UnmarshalOpts{ValueFromJSONOpts: tftypes.ValueFromJSONOpts{IgnoreUndefinedAttributes: true}})
	if err != nil {
		c.fatal("state of %s: %v", addr, err)
	}
	m, _ := toGo(v).(map[string]any)
	return m
}

// Addresses lists what state has, in order.
func (c *Core) Addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.state))
}

// Private returns the private bytes stored with a resource.
func (c *Core) Private(addr string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.state[addr]; i != nil && i.current != nil {
		return slices.Clone(i.current.private)
	}
	return nil
}

// Identity returns the identity stored with a resource, nil for none.
func (c *Core) Identity(addr string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.state[addr]
	if i == nil || i.current == nil || i.current.identity == nil {
		return nil
	}
	var m map[string]any
	if err := json.Unmarshal(i.current.identity, &m); err != nil {
		c.fatal("identity of %s: %v", addr, err)
	}
	return m
}

// RawState returns the JSON that state has for a resource.
func (c *Core) RawState(addr string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.state[addr]; i != nil && i.current != nil {
		return slices.Clone(i.current.attributes)
	}
	return nil
}

// SetRawState puts an object into state as another release of the provider, or
// a hand that edits, could have left it there.
func (c *Core) SetRawState(addr string, version int64, attributes, private []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state[addr] = &instance{current: &object{attributes: attributes, version: version, private: private}}
	c.serial++
}

// Tainted tells whether a resource is tainted.
func (c *Core) Tainted(addr string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.state[addr]
	return i != nil && i.current != nil && i.current.tainted
}

// Taint is `terraform taint`.
func (c *Core) Taint(addr string) { c.t.Helper(); c.mark(addr, true) }

// Untaint is `terraform untaint`.
func (c *Core) Untaint(addr string) { c.t.Helper(); c.mark(addr, false) }

func (c *Core) mark(addr string, tainted bool) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.state[addr]
	if i == nil || i.current == nil {
		c.fatal("%s is not in state", addr)
		return
	}
	o := *i.current
	o.tainted = tainted
	i.current = &o
	c.serial++
}

// Forget is `terraform state rm`.
func (c *Core) Forget(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.state, addr)
	c.serial++
}

// Move is `terraform state mv`, or a moved block between blocks of one type.
// The configuration is not changed.
func (c *Core) Move(from, to string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state[from] == nil {
		c.fatal("%s is not in state", from)
	}
	c.state[to] = c.state[from]
	delete(c.state, from)
	c.serial++
}

// Import is `terraform import ADDR ID`. The block must be in the
// configuration.
func (c *Core) Import(addr, id string) Diagnostics {
	c.t.Helper()
	return c.importObject(addr, id, nil)
}

// ImportIdentity imports by identity, as an import block with an identity
// does (Terraform 1.12, OpenTofu 1.12).
func (c *Core) ImportIdentity(addr string, identity map[string]any) Diagnostics {
	c.t.Helper()
	return c.importObject(addr, "", identity)
}

func (c *Core) importObject(addr, id string, identity map[string]any) Diagnostics {
	c.t.Helper()
	if c.resources[addr] == nil {
		return errorf(addr, "Resource address does not exist in the configuration", "Before importing %s, add its block.", addr)
	}
	if i := c.state[addr]; i != nil && i.current != nil {
		return errorf(addr, "Resource already managed by Terraform", "%s is in state.", addr)
	}
	p := c.start()
	defer p.end()
	unknown := scope{lookup: func(string) (any, bool) { return Unknown, true }}
	if diags := p.configure(unknown); diags.HasErrors() {
		return diags
	}
	req := &tfprotov6.ImportResourceStateRequest{TypeName: typeOf(addr), ID: id, ClientCapabilities: &tfprotov6.ImportResourceStateClientCapabilities{}}
	if identity != nil {
		schema := p.schemas.identities[typeOf(addr)]
		if schema == nil {
			return errorf(addr, "Identity not supported", "%s has no identity schema.", typeOf(addr))
		}
		v, err := unknown.value(schema.ValueType(), identity)
		if err != nil {
			return errorf(addr, "Invalid identity", "%v", err)
		}
		req.Identity = &tfprotov6.ResourceIdentityData{IdentityData: dynamic(v)}
	}
	return p.importInto(addr, req)
}

func (p *process) importInto(addr string, req *tfprotov6.ImportResourceStateRequest) Diagnostics {
	schema, diags := p.schema(addr, false)
	if diags.HasErrors() {
		return diags
	}
	resp, diags := call(p, addr, p.server.ImportResourceState, req)
	if diags.HasErrors() {
		return diags
	}
	diags = append(fromProtocol(addr, resp.Diagnostics), deferred(addr, resp.Deferred)...)
	if diags.HasErrors() {
		return diags
	}
	if len(resp.ImportedResources) != 1 {
		return append(diags, errorf(addr, "Invalid import", "The provider returned %d objects.", len(resp.ImportedResources))...)
	}
	got := resp.ImportedResources[0]
	v, err := read(schema.ValueType(), got.State)
	if err != nil || v.IsNull() {
		return append(diags, errorf(addr, "Import returned missing resource", "The provider returned no state. %v", err)...)
	}
	l, more := p.refresh(addr, &live{value: v, private: got.Private, identity: p.takeIdentity(typeOf(addr), got.Identity)})
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	if l == nil {
		return append(diags, errorf(addr, "Cannot import non-existent remote object", "While attempting to import an existing object to %q, the provider detected that no object exists with the given id. Only pre-existing objects can be imported; check that the id is correct and that it is associated with the provider's configured region or endpoint, or use \"terraform apply\" to create a new remote object for this resource.", addr)...)
	}
	o, more := p.store(addr, l)
	if diags = append(diags, more...); more.HasErrors() {
		return diags
	}
	p.core.mu.Lock()
	defer p.core.mu.Unlock()
	p.core.state[addr] = &instance{current: o}
	p.core.serial++
	return diags
}
