package gcs

import (
	"context"
	"sort"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// Namespaces and keys of Ray's internal key-value store (ray_constants.py,
// usage_constants.py, dashboard/consts.py).
const (
	nsCluster      = "cluster"
	nsSession      = "session"
	nsDashboard    = "dashboard"
	nsJob          = "job"
	nsAutoscaler   = "__autoscaler"
	keyMetadata    = "CLUSTER_METADATA"
	keySessionName = "session_name"
	keyHeadNodeID  = "head_node_id"
	keyV2Enabled   = "__autoscaler_v2_enabled"
	keyV1Status    = "__autoscaling_status"
	keyV1Floor     = "autoscaler_resource_request"
)

// multiGetBatch bounds one InternalKVMultiGet: 1,000 job records are 0.6 MB.
const multiGetBatch = 2000

// KVGet returns one value of the internal key-value store; found is false where
// there is no such key.
//
// InternalKVGcsService/InternalKVGet, in Ray 2.9 already.
func (c *Client) KVGet(ctx context.Context, namespace, key string) (value []byte, found bool, err error) {
	reply, err := call(ctx, c, "read key "+key, c.kv.InternalKVGet,
		&raypb.InternalKVGetRequest{Namespace: []byte(namespace), Key: []byte(key)})
	switch {
	case ray.IsKind(err, ray.KindNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return reply.GetValue(), true, nil
}

// KVKeys returns the keys of namespace that begin with prefix, sorted. With both
// empty Ray lists the keys of all namespaces, without saying which.
//
// InternalKVGcsService/InternalKVKeys, in Ray 2.9 already.
func (c *Client) KVKeys(ctx context.Context, namespace, prefix string) ([]string, error) {
	reply, err := call(ctx, c, "list keys "+prefix+"*", c.kv.InternalKVKeys,
		&raypb.InternalKVKeysRequest{Namespace: []byte(namespace), Prefix: []byte(prefix)})
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(reply.GetResults()))
	for _, k := range reply.GetResults() {
		keys = append(keys, string(k))
	}
	sort.Strings(keys)
	return keys, nil
}

// KVMultiGet returns the values of the keys that exist.
//
// InternalKVGcsService/InternalKVMultiGet, in Ray 2.9 already.
func (c *Client) KVMultiGet(ctx context.Context, namespace string, keys []string) (map[string][]byte, error) {
	values := make(map[string][]byte, len(keys))
	for len(keys) > 0 {
		batch := keys[:min(len(keys), multiGetBatch)]
		keys = keys[len(batch):]
		request := &raypb.InternalKVMultiGetRequest{Namespace: []byte(namespace), Keys: make([][]byte, len(batch))}
		for i, k := range batch {
			request.Keys[i] = []byte(k)
		}
		reply, err := call(ctx, c, "read keys", c.kv.InternalKVMultiGet, request)
		switch {
		case ray.IsKind(err, ray.KindNotFound):
			continue
		case err != nil:
			return nil, err
		}
		for _, entry := range reply.GetResults() {
			values[string(entry.GetKey())] = entry.GetValue()
		}
	}
	return values, nil
}
