package autoscaling

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"

	"github.com/ray-iac/terraform-provider-ray/internal/fw"
)

// Service is what this package offers to the provider.
var Service = fw.Service{
	DataSources: []func() datasource.DataSource{newStatusData},
}
