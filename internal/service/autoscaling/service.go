package autoscaling

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// Service is what this package offers to the provider.
var Service = fw.Service{
	Resources:   []func() resource.Resource{newPolicy},
	DataSources: []func() datasource.DataSource{newStatusData},
}
