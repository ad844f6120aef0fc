// Package autoscaling holds what is about the autoscaler of a cluster: the data
// source ray_autoscaler_status.
package autoscaling
