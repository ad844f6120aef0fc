// Package serve changes the autoscaling of one deployment of Ray Serve in the config of
// all applications, and leaves the rest of it as it is.
//
// Ray has one config for all declarative applications of a cluster. It is read as part
// of what Serve tells of itself, and written as a whole: an application that is not in
// it is deleted, and so is each option. So a change is read, edit, write, with care:
//
//   - What is not edited stays the JSON that Ray gave, unknown members of newer Rays
//     included. What Ray tells but does not take is left out (statusMembers).
//   - Applications deployed from Python (serve.run) are not in the config, and a write
//     leaves them alone. Ray goes on showing the old config of one that was deployed by
//     config before: source tells.
//   - Top-level logging_config, tracing_config and controller_options are not told, and
//     a write without them changes nothing that runs (by Ray's source).
//   - Ray masks env_vars for what looks like a browser. A config that holds a mask is
//     never written.
//   - Ray has no compare-and-swap. Engine reads right before the write and right after
//     it, and writes again where somebody's config without the change came in between.
//     Whoever writes between Engine's read and write, some milliseconds, is overwritten.
//
// What Ray 2.60 makes of autoscaling_config, measured but for the change of a policy,
// which is by its source:
//
//   - A config's autoscaling_config replaces that of the code as a whole: members left
//     out are Ray's defaults, not the code's. So the first one is written with all that
//     is in effect.
//   - The number of deployments with autoscaling_config, and each policy in it, is part
//     of what Ray calls the code version of an application. A first autoscaling_config,
//     the end of the last, and a change of policy build the application anew and replace
//     all replicas of all of its deployments. Any other change touches no replica.
//   - Ray takes values that it then can't use: PUT is answered by 200, the application is
//     DEPLOY_FAILED and is scaled by nobody, while its replicas run on. Unknown members
//     are kept, and ignored.
//   - num_replicas as a number beside autoscaling_config is refused, "auto" is not.
package serve
