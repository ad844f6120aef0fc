terraform {
  required_providers {
    ray = {
      source = "ray-iac/ray"
    }
  }
}

# The address of the cluster comes from RAY_ADDRESS. Only the GCS takes the request;
# it is found from the dashboard where it can be reached.
provider "ray" {
  owner = "guide-resource-floor"
}

# Room for two tasks of one CPU, and for one of two CPUs on a node that the cloud will
# not take back, whatever nodes the autoscaler picks for that.
resource "ray_autoscaling_policy" "capacity" {
  name = "capacity"
  resource_floor = {
    bundles = [
      { resources = { CPU = 1 }, count = 2 },
      { resources = { CPU = 2 }, label_selector = { "ray.io/market-type" = "!spot" } },
    ]
  }
}

data "ray_autoscaler_status" "after" {
  depends_on = [ray_autoscaling_policy.capacity]
}

# A warning where the request would not stay.
check "uncontested" {
  assert {
    condition     = !data.ray_autoscaler_status.after.floor_contested
    error_message = "Ray Data or Ray Train has run on the cluster and replaces the request every 20 seconds. Use node_floor."
  }
}
