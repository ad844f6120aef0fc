// Package acctest runs the provider as users do: its own binary, a real
// Terraform or OpenTofu, a real Ray. What needs none of these belongs into
// tests on acctest/core, which take milliseconds.
//
// [NewWorkspace] is a directory to write a configuration into and to run the
// CLI in. The CLI is the one in TF_ACC_TERRAFORM_PATH, the provider is built
// once per test process (or taken from RAYTEST_PROVIDER) and found through a
// CLI configuration with dev_overrides, so that neither a registry nor `init`
// is needed. The CLI sees nothing of the user's TF_* and RAY_* variables and a
// home directory of its own.
//
// The Ray is shared: [Shared] returns its addresses as `make testacc` sets
// them. A test therefore names its jobs after itself, leaves none behind and
// harms nobody else's; one that breaks its cluster starts its own with
// raytest.StartHead. Every test ends with an empty plan and a destroy.
package acctest
