package cluster

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/float64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// Schema is that of ray_cluster_connection.
func (r *connection) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := connectionOutputs()
	maps.Copy(attributes, fw.ClusterArguments(" A change is an update in place."))
	attributes["required_ray_version"] = schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "Versions of Ray that are accepted, in Terraform's syntax, for example `>= 2.50, < 3`. " +
			"Another version is an error when the connection is created or updated; it never blocks a refresh or a destroy.",
		Validators: []validator.String{constraintValidator{}},
	}
	attributes["ready_when"] = readyWhenAttribute()
	attributes["watch"] = schema.BoolAttribute{
		Optional:            true,
		MarkdownDescription: "Whether a cluster that no longer meets `ready_when` is a planned change: the next apply then waits for it again. Default: `false`, so that an autoscaler may scale down.",
	}
	attributes["timeouts"] = fw.Timeouts(ctx, timeouts.Opts{
		Create: true, CreateDescription: "How long a create waits for the cluster to meet `ready_when`, as in `\"20m\"`. Default: `10m`.",
		Update: true, UpdateDescription: "How long an update waits for the cluster to meet `ready_when`. Default: `10m`.",
	})
	resp.Schema = schema.Schema{
		MarkdownDescription: "Proves that a Ray cluster is there and is what it should be, waits until it is ready, and shows when it was replaced. It changes nothing on the cluster; a destroy only forgets it.\n\n" +
			"One address is enough. From a dashboard address the GCS is found by the head's command line, from a GCS address the dashboard by what the head published; both are believed only if they are of one cluster. " +
			"From a Ray Client address `ray://host:10001` the dashboard is looked for on port 8265 of the same host first; where it is not there, one Ray Client session is opened, which takes about three seconds and a driver process on the head. The Ray Client port itself is never discovered.\n\n" +
			"A cluster that was replaced (restarted without Redis, or made anew) has another `cluster_id`. The next plan shows it as a change in place with a warning, and `replace_triggered_by = [ray_cluster_connection.<name>.cluster_id]` on other resources makes them follow.",
		Attributes: attributes,
	}
}

func readyWhenAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "What the cluster must have before a create, or an update that changes this or meets a replaced cluster, is done. With it, a cluster that does not answer yet is waited for too; `{}` waits until the head node is alive. What happens later is only looked at with `watch`.",
		Attributes: map[string]schema.Attribute{
			"nodes": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "How many nodes must be alive, the head included.",
				Validators:          []validator.Int64{int64validator.AtLeast(1)},
			},
			"resources": schema.MapAttribute{
				Optional: true, ElementType: types.Float64Type,
				MarkdownDescription: "Logical resources that the alive nodes must have in total, by Ray's own names, for example `{ GPU = 16 }`; memory in bytes.",
				Validators:          []validator.Map{mapvalidator.ValueFloat64sAre(float64validator.AtLeast(0))},
			},
			"node_labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels that a node must have to count for `nodes` and `resources`. Alone it asks for one such node.",
			},
		},
	}
}

func connectionOutputs() map[string]schema.Attribute {
	out := map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Address that the connection was created with.",
		},
		"cluster": schema.SingleNestedAttribute{
			Computed:            true,
			MarkdownDescription: "The addresses as written here, for the `cluster` argument of other resources and data sources. Nothing that was discovered is in it, so that a head that moved changes nothing elsewhere.",
			Attributes:          fw.ClusterOutputs(),
		},
		"cluster_id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Id of the cluster as of the last apply. A replaced cluster changes it by a planned update. Null on Ray before 2.31 over HTTP.",
		},
		"observed_cluster_id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Id of the cluster as the last refresh saw it.",
		},
		"ready": schema.BoolAttribute{
			Computed:            true,
			MarkdownDescription: "Whether the cluster met `ready_when` in the last apply or, with `watch`, in the last refresh.",
		},
		"reasons": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What is missing where `ready` is false.",
		},
	}
	for name, description := range factDescriptions() {
		out[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return out
}

// factDescriptions document the attributes of facts.
func factDescriptions() map[string]string {
	return map[string]string{
		"session_name":            "Name of the head's session. Null on Ray before 2.35 over HTTP.",
		"started_at":              "When the session began, RFC 3339.",
		"ray_version":             "Version of Ray, for example `2.60.0`.",
		"python_version":          "Version of Python on the head.",
		"authentication_mode":     "`token`, or `disabled`, which every Ray before 2.52 is.",
		"autoscaler":              "`v1`, `v2` or `none`; `unknown` where the GCS can't be reached or the head has just started.",
		"head_node_id":            "Id of the head node. A head that restarts with Redis gets another one and keeps the cluster's id.",
		"dashboard_url_effective": "URL of the dashboard that is used. Null where only the GCS answers.",
		"gcs_address_effective":   "Address of the GCS that is used. Null where it can't be reached from where Terraform runs.",
	}
}
