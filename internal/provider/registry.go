package provider

import (
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/service/autoscaling"
	"github.com/ray-iac/terraform-provider-ray/internal/service/cluster"
	"github.com/ray-iac/terraform-provider-ray/internal/service/job"
)

// services is all that the provider offers.
func services() []fw.Service {
	return []fw.Service{
		cluster.Service,
		job.Service,
		autoscaling.Service,
	}
}
